/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that the configuration in force has made us show. */
#include "telemetry_rows.h"

#include "service/access/access_policy.h"
#include "service/access/tls.h"
#include "service/config/config.h"

#include <string.h>

struct certificate {
    const char *of, *name; /* "listener" or "endpoint", and which */
    const char *file;
    int64_t expiry;
};

static void
write_certificate(struct exposition *e, const struct telemetry_row *row, const struct certificate *c)
{
    const struct metric_label labels[] = {{c->of, c->name}, {"file", c->file}};
    exposition_sample(e, row->name, labels, 2, (double)c->expiry);
}

static void
write_listener(struct exposition *e, const struct telemetry_row *row, const char *name,
               const struct access_policy *policy, const char *file)
{
    if (policy && policy->tls)
        write_certificate(e, row, &(struct certificate){"listener", name, file, tls_expiry(policy->tls)});
}

void
telemetry_certificate_expiry(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    const struct config *c = t->config;
    exposition_family(e, row->name, row->type, row->help);
    if (!c)
        return;
    write_listener(e, row, "web", c->web_access, c->web_tls_certificate);
    write_listener(e, row, "admin", c->admin_access, c->admin_tls_certificate);
    for (const struct endpoint *of = c->endpoints; of < c->endpoints + c->n_endpoints; of++)
        if (of->certificate_expiry)
            write_certificate(e, row,
                              &(struct certificate){"endpoint", of->name, of->tls_certificate, of->certificate_expiry});
}
