/* SPDX-License-Identifier: Apache-2.0 */
#include "serve_log.h"

#include "cmd.h"

#include "service/base/log_writer.h"
#include "service/config/config.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Milliseconds to write the last lines: at most web.grace, within these bounds. */
    LOG_END_MAX = 1000,
    LOG_END_MIN = 250,
};

static const struct log *log_of_libevent;

void
serve_log_set(struct log *log, const struct config *config)
{
    log->level = (enum log_level)config->log_level;
    log->format = (enum log_format)config->log_format;
}

/* Without a callback libevent writes to standard error. */
static void
on_libevent_message(int severity, const char *message)
{
    static const enum log_level levels[] = {[EVENT_LOG_DEBUG] = LOG_DEBUG,
                                            [EVENT_LOG_MSG] = LOG_INFO,
                                            [EVENT_LOG_WARN] = LOG_WARN,
                                            [EVENT_LOG_ERR] = LOG_ERROR};
    LOG_AT(log_of_libevent, levels[severity & 3], "libevent", log_text("reason", message));
}

/* libevent ends the process after an error that it cannot report otherwise; the lines that wait are written first. */
static void
on_libevent_fatal(int error)
{
    (void)error;
    log_writer_free(log_of_libevent->writer, LOG_END_MIN);
    exit(EXIT_FAILED);
}

int
serve_log_start(struct log *log)
{
    int r = log_writer_new(&log->writer);
    if (r)
        log_error(log, "startup failed", log_text("failed", "log"), log_text("reason", strerror(-r)));
    log_of_libevent = log;
    event_set_log_callback(on_libevent_message);
    event_set_fatal_callback(on_libevent_fatal);
    return r;
}

int
serve_log_start_thread(struct log *log)
{
    int r = log_writer_start(log->writer);
    if (r)
        log_error(log, "startup failed", log_text("failed", "log thread"), log_text("reason", strerror(-r)));
    return r;
}

void
serve_log_end(struct log *log, int64_t grace)
{
    int64_t timeout = grace < LOG_END_MIN ? LOG_END_MIN : grace < LOG_END_MAX ? grace : LOG_END_MAX;
    event_set_log_callback(NULL);
    log_writer_free(log->writer, timeout);
}
