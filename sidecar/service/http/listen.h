/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LISTEN_H
#define SERVICE_LISTEN_H
/* Listens at the addresses of address.h. */
#include <stdbool.h>
#include <stddef.h>

struct evconnlistener;
struct event_base;

/*
 * Listens. bound gets the actual address, in the same form. 0: *listenerp is the caller's; it has no callback yet, and
 * handles accept(2) failures by itself. Or a negative errno value: -EINVAL: invalid address; -ENOENT: systemd passed no
 * such socket.
 */
int listen_at(struct evconnlistener **listenerp, struct event_base *base, const char *address, char *bound,
              size_t size);

/* Whether systemd passed another socket under the address's name, which listen_at() would claim next. */
bool listen_has_more(const char *address);

/* Why listen_at() failed, as text. */
const char *listen_reason(const char *address, int error);

/* Stops listening: the kernel refuses new connections, or, on a socket that systemd passed, keeps them for the next
   process. The listener is not freed, because the timer of a pause may still refer to it. */
void listen_stop(struct evconnlistener *listener);

#endif
