/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SECRETS_H
#define SERVICE_SECRETS_H
/* Secrets come from files only, since others can read the command line and the environment. They are wiped when freed.
 */
#include <stdio.h>

enum { SECRET_MAX = 64 * 1024 };

/* Opens a regular file of at most max bytes; refuses fifos and devices, which may never end. NULL: *wrong says why, in
   static memory. */
FILE *file_open(const char *path, long max, const char **wrong);

/* The same for at most SECRET_MAX. */
FILE *secret_open(const char *path, const char **wrong);

/* Reads the only line of a file, trimmed. 0: *textp is the caller's. -1: unreadable, empty, or more than a header can
 *hold; wrong says why, in static memory. */
int secret_read_line(char **textp, const char *path, const char **wrong);

/* Wipes and frees. NULL is fine. */
void secret_free(char *text);

#endif
