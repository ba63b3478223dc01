/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SOURCE_H
#define CMD_SOURCE_H
/* Bodies from wherever they are, read into an index. */
#include "http_client.h"

#include <scrapeshard/index.h>

/* The most of a reason. */
enum { SOURCE_REASON = 600 };

/*
 * Each reads a body to its end; settings as of ss_index_new(), of which the content type stands for one that is not
 * told. 0: *indexp is the caller's, and the settings' sharding is to outlive it. Else an exit status, and why, of
 * SOURCE_REASON bytes, tells the reason.
 */

/* From a file; NULL is standard input. */
int source_read_file(struct ss_index **indexp, const char *path, const struct ss_filter_settings *settings, char *why);

/* From a service, with more for the URL's query (NULL: nothing). */
int source_read_url(struct ss_index **indexp, struct http_client *client, const char *query,
                    const struct ss_filter_settings *settings, char *why);

/* From bytes. */
int source_read_bytes(struct ss_index **indexp, struct ss_span bytes, const struct ss_filter_settings *settings,
                      char *why);

#endif
