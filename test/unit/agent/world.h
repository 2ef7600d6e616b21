#ifndef DCOS_TEST_UNIT_AGENT_WORLD_H
#define DCOS_TEST_UNIT_AGENT_WORLD_H

/* An agent core with a disk, a clock that is set by hand, and everything it asked for. */

#include "agent/core.h"

struct world {
    struct agent_core *core;
    struct map disk; /* key -> struct saved */
    VEC(struct agent_effect) effects;
    struct arena arena; /* decoded messages */
    struct agent_now now;
    uint64_t draws;
    const char *boot_id;
    double cpus;
    enum { LAUNCH_UNSAID, LAUNCH_NEW, LAUNCH_KNOWN } launch_executor; /* of world_run() */
    uint64_t epoch;
    /* Of agent_core_options. */
    double disk_mb;
    bool additive;
    const char *hostname, *attribute, *region; /* NULL = none, or the usual hostname */
    /* Of the next tasks. */
    bool fencing;
    const char *task_resources; /* a JSON array, NULL = none */
    int64_t grace_s;            /* kill policy; 0 = none */
    /* Of the next registration. */
    int64_t lease_us;
    const Mesos__V1__DrainConfig *drain;
};

/* A message out of JSON, in the world's arena. */
void *world_json(struct world *w, const ProtobufCMessageDescriptor *type, const char *text);

void world_start(struct world *w);
void world_done(struct world *w);
/* As if the record had never reached the disk. */
void world_lose(struct world *w, const struct agent_record *r);
/* kill -9 and a new process on the same disk. The status of agent_core_start(). */
int world_restart(struct world *w);
struct agent_now *world_now(struct world *w);    /* fresh entropy */
void world_advance(struct world *w, int64_t us); /* runs timers on the way */
void world_drain(struct world *w);               /* stores, collects effects */
void world_forget(struct world *w);              /* effects so far */

/* Number of effects of a type, and the n-th of them. */
size_t world_count(struct world *w, enum agent_effect_type type);
struct agent_effect *world_effect(struct world *w, enum agent_effect_type type, size_t n);
/* The n-th record to the master that is / the n-th event to an executor that is of the kind. */
Dcos__Internal__AgentRecord *world_record(struct world *w, size_t n);
size_t world_updates(struct world *w);
Dcos__Internal__StatusUpdate *world_update(struct world *w, size_t n);
Mesos__V1__Executor__Event *world_event(
    struct world *w, Mesos__V1__Executor__Event__Type type, size_t n);

void world_master(struct world *w, Dcos__Internal__MasterRecord *r);
void world_register(struct world *w); /* link up, and the master says yes as S1 */
void world_run(struct world *w, const char *task, const char *executor, bool partition_aware);
/* `group` is a RunTaskGroup in JSON, without its framework. */
void world_run_group(struct world *w, const char *group, bool partition_aware);
void world_kill(struct world *w, const char *task);
void world_ack(struct world *w, const char *task, const void *uuid);
struct agent_executor *world_executor(struct world *w, const char *id);
uint64_t world_subscribe(struct world *w, const char *executor, const char *unacked_task);
void world_send(struct world *w, const char *executor, const char *task, Mesos__V1__TaskState state,
    uint8_t uuid);
void world_exit(struct world *w, const char *executor, int status);
struct agent_task *world_task(struct world *w, const char *id);

#endif
