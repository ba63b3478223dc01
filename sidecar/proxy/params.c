/* SPDX-License-Identifier: Apache-2.0 */
#include "params.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of our two parameters. */
struct param {
    const char *name;
    bool given, decodable;
    struct ss_span value; /* decoded, in params_parse()'s memory */
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct params_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->reason, sizeof(error->reason), format, args);
    va_end(args);
    return EINVAL;
}

static int
hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Decodes %XX and + into out, which holds in.len bytes. False: a % is not followed by two hexadecimal digits. */
static bool
decode(struct ss_span in, char *out, struct ss_span *decoded)
{
    *decoded = (struct ss_span){out, 0};
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '%') {
            if (in.len - i < 3 || hex(in.ptr[i + 1]) < 0 || hex(in.ptr[i + 2]) < 0)
                return false;
            c = (char)(hex(in.ptr[i + 1]) << 4 | hex(in.ptr[i + 2]));
            i += 2;
        }
        out[decoded->len++] = c == '+' && in.ptr[i] == '+' ? ' ' : c;
    }
    return true;
}

static bool
equals(struct ss_span a, const char *b)
{
    return a.len == strlen(b) && !memcmp(a.ptr, b, a.len);
}

/* Which of our parameters this part of the query is, or NULL; *valuep is its value, still encoded. memory is scratch of
   part.len bytes. */
static struct param *
find_param(struct param params[2], struct ss_span part, char *memory, struct ss_span *valuep)
{
    const char *equal = memchr(part.ptr, '=', part.len);
    struct ss_span name = {part.ptr, equal ? (size_t)(equal - part.ptr) : part.len}, decoded;

    if (!decode(name, memory, &decoded))
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (equals(decoded, params[i].name)) {
            *valuep = equal ? (struct ss_span){equal + 1, part.len - name.len - 1} : (struct ss_span){"", 0};
            return &params[i];
        }
    }
    return NULL;
}

/* Splits the query: our parameters into params, the others into rest, which holds strlen(query) + 1 bytes. */
static int
split_query(struct param params[2], const char *query, char *memory, char *rest, struct params_error *error)
{
    *rest = 0;
    for (const char *p = query; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return refuse(error, "the query contains a space or control character; percent-encode it");

    for (;;) {
        struct ss_span part = {query, strcspn(query, "&")}, value;
        struct param *own = find_param(params, part, memory, &value);
        if (own) {
            if (own->given)
                return refuse(error, "duplicate parameter %s; expected it once, such as %s=%s", own->name, own->name,
                              own == params ? "0,4,8" : "80");
            own->given = true;
            own->decodable = decode(value, memory, &own->value);
            memory += value.len;
        } else if (part.len) {
            size_t len = strlen(rest);
            if (len)
                rest[len++] = '&';
            memcpy(rest + len, part.ptr, part.len);
            rest[len + part.len] = 0;
        }
        query += part.len;
        if (!*query++)
            return 0;
    }
}

/* Whether a count may be requested. */
static int
check_count(uint32_t count, const struct params_names *names, struct params_error *error)
{
    if (!names->accepted || count == names->accepted || (names->next && count == names->next))
        return 0;
    if (names->next)
        return refuse(error, "%s is %u, expected %u or %u (shard_count and reshard_to of this sidecar)", names->count,
                      count, names->accepted, names->next);
    return refuse(error, "%s is %u, expected %u (shard_count of this sidecar)", names->count, count, names->accepted);
}

static int
read_shards(struct params *p, struct param params[2], const struct params_names *names, struct params_error *error)
{
    const struct param *shard = &params[0], *count = &params[1];
    struct ss_shards_error why;
    uint32_t n;

    if (!shard->given && !count->given) {
        if (names->required)
            return refuse(error, "%s and %s are required (require_shard is on); expected e.g. %s=3&%s=80", shard->name,
                          count->name, shard->name, count->name);
        return 0;
    }
    for (int i = 0; i < 2; i++)
        if (!params[i].given)
            return refuse(error, "%s is set without %s; expected both or neither, such as %s=3&%s=80",
                          params[1 - i].name, params[i].name, shard->name, count->name);
    for (int i = 0; i < 2; i++)
        if (!params[i].decodable)
            return refuse(error, "%s has an invalid percent-encoding; expected %%XX, such as %%2C for a comma",
                          params[i].name);
    if (ss_shard_count_parse(&n, count->value, &why))
        return refuse(error, "%s: %s", count->name, why.reason);
    int r = check_count(n, names, error);
    if (r)
        return r;
    p->count = n;
    if (names->next) /* a server that is to come, or to go, has a number that only one of the counts has */
        n = names->accepted > names->next ? names->accepted : names->next;
    r = ss_shards_parse(&p->shards, shard->value, n, &why);
    return r > 0 ? refuse(error, "%s: %s", shard->name, why.reason) : r;
}

int
params_parse(struct params *params, const char *query, const struct params_names *names, struct params_error *error)
{
    struct param own[2] = {{.name = names->shard}, {.name = names->count}};
    struct params p = {.shards = NULL};

    if (!query)
        query = "";
    /* Twice the query: names are decoded after the values that are kept. */
    char *memory = malloc(2 * strlen(query) + 2), *rest = malloc(strlen(query) + 1);
    int r = -ENOMEM;
    if (memory && rest)
        r = split_query(own, query, memory, rest, error);
    if (!r)
        r = read_shards(&p, own, names, error);
    if (!r && p.shards && !(p.shard = strndup(own[0].value.ptr, own[0].value.len)))
        r = -ENOMEM;
    if (!r && *rest) {
        p.query = rest;
        rest = NULL;
    }
    free(memory);
    free(rest);
    if (r)
        params_deinit(&p);
    else
        *params = p;
    return r;
}

int
params_use_count(struct params *params, uint32_t in_force)
{
    struct ss_shards *shards;
    int r = ss_shards_with_count(&shards, params->shards, in_force);
    if (!r) {
        ss_shards_free(params->shards);
        params->shards = shards;
    }
    return r;
}

void
params_deinit(struct params *params)
{
    ss_shards_free(params->shards);
    free(params->shard);
    free(params->query);
}
