/* SPDX-License-Identifier: Apache-2.0 */
/* The debug texts of libcurl that fetch.c depends on, from the installed libcurl. If its wording differs, the guards
   against bytes after a body's end are blind; other guards may hide that. */
#include "proxy/fetch.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct service {
    int fd;
    const char *response;
};

struct said {
    const char *expected;
    bool found;
    char all[8192];
    size_t len;
};

/* Sends the response at once, so that libcurl gets the end of the body and the bytes after it together. */
static void *
serve(void *ctx)
{
    const struct service *s = ctx;
    char request[4096];
    int fd = accept(s->fd, NULL, NULL);
    bool sent = fd >= 0 && recv(fd, request, sizeof(request), 0) > 0 &&
                send(fd, s->response, strlen(s->response), MSG_NOSIGNAL) == (ssize_t)strlen(s->response);
    if (fd >= 0)
        close(fd);
    return sent ? ctx : NULL;
}

static int
on_debug(CURL *easy, curl_infotype type, char *text, size_t len, void *ctx)
{
    struct said *said = ctx;
    (void)easy;
    if (type != CURLINFO_TEXT)
        return 0;
    said->found |= len >= strlen(said->expected) && !memcmp(text, said->expected, strlen(said->expected));
    said->len += (size_t)snprintf(said->all + said->len, sizeof(said->all) - said->len, "%.*s", (int)len, text);
    return said->len >= sizeof(said->all);
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    (void)bytes, (void)ctx;
    return size * n;
}

static void
check_says(const char *expected, const char *response)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(name);
    struct service service = {socket(AF_INET, SOCK_STREAM, 0), response};
    struct said said = {.expected = expected};
    pthread_t thread;
    void *served;
    char url[64];
    CURL *easy = curl_easy_init();

    assert_non_null(easy);
    assert_int_equal(bind(service.fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(service.fd, 1), 0);
    assert_int_equal(getsockname(service.fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &service), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(name.sin_port));
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, &said);
    curl_easy_perform(easy); /* how it ends differs from one libcurl to the next */
    curl_easy_cleanup(easy);
    pthread_join(thread, &served);
    close(service.fd);

    assert_non_null(served);
    if (!said.found)
        fail_msg("libcurl %s: expected a line that begins with \"%s\", got:\n%s",
                 curl_version_info(CURLVERSION_NOW)->version, expected, said.all);
}

static void
test_after_content_length(void **state)
{
    (void)state;
    check_says(LIBCURL_EXTRA_BODY, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\nb 2\n");
}

static void
test_after_last_chunk(void **state)
{
    (void)state;
    check_says(LIBCURL_TRAILING_BYTES,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\nb 2\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_content_length),
        cmocka_unit_test(test_after_last_chunk),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
