/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_STRING_LIST_H
#define SERVICE_STRING_LIST_H
/* A growing list of strings that it owns. Zeroed, it is empty. */
#include <stdbool.h>
#include <stddef.h>

struct string_list {
    char **items;
    size_t n;
};

/* Appends a string from malloc(), which the list takes over. False: out of memory, or text is NULL; then it is freed.
 */
bool string_list_add(struct string_list *list, char *text);

bool string_list_equal(const struct string_list *a, const struct string_list *b);

/* Frees all strings; the list is empty. */
void string_list_clear(struct string_list *list);

#endif
