/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stddef.h>

static_assert(LOOP_USUAL == LOOP_PRIORITIES / 2, "libevent's default is the middle one");

struct event_base *
loop_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && !event_config_set_max_dispatch_interval(config, NULL, 1, LOOP_LAST))
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    if (base && event_base_priority_init(base, LOOP_PRIORITIES)) {
        event_base_free(base);
        base = NULL;
    }
    return base;
}
