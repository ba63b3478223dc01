/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
output_end(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    fprintf(stderr, "scrapeshard: standard output: %s\n", strerror(errno));
    return EXIT_FAILED;
}
