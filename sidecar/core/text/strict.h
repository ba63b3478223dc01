/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STRICT_H
#define CORE_STRICT_H
/*
 * Records that span lines, because an LF stands inside quotes, read in full.
 *
 * They are rare, and most of them are lines of several families that a stray quote has made one: it would take the
 * others' samples along into one shard, or into none where it is dropped. So all that the scrapers' parsers refuse
 * (Prometheus 2.42 to 3.5: model/textparse) is refused here, and with that in every shard.
 */
#include "labels.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <string.h>

/* Whether an LF stands in a record that is not its last byte. */
static inline bool
spans_lines(struct ss_span record)
{
    return record.len > 1 && memchr(record.ptr, '\n', record.len - 1);
}

/* Reads a sample that spans lines. Returns NULL, or what is wrong, in words. */
const char *strict_sample(struct ss_span record, bool openmetrics);

/* Reads metadata of text whose quoted name spans lines; rest is what follows the name. The same answers. */
const char *strict_metadata(const struct name *name, bool is_type, struct ss_span rest);

#endif
