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
    /* Stores the flag in its target. 0, or an exit status after printing the error. */
    int (*store)(void *target, const struct flag *flag, const char *value);
    void *target;
};

/* The last row of a table. */
#define FLAGS_END                                                                                                      \
    {                                                                                                                  \
        NULL, NULL, NULL, NULL, NULL                                                                                   \
    }

/* Stores the value; target is a const char *. */
int flag_store_text(void *target, const struct flag *flag, const char *value);

/* Stores that the flag was given; target is a bool. */
int flag_store_switch(void *target, const struct flag *flag, const char *value);

/*
 * Parses argv[1..]; --help prints usage and the table, and exits. Returns the index of the first argument that is not a
 * flag, or minus an exit status.
 */
int flags_read(int argc, char **argv, const struct flag *flags, const char *usage);

/* If path is -, notes in *readerp (NULL at first) that name reads standard input. 0, or an exit status after printing
   the error if something reads it already, which would leave nothing. */
int flags_note_reader(const char **readerp, const char *path, const char *name);

/* Prints an error of the command line. Returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int flags_refuse(const char *format, ...);

#endif
