/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <string.h>
#include <strings.h>

#define TEXT(kind, syntax, has_composites, name, media_type)                                                           \
    {                                                                                                                  \
        kind, syntax, has_composites, name, media_type, text_new, text_feed, text_end, text_ends_whole, text_free      \
    }
#define OPENMETRICS "application/openmetrics-text"
#define PROTOBUF "application/vnd.google.protobuf"

static const struct format formats[] = {
    [FORMAT_TEXT] = TEXT(FORMAT_TEXT, SYNTAX_TEXT, false, "text", "text/plain"),
    [FORMAT_GUESS] = TEXT(FORMAT_GUESS, SYNTAX_TEXT, false, "text", "text/plain"),
    [FORMAT_OPENMETRICS] = TEXT(FORMAT_OPENMETRICS, SYNTAX_OPENMETRICS, false, "openmetrics", OPENMETRICS),
    [FORMAT_OPENMETRICS_2] =
        TEXT(FORMAT_OPENMETRICS_2, SYNTAX_OPENMETRICS_2, true, "openmetrics 2.0", OPENMETRICS ";version=2.0.0"),
    [FORMAT_PROTOBUF] = {FORMAT_PROTOBUF, SYNTAX_TEXT, true, "protobuf", PROTOBUF, protobuf_new, protobuf_feed,
                         protobuf_end, protobuf_ends_whole, protobuf_free},
};

static const struct {
    const char *media_type;
    enum format_kind kind;
} media_types[] = {
    {"text/plain", FORMAT_TEXT},
    {OPENMETRICS, FORMAT_OPENMETRICS},
    {PROTOBUF, FORMAT_PROTOBUF},
};

/* A position in a media type with parameters (RFC 9110, 8.3.1). */
struct cursor {
    const char *p, *end;
};

static char
peek(const struct cursor *c)
{
    return c->p < c->end ? *c->p : 0;
}

static void
skip_blanks(struct cursor *c)
{
    while (peek(c) == ' ' || peek(c) == '\t')
        c->p++;
}

/* Moves after the next semicolon outside quotes. False: there is none. */
static bool
skip_to_parameter(struct cursor *c)
{
    bool quoted = false;
    for (; c->p < c->end; c->p++) {
        if (*c->p == '"')
            quoted = !quoted;
        else if (quoted && *c->p == '\\' && c->end - c->p > 1)
            c->p++;
        else if (!quoted && *c->p == ';')
            return ++c->p;
    }
    return false;
}

/* Whether the version parameter is 2 or 2.x. */
static bool
has_version_2(struct cursor c)
{
    static const char name[] = "version=";
    while (skip_to_parameter(&c)) {
        skip_blanks(&c);
        if ((size_t)(c.end - c.p) < strlen(name) || strncasecmp(c.p, name, strlen(name)) != 0)
            continue;
        c.p += strlen(name);
        c.p += peek(&c) == '"';
        if (peek(&c) != '2')
            return false;
        c.p++;
        return !peek(&c) || strchr(".; \t\"", peek(&c));
    }
    return false;
}

const struct format *
format_of_element(struct ss_span element)
{
    struct cursor c = {element.ptr, element.ptr + element.len};
    size_t len = 0;

    skip_blanks(&c);
    while (c.p + len < c.end && !strchr("; \t", c.p[len]))
        len++;
    for (size_t i = 0; i < sizeof(media_types) / sizeof(media_types[0]); i++) {
        if (strlen(media_types[i].media_type) != len || strncasecmp(media_types[i].media_type, c.p, len) != 0)
            continue;
        enum format_kind kind = media_types[i].kind;
        return &formats[kind == FORMAT_OPENMETRICS && has_version_2(c) ? FORMAT_OPENMETRICS_2 : kind];
    }
    return &formats[FORMAT_GUESS];
}

const struct format *
format_named(const char *name)
{
    const struct format *f = formats;
    while (strcmp(f->name, name) != 0 && f->kind != FORMAT_PROTOBUF)
        f++;
    return f;
}

const struct format *
format_of(const char *content_type)
{
    return content_type ? format_of_element((struct ss_span){content_type, strlen(content_type)})
                        : &formats[FORMAT_GUESS];
}
