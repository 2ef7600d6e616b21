#ifndef DCOS_MASTER_CORE_H
#define DCOS_MASTER_CORE_H

/*
 * The master without its surroundings: agents, frameworks, tasks, offers, allocation.
 *
 * Plain data. It does no I/O, reads no clock and draws no randomness: the same events in the same
 * order give the same outputs, byte for byte. A shell (src/master/main.c, or a simulator) feeds
 * events and carries out what comes back:
 *
 *     event  -> master_core_*()            time is microseconds since the epoch, passed in, and
 *                                          must not go back
 *     then   -> master_core_take_mutation() until NULL: store operations, in this order
 *            -> master_core_take_effect(core, durable) until NULL: messages to send
 *            -> master_core_next_deadline(): call master_core_tick() no later than that
 *
 * Mutations are numbered from 1. An effect names the last mutation that must be durable before it
 * may leave; take_effect() holds it (and all effects behind it) back until `durable` says so. A
 * shell that cannot make a mutation durable must end the process.
 *
 * Messages inside effects are protobuf bytes: one dcos.internal.MasterRecord, one
 * mesos.v1.scheduler.Event or one mesos.v1.master.Event. The shell frames them (RecordIO) and turns
 * them into JSON where the peer asked for that.
 *
 * Peers are named by numbers that the shell chooses and never uses twice: `link` for an agent's
 * connection, `stream` for a scheduler's subscription. 0 is no peer.
 *
 * Life of a core: master_core_new(); master_core_restore() for each entry of the store;
 * master_core_start(); events; master_core_free(). Events before the start are not allowed.
 */

#include "auth/authorizer.h"
#include "base/buf.h"
#include "base/error.h"
#include "wire/internal.pb-c.h"
#include "wire/maintenance.pb-c.h"
#include "wire/master.pb-c.h"
#include "wire/scheduler.pb-c.h"

struct arena;
struct master_core;

struct master_config {
    int64_t agent_ping_timeout_us;         /* 2 s */
    unsigned max_agent_ping_timeouts;      /* 4 */
    int64_t agent_reregister_timeout_us;   /* 10 min */
    int64_t agent_removal_interval_us;     /* 0: agents that do not answer are given up at once;
                                              else one after so long */
    unsigned recovery_agent_removal_limit; /* 100 percent of the agents known at the start */
    int64_t registry_gc_interval_us;       /* 15 min */
    int64_t registry_max_agent_age_us; /* 2 weeks: how long the unreachable and gone are known */
    size_t registry_max_agent_count;   /* 102,400 of each */
    int64_t allocation_interval_us;    /* 1 s: retry of what filters held back */
    int64_t allocation_delay_us;       /* 1 ms: events that free resources are batched so long */
    int64_t offer_timeout_us;          /* 0 = offers never expire */
    int64_t heartbeat_interval_us;     /* 15 s, on scheduler and operator streams */
    size_t max_completed_frameworks;   /* 50 */
    size_t max_completed_tasks;        /* 1000, per framework */
    size_t max_unreachable_tasks;      /* 1000, per framework */
    bool root_submissions;             /* true */
    bool filter_gpu_resources;         /* true */
    /* What frameworks may do; NULL: everything. Borrowed, must not change. */
    const struct authorizer *authorizer;
    /* The allocator; texts are read once and may be NULL. */
    bool role_sorter_random, framework_sorter_random; /* false: dominant-resource fairness */
    const char *min_allocatable_resources;            /* "cpus:0.01|mem:32" */
    const char *fair_sharing_excluded;                /* names of resources, by comma */
    const char *weights; /* "role=2.5,other=1", in force when the store has none */
    const char *roles;   /* by comma: no others may be used, "*" apart */
    const char *domain;  /* DomainInfo as JSON */
    bool require_agent_domain;
    int64_t allocator_recovery_timeout_us; /* 10 min */
    int64_t recovery_factor_milli;         /* 800 */
    size_t allocator_trace;                /* entries kept of what allocation decided; 0: none */
    /* What SUBSCRIBED tells about this master; copied. */
    const char *hostname, *ip, *version;
    uint16_t port;
};
void master_config_defaults(struct master_config *c);
/* The texts of the allocator can be read. -EINVAL; what cannot is left out by master_core_new(). */
int master_config_check(const struct master_config *c, struct error *err);

struct master_core *master_core_new(const struct master_config *config);
void master_core_free(struct master_core *core);
DEFINE_CLEANUP(struct master_core *, master_core_free)

/* One entry of the store ("agents/...", "frameworks/..."); other keys are ignored. -EBADMSG when
 * the value cannot be read: the caller must not go on. */
int master_core_restore(
    struct master_core *core, const char *key, const void *value, size_t n, struct error *err);
/* Leadership begins. `epoch` goes into every record to agents. `master_id` is fresh random text of
 * this leadership (a UUID); ids of frameworks, agents and offers are made from it. */
void master_core_start(
    struct master_core *core, uint64_t epoch, const char *master_id, int64_t now_us);

/* ---- agents ---- */
/* A record arrived on a link; the first must be `hello`, the second `register`. Protocol errors
 * answer `refused` and close. */
void master_core_agent_record(struct master_core *core, uint64_t link,
    const Dcos__Internal__AgentRecord *rec, int64_t now_us);
/* The link is gone (not called for links closed by an effect; calling it then is harmless). */
void master_core_agent_closed(struct master_core *core, uint64_t link, int64_t now_us);

/* ---- schedulers ---- */
/* The message alone: type and nested messages present, ids agree, uuids of 16 bytes. -EINVAL with
 * the text of the 400 answer. */
int master_call_validate(const Mesos__V1__Scheduler__Call *call, struct error *err);
/* SUBSCRIBE that passed master_call_validate(). Answers by events on `stream`: SUBSCRIBED and
 * HEARTBEAT, or ERROR and close. `stream_id` is the Mesos-Stream-Id given to the client; it must be
 * unique. */
void master_core_subscribe(struct master_core *core, uint64_t stream, const char *stream_id,
    const Mesos__V1__Scheduler__Call *call, int64_t now_us);
/* Any other call that passed validation. `stream_id` is what the client sent, NULL when it sent
 * none. Returns the HTTP status: 202, 200, 400, 403 or 501, the latter three with text in err. */
int master_core_call(struct master_core *core, const char *stream_id,
    const Mesos__V1__Scheduler__Call *call, int64_t now_us, struct error *err);
/* Principal of a framework, "" when it has none; NULL when there is no such framework. */
const char *master_core_framework_principal(
    const struct master_core *core, const char *framework_id);
/* The stream is gone (harmless for streams closed by an effect). */
void master_core_scheduler_closed(struct master_core *core, uint64_t stream, int64_t now_us);

/* ---- operators ---- */
/* -ENOENT when there is no such live framework. */
int master_core_teardown(
    struct master_core *core, const char *framework_id, int64_t now_us, struct error *err);
/* Whether an operator may ask for this (not whether it can be done now): the agent, the message,
 * the rules for reservations and volumes. `principal` is the operator's or NULL. -EINVAL with the
 * text of the 400 answer. */
int master_core_check_operation(struct master_core *core, const char *agent_id,
    const Mesos__V1__Offer__Operation *op, const char *principal, struct error *err);
/* Applies it, having taken back the offers that are in the way, and sends it to the agent. -EINVAL;
 * -EBUSY when the resources are in use or not there, or the agent is away (409): nothing changed.
 */
int master_core_apply_operation(struct master_core *core, const char *agent_id,
    const Mesos__V1__Offer__Operation *op, int64_t now_us, struct error *err);
/* What random orders draw from; before the start, then as often as wanted. */
void master_core_seed(struct master_core *core, uint64_t seed);
/* Agents of other hosts are not offered; NULL: all are. */
void master_core_whitelist(
    struct master_core *core, const char *const *hostnames, size_t n, int64_t now_us);
/* Whether the configurations may be set: -EINVAL, or -ENOSPC when guarantees would exceed what the
 * cluster has; `force` skips that check and the one of what is in use. Then updating cannot fail.
 */
int quota_check(struct master_core *core, Mesos__V1__Quota__QuotaConfig *const *configs, size_t n,
    bool force, struct error *err);
/* All of them at once; an empty one takes the role's quota away. */
void master_core_update_quota(struct master_core *core,
    Mesos__V1__Quota__QuotaConfig *const *configs, size_t n, int64_t now_us);
bool master_core_has_quota(const struct master_core *core, const char *role);
int weights_check(
    struct master_core *core, Mesos__V1__WeightInfo *const *infos, size_t n, struct error *err);
void master_core_update_weights(
    struct master_core *core, Mesos__V1__WeightInfo *const *infos, size_t n, int64_t now_us);
/* Whether effects of type EFFECT_OPERATOR_EVENT are made; off at first. */
void master_core_operator_events(struct master_core *core, bool wanted);
/* How many of these effects were made so far, whether they are taken yet or not. */
uint64_t master_core_operator_events_made(const struct master_core *core);

/* Of these, DEACTIVATE, REACTIVATE and DRAIN answer -ENOENT for an unknown agent and -EINVAL for
 * one whose state does not allow it; MARK_AGENT_GONE answers 0 for an agent that is gone already.
 */
int master_core_deactivate_agent(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err);
int master_core_reactivate_agent(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err);
/* `max_grace_ns` < 0: as the tasks ask for. */
int master_core_drain_agent(struct master_core *core, const char *agent_id, int64_t max_grace_ns,
    bool mark_gone, int64_t now_us, struct error *err);
int master_core_mark_agent_gone(
    struct master_core *core, const char *agent_id, int64_t now_us, struct error *err);

/* Maintenance; -EINVAL with the reason, and then nothing changed. */
int master_core_update_schedule(struct master_core *core,
    const Mesos__V1__Maintenance__Schedule *schedule, int64_t now_us, struct error *err);
int master_core_start_maintenance(struct master_core *core, Mesos__V1__MachineID *const *machines,
    size_t n, int64_t now_us, struct error *err);
int master_core_stop_maintenance(struct master_core *core, Mesos__V1__MachineID *const *machines,
    size_t n, int64_t now_us, struct error *err);
/* Lives until the schedule changes; never NULL. */
const Mesos__V1__Maintenance__Schedule *master_core_schedule(const struct master_core *core);
/* In the arena, with parts that live until the schedule changes. */
Mesos__V1__Maintenance__ClusterStatus *master_core_maintenance_status(
    const struct master_core *core, struct arena *arena);

/* ---- time ---- */
int64_t master_core_next_deadline(const struct master_core *core); /* INT64_MAX = none */
void master_core_tick(struct master_core *core, int64_t now_us);
/* Why this master must not go on (recovery_agent_removal_limit), or NULL. To be asked after
 * master_core_tick(); the process must end then, without carrying out anything more. */
const char *master_core_failure(const struct master_core *core);

/* ---- outputs ---- */
struct master_mutation {
    struct master_mutation *next;
    uint64_t number;
    bool remove; /* delete the key, else put */
    char *key;   /* inside the same allocation */
    void *value; /* same */
    size_t n;
};

enum master_effect_type {
    EFFECT_AGENT_SEND,      /* record for link `peer` */
    EFFECT_AGENT_CLOSE,     /* close link `peer` after what was sent */
    EFFECT_SCHEDULER_SEND,  /* event for stream `peer` */
    EFFECT_SCHEDULER_CLOSE, /* end stream `peer` after what was sent */
    EFFECT_OPERATOR_EVENT,  /* event for every operator stream */
};

struct master_effect {
    struct master_effect *next;
    uint64_t after; /* mutation that must be durable first; 0 = none */
    enum master_effect_type type;
    uint64_t peer;
    /* Of an operator event: whose it is, for those who may not see everything. NULL: not about a
     * framework, or a task. In the same allocation. */
    const char *framework_user, *task_user;
    size_t n;
    uint8_t data[]; /* protobuf bytes */
};

/* Number of the newest mutation: an answer to whoever caused it waits until that is durable. */
uint64_t master_core_last_mutation(const struct master_core *core);
/* The caller owns what it takes and ends it with free(). NULL: nothing (more) now. */
struct master_mutation *master_core_take_mutation(struct master_core *core);
struct master_effect *master_core_take_effect(struct master_core *core, uint64_t durable);

/* ---- looking in ---- */
/* Grows with every change of what the operator endpoints show. */
uint64_t master_core_version(const struct master_core *core);
/* Asserts what must always hold: per agent, used and offered within the total; sums agree; every
 * offer's agent and framework live; no task in two places. For tests and the simulator. */
void master_core_check(const struct master_core *core);

struct master_task_view {
    const char *framework_id, *task_id, *agent_id;
    Mesos__V1__TaskState state;
};
/* Every active (also terminal but not acknowledged) and unreachable task, in a defined order; fn
 * returns false to stop. */
void master_core_each_task(const struct master_core *core,
    bool (*fn)(const struct master_task_view *task, void *userdata), void *userdata);
/* Executors that frameworks brought, with the resources they are charged for. */
struct master_executor_view {
    const char *framework_id, *executor_id, *agent_id;
};
void master_core_each_executor(const struct master_core *core,
    bool (*fn)(const struct master_executor_view *executor, void *userdata), void *userdata);
/* One quantity of the quota of a role. */
struct master_quota_view {
    const char *role, *quantity;
    int64_t guarantee, limit, consumed; /* thousandths; limit INT64_MAX = none */
};
void master_core_each_quota(const struct master_core *core,
    bool (*fn)(const struct master_quota_view *quota, void *userdata), void *userdata);
/* Registered and recovered agents. */
struct resources;
struct master_agent_view {
    const char *id, *hostname;
    bool connected, recovered;
    bool deactivated, draining, drained;
    size_t n_tasks, n_offers;
    const struct resources *total, *available;
};
void master_core_each_agent(const struct master_core *core,
    bool (*fn)(const struct master_agent_view *agent, void *userdata), void *userdata);
/* Connected (registered) agents, recovered and unreachable ones. */
struct master_counts {
    size_t agents_connected, agents_disconnected, agents_recovered, agents_unreachable;
    size_t agents_active; /* connected and not deactivated */
    size_t frameworks_connected, frameworks_disconnected;
    size_t tasks, offers;
};
void master_core_counts(const struct master_core *core, struct master_counts *ret);

#endif
