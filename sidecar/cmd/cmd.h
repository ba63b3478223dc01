/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CMD_H
#define CMD_CMD_H
/*
 * The subcommands. Each takes argv with its own name first, and returns the exit status: 0 or one of these.
 */
enum {
    EXIT_FAILED = 1,        /* invalid file, port in use, body that is not a valid exposition, ... */
    EXIT_USAGE = 2,         /* invalid command line */
    EXIT_DRAIN_TIMEOUT = 3, /* serve: scrapes were aborted when web.grace expired */
    EXIT_UNREAD = 3,        /* rules, plan: a rule file or expression could not be read */
};

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_split(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_rules(int argc, char **argv);

/* Prints the versions. */
int cmd_version(void);

#endif
