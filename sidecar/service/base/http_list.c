/* SPDX-License-Identifier: Apache-2.0 */
#include "http_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The first of these bytes outside quotes, or end, or the NUL before it. */
static const char *
find_outside_quotes(const char *p, const char *end, char byte)
{
    for (bool quoted = false; p != end && *p && (quoted || *p != byte); p++) {
        quoted ^= *p == '"';
        if (quoted && *p == '\\' && p + 1 != end && p[1])
            p++;
    }
    return p;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct ss_span
trim(const char *begin, const char *end)
{
    while (begin < end && is_blank(*begin))
        begin++;
    while (begin < end && is_blank(end[-1]))
        end--;
    return (struct ss_span){begin, (size_t)(end - begin)};
}

bool
http_list_next(const char **list, struct http_list_element *e)
{
    const char *begin = *list;
    if (!begin)
        return false;
    const char *end = find_outside_quotes(begin, NULL, ',');
    *list = *end ? end + 1 : NULL;
    e->raw = (struct ss_span){begin, (size_t)(end - begin)};
    e->value = trim(begin, end);
    size_t n = 0;
    while (n < e->value.len && e->value.ptr[n] != ';' && !is_blank(e->value.ptr[n]))
        n++;
    e->name = (struct ss_span){e->value.ptr, n};
    e->params = (struct ss_span){e->value.ptr + n, e->value.len - n};
    return true;
}

bool
http_list_equals(struct ss_span text, const char *word)
{
    return strlen(word) == text.len && !strncasecmp(text.ptr, word, text.len);
}

bool
http_list_has(const char *list, const char *name)
{
    struct http_list_element e;
    while (http_list_next(&list, &e))
        if (http_list_equals(e.name, name))
            return true;
    return false;
}

bool
http_list_param(const struct http_list_element *e, const char *name, struct ss_span *value)
{
    const char *p = e->params.ptr, *end = p + e->params.len;
    while ((p = find_outside_quotes(p, end, ';')) < end) {
        p++;
        struct ss_span param = trim(p, find_outside_quotes(p, end, ';'));
        const char *equals = param.len ? memchr(param.ptr, '=', param.len) : NULL;
        if (!equals || !http_list_equals((struct ss_span){param.ptr, (size_t)(equals - param.ptr)}, name))
            continue;
        *value = (struct ss_span){equals + 1, (size_t)(param.ptr + param.len - equals - 1)};
        return true;
    }
    return false;
}

int
http_list_weight(const struct http_list_element *e)
{
    struct ss_span value;
    char text[16], *end;
    if (!http_list_param(e, "q", &value))
        return 1000;
    if (!value.len || value.len >= sizeof(text))
        return -1;
    snprintf(text, sizeof(text), "%.*s", (int)value.len, value.ptr);
    double q = strtod(text, &end);
    return !*end && strspn(text, "0123456789.") == value.len && q <= 1 ? (int)(q * 1000 + 0.5) : -1;
}
