/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files of the access policies, and of TLS and authorization towards upstreams, along with the configuration,
   so that a bad file fails the reload. */
#include "config_build.h"

#include "config_value.h"
#include "service/access/access_policy.h"
#include "service/access/secrets.h"
#include "service/access/tls.h"
#include "service/access/upstream_tls.h"

#include <stdlib.h>
#include <string.h>

/* The settings of a listener's access policy. */
struct access_settings {
    int certificate, key, client_ca, client_names, basic_auth, bearer_token, networks;
};

#define ACCESS_SETTINGS(section)                                                                                       \
    {                                                                                                                  \
        SETTING_##section##_tls_certificate, SETTING_##section##_tls_key, SETTING_##section##_tls_client_ca,           \
            SETTING_##section##_tls_client_names, SETTING_##section##_basic_auth_file,                                 \
            SETTING_##section##_bearer_token_file, SETTING_##section##_allow_networks                                  \
    }

static void *
field_of(const struct builder *b, int setting)
{
    return (char *)b->config + settings[setting].offset;
}

/* The file of a setting, or NULL if it is off; sets the place for errors. */
static const char *
file_at(struct builder *b, int setting)
{
    const char *file = *(char **)field_of(b, setting);
    builder_at(b, NULL, setting);
    return file && *file && strcmp(file, "off") != 0 ? file : NULL;
}

static bool
is_any(const struct string_list *list)
{
    return list->n == 1 && !strcmp(list->items[0], "any");
}

static void
file_error(struct builder *b, int setting, const char *file, const char *reason)
{
    builder_at(b, NULL, setting);
    builder_error(b, "%s: %s: %s", settings[setting].name, file, reason);
    builder_error_was_in_file(b);
}

static void
open_tls(struct builder *b, const struct access_settings *in, struct access_policy *policy)
{
    const int parts[] = {[TLS_CERTIFICATE] = in->certificate, [TLS_KEY] = in->key, [TLS_CLIENT_CA] = in->client_ca};
    struct tls_settings tls = {.certificate = file_at(b, in->certificate)};
    struct tls_error error;

    tls.key = file_at(b, in->key);
    if (!tls.certificate != !tls.key) {
        builder_at_either(b, NULL, in->certificate, in->key);
        builder_error(b, "tls_certificate and tls_key must be set together");
    }
    tls.client_ca = file_at(b, in->client_ca);
    if (tls.client_ca && !tls.certificate)
        builder_error(b, "tls_client_ca needs tls_certificate (without TLS clients send no certificate)");
    if (!tls.certificate || !tls.key)
        return;
    /* kubelet's probes have no certificate; requests that need one are refused individually. */
    tls.client_may_have_none = in->certificate == SETTING_admin_tls_certificate;
    policy->certificate = tls.client_ca;
    if (tls_new(&policy->tls, &tls, &error)) {
        int setting = parts[error.part];
        file_error(b, setting, *(char **)field_of(b, setting), error.reason);
    }
}

static void
copy_names(struct builder *b, const struct access_settings *in, struct access_policy *policy)
{
    const struct string_list *names = field_of(b, in->client_names);
    if (is_any(names))
        return;
    bool has_ca = file_at(b, in->client_ca);
    builder_at(b, NULL, in->client_names);
    if (!has_ca)
        builder_error(b, "tls_client_names needs tls_client_ca (otherwise the names are not verified)");
    for (size_t i = 0; i < names->n && !b->out_of_memory; i++)
        builder_add(b, &policy->client_names, builder_copy(b, names->items[i]));
}

static void
copy_networks(struct builder *b, const struct access_settings *in, struct access_policy *policy)
{
    const struct string_list *networks = field_of(b, in->networks);
    if (is_any(networks))
        return;
    policy->networks = calloc(networks->n, sizeof(*policy->networks));
    b->out_of_memory |= !policy->networks;
    for (size_t i = 0; i < networks->n && !b->out_of_memory; i++) {
        if (!strcmp(networks->items[i], "any")) {
            builder_at_value(b, in->networks, i, 0);
            builder_error(b, "'any' cannot be combined with other values");
        }
        policy->n_networks += !network_read(&policy->networks[i], networks->items[i]);
    }
}

static void
read_credentials(struct builder *b, const struct access_settings *in, struct access_policy *policy)
{
    struct passwords_error error;
    const char *wrong, *file = file_at(b, in->basic_auth);
    if (file && passwords_read(&policy->passwords, file, &error)) {
        if (error.line) {
            builder_error(b, "%s: %s:%d: %s", settings[in->basic_auth].name, file, error.line, error.reason);
            builder_error_was_in_file(b);
        } else {
            file_error(b, in->basic_auth, file, error.reason);
        }
    }
    file = file_at(b, in->bearer_token);
    if (file && secret_read_line(&policy->token, file, &wrong))
        file_error(b, in->bearer_token, file, wrong);
}

static struct access_policy *
make_access_policy(struct builder *b, const struct access_settings *in)
{
    struct access_policy *policy = access_policy_new();
    if (!policy) {
        b->out_of_memory = true;
        return NULL;
    }
    open_tls(b, in, policy);
    copy_names(b, in, policy);
    copy_networks(b, in, policy);
    read_credentials(b, in, policy);
    return policy;
}

void
check_access_policies(struct builder *b)
{
    static const struct access_settings web = ACCESS_SETTINGS(web), admin = ACCESS_SETTINGS(admin);
    b->config->web_access = make_access_policy(b, &web);
    b->config->admin_access = make_access_policy(b, &admin);
}

/* TLS and authorization towards upstreams. */

/* Whether an endpoint names a file of at most max bytes; reports one that cannot be read. */
static bool
has_file(struct builder *b, const struct endpoint *e, int setting, const char *file, const char *none, long max)
{
    const char *wrong;
    builder_at(b, e, setting);
    if (!strcmp(file, none))
        return false;
    FILE *f = file_open(file, max, &wrong);
    if (f) {
        fclose(f);
        return true;
    }
    builder_error(b, "%s: %s: %s", settings[setting].key, file, wrong);
    builder_error_was_in_file(b);
    return true;
}

static void
check_server_name(struct builder *b, struct endpoint *e)
{
    builder_at(b, e, SETTING_ENDPOINT_tls_server_name);
    if (!strcmp(e->tls_server_name, "off") || !e->url.url)
        return;
    if (value_check_param(e->tls_server_name)) {
        builder_error(b, "tls_server_name: \"%s\" is not a valid host name", e->tls_server_name);
        return;
    }
    if (!e->url.tls) {
        builder_error(b, "tls_server_name needs an https:// upstream");
        return;
    }
    int r = url_set_server_name(&e->url, e->tls_server_name);
    b->out_of_memory |= r < 0;
    if (r > 0)
        builder_error(b, "tls_server_name: \"%s\" is not a valid host name", e->tls_server_name);
}

/* The client certificate for the upstream, and the CA bundle that verifies the upstream's. */
static void
check_pair(struct builder *b, struct endpoint *e)
{
    size_t n_errors = b->n_errors;
    struct tls_error error;
    struct tls_settings tls = {NULL, NULL, NULL, false};

    if (has_file(b, e, SETTING_ENDPOINT_tls_ca, e->tls_ca, "system", UPSTREAM_CA_MAX))
        tls.client_ca = e->tls_ca;
    if (has_file(b, e, SETTING_ENDPOINT_tls_certificate, e->tls_certificate, "off", SECRET_MAX))
        tls.certificate = e->tls_certificate;
    if (has_file(b, e, SETTING_ENDPOINT_tls_key, e->tls_key, "off", SECRET_MAX))
        tls.key = e->tls_key;
    builder_at_either(b, e, SETTING_ENDPOINT_tls_certificate, SETTING_ENDPOINT_tls_key);
    if (!tls.certificate != !tls.key)
        builder_error(b, "tls_certificate and tls_key must be set together");
    if (b->n_errors > n_errors || (!tls.client_ca && !tls.certificate && !e->url.tls))
        return;
    if (!tls_client_new(&e->tls, &tls, &error)) {
        e->certificate_expiry = tls.certificate ? tls_expiry(e->tls) : 0;
        return;
    }
    int setting = error.part == TLS_CLIENT_CA ? SETTING_ENDPOINT_tls_ca
                  : error.part == TLS_KEY     ? SETTING_ENDPOINT_tls_key
                                              : SETTING_ENDPOINT_tls_certificate;
    builder_at(b, e, setting);
    builder_error(b, "%s: %s: %s", settings[setting].key, *(char **)((char *)e + settings[setting].offset),
                  error.reason);
}

void
check_upstream_files(struct builder *b, struct endpoint *e)
{
    const char *wrong;
    check_pair(b, e);
    check_server_name(b, e);
    b->out_of_memory |= e->url.tls && tls_init();
    builder_at(b, e, SETTING_ENDPOINT_authorization_file);
    if (strcmp(e->authorization_file, "off") != 0 &&
        secret_read_line(&e->authorization, e->authorization_file, &wrong)) {
        builder_error(b, "authorization_file: %s: %s", e->authorization_file, wrong);
        builder_error_was_in_file(b);
    }
}
