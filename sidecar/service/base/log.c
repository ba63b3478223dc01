/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "log_writer.h"
#include "utf8.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line being composed. What does not fit is dropped; room is reserved for the line's end. A field starts only where
   there is room for a little more than its key. */
struct line {
    char *bytes; /* LOG_LINE_MAX of them */
    size_t len;
};

static_assert(LOG_LINE_MAX <= PIPE_BUF, "a pipe would split a line");

enum { LINE_END = 2, FIELD_MIN = 128 };

static void
put(struct line *line, const char *text, size_t len)
{
    size_t room = LOG_LINE_MAX - LINE_END - line->len;
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

/* A quoted string that is valid in both formats. */
static void
put_quoted(struct line *line, const char *text)
{
    put(line, "\"", 1);
    for (const char *p = text; *p && line->len < LOG_LINE_MAX - 16;) {
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

/* From here on every number is an integer. */
#define ALL_INTEGERS 0x1p53

/* An integer as it is, others with six decimals. printf() takes ten times as long, which would be a third of a line's
   cost. No floor(): it would bring libm, the third largest library of the image. */
static void
put_number(struct line *line, double number)
{
    char digits[32];
    size_t at = sizeof(digits);
    bool has_decimals = number > -ALL_INTEGERS && number < ALL_INTEGERS && number != (double)(int64_t)number;
    bool whole = !has_decimals;
    if (!(number >= 0 && number < (whole ? 1e15 : 1e6))) {
        snprintf(digits, sizeof(digits), whole ? "%.0f" : "%.6f", number);
        put_text(line, digits);
        return;
    }
    uint64_t left = (uint64_t)(whole ? number : number * 1e6 + 0.5);
    for (int n = 0; left || n < (whole ? 1 : 7); n++, left /= 10) {
        if (!whole && n == 6)
            digits[--at] = '.';
        digits[--at] = (char)('0' + left % 10);
    }
    put(line, digits + at, sizeof(digits) - at);
}

static void
put_field(struct line *line, enum log_format format, struct log_field field)
{
    if (line->len > LOG_LINE_MAX - FIELD_MIN)
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
        put_number(line, field.number);
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

size_t
log_compose(char *out, enum log_format format, enum log_level level, const char *message,
            const struct log_field *fields, size_t n)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct line line = {.bytes = out};
    char time[40];

    put_time(time, sizeof(time));
    put_field(&line, format, log_text("ts", time));
    put_field(&line, format, log_text("level", levels[level]));
    put_field(&line, format, log_text("msg", message));
    for (size_t i = 0; i < n; i++)
        if (fields[i].key)
            put_field(&line, format, fields[i]);
    if (format == LOG_JSON)
        line.bytes[line.len++] = '}';
    line.bytes[line.len++] = '\n';
    return line.len;
}

void
log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields, size_t n)
{
    char line[LOG_LINE_MAX];
    size_t len = log_compose(line, log->format, level, message, fields, n);
    if (log->writer) {
        log_writer_put(log->writer, line, len, log->format);
        return;
    }
    /* A failure to write the log cannot be reported. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}
