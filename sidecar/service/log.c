/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line being written; what does not fit is left away, with room kept for its end. A field begins only where it has
   room for a little more than its key. */
struct line {
    char bytes[4096];
    size_t len;
};

enum { LINE_END = 2, FIELD_LEAST = 128 };

static void
put(struct line *line, const char *text, size_t len)
{
    size_t room = sizeof(line->bytes) - LINE_END - line->len;
    if (len > room)
        len = room;
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
}

static void
put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* A quoted string that both formats read alike. */
static void
put_quoted(struct line *line, const char *text)
{
    put(line, "\"", 1);
    for (const char *p = text; *p && line->len < sizeof(line->bytes) - 16;) {
        size_t n = utf8_len(p);
        bool control = (unsigned char)*p < 0x20 || *p == 0x7f;
        char escape[8];
        if (n == 1 && (control || *p == '"' || *p == '\\')) {
            snprintf(escape, sizeof(escape), *p == '\n' ? "\\n" : control ? "\\u%04x" : "\\%c", *p);
            put_text(line, escape);
        } else if (n) {
            put(line, p, n);
        } else {
            put_text(line, "\\ufffd");
        }
        p += n ? n : 1;
    }
    put(line, "\"", 1);
}

/* Whether logfmt takes a value without quotes. */
static bool
is_plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text > '~')
            return false;
    return true;
}

static void
put_field(struct line *line, enum log_format format, struct log_field field)
{
    if (line->len > sizeof(line->bytes) - FIELD_LEAST)
        return;
    if (format == LOG_JSON) {
        put_text(line, line->len ? "," : "{");
        put_quoted(line, field.key);
        put(line, ":", 1);
    } else {
        if (line->len)
            put(line, " ", 1);
        put_text(line, field.key);
        put(line, "=", 1);
    }
    if (!field.text) {
        char number[32];
        snprintf(number, sizeof(number), field.number == floor(field.number) ? "%.0f" : "%.6f", field.number);
        put_text(line, number);
    } else if (format == LOG_LOGFMT && is_plain(field.text)) {
        put_text(line, field.text);
    } else {
        put_quoted(line, field.text);
    }
}

static void
put_time(char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void
log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields, size_t n)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct line line = {.len = 0};
    char time[40];

    put_time(time, sizeof(time));
    put_field(&line, log->format, log_text("ts", time));
    put_field(&line, log->format, log_text("level", levels[level]));
    put_field(&line, log->format, log_text("msg", message));
    for (size_t i = 0; i < n; i++)
        put_field(&line, log->format, fields[i]);
    if (log->format == LOG_JSON)
        line.bytes[line.len++] = '}';
    line.bytes[line.len++] = '\n';
    /* Nobody can be told when the log itself cannot be written. */
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len);
    (void)written;
}
