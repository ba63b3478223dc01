/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_RESPONSE_H
#define PROXY_UPSTREAM_RESPONSE_H
/* A service's answer on its way in, whoever it is for: its head is auth_done, its body gets settings, and what goes
   wrong is said in words. */
#include "body_decoder.h"
#include "fetch.h"
#include "outcome.h"

#include <stdbool.h>

struct endpoint;
struct evkeyvalq;
struct time_limit;

/* Why an answer is no success. Zeroed: it is. */
struct failure {
    enum outcome outcome;
    enum upstream_error error; /* what the service did */
    enum limit limit;          /* the one that was hit, or LIMIT_NONE */
    char reason[480];
};

__attribute__((format(printf, 3, 4))) void failure_set(struct failure *failure, enum outcome outcome,
                                                       const char *format, ...);

/* For want of memory. */
void failure_set_no_memory(struct failure *failure);

/*
 * Takes the head of an answer: puts the headers that a scraper may see into out, and sets all settings of the body
 * but sharding. A response other than 200 is passed through unchanged: no scraper takes it for a success.
 *
 * True: the failure says whether it is passed on. False: the failure says why.
 */
bool upstream_response_begin(struct body_settings *settings, const struct endpoint *endpoint, int status,
                             const struct evkeyvalq *headers, struct evkeyvalq *out, struct failure *failure);

/* A body's condition or negative errno value, with its reason. */
void failure_of_body(struct failure *failure, const struct endpoint *endpoint, int r, const char *reason);

/* The fetch ended with this result, FETCH_FAILED or behind it, for this reason. */
void failure_of_fetch(struct failure *failure, const struct endpoint *endpoint, enum fetch_result result,
                      const char *reason);

/* There was no time left for the fetch, which had this much. */
void failure_of_timeout(struct failure *failure, const struct endpoint *endpoint, enum fetch_progress progress,
                        const struct time_limit *limit);

#endif
