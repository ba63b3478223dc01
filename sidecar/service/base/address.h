/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ADDRESS_H
#define SERVICE_ADDRESS_H
/* Listen addresses: :PORT (all addresses), ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH, or systemd:NAME for a socket that
   systemd passed under that name; port 0 lets the kernel choose. :PORT and [::]:PORT are IPv4 and IPv6. */
#include <stdbool.h>
#include <sys/socket.h>

/* Parses any address but systemd:NAME. *any_host: it has only a port, and *out is [::]. 0, -EINVAL or -ENAMETOOLONG. */
int address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len, bool *any_host);

/* NAME of systemd:NAME; NULL: another kind of address. */
const char *address_systemd_name(const char *text);

/* Whether text is an address of any kind. */
bool address_is_valid(const char *text);

/* Whether the kernel chooses the port, so that the address stands for a different one each time. */
bool address_has_any_port(const char *text);

#endif
