/* SPDX-License-Identifier: Apache-2.0 */
/* A watch and a connection, either of which may be freed first. The connection is a real one, in memory, with a cipher
   that needs no certificate. */
#include "proxy/close_notify.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    SSL_CTX *client_ctx, *server_ctx;
    SSL *client, *server;
};

static SSL_CTX *
context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    assert_non_null(ctx);
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, "AECDH-AES128-SHA"), 1);
    return ctx;
}

static void
pair_connect(struct pair *p)
{
    BIO *client, *server;
    p->client = SSL_new(p->client_ctx);
    p->server = SSL_new(p->server_ctx);
    assert_non_null(p->client);
    assert_non_null(p->server);
    assert_int_equal(BIO_new_bio_pair(&client, 0, &server, 0), 1);
    SSL_set_bio(p->client, client, client);
    SSL_set_bio(p->server, server, server);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    for (int i = 0; i < 10 && !(SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server)); i++) {
        SSL_do_handshake(p->client);
        SSL_do_handshake(p->server);
    }
    assert_true(SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server));
}

static void
pair_init(struct pair *p)
{
    p->client_ctx = context(TLS_client_method());
    p->server_ctx = context(TLS_server_method());
}

static void
pair_deinit(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->client_ctx);
    SSL_CTX_free(p->server_ctx);
}

/* The server sends a close_notify, and the client reads it. */
static void
send_close_notify(struct pair *p)
{
    char byte;
    SSL_shutdown(p->server);
    assert_int_equal(SSL_read(p->client, &byte, 1), 0);
    assert_int_equal(SSL_get_error(p->client, 0), SSL_ERROR_ZERO_RETURN);
}

static void
test_received(void **state)
{
    struct pair p;
    struct close_notify watch = {.link = NULL};
    (void)state;
    pair_init(&p);
    assert_int_equal(close_notify_watch(&watch, p.client_ctx), 0);
    pair_connect(&p);
    assert_true(watch.missing);
    send_close_notify(&p);
    assert_false(watch.missing);
    close_notify_unwatch(&watch);
    pair_deinit(&p);
}

static void
test_watch_freed_first(void **state)
{
    struct pair p;
    struct close_notify *watch = calloc(1, sizeof(*watch));
    char expected[sizeof(*watch)];
    (void)state;
    pair_init(&p);
    assert_non_null(watch);
    assert_int_equal(close_notify_watch(watch, p.client_ctx), 0);
    pair_connect(&p);
    close_notify_unwatch(watch);
    memset(watch, 0xaa, sizeof(*watch)); /* as if it were freed and reused */
    memset(expected, 0xaa, sizeof(expected));
    send_close_notify(&p);
    pair_deinit(&p);
    assert_memory_equal(watch, expected, sizeof(expected));
    free(watch);
}

static void
test_connection_freed_first(void **state)
{
    struct pair p;
    struct close_notify watch = {.link = NULL};
    (void)state;
    pair_init(&p);
    assert_int_equal(close_notify_watch(&watch, p.client_ctx), 0);
    pair_connect(&p);
    pair_deinit(&p);
    assert_true(watch.missing);
    assert_null(watch.link);
    close_notify_unwatch(&watch);
}

/* A request that is sent again over another connection: the first one's close_notify does not count. */
static void
test_another_connection(void **state)
{
    struct pair first, second;
    struct close_notify watch = {.link = NULL};
    (void)state;
    pair_init(&first);
    pair_init(&second);
    assert_int_equal(close_notify_watch(&watch, first.client_ctx), 0);
    pair_connect(&first);
    assert_int_equal(close_notify_watch(&watch, second.client_ctx), 0);
    pair_connect(&second);
    send_close_notify(&first);
    assert_true(watch.missing);
    pair_deinit(&first);
    send_close_notify(&second);
    assert_false(watch.missing);
    pair_deinit(&second);
    assert_null(watch.link);
}

/* The next request over the same connection has another watch. */
static void
test_another_watch(void **state)
{
    struct pair p;
    struct close_notify watches[2] = {{.link = NULL}, {.link = NULL}};
    (void)state;
    pair_init(&p);
    assert_int_equal(close_notify_watch(&watches[0], p.client_ctx), 0);
    pair_connect(&p);
    assert_int_equal(close_notify_watch(&watches[1], p.client_ctx), 0);
    assert_null(watches[0].link);
    assert_true(watches[1].missing);
    send_close_notify(&p);
    assert_true(watches[0].missing);
    assert_false(watches[1].missing);
    pair_deinit(&p);
    assert_null(watches[1].link);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_received),
        cmocka_unit_test(test_watch_freed_first),
        cmocka_unit_test(test_connection_freed_first),
        cmocka_unit_test(test_another_connection),
        cmocka_unit_test(test_another_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
