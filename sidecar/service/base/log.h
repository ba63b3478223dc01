/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOG_H
#define SERVICE_LOG_H
/*
 * One line per event, on standard error, as logfmt or JSON.
 *
 *     log_info(log, "scrape", log_text("endpoint", name), log_number("status", 200));
 *
 * The fields are not evaluated when the level is below the log's.
 */
#include <stddef.h>
#include <stdint.h>

/* In the order of config.def's choices. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_writer;

struct log {
    enum log_level level;
    enum log_format format;
    struct log_writer *writer; /* see log_writer.h; NULL: lines are written at once, which may block */
};

struct log_field {
    const char *key;  /* NULL: the field is omitted */
    const char *text; /* NULL: it is a number */
    double number;
};

static inline struct log_field
log_text(const char *key, const char *text)
{
    return (struct log_field){key, text ? text : "", 0};
}

static inline struct log_field
log_number(const char *key, double number)
{
    return (struct log_field){key, NULL, number};
}

#define LOG_AT(log, at, message, ...)                                                                                  \
    do {                                                                                                               \
        if ((log)->level <= (at)) {                                                                                    \
            const struct log_field fields_[] = {__VA_ARGS__};                                                          \
            log_write(log, at, message, fields_, sizeof(fields_) / sizeof(fields_[0]));                                \
        }                                                                                                              \
    } while (0)
#define log_debug(log, message, ...) LOG_AT(log, LOG_DEBUG, message, __VA_ARGS__)
#define log_info(log, message, ...) LOG_AT(log, LOG_INFO, message, __VA_ARGS__)
#define log_warn(log, message, ...) LOG_AT(log, LOG_WARN, message, __VA_ARGS__)
#define log_error(log, message, ...) LOG_AT(log, LOG_ERROR, message, __VA_ARGS__)

/* The maximum length of a line with its LF: what a pipe takes atomically. */
enum { LOG_LINE_MAX = 4096 };

/* Writes a line with its LF to a buffer of LOG_LINE_MAX bytes; a longer one is truncated. Returns its length. */
size_t log_compose(char *out, enum log_format format, enum log_level level, const char *message,
                   const struct log_field *fields, size_t n);

/* Writes a line whatever its level. */
void log_write(const struct log *log, enum log_level level, const char *message, const struct log_field *fields,
               size_t n);

#endif
