#ifndef DCOS_SIM_REAL_H
#define DCOS_SIM_REAL_H

/*
 * The real agent core in the simulator: its shell with a disk that may lose what was not flushed
 * (real.c), containers and the processes in them, which outlive the agent's process and die with
 * the host (container.c), and executors with their link to the agent (executor.c).
 */

#include "agent/core.h"
#include "world.h"

struct real_entry {
    char *key;
    void *value;
    size_t n;
};

struct real_write {
    uint64_t sequence;
    struct agent_mutation m;
};

struct sim_real {
    struct sim_agent *agent;
    /* Of the process. */
    struct agent_core *core; /* NULL while down */
    bool recovered;          /* may dial */
    bool busy, dying;        /* carrying out; killed while at it */
    int64_t tick_at;
    VEC(struct agent_output) pending; /* effects not carried out yet */
    VEC(struct real_write) unflushed;
    size_t flushing; /* the first of unflushed that are under way */
    bool refusing;   /* while it hears a master of an older epoch */
    /* Of the host. */
    uint64_t obeyed; /* newest epoch whose registration was durable */
    struct map disk; /* key -> struct real_entry */
    unsigned boots;
    struct map containers; /* id -> struct container, of all times */
    unsigned next_pid;
};

enum container_state {
    CONTAINER_STARTING, /* asked for, no process yet */
    CONTAINER_ALIVE,
    CONTAINER_DEAD,
};

struct executor_update {
    uint8_t uuid[AGENT_UUID_SIZE];
    char *task_id; /* the task's */
    Mesos__V1__TaskState state;
    bool taken; /* given to the agent, which has not acknowledged it */
};

struct executor_task {
    struct container *c;
    struct arena arena;
    Mesos__V1__TaskInfo *info;
    bool runs, over, killing;
    bool acknowledged; /* any update of it */
    bool written_off;  /* the master does not count it any more */
    unsigned life;
    int64_t cpus_milli, mem_milli;
    unsigned group; /* of a pod: number of the event that it came with, from 1 */
};

enum executor_link { LINK_WAITING, LINK_SUBSCRIBING, LINK_SUBSCRIBED };

/* A container and the executor in it. */
struct container {
    struct sim_agent *agent;
    char *id, *framework_id, *executor_id;
    enum container_state state;
    unsigned life; /* ends with the process; timers compare it */
    unsigned pid;
    int status;
    /* executor.c: the link */
    enum executor_link link;
    unsigned attempt; /* of the link; what belongs to an older one is void */
    uint64_t stream;  /* the agent's number of it, 0 = none */
    bool cut;         /* the stream is broken and the executor does not know yet */
    int64_t last_down;
    int64_t alone_since; /* 0 = subscribed */
    bool calling;
    VEC(struct executor_update) updates; /* not acknowledged */
    /* executor.c: the tasks */
    bool command; /* of one task, and ends with it */
    bool pod;     /* of task groups, and ends with the last */
    unsigned groups;
    int64_t cpus_milli, mem_milli;
    VEC(struct executor_task *) tasks;
    bool leaving, lost;
    bool written_off; /* as for tasks */
};

/* An event of a container that needs more than its name; freed by the world. */
struct container_event {
    struct container *c;
    unsigned agent;   /* generation of the agent's process */
    unsigned attempt; /* of the link */
    uint64_t number;
    uint8_t uuid[AGENT_UUID_SIZE];
    size_t n;
    uint8_t data[];
};
struct container_event *container_event(struct container *c, const void *p, size_t n);

/* ---- real.c ---- */
struct sim_real *real_new(void);
void real_boot(struct world *w, struct sim_agent *a);
void real_crash(struct world *w, struct sim_agent *a, bool host);
void real_receive(struct world *w, struct sim_agent *a, const void *p, size_t n);
void real_conn_closed(struct world *w, struct sim_agent *a);
void real_free(struct world *w, struct sim_agent *a);
/* What its clocks say. */
void real_now(struct world *w, const struct sim_agent *a, struct agent_now *ret);
/* After every event given to the core. */
void real_pump(struct world *w, struct sim_agent *a);

/* ---- real_check.c ---- */
/* Notes what the master no longer counts, before the agent that knows it is gone. */
void real_write_off(struct sim_agent *a);
/* Adds what its processes use. */
void real_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem);
void real_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata);
void real_settled(struct world *w, const struct sim_agent *a);

/* ---- container.c ---- */
void container_launch(struct world *w, struct sim_agent *a, const struct agent_effect *e);
void container_destroy(struct world *w, struct sim_agent *a, const char *id);
void container_limits(struct world *w, struct sim_agent *a, const char *id);
/* The process ends, and all that it started. */
void container_die(struct world *w, struct container *c, int status);
/* The executor's stream breaks; both ends learn in their own time. */
void container_disconnect(struct world *w, struct container *c);
/* The agent's process is gone; the host with it? */
void containers_orphaned(struct world *w, struct sim_agent *a, bool host);
/* A new agent process follows what it remembers and ends everything else. */
void containers_recover(struct world *w, struct sim_agent *a);
void real_disturb(struct world *w, struct sim_agent *a);
void containers_free(struct sim_agent *a);

/* ---- executor.c ---- */
void executor_start(struct world *w, struct container *c);
/* An event for it, or with n = 0 the end of its stream. */
void executor_send(struct world *w, struct container *c, uint64_t stream, const void *p, size_t n);
/* The stream is broken; the executor learns in its own time. */
void executor_cut(struct world *w, struct container *c);
void executor_task_dies(struct executor_task *t);

#endif
