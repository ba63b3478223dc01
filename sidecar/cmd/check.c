/* SPDX-License-Identifier: Apache-2.0 */
/* The errors of a configuration file, or the configuration that is in effect. */
#include "cmd.h"
#include "output.h"
#include "settings.h"

#include "service/config/config_print.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "scrapeshard check [flags] FILE\n"
    "scrapeshard check --config.file=FILE [flags]\n"
    "\n"
    "Reports every error of a configuration file (- for standard input), with its line and column, and warns of\n"
    "rules that some formats do not honour. It takes the flags of serve, which override the file: a file can be\n"
    "checked with those that it is served with. Exits 0 if there are no errors, 1 if there are some, 2 if the command\n"
    "line is invalid.\n";

static int
report(const struct config *config, bool print, const char *name)
{
    if (!print) {
        printf("%s: no errors, %zu endpoint%s\n", name, config->n_endpoints, config->n_endpoints == 1 ? "" : "s");
        return 0;
    }
    config_print(config, stdout);
    return 0;
}

int
cmd_check(int argc, char **argv)
{
    struct config_flags settings = {.file = NULL, .warnings = true};
    bool print = false;
    const struct flag flags[] = {
        {"print", NULL, "print the effective configuration: all settings, with defaults and flags", flag_store_switch,
         &print},
        SETTINGS_FLAGS(&settings),
        FLAGS_END,
    };
    struct config *config = NULL;
    int at = flags_read(argc, argv, flags, usage), status;

    if (at < 0) {
        status = -at;
    } else if (argc - at + (settings.file != NULL) != 1 || (at < argc && !*argv[at])) {
        status = flags_refuse("check expects one file");
    } else {
        const char *name = settings.file ? settings.file : argv[at];
        if (!settings.file)
            settings.file = strcmp(name, "-") != 0 ? name : "/dev/stdin";
        status = settings_read(&settings, &config);
        if (!status)
            status = output_end(report(config, print, name));
    }
    config_unref(config);
    settings_deinit(&settings);
    return status;
}
