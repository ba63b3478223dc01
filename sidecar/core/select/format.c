/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *media_type;
    const struct format *format;
} formats[] = {
    {"text/plain", &format_text},
    {"application/openmetrics-text", &format_openmetrics},
    {"application/vnd.google.protobuf", &format_protobuf},
};

const struct format *
format_of(const char *content_type)
{
    if (!content_type)
        return &format_guess;
    content_type += strspn(content_type, " \t");
    size_t len = strcspn(content_type, "; \t");
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        const char *media_type = formats[i].media_type;
        if (strlen(media_type) == len && !strncasecmp(media_type, content_type, len))
            return formats[i].format;
    }
    return &format_guess;
}
