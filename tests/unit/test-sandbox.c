/* SPDX-License-Identifier: Apache-2.0 */
/* What the process cannot do any more when it has given it up, and what it can. Each case has a process of its own. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SKIPPED = 77 };

/* Runs a case in the sandbox, and another without it: it must come out differently, or the case proves nothing. */
static int
run(int (*what)(void), bool full)
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        struct sandbox s = sandbox_enter(full);
        _exit(full && (!s.landlock || !s.seccomp) ? SKIPPED : what());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
try_execute(void)
{
    char *const args[] = {(char *)(uintptr_t) "true", NULL};
    execv("/bin/true", args);
    return errno == EPERM || errno == EACCES ? 1 : 2;
}

static int
try_write(void)
{
    char path[] = "/tmp/test-sandbox-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return errno == EACCES ? 1 : 2;
    unlink(path);
    return 0;
}

static int
try_trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0;
}

static void *
work(void *ctx)
{
    *(bool *)ctx = true;
    return NULL;
}

static int
serve(void)
{
    pthread_t thread;
    bool worked = false;
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct addrinfo *found = NULL;
    int fd = socket(AF_INET, SOCK_STREAM, 0), file = open("/etc/passwd", O_RDONLY);
    bool good = fd >= 0 && file >= 0 && !bind(fd, (struct sockaddr *)&any, sizeof(any)) && !listen(fd, 1) &&
                !pthread_create(&thread, NULL, work, &worked) && !pthread_join(thread, NULL) && worked &&
                !getaddrinfo("localhost", "80", NULL, &found);
    return good ? 0 : 1;
}

static void
test_forbidden(void **state)
{
    static int (*const cases[])(void) = {try_execute, try_write, try_trace};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int with = run(cases[i], true);
        if (with == SKIPPED)
            skip();
        assert_int_equal(with, 1);
        assert_int_equal(run(cases[i], false), 0);
    }
}

static void
test_allowed(void **state)
{
    (void)state;
    int with = run(serve, true);
    if (with == SKIPPED)
        skip();
    assert_int_equal(with, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
