/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_SELECT_H
#define PROXY_SNAPSHOT_SELECT_H
/*
 * What a scrape gets from a snapshot. Nothing can fail in mid-body, so it is sent whole, with its length: the response
 * references runs of the body, and compressed selections are kept with the snapshot, since a server's replica requests
 * the same.
 */
#include <stdbool.h>

struct evbuffer;
struct evkeyvalq;
struct params;
struct snapshot;
struct ss_filter_counts;

struct snapshot_selection {
    struct evbuffer *body; /* references the snapshot */
    bool gzip;             /* in: the scraper accepts gzip; out: the body is compressed */
    struct ss_filter_counts *counts;
};

/*
 * Adds the selected shards of a snapshot that is READY to selection->body, and the upstream's headers and ours to
 * headers. *selection->counts is overwritten. 0, ERANGE (positive): too much metadata, or -ENOMEM.
 */
int snapshot_select(struct snapshot *snapshot, const struct params *params, struct snapshot_selection *selection,
                    struct evkeyvalq *headers);

#endif
