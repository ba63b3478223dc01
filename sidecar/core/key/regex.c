/* SPDX-License-Identifier: Apache-2.0 */
#include "regex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    /* A pattern for names or values matches within some hundred steps; PCRE2's own limit of 10,000,000 would take a
       tenth of a second per name and scrape. */
    MATCH_LIMIT = 100 * 1000,
    HEAP_LIMIT_KIB = 4 * 1024,
};

int
regex_state_init(struct regex_state *state, uint32_t groups)
{
    state->context = pcre2_match_context_create(NULL);
    state->data = pcre2_match_data_create(groups + 1, NULL);
    if (!state->context || !state->data)
        return -ENOMEM;
    pcre2_set_match_limit(state->context, MATCH_LIMIT);
    pcre2_set_depth_limit(state->context, MATCH_LIMIT);
    pcre2_set_heap_limit(state->context, HEAP_LIMIT_KIB);
    return 0;
}

void
regex_state_deinit(struct regex_state *state)
{
    pcre2_match_data_free(state->data);
    pcre2_match_context_free(state->context);
}

int
rule_refuse(struct ss_rule_error *error, size_t offset, const char *reason)
{
    error->offset = offset;
    snprintf(error->reason, sizeof(error->reason), "%s", reason);
    return EINVAL;
}

/* No \C, which could stop inside a character. */
int
regex_compile(pcre2_code **codep, struct ss_span pattern, struct ss_rule_error *error)
{
    const uint32_t options =
        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
    char reason[160];
    PCRE2_SIZE offset;
    int code;

    *codep = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset, NULL);
    if (!*codep) {
        if (code == PCRE2_ERROR_HEAP_FAILED)
            return -ENOMEM;
        regex_error_text(code, reason, sizeof(reason));
        return rule_refuse(error, offset, reason);
    }
    /* Without the JIT, as on a kernel that forbids executable memory, matching is only slower. */
    (void)pcre2_jit_compile(*codep, PCRE2_JIT_COMPLETE);
    return 0;
}

/* Whether all bytes are ASCII, eight at a time. */
static bool
is_ascii(struct ss_span text)
{
    const char *p = text.ptr, *end = p + text.len;
    uint64_t bits = 0, word;
    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        bits |= word;
    }
    for (; p < end; p++)
        bits |= (unsigned char)*p;
    return !(bits & UINT64_C(0x8080808080808080));
}

/* PCRE2_MATCH_INVALID_UTF would match fragments of what is not UTF-8 where there is no JIT. */
int
regex_match(const pcre2_code *code, struct ss_span subject, const struct regex_state *state)
{
    PCRE2_SPTR bytes = (PCRE2_SPTR)(subject.len ? subject.ptr : "");
    int n = PCRE2_ERROR_JIT_BADOPTION;
    /* Straight to the compiled code, which does not check for UTF-8. */
    if (is_ascii(subject))
        n = pcre2_jit_match(code, bytes, subject.len, 0, 0, state->data, state->context);
    if (n == PCRE2_ERROR_JIT_BADOPTION) /* or there is none */
        n = pcre2_match(code, bytes, subject.len, 0, 0, state->data, state->context);
    /* The JIT's 32 KiB stack is too small for some subjects; the interpreter has only the limits. */
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(code, bytes, subject.len, 0, PCRE2_NO_JIT, state->data, state->context);
    bool no_utf8 = n <= PCRE2_ERROR_UTF8_ERR1 && n >= PCRE2_ERROR_UTF8_ERR21;
    return n == PCRE2_ERROR_NOMATCH || no_utf8 ? 0 : n < 0 ? n : 1;
}

void
regex_error_text(int error, char *text, size_t size)
{
    pcre2_get_error_message(error, (PCRE2_UCHAR *)text, size);
}

void
regex_free(pcre2_code *code)
{
    pcre2_code_free(code);
}
