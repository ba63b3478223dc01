/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HTML_H
#define SERVICE_HTML_H
/*
 * HTML from templates: every {} is replaced by the next text, escaped.
 *
 *     HTML(out, "<td title=\"{}\">{}</td>", peer, html_count(series).text);
 *
 * Attributes must be in double quotes. Errors are the stream's own.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HTML(out, ...) html_fill(out, (const char *const[]){__VA_ARGS__, NULL})

/* texts[0] is the template; the others, NULL-terminated, fill it. */
void html_fill(FILE *out, const char *const *texts);

/* Escapes a text for an element or an attribute. */
void html_text(FILE *out, const char *text);

/* A number in readable form; text lives as long as the struct. */
struct html_number {
    char text[32];
};

struct html_number html_count(uint64_t n);               /* "28,000" */
struct html_number html_bytes(uint64_t bytes);           /* "3.6 MiB" */
struct html_number html_ratio(double ratio);             /* "1.23" */
struct html_number html_duration(int64_t ms);            /* "5 s", "3 min" */
struct html_number html_time(int64_t seconds);           /* since 1970: "2026-11-24T19:02:18Z" */
struct html_number html_hash(uint64_t hash);             /* "0x23af5a217b078e8f" */
struct html_number html_percent(double part, double of); /* "37.50" */

#endif
