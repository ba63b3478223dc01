/* SPDX-License-Identifier: Apache-2.0 */
/* Converts the documents of a file to rules. */
#include "ruleset.h"

#include "limits.h"
#include "yaml_tree.h"

#include "core/base/buffer.h"
#include "core/base/name_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct rule_reader {
    struct ruleset *rules;
    struct ss_span name, bytes; /* of the file; name is a copy */
    struct promql_error *error;
};

/* Nesting of Lists. */
enum { LIST_DEPTH = 8 };

static int __attribute__((format(printf, 3, 4)))
refuse(struct rule_reader *r, const struct yaml_value *at, const char *format, ...)
{
    va_list args;
    *r->error = (struct promql_error){.line = at->line, .column = at->column, .begins = at->line};
    va_start(args, format);
    vsnprintf(r->error->reason, sizeof(r->error->reason), format, args);
    va_end(args);
    return EINVAL;
}

static const char *
kind_name(const struct yaml_value *v)
{
    static const char *const names[] = {"a value", "a list", "a mapping"};
    return yaml_is_null(v) ? "nothing" : names[v->kind];
}

/* The value of a key, of this kind; NULL: missing or null. */
static int
find(struct rule_reader *r, const struct yaml_value *mapping, const char *key, enum yaml_kind kind,
     const struct yaml_value **valuep)
{
    static const char *const names[] = {"a value", "a list", "a mapping"};
    const struct yaml_value *again = yaml_find_duplicate(mapping, key), *v = yaml_find(mapping, key);

    *valuep = NULL;
    if (again)
        return refuse(r, again, "duplicate key %s", key);
    if (!v || yaml_is_null(v))
        return 0;
    if (v->kind != kind)
        return refuse(r, v, "expected %s for %s, got %s", names[kind], key, kind_name(v));
    *valuep = v;
    return 0;
}

/* Rules. */

static int
read_expression(struct rule_reader *r, const struct yaml_value *value, struct expression *out)
{
    struct arena *arena = &r->rules->arena;
    struct ss_span text = arena_copy(arena, value->text);

    if (!text.ptr)
        return -ENOMEM;
    int result = expression_parse(out, arena, text, r->error);
    if (result > 0)
        yaml_locate(r->bytes, value, r->error->offset, r->error);
    return result;
}

static int
read_templates(struct rule_reader *r, const struct yaml_value *rule, const char *key, struct prom_rule *out)
{
    const struct yaml_value *texts;
    int result = find(r, rule, key, YAML_MAPPING, &texts);

    for (size_t i = 1; !result && texts && i < texts->n; i += 2)
        if (texts->items[i]->kind == YAML_SCALAR &&
            memmem(texts->items[i]->text.ptr, texts->items[i]->text.len, "{{", 2)) {
            struct ss_span text = arena_copy(&r->rules->arena, texts->items[i]->text);
            result = text.ptr ? ruleset_read_template(r->rules, out, text) : -ENOMEM;
        }
    return result;
}

/* The name of a rule: that of its alert or recorded metric. */
static int
read_name(struct rule_reader *r, const struct yaml_value *rule, struct prom_rule *out)
{
    const struct yaml_value *record, *alert;
    int result = find(r, rule, "record", YAML_SCALAR, &record);
    if (!result)
        result = find(r, rule, "alert", YAML_SCALAR, &alert);
    if (result)
        return result;
    bool has_record = record && record->text.len, has_alert = alert && alert->text.len;
    if (has_record == has_alert)
        return refuse(r, rule,
                      has_record ? "the rule has both record and alert; expected one of them"
                                 : "the rule has neither record nor alert; expected one of them");
    const struct yaml_value *name = has_record ? record : alert;
    if (has_record && (memchr(name->text.ptr, '{', name->text.len) || memchr(name->text.ptr, '}', name->text.len)))
        return refuse(r, name, "expected a metric name without braces for record");
    out->is_record = has_record;
    out->name = arena_copy(&r->rules->arena, name->text);
    return out->name.ptr ? 0 : -ENOMEM;
}

static int
add_rule(struct ruleset *rules, const struct prom_rule *rule)
{
    if (rules->n == rules->capacity) {
        size_t room = rules->capacity ? 2 * rules->capacity : 64;
        struct prom_rule *items = realloc(rules->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        rules->items = items;
        rules->capacity = room;
    }
    rules->items[rules->n++] = *rule;
    return 0;
}

static int
read_rule(struct rule_reader *r, const struct yaml_value *value, struct ss_span group)
{
    struct prom_rule rule = {.file = r->name, .group = group, .line = value->line};
    const struct yaml_value *expr;

    if (value->kind != YAML_MAPPING)
        return refuse(r, value, "expected a rule (a mapping with record or alert), got %s", kind_name(value));
    if (r->rules->n == LIMIT_RULES)
        return refuse(r, value, "there are more than %d rules", LIMIT_RULES);
    int result = read_name(r, value, &rule);
    if (!result)
        result = find(r, value, "expr", YAML_SCALAR, &expr);
    if (result)
        return result;
    if (!expr)
        return refuse(r, value, "the rule %.*s has no expr", (int)(rule.name.len < 80 ? rule.name.len : 80),
                      rule.name.ptr);
    result = read_expression(r, expr, &rule.expression);
    if (!result && ruleset_find_helm(expr->text))
        result = refuse(r, expr, "expected an expression");
    if (!result)
        result = read_templates(r, value, "annotations", &rule);
    if (!result)
        result = read_templates(r, value, "labels", &rule);
    return result ? result : add_rule(r->rules, &rule);
}

/* Groups. */

/* names: of the groups before it. */
static int
read_group(struct rule_reader *r, const struct yaml_value *group, struct name_table *names)
{
    uint32_t number;
    const struct yaml_value *name, *rules;

    if (group->kind != YAML_MAPPING)
        return refuse(r, group, "expected a group (a mapping with name and rules), got %s", kind_name(group));
    int result = find(r, group, "name", YAML_SCALAR, &name);
    if (result)
        return result;
    if (!name || !name->text.len)
        return refuse(r, group, "the group has no name");
    if (name_table_find(names, name->text))
        return refuse(r, name, "duplicate group name %.*s", (int)(name->text.len < 80 ? name->text.len : 80),
                      name->text.ptr);
    result = name_table_add(names, name->text, &number);
    if (!result)
        result = find(r, group, "rules", YAML_SEQUENCE, &rules);
    if (result || !rules)
        return result;
    struct ss_span copy = arena_copy(&r->rules->arena, name->text);
    result = copy.ptr ? 0 : -ENOMEM;
    for (size_t i = 0; !result && i < rules->n; i++)
        result = read_rule(r, rules->items[i], copy);
    return result;
}

static int
read_groups(struct rule_reader *r, const struct yaml_value *mapping)
{
    struct name_table names = {.n = 0};
    const struct yaml_value *groups;
    int result = find(r, mapping, "groups", YAML_SEQUENCE, &groups);
    for (size_t i = 0; !result && groups && i < groups->n; i++)
        result = read_group(r, groups->items[i], &names);
    name_table_deinit(&names);
    return result;
}

/* Documents. */

static bool
is(const struct yaml_value *v, const char *text)
{
    return v && spans_equal(v->text, (struct ss_span){text, strlen(text)});
}

static int read_object(struct rule_reader *r, const struct yaml_value *object, unsigned depth);

static int
read_items(struct rule_reader *r, const struct yaml_value *items, unsigned depth)
{
    int result = 0;
    if (depth == LIST_DEPTH)
        return refuse(r, items, "lists nest deeper than %d levels", LIST_DEPTH);
    for (size_t i = 0; !result && i < items->n; i++)
        result = read_object(r, items->items[i], depth + 1);
    return result;
}

/* A Kubernetes object or a plain rule file. */
static int
read_object(struct rule_reader *r, const struct yaml_value *object, unsigned depth)
{
    const struct yaml_value *kind, *spec = NULL, *items = NULL;

    if (yaml_is_null(object))
        return 0;
    if (object->kind != YAML_MAPPING)
        return refuse(r, object, "expected a mapping with groups, got %s", kind_name(object));
    int result = find(r, object, "kind", YAML_SCALAR, &kind);
    if (result)
        return result;
    if (!kind) {
        if (object->n && !yaml_find(object, "groups"))
            return refuse(r, object, "expected groups (a rule file) or a kind such as PrometheusRule");
        return read_groups(r, object);
    }
    if (is(kind, "PrometheusRule") || is(kind, "VMRule")) {
        result = find(r, object, "spec", YAML_MAPPING, &spec);
        return !result && spec ? read_groups(r, spec) : result;
    }
    if (is(kind, "List") || is(kind, "PrometheusRuleList") || is(kind, "VMRuleList")) {
        result = find(r, object, "items", YAML_SEQUENCE, &items);
        return !result && items ? read_items(r, items, depth) : result;
    }
    return 0;
}

static int
read_documents(struct rule_reader *r)
{
    const struct yaml_value *root = NULL;
    struct yaml_file *file = NULL;

    int result = yaml_file_new(&file, r->bytes);
    while (!result) {
        result = yaml_file_next(file, &root, r->error);
        if (result || !root)
            break;
        result = read_object(r, root, 0);
    }
    yaml_file_free(file);
    return result;
}

/* The line of the unrendered Helm template that an error comes from; 0: it comes from elsewhere. */
static uint32_t
find_helm(struct ss_span bytes, const struct promql_error *error)
{
    uint32_t line = ruleset_find_helm(bytes);
    return line || !ruleset_starts_with_action(bytes, error->begins) ? line : error->begins;
}

int
ruleset_add_file(struct ruleset *rules, const char *name, struct ss_span bytes, struct promql_error *error)
{
    struct rule_reader r = {.rules = rules, .bytes = bytes, .error = error};

    if (bytes.len > LIMIT_FILE) {
        *error = (struct promql_error){.line = 1, .column = 1};
        snprintf(error->reason, sizeof(error->reason), "the file is larger than %d MiB", LIMIT_FILE >> 20);
        return EINVAL;
    }
    r.name = arena_copy(&rules->arena, (struct ss_span){name, strlen(name)});
    int result = r.name.ptr ? read_documents(&r) : -ENOMEM;
    uint32_t helm = result > 0 ? find_helm(bytes, error) : 0;
    if (helm) {
        *error = (struct promql_error){.line = helm, .column = 1};
        snprintf(error->reason, sizeof(error->reason),
                 "unrendered Helm template; expected the output of helm template");
    }
    return result;
}

void
ruleset_deinit(struct ruleset *rules)
{
    free(rules->items);
    arena_deinit(&rules->arena);
    *rules = (struct ruleset){.n = 0};
}
