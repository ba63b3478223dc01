/* SPDX-License-Identifier: Apache-2.0 */
#include "redirect.h"

#include "excerpt.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool
redirect_is_status(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int
from_curl(CURLUcode code)
{
    return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : code ? EINVAL : 0;
}

/* 0: this part of both URLs is the same. EXDEV: it differs. -ENOMEM. */
static int
compare_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *of_a = NULL, *of_b = NULL;
    CURLUcode code_a = curl_url_get(a, part, &of_a, CURLU_DEFAULT_PORT);
    CURLUcode code_b = curl_url_get(b, part, &of_b, CURLU_DEFAULT_PORT);
    bool out_of_memory = code_a == CURLUE_OUT_OF_MEMORY || code_b == CURLUE_OUT_OF_MEMORY;
    bool same = of_a && of_b && !strcasecmp(of_a, of_b);
    curl_free(of_a);
    curl_free(of_b);
    return out_of_memory ? -ENOMEM : same ? 0 : EXDEV;
}

/* 0: the URL does not have this part. EXDEV: it does. -ENOMEM. */
static int
lacks_part(CURLU *url, CURLUPart part)
{
    char *value = NULL;
    CURLUcode code = curl_url_get(url, part, &value, 0);
    curl_free(value);
    return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : code ? 0 : EXDEV;
}

static int
copy_part(CURLU *to, CURLU *from, CURLUPart part)
{
    char *value = NULL;
    CURLUcode code = curl_url_get(from, part, &value, 0);
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    code = curl_url_set(to, part, code ? NULL : value, 0);
    curl_free(value);
    return from_curl(code);
}

/* Sets a handle to the URL as the upstream sees it, by its Host header. */
static int
set_as_named(CURLU *named, const char *url, const char *host)
{
    size_t scheme = strcspn(url, ":") + strlen("://");
    char *text;
    if (!host)
        return from_curl(curl_url_set(named, CURLUPART_URL, url, 0));
    if (asprintf(&text, "%.*s%s%s", (int)scheme, url, host, url + scheme + strcspn(url + scheme, "/?")) < 0)
        return -ENOMEM;
    int r = from_curl(curl_url_set(named, CURLUPART_URL, text, 0));
    free(text);
    return r;
}

/* Takes only path and query from the target: it is the same upstream, reached in the same way. */
static int
take_target(char **targetp, CURLU *url, CURLU *to)
{
    char *target;
    int r = copy_part(url, to, CURLUPART_PATH);
    if (!r)
        r = copy_part(url, to, CURLUPART_QUERY);
    if (!r)
        r = from_curl(curl_url_get(url, CURLUPART_URL, &target, 0));
    if (!r) {
        *targetp = strdup(target);
        r = *targetp ? 0 : -ENOMEM;
        curl_free(target);
    }
    return r;
}

/* to is a copy of named, the URL that the location is relative to. */
static int
resolve(char **targetp, CURLU *from, CURLU *named, CURLU *to, const char *location)
{
    static const CURLUPart same[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    static const CURLUPart none[] = {CURLUPART_USER, CURLUPART_PASSWORD};
    int r = 0;
    if (*location != '#') /* else it is the same URL; libcurl 7.88 would drop the path's last segment */
        r = from_curl(curl_url_set(to, CURLUPART_URL, location, CURLU_URLENCODE | CURLU_NON_SUPPORT_SCHEME));
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]) && !r; i++)
        r = compare_part(named, to, same[i]);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]) && !r; i++)
        r = lacks_part(to, none[i]);
    return r ? r : take_target(targetp, from, to);
}

int
redirect_resolve(char **targetp, const char *url, const char *host, const char *location)
{
    CURLU *from = curl_url(), *named = curl_url(), *to = NULL;
    int r = from && named ? from_curl(curl_url_set(from, CURLUPART_URL, url, 0)) : -ENOMEM;
    if (!r)
        r = set_as_named(named, url, host);
    if (!r)
        r = (to = curl_url_dup(named)) ? resolve(targetp, from, named, to, location) : -ENOMEM;
    curl_url_cleanup(from);
    curl_url_cleanup(named);
    curl_url_cleanup(to);
    return r;
}

void
redirect_show(char *out, size_t size, const char *location)
{
    enum { SHOWN = 120 };
    char shown[SHOWN];
    size_t len = strcspn(location, "?#");
    const char *at = memrchr(location, '@', len), *from = at ? at : location;
    excerpt(shown, sizeof(shown), (struct ss_span){from, (size_t)(location + len - from)});
    snprintf(out, size, "\"%s%s%s\"", at ? "..." : "", shown, location[len] ? "..." : "");
}
