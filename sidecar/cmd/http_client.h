/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_HTTP_CLIENT_H
#define CMD_HTTP_CLIENT_H
/* Answers of a service, one after the other and over one connection where that can be: for who has nothing else to do
   meanwhile. As strict as the sidecar itself, whose fetches they are. */
#include "proxy/fetch.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

struct http_client;

/* Borrowed while the getter lives. */
struct http_client_settings {
    const char *url;           /* http://, https:// or unix:/SOCKET:/PATH */
    const char *accept;        /* the header */
    const char *authorization; /* the header, or NULL */
    int64_t timeout;           /* milliseconds, of each answer */
    struct fetch_tls tls;
};

struct http_response {
    int status;
    bool by_close; /* nothing but the closed connection says that the body is whole */
    char content_type[256];
    char reason[400]; /* why there is none */
};

/* Whether a word is meant as a URL. */
bool http_client_is_url(const char *word);

/* 0: *getterp is the caller's. EINVAL (positive): *reasonp says what is wrong with the URL. -ENOMEM. */
int http_client_new(struct http_client **clientp, const struct http_client_settings *settings, const char **reasonp);

/*
 * Asks for the URL, with more for its query (NULL: nothing). The sink gets the body of an answer with status 200, whose
 * content type stands in *answer by then.
 *
 * 0: there was one. EIO (positive): there was none, and answer->reason tells why. Else a negative errno value, the
 * sink's own among them.
 */
int http_client_get(struct http_client *client, const char *query, const struct ss_sink *sink,
                    struct http_response *answer);

/* NULL is fine. */
void http_client_free(struct http_client *client);

#endif
