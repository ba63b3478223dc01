/* SPDX-License-Identifier: Apache-2.0 */
#include "html.h"

#include "service/base/utf8.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

static const char *
entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void
html_text(FILE *out, const char *text)
{
    while (*text) {
        size_t n = utf8_len(text);
        bool control = n == 1 && ((unsigned char)*text < ' ' || *text == 0x7f) && !strchr("\t\n", *text);
        const char *instead = !n || control ? UTF8_REPLACEMENT : entity(*text);
        if (instead)
            fputs(instead, out);
        else
            fwrite(text, 1, n, out);
        text += n ? n : 1;
    }
}

void
html_fill(FILE *out, const char *const *texts)
{
    const char *template = *texts++;
    for (const char *mark; (mark = strstr(template, "{}")); template = mark + 2) {
        fwrite(template, 1, (size_t)(mark - template), out);
        if (*texts)
            html_text(out, *texts++);
    }
    fputs(template, out);
}

struct html_number
html_count(uint64_t n)
{
    struct html_number out;
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = 0;
    return out;
}

struct html_number
html_bytes(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    struct html_number out;
    double value = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(out.text, sizeof(out.text), "%" PRIu64 " B", bytes);
        return out;
    }
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    snprintf(out.text, sizeof(out.text), value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

struct html_number
html_ratio(double ratio)
{
    struct html_number out;
    snprintf(out.text, sizeof(out.text), "%.2f", ratio);
    return out;
}

struct html_number
html_duration(int64_t ms)
{
    static const struct {
        int64_t ms, max;
        const char *unit;
    } units[] = {{1000, 2 * 60 * 1000, "s"},
                 {60 * 1000, 2 * 60 * 60 * 1000, "min"},
                 {60 * 60 * 1000, 48 * INT64_C(3600000), "h"},
                 {24 * INT64_C(3600000), INT64_MAX, "d"}};
    struct html_number out;
    size_t i = 0;
    while (ms >= units[i].max)
        i++;
    snprintf(out.text, sizeof(out.text), "%" PRId64 " %s", ms / units[i].ms, units[i].unit);
    return out;
}

struct html_number
html_time(int64_t seconds)
{
    struct html_number out;
    time_t t = (time_t)seconds;
    struct tm tm;
    strftime(out.text, sizeof(out.text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return out;
}

struct html_number
html_hash(uint64_t hash)
{
    struct html_number out;
    snprintf(out.text, sizeof(out.text), "0x%016" PRIx64, hash);
    return out;
}

struct html_number
html_percent(double part, double of)
{
    struct html_number out;
    snprintf(out.text, sizeof(out.text), "%.2f", of > 0 ? 100 * part / of : 0);
    return out;
}
