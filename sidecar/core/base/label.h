/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LABEL_H
#define CORE_LABEL_H
/* A label, as read from a line of text or from a protobuf metric. */
#include <scrapeshard/span.h>

#include <stdbool.h>

/* A name or value as written; of a quoted one, the bytes inside the quotes. */
struct name {
    struct ss_span raw;
    bool escaped; /* raw contains backslashes */
};

struct label {
    struct name name, value;
};

#endif
