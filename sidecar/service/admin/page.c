/* SPDX-License-Identifier: Apache-2.0 */
/* The shard page: its frame, and the section of each endpoint. */
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
page_security_policy(char *policy, size_t size)
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

/* The endpoint. */

static void
write_health(const struct page_view *v, const struct shard_tracker *tracker)
{
    if (tracker->by_upstream.when > tracker->last)
        page_print_state(v, "bad", "upstream failing");
    else if (tracker->last == NEVER_SCRAPED)
        page_print_state(v, "quiet",
                         tracker->by_other.when == NEVER_SCRAPED ? "not scraped yet" : "no successful scrape yet");
    else
        page_print_state(v, "good", "healthy");
}

static void
write_failure(const struct page_view *v, const char *what, const struct tracked_failure *f)
{
    if (f->when == NEVER_SCRAPED)
        return;
    HTML(v->out, "<dt>{}</dt><dd>", what);
    page_print_ago(v, f->when);
    HTML(v->out, *f->peer ? ", requested by {}: <code>{}</code>: {}</dd>\n" : "{}: <code>{}</code>: {}</dd>\n", f->peer,
         f->outcome, f->reason);
}

static void
write_whole(const struct page_view *v, const struct tracked_set *whole)
{
    if (whole->last == NEVER_SCRAPED)
        return;
    fputs("<dt>Whole body</dt><dd>last scraped ", v->out);
    page_print_ago(v, whole->last);
    HTML(v->out, " by {}: {} series, {}</dd>\n", whole->peer, html_count(whole->series).text,
         html_bytes(whole->bytes).text);
}

static void
write_facts(const struct page_view *v, const struct telemetry_endpoint *e, const struct endpoint *endpoint)
{
    const struct shard_tracker *tracker = &e->tracker;
    uint64_t failed = 0;
    for (size_t i = 1; i < LABELS_OUTCOME_MAX; i++)
        failed += e->scrapes[i];

    HTML(v->out, "<dl class=\"facts\">\n<dt>Path</dt><dd><code>{}</code></dd>\n", endpoint->path);
    HTML(v->out, "<dt>Upstream</dt><dd><code>{}</code></dd>\n", endpoint->url.shown);
    HTML(v->out, "<dt>Scrapes</dt><dd>{} succeeded, {} failed", html_count(e->scrapes[0]).text,
         html_count(failed).text);
    if (tracker->last != NEVER_SCRAPED) {
        fputs("; last success ", v->out);
        page_print_ago(v, tracker->last);
    }
    fputs("</dd>\n", v->out);
    write_whole(v, &tracker->whole);
    write_failure(v, "Last upstream failure", &tracker->by_upstream);
    write_failure(v, "Last other failure", &tracker->by_other);
    fputs("</dl>\n", v->out);
}

static void
write_families(const struct page_view *v, const struct shard_tracker *tracker, size_t id)
{
    if (!tracker->n_families)
        return;
    char anchor[32];
    snprintf(anchor, sizeof(anchor), "e%zu-families", id);
    HTML(v->out,
         "<h3>Largest families</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{}\">"
         "<table><caption id=\"{}\">In the last complete body</caption>\n<thead><tr><th scope=\"col\">Family"
         "</th><th scope=\"col\" class=\"wide\"><span class=\"hidden\">Bar</span></th><th scope=\"col\">Series</th>"
         "<th scope=\"col\">Size</th></tr></thead><tbody>\n",
         anchor, anchor);
    for (const struct tracked_family *f = tracker->families; f < tracker->families + tracker->n_families; f++) {
        HTML(v->out, "<tr><th scope=\"row\" class=\"name\"><code>{}</code></th>", f->name);
        page_print_bar(v, (double)f->series, (double)tracker->families[0].series, "");
        HTML(v->out, "<td>{}</td><td>{}</td></tr>\n", html_count(f->series).text, html_bytes(f->bytes).text);
    }
    fputs("</tbody></table></div>\n<p class=\"soft\">A histogram or summary counts as one series in protobuf and "
          "OpenMetrics 2.0, in other formats as one for each of its samples.</p>\n",
          v->out);
}

static void
write_endpoint(const struct page_view *v, const struct telemetry_endpoint *e, size_t id)
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
    page_groups(v, e, id);
    fputs("</section>\n", v->out);
}

/* The page. */

static void
write_head(const struct page_view *v)
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
    page_print_state(v, v->page->ready ? "good" : "bad", v->page->ready ? "ready" : "shutting down");
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
             "<p class=\"alarm\">The last reload failed; the configuration of {} remains in use. See the log for the "
             "reason.</p>\n",
             html_time((int64_t)t->reload_time).text);
}

int
page_write(const struct shard_page *page, char **textp, size_t *lenp)
{
    struct page_view v = {open_memstream(textp, lenp), page, telemetry_now()};
    if (!v.out)
        return -ENOMEM;
    write_head(&v);
    for (size_t i = 0; i < page->telemetry->n_endpoints; i++)
        write_endpoint(&v, &page->telemetry->endpoints[i], i);
    page_explain(&v);
    page_what_if(&v);
    HTML(v.out,
         "</main>\n<footer><span>As of <time>{}</time>; reload the page to update it.</span></footer>\n</body>\n"
         "</html>\n",
         html_time(page_wall_time(&v, v.now)).text);
    if (ferror(v.out) | fclose(v.out) || !*textp) {
        free(*textp);
        return -ENOMEM;
    }
    return 0;
}
