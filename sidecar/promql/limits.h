/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_LIMITS_H
#define PROMQL_LIMITS_H
/* Limits on rule files, far above real rule sets. Exceeding one is an error; the time until then is bounded. */

enum {
    /* Bytes of a file. The largest public files have 300 KiB. */
    LIMIT_FILE = 32 * 1024 * 1024,
    /* Values of a YAML document, with aliases expanded; and their nesting. */
    LIMIT_YAML_NODES = 1000 * 1000,
    LIMIT_YAML_DEPTH = 64,
    /* Rules of all files; a large fleet has a few thousand. */
    LIMIT_RULES = 20 * 1000,
    /* Bytes and nodes of an expression. */
    LIMIT_EXPRESSION = 1024 * 1024,
    LIMIT_NODES = 100 * 1000,
    /* Nested parentheses, calls and signs, on which the parser recurses. */
    LIMIT_NESTING = 250,
    /* Depth of a tree; a chain such as a or b or c... is as deep as it is long. */
    LIMIT_TREE_DEPTH = 2000,
    /* Recursion of the evaluation, through the rules that record what others read. */
    LIMIT_EVALUATION = 2500,
    /* Nodes evaluated for one verdict, and for all: seconds. 900 rules take a million. */
    LIMIT_STEPS = 20 * 1000 * 1000,
    LIMIT_ALL_STEPS = 100 * 1000 * 1000,
    /* The same to explain a verdict; beyond that the cause is not searched. */
    LIMIT_WHY_STEPS = 100 * 1000,
    /* Families that rules need, directly or through recorded names, added up over all rules. */
    LIMIT_NEEDS = 4 * 1000 * 1000,
    /* Without a body, a group of more families is too large: one of them is replicated if possible. Most groups have
       two to six. */
    LIMIT_GROUP = 16,
};

#endif
