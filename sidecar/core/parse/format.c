/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <string.h>
#include <strings.h>

#define TEXT(kind, name)                                                                                               \
    {                                                                                                                  \
        kind, name, text_begin, text_feed, text_end, text_ends_whole, text_free                                        \
    }

static const struct format formats[] = {
    [FORMAT_TEXT] = TEXT(FORMAT_TEXT, "text"),
    [FORMAT_GUESS] = TEXT(FORMAT_GUESS, "text"),
    [FORMAT_OPENMETRICS] = TEXT(FORMAT_OPENMETRICS, "openmetrics"),
    [FORMAT_PROTOBUF] = {FORMAT_PROTOBUF, "protobuf", protobuf_begin, protobuf_feed, protobuf_end, protobuf_ends_whole,
                         protobuf_free},
};

static const struct {
    const char *media_type;
    enum format_kind kind;
} media_types[] = {
    {"text/plain", FORMAT_TEXT},
    {"application/openmetrics-text", FORMAT_OPENMETRICS},
    {"application/vnd.google.protobuf", FORMAT_PROTOBUF},
};

const struct format *
format_of(const char *content_type)
{
    if (!content_type)
        return &formats[FORMAT_GUESS];
    content_type += strspn(content_type, " \t");
    size_t len = strcspn(content_type, "; \t");
    for (size_t i = 0; i < sizeof(media_types) / sizeof(media_types[0]); i++) {
        const char *media_type = media_types[i].media_type;
        if (strlen(media_type) == len && !strncasecmp(media_type, content_type, len))
            return &formats[media_types[i].kind];
    }
    return &formats[FORMAT_GUESS];
}
