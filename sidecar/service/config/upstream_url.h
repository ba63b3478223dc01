/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_UPSTREAM_URL_H
#define SERVICE_UPSTREAM_URL_H
/*
 * The URL of a service: http://HOST:PORT/PATH?QUERY, https://, or unix:/SOCKET:/PATH?QUERY. It is parsed once, by
 * libcurl, so that whatever is accepted here is what the fetch takes.
 */
#include <stdbool.h>
#include <stddef.h>

struct upstream_url {
    bool tls;      /* https */
    char *url;     /* what libcurl is asked for; of a unix socket, of the host localhost */
    char *socket;  /* file of the unix socket, or NULL */
    char *service; /* who is asked: host, in lower case, and port; or the socket */
    char *shown;   /* for people: as it was written, without the query, which may be a secret */
    /* After url_set_server_name(): what connects url's host to the real one, in CURLOPT_CONNECT_TO's form, and the Host
       header. Else NULL. */
    char *connect_to, *host;
};

/*
 * 0: *url is to be freed with url_deinit(). EINVAL (positive): *reasonp, static, says what is wrong and what was
 * expected, as the end of a sentence that begins with the text. -ENOMEM.
 */
int url_read(struct upstream_url *url, const char *text, const char **reasonp);

/* Gives an https URL another name for its host, to be found in the certificate. The connection and the Host header stay
   with the real one. 0, EINVAL if this is not a host name, or -ENOMEM; then *url is as it was. */
int url_set_server_name(struct upstream_url *url, const char *name);

/* The URL with more for its query; NULL: nothing. The caller's; NULL: out of memory. */
char *url_with_query(const struct upstream_url *url, const char *query);

/* A text that is meant as a URL as it may be shown: what stands before the last @ and after the ?, which may be
   secrets, is left out. To be freed; NULL: out of memory. */
char *url_shown(const char *text);

/* A zeroed one is fine. */
void url_deinit(struct upstream_url *url);

#endif
