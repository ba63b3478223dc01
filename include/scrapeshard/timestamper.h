/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_TIMESTAMPER_H
#define SCRAPESHARD_TIMESTAMPER_H
/*
 * Gives the samples of a body that have no timestamp one, so that they say themselves when they were taken. All other
 * bytes stay as they are, and so does whatever cannot be read as a sample: to refuse it is for who reads the body next.
 *
 *     ss_timestamper_new(&stamp, content_type, time_ms, max_line);
 *     while (more) ss_timestamper_feed(stamp, bytes, &sink);
 *     ss_timestamper_end(stamp, &sink);
 *     ss_timestamper_free(stamp);
 */
#include <scrapeshard/filter.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ss_timestamper;

/* The most bytes by which a line gets longer. */
enum { SS_TIMESTAMP_MAX_GROWTH = 32 };

/* content_type: of the response, as for a filter; not kept. time_ms: milliseconds since 1970, above 0. max_line: bytes
   of the longest line taken. 0: *timestamperp is the caller's. -ENOMEM. */
int ss_timestamper_new(struct ss_timestamper **timestamperp, const char *content_type, int64_t time_ms,
                       size_t max_line);

/*
 * Takes the next bytes of the body, cut anywhere, and hands on what is whole of them; the sink's bytes live until it
 * returns. An incomplete line, or protobuf family, at their end is copied. 0; SS_LINE_TOO_LONG; -ENOMEM; or what the
 * sink answers.
 */
int ss_timestamper_feed(struct ss_timestamper *timestamper, struct ss_span bytes, const struct ss_sink *sink);

/* Tells that the body is at its end; hands on the rest. Answers as ss_timestamper_feed(). */
int ss_timestamper_end(struct ss_timestamper *timestamper, const struct ss_sink *sink);

/* The bytes of memory that it takes. */
size_t ss_timestamper_memory(const struct ss_timestamper *timestamper);

/* NULL is fine. */
void ss_timestamper_free(struct ss_timestamper *timestamper);

#ifdef __cplusplus
}
#endif
#endif
