/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition.h"

#include "service/base/http_list.h"
#include "service/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { LABELS_MAX = 8 };

/* Negotiation. */

/* Whether a media range of Accept matches a type, of this version or without one. */
static bool
matches(const struct http_list_element *range, const char *type, const char *version)
{
    struct ss_span value;
    return http_list_equals(range->name, type) &&
           (!http_list_param(range, "version", &value) || http_list_equals(value, version));
}

bool
exposition_wants_openmetrics(const char *accept)
{
    struct http_list_element range;
    int openmetrics = 0, text = 0;
    while (http_list_next(&accept, &range)) {
        int q = http_list_weight(&range);
        if (matches(&range, "application/openmetrics-text", "1.0.0"))
            openmetrics = q > openmetrics ? q : openmetrics;
        else if (matches(&range, "text/plain", "0.0.4"))
            text = q > text ? q : text;
    }
    return openmetrics > 0 && openmetrics >= text;
}

const char *
exposition_content_type(bool openmetrics)
{
    return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8";
}

/* Writing. */

/* Escapes line feeds, backslashes and, if asked to, quotes. */
static void
put_escaped(FILE *out, const char *text, bool quotes)
{
    while (*text) {
        size_t n = utf8_len(text);
        if (!n)
            fputs(UTF8_REPLACEMENT, out);
        else if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\\' || (quotes && *text == '"'))
            fprintf(out, "\\%c", *text);
        else
            fwrite(text, 1, n, out);
        text += n ? n : 1;
    }
}

/* The shortest text that reads back as the number. */
static void
put_number(FILE *out, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, out);
}

static void
put_sample(struct exposition *e, const char *name, const char *suffix, const struct metric_label *labels, size_t n,
           double value)
{
    fprintf(e->out, "%s%s", name, suffix);
    for (size_t i = 0; i < n; i++) {
        fprintf(e->out, "%c%s=\"", i ? ',' : '{', labels[i].name);
        put_escaped(e->out, labels[i].value, true);
        fputc('"', e->out);
    }
    fputs(n ? "} " : " ", e->out);
    put_number(e->out, value);
    fputc('\n', e->out);
}

void
exposition_family(struct exposition *e, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "info"};
    static const char *const suffixes[] = {"_total", "", "", "_info"};
    int len = (int)strlen(name);

    if (e->openmetrics)
        len -= (int)strlen(suffixes[type]);
    else if (type == METRIC_INFO)
        type = METRIC_GAUGE; /* text 0.0.4 has no such type */
    fprintf(e->out, "# HELP %.*s ", len, name);
    put_escaped(e->out, help, e->openmetrics);
    fprintf(e->out, "\n# TYPE %.*s %s\n", len, name, types[type]);
}

void
exposition_sample(struct exposition *e, const char *name, const struct metric_label *labels, size_t n, double value)
{
    put_sample(e, name, "", labels, n, value);
}

void
histogram_observe(struct histogram *histogram, const struct histogram_bound *bounds, double value)
{
    size_t i = 0;
    while (bounds[i].le && value > bounds[i].max)
        i++;
    histogram->counts[i]++;
    histogram->sum += value;
}

void
exposition_histogram(struct exposition *e, const char *name, const struct metric_label *labels, size_t n,
                     const struct histogram *histogram, const struct histogram_bound *bounds)
{
    struct metric_label with_le[LABELS_MAX];
    uint64_t sum = 0;

    memcpy(with_le, labels, n * sizeof(*labels));
    for (size_t i = 0;; i++) {
        sum += histogram->counts[i];
        with_le[n] = (struct metric_label){"le", bounds[i].le ? bounds[i].le : "+Inf"};
        put_sample(e, name, "_bucket", with_le, n + 1, (double)sum);
        if (!bounds[i].le)
            break;
    }
    put_sample(e, name, "_sum", labels, n, histogram->sum);
    put_sample(e, name, "_count", labels, n, (double)sum);
}

void
exposition_end(struct exposition *e)
{
    if (e->openmetrics)
        fputs("# EOF\n", e->out);
}
