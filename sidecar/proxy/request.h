/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H
/* What a scrape asks for, read and found sound. */
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
    struct evkeyvalq headers; /* for the service */
    struct time_limit timeout;
    bool gzip; /* the answer is to be compressed, if that is worth it */
};

/*
 * Reads a scrape's target and headers. 0: *request is the caller's, to be given to request_deinit(). EINVAL (positive):
 * reason, of size bytes, says what is wrong and what would be right. -ENOMEM. In any case there is a timeout.
 */
int request_read(struct request *request, struct evhttp_request *from, const struct config *config,
                 const struct endpoint *endpoint, char *reason, size_t size);

/* The URL that the service is asked for: the endpoint's, with the scrape's other parameters. NULL for want of memory.
 */
char *request_url(const struct request *request, const struct endpoint *endpoint);

/* What a service is asked, at this URL and with these headers; borrows of all of them. */
struct fetch_request request_for(const struct endpoint *endpoint, const char *url, const struct evkeyvalq *headers);

/* A zeroed one is fine. */
void request_deinit(struct request *request);

#endif
