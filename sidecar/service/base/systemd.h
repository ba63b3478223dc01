/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SYSTEMD_H
#define SERVICE_SYSTEMD_H
/* systemd's protocols for services, by environment variables and a datagram: passed sockets (sd_listen_fds(3)) and
   notifications (sd_notify(3)). systemd documents both as stable, so they need no library. */
#include <stdbool.h>
#include <stddef.h>

/* Claims the next socket passed under a name (FileDescriptorName=; those of one unit share it). Returns a descriptor,
   which the caller must not shut down. -ENOENT: none, or no more; -EINVAL: it does not listen; or another errno. */
int systemd_socket(const char *name);

/* The first descriptor >= from that was passed under a name (NULL: any) and not claimed by systemd_socket(); -1: none.
 */
int systemd_unclaimed_socket(int from, const char *name);

/* Writes the name that a descriptor was passed under. */
void systemd_socket_name(int fd, char *name, size_t size);

/* Whether a descriptor was passed, so that others may listen on it too. */
bool systemd_has_passed(int fd);

/* Sends a state such as READY=1 to systemd, if it asked for notifications. */
void systemd_notify(const char *state);

/* Notifies of the start of a reload; systemd_notify("READY=1") ends it. */
void systemd_notify_reload(void);

#endif
