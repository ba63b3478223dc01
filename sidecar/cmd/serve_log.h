/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SERVE_LOG_H
#define CMD_SERVE_LOG_H
/* The sidecar's log from its start to its last line; libevent's messages are written to it, too. */
#include <stdint.h>

struct config;
struct log;

/* Sets the level and format of the configuration. */
void serve_log_set(struct log *log, const struct config *config);

/* Starts to keep lines. log must live until serve_log_end(). 0 or a negative errno value, which is logged. */
int serve_log_start(struct log *log);

/* Starts to write them: after the sandbox, which would not bind a thread that is there already. Returns likewise. */
int serve_log_start_thread(struct log *log);

/* Writes the last lines, but does not wait long: perhaps nobody reads the log any more. grace: web.grace, in
   milliseconds. A log that was not started is fine. */
void serve_log_end(struct log *log, int64_t grace);

#endif
