/* SPDX-License-Identifier: Apache-2.0 */
/* Every mistake of a config file, and what it comes to. */
#include "cli_common.h"
#include "cmd.h"
#include "settings.h"

#include "service/config/config_print.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "scrapeshard check [flags] FILE\n"
    "\n"
    "Tells every mistake of a configuration file (- for standard input), with its line and column. Exits 0 if\n"
    "there is none, 1 if there is one, 2 if the command line is wrong.\n";

struct check {
    struct cli_settings settings; /* must be first: the flags of settings.h take it for all there is */
    bool print;
};

static int
take_print(void *ctx, const struct flag *flag, const char *value)
{
    struct check *c = ctx;
    (void)flag, (void)value;
    c->print = true;
    return 0;
}

static const struct flag flags[] = {
    {"print", NULL, "write the file as it is in effect: each setting, with the defaults and --set", take_print},
    {"set", "SECTION.KEY=VALUE", "check the file together with a setting from the command line", settings_take_set},
    {NULL, NULL, NULL, NULL},
};

/* Says that all is well, or what that comes to. */
static int
report(const struct check *c, const struct config *config, const char *name)
{
    if (!c->print) {
        printf("%s: no mistakes, %zu endpoint%s\n", name, config->n_endpoints, config->n_endpoints == 1 ? "" : "s");
        return 0;
    }
    int too_long = config_print(config, stdout);
    if (too_long)
        fprintf(stderr, "scrapeshard: %d of the values are too long for a line of a file; comments stand for them\n",
                too_long);
    return too_long ? EXIT_FAILED : 0;
}

int
cmd_check(int argc, char **argv)
{
    struct check check = {.print = false};
    struct config *config = NULL;
    int at = flags_read(argc, argv, flags, usage, &check), status;

    if (at < 0) {
        status = -at;
    } else if (at != argc - 1 || !*argv[at]) {
        status = flags_refuse("check takes one file");
    } else {
        check.settings.flags.file = strcmp(argv[at], "-") != 0 ? argv[at] : "/dev/stdin";
        status = cli_read_config(&check.settings.flags, &config);
        if (!status)
            status = cli_end(report(&check, config, argv[at]));
    }
    config_unref(config);
    settings_deinit(&check.settings);
    return status;
}
