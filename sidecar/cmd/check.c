/* SPDX-License-Identifier: Apache-2.0 */
/* Every mistake of a config file. */
#include "cmd.h"
#include "settings.h"

#include <stdio.h>

static const char usage[] =
    "scrapeshard check [flags] FILE\n"
    "\n"
    "Tells every mistake of a configuration file, with its line. Exits 0 if there is none, 1 if there\n"
    "is one, 2 if the command line is wrong.\n";

static const struct flag flags[] = {
    {"set", "SECTION.KEY=VALUE", "check the file together with a setting from the command line", settings_take_set},
    {NULL, NULL, NULL, NULL},
};

int
cmd_check(int argc, char **argv)
{
    struct settings settings = {{NULL, NULL, 0}};
    struct config *config = NULL;
    int at = flags_read(argc, argv, flags, usage, &settings), status = EXIT_FAILED;

    if (at < 0) {
        status = -at;
    } else if (at != argc - 1) {
        status = flags_refuse("check takes one file");
    } else {
        settings.flags.file = argv[at];
        int r = config_read(&config, &settings.flags, stderr);
        if (r < 0)
            fputs("scrapeshard: there is no memory to read it\n", stderr);
        if (!r) {
            printf("%s: no mistakes, %zu endpoint%s\n", argv[at], config->n_endpoints,
                   config->n_endpoints == 1 ? "" : "s");
            status = 0;
        }
    }
    config_unref(config);
    settings_deinit(&settings);
    return status;
}
