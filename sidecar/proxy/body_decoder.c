/* SPDX-License-Identifier: Apache-2.0 */
#include "body_decoder.h"

#include "gunzip.h"

#include <stdio.h>

int
body_decoder_init(struct body_decoder *d, const struct body_settings *settings)
{
    *d = (struct body_decoder){
        .max_body = settings->max_body, .max_series = settings->max_series, .strict_close = settings->strict_close};
    return settings->gunzip && !settings->passthrough ? gunzip_new(&d->gunzip) : 0;
}

int
body_fail(struct body_decoder *d, enum body_condition condition, const char *reason)
{
    snprintf(d->reason, sizeof(d->reason), "%s", reason);
    return (int)condition;
}

int
body_decode(struct body_decoder *d, struct ss_span *in, struct ss_span *out, bool *morep)
{
    size_t had = in->len;

    *out = *in;
    *morep = false;
    if (d->gunzip) {
        int r = gunzip_read(d->gunzip, in, out);
        if (r < 0)
            return r;
        if (r) {
            snprintf(d->reason, sizeof(d->reason), "gzip: %s", gunzip_error(d->gunzip));
            return BODY_BAD_ENCODING;
        }
        *morep = out->len > 0;
    } else {
        *in = (struct ss_span){in->ptr + in->len, 0};
    }
    d->bytes_in += had - in->len;
    d->bytes_decoded += out->len;
    if (d->bytes_in > d->max_body || d->bytes_decoded > d->max_body)
        return body_fail(d, BODY_TOO_LARGE, "the body is larger than max_body");
    return 0;
}

int
body_decoder_end(struct body_decoder *d)
{
    if (d->gunzip && !gunzip_is_whole(d->gunzip))
        return body_fail(d, BODY_TRUNCATED, "the gzip stream is truncated");
    return 0;
}

int
body_check_close(struct body_decoder *d, bool by_close, bool ends_whole)
{
    /* The end of a gzip stream proves nothing: another member might have followed. */
    if (by_close && d->strict_close && !ends_whole)
        return body_fail(d, BODY_TRUNCATED,
                         "the upstream closed the connection where a body cannot end (strict_close)");
    return 0;
}

int
body_result(struct body_decoder *d, int r, const struct ss_filter_error *error, uint64_t series)
{
    if (r <= 0 || !error)
        return r;
    ss_filter_error_text(error, d->reason, sizeof(d->reason));
    switch (error->condition) {
    case SS_BODY_TRUNCATED:
        return BODY_TRUNCATED;
    case SS_LINE_TOO_LONG:
        return BODY_LINE_TOO_LONG;
    case SS_TOO_MANY:
        return d->max_series && series > d->max_series ? BODY_TOO_MANY_SERIES : BODY_TOO_MANY_FAMILIES;
    case SS_RULE_FAILED:
    case SS_KEY_IMPOSSIBLE:
        return BODY_UNDECIDED;
    default:
        return BODY_NO_EXPOSITION;
    }
}

struct ss_filter_settings
body_core_settings(const struct body_settings *settings)
{
    struct ss_filter_settings filter = ss_filter_settings_default();
    filter.content_type = settings->content_type;
    filter.sharding = settings->sharding;
    filter.key_cache = settings->key_cache;
    filter.max_line = settings->max_line;
    filter.max_series = settings->max_series;
    filter.max_families = settings->max_families;
    filter.count_families = true;
    return filter;
}

void
body_decoder_deinit(struct body_decoder *d)
{
    gunzip_free(d->gunzip);
    d->gunzip = NULL;
}
