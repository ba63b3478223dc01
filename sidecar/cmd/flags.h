/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_FLAGS_H
#define CMD_FLAGS_H
/* Flags in the style of Prometheus' exporters: --name=value or --name value. */
#include <stdbool.h>
#include <stddef.h>

struct flag {
    const char *name;
    const char *value; /* what a value is called in the help; NULL: it takes none */
    const char *help;
    /* Takes the flag in. 0, or an exit status, after saying on standard error why. */
    int (*take)(void *ctx, const struct flag *flag, const char *value);
};

/*
 * Reads argv[1..] by the table, which ends with a flag without a name; --help prints usage and the table, and ends the
 * process. Returns the index of the first word that is no flag, or minus an exit status.
 */
int flags_read(int argc, char **argv, const struct flag *flags, const char *usage, void *ctx);

/* Says on standard error what is wrong with the command line. Returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int flags_refuse(const char *format, ...);

#endif
