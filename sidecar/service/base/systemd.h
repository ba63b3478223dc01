/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SYSTEMD_H
#define SERVICE_SYSTEMD_H
/* What systemd and a service say to each other, by environment variables and a datagram: sockets that are passed
   (sd_listen_fds(3)) and news of the service (sd_notify(3)). Both are older than us and will not change, so they need
   no library. */
#include <stdbool.h>
#include <stddef.h>

/* The next socket that was passed under a name (FileDescriptorName=; those of one unit share it): a descriptor, which
   is not the caller's to shut down. -ENOENT: there is none, or no more; -EINVAL: it is none that listens for
   connections; or what else went wrong. */
int systemd_socket(const char *name);

/* The first descriptor, from one on, that was passed under a name (NULL: any) and that systemd_socket() has not given
   out; -1: none. */
int systemd_left(int from, const char *name);

/* The name that a descriptor was passed under. */
void systemd_name(int fd, char *name, size_t size);

/* Whether a descriptor was passed, so that others listen on it too. */
bool systemd_has_passed(int fd);

/* Tells what is happening, as in READY=1; nothing if nobody wants to know it. */
void systemd_notify(const char *news);

/* The same, of a reload that begins; systemd_notify("READY=1") ends it. */
void systemd_notify_reload(void);

#endif
