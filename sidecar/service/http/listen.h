/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_LISTEN_H
#define SERVICE_LISTEN_H
/* Addresses to listen at: :PORT (all addresses), ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH, or systemd:NAME for a socket
   that systemd passed under that name; port 0 lets the kernel choose. :PORT and [::]:PORT are IPv4 and IPv6. */
#include <stdbool.h>
#include <stddef.h>

struct evconnlistener;
struct event_base;

/* Whether listen_at() knows what is meant. */
bool listen_is_address(const char *address);

/*
 * Listens. bound gets what the address became, in the same form. 0: *listenerp is the caller's; it has no callback yet,
 * and looks after accept(2) failing by itself. Or a negative errno value: -EINVAL for what is no address; -ENOENT for a
 * socket that systemd did not pass.
 */
int listen_at(struct evconnlistener **listenerp, struct event_base *base, const char *address, char *bound,
              size_t size);

/* Whether systemd passed a further socket under the address's name, which listen_at() would take next. */
bool listen_has_more(const char *address);

/* Why listen_at() failed, in words. */
const char *listen_reason(const char *address, int error);

/* Listens no more: who connects is refused by the kernel, or waits for the next to listen on what systemd passed. The
   listener is not freed, since it may be in a pause behind a failure that ends by itself. */
void listen_stop(struct evconnlistener *listener);

#endif
