/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LOG_WRITER_H
#define SERVICE_LOG_WRITER_H
/*
 * Standard error, written by a thread of its own: who logs never waits for who reads the log, be that a pipe, a
 * terminal, a socket or a file. Standard error may be shared with other processes, so it is left as it is, blocking.
 *
 * Lines that find no room are dropped and counted, and a line says how many there were as soon as the log is read
 * again.
 */
#include "log.h"

#include <stddef.h>
#include <stdint.h>

struct log_writer;

/* 0: *writerp is the caller's. A negative errno value. */
int log_writer_new(struct log_writer **writerp);

/* Takes a line, which ends in its only LF. The format is that of the line about lines that were dropped. */
void log_writer_put(struct log_writer *writer, const char *line, size_t len, enum log_format format);

/* How many lines were dropped since it began. */
uint64_t log_writer_dropped(struct log_writer *writer);

/* Ends it when all is written, or when the time, in milliseconds, is over. NULL is fine. */
void log_writer_free(struct log_writer *writer, int64_t most);

#endif
