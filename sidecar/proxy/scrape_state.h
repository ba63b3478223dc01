/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SCRAPE_STATE_H
#define PROXY_SCRAPE_STATE_H
/* A scrape on its way: scrape.c brings it forward, scrape_end.c to its end. For these two alone. */
#include "request.h"
#include "slots.h"
#include "snapshot.h"
#include "upstream_response.h"

#include <event2/util.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct event;
struct reply;
struct server;

enum stage {
    STAGE_HOLDING,   /* nothing has gone out */
    STAGE_STREAMING, /* head and pieces have */
    STAGE_FLUSHING,  /* all was handed to the kernel's door; on_done follows */
    STAGE_OVER,
};

struct scrape {
    struct server *server;
    struct config *config; /* a reference: the endpoint lives in it */
    const struct endpoint *endpoint;
    struct slot endpoint_slot; /* among the endpoint's */
    struct slot upstream_slot; /* among those who ask the service */
    struct request request;
    bool head_only;
    char peer[64];
    struct timespec began;

    struct reply *reply;
    struct fetch *fetch;       /* NULL once it has ended */
    struct snapshot_user user; /* under max_age */
    struct event *deadline;
    struct pipeline *pipeline; /* NULL before the head, and with a snapshot */
    size_t used;               /* bytes of the piece in hand that the pipeline took before a pause */
    enum stage stage;
    bool in_flight; /* a piece was sent and has not drained */
    bool paused;

    struct failure failure;
    int status; /* sent, or to be */
    uint64_t bytes_in, bytes_out;
    struct ss_filter_counts counts; /* of what a snapshot gave */
    bool shared;                    /* the snapshot was fetched for another scrape */
};

/* Ends the answer as a failure: by a status while that can be said, by a broken transfer when it cannot. The fetch is
   the caller's to end. */
void scrape_fail(struct scrape *scrape, const struct failure *failure);
void scrape_fail_without_memory(struct scrape *scrape);

/* Ends what the service's side is to the scrape. */
void scrape_end_fetch(struct scrape *scrape);

/* All of the answer is there, and is about to be sent. That it came in time was the service's part; the scraper has
   longer to read it, but not for ever. */
void scrape_is_whole(struct scrape *scrape);

/* Sets the deadline so many milliseconds after what there is left of the scrape's time. 0 or -ENOMEM. */
int scrape_set_deadline(struct scrape *scrape, int64_t more);

/* The milliseconds that are left; 0 if there are none. */
int64_t scrape_time_left(const struct scrape *scrape);

/* There is no time left; ctx is the scrape. */
void scrape_on_deadline(evutil_socket_t fd, short what, void *ctx);

/* The scraper has gone; ctx is the scrape. */
void scrape_on_gone(void *ctx, bool no_memory);

/* Tells telemetry what families the body has: of a snapshot, or (NULL) of what came through the pipeline. */
void scrape_report_families(const struct scrape *scrape, const struct ss_index *index);

/* Ends the scrape if answer and fetch are both over. Nothing of it may be touched behind a call. */
void scrape_finish_if_done(struct scrape *scrape);

#endif
