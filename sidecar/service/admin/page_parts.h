/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PAGE_PARTS_H
#define SERVICE_PAGE_PARTS_H
/* The parts of the shard page. Private to page*.c. */
#include "html.h"
#include "page.h"
#include "service/telemetry/telemetry.h"

struct page_view {
    FILE *out;
    const struct shard_page *page;
    int64_t now; /* telemetry_now() */
};

/* A time of telemetry_now(), in seconds since 1970. */
int64_t page_wall_time(const struct page_view *v, int64_t time);

/* "<time>5 s ago</time>". */
void page_print_ago(const struct page_view *v, int64_t time);

/* A state with a mark for those who see no colours. kind is a class of the style: good, bad or quiet. */
void page_print_state(const struct page_view *v, const char *kind, const char *word);

/* A table cell with a bar of length part / of. kind is a class of the style. */
void page_print_bar(const struct page_view *v, double part, double of, const char *kind);

/* Parses the number of shards sent by a form (NULL: none). 0: invalid, and *error says why. *filled is the value to
   show in the form's field. */
uint32_t page_parse_count(const struct page_view *v, const char *text, struct ss_shards_error *error,
                          struct html_number *filled);

/* The shards of every expected count of an endpoint. id distinguishes endpoints in anchors. */
void page_shards(const struct page_view *v, const struct telemetry_endpoint *e, size_t id);

/* The named groups of an endpoint, and what each holds together. */
void page_groups(const struct page_view *v, const struct telemetry_endpoint *e, size_t id);

/* The largest families of a group, and how many more there are. */
void page_print_members(const struct page_view *v, const struct named_group *group);

/* The form that explains a series, and its result. */
void page_explain(const struct page_view *v);

/* The form that simulates another number of shards, and its result. */
void page_what_if(const struct page_view *v);

extern const char page_style[];

#endif
