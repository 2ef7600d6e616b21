#ifndef DCOS_CONTAINERIZER_CONTAINERIZER_H
#define DCOS_CONTAINERIZER_CONTAINERIZER_H

/*
 * Containers of an agent: a process with everything it starts, in control groups of its own.
 *
 * The agent's side of the containerizer. Processes are started by `dcos-launcher`, a small child
 * that is started first and again whenever it dies; containers outlive the launcher and the agent.
 * What a container needs is tried at start: control groups (v1, v2, hybrid) and namespaces when
 * running as root where they work, plain processes otherwise (said once in the log).
 *
 * Life of a container: containerizer_launch() -> its callback -> ... -> on_exit, once, when its
 * processes are gone and its control groups removed; after that the id is unknown. A launch that
 * fails ends with its callback: there is no on_exit.
 *
 * Everything is called on the loop's thread, and no callback fires inside the call that led to it.
 * Ids are path components: letters, digits, '-', '_' and '.' (not leading).
 */

#include <sys/types.h>

#include "base/error.h"
#include "containerizer/mounts.h"
#include "io/loop.h"

struct containerizer;

enum {
    CONTAINER_ID_MAX = 200,
    CONTAINER_ARGS_MAX = 4096,            /* entries in argv, and in envp */
    CONTAINER_SPEC_MAX = 1024 * 1024,     /* bytes of argv, envp and paths together */
    CONTAINER_MESSAGE_MAX = 512,          /* of a limitation */
    CONTAINER_MEM_MIN = 32 * 1024 * 1024, /* smaller memory limits are raised to this */
};

struct container_limits {
    int64_t cpus_milli;      /* -> cpu.shares / cpu.weight; 0 = leave alone */
    bool cpus_revocable;     /* a hundredth of the shares: others come first */
    int64_t cpu_limit_milli; /* -> CFS quota; 0 = none, < 0 = explicitly unlimited */
    int64_t mem_bytes;       /* requested: soft limit; 0 = leave alone */
    int64_t mem_limit_bytes; /* hard limit; 0 = mem_bytes, < 0 = unlimited */
    int64_t pids_max;        /* 0 = none */
};

enum container_limitation {
    CONTAINER_LIMITATION_NONE,
    CONTAINER_LIMITATION_MEMORY, /* REASON_CONTAINER_LIMITATION_MEMORY */
};

struct container_exit {
    const char *id;
    pid_t pid;
    int status;     /* raw wait status, or -1 when nobody knows it any more */
    bool destroyed; /* containerizer_destroy() was called */
    /* When not NONE a limit was hit and the container was killed for it. */
    enum container_limitation limitation;
    const char *message;     /* "" without limitation */
    int64_t mem_limit_bytes; /* limit in force when it was hit: limitation.resources mem */
};

struct containerizer_options {
    const char *runtime_dir; /* <runtime_dir>/containers/<id>/ is the containerizer's */
    /* Group under which containers get theirs. Relative: below the group that the agent itself runs
     * in (v1, hybrid) or the mount's root (v2). With a leading '/': below the mount's root. NULL =
     * "dcos". */
    const char *cgroups_root;
    const char *launcher_path; /* the dcos-launcher program */
    bool plain;                /* no control groups and no namespaces, even as root */
    bool cpu_quota;            /* CFS quota from cpus_milli when there is no cpu_limit_milli */

    void (*on_exit)(const struct container_exit *e, void *userdata);
    void *userdata;
};

/* Probes, starts the launcher. Only configuration errors fail (no launcher program, no runtime
 * folder). */
int containerizer_new(struct loop *l, const struct containerizer_options *options,
    struct containerizer **ret, struct error *err);
/* Lets go: containers live on; the launcher ends by itself. No callback fires any more. */
void containerizer_free(struct containerizer *c);
DEFINE_CLEANUP(struct containerizer *, containerizer_free)

struct container_spec {
    const char *id;
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in the PATH of envp */
    const char *const *envp; /* NULL-terminated; the whole environment, nothing is inherited */
    const char *cwd;         /* the sandbox; must exist */
    const char *user;        /* run as this user with its groups; NULL = as the agent */
    /* Opened for appending, created when missing, given to `user`; relative to cwd. NULL =
     * /dev/null. stdin is /dev/null. */
    const char *stdout_path, *stderr_path;
    struct container_limits limits;
    /* For programs that do not supervise their own children (custom executors, nested containers):
     * a pid and a mount namespace with a small init, so that all of it dies with the process.
     * Without root: a session, and its descendants are killed. dcos-executor does this for its
     * task itself and is started without. */
    bool own_namespaces;
    /* Volumes: shown to the program with own_namespaces, else handed on in DCOS_MOUNTS for
     * dcos-executor to show to its task. Without namespaces they are links in the sandbox, see
     * mounts.h. */
    const struct spawn_mount *mounts;
    size_t n_mounts;
};

struct container_started {
    const char *id;
    int status;          /* 0, or negative errno */
    const char *error;   /* text when status < 0 */
    pid_t pid;           /* as seen by the agent */
    uint64_t start_time; /* field 22 of /proc/<pid>/stat: with the pid it names the process */
};
typedef void (*container_started_cb)(const struct container_started *s, void *userdata);

/* Starts it. Error (-EINVAL bad spec, -EEXIST id in use, -E2BIG) = cb is not called. The
 * environment gets DCOS_STATUS_FILE (where dcos-executor leaves its wait status) and, with control
 * groups, DCOS_OOM_FILE added. Destroyed meanwhile: cb with -ECANCELED. */
int containerizer_launch(struct containerizer *c, const struct container_spec *spec,
    container_started_cb cb, void *userdata, struct error *err);

/* New limits for a running container. Memory is raised at any time and lowered never (0 is
 * returned). -ENOENT for unknown ids. */
int containerizer_update(struct containerizer *c, const char *id,
    const struct container_limits *limits, struct error *err);

/* Kills everything in it; on_exit follows. -ENOENT for unknown ids, 0 also when repeated. */
int containerizer_destroy(struct containerizer *c, const char *id);

/* What the limits did so far, read now: for an agent that is told by an executor that its task
 * died, before on_exit. True and *ret filled when a limit was hit (strings live until the next
 * call). */
bool containerizer_limited(struct containerizer *c, const char *id, struct container_exit *ret);

/* Fields of /monitor/statistics; negative = not known, to be left out. */
struct container_usage {
    int64_t timestamp_us; /* since the epoch */
    int64_t cpus_user_time_us, cpus_system_time_us;
    int64_t cpus_limit_milli, cpus_soft_limit_milli; /* quota, shares */
    int64_t cpus_nr_periods, cpus_nr_throttled, cpus_throttled_time_us;
    int64_t mem_total_bytes, mem_rss_bytes, mem_limit_bytes, mem_soft_limit_bytes;
    int64_t mem_file_bytes, mem_anon_bytes, mem_cache_bytes, mem_mapped_file_bytes, mem_swap_bytes;
    int64_t mem_unevictable_bytes;
    int64_t processes, threads;
};
/* 0, or -ENOENT for unknown ids. */
int containerizer_usage(struct containerizer *c, const char *id, struct container_usage *ret);

/* After an agent's restart, once, before the first launch: follows the containers named, each of
 * which gets its on_exit like a launched one (soon, when it has ended meanwhile). Everything else
 * that has a folder under runtime_dir is killed and removed. The pid is optional (0):
 * the containerizer keeps its own record, which exists before the program runs. */
struct container_recover {
    const char *id;
    pid_t pid;
    uint64_t start_time;
    struct container_limits limits; /* in force: for statistics and later updates */
};
void containerizer_recover(
    struct containerizer *c, const struct container_recover *items, size_t n);

/* True when containers get control groups / namespaces. */
bool containerizer_has_cgroups(const struct containerizer *c);
size_t containerizer_count(const struct containerizer *c);
/* Pid of a container, or 0. */
pid_t containerizer_pid(const struct containerizer *c, const char *id);

#endif
