/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_RESPONSE_H
#define PROXY_UPSTREAM_RESPONSE_H
/* Judges an upstream's response: checks its header, sets how its body is read, and puts failures into words. */
#include "body_decoder.h"
#include "fetch.h"
#include "outcome.h"

#include <stdbool.h>

struct endpoint;
struct evkeyvalq;
struct time_limit;

/* Why a scrape failed. Zeroed: it did not. */
struct failure {
    enum outcome outcome;
    enum upstream_error error;
    enum limit limit; /* the one that was hit, or LIMIT_NONE */
    char reason[480];
};

__attribute__((format(printf, 3, 4))) void failure_set(struct failure *failure, enum outcome outcome,
                                                       const char *format, ...);

void failure_set_no_memory(struct failure *failure);

/*
 * Puts the headers that a scraper may see into out, and sets all settings of the body but sharding. A response with
 * another status than 200 is passed on unchanged: no scraper takes it for a success.
 *
 * True: failure says whether the response is passed on. False: failure says why.
 */
bool upstream_response_begin(struct body_settings *settings, const struct endpoint *endpoint, int status,
                             const struct evkeyvalq *headers, struct evkeyvalq *out, struct failure *failure);

/* A body's condition or negative errno value, with its reason. */
void failure_of_body(struct failure *failure, const struct endpoint *endpoint, int r, const char *reason);

/* The fetch ended with this result, FETCH_FAILED or one after it. */
void failure_of_fetch(struct failure *failure, const struct endpoint *endpoint, enum fetch_result result,
                      const char *reason);

/* The fetch did not finish within the limit. */
void failure_of_timeout(struct failure *failure, const struct endpoint *endpoint, enum fetch_progress progress,
                        const struct time_limit *limit);

#endif
