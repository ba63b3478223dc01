/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SETTINGS_H
#define CMD_SETTINGS_H
/* Flags that set something in the configuration; their target is a struct config_flags. */
#include "flags.h"
#include "service/config/config.h"

/* --config.file. */
int settings_store_file(void *target, const struct flag *flag, const char *value);

/* A flag whose name is that of a setting, with - for _. */
int settings_store(void *target, const struct flag *flag, const char *value);

/* --set section.key=value. */
int settings_store_set(void *target, const struct flag *flag, const char *value);

/* Reads the configuration. 0, or an exit status after printing the error: EXIT_USAGE if all errors are in the flags. */
int settings_read(const struct config_flags *flags, struct config **configp);

void settings_deinit(struct config_flags *flags);

#endif
