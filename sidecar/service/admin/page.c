/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the shard page, and what it says of each endpoint. */
#include "page.h"

#include "page_parts.h"
#include "service/config/config.h"

#include <scrapeshard/version.h>

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
page_sharding_policy(char *policy, size_t size)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char base64[2 * EVP_MAX_MD_SIZE] = "";
    unsigned len = 0;
    if (EVP_Digest(page_style, strlen(page_style), hash, &len, EVP_sha256(), NULL))
        EVP_EncodeBlock((unsigned char *)base64, hash, (int)len);
    snprintf(policy, size,
             "default-src 'none'; style-src 'sha256-%s'; img-src data:; form-action 'self'; base-uri 'none'; "
             "frame-ancestors 'none'",
             base64);
}

/* A time of the watches' clock, in seconds since 1970. */
static int64_t
wall_time(const struct view *v, int64_t time)
{
    return telemetry_wall(v->page->telemetry, time) / 1000;
}

void
page_print_ago(const struct view *v, int64_t time)
{
    HTML(v->out, "<time datetime=\"{}\">{} ago</time>", html_time(wall_time(v, time)).text,
         html_duration(v->now - time).text);
}

void
page_state(const struct view *v, const char *kind, const char *word)
{
    const char *mark = !strcmp(kind, "good") ? "\u2713" : !strcmp(kind, "bad") ? "\u2717" : "\u25cb";
    HTML(v->out, "<span class=\"state {}\"><span aria-hidden=\"true\">{}</span> {}</span>", kind, mark, word);
}

/* The endpoint. */

static void
write_health(const struct view *v, const struct shard_tracker *w)
{
    if (w->by_service.when > w->last)
        page_state(v, "bad", "the service fails");
    else if (w->last == NEVER_SCRAPED)
        page_state(v, "quiet", w->by_others.when == NEVER_SCRAPED ? "not scraped yet" : "not scraped well yet");
    else
        page_state(v, "good", "healthy");
}

static void
write_failure(const struct view *v, const char *what, const struct tracked_failure *f)
{
    if (f->when == NEVER_SCRAPED)
        return;
    HTML(v->out, "<dt>{}</dt><dd>", what);
    page_print_ago(v, f->when);
    HTML(v->out, *f->peer ? ", asked by {}: <code>{}</code>: {}</dd>\n" : "{}: <code>{}</code>: {}</dd>\n", f->peer,
         f->outcome, f->reason);
}

static void
write_whole(const struct view *v, const struct tracked_set *whole)
{
    if (whole->last == NEVER_SCRAPED)
        return;
    fputs("<dt>Whole body</dt><dd>last scraped ", v->out);
    page_print_ago(v, whole->last);
    HTML(v->out, " by {}: {} series, {}</dd>\n", whole->peer, html_count(whole->series).text,
         html_bytes(whole->bytes).text);
}

static void
write_facts(const struct view *v, const struct telemetry_endpoint *e, const struct endpoint *endpoint)
{
    const struct shard_tracker *w = &e->tracker;
    uint64_t failed = 0;
    for (size_t i = 1; i < WORDS_OUTCOME_MAX; i++)
        failed += e->scrapes[i];

    HTML(v->out, "<dl class=\"facts\">\n<dt>Path</dt><dd><code>{}</code></dd>\n", endpoint->path);
    HTML(v->out, "<dt>Service</dt><dd><code>{}</code></dd>\n", endpoint->url.shown);
    HTML(v->out, "<dt>Scrapes</dt><dd>{} went well, {} did not", html_count(e->scrapes[0]).text,
         html_count(failed).text);
    if (w->last != NEVER_SCRAPED) {
        fputs("; the last that did ", v->out);
        page_print_ago(v, w->last);
    }
    fputs("</dd>\n", v->out);
    write_whole(v, &w->whole);
    write_failure(v, "Last failure of the service", &w->by_service);
    write_failure(v, "Last other failure", &w->by_others);
    fputs("</dl>\n", v->out);
}

static void
write_families(const struct view *v, const struct shard_tracker *w, size_t id)
{
    if (!w->n_families)
        return;
    char anchor[32];
    snprintf(anchor, sizeof(anchor), "e%zu-families", id);
    HTML(v->out,
         "<h3>Largest families</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{}\">"
         "<table><caption id=\"{}\">Of the whole body, as it last came</caption>\n<thead><tr><th scope=\"col\">Family"
         "</th><th scope=\"col\" class=\"wide\"><span class=\"hidden\">Bar</span></th><th scope=\"col\">Series</th>"
         "<th scope=\"col\">Size</th></tr></thead><tbody>\n",
         anchor, anchor);
    for (const struct tracked_family *f = w->families; f < w->families + w->n_families; f++) {
        HTML(v->out, "<tr><th scope=\"row\" class=\"name\"><code>{}</code></th>", f->name);
        page_bar(v, (double)f->series, (double)w->families[0].series, "");
        HTML(v->out, "<td>{}</td><td>{}</td></tr>\n", html_count(f->series).text, html_bytes(f->bytes).text);
    }
    fputs("</tbody></table></div>\n", v->out);
}

static void
write_endpoint(const struct view *v, const struct telemetry_endpoint *e, size_t id)
{
    const struct endpoint *endpoint = config_endpoint(v->page->config, e->name);
    char anchor[32];
    if (!endpoint)
        return;
    snprintf(anchor, sizeof(anchor), "e%zu", id);
    HTML(v->out, "<section aria-labelledby=\"{}\">\n<h2 id=\"{}\">Endpoint {} ", anchor, anchor, e->name);
    write_health(v, &e->tracker);
    fputs("</h2>\n", v->out);
    write_facts(v, e, endpoint);
    page_shards(v, e, id);
    write_families(v, &e->tracker, id);
    fputs("</section>\n", v->out);
}

/* The page. */

static void
write_head(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    HTML(v->out,
         "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\">\n<title>scrapeshard on {}</title>\n<link rel=\"icon\" "
         "href=\"data:,\">\n<style>",
         host);
    fputs(page_style, v->out);
    HTML(v->out,
         "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the "
         "endpoints</a>\n<header>\n<h1>scrapeshard "
         "on {}</h1>\n",
         host);
    page_state(v, v->page->ready ? "good" : "bad", v->page->ready ? "ready" : "shutting down");
    HTML(v->out, "<span class=\"soft\">version {}, up {}, {} in flight</span>\n", SS_VERSION,
         html_duration(v->now - t->began).text, html_count((uint64_t)t->scrapes_in_flight).text);
    fputs("<nav aria-label=\"Pages\"><ul><li><a href=\"#explain\">Which shard?</a></li><li><a href=\"#what-if\">What "
          "if?</a></li><li><a "
          "href=\"/metrics\">Metrics</a></li><li><a href=\"/-/config\">"
          "Configuration</a></li><li><a href=\"/-/healthy\">Health</a></li><li><a href=\"/-/ready\">Readiness</a></li>"
          "</ul></nav>\n</header>\n<main id=\"main\">\n",
          v->out);
    if (t->reload_successful == 0)
        HTML(v->out,
             "<p class=\"alarm\">The last reload failed: the configuration in force is that of {}. The log says "
             "why.</p>\n",
             html_time((int64_t)t->reload_time).text);
}

int
page_write(const struct shard_page *page, char **textp, size_t *lenp)
{
    struct view v = {open_memstream(textp, lenp), page, telemetry_now()};
    if (!v.out)
        return -ENOMEM;
    write_head(&v);
    for (size_t i = 0; i < page->telemetry->n_endpoints; i++)
        write_endpoint(&v, &page->telemetry->endpoints[i], i);
    page_explain(&v);
    page_what_if(&v);
    HTML(v.out,
         "</main>\n<footer><span>As of <time>{}</time>; load it again for what is new.</span></footer>\n</body>\n"
         "</html>\n",
         html_time(wall_time(&v, v.now)).text);
    if (ferror(v.out) | fclose(v.out) || !*textp) {
        free(*textp);
        return -ENOMEM;
    }
    return 0;
}
