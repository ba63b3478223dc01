/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H
/* A scrape's request, parsed and validated, and the upstream request made of it. */
#include "fetch.h"
#include "negotiate.h"
#include "params.h"

#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct config;
struct endpoint;
struct evhttp_request;

struct request {
    struct params params;
    struct evkeyvalq headers; /* for the upstream */
    struct time_limit timeout;
    bool gzip; /* the response may be compressed */
};

/*
 * Parses a scrape's target and headers. 0: the caller owns *request, until request_deinit(). EINVAL (positive): reason,
 * of size bytes, says what is wrong and what was expected. -ENOMEM. request->timeout is set in any case.
 */
int request_read(struct request *request, struct evhttp_request *from, const struct config *config,
                 const struct endpoint *endpoint, char *reason, size_t size);

/* The upstream's URL with the scrape's other parameters, to be freed. NULL: out of memory. */
char *request_url(const struct request *request, const struct endpoint *endpoint);

/* The upstream request for this URL with these headers; borrows all of them. */
struct fetch_request request_for(const struct endpoint *endpoint, const char *url, const struct evkeyvalq *headers);

/* A zeroed one is fine. */
void request_deinit(struct request *request);

#endif
