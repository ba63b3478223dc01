/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_FAILURE_H
#define PROXY_FAILURE_H
/* Why a scrape failed, in words and by the table of outcome.h. */
#include "body_decoder.h"
#include "fetch.h"
#include "outcome.h"

struct endpoint;
struct time_limit;

/* Zeroed: the scrape did not fail. */
struct failure {
    enum outcome outcome;
    enum upstream_error error;
    enum limit limit; /* the one that was hit, or LIMIT_NONE */
    char reason[480];
};

__attribute__((format(printf, 3, 4))) void failure_set(struct failure *failure, enum failure_cause cause,
                                                       const char *format, ...);

void failure_set_no_memory(struct failure *failure);

/* A body's condition or negative errno value, with its reason. */
void failure_of_body(struct failure *failure, const struct endpoint *endpoint, int r, const char *reason);

/* The fetch ended with this result, FETCH_FAILED or one after it. */
void failure_of_fetch(struct failure *failure, const struct endpoint *endpoint, enum fetch_result result,
                      const char *reason);

/* The fetch did not finish within the limit. */
void failure_of_timeout(struct failure *failure, const struct endpoint *endpoint, enum fetch_progress progress,
                        const struct time_limit *limit);

#endif
