/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_JSON_H
#define CMD_JSON_H
/*
 * A streaming writer of JSON (RFC 8259). What is opened must be closed, in order. key is NULL in an array and for the
 * outermost value. Write errors are left to ferror() of the file.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Ready when zeroed except for out. */
struct json {
    FILE *out;
    unsigned depth;
    bool filled; /* the innermost open value is not empty */
};

void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);

/* Arbitrary bytes; invalid UTF-8 becomes U+FFFD. */
void json_text(struct json *json, const char *key, struct ss_span text);
void json_word(struct json *json, const char *key, const char *word);
void json_count(struct json *json, const char *key, uint64_t count);
/* Three decimals; null if not finite. */
void json_number(struct json *json, const char *key, double number);
void json_flag(struct json *json, const char *key, bool flag);
void json_null(struct json *json, const char *key);

#endif
