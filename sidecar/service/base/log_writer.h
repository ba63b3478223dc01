/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOG_WRITER_H
#define SERVICE_LOG_WRITER_H
/*
 * Writes standard error from its own thread: logging never waits for the log's reader, be it a pipe, a terminal, a
 * socket or a file. Standard error may be shared with other processes, so it stays as it is, blocking.
 *
 * Lines for which there is no room are dropped and counted; a line reports their number as soon as the log is read
 * again.
 */
#include "log.h"

#include <stddef.h>
#include <stdint.h>

struct log_writer;

/* 0: *writerp is the caller's. It keeps lines, as far as there is room, until log_writer_start(). -ENOMEM. */
int log_writer_new(struct log_writer **writerp);

/* Starts the thread: after sandbox_enter(), which binds only the thread that calls it and those that it starts later.
   0 or a negative errno value. */
int log_writer_start(struct log_writer *writer);

/* Queues a line, which ends in its only LF. The format is for the line that reports dropped lines. */
void log_writer_put(struct log_writer *writer, const char *line, size_t len, enum log_format format);

/* Lines dropped since the start. */
uint64_t log_writer_dropped(struct log_writer *writer);

/* Waits until all is written, for max_ms milliseconds at most; starts the thread if need be. NULL is fine. */
void log_writer_free(struct log_writer *writer, int64_t max_ms);

#endif
