#ifndef DCOS_IO_PROCESS_H
#define DCOS_IO_PROCESS_H

/* Child processes on the loop: run a helper program, collect its output, learn its status. */

#include <sys/types.h>

#include "base/buf.h"
#include "io/loop.h"

struct process;

struct process_options {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *envp; /* NULL = inherit */
    const char *cwd;         /* NULL = inherit */
    const char *stdin_text;  /* NULL = /dev/null */
    int stdout_fd,
        stderr_fd; /* <= 0: captured up to capture_max when that is > 0, else /dev/null */
    size_t capture_max;
    int64_t timeout_us; /* 0 = none; then SIGKILL to its process group */
    bool own_group;     /* new session, so that a kill reaches its children */
};

struct process_result {
    int status; /* raw wait status, or -1 when it could not be started */
    bool timed_out;
    bool truncated;
    struct str out, err; /* captured; valid during the callback */
};

/* Called once; the process object is gone after it. */
typedef void (*process_cb)(const struct process_result *result, void *userdata);

int process_start(struct loop *l, const struct process_options *options, process_cb cb,
    void *userdata, struct process **ret, struct error *err);
pid_t process_pid(const struct process *p);
/* Sends to the group when own_group. 0 or negative errno. */
int process_kill(struct process *p, int signum);
/* Kills it; cb is not called any more. */
void process_abandon(struct process *p);

#endif
