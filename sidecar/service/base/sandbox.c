/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sanitizers look at the process by ptrace, and write files. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

/* Capabilities. A port below 1024 has been bound by now. */

static bool
drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* capset(2) would do that too */
    return !syscall(SYS_capset, &header, none);
}

/* Files. What is handled and never granted is forbidden; reading is not handled. */

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

static bool
forbid_writing(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const uint64_t since_1 = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                             LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
    const uint64_t since_3 = LANDLOCK_ACCESS_FS_TRUNCATE;
    struct landlock_ruleset_attr attributes = {.handled_access_fs = since_1 | (version >= 3 ? since_3 : 0)};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes.handled_access_fs), 0);
    if (fd < 0)
        return false;
    bool done = !syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return done;
}

/* System calls. */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH

/* A list of what is forbidden, not of what is allowed: what the libraries need differs from one release to the next,
   and a sidecar that dies of that harms more than one that may call getpid(2). */
#define FORBID(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, DENY)
#define DENY (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))

/* Forbids a call where a flag in its i-th argument, of whose halves the low one has them all, is set, or is not. */
#define FORBID_FLAG(name, i, flag, set)                                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4),                                                             \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i])),                                    \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, !(set), (set)), BPF_STMT(BPF_RET | BPF_K, DENY),                    \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Calls whose flags stand in memory: without them the C library takes the older ones. */
#define UNKNOWN(name)                                                                                                  \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static bool
forbid_calls(void)
{
    static const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, DENY),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
        /* The same calls by other numbers: x32. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, DENY),
        FORBID(fork),
        FORBID(vfork),
        FORBID_FLAG(open, 1, O_TRUNC, true),
        FORBID(creat),
        FORBID(chmod),
        FORBID(chown),
        FORBID(lchown),
        FORBID(modify_ldt),
        FORBID(iopl),
        FORBID(ioperm),
#endif
        /* Other processes. */
        FORBID_FLAG(clone, 0, CLONE_THREAD, false),
        UNKNOWN(clone3),
        FORBID(execve),
        FORBID(execveat),
        FORBID(ptrace),
        FORBID(process_vm_readv),
        FORBID(process_vm_writev),
        FORBID(kcmp),
        FORBID(pidfd_getfd),
        /* Files, where landlock is not enough. */
        FORBID_FLAG(openat, 2, O_TRUNC, true),
        UNKNOWN(openat2),
        FORBID(truncate),
        FORBID(fchmod),
        FORBID(fchmodat),
        FORBID(fchmodat2),
        FORBID(fchown),
        FORBID(fchownat),
        /* Another view of the system. */
        FORBID(mount),
        FORBID(umount2),
        FORBID(pivot_root),
        FORBID(chroot),
        FORBID(unshare),
        FORBID(setns),
        FORBID(move_mount),
        FORBID(open_tree),
        FORBID(fsopen),
        FORBID(fsmount),
        FORBID(fsconfig),
        FORBID(fspick),
        FORBID(mount_setattr),
        FORBID(open_by_handle_at),
        FORBID(name_to_handle_at),
        /* Other rights. */
        FORBID(setuid),
        FORBID(setgid),
        FORBID(setreuid),
        FORBID(setregid),
        FORBID(setresuid),
        FORBID(setresgid),
        FORBID(setgroups),
        FORBID(setfsuid),
        FORBID(setfsgid),
        FORBID(capset),
        FORBID(personality),
        FORBID(add_key),
        FORBID(request_key),
        FORBID(keyctl),
        /* The system itself, and what of the kernel is seldom used and often broken. */
        FORBID(init_module),
        FORBID(finit_module),
        FORBID(delete_module),
        FORBID(kexec_load),
        FORBID(kexec_file_load),
        FORBID(reboot),
        FORBID(swapon),
        FORBID(swapoff),
        FORBID(acct),
        FORBID(quotactl),
        FORBID(syslog),
        FORBID(sethostname),
        FORBID(setdomainname),
        FORBID(settimeofday),
        FORBID(clock_settime),
        FORBID(adjtimex),
        FORBID(clock_adjtime),
        FORBID(bpf),
        FORBID(perf_event_open),
        FORBID(userfaultfd),
        FORBID(vmsplice),
        FORBID(io_uring_setup),
        FORBID(io_uring_enter),
        FORBID(io_uring_register),
        FORBID(fanotify_init),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), (struct sock_filter *)(uintptr_t)filter};
    return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

#else

static bool
forbid_calls(void)
{
    return false;
}

#endif

struct sandbox
sandbox_enter(bool full)
{
    struct sandbox s = {.privileges = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)};
#ifdef UNDER_SANITIZER
    full = false;
#endif
    if (!full)
        return s;
    s.capabilities = drop_capabilities();
    s.landlock = forbid_writing();
    s.seccomp = forbid_calls(); /* capset(2) too, so it is the last */
    return s;
}
