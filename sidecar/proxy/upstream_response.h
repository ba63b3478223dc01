/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_RESPONSE_H
#define PROXY_UPSTREAM_RESPONSE_H
/* Judges an upstream's response: checks its header, and sets how its body is read. */
#include "body_decoder.h"
#include "failure.h"

#include <stdbool.h>

struct endpoint;
struct evkeyvalq;

/*
 * Puts the headers that a scraper may see into out, and sets all settings of the body but sharding and key_cache. A
 * response with another status than 200 is passed on unchanged: no scraper takes it for a success.
 *
 * True: failure says whether the response is passed on. False: failure says why.
 */
bool upstream_response_begin(struct body_settings *settings, const struct endpoint *endpoint, int status,
                             const struct evkeyvalq *headers, struct evkeyvalq *out, struct failure *failure);

#endif
