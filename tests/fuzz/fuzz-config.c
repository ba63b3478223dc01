/* SPDX-License-Identifier: Apache-2.0 */
/* The INI reader: whatever stands in a file, it is a configuration or has mistakes that were told. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], *mistakes = NULL;
    size_t len = 0;
    struct config *config;
    int fd = memfd_create("config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct config_flags flags = {path, NULL, 0};
    FILE *out = open_memstream(&mistakes, &len);
    if (!out)
        return 0;
    int r = config_read(&config, &flags, out);
    fclose(out);
    if (r < 0 || !r != !len)
        abort();
    if (!r) {
        for (size_t i = 0; i < config->n_endpoints; i++)
            if (!config->endpoints[i].url || config->endpoints[i].path[0] != '/')
                abort();
        config_unref(config);
    }
    free(mistakes);
    close(fd);
    return 0;
}
