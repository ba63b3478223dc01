/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_NEGOTIATE_H
#define PROXY_NEGOTIATE_H
/* Which headers travel, in both directions, and how long a scrape may take. */
#include <stdbool.h>
#include <stdint.h>

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

/*
 * The milliseconds a scrape may take: the endpoint's timeout, or what X-Prometheus-Scrape-Timeout-Seconds leaves (NULL:
 * not there) less half a second, so that the scraper hears our reason and not its own timeout; of a header below a
 * second, half. 0, or EINVAL (positive) for what is no time.
 */
int negotiate_timeout(const char *header, int64_t endpoint_ms, int64_t *msp, struct negotiate_error *error);

#endif
