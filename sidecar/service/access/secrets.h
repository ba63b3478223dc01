/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SECRETS_H
#define SERVICE_SECRETS_H
/* Secrets come from files only: the command line and the environment are read by others. What is read is wiped when it
   is freed. */
#include <stdio.h>

enum { SECRET_MAX = 64 * 1024 };

/* Opens a regular file to be read; a fifo or a device, which may never end, is refused. NULL: *wrong says why, in
   static memory. */
FILE *secret_open(const char *path, const char **wrong);

/* Reads a file's one line, without blanks around it: of *textp the caller is the owner. 0; or -1, *wrong says why, in
   static memory: it cannot be read, is empty, or has more than a header can hold. */
int secret_read_line(char **textp, const char *path, const char **wrong);

/* Wipes and frees. NULL is fine. */
void secret_free(char *text);

#endif
