/* SPDX-License-Identifier: Apache-2.0 */
#include "string_list.h"

#include <stdlib.h>
#include <string.h>

bool
string_list_add(struct string_list *list, char *text)
{
    char **items = text ? realloc(list->items, (list->n + 1) * sizeof(*items)) : NULL;
    if (!items) {
        free(text);
        return false;
    }
    list->items = items;
    items[list->n++] = text;
    return true;
}

bool
string_list_equal(const struct string_list *a, const struct string_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

void
string_list_clear(struct string_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){NULL, 0};
}
