/* SPDX-License-Identifier: Apache-2.0 */
#include "in_flight.h"

#include <stdlib.h>
#include <string.h>

struct in_flight_row *
in_flight_begin(struct in_flight *all, const char *endpoint)
{
    struct in_flight_row *row = all->rows;
    while (row && strcmp(row->name, endpoint) != 0)
        row = row->next;
    if (!row) {
        row = calloc(1, sizeof(*row) + strlen(endpoint) + 1);
        if (!row)
            return NULL;
        strcpy(row->name, endpoint);
        row->next = all->rows;
        all->rows = row;
    }
    row->n++;
    return row;
}

void
in_flight_end(struct in_flight *all, struct in_flight_row *row)
{
    if (!row || --row->n)
        return;
    struct in_flight_row **at = &all->rows;
    while (*at != row)
        at = &(*at)->next;
    *at = row->next;
    free(row);
}
