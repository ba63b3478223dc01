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

/* The rows of all flags that make a configuration. */
#define SETTINGS_FLAGS(target)                                                                                         \
    {"config.file", "FILE", "configuration file; see conf/scrapeshard.ini", settings_store_file, target},              \
        {"upstream.url", "URL", "metrics URL of the upstream: http://, https:// or unix:/SOCKET:/PATH",                \
         settings_store, target},                                                                                      \
        {"web.listen-address", "ADDRESS", "address for scrapes (:19480); repeatable", settings_store, target},         \
        {"admin.listen-address", "ADDRESS",                                                                            \
         "address for the shard page, own metrics and health (127.0.0.1:19481), or off", settings_store, target},      \
        {"log.level", "LEVEL", "debug, info, warn or error (info)", settings_store, target},                           \
        {"log.format", "FORMAT", "logfmt or json (logfmt)", settings_store, target},                                   \
    {                                                                                                                  \
        "set", "SECTION.KEY=VALUE", "any setting of the file, e.g. endpoint.app.timeout=5s; repeatable",               \
            settings_store_set, target                                                                                 \
    }

/* Reads the configuration. 0, or an exit status after printing the error: EXIT_USAGE if all errors are in the flags. */
int settings_read(const struct config_flags *flags, struct config **configp);

void settings_deinit(struct config_flags *flags);

#endif
