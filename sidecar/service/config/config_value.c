/* SPDX-License-Identifier: Apache-2.0 */
#include "config_value.h"

#include "service/base/address.h"
#include "upstream_url.h"

#include <scrapeshard/shard.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t scale;
};

/* Each from the largest to the smallest; a scale's first name is the one that is written. */
static const struct unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"GiB", 1u << 30}, {"GB", 1000000000}, {"MiB", 1u << 20}, {"MB", 1000000},
                                    {"KiB", 1u << 10}, {"kB", 1000},       {"KB", 1000},      {"B", 1},
                                    {"", 1},           {NULL, 0}};

/* The longest unit that text begins with. */
static const struct unit *
unit_at(const char *text, const struct unit *units)
{
    const struct unit *best = NULL;
    for (; units->name; units++)
        if (!strncmp(text, units->name, strlen(units->name)) && (!best || strlen(units->name) > strlen(best->name)))
            best = units;
    return best;
}

/* Reads numbers with units, one after another: "1m30s". */
static bool
read_scaled(const char *text, const struct unit *units, uint64_t most, uint64_t *out)
{
    uint64_t sum = 0;
    do {
        char *end;
        if (!isdigit((unsigned char)*text))
            return false;
        errno = 0;
        unsigned long long n = strtoull(text, &end, 10);
        const struct unit *unit = unit_at(end, units);
        if (errno || !unit || n > (most - sum) / unit->scale)
            return false;
        sum += n * unit->scale;
        text = end + strlen(unit->name);
    } while (*text);
    *out = sum;
    return true;
}

const char *
value_read_duration(int64_t *ms, const char *text)
{
    uint64_t value = 0;
    if (strcmp(text, "0") != 0 && !read_scaled(text, durations, INT32_MAX, &value))
        return "is not a valid duration (expected e.g. 10s or 1m30s)";
    *ms = (int64_t)value;
    return NULL;
}

const char *
value_read_keepalive(int64_t *ms, const char *text)
{
    *ms = strcmp(text, "on") ? 0 : VALUE_KEEPALIVE_ON;
    if (*ms || !strcmp(text, "off"))
        return NULL;
    return value_read_duration(ms, text) ? "is not a valid keepalive (expected on, off or a duration such as 5s)"
                                         : NULL;
}

const char *
value_read_bytes(uint64_t *bytes, const char *text)
{
    if (!read_scaled(text, sizes, INT64_MAX, bytes))
        return "is not a valid size (expected a number with B, KiB, MiB or GiB, e.g. 256MiB)";
    return NULL;
}

const char *
value_read_count(uint64_t *count, const char *text)
{
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    return read_scaled(text, units, INT64_MAX, count) ? NULL : "is not a valid count (expected e.g. 100000)";
}

const char *
value_read_shards(uint32_t *count, const char *text, const char *none)
{
    struct ss_shards_error error;
    *count = 0;
    if (!strcmp(text, none) || !ss_shard_count_parse(count, (struct ss_span){text, strlen(text)}, &error))
        return NULL;
    return "is not a valid number of shards (expected a number from 1 to 65536)";
}

void
value_write_shards(FILE *out, uint32_t count, const char *none)
{
    if (count)
        fprintf(out, "%" PRIu32, count);
    else
        fputs(none, out);
}

void
value_write_duration(FILE *out, int64_t ms)
{
    if (!ms)
        fputs("0s", out);
    for (const struct unit *u = durations; u->name; u++) {
        int64_t scale = (int64_t)u->scale;
        if (ms >= scale)
            fprintf(out, "%" PRId64 "%s", ms / scale, u->name);
        ms %= scale;
    }
}

void
value_write_keepalive(FILE *out, int64_t ms)
{
    if (ms && ms != VALUE_KEEPALIVE_ON)
        value_write_duration(out, ms);
    else
        fputs(ms ? "on" : "off", out);
}

void
value_write_bytes(FILE *out, uint64_t bytes)
{
    const struct unit *u = sizes;
    while (bytes < u->scale ? u->scale > 1 : bytes % u->scale != 0)
        u++;
    fprintf(out, "%" PRIu64 "%s", bytes / u->scale, u->name);
}

const char *
value_read_flag(bool *flag, const char *text)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(text, words[i])) {
            *flag = i % 2;
            return NULL;
        }
    }
    return "is not a boolean (expected true or false)";
}

const char *
value_read_choice(int *index, const char *text, const char *choices)
{
    size_t len = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && !strncmp(text, choices, n)) {
            *index = i;
            return NULL;
        }
        choices += n;
        if (!*choices++)
            return "is not a valid choice";
    }
}

const char *
value_check_path(const char *text)
{
    return text[0] == '/' && !strpbrk(text, " \t?#") ? NULL : "is not a valid path (expected e.g. /metrics)";
}

const char *
value_check_url(const char *text)
{
    struct upstream_url url;
    const char *reason;
    int r = url_read(&url, text, &reason);
    if (!r)
        url_deinit(&url);
    return !r ? NULL : r > 0 ? reason : "cannot be read: out of memory";
}

const char *
value_check_param(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
            return "is not a valid parameter name (expected only letters, digits, _, - and .)";
    return *text ? NULL : "is not a valid parameter name (expected e.g. shard)";
}

/* Whether text is a port, or empty. */
static bool
is_port(const char *text)
{
    size_t len = strlen(text);
    if (strspn(text, "0123456789") < len || len > 5)
        return false;
    long port = strtol(text, NULL, 10);
    return !len || (port >= 1 && port <= 65535);
}

const char *
value_check_host(const char *text)
{
    static const char wrong[] = "is not a valid Host header (expected HOST or HOST:PORT, e.g. app.example.com)";
    struct in6_addr address;
    char ipv6[INET6_ADDRSTRLEN];
    size_t len = *text == '[' ? strcspn(text, "]") : 0, end = len + 1;
    if (*text == '[') {
        if (!text[len] || len > sizeof(ipv6))
            return wrong;
        snprintf(ipv6, sizeof(ipv6), "%.*s", (int)len - 1, text + 1);
        if (inet_pton(AF_INET6, ipv6, &address) != 1)
            return wrong;
    } else {
        for (end = 0; isalnum((unsigned char)text[end]) || (text[end] && strchr("_-.", text[end])); end++)
            ;
    }
    if (!end || (text[end] && (text[end] != ':' || !text[end + 1])))
        return wrong;
    return is_port(text + end + (text[end] == ':')) ? NULL : wrong;
}

const char *
value_check_address(const char *text)
{
    if (address_is_valid(text))
        return NULL;
    return "is not a valid address (expected :PORT, ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH or systemd:NAME)";
}

const char *
value_check_label(const char *text)
{
    for (const char *p = text; *p; p++)
        if (!isalpha((unsigned char)*p) && *p != '_' && (p == text || !isdigit((unsigned char)*p)))
            return "is not a valid label name (expected only letters, digits and _, or a name in double quotes)";
    return *text ? NULL : "is an empty label name (expected e.g. job)";
}
