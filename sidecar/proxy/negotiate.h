/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_NEGOTIATE_H
#define PROXY_NEGOTIATE_H
/* Which headers travel, in both directions, and how long a scrape may take. */
#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct evkeyvalq;

struct negotiate_error {
    char reason[200];
};

/*
 * Copies the headers of a scrape that are for the service: all that concern neither this connection nor this body's
 * encoding. Accept and the others go as they came, character by character, repeated ones too; but unless protobuf may
 * be answered, Accept does not offer it, and one that offers nothing else is left away.
 *
 * 0; EINVAL (positive) for a header that cannot be passed on safely; -ENOMEM.
 */
int negotiate_request(const struct evkeyvalq *from, struct evkeyvalq *to, bool protobuf, struct negotiate_error *error);

/* Copies the headers of the service's answer that still hold for a part of its body. 0 or -ENOMEM. */
int negotiate_response(const struct evkeyvalq *from, struct evkeyvalq *to);

/* Says in Vary that Accept-Encoding decides over an answer, unless it says so already. */
void negotiate_vary(struct evkeyvalq *headers);

/*
 * The values of all headers of a name as one list, separated by ", ": RFC 9110, 5.3 says that they are one. *joinedp is
 * the caller's to free, NULL if there is none. 0 or -ENOMEM.
 */
int negotiate_join(const struct evkeyvalq *headers, const char *name, char **joinedp);

/* How a body is encoded. */
enum coding {
    CODING_NONE,
    CODING_GZIP,
    CODING_OTHER, /* by what we cannot undo: another coding, or gzip twice */
};

/*
 * What a list of Content-Encoding says, joined, NULL if there is none. Only codings that exist count: services write
 * all kinds of words there (a charset, a media type), and Prometheus, which looks for "gzip" alone, reads their bodies
 * as they are.
 */
enum coding negotiate_coding(const char *list);

/* How long something may take. */
struct time_limit {
    int64_t ms;
    char by[96]; /* the setting or header that says so */
};

/*
 * How long a scrape may take. Where the scraper names its timeout, that decides: X-Prometheus-Scrape-Timeout-Seconds
 * (NULL: not there) less a tenth, half a second at the most, so that the scraper hears our reason and not its own
 * timeout. The endpoint's timeout is for other scrapers, and the most if it was set. 0, or EINVAL (positive) for what
 * is not a time.
 */
int negotiate_timeout(const char *header, const struct endpoint *endpoint, struct time_limit *limit,
                      struct negotiate_error *error);

/*
 * Tells the service, where the scraper has told us, how much time it has: what is left of ours less a tenth, 0.1 s at
 * the most, for what we do with its response. So the last word of an exporter that answers when its time is over comes
 * in time. 0 or -ENOMEM.
 */
int negotiate_tell_timeout(struct evkeyvalq *headers, int64_t left_ms);

#endif
