/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_PRINT_H
#define SERVICE_CONFIG_PRINT_H
#include "config.h"

/* Writes a configuration as a file: every section and key, including defaults. An empty list becomes a comment. Reading
   the file gives the same configuration. */
void config_print(const struct config *config, FILE *out);

/* The same for anyone to see: "<secret>" replaces the query of an upstream URL. */
void config_show(const struct config *config, FILE *out);

#endif
