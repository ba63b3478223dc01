/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TELEMETRY_CONFIG_H
#define CMD_TELEMETRY_CONFIG_H
/* What telemetry needs to know of a configuration. */
struct config;
struct telemetry;

/* Applies a configuration to telemetry; before is the previous one, or NULL. 0. -ENOMEM: nothing has changed. */
int telemetry_apply_config(struct telemetry *telemetry, const struct config *before, const struct config *config);

#endif
