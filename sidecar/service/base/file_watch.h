/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_FILE_WATCH_H
#define SERVICE_FILE_WATCH_H
/*
 * Reports when the content of files has changed, by inotify on their directories: editors replace the old file by a new
 * one, and Kubernetes swaps a symbolic link to a directory. So every directory on the path is watched in which a link,
 * the file itself, or a missing component could be replaced.
 *
 * A change is reported once there was none for a second, after five seconds at most. A file rewritten with the same
 * content has not changed.
 */
#include <stddef.h>

struct event_base;
struct file_watch;
struct timespec;

/* 0: *watchp is the caller's, and watches nothing. The event loop calls changed() with the path of one of the files
   that have changed, or with "" if they can no longer be watched; the caller then reloads the files. -ENOMEM. */
int file_watch_new(struct file_watch **watchp, struct event_base *base, void (*changed)(void *ctx, const char *path),
                   void *ctx);

/* Call before reading the files: changes up to now are not reported. NULL is fine. */
void file_watch_begin(struct file_watch *watch);

/* Call after reading the files: watches these from now on, and no others. Changes since file_watch_begin() are
   reported; of files not watched before, changes since `begun`, by CLOCK_REALTIME_COARSE. 0, or a negative errno value:
   some files are not watched. */
int file_watch_set(struct file_watch *watch, char *const *files, size_t n, const struct timespec *begun);

/* NULL is fine. */
void file_watch_free(struct file_watch *watch);

#endif
