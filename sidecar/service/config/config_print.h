/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_PRINT_H
#define SERVICE_CONFIG_PRINT_H
#include "config.h"

/*
 * Writes a configuration as the text of a file: every section and key, the defaults too. An empty list is a comment.
 * Reading the file gives the same configuration again.
 *
 * Returns how many values, from flags, are too long for a line of a file; each leaves a comment that says so.
 */
int config_print(const struct config *config, FILE *out);

/* The same for anybody to see: "<secret>" stands for what a service's URL has behind "?". */
void config_show(const struct config *config, FILE *out);

#endif
