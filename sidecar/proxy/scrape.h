/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SCRAPE_H
#define PROXY_SCRAPE_H
struct endpoint;
struct evhttp_request;
struct proxy_context;

/* Handles a GET or HEAD of an endpoint's path. The scrape owns itself and the request until it is over. */
void scrape_start(struct proxy_context *proxy, const struct endpoint *endpoint, struct evhttp_request *request);

#endif
