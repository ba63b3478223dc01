/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include <stdio.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Names and label values match in some hundred steps. */
enum { MATCH_LIMIT = 100 * 1000 };

static pcre2_code *
compile(struct ss_span pattern, char *reason, size_t size)
{
    const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    PCRE2_SIZE offset;
    int code;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)(pattern.len ? pattern.ptr : ""), pattern.len, options, &code, &offset, NULL);
    if (compiled || !size)
        return compiled;
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, size);
    size_t len = strlen(reason);
    snprintf(reason + len, size - len, " (at byte %zu)", (size_t)offset + 1);
    return NULL;
}

bool
pattern_check(struct ss_span pattern, char *reason, size_t size)
{
    pcre2_code *code = compile(pattern, reason, size);
    pcre2_code_free(code);
    return !code;
}

pcre2_code *
pattern_new(struct ss_span pattern)
{
    return compile(pattern, NULL, 0);
}

bool
pattern_has(const pcre2_code *code, struct ss_span text)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool has = false;

    if (context && data) {
        pcre2_set_match_limit(context, MATCH_LIMIT);
        pcre2_set_depth_limit(context, MATCH_LIMIT);
        /* One pair is enough: 0 says that there were more. */
        has = pcre2_match(code, (PCRE2_SPTR)(text.len ? text.ptr : ""), text.len, 0, 0, data, context) >= 0;
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return has;
}

void
pattern_free(pcre2_code *code)
{
    pcre2_code_free(code);
}

bool
pattern_matches(struct ss_span pattern, struct ss_span text)
{
    pcre2_code *code = pattern_new(pattern);
    bool matches = code && pattern_has(code, text);
    pcre2_code_free(code);
    return matches;
}
