/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include "service/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    COLUMNS_MAX = 200, /* a bar that is longer says no more */
    /* Seconds between two lines of progress where they stay. */
    PROGRESS_SECONDS = 10,
};

static bool
shows_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"}, *value = NULL;
    for (size_t i = 0; i < 3 && !(value && *value); i++)
        value = getenv(names[i]);
    return value && (strcasestr(value, "utf-8") || strcasestr(value, "utf8"));
}

struct terminal
terminal_of(FILE *out)
{
    struct terminal t = {.columns = 80, .is_one = isatty(fileno(out))};
    struct winsize size = {0};
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

    if (!t.is_one)
        return t;
    t.colours = term && strcmp(term, "dumb") != 0 && !(no_color && *no_color);
    t.blocks = shows_utf8();
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
terminal_bar(const struct terminal *t, FILE *out, double value, double most, int used)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int width = (int)t->columns - used - 3; /* in the last column some terminals begin a new line */
    double columns = most > 0 ? value / most * width : 0;
    if (width < 1)
        return;
    unsigned parts = (unsigned)(columns * (t->blocks ? 8 : 1) + 0.5), whole = t->blocks ? parts / 8 : parts;

    if (value > 0 && !parts)
        parts = 1, whole = !t->blocks;
    fputs("  ", out);
    for (unsigned i = 0; i < whole; i++)
        fputs(t->blocks ? "█" : "#", out);
    if (t->blocks)
        fputs(eighths[parts % 8], out);
}

size_t
text_character(const char *p, const char *end)
{
    char four[5] = {0};
    memcpy(four, p, end - p < 4 ? (size_t)(end - p) : 4);
    return *four ? utf8_len(four) : 1;
}

/* Whether a character says something to a terminal instead of to a person. */
static bool
is_control(const char *p, size_t len)
{
    const unsigned char *c = (const unsigned char *)p;
    return len == 1 ? *c < 0x20 || *c == 0x7f : len == 2 && c[0] == 0xc2 && c[1] < 0xa0;
}

static void
print_text(FILE *out, struct ss_span text, bool escaped)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        size_t n = text_character(p, end);
        if (n && !is_control(p, n)) {
            if (*p == '\\' && !escaped)
                putc('\\', out);
            fwrite(p, 1, n, out);
        } else if (*p == '\n' || *p == '\t') {
            fputs(*p == '\n' ? "\\n" : "\\t", out);
        } else {
            for (size_t i = 0; i < (n ? n : 1); i++)
                fprintf(out, "\\x%02x", (unsigned char)p[i]);
        }
        p += n ? n : 1;
    }
}

void
text_print(FILE *out, struct ss_span text)
{
    print_text(out, text, false);
}

void
log_escape_text(FILE *out, struct ss_span text)
{
    print_text(out, text, true);
}

/* Progress. */

static double
seconds_since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

struct progress
progress_start(const char *what)
{
    struct progress p = {.what = what};
    clock_gettime(CLOCK_MONOTONIC, &p.begun);
    p.told = p.begun;
    return p;
}

void
progress_update(struct progress *p, uint64_t done, uint64_t total)
{
    bool rewritten = isatty(STDERR_FILENO);
    if (seconds_since(&p->told) < (!p->shown ? 1 : rewritten ? 0.1 : PROGRESS_SECONDS))
        return;
    char total_text[32] = "", line[160];
    if (total)
        snprintf(total_text, sizeof(total_text), " of %" PRIu64, total);
    snprintf(line, sizeof(line), "scrapeshard: %s: %" PRIu64 "%s, %.0f s", p->what, done, total_text,
             seconds_since(&p->begun));
    if (rewritten) /* a line that goes on in the next row could not be taken back */
        fprintf(stderr, "\r\033[K%.*s", (int)terminal_of(stderr).columns - 1, line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->shown = true;
    clock_gettime(CLOCK_MONOTONIC, &p->told);
}

void
progress_end(struct progress *p)
{
    if (p->shown && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    p->shown = false;
}
