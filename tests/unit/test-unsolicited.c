/* SPDX-License-Identifier: Apache-2.0 */
/* What arrives on a kept connection, over real sockets and a real TLS 1.3: without a buffer, with one, and when that
   has read all. */
#include "proxy/tls_buffer.h"
#include "proxy/unsolicited.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENT, SERVER };

struct pair {
    int fds[2];
    SSL_CTX *ctx[2];
    SSL *ssl[2];
    BIO *bio; /* the client's */
    bool is_one_ahead;
};

static enum { NO_BUFFER, BUFFER, FULL_BUFFER } mode;

static unsigned sessions;

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl, (void)session;
    sessions++;
    return 0;
}

static void
use_new_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* What the server sends without the client's SSL having read it. */
static void
server_sends(struct pair *p, const char *text)
{
    int len = (int)strlen(text);
    assert_int_equal(SSL_write(p->ssl[SERVER], text, len), len);
}

/* With the record before them, which setup() sent, the buffer gets all that have arrived. */
static void
fill_buffer(struct pair *p)
{
    char byte;
    if (p->is_one_ahead)
        assert_int_equal(SSL_read(p->ssl[CLIENT], &byte, 1), 1);
    p->is_one_ahead = false;
}

static void
client_reads(struct pair *p, const char *text)
{
    char bytes[100];
    int len = (int)strlen(text);
    fill_buffer(p);
    assert_int_equal(SSL_read(p->ssl[CLIENT], bytes, len), len);
    assert_memory_equal(bytes, text, (size_t)len);
}

static int
setup(void **state)
{
    static struct pair p;
    p.is_one_ahead = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fds), 0);
    p.ctx[CLIENT] = SSL_CTX_new(TLS_client_method());
    p.ctx[SERVER] = SSL_CTX_new(TLS_server_method());
    use_new_certificate(p.ctx[SERVER]);
    SSL_CTX_set_session_cache_mode(p.ctx[CLIENT], SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p.ctx[CLIENT], on_session);
    for (int i = 0; i < 2; i++) {
        p.ssl[i] = SSL_new(p.ctx[i]);
        assert_int_equal(SSL_set_fd(p.ssl[i], p.fds[i]), 1);
    }
    p.bio = SSL_get_rbio(p.ssl[CLIENT]);
    SSL_set_connect_state(p.ssl[CLIENT]);
    SSL_set_accept_state(p.ssl[SERVER]);
    for (int i = 0; i < 10; i++)
        SSL_do_handshake(p.ssl[i % 2]);
    server_sends(&p, "response");
    client_reads(&p, "response");
    assert_string_equal(SSL_get_version(p.ssl[CLIENT]), "TLSv1.3");
    if (mode != NO_BUFFER)
        assert_true(tls_buffer_add(p.ssl[CLIENT]));
    p.is_one_ahead = mode == FULL_BUFFER;
    if (p.is_one_ahead)
        server_sends(&p, "!");
    *state = &p;
    return 0;
}

static int
teardown(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 2; i++) {
        SSL_free(p->ssl[i]);
        SSL_CTX_free(p->ctx[i]);
        close(p->fds[i]);
    }
    return 0;
}

static void
check_not_reused(struct pair *p, enum unsolicited expected)
{
    enum unsolicited kind;
    char byte;
    fill_buffer(p);
    assert_false(unsolicited_drain_tls(p->fds[CLIENT], p->ssl[CLIENT], &kind));
    assert_int_equal(kind, expected);
    assert_int_equal(recv(p->fds[CLIENT], &byte, 1, MSG_PEEK), 0);
}

/* Nothing is unsolicited; and libcurl finds everything as it was. */
static void
check_reused(struct pair *p)
{
    enum unsolicited kind;
    unsigned before = sessions;
    fill_buffer(p);
    for (int i = 0; i < 2; i++) {
        assert_true(unsolicited_drain_tls(p->fds[CLIENT], p->ssl[CLIENT], &kind));
        assert_int_equal(kind, UNSOLICITED_NONE);
    }
    assert_int_equal(sessions, before);
    tls_buffer_remove(p->ssl[CLIENT]);
    assert_ptr_equal(SSL_get_rbio(p->ssl[CLIENT]), p->bio);
    assert_ptr_equal(SSL_get_wbio(p->ssl[CLIENT]), p->bio);
    assert_ptr_equal(SSL_CTX_sess_get_new_cb(p->ctx[CLIENT]), on_session);

    char bytes[100];
    assert_int_equal(SSL_write(p->ssl[CLIENT], "request", 7), 7);
    assert_int_equal(SSL_read(p->ssl[SERVER], bytes, sizeof(bytes)), 7);
    server_sends(p, "next");
    client_reads(p, "next");
}

static void
test_nothing(void **state)
{
    check_reused(*state);
}

static void
test_late_tickets(void **state)
{
    struct pair *p = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_new_session_ticket(p->ssl[SERVER]), 1);
        assert_int_equal(SSL_do_handshake(p->ssl[SERVER]), 1);
    }
    check_reused(p);
}

static void
test_late_keys(void **state)
{
    struct pair *p = *state;
    assert_int_equal(SSL_key_update(p->ssl[SERVER], SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(p->ssl[SERVER]), 1);
    check_reused(p);
}

static void
test_data(void **state)
{
    server_sends(*state, "HTTP/1.1 200 OK\r\n");
    check_not_reused(*state, UNSOLICITED_DATA);
}

static void
test_blank(void **state)
{
    server_sends(*state, "\r\n\n");
    check_not_reused(*state, UNSOLICITED_BLANK);
}

/* The loop has other work. */
static void
test_blank_without_end(void **state)
{
    static char lines[70 * 1024];
    memset(lines, '\n', sizeof(lines) - 1);
    server_sends(*state, lines);
    check_not_reused(*state, UNSOLICITED_DATA);
}

static void
test_data_after_blank_and_tickets(void **state)
{
    struct pair *p = *state;
    server_sends(p, "\n");
    SSL_new_session_ticket(p->ssl[SERVER]);
    server_sends(p, "\nb");
    check_not_reused(p, UNSOLICITED_DATA);
}

/* The socket is empty. */
static void
test_rest_of_a_record(void **state)
{
    server_sends(*state, "body more");
    client_reads(*state, "body");
    check_not_reused(*state, UNSOLICITED_DATA);
}

/* A part of the header, the header, and a part of the record: on the socket, or read by libcurl. */
static void
check_half_a_record(struct pair *p, ssize_t len, bool is_read)
{
    char byte;
    assert_int_equal(write(p->fds[SERVER], "\x17\3\3\0\x20 the rest", (size_t)len), len);
    fill_buffer(p);
    if (is_read)
        assert_int_equal(SSL_read(p->ssl[CLIENT], &byte, 1), -1);
    check_not_reused(p, UNSOLICITED_NONE);
}

static void
test_half_a_record(void **state)
{
    static const ssize_t lens[] = {3, 5, 12};
    teardown(state);
    for (size_t i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
        setup(state);
        check_half_a_record(*state, lens[i / 2], i % 2);
        teardown(state);
    }
    setup(state);
}

static void
test_no_record(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write(p->fds[SERVER], "HTTP/1.1 400 Bad Request\r\n", 26), 26);
    check_not_reused(p, UNSOLICITED_NONE);
}

static void
test_close_notify(void **state)
{
    struct pair *p = *state;
    SSL_shutdown(p->ssl[SERVER]);
    check_not_reused(p, UNSOLICITED_NONE);
}

static void
test_end(void **state)
{
    struct pair *p = *state;
    shutdown(p->fds[SERVER], SHUT_WR);
    check_not_reused(p, UNSOLICITED_NONE);
}

static void
test_buffer(void **state)
{
    struct pair *p = *state;
    SSL *tls = p->ssl[CLIENT];
    char byte;
    assert_true(tls_buffer_add(tls));
    assert_true(tls_buffer_add(tls));
    assert_int_equal(tls_buffer_left(tls), 0);
    fill_buffer(p);
    uint64_t before = tls_buffer_taken(tls);
    for (int i = 0; i < 3; i++)
        server_sends(p, "a record");
    client_reads(p, "a record");
    uint64_t left = tls_buffer_left(tls), taken = tls_buffer_taken(tls) - before;
    assert_int_equal(left, 2 * taken);
    assert_int_equal(recv(p->fds[CLIENT], &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    client_reads(p, "a record");
    assert_int_equal(tls_buffer_left(tls), left / 2);
    client_reads(p, "a record");
    assert_int_equal(tls_buffer_taken(tls), before + 3 * taken);
    assert_int_equal(tls_buffers(), 1);
    tls_buffer_remove(tls);
    tls_buffer_remove(tls);
    assert_int_equal(tls_buffers(), 0);
    check_reused(p);
}

/* It comes after what was received before it, and is not taken for the end: each side has sent what the other does not
   read. */
static void
test_reset(void **state)
{
    struct pair *p = *state;
    char bytes[100];
    assert_int_equal(SSL_write(p->ssl[CLIENT], "request", 7), 7);
    server_sends(p, "a record");
    assert_int_equal(write(p->fds[SERVER], "\x17\3\3\0\x20 the rest", 12), 12);
    close(p->fds[SERVER]);
    p->fds[SERVER] = -1;
    client_reads(p, "a record");
    int n = SSL_read(p->ssl[CLIENT], bytes, sizeof(bytes));
    assert_int_equal(SSL_get_error(p->ssl[CLIENT], n), SSL_ERROR_SYSCALL);
    assert_int_equal(errno, ECONNRESET);
}

static void
test_no_buffer(void **state)
{
    (void)state;
    assert_int_equal(tls_buffer_left(NULL), 0);
    assert_int_equal(tls_buffer_taken(NULL), 0);
}

static void
test_without_tls(void **state)
{
    static const struct {
        const char *sent;
        enum unsolicited kind;
    } rows[] = {
        {"\r\n", UNSOLICITED_BLANK}, {"\r\n a", UNSOLICITED_DATA}, {"", UNSOLICITED_NONE}, /* the end */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum unsolicited kind;
        int fds[2];
        char byte;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_true(unsolicited_drain(fds[CLIENT], &kind));
        assert_int_equal(kind, UNSOLICITED_NONE);
        ssize_t len = (ssize_t)strlen(rows[i].sent);
        assert_int_equal(write(fds[SERVER], rows[i].sent, (size_t)len), len);
        if (!len)
            shutdown(fds[SERVER], SHUT_WR);
        assert_false(unsolicited_drain(fds[CLIENT], &kind));
        assert_int_equal(kind, rows[i].kind);
        assert_int_equal(recv(fds[CLIENT], &byte, 1, MSG_DONTWAIT), 0);
        close(fds[CLIENT]);
        close(fds[SERVER]);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_late_tickets),
        TEST(test_late_keys),
        TEST(test_data),
        TEST(test_blank),
        TEST(test_blank_without_end),
        TEST(test_data_after_blank_and_tickets),
        TEST(test_rest_of_a_record),
        TEST(test_half_a_record),
        TEST(test_no_record),
        TEST(test_close_notify),
        TEST(test_end),
        TEST(test_buffer),
        TEST(test_reset),
    };
    const struct CMUnitTest without_tls[] = {
        cmocka_unit_test(test_no_buffer),
        cmocka_unit_test(test_without_tls),
    };
    int failed = cmocka_run_group_tests(without_tls, NULL, NULL);
    for (mode = NO_BUFFER; mode <= FULL_BUFFER; mode++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
