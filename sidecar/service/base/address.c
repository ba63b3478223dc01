/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int
parse_unix(const char *path, struct sockaddr_un *out, socklen_t *len)
{
    if (path[0] != '/')
        return -EINVAL;
    if (strlen(path) >= sizeof(out->sun_path))
        return -ENAMETOOLONG;
    out->sun_family = AF_UNIX;
    strcpy(out->sun_path, path);
    *len = sizeof(*out);
    return 0;
}

int
address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len, bool *any_host)
{
    char host[128];

    memset(out, 0, sizeof(*out));
    *any_host = text[0] == ':';
    if (!strncmp(text, "unix:", 5))
        return parse_unix(text + 5, (struct sockaddr_un *)out, len);
    /* libevent's parser rejects port 0, so it gets the host alone. */
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    int size = (int)sizeof(*out), port = digits && digits <= 5 && !colon[1 + digits] ? atoi(colon + 1) : -1;
    if (port < 0 || port > 65535 || (size_t)(colon - text) >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    if (evutil_parse_sockaddr_port(*any_host ? "[::]" : host, (struct sockaddr *)out, &size))
        return -EINVAL;
    if (out->ss_family == AF_INET)
        ((struct sockaddr_in *)out)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)out)->sin6_port = htons((uint16_t)port);
    *len = (socklen_t)size;
    return 0;
}

const char *
address_systemd_name(const char *text)
{
    return strncmp(text, "systemd:", 8) || !text[8] ? NULL : text + 8;
}

bool
address_is_valid(const char *text)
{
    struct sockaddr_storage ss;
    socklen_t len;
    bool any_host;
    return address_systemd_name(text) || !address_parse(text, &ss, &len, &any_host);
}

bool
address_has_any_port(const char *text)
{
    const char *port = strrchr(text, ':');
    return port && strncmp(text, "unix:", 5) && strncmp(text, "systemd:", 8) && port[1] &&
           !port[1 + strspn(port + 1, "0")];
}
