/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds an assignment; takes the three strings over, any of which may be NULL for want of memory. */
static int
add(struct cli_settings *s, char *flag, char *setting, char *value)
{
    struct config_flag_value *values = realloc(s->flags.values, (s->flags.n + 1) * sizeof(*values));
    if (values)
        s->flags.values = values;
    if (!values || !flag || !setting || !value) {
        free(flag);
        free(setting);
        free(value);
        fputs("scrapeshard: there is no memory for the flags\n", stderr);
        return EXIT_FAILED;
    }
    values[s->flags.n++] = (struct config_flag_value){flag, setting, value};
    return 0;
}

int
settings_take_file(void *ctx, const struct flag *flag, const char *value)
{
    struct cli_settings *s = ctx;
    if (!*value)
        return flags_refuse("--%s needs a value: --%s=%s", flag->name, flag->name, flag->value);
    s->flags.file = value;
    return 0;
}

int
settings_take(void *ctx, const struct flag *flag, const char *value)
{
    char *shown, *setting = strdup(flag->name);
    if (asprintf(&shown, "--%s", flag->name) < 0)
        shown = NULL;
    for (char *p = setting; p && *p; p++)
        if (*p == '-')
            *p = '_';
    return add(ctx, shown, setting, strdup(value));
}

int
settings_take_set(void *ctx, const struct flag *flag, const char *value)
{
    const char *equal = strchr(value, '=');
    char *shown;
    (void)flag;
    if (!equal)
        return flags_refuse("--set %s has no value: --set section.key=value", value);
    if (asprintf(&shown, "--set %.*s", (int)(equal - value), value) < 0)
        shown = NULL;
    return add(ctx, shown, strndup(value, (size_t)(equal - value)), strdup(equal + 1));
}

void
settings_deinit(struct cli_settings *s)
{
    for (size_t i = 0; i < s->flags.n; i++) {
        free(s->flags.values[i].flag);
        free(s->flags.values[i].setting);
        free(s->flags.values[i].value);
    }
    free(s->flags.values);
}
