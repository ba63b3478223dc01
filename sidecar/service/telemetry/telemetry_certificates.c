/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that we present under the current configuration. */
#include "telemetry_rows.h"

void
telemetry_certificate_expiry(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    exposition_family(e, row->name, row->type, row->help);
    for (const struct telemetry_certificate *c = t->certificates; c < t->certificates + t->n_certificates; c++) {
        const struct metric_label labels[] = {{c->label, c->name}, {"file", c->file}};
        exposition_sample(e, row->name, labels, 2, (double)c->expiry);
    }
}
