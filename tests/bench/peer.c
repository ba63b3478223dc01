/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench's client and server, as cheap as possible, so that the proxy between them is what is measured.
 *
 *     bench-peer serve FILE [CONTENT-TYPE [TIMES]]
 *
 * responds to every request with the file, repeated TIMES times, over kept-alive connections; prints its port.
 *
 *     bench-peer get PORT TARGET N [HEADER]
 *
 * sends N requests over one connection, 64 KiB per recv; prints the bytes and its own CPU seconds: as a client of
 * "serve", that is the floor of any proxy. "#" in TARGET is replaced by the number of the request, from 0.
 *
 *     bench-peer slow PORT TARGET RATE
 *
 * sends one request, and reads RATE bytes per second.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, PEERS = 256 };

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

__attribute__((noreturn)) static void
serve(const char *path, const char *content_type, size_t times)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st))
        die(path);
    size_t size = (size_t)st.st_size, head;
    char *response = malloc(size + 512);
    if (!response)
        die("malloc");
    head = (size_t)sprintf(response, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", content_type,
                           size * times);
    if (fread(response + head, 1, size, f) != size)
        die(path);

    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&sin, len) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&sin, &len))
        die("listen");
    printf("%d\n", ntohs(sin.sin_port));
    fflush(stdout);

    struct pollfd fds[PEERS] = {{.fd = listener, .events = POLLIN}};
    nfds_t n = 1;
    for (;;) {
        static char request[BUFFER];
        if (poll(fds, n, -1) < 0)
            die("poll");
        for (nfds_t i = n; i-- > 1;) {
            if (!fds[i].revents)
                continue;
            ssize_t got = recv(fds[i].fd, request, sizeof(request), 0);
            if (got > 0) {
                bool sent = send_all(fds[i].fd, response, head + size);
                for (size_t again = 1; sent && again < times; again++)
                    sent = send_all(fds[i].fd, response + head, size);
            } else {
                close(fds[i].fd);
                fds[i] = fds[--n];
            }
        }
        if (fds[0].revents && n < PEERS)
            fds[n++] = (struct pollfd){.fd = accept(listener, NULL, NULL), .events = POLLIN};
    }
}

static double
now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes to read per second; 0: no limit. */
static double pace;

/* Waits until that many bytes are due. */
static void
keep_pace(double start, size_t bytes)
{
    double early = pace > 0 ? start + (double)bytes / pace - now(CLOCK_MONOTONIC) : 0;
    if (early > 0)
        usleep((useconds_t)(early * 1e6));
}

/* Reads one response, whose header arrives in the first recv, as peers are on loopback. Returns the bytes of its body
   as sent. */
static size_t
read_response(int fd, char *buffer)
{
    double start = now(CLOCK_MONOTONIC);
    ssize_t n = recv(fd, buffer, BUFFER - 1, 0);
    if (n <= 0)
        die("recv");
    buffer[n] = 0;
    char *body = strstr(buffer, "\r\n\r\n"), *length = strcasestr(buffer, "\r\nContent-Length:");
    if (!body || strncmp(buffer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "%.300s\n", buffer);
        exit(1);
    }
    size_t have = (size_t)(buffer + n - body - 4);
    if (length && length < body) {
        size_t size = strtoul(length + 17, NULL, 10);
        while (have < size && (n = recv(fd, buffer, BUFFER, 0)) > 0) {
            have += (size_t)n;
            keep_pace(start, have);
        }
        return have;
    }
    /* Chunked: the last five bytes mark the end. */
    char tail[5] = "";
    for (const char *p = body + 4;;) {
        size_t len = (size_t)(buffer + n - p);
        size_t keep = len < 5 ? len : 5;
        memmove(tail, tail + keep, 5 - keep);
        memcpy(tail + 5 - keep, buffer + n - keep, keep);
        if (!memcmp(tail, "0\r\n\r\n", 5))
            return have;
        n = recv(fd, buffer, BUFFER, 0);
        if (n <= 0)
            die("truncated response");
        p = buffer;
        have += (size_t)n;
        keep_pace(start, have);
    }
}

static int
get(int port, const char *target, int times, const char *header)
{
    static char buffer[BUFFER];
    char request[1024];
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const char *number = strchr(target, '#');
    size_t bytes = 0;
    for (int i = 0; i < times; i++) {
        char digits[16] = "";
        if (number)
            snprintf(digits, sizeof(digits), "%d", i);
        int len = snprintf(request, sizeof(request), "GET %.*s%s%s HTTP/1.1\r\nHost: x\r\n%s%s\r\n",
                           number ? (int)(number - target) : (int)strlen(target), target, digits,
                           number ? number + 1 : "", header, *header ? "\r\n" : "");
        send_all(fd, request, (size_t)len);
        bytes += read_response(fd, buffer);
    }
    printf("%zu %.6f\n", bytes / (size_t)times, now(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc >= 3 && !strcmp(argv[1], "serve"))
        serve(argv[2], argc > 3 ? argv[3] : "text/plain; version=0.0.4; charset=utf-8",
              argc > 4 ? strtoul(argv[4], NULL, 10) : 1);
    if (argc >= 5 && !strcmp(argv[1], "get"))
        return get(atoi(argv[2]), argv[3], atoi(argv[4]), argc > 5 ? argv[5] : "");
    if (argc == 5 && !strcmp(argv[1], "slow")) {
        pace = atof(argv[4]);
        return get(atoi(argv[2]), argv[3], 1, "");
    }
    fputs("usage: bench-peer serve FILE [CONTENT-TYPE [TIMES]] | get PORT TARGET N [HEADER] | slow PORT TARGET RATE\n",
          stderr);
    return 2;
}
