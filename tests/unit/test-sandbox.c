/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox forbids, and what it allows. Each case runs in its own process. */
#include "service/base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SKIPPED = 77 };

/* Runs a case with or without the full sandbox: the results must differ, or the case proves nothing. */
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

/* A file with one byte, owned by the user that runs the test. */
static char victim[] = "/tmp/test-sandbox-XXXXXX";

static bool
is_empty(void)
{
    struct stat st;
    return stat(victim, &st) || !st.st_size;
}

static int
make_victim(void **state)
{
    (void)state;
    int fd = mkstemp(victim);
    return fd < 0 || write(fd, "a", 1) != 1 || close(fd);
}

static int
remove_victim(void **state)
{
    (void)state;
    return unlink(victim);
}

static int
try_truncate(void)
{
    return truncate(victim, 0) ? 1 : !is_empty();
}

static int
try_open_and_truncate(void)
{
    return open(victim, O_RDONLY | O_TRUNC) < 0 ? 1 : !is_empty();
}

static int
try_open_and_truncate_otherwise(void)
{
    struct open_how how = {.flags = O_RDONLY | O_TRUNC};
    return syscall(SYS_openat2, AT_FDCWD, victim, &how, sizeof(how)) < 0 ? 1 : !is_empty();
}

static int
try_change_mode(void)
{
    return chmod(victim, 0600) ? 1 : 0;
}

static int
try_change_mode_of_open(void)
{
    int fd = open(victim, O_RDONLY);
    return fd < 0 ? 2 : fchmod(fd, 0600) ? 1 : 0;
}

static int
try_change_owner(void)
{
    return chown(victim, getuid(), getgid()) ? 1 : 0;
}

static int
try_fork(void)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    return pid < 0 ? 1 : waitpid(pid, &status, 0) == pid ? 0 : 2;
}

static int
try_clone(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (!pid)
        _exit(0);
    return pid < 0 ? (errno == ENOSYS ? 1 : 2) : 0;
}

/* getpid(2) by its number in the x32 ABI, by which everything that is forbidden could be called too. */
static int
try_x32(void)
{
    return syscall(0x40000000 | SYS_getpid) < 0 && errno == EPERM ? 1 : 0;
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
expect_refused(int (*const what)(void))
{
    int with = run(what, true);
    if (with == SKIPPED)
        skip();
    assert_int_equal(with, 1);
}

static void
test_forbidden(void **state)
{
    static int (*const cases[])(void) = {try_execute,           try_write,       try_truncate,
                                         try_open_and_truncate, try_change_mode, try_change_mode_of_open,
                                         try_change_owner,      try_fork,        try_trace};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_refused(cases[i]);
        assert_int_equal(run(cases[i], false), 0);
    }
}

/* By system calls that not every kernel or container has. */
static void
test_forbidden_if_known(void **state)
{
    static int (*const cases[])(void) = {try_open_and_truncate_otherwise, try_clone};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!run(cases[i], false))
            expect_refused(cases[i]);
}

static void
test_other_abi(void **state)
{
    (void)state;
#ifndef __x86_64__
    skip();
#endif
    expect_refused(try_x32);
    assert_int_equal(run(try_x32, false), 0);
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

/* A container's own filter forbids capset(2). */
static bool
forbid_capset(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_capset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Whether sandbox_enter() reports that capabilities were dropped, and they were. 0: yes, 1: not reported, 2: not true.
 */
static int
enter(bool forbidden)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct left[2];
    if (forbidden && !forbid_capset())
        return SKIPPED;
    struct sandbox s = sandbox_enter(true);
    if (!s.landlock && !s.seccomp && !s.capabilities && !forbidden)
        return SKIPPED;
    if (!s.capabilities)
        return 1;
    return syscall(SYS_capget, &header, left) || left[0].effective || left[0].permitted || left[1].effective ? 2 : 0;
}

static void
test_capabilities(void **state)
{
    (void)state;
    for (int forbidden = 0; forbidden <= 1; forbidden++) {
        int status;
        pid_t pid = fork();
        if (!pid)
            _exit(enter(forbidden));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == SKIPPED)
            skip();
        assert_int_equal(WEXITSTATUS(status), forbidden);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden), cmocka_unit_test(test_forbidden_if_known), cmocka_unit_test(test_other_abi),
        cmocka_unit_test(test_allowed),   cmocka_unit_test(test_capabilities),
    };
    return cmocka_run_group_tests(tests, make_victim, remove_victim);
}
