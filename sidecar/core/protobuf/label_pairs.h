/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LABEL_PAIRS_H
#define CORE_LABEL_PAIRS_H
/* Reads the labels of a protobuf metric. */
#include "core/base/label.h"
#include "wire.h"

/*
 * Iterates over the labels of a protobuf metric (io.prometheus.client.Metric of prometheus/client_model, fields label =
 * 1; LabelPair's name = 1, value = 2). Used in the same way, with label_pairs_next().
 */
struct label_pairs {
    struct wire fields; /* of the metric; broken if they, or a label, are malformed */
};

bool label_pairs_next(struct label_pairs *pairs, struct label *label);

#endif
