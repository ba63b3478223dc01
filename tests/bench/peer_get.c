/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct connection {
    int fd; /* -1: none */
    SSL *ssl;
};

static size_t reads; /* of all responses */

__attribute__((noreturn)) static void
fail(const char *reason, const char *detail)
{
    fprintf(stderr, "bench-peer: %s%.300s\n", reason, detail);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int
connect_to(const char *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = *address == '/';
    int fd, one = 1;

    if (is_unix)
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", address);
    else
        in.sin_port = htons((uint16_t)atoi(strncmp(address, "tls:", 4) ? address : address + 4));
    fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (is_unix ? connect(fd, (struct sockaddr *)&un, sizeof(un)) : connect(fd, (struct sockaddr *)&in, sizeof(in)))
        die("connect");
    if (!is_unix)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* NULL if the address is not one of TLS. Without verification: the bench made the certificate itself. */
static SSL *
new_ssl(const char *address)
{
    static SSL_CTX *context;
    SSL *ssl;

    if (strncmp(address, "tls:", 4) != 0)
        return NULL;
    if (!context && !(context = SSL_CTX_new(TLS_client_method())))
        fail("no TLS", "");
    if (!(ssl = SSL_new(context)))
        fail("no TLS", "");
    SSL_set_connect_state(ssl);
    return ssl;
}

static void
connection_open(struct connection *c, const char *address)
{
    c->fd = connect_to(address);
    c->ssl = new_ssl(address);
    if (c->ssl && (!SSL_set_fd(c->ssl, c->fd) || SSL_connect(c->ssl) != 1))
        fail("no handshake", "");
}

static void
connection_close(struct connection *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    c->fd = -1;
    c->ssl = NULL;
}

static void
connection_send(struct connection *c, const char *bytes, size_t len)
{
    ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)len) : send(c->fd, bytes, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len)
        die("send");
}

/* Whether the server closed a connection that was kept. */
static bool
connection_is_over(const struct connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

/* 0 at the end of the stream. */
static size_t
connection_receive(struct connection *c, char *buffer, size_t room)
{
    ssize_t n = c->ssl ? SSL_read(c->ssl, buffer, (int)room) : recv(c->fd, buffer, room, 0);
    if (n < 0)
        die("recv");
    reads++;
    return (size_t)n;
}

/* Waits until that many bytes are due. */
static void
keep_pace(double pace, double start, size_t bytes)
{
    double early = pace > 0 ? start + (double)bytes / pace - now(CLOCK_MONOTONIC) : 0;
    if (early > 0)
        usleep((useconds_t)(early * 1e6));
}

/* Where a response ends. */
enum framing { BY_LENGTH, CHUNKED, BY_CLOSE };

struct response {
    enum framing framing;
    size_t length; /* of the body, BY_LENGTH */
    size_t have;   /* bytes of the body as sent */
    char tail[5];  /* the last bytes */
    bool closes;   /* the connection is not kept */
};

/* Finds a header field in a head that ends with a 0; NULL: it is not there. */
static const char *
field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

static void
read_head(struct response *r, const char *head)
{
    const char *length = field(head, "\r\nContent-Length:");

    if (strncmp(head, "HTTP/1.1 200", 12) != 0 && strncmp(head, "HTTP/1.0 200", 12) != 0)
        fail("unexpected response: ", head);
    r->closes = head[7] == '0' || field(head, "\r\nConnection: close");
    r->framing = length ? BY_LENGTH : field(head, "\r\nTransfer-Encoding: chunked") ? CHUNKED : BY_CLOSE;
    r->length = length ? strtoul(length, NULL, 10) : 0;
}

static void
take_body(struct response *r, const char *bytes, size_t len)
{
    const size_t size = sizeof(r->tail), keep = len < size ? len : size;
    memmove(r->tail, r->tail + keep, size - keep);
    if (keep)
        memcpy(r->tail + size - keep, bytes + len - keep, keep);
    r->have += len;
}

static bool
is_whole(const struct response *r)
{
    return (r->framing == BY_LENGTH && r->have >= r->length) ||
           (r->framing == CHUNKED && !memcmp(r->tail, "0\r\n\r\n", sizeof(r->tail)));
}

/* Reads one response, and closes the connection if the server does. Returns the bytes of its body as sent. */
static size_t
read_response(struct connection *c, double pace)
{
    static char buffer[PEER_BUFFER + 1];
    struct response r = {0};
    const double start = now(CLOCK_MONOTONIC);
    size_t have = 0, n;
    const char *body = NULL;

    while (!body) {
        if (have == PEER_BUFFER || !(n = connection_receive(c, buffer + have, PEER_BUFFER - have)))
            fail("truncated head", "");
        have += n;
        buffer[have] = 0;
        body = strstr(buffer, "\r\n\r\n");
    }
    size_t head = (size_t)(body + 4 - buffer);
    buffer[head - 1] = 0; /* ends the head as text: the body begins behind it */
    read_head(&r, buffer);
    take_body(&r, buffer + head, have - head);
    while (!is_whole(&r)) {
        n = connection_receive(c, buffer, PEER_BUFFER);
        if (!n && r.framing != BY_CLOSE)
            fail("truncated response", "");
        if (!n)
            break;
        take_body(&r, buffer, n);
        keep_pace(pace, start, r.have);
    }
    if (r.closes)
        connection_close(c);
    return r.have;
}

/* The length of a request; "#" in the target is replaced by its number. */
static size_t
make_request(char *request, size_t size, const char *target, int number, const char *header)
{
    const char *mark = strchr(target, '#');
    char digits[16] = "";
    int before = mark ? (int)(mark - target) : (int)strlen(target);

    if (mark)
        snprintf(digits, sizeof(digits), "%d", number);
    int len = snprintf(request, size, "GET %.*s%s%s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", before, target, digits,
                       mark ? mark + 1 : "", header, *header ? "\r\n" : "");
    if (len < 0 || (size_t)len >= size)
        fail("the request is too long", "");
    return (size_t)len;
}

/* Counts since the start of the process. */
struct usage {
    double cpu;
    size_t reads;
    long switches, faults;
};

static struct usage
usage_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct usage){now(CLOCK_PROCESS_CPUTIME_ID), reads, usage.ru_nvcsw, usage.ru_minflt};
}

/* Prints a line for so many requests. */
static void
scrape(struct connection *c, const struct scrape *what, int times, double pace)
{
    char request[1024];
    const struct usage before = usage_now();
    size_t bytes = 0;
    double wall = 0;

    for (int i = 0; i < times; i++) {
        size_t len = make_request(request, sizeof(request), what->target, i, what->header);
        double start = now(CLOCK_MONOTONIC);
        if (c->fd >= 0 && connection_is_over(c))
            connection_close(c);
        if (c->fd < 0)
            connection_open(c, what->address);
        connection_send(c, request, len);
        bytes += read_response(c, pace);
        wall += now(CLOCK_MONOTONIC) - start;
    }
    const struct usage after = usage_now();
    printf("%zu %.9f %.9f %.3f %.3f %.3f\n", bytes / (size_t)times, (after.cpu - before.cpu) / times, wall / times,
           (double)(after.reads - before.reads) / times, (double)(after.switches - before.switches) / times,
           (double)(after.faults - before.faults) / times);
    fflush(stdout);
}

int
get(const struct scrape *what, int times, double pace)
{
    struct connection c = {.fd = -1};
    scrape(&c, what, times, pace);
    return 0;
}

int
get_each(const struct scrape *what)
{
    struct connection c = {.fd = -1};
    int times;
    while (scanf("%d", &times) == 1 && times > 0)
        scrape(&c, what, times, 0);
    return 0;
}

/* Sends what TLS wrote to its memory. */
static void
flush_tls(SSL *ssl, int fd)
{
    char *bytes;
    long len = BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);
    if (len > 0 && send(fd, bytes, (size_t)len, MSG_NOSIGNAL) != len)
        die("send");
    (void)BIO_reset(SSL_get_wbio(ssl));
}

/* A handshake whose records go through memory. */
static void
shake_hands(SSL *ssl, int fd)
{
    char buffer[PEER_BUFFER];
    int result;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    while ((result = SSL_do_handshake(ssl)) != 1) {
        if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ)
            fail("no handshake", "");
        flush_tls(ssl, fd);
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        if (n <= 0)
            fail("no handshake", "");
        BIO_write(SSL_get_rbio(ssl), buffer, (int)n);
    }
    flush_tls(ssl, fd);
}

/* Receives to the end of the stream. */
static char *
receive_all(int fd, size_t *lenp)
{
    size_t len = 0, room = 0;
    char *bytes = NULL;
    for (ssize_t n = 1; n > 0; len += (size_t)n) {
        if (room - len < PEER_BUFFER && !(bytes = realloc(bytes, room = 2 * room + 2 * PEER_BUFFER)))
            die("realloc");
        n = recv(fd, bytes + len, room - len, 0);
        if (n < 0)
            die("recv");
    }
    *lenp = len;
    return bytes;
}

/* Decrypts one response that is already in memory; adds to *secondsp. Returns the bytes decrypted. */
static size_t
decrypt_one(const struct scrape *what, double *secondsp)
{
    static char buffer[PEER_BUFFER];
    char request[1024];
    size_t sealed, bytes = 0;
    int fd = connect_to(what->address), n;
    SSL *ssl = new_ssl(what->address);

    if (!ssl)
        fail("not an address of TLS: ", what->address);
    shake_hands(ssl, fd);
    size_t len = make_request(request, sizeof(request), what->target, 0, "Connection: close");
    SSL_write(ssl, request, (int)len);
    flush_tls(ssl, fd);
    char *records = receive_all(fd, &sealed);
    /* What came with the handshake is read first: the new memory follows it. */
    while (SSL_read(ssl, buffer, sizeof(buffer)) > 0)
        continue;
    SSL_set0_rbio(ssl, BIO_new_mem_buf(records, (int)sealed));
    double start = now(CLOCK_PROCESS_CPUTIME_ID);
    while ((n = SSL_read(ssl, buffer, sizeof(buffer) - 1)) > 0) {
        buffer[n] = 0;
        if (!bytes && strncmp(buffer, "HTTP/1.1 200", 12) != 0)
            fail("unexpected response: ", buffer);
        bytes += (size_t)n;
    }
    *secondsp += now(CLOCK_PROCESS_CPUTIME_ID) - start;
    SSL_free(ssl);
    free(records);
    close(fd);
    return bytes;
}

int
decrypt(const struct scrape *what, int times)
{
    double seconds = 0;
    size_t bytes = 0;
    for (int i = 0; i < times; i++)
        bytes += decrypt_one(what, &seconds);
    printf("%zu %.6f\n", bytes / (size_t)times, seconds / times);
    return 0;
}
