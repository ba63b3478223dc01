/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HTTP_LIST_H
#define SERVICE_HTTP_LIST_H
/* A header's value that is a list, as of Accept, Accept-Encoding, Connection or Vary (RFC 9110, 5.6.1). */
#include <scrapeshard/span.h>

#include <stdbool.h>

/* Borrows of the list. */
struct http_list_element {
    struct ss_span raw;    /* all between two commas outside quotes */
    struct ss_span value;  /* without the blanks around it, perhaps empty */
    struct ss_span name;   /* of the value, what precedes its parameters */
    struct ss_span params; /* the rest of the value */
};

/* Reads the next element and advances *list, which is NULL after the last one. False: there is none. */
bool http_list_next(const char **list, struct http_list_element *element);

/* Whether a list, or NULL, has an element of this name. */
bool http_list_has(const char *list, const char *name);

/* Whether both are the same, in any case. */
bool http_list_equals(struct ss_span text, const char *word);

/* Finds a parameter ("; NAME=VALUE"). *value is as it was written, quotes included. */
bool http_list_param(const struct http_list_element *element, const char *name, struct ss_span *value);

/* The weight (q) in thousandths: 1000 without one, -1 if it is not a number from 0 to 1. */
int http_list_weight(const struct http_list_element *element);

#endif
