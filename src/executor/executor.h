#ifndef DCOS_EXECUTOR_EXECUTOR_H
#define DCOS_EXECUTOR_EXECUTOR_H

/* One task, or the tasks of a pod, supervised over restarts of the agent. */

#include "base/arena.h"
#include "base/list.h"
#include "executor/checks_core.h"
#include "executor/kill_core.h"
#include "executor/logger.h"
#include "containerizer/spawner.h"
#include "http/client.h"
#include "http/recordio.h"
#include "io/loop.h"
#include "wire/executor.pb-c.h"

enum {
    EVENT_MAX = 8 * 1024 * 1024, /* bytes of one event from the agent */
    MESSAGE_MAX = 512,           /* text of a status */
};
#define TERMINAL_ACK_LIMIT_US (60 * USEC_PER_SEC)
#define RESUBSCRIBE_MAX_US (1 * USEC_PER_SEC)
#define DEFAULT_GRACE_US (3 * USEC_PER_SEC)

typedef Mesos__V1__TaskStatus TaskStatus;
typedef Mesos__V1__TaskInfo TaskInfo;

/* A status update that the agent has not acknowledged. */
struct update {
    struct list node;
    struct task *task; /* NULL when it is about another's */
    uint8_t uuid[16];
    struct buf status; /* packed TaskStatus */
    bool terminal;
    bool taken; /* handed over on this subscription */
};

enum link_state {
    LINK_WAITING,     /* for the time to subscribe */
    LINK_SUBSCRIBING, /* until SUBSCRIBED */
    LINK_SUBSCRIBED,
};

struct executor_options {
    const char *framework_id, *executor_id;
    const char *socket_path; /* or host and port */
    char *host;
    uint16_t port;
    const char *token;
    const char *sandbox; /* absolute */
    const char *user;
    const char *launcher_dir;
    const char *status_path, *oom_path; /* may be NULL */
    struct spawn_mount *mounts;         /* of the task */
    size_t n_mounts;
    bool json, checkpoint;
    int64_t recovery_timeout_us, backoff_max_us, shutdown_grace_us;
    uint64_t max_stdout, max_stderr;
    unsigned log_files;
    const char *agent_ip; /* of the task, for its status; may be NULL */

    bool pod; /* runs task groups; else one command task */
    bool switch_user, cgroups, cpu_quota;
    const char *fetcher_cache_dir;
    uint64_t fetcher_cache_size;
    int64_t fetcher_stall_us;
};

struct checker; /* checks.c */
struct process;
struct pod_groups; /* pod_cgroup.c */

struct task {
    struct executor *ex;
    struct list node;   /* in ex->tasks */
    struct arena arena; /* holds info and what is made from it */
    TaskInfo *info;
    unsigned n_updates; /* of it, not acknowledged */

    /* Where and as whom it runs: the executor's own of all, or those of a nested container. */
    const char *sandbox, *user;
    int sandbox_fd, out_fd, err_fd;
    Mesos__V1__ContainerID *container_id; /* NULL = the executor's */
    struct spawn_mount *mounts;
    size_t n_mounts;

    /* Of a pod. */
    uint64_t group; /* number of the LAUNCH_GROUP that it came with, 0 = none */
    struct process *fetcher;
    bool own_groups; /* control groups of its own, below the executor's */

    struct spawn spawn;
    struct spawn_options spawn_options; /* for texts of errors */
    struct loop_fd *pid_watch, *result_watch;
    struct logger *out, *err;
    bool namespaces;
    bool running;                     /* TASK_RUNNING was sent */
    bool over;                        /* terminal update was made */
    Mesos__V1__TaskState final_state; /* of that */
    bool have_status;
    int status; /* raw wait status */
    bool failed_to_start;
    char why[MESSAGE_MAX];
    struct kill_core kill;
    struct timer kill_timer, completion_timer, reap_timer;
    bool killed_by_health, out_of_time;
    bool acknowledged; /* any update of it */
    bool has_healthy, healthy;
    struct checker *check, *health;
};

struct executor {
    struct loop *loop;
    struct executor_options o;
    int sandbox_fd;
    int exit_code;

    /* link.c */
    struct http_client *http;
    enum link_state link;
    struct http_call *subscription, *update_call;
    struct update *update_sent;
    struct recordio_decoder decoder;
    struct timer retry, recovery;
    bool refused; /* the answer to the subscription is not a stream */
    bool lost;    /* the agent will not come back */

    /* from SUBSCRIBED */
    struct arena info_arena;
    Mesos__V1__ContainerID *container_id;
    bool wants_killing; /* framework capability TASK_KILLING_STATE */

    struct list updates;
    struct timer ack_limit;
    bool shutting_down;
    struct list tasks; /* those that are not over and acknowledged */
    bool launched;     /* there was a task */
    uint64_t n_groups;
    int64_t oom_seen; /* processes killed for lack of memory that were told of */
    struct pod_groups *groups;
};

/* link.c */
void link_init(struct executor *ex);
void link_done(struct executor *ex);
void link_flush(struct executor *ex); /* sends what is pending */

/* updates.c */
struct update_text {
    Mesos__V1__TaskState state;
    const char *message; /* NULL = none */
    bool has_reason;
    Mesos__V1__TaskStatus__Reason reason;
    int64_t mem_limit_bytes;          /* > 0: limitation.resources */
    const Mesos__V1__TaskID *task_id; /* of one that the executor does not have */
};
/* t is NULL with u->task_id. */
void update_send(struct executor *ex, struct task *t, const struct update_text *u);
void update_acknowledged(struct executor *ex, const ProtobufCBinaryData *uuid);
void update_free(struct update *u);

/* task.c */
struct task *task_new(struct executor *ex, const TaskInfo *info);
void task_launch(struct executor *ex, const TaskInfo *info); /* the one of a command executor */
void task_start(struct task *t);                             /* or tells why it cannot */
void task_kill(struct task *t, int64_t grace_us);
/* The grace period in force: the call's policy, the task's, the default. */
int64_t task_grace_us(const struct task *t, const Mesos__V1__KillPolicy *policy);
struct task *task_find(struct executor *ex, const char *id);
bool tasks_live(const struct executor *ex); /* some task is not over */
void task_free(struct task *t);

/* task_env.c: what a command becomes; in the arena */
const char *const *command_argv(
    const Mesos__V1__CommandInfo *command, struct arena *arena, const char **ret_file);
const char *const *command_env(const struct task *t, const Mesos__V1__CommandInfo *command,
    const Mesos__V1__CommandInfo *on_top, struct arena *arena);
size_t task_rlimits(const TaskInfo *info, struct arena *arena, const struct spawn_rlimit **ret);

/* task_status.c: the terminal update, and what follows from it */
void task_conclude(struct task *t); /* its process has ended */
void task_fail(struct task *t, const char *message, Mesos__V1__TaskStatus__Reason why);
void task_never_started(struct task *t); /* killed before */

/* checks.c */
void checks_start(struct task *t); /* it runs */
void checks_stop(struct task *t);  /* it ends, or is being killed */
void checks_free(struct task *t);
bool checks_own(const struct task *t, pid_t pid); /* a process of a check that runs */
/* Fills check_status when the task has a check. */
void checks_fill(const struct task *t, TaskStatus *status, struct arena *arena);

/* pod.c: groups of tasks in nested containers */
void pod_launch_group(struct executor *ex, const Mesos__V1__TaskGroupInfo *group);
void pod_task_over(struct task *t); /* what that means for its group */
/* Nothing of it runs yet, and nothing shall. */
void pod_give_up(struct task *t);

/* pod_sandbox.c: <sandbox>/containers/<nested id>, its output files, its volumes */
int pod_sandbox_make(
    struct task *t, const char *nested_id, uid_t uid, gid_t gid, struct error *err);
int pod_mounts_make(struct task *t, struct error *err);

/* pod_cgroup.c: control groups of single tasks */
int pod_groups_make(struct task *t, struct error *err); /* when the task asks for them */
int pod_groups_join(struct task *t, pid_t pid, struct error *err);
void pod_groups_remove(struct task *t);
int64_t pod_groups_oom_kills(const struct task *t);
int64_t pod_groups_mem_limit(const struct task *t);
void pod_groups_free(struct executor *ex);

/* main.c */
void executor_exit(struct executor *ex, int code);
void executor_shutdown(struct executor *ex); /* the agent says so, or is gone for good */

#endif
