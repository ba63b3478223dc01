/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_VALUE_H
#define SERVICE_CONFIG_VALUE_H
/*
 * The types of settings: parses a value's text into its C type.
 *
 * Each function returns NULL, or an error message that continues a sentence starting with the value. Values of text
 * types are only checked.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Keepalive "on": longer than any usual scrape interval. */
enum { VALUE_KEEPALIVE_ON = 330 * 1000 };

const char *value_read_duration(int64_t *ms, const char *text);  /* "1m30s" */
const char *value_read_keepalive(int64_t *ms, const char *text); /* "on", "off" or a duration */
const char *value_read_bytes(uint64_t *bytes, const char *text); /* "256MiB" */
const char *value_read_count(uint64_t *count, const char *text); /* "100000" */
/* A number of shards, or the word for none, which is 0. */
const char *value_read_shards(uint32_t *count, const char *text, const char *none);
const char *value_read_flag(bool *flag, const char *text);
const char *value_read_choice(int *index, const char *text, const char *choices); /* "a|b|c" */

const char *value_check_path(const char *text);
const char *value_check_url(const char *text); /* http://, https:// or unix:/SOCKET:/PATH */
const char *value_check_param(const char *text);
const char *value_check_host(const char *text); /* of a Host header: HOST or HOST:PORT */
const char *value_check_address(const char *text);
const char *value_check_label(const char *text); /* one that needs no quotes */

/* Write a value so that it parses back unchanged, in the largest units that divide it. */
void value_write_duration(FILE *out, int64_t ms);
void value_write_keepalive(FILE *out, int64_t ms);
void value_write_bytes(FILE *out, uint64_t bytes);
void value_write_shards(FILE *out, uint32_t count, const char *none);

#endif
