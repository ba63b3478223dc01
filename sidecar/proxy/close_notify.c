/* SPDX-License-Identifier: Apache-2.0 */
#include "close_notify.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>

/* Between watch and context, either of which may be freed first. The context owns it. */
struct close_notify_link {
    struct close_notify *watch; /* NULL: none any more */
};

static void
free_link(void *parent, void *data, CRYPTO_EX_DATA *ex, int index, long argl, void *argp)
{
    struct close_notify_link *link = data;
    (void)parent, (void)ex, (void)index, (void)argl, (void)argp;
    if (link && link->watch)
        link->watch->link = NULL;
    free(link);
}

/* The index of a context's link; negative: out of memory. */
static int
link_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_link);
    return index;
}

static void
on_info(const SSL *ssl, int what, int alert)
{
    const struct close_notify_link *link = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), link_index());
    if (link && link->watch && what == SSL_CB_READ_ALERT && (alert & 0xff) == SSL_AD_CLOSE_NOTIFY)
        link->watch->missing = false;
}

/* The link of a context; NULL: out of memory. */
static struct close_notify_link *
link_of(SSL_CTX *ctx)
{
    struct close_notify_link *link = link_index() < 0 ? NULL : SSL_CTX_get_ex_data(ctx, link_index());
    if (link || link_index() < 0)
        return link;
    link = calloc(1, sizeof(*link));
    if (link && !SSL_CTX_set_ex_data(ctx, link_index(), link)) {
        free(link);
        return NULL;
    }
    return link;
}

int
close_notify_watch(struct close_notify *watch, SSL_CTX *ctx)
{
    close_notify_unwatch(watch);
    struct close_notify_link *link = link_of(ctx);
    if (!link)
        return -ENOMEM;
    if (link->watch)
        link->watch->link = NULL;
    link->watch = watch;
    watch->link = link;
    watch->missing = true;
    SSL_CTX_set_info_callback(ctx, on_info);
    return 0;
}

void
close_notify_unwatch(struct close_notify *watch)
{
    if (watch->link)
        watch->link->watch = NULL;
    watch->link = NULL;
}
