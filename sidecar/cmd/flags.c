/* SPDX-License-Identifier: Apache-2.0 */
#include "flags.h"

#include "cmd.h"
#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_help(const struct flag *flags, const char *usage)
{
    printf("%s\n", usage);
    for (const struct flag *f = flags; f->name; f++) {
        char left[80];
        snprintf(left, sizeof(left), "--%s%s%s", f->name, f->value ? "=" : "", f->value ? f->value : "");
        printf("  %-34s %s\n", left, f->help);
    }
    printf("  %-34s %s\n", "--help", "show this help");
}

int
flag_store_text(void *target, const struct flag *flag, const char *value)
{
    (void)flag;
    *(const char **)target = value;
    return 0;
}

int
flag_store_switch(void *target, const struct flag *flag, const char *value)
{
    (void)flag, (void)value;
    *(bool *)target = true;
    return 0;
}

int
flags_note_reader(const char **readerp, const char *path, const char *name)
{
    if (strcmp(path, "-") != 0)
        return 0;
    if (*readerp)
        return flags_refuse("%s and %s both read standard input; expected a file for one of them", *readerp, name);
    *readerp = name;
    return 0;
}

int
flags_refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("scrapeshard: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see --help\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

int
flags_read(int argc, char **argv, const struct flag *flags, const char *usage)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const char *word = argv[i] + (argv[i][1] == '-' ? 2 : 1);
        size_t len = strcspn(word, "=");
        const char *value = word[len] ? word + len + 1 : NULL;
        const struct flag *f = flags;

        if (!strcmp(argv[i], "--"))
            return i + 1;
        if (!strcmp(word, "help") || !strcmp(word, "h")) {
            print_help(flags, usage);
            exit(output_end(EXIT_SUCCESS));
        }
        while (f->name && (strlen(f->name) != len || strncmp(f->name, word, len) != 0))
            f++;
        if (!f->name)
            return -flags_refuse("unknown flag --%.*s", (int)len, word);
        if (!f->value && value)
            return -flags_refuse("--%s takes no value", f->name);
        if (f->value && !value && !(value = argv[++i]))
            return -flags_refuse("--%s needs a value: --%s=%s", f->name, f->name, f->value);
        int r = f->store(f->target, f, value);
        if (r)
            return -r;
    }
    return i;
}
