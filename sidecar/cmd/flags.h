/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_FLAGS_H
#define CMD_FLAGS_H
/* Flags in the style of Prometheus' exporters: --name=value or --name value. */
#include <stdbool.h>
#include <stddef.h>

struct flag {
    const char *name;
    const char *value; /* placeholder of its value in the help; NULL: it takes none */
    const char *help;
    /* Stores the flag. 0, or an exit status after printing the error. */
    int (*take)(void *ctx, const struct flag *flag, const char *value);
};

/*
 * Parses argv[1..] by the table, which ends with a flag without a name; --help prints usage and the table, and exits.
 * Returns the index of the first argument that is not a flag, or minus an exit status.
 */
int flags_read(int argc, char **argv, const struct flag *flags, const char *usage, void *ctx);

/* Prints an error of the command line. Returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int flags_refuse(const char *format, ...);

#endif
