/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CMD_H
#define CMD_CMD_H
/*
 * The subcommands. Each gets its arguments with its own name as the first, and answers the exit status: 0, EXIT_FAILED,
 * or EXIT_USAGE; serve and rules have one more.
 */
enum {
    EXIT_FAILED = 1,        /* it could not be done: a bad file, a port in use, a body that is no exposition */
    EXIT_USAGE = 2,         /* the command line is wrong */
    EXIT_DRAIN_TIMEOUT = 3, /* serve: the end came before that of the scrapes in flight */
    EXIT_UNREAD = 3,        /* rules: a file or expression could not be read */
};

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_split(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_rules(int argc, char **argv);

/* What --version says. */
int cmd_version(void);

#endif
