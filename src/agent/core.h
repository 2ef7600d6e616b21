#ifndef DCOS_AGENT_CORE_H
#define DCOS_AGENT_CORE_H

/*
 * The agent's heart: frameworks, executors, tasks and their streams of status updates, without I/O.
 *
 * Events go in with the time and some entropy; out comes a queue of outputs, each with mutations
 * (what agent.db must hold) and effects (what to do once it holds that). Whoever drives the core
 * must make an output's mutations durable before it carries out its effects, and keep outputs in
 * order. Nothing here reads a clock, draws randomness, or calls back.
 *
 * Life of an executor: REGISTERING (container being started, or started and not yet subscribed) ->
 * RUNNING (subscribed once) -> TERMINATING (told to end, or container being destroyed) ->
 * TERMINATED (container gone, updates of its tasks not all acknowledged) -> completed.
 *
 * Life of a task: QUEUED (waits for its executor) -> LAUNCHED (handed over) -> TERMINATED (terminal
 * state, update not yet acknowledged) -> COMPLETED (kept a while for people to look at).
 */

#include "base/buf.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "kernel/resources.h"
#include "wire/codec.h"
#include "wire/executor.pb-c.h"
#include "wire/internal.pb-c.h"
#include "wire/mesos.pb-c.h"

#define TASK_STATE(name) MESOS__V1__TASK_STATE__TASK_##name
#define STATUS_REASON(name) MESOS__V1__TASK_STATUS__REASON__REASON_##name

enum {
    AGENT_UUID_SIZE = 16,
    AGENT_RECORD_MAX = 500 * 1024,           /* bytes of one record in agent.db */
    AGENT_STATUS_MAX = 256 * 1024,           /* bytes of a status update */
    AGENT_GROUP_MAX = 4 * 1024 * 1024,       /* bytes of a task group's descriptions */
    AGENT_TASKS_MAX = 100 * 1000,            /* tasks known at once; more are refused */
    AGENT_OPERATIONS_MAX = 10 * 1000,        /* not acknowledged; more fail */
    AGENT_STREAM_PENDING_MAX = 1000,         /* unacknowledged updates kept per task */
    AGENT_STREAM_ACKED_MAX = 32,             /* uuids remembered per task to tell duplicates */
    AGENT_COMPLETED_FRAMEWORKS_MAX = 50,     /* remembered for /state */
    AGENT_COMPLETED_EXECUTORS_MAX = 150,     /* per framework */
    AGENT_COMPLETED_TASKS_MAX = 1000,        /* in all */
    AGENT_COMPLETED_EXECUTOR_TASKS_MAX = 200 /* per executor */
};
/* Label with the value "true" on a task or an executor of the framework's own: it is killed when
 * the agent has been without a master for the lease that the master gave. */
#define AGENT_FENCING_LABEL "DCOS_FENCING"
#define AGENT_RETRY_MIN_US (10 * USEC_PER_SEC_CORE)
#define AGENT_RETRY_MAX_US (600 * USEC_PER_SEC_CORE)
#define USEC_PER_SEC_CORE INT64_C(1000000)

/* Bytes that their holder owns. */
struct agent_bytes {
    uint8_t *p;
    size_t n;
};
void agent_bytes_done(struct agent_bytes *b);
void agent_bytes_set(struct agent_bytes *b, const void *p, size_t n);
void agent_bytes_pack(struct agent_bytes *b, const ProtobufCMessage *m);

/* Comes with every event. */
struct agent_now {
    int64_t mono_us; /* for timers */
    int64_t wall_us; /* for time stamps, since the epoch */
    int64_t boot_us; /* for the lease: since the machine's start, suspended or not */
    uint8_t entropy[32];
};

enum agent_record_kind {
    AGENT_RECORD_SELF,
    AGENT_RECORD_FRAMEWORK,
    AGENT_RECORD_EXECUTOR,
    AGENT_RECORD_STREAM,
    AGENT_RECORD_TASK,
    AGENT_RECORD_UPDATE,
    AGENT_RECORD_RESOURCES,
    AGENT_RECORD_OPERATION,
    AGENT_RECORD_VOLUME,
};

/* Inside everything that is kept in agent.db. */
struct agent_record {
    struct list dirty; /* in core->dirty */
    enum agent_record_kind kind;
    uint64_t serial;
    bool stored;
};

enum agent_executor_state {
    AGENT_EXECUTOR_REGISTERING,
    AGENT_EXECUTOR_RUNNING,
    AGENT_EXECUTOR_TERMINATING,
    AGENT_EXECUTOR_TERMINATED,
};
const char *agent_executor_state_name(enum agent_executor_state s);

enum agent_task_phase {
    AGENT_TASK_QUEUED,
    AGENT_TASK_LAUNCHED,
    AGENT_TASK_TERMINATED,
    AGENT_TASK_COMPLETED,
};

struct agent_framework {
    struct agent_record record;
    char *id;
    struct agent_bytes info; /* mesos.v1.FrameworkInfo */
    char *user;
    bool partition_aware, checkpoint, terminating;
    struct map executors;  /* id -> struct agent_executor, not yet completed */
    struct map tasks;      /* id -> struct agent_task, not yet completed */
    struct list completed; /* struct agent_executor.node, oldest first */
    size_t n_completed;
    struct list node; /* in core->completed_frameworks when gone */
};

enum agent_timer_kind {
    AGENT_TIMER_EXECUTOR,
    AGENT_TIMER_STREAM,
    AGENT_TIMER_LINK,
    AGENT_TIMER_RECOVERY,
    AGENT_TIMER_LEASE,
    AGENT_TIMER_OPERATION,
};
struct agent_timer {
    struct heap_node node;
    enum agent_timer_kind kind;
};

struct agent_executor {
    struct agent_record record;
    struct agent_framework *framework;
    char *id;
    char *container_id;
    struct agent_bytes info; /* mesos.v1.ExecutorInfo */
    bool command;            /* ours, for one command task */
    bool pod;                /* ours, for task groups (type DEFAULT) */
    enum agent_executor_state state;
    bool connected;      /* has a stream */
    uint64_t connection; /* number of its newest stream */
    bool delivered;      /* some task was handed over */
    bool recovered;      /* from agent.db and not back yet */
    bool destroying;
    bool fenced; /* by its own label */
    bool held;   /* its launch, or what it is to be given, waits for a volume */
    int pid;
    uint64_t start_time;
    int64_t launched_wall_us;
    int64_t shutdown_grace_us;
    int64_t cpus_milli, mem_milli; /* its own, without tasks */
    bool ending;                   /* fields below say what its tasks are told */
    Mesos__V1__TaskState ending_state;
    Mesos__V1__TaskStatus__Reason ending_reason;
    char *ending_message;
    struct agent_timer timer; /* registration or shutdown, by state */
    struct list tasks;        /* struct agent_task.node, in order of arrival */
    size_t n_tasks;
    struct list completed_tasks;
    size_t n_completed_tasks;
    struct list node; /* in framework->completed */
};

struct agent_task {
    struct agent_record record;
    uint64_t group;    /* serial of the first task of its group, 0 = none */
    size_t group_size; /* tasks that the group came with */
    struct agent_framework *framework;
    struct agent_executor *executor;
    char *id;
    enum agent_task_phase phase;
    Mesos__V1__TaskState state; /* newest known */
    struct agent_bytes task;    /* mesos.v1.Task without state and statuses */
    struct agent_bytes info;    /* mesos.v1.TaskInfo; empty once reported by the executor */
    struct agent_bytes status;  /* newest mesos.v1.TaskStatus */
    bool kill_pending;          /* to be told when the executor is back */
    struct agent_bytes kill_policy;
    int64_t cpus_milli, mem_milli;
    int64_t cpu_limit_milli, mem_limit_milli; /* 0 = none given, < 0 = unlimited */
    int64_t kill_grace_us;                    /* of its kill policy, or -1 */
    bool fenced;                              /* by its own label */
    bool cpus_revocable;
    struct list node;           /* in executor->tasks or ->completed_tasks */
    struct list completed_node; /* in core->completed_tasks */
};

struct agent_stream {
    struct agent_record record;
    char *key; /* framework id, newline, task id */
    char *framework_id, *task_id, *executor_id;
    struct list updates; /* struct agent_update, head is in flight */
    size_t n_updates;
    uint8_t acked[AGENT_STREAM_ACKED_MAX][AGENT_UUID_SIZE]; /* ring */
    size_t n_acked;                                         /* ever */
    Mesos__V1__TaskState latest_state;
    bool forwarded;
    Mesos__V1__TaskState forwarded_state;
    uint8_t forwarded_uuid[AGENT_UUID_SIZE];
    int64_t retry_us;
    struct agent_timer timer;
};

struct agent_update {
    struct agent_record record;
    struct agent_stream *stream;
    struct list node;
    uint8_t uuid[AGENT_UUID_SIZE];
    Mesos__V1__TaskState state;
    struct agent_bytes status;
};

/* One that is not acknowledged yet, or has work on the disk under way. */
struct agent_operation {
    struct agent_record record;
    uint8_t uuid[AGENT_UUID_SIZE];
    char key[2 * AGENT_UUID_SIZE + 1]; /* in core->operations */
    Mesos__V1__OperationState state;
    struct agent_bytes message; /* mesos.v1.Operation */
    int64_t retry_us;
    struct agent_timer timer;
};

/* A folder that has to be made, or to be emptied and removed. */
enum agent_volume_work { AGENT_VOLUME_MAKE, AGENT_VOLUME_REMOVE, AGENT_VOLUME_RESIZE };

struct agent_volume {
    struct agent_record record;
    struct list node; /* in core->volumes, oldest first */
    char *place;      /* names the spot on the disk */
    enum agent_volume_work work;
    bool issued, done;
    bool undone;                 /* the agent's resources are without it already */
    char *problem;               /* once done */
    struct agent_bytes resource; /* mesos.v1.Resource, not allocated */
    bool has_operation;
    uint8_t operation[AGENT_UUID_SIZE]; /* that is waiting for this */
};
/* Caller frees; NULL when it is no volume that an agent could hold. */
char *agent_volume_place(const Mesos__V1__Resource *r);

/* ---- what comes out ---- */

struct agent_mutation {
    char *key;
    uint8_t *value; /* NULL = delete */
    size_t n;
};

enum agent_effect_type {
    AGENT_TO_MASTER,        /* bytes: an AgentRecord, for the link numbered `number` */
    AGENT_TO_EXECUTOR,      /* bytes: an executor Event, for the stream numbered `number` */
    AGENT_CLOSE_EXECUTOR,   /* end the stream numbered `number` after what was sent */
    AGENT_LAUNCH,           /* sandbox, fetch, container of executor `container_id` */
    AGENT_UPDATE_CONTAINER, /* its limits changed: agent_executor_limits() */
    AGENT_DESTROY,          /* kill the container, or give up starting it */
    AGENT_EXECUTOR_GONE,    /* completed: its sandbox may be collected */
    AGENT_FRAMEWORK_GONE,
    /* bytes: a mesos.v1.Resource, whose folder to make, or to empty and remove; answered by
     * agent_core_volume_done(number). */
    AGENT_VOLUME_CREATE,
    AGENT_VOLUME_DESTROY,
    AGENT_RECOVERED,  /* may dial the master now */
    AGENT_REGISTERED, /* message: the agent's id */
    AGENT_RELINK,     /* drop the link and dial again; message says why */
    AGENT_EXIT,       /* end the process; message says why */
};

struct agent_effect {
    enum agent_effect_type type;
    /* Carried out at once, before it is on disk: a lease must end in time whatever the disk does.
     * Only AGENT_DESTROY. */
    bool urgent;
    uint64_t number;
    char *framework_id, *executor_id, *container_id, *message;
    struct buf bytes;
};

struct agent_output {
    uint64_t sequence;
    VEC(struct agent_mutation) mutations;
    VEC(struct agent_effect) effects;
};
void agent_output_done(struct agent_output *o);

/* ---- the core ---- */

struct agent_core_options {
    const Mesos__V1__AgentInfo *info; /* without id; copied */
    const char *version, *boot_id;
    const char *ip;               /* reported as the address of containers on the host network */
    const char *executor_program; /* path of dcos-executor */
    bool additive; /* --reconfiguration_policy=additive: agent_info may have more than before */
    const struct resources
        *oversubscribed; /* revocable ones to be offered on top; copied, may be NULL */
    /* 0 = the defaults of the reference. */
    int64_t executor_registration_timeout_us, executor_reregistration_timeout_us;
    int64_t executor_shutdown_grace_us;
};

enum agent_link { AGENT_UNLINKED, AGENT_REGISTERING, AGENT_REGISTERED_LINK };

struct agent_counters {
    uint64_t tasks_finished, tasks_failed, tasks_killed, tasks_lost, tasks_gone, tasks_dropped,
        tasks_error;
    uint64_t executors_terminated, launch_errors;
    uint64_t valid_updates, invalid_updates, valid_messages, invalid_messages;
};

struct agent_core {
    struct agent_record record; /* agent/self */
    struct agent_bytes info;    /* mesos.v1.AgentInfo, id set once registered */
    char *id;                   /* NULL before the first registration */
    char *version, *boot_id, *stored_boot_id, *ip, *executor_program;
    struct agent_bytes stored_info;
    bool additive;
    int64_t registration_timeout_us, reregistration_timeout_us, shutdown_grace_us, ping_timeout_us;

    /* Draining: core_node.c. */
    bool draining;
    struct agent_bytes drain_config; /* mesos.v1.DrainConfig; may be empty */
    int64_t drain_max_grace_us;      /* -1 = none */
    bool drain_mark_gone;
    int64_t drain_start_wall_us;

    /* The lease: core_node.c. Times are agent_now.boot_us. */
    int64_t lease_us;                      /* 0 = the master gave none */
    int64_t contact_us, stored_contact_us; /* of the last word that a master surely heard */
    int64_t spoke_us; /* when what the master answers next was said: registration or pong */
    struct agent_timer lease_timer; /* runs while something is to be fenced */

    struct resources oversubscribed;
    struct resources total;    /* agent_info's, with reservations and volumes made later */
    struct resources restored; /* those, between restore and start */
    struct agent_record resources_record;
    struct map operations; /* hex uuid -> struct agent_operation */
    struct list volumes;   /* struct agent_volume */

    struct agent_now now;
    struct rng rng;

    enum agent_link link;
    uint64_t link_number;
    uint64_t epoch;
    char *master_id;
    struct agent_timer link_timer, recovery_timer;
    bool recovering, forgetting, leaving, unregistering;
    char *leaving_message;

    struct map frameworks; /* id -> struct agent_framework */
    struct map containers; /* container id -> struct agent_executor not completed */
    struct map streams;    /* key -> struct agent_stream */
    size_t n_tasks;
    struct list completed_frameworks;
    size_t n_completed_frameworks;
    struct list completed_tasks;
    size_t n_completed_tasks;
    struct heap timers;

    uint64_t next_serial, next_connection;
    struct list dirty;
    struct agent_output out;
    uint64_t next_sequence;
    struct agent_counters counters;
};

struct agent_core *agent_core_new(const struct agent_core_options *options);
void agent_core_free(struct agent_core *core);
DEFINE_CLEANUP(struct agent_core *, agent_core_free)

/* One entry of agent.db, given in key order, before agent_core_start(). -EBADMSG for what is
 * damaged. */
int agent_core_restore(
    struct agent_core *core, const char *key, const void *value, size_t n, struct error *err);
/* After the last restore. -EINVAL when the stored agent_info and the present one do not agree; err
 * says what to do. Executors that were restored get executor_reregistration_timeout to come back;
 * AGENT_RECOVERED follows when all are back or gone. */
int agent_core_start(struct agent_core *core, const struct agent_now *now, struct error *err);

/* Moves the oldest output not yet taken to *ret; false when there is none. */
bool agent_core_take(struct agent_core *core, struct agent_output *ret);
/* INT64_MAX = none. */
int64_t agent_core_next_deadline(const struct agent_core *core);
void agent_core_tick(struct agent_core *core, const struct agent_now *now);

/* The link to the master: up = an exchange was opened, effects for it carry core->link_number. */
void agent_core_link_up(struct agent_core *core, const struct agent_now *now);
void agent_core_link_down(struct agent_core *core, const struct agent_now *now);
void agent_core_master_record(struct agent_core *core, const struct agent_now *now,
    const Dcos__Internal__MasterRecord *record);

/* Executors. Look-up first: unknown ones are an error of the caller's client. */
struct agent_executor *agent_core_executor(
    const struct agent_core *core, const char *framework_id, const char *executor_id);
/* Takes a new stream of the executor: returns its number; what to send follows as effects. */
uint64_t agent_core_subscribe(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *executor, const Mesos__V1__Executor__Call__Subscribe *subscribe);
void agent_core_disconnected(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *executor, uint64_t connection);
void agent_core_update(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *executor, const Mesos__V1__TaskStatus *status);
void agent_core_message(struct agent_core *core, const struct agent_now *now,
    struct agent_executor *executor, const void *data, size_t n);

/* Containers; unknown ids are ignored. */
void agent_core_container_started(struct agent_core *core, const struct agent_now *now,
    const char *container_id, int pid, uint64_t start_time);
void agent_core_container_failed(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const char *message);
void agent_core_container_update_failed(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const char *message);
struct agent_container_exit {
    int status;   /* raw wait status, -1 unknown */
    bool limited; /* by memory */
    int64_t mem_limit_bytes;
    const char *message; /* of the limitation */
};
void agent_core_container_exited(struct agent_core *core, const struct agent_now *now,
    const char *container_id, const struct agent_container_exit *e);

/* The answer to AGENT_VOLUME_*: problem is NULL, or a text for people. Repeated answers are
 * ignored. */
void agent_core_volume_done(
    struct agent_core *core, const struct agent_now *now, uint64_t number, const char *problem);

/* Leaves the cluster: ends all that runs, tells the master, then AGENT_EXIT. */
void agent_core_unregister(
    struct agent_core *core, const struct agent_now *now, const char *message);

/* What the agent can do, as it tells the master. */
const Mesos__V1__AgentInfo__Capability__Type *agent_core_capabilities(size_t *ret_n);

struct agent_limits {
    int64_t cpus_milli, mem_milli;            /* requested, mem in thousandths of MB */
    int64_t cpu_limit_milli, mem_limit_milli; /* 0 = none, < 0 = unlimited */
    bool cpus_revocable;                      /* some of the cpus may be wanted back any time */
};
/* dcos-executor, which reports faithfully what it was given. */
static inline bool agent_executor_ours(const struct agent_executor *e)
{
    return e->command || e->pod;
}
/* Of an executor with the tasks it has. */
void agent_executor_limits(const struct agent_executor *executor, struct agent_limits *ret);
struct agent_operation *agent_core_operation(
    const struct agent_core *core, const uint8_t uuid[AGENT_UUID_SIZE]);
struct agent_stream *agent_core_stream(
    const struct agent_core *core, const char *framework_id, const char *task_id);
bool agent_state_terminal(Mesos__V1__TaskState s);

#endif
