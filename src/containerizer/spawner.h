#ifndef DCOS_CONTAINERIZER_SPAWNER_H
#define DCOS_CONTAINERIZER_SPAWNER_H

/*
 * Starting the process of a container, or of a task in one. Depends on base only: the launcher and
 * the executor use it.
 *
 * Two shapes. *Direct*: the new process execs the program. *Supervised*: the new process is a small
 * init (a fork of the caller that never execs) whose child execs the program; it reaps what is
 * orphaned, takes orders by signal, reports the program's wait status, and takes everything with
 * it when it ends or when the caller dies.
 *
 * The caller has to be single-threaded. The child is held until spawn_release(), so that it can be
 * put into control groups and recorded before it does anything.
 */

#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"
#include "containerizer/mounts.h"

enum spawn_stage {
    SPAWN_STAGE_EXEC,      /* value: errno */
    SPAWN_STAGE_USER,      /* unknown user, or switching refused */
    SPAWN_STAGE_CWD,       /* working directory */
    SPAWN_STAGE_LIMIT,     /* rlimit refused */
    SPAWN_STAGE_NAMESPACE, /* /proc or mount propagation: retry without namespaces */
    SPAWN_STAGE_JOIN,      /* joining the namespaces of another process */
    SPAWN_STAGE_FORK,
    SPAWN_STAGE_MOUNT = 16, /* and the number of the mount */
};

enum spawn_record_kind {
    SPAWN_STARTED =
        1,            /* supervised only: the program was exec'd; value = its pid as init sees it */
    SPAWN_FAILED = 2, /* stage << 16 | errno; the process ends */
    SPAWN_STATUS = 3, /* supervised only: raw wait status of the program */
};
/* What comes through result_fd. EOF without any record: a direct program was exec'd. */
struct spawn_record {
    int32_t kind, value;
};

struct spawn_rlimit {
    int resource;
    struct rlimit limit;
};

/* Whom to run as; found out before the process sees any file that is not the host's. */
struct spawn_identity {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    int n_groups;
};

struct spawn_options {
    const char *const *argv; /* argv[0] is looked up in the PATH of envp unless it has a slash */
    const char *const *envp;
    const char *file;         /* what is exec'd; NULL = argv[0] */
    const char *cwd;          /* NULL = inherit */
    const char *user;         /* NULL = no switch */
    int stdout_fd, stderr_fd; /* -1 = /dev/null; stdin is /dev/null */
    const struct spawn_rlimit *rlimits;
    size_t n_rlimits;
    bool supervised;
    bool namespaces; /* with supervised: new pid and mount namespaces, own /proc */
    bool dies_with_caller;
    int cgroup_fd;  /* unified group to be born in, or -1 */
    int join_pidfd; /* run in the pid and mount namespaces of this process, or -1 (supervised) */
    /* Supervised: what is shown in the sandbox (cwd) and elsewhere. */
    const struct spawn_mount *mounts;
    size_t n_mounts;
    /* Programs cannot become another user's by their file's mode. Always so for a user that is
     * switched to when something is mounted outside of the sandbox: it may hold other passwords. */
    bool no_new_privs;
    const char *status_path; /* supervised: the raw wait status is left here as text; NULL = no */
};

struct spawn {
    pid_t pid;
    int pidfd;
    int result_fd; /* non-blocking */
    int hold_fd;
};

/* 0 or negative errno; `ret` owns descriptors until spawn_done(). */
int spawn_start(const struct spawn_options *o, struct spawn *ret, struct error *err);
int spawn_release(struct spawn *s); /* once; -EPIPE when it died meanwhile */
void spawn_done(struct spawn *s);   /* closes; the process goes on (ends when never released) */

bool spawn_mounts_need_no_new_privs(const struct spawn_mount *mounts, size_t n);

/* Orders to the init of a supervised process. */
enum {
    SPAWN_SIGNAL_TERM = 15, /* SIGTERM to everything in it */
    SPAWN_SIGNAL_KILL = 10, /* SIGUSR1: SIGKILL to everything in it, the status is still reported */
};

/* "cannot switch to user nobody: No such user" for a SPAWN_FAILED value. */
void spawn_failure_text(int32_t value, const struct spawn_options *o, struct error *err);
static inline enum spawn_stage spawn_failure_stage(int32_t value)
{
    return (enum spawn_stage)(value >> 16);
}

/* For init.c: the last steps of the program's process; does not return. */
_noreturn_ void spawn_exec(
    const struct spawn_options *o, const struct spawn_identity *identity, int result_fd);
_noreturn_ void spawn_fail(int result_fd, enum spawn_stage stage, int error);
/* init.c: the supervisor; does not return. */
_noreturn_ void spawn_init(
    const struct spawn_options *o, const struct spawn_identity *identity, int result_fd);

#endif
