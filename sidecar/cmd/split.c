/* SPDX-License-Identifier: Apache-2.0 */
/* A scrape without sockets: reads a body, writes the body of some shards. */
#include "cli_common.h"
#include "cmd.h"
#include "settings.h"

#include <scrapeshard/filter.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "scrapeshard split --shard=S --shard-count=N [flags] [FILE]\n"
    "\n"
    "Writes what a scrape of these shards would get from a body (FILE, or standard input). Exits 0; 1 if the\n"
    "body is not a valid exposition, and then the output must not be used; 2 if the command line is invalid.\n";

struct split {
    struct config_flags settings;
    const char *shard, *count, *content_type;
    struct config *config; /* NULL: not given */
};

static int
write_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        if (fwrite(spans[i].ptr, 1, spans[i].len, stdout) != spans[i].len)
            return errno ? -errno : -EIO;
    return 0;
}

/* Prints why a body could not be split. */
static int
report(const struct ss_filter *filter, int r, const char *name)
{
    char text[300];
    const struct ss_filter_error *error = ss_filter_error(filter);
    if (r > 0 && error)
        fprintf(stderr, "scrapeshard: %s: %s\n", name, ss_filter_error_text(error, text, sizeof(text)));
    else
        fprintf(stderr, "scrapeshard: %s: %s\n", r == -ENOMEM ? name : "standard output", strerror(-r));
    return EXIT_FAILED;
}

static int
filter_file(struct ss_filter *filter, int fd, const char *name)
{
    static char buffer[64 * 1024];
    struct ss_sink sink = {write_spans, NULL};
    ssize_t n;
    int r = 0;

    while (!r && (n = read(fd, buffer, sizeof(buffer))) != 0) {
        if (n < 0)
            return cli_fail(name, strerror(errno));
        r = ss_filter_feed(filter, (struct ss_span){buffer, (size_t)n}, &sink);
    }
    if (!r)
        r = ss_filter_end(filter, &sink);
    if (!r && fflush(stdout))
        r = -errno;
    return r ? report(filter, r, name) : 0;
}

static int
run(const struct split *s, const struct ss_shards *shards, const char *path)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_filter *filter;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (fd < 0) {
        fprintf(stderr, "scrapeshard: %s: %s\n", path, strerror(errno));
        return EXIT_FAILED;
    }
    settings.content_type = s->content_type;
    settings.sharding = s->config ? s->config->sharding : NULL;
    settings.shards = shards;
    int r = ss_filter_new(&filter, &settings);
    if (r) {
        fprintf(stderr, "scrapeshard: %s\n", strerror(-r));
        return EXIT_FAILED;
    }
    int status = filter_file(filter, fd, path ? path : "standard input");
    ss_filter_free(filter);
    close(fd);
    return status;
}

static int
read_config(struct split *s)
{
    if (!s->settings.file && !s->settings.n)
        return 0;
    s->settings.sharding_only = true;
    return settings_read(&s->settings, &s->config);
}

int
cmd_split(int argc, char **argv)
{
    struct split s = {.content_type = "text/plain; version=0.0.4"};
    const struct flag flags[] = {
        {"shard", "S", "shards to keep: a number, a list (0,4,8) or a range (0-15)", flag_store_text, &s.shard},
        {"shard-count", "N", "number of shards", flag_store_text, &s.count},
        {"config.file", "FILE", "read [sharding] and [rules] from a configuration", settings_store_file, &s.settings},
        {"set", "SECTION.KEY=VALUE", "any of their settings, e.g. sharding.key=name; repeatable", settings_store_set,
         &s.settings},
        {"content-type", "CT", "content type of the body (text/plain; version=0.0.4)", flag_store_text,
         &s.content_type},
        FLAGS_END,
    };
    struct ss_shards_error error;
    struct ss_shards *shards;
    uint32_t count;

    int at = flags_read(argc, argv, flags, usage);
    if (at < 0)
        return -at;
    if (at < argc - 1)
        return flags_refuse("split expects one file");
    if (!s.shard || !s.count)
        return flags_refuse("--shard and --shard-count are required");
    if (ss_shard_count_parse(&count, (struct ss_span){s.count, strlen(s.count)}, &error))
        return flags_refuse("--shard-count: %s", error.reason);
    int r = ss_shards_parse(&shards, (struct ss_span){s.shard, strlen(s.shard)}, count, &error);
    if (r > 0)
        return flags_refuse("--shard: %s", error.reason);
    if (r) {
        fprintf(stderr, "scrapeshard: %s\n", strerror(-r));
        return EXIT_FAILED;
    }
    int status = read_config(&s);
    if (!status)
        status = run(&s, shards, at < argc && strcmp(argv[at], "-") != 0 ? argv[at] : NULL);
    config_unref(s.config);
    settings_deinit(&s.settings);
    ss_shards_free(shards);
    return status;
}
