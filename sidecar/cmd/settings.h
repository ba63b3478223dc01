/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SETTINGS_H
#define CMD_SETTINGS_H
/* The flags that end in the configuration, for each subcommand that reads one. */
#include "flags.h"
#include "service/config/config.h"

struct cli_settings {
    struct config_flags flags;
};

/* Takes --config.file. ctx is a struct cli_settings. */
int settings_take_file(void *ctx, const struct flag *flag, const char *value);

/* Takes a flag whose name is a setting's, with - for _. */
int settings_take(void *ctx, const struct flag *flag, const char *value);

/* Takes --set section.key=value. */
int settings_take_set(void *ctx, const struct flag *flag, const char *value);

void settings_deinit(struct cli_settings *settings);

#endif
