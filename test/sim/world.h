#ifndef DCOS_SIM_WORLD_H
#define DCOS_SIM_WORLD_H

/*
 * A whole cluster in one process: one master (the real core), agents and schedulers (small models
 * of theirs), a network that delays, breaks and loses, a disk that forgets what was not flushed,
 * and one clock.
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
struct master_core;

/* One end is always the master; the other an agent or a scheduler. Messages of a direction stay in
 * order. */
struct conn {
    uint64_t id; /* the core's link or stream */
    bool is_agent;
    unsigned peer;                 /* index of the agent or scheduler */
    unsigned incarnation;          /* of the master it goes to */
    bool broken;                   /* nothing in flight arrives any more */
    bool master_knows, peer_knows; /* that it is over */
    int64_t last_up, last_down;
};

/* ---- agents ---- */

struct sim_update {
    uint8_t uuid[16];
    Mesos__V1__TaskState state;
    Mesos__V1__TaskStatus__Reason reason;
};

struct sim_task {
    char *id, *framework_id;
    struct arena arena;             /* of info */
    Mesos__V1__TaskInfo *info;      /* NULL for tasks that were never run here */
    Mesos__V1__TaskState state;     /* newest */
    VEC(struct sim_update) updates; /* not acknowledged, oldest first */
    bool alive;                     /* runs, uses resources */
    bool killing;
    unsigned generation; /* of its timers */
};

struct sim_agent {
    unsigned index;
    bool up;
    unsigned generation; /* of the process */
    struct conn *conn;
    bool registered;
    int64_t last_heard;
    /* durable */
    char *id; /* NULL before the first registration */
    uint64_t epoch;
    struct map tasks;      /* "framework/task" -> struct sim_task */
    struct map frameworks; /* id -> packed FrameworkInfo (struct buf *) */
    int64_t cpus_milli, mem_milli;
};

/* ---- schedulers ---- */

struct sched_task {
    char *id;
    Mesos__V1__TaskState state;
    bool launched; /* ACCEPT was sent */
    bool done;     /* terminal and acknowledged: no longer ours */
    bool lost;     /* declared lost by the master: replaced */
    bool kill_wanted;
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
    unsigned wanted; /* tasks it wants to run */
    /* durable */
    char *framework_id; /* NULL before the first SUBSCRIBED */
    struct map tasks;   /* id -> struct sched_task */
    unsigned next_task;
    unsigned past_lives; /* frameworks torn down before */
};

/* ---- the world ---- */

struct disk_entry {
    uint64_t number;
    bool remove;
    char *key;
    void *value;
    size_t n;
};

struct world {
    uint64_t seed;
    struct rng rng;
    int64_t now, end_of_chaos, end;
    struct heap events;
    uint64_t hash; /* of the trace */
    bool trace, chaos;
    uint64_t steps;

    /* master */
    struct master_core *core; /* NULL while down */
    unsigned incarnation;
    uint64_t epoch;
    unsigned failovers;
    int64_t tick_at;
    struct map disk; /* key -> struct disk_entry */
    VEC(struct disk_entry) unflushed;
    size_t flushing; /* the first entries of unflushed that are under way */
    uint64_t durable;

    VEC(struct conn *) conns;
    uint64_t next_conn;
    struct sim_agent *agents;
    unsigned n_agents;
    struct sim_scheduler *schedulers;
    unsigned n_schedulers;
    struct map runs; /* task id -> (uintptr_t) times an agent started it */
    uint64_t launches, finished, faults;
};

/* Fails the run: prints seed, time and reason, ends the process with 1. */
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

/* Bytes over a connection. `up` goes to the master. */
void sim_send(struct world *w, struct conn *c, bool up, const ProtobufCMessage *m);
void sim_send_bytes(struct world *w, struct conn *c, bool up, const void *p, size_t n);
struct conn *sim_connect(struct world *w, bool is_agent, unsigned peer);
/* The network gives up on it: both ends learn, each in its own time. */
void sim_break(struct world *w, struct conn *c);

/* master.c */
void sim_master_boot(struct world *w);
void sim_master_crash(struct world *w);
void sim_master_receive(struct world *w, struct conn *c, const void *p, size_t n);
void sim_master_conn_closed(struct world *w, struct conn *c);
void sim_master_stop(struct world *w); /* at the end of the world */

/* agent.c */
void sim_agent_boot(struct world *w, struct sim_agent *a);
void sim_agent_crash(struct world *w, struct sim_agent *a, bool host); /* host: its tasks die too */
void sim_agent_receive(struct world *w, struct sim_agent *a, const void *p, size_t n);
void sim_agent_conn_closed(struct world *w, struct sim_agent *a);
void sim_agent_free(struct sim_agent *a);

/* scheduler.c */
void sim_scheduler_boot(struct world *w, struct sim_scheduler *s);
void sim_scheduler_crash(struct world *w, struct sim_scheduler *s);
void sim_scheduler_receive(struct world *w, struct sim_scheduler *s, const void *p, size_t n);
/* The answer to a call. */
void sim_scheduler_refused(struct world *w, struct sim_scheduler *s, int status);
void sim_scheduler_conn_closed(struct world *w, struct sim_scheduler *s);
void sim_scheduler_free(struct sim_scheduler *s);
bool sim_state_ended(Mesos__V1__TaskState state);

/* check.c */
void check_step(struct world *w);    /* what holds at every moment */
void check_settled(struct world *w); /* what holds when the world has been quiet for long */

/* world.c */
void world_run(
    uint64_t seed, bool trace, uint64_t *ret_hash, uint64_t *ret_steps, uint64_t *ret_launches);

#define MSG(arena, type, prefix)                                                                   \
    ({                                                                                             \
        type *new_message = arena_new((arena), type);                                              \
        prefix##__init(new_message);                                                               \
        new_message;                                                                               \
    })

#endif
