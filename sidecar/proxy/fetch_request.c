/* SPDX-License-Identifier: Apache-2.0 */
/* A request: its headers, and libcurl's options. */
#include "fetch_state.h"

#include "tls_buffer.h"
#include "tls_pool.h"

#include "service/access/secrets.h"
#include "service/access/upstream_tls.h"

#include <scrapeshard/version.h>

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

enum {
    /* The size of one read from a socket: what is read is filtered while it is still in the L2 cache. libcurl delivers
       it in pieces of 16 KiB. From 128 KiB on, malloc(3) would use mmap(2), and each scrape would fault in new pages;
       with 64 KiB a large scrape took 3 % more CPU (tests/bench). */
    READ_BYTES = 112 * 1024,
    /* How long libcurl caches the system's authorities: neither a failed allocation nor a replaced file may last
       longer. */
    CA_SECONDS = 60,
};

static bool
add_request_header(struct fetch *f, const char *line)
{
    struct curl_slist *list = line ? curl_slist_append(f->request_headers, line) : NULL;
    if (list)
        f->request_headers = list;
    return list;
}

/* Connects to another host than the URL's, if need be, and sends the name that the upstream expects. */
static bool
set_host(struct fetch *f, const struct fetch_request *request)
{
    const char *host = request->host_header ? request->host_header : request->host;
    char *line;
    if (request->connect_to) {
        f->connect_to = curl_slist_append(NULL, request->connect_to);
        f->host = strdup(request->host);
        if (!f->host || !f->connect_to)
            return false;
    }
    if (!host)
        return true;
    if (asprintf(&line, "Host: %s", host) < 0)
        line = NULL;
    bool added = add_request_header(f, line);
    free(line);
    return added;
}

/* Not by asprintf(3), which leaves copies in freed memory: the value may be a credential. libcurl takes "Name:" for
   "omit it" and "Name;" for an empty value. For secret_free(); NULL: out of memory. */
static char *
header_line(const struct evkeyval *h)
{
    size_t size = strlen(h->key) + strlen(": ") + strlen(h->value) + 1;
    char *line = malloc(size);
    if (line)
        snprintf(line, size, *h->value ? "%s: %s" : "%s;", h->key, h->value);
    return line;
}

static bool
add_request_headers(struct fetch *f, const struct fetch_request *request)
{
    const struct evkeyval *h;
    bool accept = false, agent = false;

    TAILQ_FOREACH (h, request->headers, next) {
        char *line = header_line(h);
        bool added = add_request_header(f, line);
        secret_free(line);
        if (!added)
            return false;
        accept |= !strcasecmp(h->key, "Accept");
        agent |= !strcasecmp(h->key, "User-Agent");
    }
    return add_request_header(f, request->gzip ? "Accept-Encoding: gzip" : "Accept-Encoding: identity") &&
           (request->keepalive || add_request_header(f, "Connection: close")) &&
           (accept || add_request_header(f, "Accept:")) &&
           (agent || add_request_header(f, "User-Agent: scrapeshard/" SS_VERSION));
}

/* Connections. */

/* What happened on a dead connection, or before a redirect, says nothing about the next one. (libcurl keeps the first
   error of a transfer.) */
static void
forget_earlier_connection(struct fetch *f)
{
    f->request_sent = false;
    f->extra_body = UNSOLICITED_NONE;
    f->trailing_bytes = false;
    *f->error = 0;
}

static int
on_open(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    struct fetch *f = ctx;
    (void)purpose;
    forget_earlier_connection(f);
    return upstream_sockets_opened(upstream_sockets(f->upstream), fd, f->socket, f->socket_number) ? CURL_SOCKOPT_OK
                                                                                                   : CURL_SOCKOPT_ERROR;
}

/* A kept connection was watched for another fetch. */
static bool
watch_close_notify(struct fetch *f, const SSL *tls)
{
    return f->allow_missing_close_notify || !close_notify_watch(&f->close_notify, SSL_get_SSL_CTX(tls));
}

static int
before_request(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct fetch *f = ctx;
    struct connection connection = {f->socket_number, ip, port, local_port,
                                    f->is_tls ? tls_of_transfer(f->easy) : NULL};
    enum connection_use use = CONNECTION_UNKNOWN;
    (void)local_ip;
    forget_earlier_connection(f);
    f->request_sent = true;
    if (connection.tls && !watch_close_notify(f, connection.tls)) {
        f->no_memory = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (connection.tls && f->tls_settings)
        tls_pool_connected(f->tls_settings, f->failed_to_connect);
    if (connection.tls || !f->is_tls)
        use = upstream_sockets_use(upstream_sockets(f->upstream), f, &connection, f->keepalive);
    if (use == CONNECTION_UNKNOWN)
        curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
    if (use != CONNECTION_DEAD && f->events->connected)
        f->events->connected(f->ctx, use == CONNECTION_REUSED);
    return CURL_PREREQFUNC_OK;
}

/* libcurl reuses a unix socket for those that connect to the same number. */
static int
set_socket_number(struct fetch *f)
{
    char text[32];
    f->socket_number = upstream_sockets_reserve(upstream_sockets(f->upstream), f, f->socket);
    snprintf(text, sizeof(text), "::socket-%u:", f->socket_number);
    curl_slist_free_all(f->connect_to);
    f->connect_to = curl_slist_append(NULL, text);
    return f->connect_to && !curl_easy_setopt(f->easy, CURLOPT_CONNECT_TO, f->connect_to) ? 0 : -ENOMEM;
}

int
fetch_set_connection(struct fetch *f)
{
    if (f->socket)
        return set_socket_number(f);
    f->resumes = f->tls_settings && !f->failed_to_connect && tls_pool_resumes(f->tls_settings);
    return curl_easy_setopt(f->easy, CURLOPT_SSL_SESSIONID_CACHE, (long)f->resumes) ? -ENOMEM : 0;
}

/* TLS. */

static CURLcode
on_tls_context(CURL *easy, void *tls, void *ctx)
{
    struct fetch *f = ctx;
    (void)easy;
    /* libcurl 8.14, unlike 7.88, leaves it to OpenSSL to fail on an end without a close_notify; the watch decides. */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* By which most resume sessions of TLS 1.2; libcurl sets it because of servers of 2008. */
    SSL_CTX_clear_options(tls, SSL_OP_NO_TICKET);
    if (upstream_tls_apply(f->tls_settings, tls) ||
        (!f->allow_missing_close_notify && close_notify_watch(&f->close_notify, tls)))
        return CURLE_OUT_OF_MEMORY;
    return CURLE_OK;
}

static bool
set_tls_options(struct fetch *f, const struct fetch_tls *tls)
{
    CURL *e = f->easy;
    CURLcode r = curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bool own_ca = upstream_tls_has_authorities(tls->settings);
    f->tls_settings = tls->settings;
    if (f->tls_settings)
        SSL_CTX_up_ref(f->tls_settings);
    f->allow_missing_close_notify = tls->allow_missing_close_notify;
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, f);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, own_ca ? 0L : (long)CA_SECONDS);
    /* Debian's libcurl has defaults for both. */
    if (!r && own_ca)
        r = curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    if (!r && own_ca)
        r = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, (long)!tls->insecure);
    if (!r)
        r = curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
    if (r || !f->is_tls || !f->tls_settings)
        return !r;
    CURLSH *share = tls_pool_share(upstream_tls_pools(f->upstream), f->tls_settings);
    return share && !curl_easy_setopt(e, CURLOPT_SHARE, share);
}

static bool
set_options(struct fetch *f, const struct fetch_request *request)
{
    CURL *e = f->easy;
    CURLcode r = CURLE_OK;
#define SET(option, value) r = r ? r : curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_UNIX_SOCKET_PATH, request->socket);
    SET(CURLOPT_HTTPHEADER, f->request_headers);
    SET(CURLOPT_CONNECT_TO, f->connect_to);
    SET(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    /* Neither the Pod's environment nor the upstream decides where we connect. */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* follow_redirect() does */
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)(f->keepalive / 1000 + 1)); /* upstream_sockets.c shuts it down before */
    SET(CURLOPT_FORBID_REUSE, (long)!f->keepalive);
    SET(CURLOPT_BUFFERSIZE, (long)READ_BYTES);
    SET(CURLOPT_SOCKOPTFUNCTION, on_open);
    SET(CURLOPT_SOCKOPTDATA, f);
    SET(CURLOPT_CLOSESOCKETFUNCTION, upstream_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, f->upstream);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, f);
    SET(CURLOPT_HEADERFUNCTION, fetch_on_header);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_WRITEFUNCTION, fetch_on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_DEBUGFUNCTION, fetch_on_debug);
    SET(CURLOPT_DEBUGDATA, f);
    SET(CURLOPT_ERRORBUFFER, f->error);
    SET(CURLOPT_PRIVATE, f);
#undef SET
    return !r && set_tls_options(f, &request->tls);
}

int
fetch_set_request(struct fetch *f, const struct fetch_request *request)
{
    f->keepalive = request->keepalive;
    f->is_tls = !strncmp(request->url, "https:", 6);
    if (request->socket && !(f->socket = strdup(request->socket)))
        return -ENOMEM;
    return destination_init(&f->destination, f->easy, request->url, request->connect_to) ||
                   !add_request_headers(f, request) || !set_host(f, request) || !set_options(f, request)
               ? -ENOMEM
               : 0;
}
