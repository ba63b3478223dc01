/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_UPSTREAM_URL_H
#define SERVICE_UPSTREAM_URL_H
/*
 * An upstream's URL: http://HOST:PORT/PATH?QUERY, https://, or unix:/SOCKET:/PATH?QUERY. Parsed once, by libcurl, so
 * that the fetch accepts whatever is accepted here.
 */
#include <stdbool.h>
#include <stddef.h>

struct upstream_url {
    bool tls;     /* https */
    char *url;    /* for libcurl; the host of a unix socket is localhost */
    char *socket; /* path of the unix socket, or NULL */
    char *server; /* host, in lower case, and port; or the socket */
    char *shown;  /* for messages: as written, without the query, which may be a secret */
    /* After url_set_server_name(), otherwise NULL: the mapping from url's host to the real one, for CURLOPT_CONNECT_TO,
       and the Host header. */
    char *connect_to, *host;
};

/*
 * A copy of text in which each $(NAME) in the host or port of an http or https URL is replaced by the environment
 * variable, as Kubernetes does in a container's arguments. An IPv6 address gets its brackets. A variable that is not
 * set, or is neither a host, an address nor a port, stays as it is, which url_read() refuses. The caller frees the
 * copy; NULL: out of memory.
 */
char *url_expand(const char *text);

/*
 * 0: url_deinit() frees *url. EINVAL (positive): *reasonp, static, continues a sentence that starts with the text: what
 * is wrong and what was expected. -ENOMEM.
 */
int url_read(struct upstream_url *url, const char *text, const char **reasonp);

/* Sets the name expected in the certificate of an https URL; connection and Host header keep the real host. 0; EINVAL
   if it is not a host name, or -ENOMEM: *url is unchanged. */
int url_set_server_name(struct upstream_url *url, const char *name);

/* The URL with query, if not NULL, appended to its own. The caller frees it; NULL: out of memory. */
char *url_with_query(const struct upstream_url *url, const char *query);

/*
 * Redaction of a text meant as a URL, which may be malformed: of credentials, unless it is valid, and of the query.
 * url_shown(): a copy with "<secret>" in their place; the caller frees it; NULL: out of memory. url_mask(): in place,
 * with as many asterisks, for a text that may also be anything else.
 */
char *url_shown(const char *text);
void url_mask(char *text);

/* A zeroed one is fine. */
void url_deinit(struct upstream_url *url);

#endif
