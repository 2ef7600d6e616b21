#ifndef DCOS_SIM_WORLD_H
#define DCOS_SIM_WORLD_H

/*
 * A whole cluster in one process: one master or three (the real core), the store they share, agents
 * (the real core, or a model of one), schedulers (models), a network that delays, breaks and
 * partitions, disks that forget what was not flushed, containers that fail, processes that stand
 * still for a while, and one clock that every machine reads with an error of its own.
 *
 * Everything that happens is an event on one heap, ordered by simulated time; every choice comes
 * from one seeded generator. The same seed gives the same run, which the trace hash shows.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "wire/internal.pb-c.h"
#include "wire/scheduler.pb-c.h"

#define SEC INT64_C(1000000)
#define MSEC INT64_C(1000)

struct world;
struct event; /* world.c */
struct master_core;

/* One end is always the master; the other an agent or a scheduler. Messages of a direction stay in
 * order. */
struct conn {
    uint64_t id; /* the core's link or stream */
    bool is_agent;
    unsigned peer;                 /* index of the agent or scheduler */
    unsigned master;               /* index of the master */
    unsigned generation;           /* of that master's process */
    bool broken;                   /* nothing in flight arrives any more */
    bool master_knows, peer_knows; /* that it is over */
    int64_t last_up, last_down;
};

/* ---- agents ---- */

struct sim_model; /* model.h */
struct sim_real;  /* real.h */

struct sim_agent {
    unsigned index;
    bool up;
    unsigned generation; /* of the process */
    struct conn *conn;
    bool registered;
    int64_t up_since;
    unsigned expelled_generation; /* of the process that was told so */
    char *expelled_id;
    bool expelled; /* a master told it to end, or to forget who it is */
    char *id;      /* NULL before the first registration */
    int64_t cpus_milli, mem_milli, disk_milli;
    int64_t revocable_milli; /* cpus on top */
    int64_t wall_error;      /* of its clock */
    int64_t booted;          /* the machine */
    struct sim_model *model; /* one of the two */
    struct sim_real *real;
};

/* A task that an agent has, in the eyes of the checks. */
struct sim_task_view {
    const char *key; /* "framework/task" */
    const char *framework_id, *id;
    size_t pending; /* updates that were not acknowledged */
    bool alive;     /* a process of it runs */
};
typedef void (*sim_task_fn)(const struct sim_task_view *t, void *userdata);

/* ---- schedulers ---- */

struct sched_task {
    char *id;
    Mesos__V1__TaskState state;
    bool launched; /* ACCEPT was sent */
    bool done;     /* terminal and acknowledged: no longer ours */
    bool lost;     /* declared lost by the master: replaced */
    bool kill_wanted;
    bool fenced; /* must not run any more when it is given up with its agent */
    bool relies; /* on an operation that was sent with it */
    char *agent_id;
    uint8_t last_uuid[16];
    unsigned runs; /* times an agent was told to run it */
};

struct sim_scheduler {
    unsigned index;
    bool up;
    unsigned generation;
    struct conn *conn;
    bool subscribed;
    int64_t last_heard;
    char stream_id[32];
    bool partition_aware;
    bool own_executor; /* for some of its tasks */
    bool revocable;    /* takes revocable resources */
    bool reserves;     /* does all that one can do with resources */
    unsigned n_roles;  /* of one that does */
    unsigned wanted;   /* tasks it wants to run */
    /* durable */
    char *framework_id; /* NULL before the first SUBSCRIBED */
    struct map tasks;   /* id -> struct sched_task */
    unsigned next_task;
    struct map operations; /* id -> struct sched_operation */
    unsigned next_operation;
    unsigned past_lives; /* frameworks torn down before */
};

/* ---- masters and their store (master.c, store.c) ---- */

enum { MASTERS_MAX = 3 };

struct disk_entry {
    uint64_t number;
    bool remove;
    char *key;
    void *value;
    size_t n;
};

struct sim_master;
/* An answer that waits until what it says is durable. The target is from the heap and freed
 * afterwards, also when the answer is never given. */
struct sim_promise {
    uint64_t after;
    void (*answer)(struct world *w, struct sim_master *m, void *target);
    void *target;
};

/* Whom a master talks to; each of these paths may be cut, one way or both. */
enum sim_path { PATH_AGENTS, PATH_SCHEDULERS, PATH_STORE, SIM_PATHS };

struct sim_cut {
    int64_t until[2]; /* [1]: towards the master (for the store: from it) */
    unsigned peers;   /* bits of the agents or schedulers that are behind it */
};

struct sim_master {
    unsigned index;
    bool up;
    unsigned generation; /* of the process */
    bool paused;         /* SIGSTOP: what reaches it waits in `held` */
    unsigned pauses;
    VEC(struct event *) held;
    int64_t wall_error;  /* of the machine's clock */
    int64_t clock_error; /* of the process: it reads the wall clock once */
    struct sim_cut cuts[SIM_PATHS];
    /* Of the process. */
    uint64_t session;
    int64_t heard_store;
    bool patient; /* without a lease: goes on while it does not hear the store */
    bool doomed;
    bool touched;             /* its core had an event since it was checked */
    struct master_core *core; /* NULL while it does not lead */
    uint64_t epoch;
    int64_t tick_at;
    VEC(struct disk_entry) unflushed;
    size_t flushing; /* the first entries of unflushed that are under way */
    uint64_t batch;  /* of them */
    uint64_t durable;
    uint64_t store_version; /* as it must be when nobody else writes */
    VEC(struct sim_promise) promises;
    uint64_t released; /* what was durable when effects were last released */
};

/* A candidate of the election, in the order of arrival. The first one leads. */
struct sim_session {
    uint64_t id;
    unsigned master;
    int64_t heard;
    uint64_t epoch; /* once it was told that it leads */
};

struct sim_store {
    struct map disk;         /* key -> struct disk_entry */
    struct map ever;         /* all keys that ever were in it */
    uint64_t epoch;          /* of the newest leadership */
    uint64_t version, batch; /* commits ever, and number of the last one of the epoch */
    uint64_t next_session;
    VEC(struct sim_session) sessions;
    int64_t stalled_until;
};

/* ---- the world ---- */

enum sim_agents { SIM_AGENTS_MIXED, SIM_AGENTS_MODEL, SIM_AGENTS_REAL };

/* Mistakes made on purpose, to see that the checks find them. */
enum sim_defect {
    DEFECT_NONE,
    DEFECT_MASTER_HASTE,     /* the master's shell does not wait for its disk */
    DEFECT_AGENT_HASTE,      /* the agent's shell does not */
    DEFECT_AGENT_AMNESIA,    /* an agent forgets an unacknowledged update over a restart */
    DEFECT_AGENT_LOST_WRITE, /* the agent's disk drops a write now and then */
    DEFECT_EXECUTOR_AMNESIA, /* an executor does not repeat its updates after a break */
    DEFECT_TWIN_CONTAINERS,  /* a restarted agent starts its containers once more */
    DEFECT_NETWORK_LOSES,    /* records to agents vanish, the connection stays */
    DEFECT_LEAKED_TASKS,     /* a killed executor's task runs on */
    DEFECT_STORE_UNFENCED,   /* the store takes what a deposed leader writes */
    DEFECT_AGENT_OLD_EPOCH,  /* agents do not remember the epoch */
    DEFECT_OPERATOR_HASTE,   /* operators are answered before the disk has it */
    DEFECT_FORGOTTEN_NODES,  /* the store loses what operators decided about agents */
    DEFECT_LOST_HOLDINGS,    /* an agent forgets its reservations and volumes over a restart */
    DEFECT_VOLUME_REMOVED,   /* volumes are removed in use */
    DEFECT_OPERATION_ONCE,   /* answers of operations get lost */
    DEFECT_FORGOTTEN_QUOTAS, /* the store loses quotas */
    DEFECT_NO_FENCING,       /* agents do not hear which tasks are to be fenced */
    DEFECT_NO_LIMIT,         /* quotas are not what the operator asked for */
    SIM_DEFECTS
};

struct sim_options {
    enum sim_agents agents;
    enum sim_defect defect;
    unsigned masters; /* 0: drawn from the seed */
    bool trace;
};

struct world {
    uint64_t seed;
    struct rng rng;
    int64_t now, end_of_chaos, end;
    struct heap events;
    uint64_t hash; /* of the trace */
    bool chaos;
    bool still; /* nothing new is begun */
    struct sim_options options;
    uint64_t steps;

    struct sim_master masters[MASTERS_MAX];
    unsigned n_masters;
    bool lease; /* leaders act only while they surely lead, as far as they were not stopped */
    unsigned leaderships;
    struct sim_store store;

    VEC(struct conn *) conns;
    uint64_t next_conn;
    struct sim_agent *agents;
    unsigned n_agents;
    struct sim_scheduler *schedulers;
    unsigned n_schedulers;
    struct sim_operator *operator_;  /* operator.c */
    struct map runs;                 /* "framework/task" of all that ever started */
    struct map ledger, ledger_tasks; /* ledger.c */
    struct map holdings;             /* holding.c, by name */
    unsigned next_holding;
    uint64_t launches, finished, faults;
    uint64_t refusals; /* of what a deposed leader wrote or said */
};

/* Fails the run: prints seed, time and reason, ends the process with SIM_FOUND. */
_noreturn_ void sim_fail(struct world *w, const char *fmt, ...) _printf_(2, 3);
void sim_trace(struct world *w, const char *fmt, ...) _printf_(2, 3);

/* Uniform in [lo, hi]. */
int64_t sim_between(struct world *w, int64_t lo, int64_t hi);
bool sim_chance(struct world *w, unsigned percent);

/* fn(w, target, generation) after a delay; target and generation are for fn to compare. */
typedef void (*sim_timer_fn)(struct world *w, void *target, unsigned generation);
void sim_after(struct world *w, int64_t delay, sim_timer_fn fn, void *target, unsigned generation);
/* The same with a target from the heap that is freed after the call, or when the world ends first.
 */
void sim_after_owned(
    struct world *w, int64_t delay, sim_timer_fn fn, void *target, unsigned generation);
/* In a master's process: waits while it stands still. generation is that of the process; nothing
 * happens once that has ended. The target may be NULL and is freed as above. */
void sim_after_master(
    struct world *w, struct sim_master *m, int64_t delay, sim_timer_fn fn, void *target);

/* Bytes over a connection. `up` goes to the master. */
void sim_send(struct world *w, struct conn *c, bool up, const ProtobufCMessage *m);
void sim_send_bytes(struct world *w, struct conn *c, bool up, const void *p, size_t n);
/* To whatever master the peer takes for the leader; NULL when that does not answer or does not
 * lead.
 */
struct conn *sim_dial(struct world *w, bool is_agent, unsigned peer);
/* The network gives up on it: both ends learn, each in its own time. */
void sim_break(struct world *w, struct conn *c);

/* master.c */
void sim_master_boot(struct world *w, struct sim_master *m);
void sim_master_crash(struct world *w, struct sim_master *m, bool goodbye); /* ends its session */
/* The process ends and is started again. */
void sim_master_end(struct world *w, struct sim_master *m, const char *why);
/* The store says that it leads. */
void sim_master_lead(struct world *w, struct sim_master *m, uint64_t epoch);
void sim_master_committed(struct world *w, struct sim_master *m, uint64_t batch, uint64_t version);
void sim_master_pause(struct world *w, struct sim_master *m, int64_t time);
void sim_master_unpause(struct world *w, struct sim_master *m); /* to be killed: loses what waits */
void sim_master_receive(
    struct world *w, struct sim_master *m, struct conn *c, const void *p, size_t n);
void sim_master_conn_closed(struct world *w, struct sim_master *m, struct conn *c);
int64_t sim_master_now(const struct world *w, const struct sim_master *m);
/* After the core was given an event. */
void sim_master_pump(struct world *w, struct sim_master *m);
/* Answers once all that the core decided so far is durable; not at all if the process ends first.
 */
void sim_master_promise(struct world *w, struct sim_master *m,
    void (*answer)(struct world *w, struct sim_master *m, void *target), void *target);
/* Whom somebody takes for the leader, or NULL. */
struct sim_master *sim_detect(struct world *w);
/* The one that leads by the store's word, or NULL. It may not know yet. */
struct sim_master *sim_leader(struct world *w);
/* When what is sent now over the path arrives at the earliest: w->now, or the end of a cut. */
int64_t sim_path(
    const struct world *w, const struct sim_master *m, enum sim_path path, unsigned peer, bool up);

/* store.c */
/* A new session for the master's process, which keeps it alive from now on. */
void store_join(struct world *w, struct sim_master *m);
void store_leave(struct world *w, uint64_t session);
/* The first m->flushing of m->unflushed, as batch m->batch; sent again until it is answered. */
void store_send_commit(struct world *w, struct sim_master *m);
void store_start(struct world *w);
void store_stall(struct world *w, int64_t time);
/* Whether it was there at some time. */
bool store_had(const struct world *w, const char *prefix, const char *id);
void store_free(struct world *w);

/* operator.c */
void operator_start(struct world *w);
/* What it was told must be so in the eyes of the master, if that may know. */
void operator_check(struct world *w, const struct sim_master *m);
/* An OFFERS event, just when it was made. */
void operator_offers(
    struct world *w, const struct sim_master *m, const Mesos__V1__Scheduler__Event__Offers *offers);
/* After a quiet while: what it asked for has come about; then it takes all of it back. */
void operator_settled(struct world *w);
/* An agent was told who it is by a master of that epoch. */
void operator_agent_known(struct world *w, const struct sim_agent *a, uint64_t epoch);
void operator_free(struct world *w);

/* fault.c */
void fault_start(struct world *w);
void fault_calm(struct world *w); /* everything that was down or cut comes back */

/* agent.c */
void sim_agent_boot(struct world *w, struct sim_agent *a);
void sim_agent_crash(struct world *w, struct sim_agent *a, bool host); /* host: its tasks die too */
void sim_agent_receive(struct world *w, struct sim_agent *a, const void *p, size_t n);
void sim_agent_conn_closed(struct world *w, struct sim_agent *a);
void sim_agent_disturb(struct world *w, struct sim_agent *a); /* one of its containers */
void sim_agent_free(struct world *w, struct sim_agent *a);
/* What its processes use, as far as the master counts them. */
void sim_agent_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem);
void sim_agent_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata);
/* Whether the process of the task runs on an agent that had the time to end it. */
bool sim_runs_unfenced(struct world *w, const char *key);
/* What every agent checks when it is told its id, and when it starts a task. */
void sim_agent_expelled(struct world *w, struct sim_agent *a);
void sim_agent_known(struct world *w, struct sim_agent *a, uint64_t epoch);
void sim_task_starts(struct world *w, const struct sim_agent *a, const char *key);
void sim_resources(
    Mesos__V1__Resource *const *resources, size_t n, int64_t *ret_cpus, int64_t *ret_mem);
bool sim_state_ended(Mesos__V1__TaskState state);

/* scheduler.c */
void sim_scheduler_boot(struct world *w, struct sim_scheduler *s);
void sim_scheduler_crash(struct world *w, struct sim_scheduler *s);
void sim_scheduler_receive(struct world *w, struct sim_scheduler *s, const void *p, size_t n);
/* The answer to a call. */
void sim_scheduler_refused(struct world *w, struct sim_scheduler *s, int status);
void sim_scheduler_conn_closed(struct world *w, struct sim_scheduler *s);
void sim_scheduler_free(struct sim_scheduler *s);

/* ledger.c: every status update from its making to its scheduler */
/* By a task's own executor, in this order. key is "framework/task". */
void ledger_made(
    struct world *w, const struct sim_agent *a, const char *key, const uint8_t uuid[16]);
/* The agent was told to end: what it has not delivered, nobody will. */
void ledger_give_up(struct world *w, const struct sim_agent *a);
/* Its executor was told that it is safe. */
void ledger_promised(struct world *w, const uint8_t uuid[16]);
void ledger_seen(struct world *w, const char *framework_id, const char *task_id,
    const ProtobufCBinaryData *uuid);
void ledger_settled(struct world *w); /* what was promised was kept */
void ledger_free(struct world *w);

/* check.c */
void check_step(struct world *w);    /* what holds at every moment */
void check_settled(struct world *w); /* what holds when the world has been quiet for long */

/* world.c */
struct world_result {
    uint64_t hash, steps, launches, faults, refusals;
};
void world_run(uint64_t seed, const struct sim_options *options, struct world_result *ret);
/* The scheduler that still goes by the framework's id, or NULL. */
struct sim_scheduler *sim_owner(struct world *w, const char *framework_id);

enum { SIM_FOUND = 3 }; /* exit status of a run that a check ended */

#define MSG(arena, type, prefix)                                                                   \
    ({                                                                                             \
        type *new_message = arena_new((arena), type);                                              \
        prefix##__init(new_message);                                                               \
        new_message;                                                                               \
    })

#endif
