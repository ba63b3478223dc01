/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SANDBOX_H
#define SERVICE_SANDBOX_H
/*
 * What the process gives up when it has begun, for good: new privileges and capabilities; writing to, making and
 * executing files (landlock); system calls that no server of metrics needs, such as execve, fork, chmod, ptrace and
 * mount, which fail with EPERM from then on (seccomp). Reading files stays, for reloads, and so do sockets and threads.
 */
#include <stdbool.h>

struct sandbox {
    bool privileges, capabilities, landlock, seccomp; /* what was given up; the kernel may not know the rest */
};

/* Before any thread is made, and behind the last socket file. full: all of it, not only new privileges. */
struct sandbox sandbox_enter(bool full);

#endif
