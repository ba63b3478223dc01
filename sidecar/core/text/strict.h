/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STRICT_H
#define CORE_STRICT_H
/*
 * Fully parses records that span lines, because an LF is inside quotes.
 *
 * They are rare, and most of them are lines of several families joined by a stray quote, which would take the samples
 * of others into one shard, or into none if it is dropped. So everything that the parsers of scrapers reject
 * (Prometheus 2.42 to 3.15: model/textparse) is rejected here, and therefore in every shard.
 */
#include "labels.h"
#include "syntax.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <string.h>

/* Whether a record contains an LF before its last byte. */
static inline bool
spans_lines(struct ss_span record)
{
    return record.len > 1 && memchr(record.ptr, '\n', record.len - 1);
}

/* Whether all of it is UTF-8 (RFC 3629). */
bool strict_is_utf8(struct ss_span text);

/* Parses a sample that spans lines. Returns NULL, or what is wrong. */
const char *strict_sample(struct ss_span record, enum text_syntax syntax);

/* Parses text metadata whose quoted name spans lines; rest is what follows the name. Returns likewise. */
const char *strict_metadata(const struct name *name, bool is_type, struct ss_span rest);

#endif
