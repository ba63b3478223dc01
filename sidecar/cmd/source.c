/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include "cmd.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A body being read. */
struct reading {
    struct ss_index *index;
    struct ss_filter_settings settings;
    const struct http_response *response; /* NULL: not from a URL */
    struct progress progress;
    uint64_t bytes;
    int condition; /* of the index, when it fails */
};

static int
ensure_index(struct reading *r)
{
    if (r->response && *r->response->content_type)
        r->settings.content_type = r->response->content_type;
    return r->index ? 0 : ss_index_new(&r->index, &r->settings);
}

static int
take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct reading *r = ctx;
    int error = ensure_index(r);
    for (size_t i = 0; i < n && !error; i++) {
        error = ss_index_feed(r->index, spans[i]);
        r->bytes += spans[i].len;
    }
    progress_update(&r->progress, r->bytes, 0);
    r->condition = error > 0 ? error : 0;
    return error > 0 ? -EBADMSG : error;
}

/* After the end of the body or a read error. Returns an exit status. */
static int
end(struct reading *r, int error, const char *reason, struct ss_index **indexp, char *why)
{
    progress_end(&r->progress);
    if (!error)
        error = ensure_index(r);
    if (!error)
        error = r->condition = ss_index_end(r->index);
    if (!error && r->response && r->response->by_close && r->bytes && !ss_index_ends_whole(r->index)) {
        error = EIO;
        reason = "the connection was closed in mid-body";
    }
    if (!error) {
        *indexp = r->index;
        return 0;
    }
    const struct ss_filter_error *failure = r->condition > 0 ? ss_index_error(r->index) : NULL;
    if (failure)
        ss_filter_error_text(failure, why, SOURCE_REASON);
    else
        snprintf(why, SOURCE_REASON, "%s", error > 0 ? reason : strerror(-error));
    ss_index_free(r->index);
    return EXIT_FAILED;
}

static struct reading
reading_of(const struct ss_filter_settings *settings, const struct http_response *response)
{
    return (struct reading){.settings = *settings, .response = response, .progress = progress_start("bytes read")};
}

int
source_read_file(struct ss_index **indexp, const char *path, const struct ss_filter_settings *settings, char *why)
{
    static char buffer[64 * 1024];
    struct reading r = reading_of(settings, NULL);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, error = fd < 0 ? -errno : 0;
    ssize_t n = 0;

    while (!error && (n = read(fd, buffer, sizeof(buffer))) > 0)
        error = take(&r, &(struct ss_span){buffer, (size_t)n}, 1);
    if (n < 0)
        error = -errno;
    if (fd >= 0 && path)
        close(fd);
    return end(&r, error, "", indexp, why);
}

int
source_read_url(struct ss_index **indexp, struct http_client *client, const char *query,
                const struct ss_filter_settings *settings, char *why)
{
    struct http_response response = {.status = 0};
    struct reading r = reading_of(settings, &response);
    struct ss_sink sink = {take, &r};
    int error = http_client_get(client, query, &sink, &response);
    return end(&r, error, response.reason, indexp, why);
}

int
source_read_bytes(struct ss_index **indexp, struct ss_span bytes, const struct ss_filter_settings *settings, char *why)
{
    struct reading r = reading_of(settings, NULL);
    int error = bytes.len ? take(&r, &bytes, 1) : 0;
    return end(&r, error, "", indexp, why);
}
