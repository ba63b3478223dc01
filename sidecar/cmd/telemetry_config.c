/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry_config.h"

#include "service/access/access_policy.h"
#include "service/access/tls.h"
#include "service/config/config.h"
#include "service/telemetry/telemetry.h"

#include <errno.h>
#include <stdlib.h>

enum { LISTENERS = 2 };

static bool
has_changed(const struct config *before, const struct config *config, const struct endpoint *endpoint)
{
    const struct endpoint *was = before ? config_endpoint(before, endpoint->name) : NULL;
    return !was || !config_keeps_endpoint(before, was, config, endpoint);
}

static size_t
add_listener(struct telemetry_certificate *out, const char *name, const struct access_policy *policy, const char *file)
{
    if (!policy || !policy->tls)
        return 0;
    *out = (struct telemetry_certificate){"listener", name, file, tls_expiry(policy->tls)};
    return 1;
}

int
telemetry_apply_config(struct telemetry *telemetry, const struct config *before, const struct config *config)
{
    struct telemetry_target *targets = calloc(config->n_endpoints + 1, sizeof(*targets));
    struct telemetry_certificate *certificates = calloc(config->n_endpoints + LISTENERS, sizeof(*certificates));
    struct telemetry_config out = {.endpoints = targets,
                                   .scrape_interval = config->scrape_interval,
                                   .reshard_from = config->shard_count,
                                   .reshard_to = config->reshard_to,
                                   .certificates = certificates};
    int r = -ENOMEM;
    if (!targets || !certificates)
        goto done;
    out.n_certificates += add_listener(certificates, "web", config->web_access, config->web_tls_certificate);
    out.n_certificates +=
        add_listener(certificates + out.n_certificates, "admin", config->admin_access, config->admin_tls_certificate);
    for (const struct endpoint *e = config->endpoints; e < config->endpoints + config->n_endpoints; e++) {
        targets[out.n_endpoints++] = (struct telemetry_target){e->name, has_changed(before, config, e)};
        if (e->certificate_expiry)
            certificates[out.n_certificates++] =
                (struct telemetry_certificate){"endpoint", e->name, e->tls_certificate, e->certificate_expiry};
    }
    r = telemetry_set_config(telemetry, &out);
done:
    free(targets);
    free(certificates);
    return r;
}
