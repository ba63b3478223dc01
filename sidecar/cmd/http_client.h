/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_HTTP_CLIENT_H
#define CMD_HTTP_CLIENT_H
/* A blocking HTTP client: requests one after the other, over one connection if possible. It uses the sidecar's own
   fetch, and is as strict. */
#include "proxy/fetch.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

struct http_client;

/* Borrowed by the client. */
struct http_client_settings {
    const char *url;           /* http://, https:// or unix:/SOCKET:/PATH */
    const char *accept;        /* the header, or NULL */
    const char *authorization; /* the header, or NULL */
    int64_t timeout;           /* milliseconds, of each response */
    struct fetch_tls tls;
};

struct http_response {
    int status;
    bool by_close; /* the body is delimited only by the closed connection */
    char content_type[256];
    char reason[400]; /* why the request failed */
};

/* Whether an argument looks like a URL. */
bool http_client_is_url(const char *word);

/* 0: *clientp is the caller's. EINVAL (positive): *reasonp says what is wrong with the URL. -ENOMEM. */
int http_client_new(struct http_client **clientp, const struct http_client_settings *settings, const char **reasonp);

/*
 * Requests the URL, with query added to its own (NULL: nothing). The sink gets the body of a response with status 200,
 * after response->content_type was set.
 *
 * 0: success. EIO (positive): response->reason says why not. Else a negative errno value, also that of the sink.
 */
int http_client_get(struct http_client *client, const char *query, const struct ss_sink *sink,
                    struct http_response *response);

/* NULL is fine. */
void http_client_free(struct http_client *client);

#endif
