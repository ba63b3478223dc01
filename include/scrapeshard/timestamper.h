/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_TIMESTAMPER_H
#define SCRAPESHARD_TIMESTAMPER_H
/*
 * Adds a timestamp to the samples of a body that have none. All other bytes are unchanged, and so is what cannot be
 * read as a sample: the next reader of the body rejects it. So is a body of an unknown type, which a scraper may read
 * as text, in milliseconds, or as OpenMetrics, in seconds.
 *
 *     ss_timestamper_new(&timestamper, content_type, time_ms, max_line);
 *     while (more) ss_timestamper_feed(timestamper, bytes, &sink);
 *     ss_timestamper_end(timestamper, &sink);
 *     ss_timestamper_free(timestamper);
 */
#include <scrapeshard/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ss_timestamper;

/* Maximum number of bytes added to a line. */
enum { SS_TIMESTAMP_MAX_GROWTH = 32 };

/* content_type: of the response, as for a filter; not kept. time_ms: milliseconds since 1970, above 0. max_line:
   bytes of the longest accepted line. 0: the caller owns *timestamperp. -ENOMEM. */
int ss_timestamper_new(struct ss_timestamper **timestamperp, const char *content_type, int64_t time_ms,
                       size_t max_line);

/*
 * Takes the next bytes of the body, cut anywhere, and passes on complete lines or families; the spans live until the
 * sink returns. An incomplete line or protobuf family at their end is copied. Returns 0; SS_LINE_TOO_LONG; -ENOMEM; or
 * what the sink returns.
 */
int ss_timestamper_feed(struct ss_timestamper *timestamper, struct ss_span bytes, const struct ss_sink *sink);

/* The body is complete; passes on the rest. Returns as ss_timestamper_feed(). */
int ss_timestamper_end(struct ss_timestamper *timestamper, const struct ss_sink *sink);

/* The memory used, in bytes. */
size_t ss_timestamper_memory(const struct ss_timestamper *timestamper);

/* NULL is fine. */
void ss_timestamper_free(struct ss_timestamper *timestamper);

#ifdef __cplusplus
}
#endif
#endif
