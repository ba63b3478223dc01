/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SANDBOX_H
#define SERVICE_SANDBOX_H
/*
 * What the process gives up for good after its start: new privileges and capabilities; writing, creating and executing
 * files (landlock); system calls that a metrics server does not need, such as execve, fork, chmod, ptrace and mount,
 * which fail with EPERM from then on (seccomp). Reading files stays allowed, for reloads, and so do sockets and
 * threads.
 */
#include <stdbool.h>

struct sandbox {
    bool privileges, capabilities, landlock, seccomp; /* what was given up; the kernel may not support the rest */
};

/* Call it before any thread starts, and after the last socket file is made. full: all of it, not only new privileges.
 */
struct sandbox sandbox_enter(bool full);

#endif
