/* SPDX-License-Identifier: Apache-2.0 */
/* Reads rule files. */
#include "cmd.h"
#include "escape.h"
#include "rules.h"

#include "core/base/buffer.h"
#include "promql/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads a file, up to just over the size limit. 0 or a positive errno value. */
static int
read_file(const char *path, struct buffer *bytes)
{
    FILE *in = strcmp(path, "-") != 0 ? fopen(path, "rb") : stdin;
    int error = in ? 0 : errno;

    while (!error && bytes->len <= LIMIT_FILE) {
        if (buffer_reserve(bytes, 64 * 1024)) {
            error = ENOMEM;
            break;
        }
        size_t n = fread(bytes->ptr + bytes->len, 1, 64 * 1024, in);
        bytes->len += n;
        if (n)
            continue;
        error = ferror(in) ? errno : 0;
        break;
    }
    if (in && in != stdin)
        fclose(in);
    return error;
}

static void
print_error(const char *path, const struct promql_error *e)
{
    fputs("scrapeshard: ", stderr);
    print_escaped(stderr, (struct ss_span){path, strlen(path)});
    fprintf(stderr, ":%u:%u: ", e->line, e->column);
    print_escaped(stderr, (struct ss_span){e->reason, strlen(e->reason)});
    putc('\n', stderr);
}

int
rules_read_file(struct ruleset *rules, const char *path)
{
    struct buffer bytes = {NULL, 0, 0};
    struct promql_error error;

    int r = read_file(path, &bytes);
    if (r) {
        cli_fail(path, strerror(r));
    } else {
        r = ruleset_add_file(rules, path, buffer_span(&bytes), &error);
        if (r > 0)
            print_error(path, &error);
        else if (r)
            cli_fail(path, strerror(-r));
    }
    buffer_deinit(&bytes);
    return r ? EXIT_UNREAD : 0;
}
