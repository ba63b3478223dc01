/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "escape.h"

#include "service/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void
put_text(FILE *out, struct ss_span text)
{
    const char *p = text.ptr, *end = p + text.len;
    putc('"', out);
    while (p < end) {
        size_t n = utf8_char_len(p, end);
        if (n == 1 && ((unsigned char)*p < 0x20 || *p == 0x7f))
            fprintf(out, "\\u%04x", *p);
        else if (n == 1 && (*p == '"' || *p == '\\'))
            fprintf(out, "\\%c", *p);
        else if (n)
            fwrite(p, 1, n, out);
        else
            fputs(UTF8_REPLACEMENT, out);
        p += n ? n : 1;
    }
    putc('"', out);
}

/* Writes the comma, newline, indentation and key before a value. */
static void
begin_value(struct json *j, const char *key)
{
    if (j->depth)
        fprintf(j->out, "%s\n%*s", j->filled ? "," : "", 2 * (int)j->depth, "");
    j->filled = true;
    if (key)
        fprintf(j->out, "\"%s\": ", key);
}

static void
open_value(struct json *j, const char *key, char bracket)
{
    begin_value(j, key);
    putc(bracket, j->out);
    j->depth++;
    j->filled = false;
}

static void
close_value(struct json *j, char bracket)
{
    j->depth--;
    if (j->filled)
        fprintf(j->out, "\n%*s", 2 * (int)j->depth, "");
    putc(bracket, j->out);
    j->filled = true;
    if (!j->depth)
        putc('\n', j->out);
}

void
json_open_object(struct json *j, const char *key)
{
    open_value(j, key, '{');
}

void
json_close_object(struct json *j)
{
    close_value(j, '}');
}

void
json_open_array(struct json *j, const char *key)
{
    open_value(j, key, '[');
}

void
json_close_array(struct json *j)
{
    close_value(j, ']');
}

void
json_text(struct json *j, const char *key, struct ss_span text)
{
    begin_value(j, key);
    put_text(j->out, text);
}

void
json_word(struct json *j, const char *key, const char *word)
{
    json_text(j, key, (struct ss_span){word, strlen(word)});
}

void
json_count(struct json *j, const char *key, uint64_t count)
{
    begin_value(j, key);
    fprintf(j->out, "%" PRIu64, count);
}

void
json_number(struct json *j, const char *key, double number)
{
    begin_value(j, key);
    if (isfinite(number))
        fprintf(j->out, "%.3f", number);
    else
        fputs("null", j->out);
}

void
json_flag(struct json *j, const char *key, bool flag)
{
    begin_value(j, key);
    fputs(flag ? "true" : "false", j->out);
}

void
json_null(struct json *j, const char *key)
{
    begin_value(j, key);
    fputs("null", j->out);
}
