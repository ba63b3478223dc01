/* SPDX-License-Identifier: Apache-2.0 */
/* plan --json. */
#include "plan.h"

#include <string.h>

static void
write_balance(struct json *j, const char *key, const struct shard_balance *b)
{
    json_open_object(j, key);
    json_count(j, "shard_count", b->count);
    json_count(j, "fullest_shard", b->fullest);
    json_count(j, "most_series", b->most_series);
    json_count(j, "most_bytes", b->most_bytes);
    json_number(j, "mean_series", b->mean_series);
    json_number(j, "mean_bytes", b->mean_bytes);
    json_number(j, "skew_series", b->by_series);
    json_number(j, "skew_bytes", b->by_bytes);
    json_close_object(j);
}

static void
write_body(struct json *j, const struct plan *p)
{
    const struct plan_distribution *f = &p->distribution;
    json_open_object(j, "body");
    json_text(j, "source", (struct ss_span){p->name, strlen(p->name)});
    json_word(j, "format", ss_index_format(f->index));
    json_count(j, "series", f->series);
    json_count(j, "families", f->families);
    json_count(j, "bytes", f->bytes);
    json_count(j, "replicated_series", f->replicated);
    json_count(j, "dropped_series", f->dropped);
    json_close_object(j);
}

static void
write_shards(struct json *j, const struct plan *p)
{
    json_open_array(j, "shards");
    for (uint32_t i = 0; i < p->cli.count; i++) {
        json_open_object(j, NULL);
        json_count(j, "shard", i);
        json_count(j, "series", p->loads[i].series);
        json_count(j, "families", p->loads[i].families);
        json_count(j, "bytes", p->loads[i].bytes);
        json_close_object(j);
    }
    json_close_array(j);
}

static void
write_largest_families(struct json *j, const struct plan *p)
{
    json_open_array(j, "largest_families");
    for (size_t i = 0; i < p->n_largest; i++) {
        json_open_object(j, NULL);
        json_text(j, "family", p->largest[i].family);
        json_count(j, "series", p->largest[i].series);
        json_count(j, "bytes", p->largest[i].bytes);
        json_close_object(j);
    }
    json_close_array(j);
}

static void
write_label_cardinality(struct json *j, const struct plan *p)
{
    json_open_array(j, "label_cardinality");
    for (size_t i = 0; i < p->labels.n; i++) {
        const struct labelled_family *f = &p->labels.families[i];
        json_open_object(j, NULL);
        json_text(j, "family", f->family);
        json_count(j, "series", f->series);
        json_open_array(j, "labels");
        for (size_t k = 0; k < f->n_labels; k++) {
            json_open_object(j, NULL);
            json_text(j, "label", f->labels[k].name);
            json_count(j, "values", f->labels[k].n);
            json_flag(j, "at_least", f->labels[k].has_more);
            json_close_object(j);
        }
        json_close_array(j);
        json_flag(j, "more_labels", f->has_more_labels);
        json_close_object(j);
    }
    json_close_array(j);
}

static void
write_split_advice(struct json *j, const struct split_advice *a)
{
    if (!a->n) {
        json_null(j, "suggested_split");
        return;
    }
    json_open_object(j, "suggested_split");
    json_open_array(j, "split");
    for (size_t i = 0; i < a->n; i++)
        json_word(j, NULL, a->patterns[i]);
    json_close_array(j);
    json_count(j, "families", a->families);
    write_balance(j, "balance", &a->balance);
    json_close_object(j);
}

static void
write_split_all(struct json *j, const struct plan *p)
{
    const struct split_advice *c = &p->advice;
    if (c->few) {
        json_open_object(j, "few_splits");
        json_count(j, "families", c->few);
        write_balance(j, "balance", &c->few_balance);
        json_close_object(j);
    } else {
        json_null(j, "few_splits");
    }
    if (!c->tried_all) {
        json_null(j, "split_all");
        return;
    }
    json_open_object(j, "split_all");
    if (p->rules.whole)
        json_word(j, "colocate", p->rules.whole);
    else
        json_null(j, "colocate");
    write_balance(j, "balance", &c->all_balance);
    json_close_object(j);
}

static void
write_rules(struct json *j, const struct plan *p)
{
    const struct plan_rules *r = &p->rules;
    if (!r->n_paths) {
        json_null(j, "rules");
        return;
    }
    json_open_object(j, "rules");
    json_count(j, "rules", r->rules.n);
    json_count(j, "right", r->good);
    json_count(j, "right_after", r->good_after);
    json_open_array(j, "lines");
    for (size_t i = 0; i < r->derivation->n_lines; i++)
        json_word(j, NULL, r->derivation->lines[i].text);
    json_close_array(j);
    json_close_object(j);
}

static void
write_counts(struct json *j, const struct plan *p)
{
    json_open_array(j, "counts");
    for (uint32_t n = COUNTS_MIN; n <= COUNTS_MAX; n++)
        write_balance(j, NULL, &p->counts[n]);
    json_close_array(j);
}

static void
write_move(struct json *j, const struct plan *p)
{
    json_open_object(j, "move");
    json_count(j, "from", p->cli.count);
    json_count(j, "to", p->to);
    json_count(j, "modulo_series", p->moved[SS_PLACE_MODULO]);
    json_count(j, "jump_series", p->moved[SS_PLACE_JUMP]);
    json_close_object(j);
}

static void
write_cost(struct json *j, const char *key, struct cost cost)
{
    json_open_object(j, key);
    json_number(j, "fleet", cost.fleet);
    json_number(j, "server", cost.server);
    json_number(j, "fullest_server", cost.fullest);
    json_close_object(j);
}

static void
write_fleet(struct json *j, const struct plan *p)
{
    if (!p->targets) {
        json_null(j, "fleet");
        return;
    }
    json_open_object(j, "fleet");
    json_count(j, "targets", p->targets);
    json_number(j, "interval_seconds", (double)p->interval / 1000);
    json_count(j, "servers", p->cli.count);
    json_open_object(j, "samples_per_second");
    write_cost(j, "before", plan_cost_before(p, p->distribution.series));
    write_cost(j, "after", plan_cost_after(p, p->balance.mean_series, p->balance.most_series));
    json_close_object(j);
    json_open_object(j, "bytes_per_second");
    write_cost(j, "before", plan_cost_before(p, p->distribution.bytes));
    write_cost(j, "after", plan_cost_after(p, p->balance.mean_bytes, p->balance.most_bytes));
    json_close_object(j);
    json_close_object(j);
}

void
plan_print_json(const struct plan *p)
{
    struct json json = {.out = stdout}, *j = &json;
    json_open_object(j, NULL);
    cli_json_sharding(&p->cli, j);
    write_body(j, p);
    write_shards(j, p);
    write_balance(j, "balance", &p->balance);
    write_largest_families(j, p);
    write_label_cardinality(j, p);
    write_split_advice(j, &p->advice);
    write_split_all(j, p);
    write_rules(j, p);
    write_counts(j, p);
    write_move(j, p);
    write_fleet(j, p);
    json_close_object(j);
}
