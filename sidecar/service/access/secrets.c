/* SPDX-License-Identifier: Apache-2.0 */
#include "secrets.h"

#include "service/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_LINE_MAX = 4096 };

FILE *
file_open(const char *path, long max, const char **wrong)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        *wrong = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        *wrong = "not a regular file";
    } else if (st.st_size > max) {
        *wrong = max > SECRET_MAX ? "larger than 4 MiB" : "larger than 64 KiB";
    } else {
        FILE *file = fdopen(fd, "r");
        if (file)
            return file;
        *wrong = strerror(errno);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

FILE *
secret_open(const char *path, const char **wrong)
{
    return file_open(path, SECRET_MAX, wrong);
}

/* In place. */
static char *
trim(char *text)
{
    size_t len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1]))
        text[--len] = 0;
    return text + strspn(text, " \t\r\n");
}

/* Why n bytes, NUL-terminated, are not one line that a header can hold; or NULL. Trims them. */
static const char *
check_line(char *bytes, size_t n)
{
    if (memchr(bytes, 0, n))
        return "contains a NUL byte";
    const char *text = trim(bytes);
    if (!*text)
        return "empty file";
    if (strlen(text) > SECRET_LINE_MAX)
        return "longer than 4096 bytes";
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return "contains more than one line, or a control character";
    return NULL;
}

int
secret_read_line(char **textp, const char *path, const char **wrong)
{
    char *bytes = calloc(1, SECRET_MAX + 1);
    FILE *file = bytes ? secret_open(path, wrong) : NULL;
    *textp = NULL;
    if (!bytes)
        *wrong = strerror(ENOMEM);
    if (file) {
        setvbuf(file, NULL, _IONBF, 0); /* a buffer would be a second copy that is not wiped */
        size_t n = fread(bytes, 1, SECRET_MAX, file);
        size_t mark = utf8_mark_len(bytes);
        *wrong = ferror(file) ? strerror(errno) : check_line(bytes + mark, n - mark);
        fclose(file);
        if (!*wrong && !(*textp = strdup(trim(bytes + mark))))
            *wrong = strerror(ENOMEM);
    }
    if (bytes)
        OPENSSL_cleanse(bytes, SECRET_MAX);
    free(bytes);
    return *textp ? 0 : -1;
}

void
secret_free(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}
