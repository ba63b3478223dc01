/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SCRAPE_STATE_H
#define PROXY_SCRAPE_STATE_H
/* A scrape, and what scrape.c and scrape_end.c share. Private to them. */
#include "body_filter.h"
#include "request.h"
#include "slots.h"
#include "snapshot_store.h"
#include "upstream_response.h"

#include "service/base/peer.h"

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct event;
struct reply;
struct proxy_context;

enum stage {
    STAGE_HOLDING,   /* nothing was sent yet */
    STAGE_STREAMING, /* header and chunks were sent */
    STAGE_FLUSHING,  /* all was given to evhttp; on_done() follows */
    STAGE_OVER,
};

struct scrape {
    struct proxy_context *proxy;
    struct config *config; /* a reference, which keeps the endpoint alive */
    const struct endpoint *endpoint;
    struct slot endpoint_slot;
    struct slot upstream_slot;
    struct request request;
    bool head_only;
    bool by_tool; /* no server has its response: see TOOL_USER_AGENT */
    char peer[PEER_TEXT];
    struct timespec start;

    struct reply *reply;
    struct fetch *fetch;       /* NULL: not started, or ended */
    struct snapshot_user user; /* with max_age */
    struct event *deadline;
    struct body_filter *body; /* NULL before the header, and with a snapshot */
    enum stage stage;
    bool sending; /* a chunk was sent and has not drained */
    bool paused;

    struct failure failure;
    int status;
    uint64_t bytes_in, bytes_out;
    struct ss_filter_counts counts; /* with a snapshot */
    bool shared;                    /* another scrape counts the snapshot's body */
};

/* Fails the response: by a status while nothing has gone out, by an aborted transfer after that. The caller ends the
   fetch. */
void scrape_fail(struct scrape *scrape, const struct failure *failure);
void scrape_fail_out_of_memory(struct scrape *scrape);

/* Ends the fetch, and releases upstream slot and snapshot. */
void scrape_release_upstream(struct scrape *scrape);

/* The whole response is about to be sent. The upstream was in time; the scraper gets READ_GRACE_MS more to read it. */
void scrape_start_flushing(struct scrape *scrape);

/* Sets the deadline to the end of the scrape's timeout plus extra milliseconds. 0 or -ENOMEM. */
int scrape_set_deadline(struct scrape *scrape, int64_t extra);

/* Milliseconds left of the scrape's timeout, at least 0. */
int64_t scrape_time_left(const struct scrape *scrape);

/* Callback of the deadline; ctx is the scrape. */
void scrape_on_deadline(evutil_socket_t fd, short what, void *ctx);

/* Callback of the reply; ctx is the scrape. */
void scrape_on_client_gone(void *ctx, bool no_memory);

/* Whether its endpoint still has the same keys, rules and settings: a reload may have replaced them meanwhile. */
bool scrape_is_current(const struct scrape *scrape);

/* Reports the body's families to telemetry: those of the index, or (NULL) of the body's filter. */
void scrape_report_families(const struct scrape *scrape, const struct ss_index *index);

/* Frees the scrape if response and fetch have both ended: do not use it after this call. */
void scrape_finish_if_done(struct scrape *scrape);

#endif
