/* SPDX-License-Identifier: Apache-2.0 */
#include "file_watch.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    QUIET_MS = 1000,
    WAIT_MAX_MS = 5000,
    LINKS_MAX = 40, /* in a path, as many as Linux follows */
    /* Content beyond this is ignored. No secret and no certificate is as large. */
    CONTENT_MAX = 4 * 1024 * 1024,
    DIRECTORY_EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB |
                       IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    /* For a directory further up, in which no file and no link stands. */
    ANCESTOR_EVENTS = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    /* For a file that is a mount point itself: its directory sees no changes made elsewhere. And for writes, which in a
       directory may be those of other files, a log for instance. */
    FILE_EVENTS = IN_CLOSE_WRITE | IN_ATTRIB | IN_MODIFY,
};

struct content {
    unsigned char digest[SHA256_DIGEST_LENGTH];
};

struct watched {
    char *path;
    struct content content;
    bool known;             /* the content is that which the caller has read */
    struct timespec newest; /* ctime of the newest of the file and the links to it, once they are watched */
};

struct file_watch {
    struct event_base *base;
    void (*changed)(void *ctx, const char *path);
    void *ctx;
    struct watched *files;
    size_t n_files;
    int fd;   /* inotify's, or -1 */
    int *ids; /* of its watches */
    size_t n_ids;
    char **names; /* in the watched directories; others in them are ignored */
    size_t n_names;
    struct event *readable, *quiet;
    bool waits;    /* something has changed, and the timer `quiet` runs */
    int64_t first; /* when it first did, by now_ms() */
    int error;     /* why something could not be watched */
    int reported;  /* the last error that file_watch_set() returned */
};

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Content. */

/* Stands in for the content of a file that cannot be read: its identity and time. */
static struct content
identify(const struct stat *st)
{
    struct content content = {{0}};
    const struct {
        dev_t device;
        ino_t inode;
        struct timespec time;
    } identity = {st->st_dev, st->st_ino, st->st_mtim};
    static_assert(sizeof(identity) <= sizeof(content.digest), "it is stored in place of a digest");
    memcpy(content.digest, &identity, sizeof(identity));
    return content;
}

/* The digest of a file's content. Only regular files are opened: a FIFO's writer would see a reader come and go. */
static struct content
read_content(const char *path)
{
    struct content content = {{0}};
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return content;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return identify(&st);
    size_t size = (size_t)(st.st_size < CONTENT_MAX ? st.st_size : CONTENT_MAX) + 1, n = 0;
    unsigned char *bytes = malloc(size);
    ssize_t got = 0;

    while (bytes && n < size && (got = read(fd, bytes + n, size - n)) > 0)
        n += (size_t)got;
    if (bytes && got >= 0)
        SHA256(bytes, n, content.digest);
    if (bytes)
        OPENSSL_cleanse(bytes, size);
    free(bytes);
    close(fd);
    return content;
}

/* The first file whose content has changed, or NULL. */
static const struct watched *
find_changed(const struct file_watch *w)
{
    for (const struct watched *f = w->files; f < w->files + w->n_files; f++) {
        struct content now = read_content(f->path);
        if (!f->known || memcmp(&now, &f->content, sizeof(now)) != 0)
            return f;
    }
    return NULL;
}

/* Directories. */

static bool
has_name(const struct file_watch *w, const char *name)
{
    for (size_t i = 0; i < w->n_names; i++)
        if (!strcmp(w->names[i], name))
            return true;
    return false;
}

static void
add_name(struct file_watch *w, const char *name)
{
    if (has_name(w, name))
        return;
    char **names = realloc(w->names, (w->n_names + 1) * sizeof(*names));
    if (names)
        w->names = names;
    if (!names || !(names[w->n_names] = strdup(name)))
        w->error = -ENOMEM;
    else
        w->n_names++;
}

static bool
has_id(const int *ids, size_t n, int id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* 0, or a negative errno value. */
static int
add_watch(struct file_watch *w, const char *path, uint32_t events)
{
    int id = inotify_add_watch(w->fd, path, events | IN_MASK_ADD);
    if (id < 0)
        return -errno;
    if (has_id(w->ids, w->n_ids, id))
        return 0;
    int *ids = realloc(w->ids, (w->n_ids + 1) * sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    w->ids = ids;
    ids[w->n_ids++] = id;
    return 0;
}

static void
watch(struct file_watch *w, const char *path, uint32_t events)
{
    int r = add_watch(w, path, events);
    if (r && r != -ENOENT)
        w->error = r;
}

/* Watches the directory of a path's last component. */
static void
watch_directory_of(struct file_watch *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX] = ".";
    if (slash)
        snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    add_name(w, slash ? slash + 1 : path);
    watch(w, directory, DIRECTORY_EVENTS);
}

/* Replaces the path's first len bytes, which are a link, by the link's target. */
static bool
follow(char path[PATH_MAX], size_t len)
{
    char link[PATH_MAX], target[PATH_MAX], whole[PATH_MAX];
    snprintf(link, sizeof(link), "%.*s", (int)len, path);
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n < 0)
        return false;
    target[n] = 0;
    const char *slash = strrchr(link, '/');
    int directory = *target == '/' || !slash ? 0 : (int)(slash - link) + 1;
    if (snprintf(whole, sizeof(whole), "%.*s%s%s", directory, link, target, path + len) >= (int)sizeof(whole))
        return false;
    strcpy(path, whole);
    return true;
}

/* The length of a path up to the end of the component that begins at or after its byte `at`. */
static size_t
component_end(const char *path, size_t at)
{
    at += strspn(path + at, "/");
    return at + strcspn(path + at, "/");
}

static bool
is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void
note_time(struct watched *file, const struct stat *st)
{
    if (is_before(&file->newest, &st->st_ctim))
        file->newest = st->st_ctim;
}

/* Watches each directory on the path to a file. Where a link or the file can be replaced, it is looked at once its
   directory is watched: an earlier change is seen then, and a later one is an event. */
static void
watch_path(struct file_watch *w, struct watched *file)
{
    char path[PATH_MAX], prefix[PATH_MAX];
    struct stat st;
    int links = 0;

    file->newest = (struct timespec){0, 0};
    if (snprintf(path, sizeof(path), "%s", file->path) >= (int)sizeof(path))
        return; /* too long to be opened */
    for (size_t end = component_end(path, 0); end; end = component_end(path, end)) {
        snprintf(prefix, sizeof(prefix), "%.*s", (int)end, path);
        bool last = !path[end];
        if (!last && !lstat(prefix, &st) && !S_ISLNK(st.st_mode)) {
            add_watch(w, prefix, ANCESTOR_EVENTS); /* not if it may not be listed */
            continue;
        }
        watch_directory_of(w, prefix);
        if (lstat(prefix, &st))
            break;
        note_time(file, &st);
        bool link = S_ISLNK(st.st_mode);
        if (last && !link)
            break;
        if (link && (links++ == LINKS_MAX || !follow(path, end)))
            return;
        end = link ? 0 : end;
    }
    watch(w, path, FILE_EVENTS);
    if (!stat(path, &st))
        note_time(file, &st);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx);

static void
forget_names(struct file_watch *w)
{
    for (size_t i = 0; i < w->n_names; i++)
        free(w->names[i]);
    free(w->names);
    w->names = NULL;
    w->n_names = 0;
}

static void
stop(struct file_watch *w)
{
    if (w->readable)
        event_free(w->readable);
    if (w->fd >= 0)
        close(w->fd);
    w->readable = NULL;
    w->fd = -1;
    forget_names(w);
    free(w->ids);
    w->ids = NULL;
    w->n_ids = 0;
}

/* Opens inotify. 0, or a negative errno value. */
static int
start(struct file_watch *w)
{
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0)
        return -errno;
    w->readable = event_new(w->base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
    return w->readable && !event_add(w->readable, NULL) ? 0 : -ENOMEM;
}

/* Watches the paths to all files as they are now. What was watched and still is, is watched without a gap. Returns
   whether all was watched before. */
static bool
follow_paths(struct file_watch *w)
{
    int *before = w->ids;
    size_t n_before = w->n_ids;
    w->error = w->n_files && w->fd < 0 ? start(w) : 0;
    if (!w->n_files || w->error) {
        stop(w);
        return false;
    }
    w->ids = NULL;
    w->n_ids = 0;
    forget_names(w);
    for (size_t i = 0; i < w->n_files; i++)
        watch_path(w, &w->files[i]);
    for (size_t i = 0; i < n_before; i++)
        if (!has_id(w->ids, w->n_ids, before[i]))
            inotify_rm_watch(w->fd, before[i]);
    bool same = true;
    for (size_t i = 0; i < w->n_ids; i++)
        same &= has_id(before, n_before, w->ids[i]);
    free(before);
    return same;
}

/* Changes. */

static void
wait_for_quiet(struct file_watch *w)
{
    int64_t now = now_ms();
    if (!w->waits)
        w->first = now;
    int64_t left = w->first + WAIT_MAX_MS - now, wait = left < QUIET_MS ? left : QUIET_MS;
    const struct timeval tv = {wait > 0 ? wait / 1000 : 0, wait > 0 ? wait % 1000 * 1000 : 0};
    w->waits = true;
    evtimer_add(w->quiet, &tv);
}

/* Reads inotify's events. True: one may concern a file, not counting those of some kinds. */
static bool
read_events(struct file_watch *w, uint32_t ignored)
{
    alignas(struct inotify_event) char bytes[4096];
    bool concerns = false;
    ssize_t n;
    while (w->fd >= 0 && (n = read(w->fd, bytes, sizeof(bytes))) > 0) {
        for (const char *at = bytes; at < bytes + n;) {
            const struct inotify_event *e = (const void *)at;
            /* IN_IGNORED follows another event, or our own inotify_rm_watch(2). */
            concerns |= !(e->mask & (IN_IGNORED | ignored)) && (!e->len || has_name(w, e->name));
            at += sizeof(*e) + e->len;
        }
    }
    return concerns;
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct file_watch *w = ctx;
    (void)fd, (void)what;
    if (read_events(w, IN_MODIFY)) /* what is written is read once the writer closes the file */
        wait_for_quiet(w);
}

/* The paths may have changed, whether or not the content has. */
static void
on_quiet(evutil_socket_t fd, short what, void *ctx)
{
    struct file_watch *w = ctx;
    (void)fd, (void)what;
    w->waits = false;
    follow_paths(w);
    if (read_events(w, IN_MODIFY)) /* perhaps of a path that was just followed */
        wait_for_quiet(w);
    const struct watched *f = find_changed(w);
    if (f || (w->error && w->error != w->reported))
        w->changed(w->ctx, f ? f->path : "");
}

int
file_watch_new(struct file_watch **watchp, struct event_base *base, void (*changed)(void *ctx, const char *path),
               void *ctx)
{
    struct file_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (struct file_watch){.base = base, .changed = changed, .ctx = ctx, .fd = -1};
    w->quiet = evtimer_new(base, on_quiet, w);
    if (!w->quiet) {
        file_watch_free(w);
        return -ENOMEM;
    }
    *watchp = w;
    return 0;
}

void
file_watch_begin(struct file_watch *w)
{
    if (!w)
        return;
    read_events(w, 0);
    evtimer_del(w->quiet);
    w->waits = false;
}

static void
forget_files(struct watched *files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(files[i].path);
    free(files);
}

static bool
has_file(const struct watched *files, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(files[i].path, path))
            return true;
    return false;
}

/* Whether it is a pipe or a device, which has no content to compare. */
static bool
is_stream(const char *path)
{
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode);
}

/* Replaces the watched files. 0 or -ENOMEM. */
static int
replace_files(struct file_watch *w, char *const *files, size_t n)
{
    w->n_files = 0;
    w->files = calloc(n + 1, sizeof(*w->files));
    for (size_t i = 0; i < n && w->files; i++)
        if ((w->files[w->n_files].path = strdup(files[i])) != NULL)
            w->n_files++;
    return w->n_files == n ? 0 : -ENOMEM;
}

int
file_watch_set(struct file_watch *w, char *const *files, size_t n, const struct timespec *begun)
{
    struct watched *before = w->files;
    size_t n_before = w->n_files;
    int r = replace_files(w, files, n);
    bool any = false, same = follow_paths(w);

    for (size_t i = 0; i < w->n_files; i++)
        w->files[i].content = read_content(w->files[i].path);
    /* A file that has changed since the caller began may have been read in its old state. Writes count: the content may
       be the new one already, and then closing the file changes nothing. */
    bool disturbed = read_events(w, 0);
    for (size_t i = 0; i < w->n_files; i++) {
        struct watched *f = &w->files[i];
        bool watched = same && has_file(before, n_before, f->path);
        f->known = is_stream(f->path) || (!disturbed && (watched || is_before(&f->newest, begun)));
        any |= !f->known;
    }
    if (any)
        wait_for_quiet(w);
    forget_files(before, n_before);
    w->reported = w->error;
    return r ? r : w->error;
}

void
file_watch_free(struct file_watch *w)
{
    if (!w)
        return;
    stop(w);
    forget_files(w->files, w->n_files);
    if (w->quiet)
        event_free(w->quiet);
    free(w);
}
