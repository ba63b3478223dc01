/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MAX = 200 /* longer bars are not more precise */ };

static bool
locale_is_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"}, *value = NULL;
    for (size_t i = 0; i < 3 && !(value && *value); i++)
        value = getenv(names[i]);
    return value && (strcasestr(value, "utf-8") || strcasestr(value, "utf8"));
}

struct terminal
terminal_of(FILE *out)
{
    struct terminal t = {.columns = 80, .is_tty = isatty(fileno(out))};
    struct winsize size = {0};
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

    if (!t.is_tty)
        return t;
    t.colours = term && strcmp(term, "dumb") != 0 && !(no_color && *no_color);
    t.utf8 = locale_is_utf8();
    if (!ioctl(fileno(out), TIOCGWINSZ, &size) && size.ws_col) {
        t.columns = size.ws_col > COLUMNS_MAX ? COLUMNS_MAX : size.ws_col;
        t.rows = size.ws_row;
    }
    return t;
}

const char *
terminal_colour(const struct terminal *t, enum colour colour)
{
    static const char *const codes[] = {
        [COLOUR_NONE] = "\033[0m",  [COLOUR_BOLD] = "\033[1m", [COLOUR_DIM] = "\033[2m",
        [COLOUR_GOOD] = "\033[32m", [COLOUR_BAD] = "\033[31m",
    };
    return t->colours ? codes[colour] : "";
}

void
terminal_bar(const struct terminal *t, FILE *out, double value, double max, int used)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int width = (int)t->columns - used - 3; /* some terminals wrap after the last column */
    double columns = max > 0 ? value / max * width : 0;
    if (width < 1)
        return;
    unsigned parts = (unsigned)(columns * (t->utf8 ? 8 : 1) + 0.5), whole = t->utf8 ? parts / 8 : parts;

    if (value > 0 && !parts)
        parts = 1, whole = !t->utf8;
    fputs("  ", out);
    for (unsigned i = 0; i < whole; i++)
        fputs(t->utf8 ? "█" : "#", out);
    if (t->utf8)
        fputs(eighths[parts % 8], out);
}
