/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sanitizers use ptrace and write files. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

/* Capabilities. Ports below 1024 are bound by now. */

static bool
drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* capset(2) would clear them too */
    return !syscall(SYS_capset, &header, none);
}

/* Files. What is handled and never granted is forbidden; reading is not handled, so it stays allowed. */

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

/* System calls. A deny list, not an allow list: what the libraries need changes with their releases, and a sidecar that
   breaks because of that does more harm than one that may call getpid(2). */

/* libseccomp 2.5.4 does not know it. Since Linux 5.4 new calls have the same numbers, but for an offset, everywhere. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 (SYS_openat2 - 437 + 452)
#endif

/* For a call that an architecture does not have libseccomp defines a number that never occurs. */
static const int forbidden[] = {
    /* Other processes. */
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    /* Files, where landlock is not enough. */
    SCMP_SYS(creat),
    SCMP_SYS(truncate),
    SCMP_SYS(truncate64),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SYS_fchmodat2,
    SCMP_SYS(chown),
    SCMP_SYS(chown32),
    SCMP_SYS(lchown),
    SCMP_SYS(lchown32),
    SCMP_SYS(fchown),
    SCMP_SYS(fchown32),
    SCMP_SYS(fchownat),
    /* Another view of the system. */
    SCMP_SYS(mount),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    /* Other rights. */
    SCMP_SYS(setuid),
    SCMP_SYS(setuid32),
    SCMP_SYS(setgid),
    SCMP_SYS(setgid32),
    SCMP_SYS(setreuid),
    SCMP_SYS(setreuid32),
    SCMP_SYS(setregid),
    SCMP_SYS(setregid32),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresuid32),
    SCMP_SYS(setresgid),
    SCMP_SYS(setresgid32),
    SCMP_SYS(setgroups),
    SCMP_SYS(setgroups32),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsuid32),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setfsgid32),
    SCMP_SYS(capset),
    SCMP_SYS(personality),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    /* The system itself, and rarely used parts of the kernel with a history of vulnerabilities. */
    SCMP_SYS(modify_ldt),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(syslog),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(settimeofday),
    SCMP_SYS(stime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_settime64),
    SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(clock_adjtime64),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(vmsplice),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(fanotify_init),
};

/* The argument of clone(2) with the flags. */
#if defined(__s390__)
enum { CLONE_FLAGS = 1 };
#else
enum { CLONE_FLAGS = 0 };
#endif

static bool
add_rules(scmp_filter_ctx filter)
{
    const uint32_t deny = SCMP_ACT_ERRNO(EPERM);
    /* Calls whose flags are in memory: with ENOSYS the C library falls back to the older calls. */
    const uint32_t hide = SCMP_ACT_ERRNO(ENOSYS);
    const struct scmp_arg_cmp no_thread = SCMP_CMP(CLONE_FLAGS, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
    const struct scmp_arg_cmp open_truncates = SCMP_A1(SCMP_CMP_MASKED_EQ, O_TRUNC, O_TRUNC);
    const struct scmp_arg_cmp openat_truncates = SCMP_A2(SCMP_CMP_MASKED_EQ, O_TRUNC, O_TRUNC);

    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
        if (seccomp_rule_add(filter, deny, forbidden[i], 0))
            return false;
    return !seccomp_rule_add(filter, deny, SCMP_SYS(clone), 1, no_thread) &&
           !seccomp_rule_add(filter, deny, SCMP_SYS(open), 1, open_truncates) &&
           !seccomp_rule_add(filter, deny, SCMP_SYS(openat), 1, openat_truncates) &&
           !seccomp_rule_add(filter, hide, SCMP_SYS(clone3), 0) &&
           !seccomp_rule_add(filter, hide, SCMP_SYS(openat2), 0);
}

static bool
forbid_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    /* Calls of another ABI, such as x32, have other numbers: all are forbidden. */
    bool done = filter && !seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)) &&
                add_rules(filter) && !seccomp_load(filter);
    seccomp_release(filter);
    return done;
}

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
    s.seccomp = forbid_calls(); /* last, since it forbids capset(2) */
    return s;
}
