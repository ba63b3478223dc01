/* SPDX-License-Identifier: Apache-2.0 */
#include "escape.h"

#include "service/base/utf8.h"

#include <stdbool.h>
#include <string.h>

size_t
utf8_char_len(const char *p, const char *end)
{
    char four[5] = {0};
    memcpy(four, p, end - p < 4 ? (size_t)(end - p) : 4);
    return *four ? utf8_len(four) : 1;
}

static bool
is_control(const char *p, size_t len)
{
    const unsigned char *c = (const unsigned char *)p;
    return len == 1 ? *c < 0x20 || *c == 0x7f : len == 2 && c[0] == 0xc2 && c[1] < 0xa0;
}

static void
print_text(FILE *out, struct ss_span text, bool keep_backslash)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        size_t n = utf8_char_len(p, end);
        if (n && !is_control(p, n)) {
            if (*p == '\\' && !keep_backslash)
                putc('\\', out);
            fwrite(p, 1, n, out);
        } else if (*p == '\n' || *p == '\t') {
            fputs(*p == '\n' ? "\\n" : "\\t", out);
        } else {
            for (size_t i = 0; i < (n ? n : 1); i++)
                fprintf(out, "\\x%02x", (unsigned char)p[i]);
        }
        p += n ? n : 1;
    }
}

void
print_escaped(FILE *out, struct ss_span text)
{
    print_text(out, text, false);
}

void
print_escaped_controls(FILE *out, struct ss_span text)
{
    print_text(out, text, true);
}
