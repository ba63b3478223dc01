/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_LIMITS_H
#define PROMQL_LIMITS_H
/* How much of a rule file is read. Real sets of rules stay far below; what is above is an error, in bounded time. */

enum {
    /* Bytes of a file. The largest public ones have 300 KiB. */
    LIMIT_FILE = 32 * 1024 * 1024,
    /* Values of a YAML document, aliases counted as often as they are used; and how deep they nest. */
    LIMIT_YAML_NODES = 1000 * 1000,
    LIMIT_YAML_DEPTH = 64,
    /* Rules of all files; a large fleet has some thousands. */
    LIMIT_RULES = 20 * 1000,
    /* Bytes and nodes of an expression. */
    LIMIT_EXPRESSION = 1024 * 1024,
    LIMIT_NODES = 100 * 1000,
    /* Parentheses, calls and signs inside each other, which the parser answers by recursion. */
    LIMIT_NESTING = 250,
    /* How deep a tree is; a chain such as a or b or c... is as deep as it is long. */
    LIMIT_TREE_DEPTH = 2000,
    /* How deep evaluation recurses, through the rules that record what others read. */
    LIMIT_EVALUATION = 2500,
    /* Parts of expressions that are evaluated for one verdict, and for all: seconds. 900 rules take a million. */
    LIMIT_STEPS = 20 * 1000 * 1000,
    LIMIT_ALL_STEPS = 100 * 1000 * 1000,
    /* The same to say why; beyond that nothing is said. */
    LIMIT_WHY_STEPS = 100 * 1000,
    /* Families that rules need, through all that they read, each rule's counted by itself. */
    LIMIT_NEEDS = 4 * 1000 * 1000,
    /* Families of a group from which on it is looked for one that can be replicated instead. Most groups have two to
       six. */
    LIMIT_GROUP = 16,
};

#endif
