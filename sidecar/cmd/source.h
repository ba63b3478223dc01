/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SOURCE_H
#define CMD_SOURCE_H
/* Reads a body from a file or URL into an index. */
#include "http_client.h"

#include <scrapeshard/index.h>

/* Size of a reason. */
enum { SOURCE_REASON = 600 };

/*
 * Each reads a body to its end. The settings are those of ss_index_new(); their content type is the default for bodies
 * without one. 0: *indexp is the caller's, and must not outlive the settings' sharding. Else an exit status, and why,
 * of SOURCE_REASON bytes, has the reason.
 */

/* NULL is standard input. */
int source_read_file(struct ss_index **indexp, const char *path, const struct ss_filter_settings *settings, char *why);

/* With query added to that of the URL (NULL: nothing). */
int source_read_url(struct ss_index **indexp, struct http_client *client, const char *query,
                    const struct ss_filter_settings *settings, char *why);

int source_read_bytes(struct ss_index **indexp, struct ss_span bytes, const struct ss_filter_settings *settings,
                      char *why);

#endif
