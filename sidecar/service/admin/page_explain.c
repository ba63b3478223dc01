/* SPDX-License-Identifier: Apache-2.0 */
/* The form that explains which shard a series is in, and why. */
#include "page_parts.h"
#include "service/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The count that a form begins with: one that should be there. */
static uint32_t
likely_count(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        for (const struct tracked_count *c = e->tracker.counts; c < e->tracker.counts + TRACKED_COUNTS; c++)
            if (!e->left && shard_tracker_count_is_expected(&e->tracker, c, v->now))
                return c->count;
    return 2;
}

uint32_t
page_asked_count(const struct view *v, const char *text, struct ss_shards_error *wrong, struct html_number *filled)
{
    uint32_t count = 0;
    ss_shard_count_parse(&count, text ? (struct ss_span){text, strlen(text)} : (struct ss_span){"", 0}, wrong);
    snprintf(filled->text, sizeof(filled->text), "%u", count ? count : likely_count(v));
    return count;
}

/* Who scrapes the shard, at each endpoint where somebody should. */
static void
write_scrapers(const struct view *v, uint32_t shard, uint32_t count)
{
    static const char *const states[] = {"is scraped", "is missing", "was not seen yet"};
    const struct telemetry *t = v->page->telemetry;
    for (size_t i = 0; i < t->n_endpoints; i++) {
        const struct shard_tracker *w = &t->endpoints[i].tracker;
        for (const struct tracked_count *c = w->counts; c < w->counts + TRACKED_COUNTS; c++) {
            if (c->count != count || t->endpoints[i].left || !shard_tracker_count_is_expected(w, c, v->now))
                continue;
            HTML(v->out, "<dt>At endpoint {}</dt><dd>it {}</dd>\n", t->endpoints[i].name,
                 states[shard_tracker_state(w, c, shard, shard_tracker_interval(w, c), v->now)]);
        }
    }
}

/* Writes a span as a text. */
static void
write_span(const struct view *v, const char *name, struct ss_span span)
{
    char *text = span.len ? strndup(span.ptr, span.len) : NULL;
    HTML(v->out, "<dt>{}</dt><dd><code>{}</code></dd>\n", name, text ? text : "");
    free(text);
}

/* Of a colocate rule that names its key: all families of that name, which are together. */
static void
write_group(const struct view *v, const struct ss_explanation *x)
{
    const struct string_list *rules = &v->page->config->colocate;
    const char *colon = x->pattern.len ? memchr(x->pattern.ptr, ':', x->pattern.len) : NULL;
    bool first = true;

    if (!colon || strcmp(x->action, "colocate") != 0 || x->key.len != (size_t)(colon - x->pattern.ptr) ||
        memcmp(x->key.ptr, x->pattern.ptr, x->key.len) != 0)
        return;
    for (size_t i = 0; i < rules->n; i++) {
        const char *rule = rules->items[i];
        if (strncmp(rule, x->pattern.ptr, x->key.len + 1) != 0)
            continue;
        fputs(first ? "<dt>Together with</dt><dd>" : ", ", v->out);
        HTML(v->out, "<code>{}</code>", rule + x->key.len + 1 + strspn(rule + x->key.len + 1, " \t"));
        first = false;
    }
    fputs(first ? "" : "</dd>\n", v->out);
}

static void
write_rule(const struct view *v, const struct ss_explanation *x)
{
    if (!x->pattern.len) {
        HTML(v->out, "<dt>Rule</dt><dd>{}</dd>\n", x->action ? "no keep rule matches" : "none decides");
        return;
    }
    char *pattern = strndup(x->pattern.ptr, x->pattern.len);
    HTML(v->out, "<dt>Rule</dt><dd>{} = <code>{}</code></dd>\n", x->action, pattern ? pattern : "");
    free(pattern);
}

/* The answer of a series that was understood. */
static void
write_explanation(const struct view *v, const struct ss_explanation *x, uint32_t count)
{
    bool in_none = x->action && (!strcmp(x->action, "drop") || !strcmp(x->action, "keep"));
    bool in_all = x->action && !strcmp(x->action, "replicate");
    uint32_t shard = ss_sharding_place(v->page->config->sharding, x->hash, count);
    char number[16], of[16];
    snprintf(number, sizeof(number), "%u", shard);
    snprintf(of, sizeof(of), "%u", count);

    fputs("<dl class=\"facts\" id=\"answer\">\n", v->out);
    if (in_none)
        fputs("<dt>Shard</dt><dd><strong>none</strong>: it goes to nobody</dd>\n", v->out);
    else if (in_all)
        HTML(v->out, "<dt>Shard</dt><dd><strong>every one</strong> of {}</dd>\n", of);
    else
        HTML(v->out, "<dt>Shard</dt><dd><strong>{}</strong> of {}</dd>\n", number, of);
    write_span(v, "Family", x->family);
    if (!in_none && !in_all) {
        write_span(v, "Key", x->key);
        HTML(v->out, "<dt>Hash</dt><dd><code>{}</code></dd>\n", html_hash(x->hash).text);
    }
    write_rule(v, x);
    write_group(v, x);
    if (!in_none && !in_all)
        write_scrapers(v, shard, count);
    fputs("</dl>\n", v->out);
}

/* The answer to what the form asks; with count 0, what is wrong with that. */
static void
write_answer(const struct view *v, uint32_t count, const struct ss_shards_error *wrong)
{
    const char *series = v->page->series;
    struct ss_explanation explanation = {.reason = ""};
    if (!count) {
        HTML(v->out, "<p class=\"alarm\" id=\"answer\">Shards in all: {}</p>\n", wrong->reason);
        return;
    }
    int r = ss_explain(v->page->config->sharding, (struct ss_span){series, strlen(series)}, &explanation);
    if (r)
        HTML(v->out, "<p class=\"alarm\" id=\"answer\">{}: {}</p>\n", series,
             r < 0 ? "there is no memory left for the answer" : explanation.reason);
    else
        write_explanation(v, &explanation, count);
}

void
page_explain(const struct view *v)
{
    struct ss_shards_error wrong;
    struct html_number filled;
    uint32_t count = page_asked_count(v, v->page->shard_count, &wrong, &filled);
    HTML(
        v->out,
        "<section aria-labelledby=\"explain\">\n<h2 id=\"explain\">Which shard is it in?</h2>\n"
        "<form action=\"/#explain\" method=\"get\">\n<div class=\"grow\"><label for=\"series\">Metric, perhaps with "
        "labels</label><input id=\"series\" name=\"series\" required maxlength=\"2000\" autocomplete=\"off\" "
        "spellcheck=\"false\" value=\"{}\"></div>\n<div><label for=\"shard_count\">Shards in all</label><input "
        "id=\"shard_count\" name=\"shard_count\" type=\"number\" min=\"1\" max=\"65536\" required value=\"{}\"></div>\n"
        "<button>Explain</button>\n</form>\n",
        v->page->series ? v->page->series : "", filled.text);
    if (v->page->series)
        write_answer(v, count, &wrong);
    fputs("</section>\n", v->out);
}
