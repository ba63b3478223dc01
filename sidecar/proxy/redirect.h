/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_REDIRECT_H
#define PROXY_REDIRECT_H
/* Redirects of an upstream. Only one within the same upstream is followed: a scraper that followed any other would
   bypass the sidecar, and take a whole body for its shard. */
#include <stdbool.h>
#include <stddef.h>

/* Whether a status is a redirect that a scraper would follow. */
bool redirect_is_status(int status);

/*
 * Resolves the value of Location against the URL that was requested; host is the Host header that was sent, or NULL if
 * that is the URL's. 0: *targetp, the URL to request next, is the caller's to free. EINVAL (positive): the value is not
 * a URL. EXDEV (positive): it leads to another scheme, host or port, or contains credentials. -ENOMEM.
 */
int redirect_resolve(char **targetp, const char *url, const char *host, const char *location);

/* Writes a Location for the log: shortened, without credentials or a query, escaped, in quotes. */
void redirect_show(char *out, size_t size, const char *location);

#endif
