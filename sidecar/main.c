/* SPDX-License-Identifier: Apache-2.0 */
/* The entry point: a table of subcommands. */
#include "cmd/cmd.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", cmd_serve},   {"check", cmd_check},     {"split", cmd_split}, {"plan", cmd_plan},
    {"verify", cmd_verify}, {"explain", cmd_explain}, {"rules", cmd_rules},
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return cmd_serve(argc, argv);
}
