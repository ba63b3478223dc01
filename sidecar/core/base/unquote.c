/* SPDX-License-Identifier: Apache-2.0 */
#include "unquote.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static char *
put_character(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* The value of n digits at *p, already validated. */
static bool
read_digits(const char **p, const char *end, size_t n, unsigned base, uint32_t *value)
{
    for (*value = 0; n; n--, (*p)++) {
        int digit = *p < end ? hex_digit(**p) : -1;
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        *value = *value * base + (uint32_t)digit;
    }
    return true;
}

/* Reads an escape after its backslash. NULL, or an error message. */
static const char *
unescape(const char **p, const char *end, char quote, char **out)
{
    static const char letters[] = "abfnrtv\\", meanings[] = "\a\b\f\n\r\t\v\\";
    char c = *(*p)++;
    const char *letter = c ? strchr(letters, c) : NULL;
    uint32_t value;

    if (letter || c == quote) {
        *(*out)++ = letter ? meanings[letter - letters] : quote;
        return NULL;
    }
    if (c >= '0' && c <= '7') {
        (*p)--;
        if (!read_digits(p, end, 3, 8, &value) || value > 255)
            return "expected three octal digits up to 377 after \\";
        *(*out)++ = (char)value;
        return NULL;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!digits)
        return "unknown escape after \\; write a backslash as \\\\";
    if (!read_digits(p, end, digits, 16, &value))
        return "expected hexadecimal digits: two after \\x, four after \\u, eight after \\U";
    if (c == 'x')
        *(*out)++ = (char)value;
    else if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return "not a valid Unicode code point";
    else
        *out = put_character(*out, value);
    return NULL;
}

int
string_unquote(struct ss_span quoted, struct arena *arena, struct ss_span *out, const char **reason)
{
    char quote = quoted.ptr[0];
    struct ss_span inner = {quoted.ptr + 1, quoted.len - 2};

    *out = inner;
    if (quote == '`' || !memchr(inner.ptr, '\\', inner.len))
        return 0;
    /* No escape decodes to more bytes than it is written with. */
    char *start = arena_alloc(arena, inner.len), *to = start;
    if (!start)
        return -ENOMEM;
    const char *p = inner.ptr, *end = p + inner.len;
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        p++;
        *reason = unescape(&p, end, quote, &to);
        if (*reason)
            return EINVAL;
    }
    *out = (struct ss_span){start, (size_t)(to - start)};
    return 0;
}
