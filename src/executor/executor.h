#ifndef DCOS_EXECUTOR_EXECUTOR_H
#define DCOS_EXECUTOR_EXECUTOR_H

/* The command executor: one task, supervised over restarts of the agent. */

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
};

struct checker; /* checks.c */

struct task {
    struct executor *ex;
    struct arena arena; /* holds info */
    TaskInfo *info;
    struct spawn spawn;
    struct spawn_options spawn_options; /* for texts of errors */
    struct loop_fd *pid_watch, *result_watch;
    struct logger *out, *err;
    bool namespaces;
    bool running; /* TASK_RUNNING was sent */
    bool over;    /* terminal update was made */
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
    struct task *task;
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
    bool other_task;                  /* not about the executor's task: no checks, no health */
    const Mesos__V1__TaskID *task_id; /* NULL = the executor's task */
};
void update_send(struct executor *ex, const struct update_text *u);
void update_acknowledged(struct executor *ex, const ProtobufCBinaryData *uuid);
void update_free(struct update *u);

/* task.c */
void task_launch(struct executor *ex, const TaskInfo *info);
void task_kill(struct executor *ex, int64_t grace_us);
/* The grace period in force: the call's policy, the task's, the default. */
int64_t task_grace_us(const struct executor *ex, const Mesos__V1__KillPolicy *policy);
void task_free(struct executor *ex);

/* task_env.c: what a command becomes; in the arena */
const char *const *command_argv(
    const Mesos__V1__CommandInfo *command, struct arena *arena, const char **ret_file);
const char *const *command_env(const struct executor *ex, const Mesos__V1__CommandInfo *command,
    const Mesos__V1__CommandInfo *on_top, struct arena *arena);
size_t task_rlimits(const TaskInfo *info, struct arena *arena, const struct spawn_rlimit **ret);

/* checks.c */
void checks_start(struct executor *ex); /* the task runs */
void checks_stop(struct executor *ex);  /* it ends, or is being killed */
void checks_free(struct executor *ex);
/* Fills check_status when the task has a check. */
void checks_fill(const struct executor *ex, TaskStatus *status, struct arena *arena);

/* main.c */
void executor_exit(struct executor *ex, int code);
void executor_shutdown(struct executor *ex); /* the agent says so, or is gone for good */

#endif
