/* SPDX-License-Identifier: Apache-2.0 */
/* The INI reader: any file is either a configuration, which is the same after printing and reading, or has errors that
   are reported. */
#include "service/config/config.h"
#include "service/config/config_print.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a text as a file. 0, 1 after reported errors, or -1 if such a file could not be created. */
static int
read_text(struct config **config, const void *text, size_t size)
{
    char path[64], *errors = NULL;
    size_t len = 0;
    int fd = memfd_create("config", MFD_CLOEXEC), r = -1;
    FILE *out = open_memstream(&errors, &len);

    if (fd >= 0 && out && write(fd, text, size) == (ssize_t)size) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        struct config_flags flags = {.file = path, .warnings = true};
        r = config_read(config, &flags, out);
        fclose(out);
        if (r < 0 || (r ? !len : len && !strstr(errors, "warning: ")))
            abort();
    }
    free(errors);
    close(fd);
    return r;
}

/* A printed configuration of *len bytes. */
static char *
print_text(const struct config *config, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (!out)
        abort();
    config_print(config, out);
    fclose(out);
    return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config, *same;
    size_t len, same_len;

    if (read_text(&config, data, size))
        return 0;
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!config->endpoints[i].url.url || config->endpoints[i].path[0] != '/')
            abort();

    char *text = print_text(config, &len);
    if (read_text(&same, text, len))
        abort();
    char *same_text = print_text(same, &same_len);
    if (strcmp(text, same_text) != 0)
        abort();
    free(same_text);
    config_unref(same);
    free(text);
    config_unref(config);
    return 0;
}
