/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds an assignment. Takes ownership of the strings; any of them may be NULL if out of memory. */
static int
add(struct config_flags *flags, char *flag, char *setting, char *value)
{
    struct config_flag_value *values = realloc(flags->values, (flags->n + 1) * sizeof(*values));
    if (values)
        flags->values = values;
    if (!values || !flag || !setting || !value) {
        free(flag);
        free(setting);
        free(value);
        fputs("scrapeshard: out of memory while reading the flags\n", stderr);
        return EXIT_FAILED;
    }
    values[flags->n++] = (struct config_flag_value){flag, setting, value};
    return 0;
}

int
settings_store_file(void *target, const struct flag *flag, const char *value)
{
    struct config_flags *flags = target;
    if (!*value)
        return flags_refuse("--%s needs a value: --%s=%s", flag->name, flag->name, flag->value);
    flags->file = value;
    return 0;
}

int
settings_store(void *target, const struct flag *flag, const char *value)
{
    char *shown, *setting = strdup(flag->name);
    if (asprintf(&shown, "--%s", flag->name) < 0)
        shown = NULL;
    for (char *p = setting; p && *p; p++)
        if (*p == '-')
            *p = '_';
    return add(target, shown, setting, strdup(value));
}

int
settings_store_set(void *target, const struct flag *flag, const char *value)
{
    const char *equal = strchr(value, '=');
    char *shown;
    (void)flag;
    if (!equal)
        return flags_refuse("--set %s needs a value: --set section.key=value", value);
    if (asprintf(&shown, "--set %.*s", (int)(equal - value), value) < 0)
        shown = NULL;
    return add(target, shown, strndup(value, (size_t)(equal - value)), strdup(equal + 1));
}

int
settings_read(const struct config_flags *flags, struct config **configp)
{
    int r = config_read(configp, flags, stderr);
    if (r < 0)
        fputs("scrapeshard: out of memory while reading the configuration\n", stderr);
    return !r ? 0 : r == 2 ? EXIT_USAGE : EXIT_FAILED;
}

void
settings_deinit(struct config_flags *flags)
{
    for (size_t i = 0; i < flags->n; i++) {
        free(flags->values[i].flag);
        free(flags->values[i].setting);
        free(flags->values[i].value);
    }
    free(flags->values);
}
