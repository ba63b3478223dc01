/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: values, sections, precedence of its sources, and what a reload changes. */
#include "service/base/address.h"
#include "service/config/config.h"
#include "service/config/config_print.h"
#include "service/config/config_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define APP "[endpoint app]\nupstream = http://127.0.0.1:1/metrics\n"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Values. */

static void
test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;            /* -1: invalid */
        const char *canonical; /* as written; NULL: as text */
    } rows[] = {
        {"10s", 10000, NULL},
        {"1m30s", 90000, NULL},
        {"90s", 90000, "1m30s"},
        {"0", 0, "0s"},
        {"0s", 0, NULL},
        {"1ms", 1, NULL},
        {"24h", 86400000, NULL},
        {"1h1ms", 3600001, NULL},
        {"2147483647ms", INT32_MAX, "596h31m23s647ms"},
        {"2147483648ms", -1, NULL},
        {"", -1, NULL},
        {"10", -1, NULL},
        {"-1s", -1, NULL},
        {"1.5s", -1, NULL},
        {"10s ", -1, NULL},
        {"s", -1, NULL},
        {"1d", -1, NULL},
        {"99999999999999999999s", -1, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = -1;
        const char *wrong = value_read_duration(&ms, rows[i].text);
        if (!wrong != (rows[i].ms >= 0) || ms != rows[i].ms)
            fail_msg("%s: %s, %lld ms", rows[i].text, wrong ? wrong : "valid", (long long)ms);
        if (wrong)
            continue;
        char text[64] = "";
        FILE *out = fmemopen(text, sizeof(text), "w");
        value_write_duration(out, ms);
        fclose(out);
        assert_string_equal(text, rows[i].canonical ? rows[i].canonical : rows[i].text);
    }
}

static void
test_keepalives(void **state)
{
    int64_t ms;
    (void)state;
    assert_null(value_read_keepalive(&ms, "on"));
    assert_int_equal(ms, VALUE_KEEPALIVE_ON);
    assert_null(value_read_keepalive(&ms, "off"));
    assert_int_equal(ms, 0);
    assert_null(value_read_keepalive(&ms, "5s"));
    assert_int_equal(ms, 5000);
    assert_non_null(value_read_keepalive(&ms, "true"));
}

static void
test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* UINT64_MAX: invalid */
        const char *canonical;
    } rows[] = {
        {"64", 64, "64B"},
        {"64B", 64, "64B"},
        {"256MiB", 256u << 20, "256MiB"},
        {"268435456", 256u << 20, "256MiB"},
        {"1GiB1B", (1u << 30) + 1, "1073741825B"},
        {"2GB", 2000000000, "2GB"},
        {"1kB", 1000, "1kB"},
        {"1KB", 1000, "1kB"},
        {"0", 0, "0B"},
        {"", UINT64_MAX, NULL},
        {"MiB", UINT64_MAX, NULL},
        {"-1", UINT64_MAX, NULL},
        {"1MiBB", UINT64_MAX, NULL},
        {"99999999999GiB", UINT64_MAX, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t bytes = UINT64_MAX;
        const char *wrong = value_read_bytes(&bytes, rows[i].text);
        if (!wrong != (rows[i].canonical != NULL) || bytes != rows[i].bytes)
            fail_msg("%s: %s, %llu bytes", rows[i].text, wrong ? wrong : "valid", (unsigned long long)bytes);
        if (wrong)
            continue;
        char text[64] = "";
        FILE *out = fmemopen(text, sizeof(text), "w");
        value_write_bytes(out, bytes);
        fclose(out);
        assert_string_equal(text, rows[i].canonical);
    }
}

static void
test_flags_and_choices(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    bool flag;
    int choice = -1;
    (void)state;
    for (size_t i = 0; i < COUNT(yes); i++) {
        flag = false;
        assert_null(value_read_flag(&flag, yes[i]));
        assert_true(flag);
        assert_null(value_read_flag(&flag, no[i]));
        assert_false(flag);
    }
    assert_non_null(value_read_flag(&flag, "True"));
    assert_non_null(value_read_flag(&flag, ""));
    assert_null(value_read_choice(&choice, "c", "a|b|c"));
    assert_int_equal(choice, 2);
    assert_non_null(value_read_choice(&choice, "a|b", "a|b|c"));
    assert_non_null(value_read_choice(&choice, "", "a|b|c"));
    assert_int_equal(choice, 2);
}

static void
test_addresses(void **state)
{
    static const char *const valid[] = {":80",    ":0",          "127.0.0.1:9464",     "[::1]:80",
                                        "[::]:0", "unix:/run/s", "systemd:scrapeshard"};
    static const char *const invalid[] = {
        "", "80", ":", ":65536", ":80x", "localhost:80", "unix:run/s", "127.0.0.1", "systemd:", "off", "127.0.0.1:-1"};
    struct sockaddr_storage ss;
    socklen_t len;
    bool any_host;
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++)
        if (!address_is_valid(valid[i]))
            fail_msg("%s was refused", valid[i]);
    for (size_t i = 0; i < COUNT(invalid); i++)
        if (address_is_valid(invalid[i]))
            fail_msg("%s was accepted", invalid[i]);
    assert_int_equal(address_parse(":80", &ss, &len, &any_host), 0);
    assert_true(any_host);
    assert_int_equal(ss.ss_family, AF_INET6);
    assert_int_equal(address_parse("127.0.0.1:80", &ss, &len, &any_host), 0);
    assert_false(any_host);
    assert_int_equal(ss.ss_family, AF_INET);
    assert_string_equal(address_systemd_name("systemd:a"), "a");
    assert_null(address_systemd_name(":80"));
    assert_true(address_has_any_port("127.0.0.1:0"));
    assert_true(address_has_any_port("[::]:00"));
    assert_false(address_has_any_port(":80"));
    assert_false(address_has_any_port("unix:/a:0"));
    assert_false(address_has_any_port("systemd:0"));
}

static void
test_redaction(void **state)
{
    static const struct {
        const char *text, *shown, *masked;
    } rows[] = {
        {"http://a/m", "http://a/m", "http://a/m"},
        {"http://a/m?t=x", "http://a/m?<secret>", "http://a/m?***"},
        {"http://a/@b", "http://a/@b", "http://**@b"},
        {"http://a/m?t=x@y", "http://a/m?<secret>", "http://*********"},
        {"http://u:p@a/m", "http://<secret>@a/m", "http://***@a/m"},
        {"http://u:p@q@a/m?t", "http://<secret>@a/m?<secret>", "http://*****@a/m?*"},
        {"http://u:p//q@a/", "http://<secret>@a/", "http://******@a/"},
        {"htp://u:p?q@a/", "htp://<secret>", "htp://********"},
        {"u:p@a", "<secret>@a", "***@a"},
        {"//u@a/m", "//<secret>@a/m", "//*@a/m"},
        {"unix:/s:/m?t", "unix:/s:/m?<secret>", "unix:/s:/m?*"},
        {"1x ; http://u:p@a/", "<secret>@a/", "***************@a/"},
        {"http?_a", "http?<secret>", "http?_a"},
        {"", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *shown = url_shown(rows[i].text), *masked = strdup(rows[i].text);
        url_mask(masked);
        assert_string_equal(shown, rows[i].shown);
        assert_string_equal(masked, rows[i].masked);
        free(shown);
        free(masked);
    }
}

/* Files and flags. */

struct result {
    int r;
    struct config *config;
    char *errors;
};

/* Reads a text as a file, if it is not NULL, and flags "section.key=value". */
static struct result
read_config(const char *text, const char *const *flags, size_t n)
{
    struct result result = {.config = NULL};
    struct config_flag_value values[8] = {{NULL, NULL, NULL}};
    struct config_flags all = {.values = values, .n = n};
    char path[64];
    size_t len;
    int fd = -1;
    FILE *out = open_memstream(&result.errors, &len);

    if (text) {
        fd = memfd_create("config", MFD_CLOEXEC);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        all.file = path;
    }
    for (size_t i = 0; i < n; i++) {
        values[i].flag = strdup("--set");
        values[i].setting = strndup(flags[i], strcspn(flags[i], "="));
        values[i].value = strchr(flags[i], '=') + 1;
    }
    result.r = config_read(&result.config, &all, out);
    fclose(out);
    for (size_t i = 0; i < n; i++)
        free(values[i].flag), free(values[i].setting);
    if (fd >= 0)
        close(fd);
    assert_true(!result.r == !*result.errors);
    return result;
}

static struct config *
good(const char *text)
{
    struct result result = read_config(text, NULL, 0);
    if (result.r)
        fail_msg("%s", result.errors);
    free(result.errors);
    return result.config;
}

static void
test_defaults(void **state)
{
    struct config *c = good(APP);
    const struct endpoint *e = config_endpoint(c, "app");
    (void)state;
    assert_int_equal(c->n_endpoints, 1);
    assert_ptr_equal(e, c->endpoints);
    assert_null(config_endpoint(c, "other"));
    assert_string_equal(e->path, "/metrics");
    assert_int_equal(e->timeout, 10000);
    assert_false(e->timeout_is_set);
    assert_int_equal(e->max_body, 256u << 20);
    assert_true(e->strict_close);
    assert_int_equal(e->upstream_keepalive, VALUE_KEEPALIVE_ON);
    assert_int_equal(c->web_listen.n, 1);
    assert_string_equal(c->web_listen.items[0], ":19480");
    assert_string_equal(c->admin_listen, "127.0.0.1:19481");
    assert_int_equal(c->keep.n, 0);
    assert_int_equal(c->sandbox, SANDBOX_ON);
    config_unref(c);
}

static void
test_sections(void **state)
{
    struct config *c = good("[rules]\nkeep = a\n" APP "timeout = 10s\n[endpoint b]\npath = /b\nupstream = unix:/s:/m\n"
                            "[web]\nlisten_address = :1\nlisten_address = :2\n[rules]\nkeep = b\n[endpoint app]\n"
                            "max_age = 5s\n");
    const struct endpoint *e = config_endpoint(c, "app");
    (void)state;
    assert_int_equal(c->n_endpoints, 2);
    assert_true(e->timeout_is_set);
    assert_int_equal(e->max_age, 5000);
    assert_string_equal(c->endpoints[1].name, "b");
    assert_string_equal(c->endpoints[1].url.socket, "/s");
    assert_int_equal(c->web_listen.n, 2);
    assert_string_equal(c->web_listen.items[1], ":2");
    assert_int_equal(c->keep.n, 2);
    assert_string_equal(c->keep.items[1], "b");
    config_unref(c);
}

static void
test_precedence(void **state)
{
    static const char file[] = APP "timeout = 20s\nmax_age = 1s\n[rules]\nkeep = a\ndrop = b\n[log]\nlevel = warn\n";
    static const char *const flags[] = {"endpoint.app.timeout=30s", "rules.keep=x", "rules.keep=y", "log.level=error",
                                        "log.level=debug"};
    struct result result = read_config(file, flags, COUNT(flags));
    struct config *c = result.config;
    (void)state;
    assert_int_equal(result.r, 0);
    assert_int_equal(c->endpoints[0].timeout, 30000); /* flag above file */
    assert_int_equal(c->endpoints[0].max_age, 1000);  /* file above default */
    assert_int_equal(c->endpoints[0].max_in_flight, 256);
    assert_int_equal(c->log_level, 0); /* the last flag */
    assert_int_equal(c->keep.n, 2);    /* flags replace the list of the file */
    assert_string_equal(c->keep.items[0], "x");
    assert_int_equal(c->drop.n, 1);
    config_unref(c);
    free(result.errors);
}

static void
test_errors(void **state)
{
    static const char *const bad_flag[] = {"log.level=loud"}, *const good_flag[] = {"log.level=warn"};
    static const struct {
        const char *file, *const *flag;
        int r;
    } rows[] = {
        {APP, good_flag, 0},
        {APP, bad_flag, 2},
        {APP "timeout = soon\n", good_flag, 1},
        {APP "timeout = soon\n", bad_flag, 1},
        {NULL, good_flag, 2}, /* no endpoint */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct result result = read_config(rows[i].file, rows[i].flag, 1);
        assert_int_equal(result.r, rows[i].r);
        assert_true(!result.config == (result.r != 0));
        config_unref(result.config);
        free(result.errors);
    }
}

/* Reloads. */

static void
test_needs_restart(void **state)
{
    static const struct {
        const char *more, *name; /* NULL: a reload applies it */
    } rows[] = {
        {"", NULL},
        {"timeout = 20s\nupstream_keepalive = off\n", NULL},
        {"[web]\ngrace = 1s\n[rules]\nkeep = a\n[log]\nlevel = debug\n", NULL},
        {"[web]\nlisten_address = :1\n", "web.listen_address"},
        {"[admin]\nlisten_address = off\n", "admin.listen_address"},
        {"[process]\nsandbox = off\n", "process.sandbox"},
    };
    struct config *before = good(APP);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), APP "%s", rows[i].more);
        struct config *after = good(text);
        const char *name = config_needs_restart(before, after);
        assert_string_equal(name ? name : "none", rows[i].name ? rows[i].name : "none");
        config_unref(after);
    }
    config_unref(before);
}

static void
test_inherits_static(void **state)
{
    struct config *before = good(APP "[web]\nlisten_address = :1\ngrace = 1s\n");
    struct config *after = good(APP "[web]\nlisten_address = :2\ngrace = 2s\n[process]\nsandbox = off\n");
    (void)state;
    config_inherit_static(after, before);
    assert_string_equal(after->web_listen.items[0], ":1");
    assert_int_equal(after->sandbox, SANDBOX_ON);
    assert_int_equal(after->grace, 2000);
    config_unref(before);
    config_unref(after);
}

static void
test_keeps_endpoint(void **state)
{
    static const struct {
        const char *more;
        bool keeps;
    } rows[] = {
        {"", true},
        {"[endpoint other]\npath = /o\nupstream = http://b/\n", true},
        {"[log]\nlevel = warn\n[web]\ngrace = 1s\n", true},
        {"max_age = 1s\n", false},
        {"upstream_keepalive = 329s\n", false},
        {"strict_close = false\n", false},
        {"[sharding]\nhash = md5\n", false},
        {"[rules]\ndrop = a\n", false},
    };
    struct config *before = good(APP);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), APP "%s", rows[i].more);
        struct config *after = good(text);
        if (config_keeps_endpoint(before, before->endpoints, after, config_endpoint(after, "app")) != rows[i].keeps)
            fail_msg("%s", rows[i].more);
        config_unref(after);
    }
    config_unref(before);
}

/* One line can hold any rule, and print writes it back. */
static void
test_long_rule(void **state)
{
    char rule[4001], text[4200], *printed = NULL;
    size_t len;
    (void)state;
    memset(rule, 'x', sizeof(rule) - 1);
    rule[sizeof(rule) - 1] = 0;
    snprintf(text, sizeof(text), APP "[rules]\nkeep = %s\n", rule);
    struct config *c = good(text);
    assert_string_equal(c->keep.items[0], rule);
    FILE *out = open_memstream(&printed, &len);
    config_print(c, out);
    fclose(out);
    config_unref(c);
    c = good(printed);
    assert_string_equal(c->keep.items[0], rule);
    config_unref(c);
    free(printed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),      cmocka_unit_test(test_keepalives),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_flags_and_choices),
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_sections),
        cmocka_unit_test(test_precedence),     cmocka_unit_test(test_errors),
        cmocka_unit_test(test_needs_restart),  cmocka_unit_test(test_inherits_static),
        cmocka_unit_test(test_keeps_endpoint), cmocka_unit_test(test_long_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
