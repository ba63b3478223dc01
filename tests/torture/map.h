/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORTURE_MAP_H
#define TORTURE_MAP_H
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Maps the file that a variable of the environment names, which the tester maps too. NULL: there is none. */
static inline void *
map_file(const char *variable, size_t size)
{
    const char *path = getenv(variable);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return NULL;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

#endif
