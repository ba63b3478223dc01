/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Names and label values match within a few hundred steps. */
enum { MATCH_LIMIT = 100 * 1000 };

struct pattern {
    pcre2_code *code;
    pcre2_match_context *context;
    pcre2_match_data *data;
};

static int
compile(struct pattern *p, struct ss_span text, char *reason, size_t size)
{
    const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    PCRE2_SIZE offset;
    int code;

    p->code = pcre2_compile((PCRE2_SPTR)(text.len ? text.ptr : ""), text.len, options, &code, &offset, NULL);
    if (p->code)
        return 0;
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return -ENOMEM;
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, size);
    size_t len = strlen(reason);
    snprintf(reason + len, size - len, " (at byte %zu)", (size_t)offset + 1);
    return EINVAL;
}

int
pattern_new(struct pattern **patternp, struct ss_span text, char *reason, size_t size)
{
    struct pattern *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    int r = compile(p, text, reason, size);
    p->context = pcre2_match_context_create(NULL);
    p->data = pcre2_match_data_create(1, NULL);
    if (!r && (!p->context || !p->data))
        r = -ENOMEM;
    if (r) {
        pattern_free(p);
        return r;
    }
    pcre2_set_match_limit(p->context, MATCH_LIMIT);
    pcre2_set_depth_limit(p->context, MATCH_LIMIT);
    *patternp = p;
    return 0;
}

int
pattern_matches(const struct pattern *p, struct ss_span text)
{
    /* 0 is a match too: it had more groups than the match data holds. A pattern that exceeds its limit does not match.
     */
    int r = pcre2_match(p->code, (PCRE2_SPTR)(text.len ? text.ptr : ""), text.len, 0, 0, p->data, p->context);
    return r == PCRE2_ERROR_NOMEMORY ? -ENOMEM : r >= 0;
}

void
pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->context);
    pcre2_match_data_free(p->data);
    free(p);
}

void
pattern_print_name(FILE *out, struct ss_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool is_word =
            (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == ':' || c > 0x7f;
        fprintf(out, is_word ? "%c" : c <= ' ' || c == 0x7f ? "\\x%02x" : "\\%c", c);
    }
}
