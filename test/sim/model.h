#ifndef DCOS_SIM_MODEL_H
#define DCOS_SIM_MODEL_H

/* The model of an agent: what a reader of the protocol would write in an afternoon, so that the
 * master is not tested against the real agent's misunderstandings only. */

#include "world.h"

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

/* All of it durable. */
struct sim_model {
    uint64_t epoch;
    int64_t last_heard;
    struct map tasks;      /* "framework/task" -> struct sim_task */
    struct map frameworks; /* id -> packed FrameworkInfo (struct buf *) */
};

/* model.c: frameworks, tasks, updates */
void model_lose_identity(struct sim_agent *a);
void model_framework_keep(struct sim_agent *a, const Mesos__V1__FrameworkInfo *info);
void model_framework_gone(struct world *w, struct sim_agent *a, const char *fid);
void model_update(struct world *w, struct sim_agent *a, struct sim_task *t,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason);
void model_send_head(struct world *w, struct sim_agent *a, struct sim_task *t);
void model_run_task(struct world *w, struct sim_agent *a, const Dcos__Internal__RunTask *run);
void model_kill(struct world *w, struct sim_agent *a, struct sim_task *t); /* one that is alive */
void model_kill_task(struct world *w, struct sim_agent *a, const Dcos__Internal__KillTask *kill);
void model_acknowledge(
    struct world *w, struct sim_agent *a, const Dcos__Internal__StatusUpdateAcknowledgement *ack);
void model_reconcile(struct world *w, struct sim_agent *a, const Dcos__Internal__ReconcileTasks *r);
/* Adds what its tasks use. */
void model_used(const struct sim_agent *a, int64_t *ret_cpus, int64_t *ret_mem);
void model_each_task(const struct sim_agent *a, sim_task_fn fn, void *userdata);

/* model_link.c: registration and the master's records */
void model_boot(struct world *w, struct sim_agent *a);
void model_crash(struct world *w, struct sim_agent *a, bool host);
void model_receive(struct world *w, struct sim_agent *a, const void *p, size_t n);
void model_conn_closed(struct world *w, struct sim_agent *a);
void model_free(struct sim_agent *a);

#endif
