/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PAGE_PARTS_H
#define SERVICE_PAGE_PARTS_H
/* The parts of the shard page. For page*.c alone. */
#include "html.h"
#include "page.h"
#include "service/telemetry/telemetry.h"

struct view {
    FILE *out;
    const struct shard_page *page;
    int64_t now; /* of the watches' clock */
};

/* "<time>5 s ago</time>". */
void page_print_ago(const struct view *v, int64_t time);

/* A state in a word, with a mark for those who see no colours; kind is a class of the style: good, bad or quiet. */
void page_state(const struct view *v, const char *kind, const char *word);

/* A table's cell with a bar, as long as a part is of a whole; kind is a class of the style. */
void page_bar(const struct view *v, double part, double of, const char *kind);

/* The shards of every count of an endpoint that should be there. id tells endpoints apart in anchors. */
void page_shards(const struct view *v, const struct telemetry_endpoint *e, size_t id);

/* The form that explains a series, and its answer. */
void page_explain(const struct view *v);

/* The form that asks what another count of shards would do, and its answer. */
void page_what_if(const struct view *v);

/* The count of shards that a form asks for (NULL: none), or 0 and what is wrong; its field is to be filled again. */
uint32_t page_asked_count(const struct view *v, const char *text, struct ss_shards_error *wrong,
                          struct html_number *filled);

extern const char page_style[];

#endif
