/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_REQUIRE_H
#define FUZZ_REQUIRE_H
#include <stdlib.h>

/* What is not so is a find. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

#endif
