/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_FILE_WATCH_H
#define SERVICE_FILE_WATCH_H
/*
 * Tells when the content of files has changed, by inotify on their folders: editors put a new file in the place of the
 * old one, and Kubernetes swaps a symbolic link to a folder. So each folder on the way to a file is watched in which a
 * link, the file itself, or what is missing of the way would be replaced.
 *
 * Changes are waited for until they have been quiet for a second, five seconds at the most. A file that was written
 * with what was in it before has not changed.
 */
struct event_base;
struct file_watch;
struct string_list;
struct timespec;

/* 0: *watchp is the caller's, and watches nothing. changed() comes from the event loop; it names one of the files that
   have changed, or none if they can no longer be watched. The files are to be read again then. -ENOMEM. */
int file_watch_new(struct file_watch **watchp, struct event_base *base, void (*changed)(void *ctx, const char *path),
                   void *ctx);

/* The files are about to be read. What has changed until now needs not be told. NULL is fine. */
void file_watch_begin(struct file_watch *tracker);

/* The files were read: these are watched from now on, and no others. What has changed since file_watch_begin() is told
   later; since `begun`, by CLOCK_REALTIME_COARSE, if it was not watched yet. 0, or a negative errno value: some are not
   watched. */
int file_watch_set(struct file_watch *tracker, const struct string_list *files, const struct timespec *begun);

/* NULL is fine. */
void file_watch_free(struct file_watch *tracker);

#endif
