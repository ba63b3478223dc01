/* SPDX-License-Identifier: Apache-2.0 */
/* The form that explains which shard a series is in, and why. */
#include "page_parts.h"
#include "service/config/config.h"

#include <stdlib.h>
#include <string.h>

/* Whether the shard is scraped, at each endpoint where it is expected. */
static void
write_states(const struct page_view *v, uint32_t shard, uint32_t count)
{
    static const char *const states[] = {"is scraped", "is missing", "has not been seen yet"};
    const struct telemetry *t = v->page->telemetry;
    for (size_t i = 0; i < t->n_endpoints; i++) {
        const struct shard_tracker *tracker = &t->endpoints[i].tracker;
        for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++) {
            if (c->count != count || t->endpoints[i].removed || !shard_tracker_count_is_expected(tracker, c, v->now))
                continue;
            HTML(v->out, "<dt>At endpoint {}</dt><dd>it {}</dd>\n", t->endpoints[i].name,
                 states[shard_tracker_state(tracker, c, shard, shard_tracker_interval(tracker, c), v->now)]);
        }
    }
}

/* Writes a term and a span. */
static void
write_span(const struct page_view *v, const char *name, struct ss_span span)
{
    char *text = span.len ? strndup(span.ptr, span.len) : NULL;
    HTML(v->out, "<dt>{}</dt><dd><code>{}</code></dd>\n", name, text ? text : "");
    free(text);
}

/* How much of a group each endpoint's last body had. */
static void
write_group_sizes(const struct page_view *v, uint64_t hash)
{
    const struct telemetry *t = v->page->telemetry;
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++) {
        const struct named_group *g =
            e->removed || !e->distribution.when ? NULL : distribution_group(&e->distribution, hash);
        if (!g)
            continue;
        HTML(v->out, "<dt>Group at endpoint {}</dt><dd>{} famil{}, {} series{}", e->name, html_count(g->families).text,
             g->families == 1 ? "y" : "ies", html_count(g->series).text, g->families ? ": " : "");
        page_print_members(v, g);
        fputs("</dd>\n", v->out);
    }
}

/* Of a colocate rule that names its key: all families of that name, which are together. */
static void
write_group(const struct page_view *v, const struct ss_explanation *x)
{
    const struct string_list *rules = &v->page->config->colocate;
    const char *colon = x->pattern.len ? memchr(x->pattern.ptr, ':', x->pattern.len) : NULL;
    bool first = true;

    if (!colon || !x->action || strcmp(x->action, "colocate") != 0 || x->key.len != (size_t)(colon - x->pattern.ptr) ||
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
    if (!first)
        write_group_sizes(v, x->hash);
}

static void
write_pattern(const struct page_view *v, const char *name, const char *action, struct ss_span pattern)
{
    char *text = strndup(pattern.ptr, pattern.len);
    HTML(v->out, "<dt>{}</dt><dd>{} = <code>{}</code></dd>\n", name, action, text ? text : "");
    free(text);
}

static void
write_rule(const struct page_view *v, const struct ss_explanation *x)
{
    if (x->pattern.len)
        write_pattern(v, "Rule", x->action, x->pattern);
    else
        HTML(v->out, "<dt>Rule</dt><dd>{}</dd>\n", x->action ? "no keep rule matches" : "no rule applies");
    if (x->label_action && x->label_pattern.ptr != x->pattern.ptr)
        write_pattern(v, "By its labels", x->label_action, x->label_pattern);
}

/* The result for a valid series. */
static void
write_explanation(const struct page_view *v, const struct ss_explanation *x, uint32_t count)
{
    bool in_none = x->action && (!strcmp(x->action, "drop") || !strcmp(x->action, "keep"));
    bool in_all = x->action && !strcmp(x->action, "replicate");
    uint32_t shard = ss_sharding_place(v->page->config->sharding, x->hash, count);
    char number[16], of[16];
    snprintf(number, sizeof(number), "%u", shard);
    snprintf(of, sizeof(of), "%u", count);

    fputs("<dl class=\"facts\" id=\"result\">\n", v->out);
    if (in_none)
        fputs("<dt>Shard</dt><dd><strong>none</strong>: it is dropped</dd>\n", v->out);
    else if (in_all)
        HTML(v->out, "<dt>Shard</dt><dd><strong>all {}</strong></dd>\n", of);
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
        write_states(v, shard, count);
    fputs("</dl>\n", v->out);
}

/* The result of the form; count 0: *error says what is wrong with the count. */
static void
write_result(const struct page_view *v, uint32_t count, const struct ss_shards_error *error)
{
    const char *series = v->page->series;
    struct ss_explanation explanation = {.reason = ""};
    if (!count) {
        HTML(v->out, "<p class=\"alarm\" id=\"result\">Number of shards: {}</p>\n", error->reason);
        return;
    }
    int r = ss_explain(v->page->config->sharding, (struct ss_span){series, strlen(series)}, &explanation);
    if (r)
        HTML(v->out, "<p class=\"alarm\" id=\"result\">{}: {}</p>\n", series,
             r < 0 ? "out of memory" : explanation.reason);
    else
        write_explanation(v, &explanation, count);
}

void
page_explain(const struct page_view *v)
{
    struct ss_shards_error error;
    struct html_number filled;
    uint32_t count = page_parse_count(v, v->page->shard_count, &error, &filled);
    HTML(
        v->out,
        "<section aria-labelledby=\"explain\">\n<h2 id=\"explain\">Which shard is a series in?</h2>\n"
        "<form action=\"/#explain\" method=\"get\">\n<div class=\"grow\"><label for=\"series\">Metric, optionally with "
        "labels</label><input id=\"series\" name=\"series\" required maxlength=\"2000\" autocomplete=\"off\" "
        "spellcheck=\"false\" value=\"{}\"></div>\n<div><label for=\"shard_count\">Number of shards</label><input "
        "id=\"shard_count\" name=\"shard_count\" type=\"number\" min=\"1\" max=\"65536\" required value=\"{}\"></div>\n"
        "<button>Explain</button>\n</form>\n",
        v->page->series ? v->page->series : "", filled.text);
    if (v->page->series)
        write_result(v, count, &error);
    fputs("</section>\n", v->out);
}
