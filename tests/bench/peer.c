/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench's client and server, as cheap as possible, so that the proxy between them is what is measured.
 *
 *     bench-peer serve FILE [CONTENT-TYPE [TIMES]]
 *
 * responds to every request with the file, repeated TIMES times, over kept-alive connections; prints its port.
 *
 *     bench-peer get ADDRESS TARGET N [HEADER]
 *
 * sends N requests over one connection, or over as many as the server makes necessary, 64 KiB per recv. Prints of one
 * response, on average: its bytes, and of the client itself CPU seconds, seconds of wall time, reads, voluntary
 * switches and minor page faults. As a client of a service it is the floor of any proxy that reads whenever there is
 * something. ADDRESS is PORT, tls:PORT, or the path of a unix socket; "#" in TARGET is replaced by the number of the
 * request, from 0.
 *
 *     bench-peer each ADDRESS TARGET [HEADER]
 *
 * the same for each N on its standard input, over the same connection.
 *
 *     bench-peer decrypt tls:PORT TARGET N
 *
 * prints the bytes of a response and the CPU seconds of its decryption alone, once all of it has been received.
 *
 *     bench-peer slow PORT TARGET RATE
 *
 * sends one request, and reads RATE bytes per second.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEERS = 256 };

void
die(const char *what)
{
    perror(what);
    exit(1);
}

double
now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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
        static char request[PEER_BUFFER];
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

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 3 && !strcmp(argv[1], "serve"))
        serve(argv[2], argc > 3 ? argv[3] : "text/plain; version=0.0.4; charset=utf-8",
              argc > 4 ? strtoul(argv[4], NULL, 10) : 1);
    struct scrape what = {argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "", ""};
    if (argc >= 5 && !strcmp(argv[1], "get")) {
        what.header = argc > 5 ? argv[5] : "";
        return get(&what, atoi(argv[4]), 0);
    }
    if (argc >= 4 && !strcmp(argv[1], "each")) {
        what.header = argc > 4 ? argv[4] : "";
        return get_each(&what);
    }
    if (argc == 5 && !strcmp(argv[1], "decrypt"))
        return decrypt(&what, atoi(argv[4]));
    if (argc == 5 && !strcmp(argv[1], "slow"))
        return get(&what, 1, atof(argv[4]));
    fputs("usage: bench-peer serve FILE [CONTENT-TYPE [TIMES]] | get ADDRESS TARGET N [HEADER] |"
          " each ADDRESS TARGET [HEADER] | decrypt tls:PORT TARGET N | slow PORT TARGET RATE\n",
          stderr);
    return 2;
}
