/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include "gzip.h"

#include "service/config/config.h"

#include <errno.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the response may be compressed. 0 or -ENOMEM. */
static int
read_encodings(struct request *r, const struct evkeyvalq *headers, const struct config *config)
{
    char *accepted;
    int error = negotiate_join(headers, "Accept-Encoding", &accepted);
    if (error)
        return error;
    r->gzip = config->compression == COMPRESSION_AUTO && gzip_accepted(accepted);
    free(accepted);
    return 0;
}

/* Replaces what the scraper sent. 0 or -ENOMEM. */
static int
set_authorization(struct evkeyvalq *headers, const char *authorization)
{
    if (!authorization)
        return 0;
    while (!evhttp_remove_header(headers, "Authorization"))
        ;
    return evhttp_add_header(headers, "Authorization", authorization) ? -ENOMEM : 0;
}

int
request_read(struct request *r, struct evhttp_request *from, const struct config *config,
             const struct endpoint *endpoint, char *reason, size_t size)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(from);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(from));
    const struct params_names names = {config->shard_param, config->shard_count_param, config->require_shard,
                                       config->shard_count, config->reshard_to};
    struct params_error params_error = {""};
    struct negotiate_error error = {""};

    *r = (struct request){.gzip = false};
    TAILQ_INIT(&r->headers);
    negotiate_timeout(NULL, endpoint, &r->timeout, &error);
    int status = params_parse(&r->params, query, &names, &params_error);
    if (!status)
        status = negotiate_timeout(evhttp_find_header(headers, "X-Prometheus-Scrape-Timeout-Seconds"), endpoint,
                                   &r->timeout, &error);
    if (!status)
        status = negotiate_request(headers, &r->headers, ss_sharding_takes_protobuf(config->sharding), &error);
    if (!status)
        status = set_authorization(&r->headers, endpoint->authorization);
    if (!status)
        status = read_encodings(r, headers, config);
    if (status) {
        snprintf(reason, size, "%s", *params_error.reason ? params_error.reason : error.reason);
        request_deinit(r);
        *r = (struct request){.timeout = r->timeout};
        TAILQ_INIT(&r->headers);
    }
    return status;
}

char *
request_url(const struct request *r, const struct endpoint *endpoint)
{
    return url_with_query(&endpoint->url, r->params.query);
}

struct fetch_request
request_for(const struct endpoint *e, const char *url, const struct evkeyvalq *headers)
{
    return (struct fetch_request){
        .url = url,
        .socket = e->url.socket,
        .connect_to = e->url.connect_to,
        .host = e->url.host,
        .host_header = strcmp(e->host_header, "off") != 0 ? e->host_header : NULL,
        .tls = {e->tls, e->tls_insecure, !e->strict_close},
        .keepalive = e->upstream_keepalive,
        .gzip = e->upstream_encoding == ENCODING_GZIP,
        .headers = headers,
    };
}

void
request_deinit(struct request *r)
{
    params_deinit(&r->params);
    if (r->headers.tqh_last)
        evhttp_clear_headers(&r->headers);
}
