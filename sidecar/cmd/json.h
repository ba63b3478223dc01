/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_JSON_H
#define CMD_JSON_H
/*
 * JSON (RFC 8259), written as it goes: what is opened is to be closed, in that order. key is NULL in an array and for
 * the outermost value. That nothing could be written tells ferror() of the file.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Zeroed but for out is ready. */
struct json {
    FILE *out;
    unsigned depth;
    bool filled; /* the innermost value that is open has something in it */
};

void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);

/* Text whose bytes are any; what is no UTF-8 among them becomes U+FFFD. */
void json_text(struct json *json, const char *key, struct ss_span text);
void json_word(struct json *json, const char *key, const char *word);
void json_count(struct json *json, const char *key, uint64_t count);
/* With three decimals. What is no number becomes null. */
void json_number(struct json *json, const char *key, double number);
void json_flag(struct json *json, const char *key, bool flag);
void json_null(struct json *json, const char *key);

#endif
