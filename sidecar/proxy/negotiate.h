/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_NEGOTIATE_H
#define PROXY_NEGOTIATE_H
/* Which headers are forwarded, in both directions, and how long a scrape may take. */
#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct evkeyvalq;

/*
 * How the User-Agent of verify, plan and rules begins. They compare shards or look at a body, and no server has the
 * series that they get: what they request is no scrape of a shard. "scrapeshard/" is another: a sidecar sends it on
 * behalf of a scraper that has none, and passes this one on.
 */
#define TOOL_USER_AGENT "scrapeshard-tool/"

struct negotiate_error {
    char reason[200];
};

/*
 * Copies the headers of a scrape that are for the upstream: all but those of this connection and of this body's
 * encoding. They are forwarded byte for byte, repeated ones too; but without composites, Accept does not offer protobuf
 * and OpenMetrics 2.0 (see ss_sharding_takes_protobuf()), and is dropped if it offers nothing else.
 *
 * 0; EINVAL (positive): a header cannot be forwarded safely; -ENOMEM.
 */
int negotiate_request(const struct evkeyvalq *from, struct evkeyvalq *to, bool composites,
                      struct negotiate_error *error);

/* What of an Accept header is forwarded: without composites, it does not offer them. *leftp is the caller's to free,
   NULL if it offers nothing else. 0 or -ENOMEM. */
int negotiate_accept(const char *accept, bool composites, char **leftp);

/* Copies the headers of the upstream's response that hold for part of its body too. 0 or -ENOMEM. */
int negotiate_response(const struct evkeyvalq *from, struct evkeyvalq *to);

/* Adds Vary: Accept-Encoding, unless it is there. */
void negotiate_add_vary(struct evkeyvalq *headers);

/* The values of all headers of a name as one list, joined by ", " (RFC 9110, 5.3). *joinedp is the caller's to free,
   NULL if there is none. 0 or -ENOMEM. */
int negotiate_join(const struct evkeyvalq *headers, const char *name, char **joinedp);

/* How a body is encoded. */
enum coding {
    CODING_NONE,
    CODING_GZIP,
    CODING_OTHER, /* we cannot decode it: another coding, or gzip twice */
};

/*
 * The coding that a joined Content-Encoding names; NULL: there is none. Only registered codings count: upstreams write
 * all kinds of words there (a charset, a media type), and Prometheus, which looks for "gzip" alone, reads their bodies
 * as they are.
 */
enum coding negotiate_coding(const char *list);

/* How long something may take. */
struct time_limit {
    int64_t ms;
    char by[96]; /* the setting or header that sets it */
};

/*
 * How long a scrape may take: the scraper's X-Prometheus-Scrape-Timeout-Seconds (NULL: not there) less a tenth, at most
 * 0.5 s, so that the scraper gets our reason before its own timeout. The endpoint's timeout is for scrapers without
 * that header; if it was set, it is also the maximum. 0, or EINVAL (positive): not a number of seconds.
 */
int negotiate_timeout(const char *header, const struct endpoint *endpoint, struct time_limit *limit,
                      struct negotiate_error *error);

/*
 * Replaces the scraper's timeout header, if there is one, by the upstream's: what is left of ours less a tenth, at most
 * 0.1 s, for processing its response. So an exporter that responds at its deadline responds in time. 0 or -ENOMEM.
 */
int negotiate_set_timeout(struct evkeyvalq *headers, int64_t left_ms);

#endif
