/* SPDX-License-Identifier: Apache-2.0 */
/* The query parser: every query parses or gets a reason, and what is passed on has none of our parameters. */
#include "proxy/params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct params_names names = {"shard", "shard_count", false, 0, 0};
    struct params params, again;
    struct params_error error = {""};
    char *query = malloc(size + 1);

    if (!query)
        return 0;
    memcpy(query, data, size);
    query[size] = 0;
    int r = params_parse(&params, query, &names, &error);
    if (r) {
        if (r != EINVAL || !*error.reason)
            abort();
    } else {
        if (!params.shards != !params.shard)
            abort();
        if (params.query) {
            if (strlen(params.query) > size || params_parse(&again, params.query, &names, &error) || again.shards ||
                strcmp(again.query, params.query) != 0)
                abort();
            params_deinit(&again);
        }
        params_deinit(&params);
    }
    free(query);
    return 0;
}
