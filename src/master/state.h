#ifndef DCOS_MASTER_STATE_H
#define DCOS_MASTER_STATE_H

/*
 * Inside the core: who holds what. Only files of src/master include this; the operator endpoints
 * read it, nobody outside the core's own files changes it.
 *
 * Ownership: the core owns agents and frameworks; a framework owns its tasks (active, unreachable,
 * completed), executors, offers and clients. An agent lists what is on it. A client is one
 * framework in one role: the unit that gets offers.
 */

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "kernel/framework.h"
#include "kernel/ids.h"
#include "kernel/operation.h"
#include "kernel/resources.h"
#include "kernel/task.h"
#include "master/allocation.h"
#include "master/core.h"
#include "master/umap.h"

enum { LINK_MAJOR = 1, LINK_MINOR = 0 };
enum {
    REMOVED_FRAMEWORKS_MAX = 1000,     /* remembered ids of removed frameworks */
    TASK_STATUSES_MAX = 32,            /* kept per task, oldest go first */
    OFFERS_PER_EVENT = 50,             /* offers in one OFFERS event */
    AGENT_RESOURCES_MAX = 1024,        /* resources that an agent is divided into by operations */
    AGENT_INFO_BYTES_MAX = 250 * 1024, /* of a description, so that the registry can hold it */
};

/* ---- small shared things ---- */

/* Protobuf bytes of an immutable message. */
struct packed {
    uint32_t n;
    uint8_t p[];
};
struct packed *packed_new(const ProtobufCMessage *m);

/* Shared immutable text. */
struct name {
    uint32_t refs;
    char text[];
};
struct name *name_new(const char *text);
struct name *name_ref(struct name *n);
void name_unref(struct name *n);

void core_timer_start(struct master_core *core, struct core_timer *t, int64_t due_us);
void core_timer_stop(struct master_core *core, struct core_timer *t);

/* ---- agents ---- */

/* What operators decided about an agent; the registry keeps it with the agent. */
struct node_state {
    bool deactivated; /* gets no offers */
    enum node_drain { DRAIN_NONE, DRAIN_RUNS, DRAIN_DONE } drain;
    bool mark_gone; /* once it is drained */
    bool has_grace;
    int64_t grace_ns; /* longest time that killed tasks get */
};

enum agent_state {
    AGENT_RECOVERED,  /* from the registry, not back yet */
    AGENT_REGISTERED, /* `connected` tells whether it has a link now */
};

struct agent {
    struct name *id;
    uint32_t slot;
    enum agent_state state;
    uint64_t link; /* 0 = disconnected */
    struct arena arena;
    Mesos__V1__AgentInfo *info; /* in the arena, id set */
    Mesos__V1__AgentInfo__Capability **capabilities;
    size_t n_capabilities;
    const char *version;
    const char *ip;           /* for url and pid; in the arena */
    char address[300];        /* "ip:port", key in core->addresses */
    uint32_t capability_bits; /* AGENT_HAS_... */
    bool has_limits;          /* TASK_RESOURCE_LIMITS */
    bool has_gpus;
    bool remote; /* in another region than the master */
    bool simple; /* nothing reserved, revocable or shared: agent_recount() */
    int64_t registered_us, reregistered_us;
    /* `available` is what neither tasks nor offers hold; shared volumes are always in it, once. */
    struct resources total, available, used, offered;
    /* Tasks hold what is not in the total: they were launched on the result of an operation that
     * failed or got lost, and so will they. */
    bool beyond;
    struct list tasks, executors, offers, filters;
    struct list operations; /* in the order in which they were sent */
    size_t n_tasks;
    unsigned missed_pings;
    uint64_t ping_sequence;
    struct core_timer ping_timer;
    struct core_timer reregister_timer;
    struct list dirty;                 /* in core->dirty: something may be offered */
    struct list held;                  /* in core->held: something was kept back for quotas */
    struct resources counted_reserved; /* of the total, as counted in roles */
    int64_t *counted_free;       /* as counted in core->free; NULL while there are no guarantees */
    struct resources run_shared; /* shared resources offered in the run at hand */
    struct node_state node;
    int64_t drain_started_us;
    struct core_timer drain_timer; /* looks whether it is drained */
    struct list removal_node;      /* in core->removals: to be given up, in its turn */
    struct machine *machine;       /* that the maintenance schedule names, or NULL */
    struct list machine_node;      /* in machine->agents */
    struct list inverse_offers, inverse_answers;
    struct list inverse_node; /* in core->inverse_dirty: frameworks to be asked */
};

struct lost_agent {
    int64_t unreachable_us;
    struct node_state node;
    char id[];
};

struct gone_agent {
    int64_t gone_us;
    char id[];
};

/* ---- maintenance (maintenance.c, inverse.c) ---- */

/* A machine of the schedule. */
struct machine {
    Mesos__V1__MachineID *id; /* this and the next in core->schedule_arena */
    Mesos__V1__Unavailability *unavailability;
    bool down;
    struct list agents;
    char key[]; /* hostname in lower case and address */
};

/* The question to a framework whether an agent may go away. */
struct inverse_offer {
    char id[80];
    struct framework *framework;
    struct agent *agent;
    bool sent;
    struct core_timer timer;
    struct list framework_node, agent_node;
};

/* A framework's last answer for an agent. */
struct inverse_answer {
    struct framework *framework;
    struct agent *agent;
    bool accepted;
    int64_t at_us;
    struct core_timer filter; /* runs: it is not asked again yet */
    struct list framework_node, agent_node;
};

struct executor {
    struct framework *framework;
    struct client *client;
    struct agent *agent;
    struct packed *info;
    struct resources resources;
    size_t n_tasks; /* that name it */
    struct list agent_node, framework_node;
    char id[];
};

/* ---- tasks ---- */

enum task_place { TASK_ACTIVE, TASK_UNREACHABLE_PLACE, TASK_COMPLETED };

struct task {
    struct framework *framework;
    struct client *client;
    struct name *agent_id;
    struct agent *agent;       /* NULL once it is unreachable or completed */
    struct executor *executor; /* NULL for command tasks, and once the executor is gone */
    struct list agent_node;    /* in agent->tasks */
    struct list place_node;    /* in unreachable or completed */
    struct packed *info;       /* mesos.v1.Task without state and statuses */
    struct packed **statuses;  /* consecutive ones of the same state: the newest */
    struct resources resources;
    uint8_t n_statuses;
    uint8_t place;           /* enum task_place */
    uint8_t state;           /* newest known */
    uint8_t forwarded_state; /* of the last forwarded update */
    bool forwarded;          /* there was one */
    bool charged;            /* its resources count as used */
    bool kill_sent;
    struct packed *kill_policy; /* KillPolicy of the last KILL or NULL */
    uint8_t uuid[16];           /* of the last forwarded update */
    char id[];
};

/* ---- operations ---- */

/* An operation that was sent to an agent, until its end is acknowledged. */
struct operation {
    char key[33]; /* uuid in hexadecimal digits, in core->operations */
    uint8_t uuid[16];
    struct name *framework_id;   /* NULL: an operator's */
    struct framework *framework; /* NULL: an operator's, or the framework is gone */
    struct agent *agent;
    uint64_t link; /* on which it is on its way; 0 once the agent spoke of it */
    struct list agent_node, framework_node;
    struct packed *info;   /* Offer.Operation */
    struct packed *status; /* OperationStatus, the latest */
    uint8_t type, state;
    bool has_status_uuid;
    uint8_t status_uuid[16]; /* of the latest status */
    bool has_id;
    char id[]; /* that the framework gave; it is told how the operation goes */
};

/* ---- frameworks ---- */

/* What /metrics tells of one framework; since this master leads. */
struct framework_stats {
    uint64_t calls[32], events[16], operations[32]; /* by type */
    uint64_t offers_sent, offers_accepted, offers_declined, offers_rescinded;
    uint64_t tasks_terminal[16]; /* by state */
    uint32_t tasks_active[16];
};

struct framework {
    struct name *id;
    struct arena arena;
    Mesos__V1__FrameworkInfo *info; /* in the arena, id set */
    struct packed *packed_info;
    uint32_t capabilities;
    bool connected, recovered, removed;
    uint64_t stream;
    char stream_id[40];
    int64_t registered_us, reregistered_us, unregistered_us;
    struct map clients; /* by role name */
    struct map tasks;   /* active, by id */
    struct list unreachable, completed;
    struct map unreachable_by_id;
    size_t n_unreachable, n_completed;
    struct list operations;
    struct map operation_ids; /* those that have an id */
    struct list executors, offers;
    size_t n_offers;
    struct framework_stats stats;
    struct list inverse_offers, inverse_answers;
    struct resources used, offered;
    struct core_timer failover_timer, heartbeat_timer;
    struct list node; /* in core->completed_frameworks */
    /* Offers made in the current allocation, sent together. */
    struct list fresh;
    size_t n_fresh;
    struct list fresh_node;
    struct arena constraints_arena;
    Mesos__V1__Scheduler__OfferConstraints *constraints;
    struct map patterns; /* of the constraints, compiled */
};

struct offer {
    char id[80];
    struct framework *framework;
    struct client *client;
    struct agent *agent;
    struct resources resources; /* with allocation role */
    struct list framework_node, agent_node, fresh_node;
    struct core_timer timer;
};

/* ---- counters for /metrics/snapshot ---- */

struct master_stats {
    uint64_t slave_registrations, slave_reregistrations, slave_removals;
    uint64_t slave_removals_unhealthy, slave_removals_unregistered, slave_removals_registered;
    uint64_t slave_unreachable_scheduled, slave_unreachable_completed, slave_unreachable_canceled;
    uint64_t recovery_slave_removals;
    uint64_t task_states[16]; /* terminal transitions by state number */
    struct map task_reasons;  /* "task_lost/source_master/reason_..." -> struct reason_count */
    uint64_t calls[32];       /* scheduler calls by type */
    uint64_t dropped_messages;
    uint64_t messages_register_slave, messages_reregister_slave, messages_unregister_slave,
        messages_status_update, messages_exited_executor, messages_update_slave,
        messages_executor_to_framework;
    uint64_t valid_status_updates, invalid_status_updates;
    uint64_t valid_acks, invalid_acks;
    uint64_t messages_operation_status_update, valid_operation_updates, invalid_operation_updates;
    uint64_t valid_operation_acks, invalid_operation_acks;
    uint64_t valid_to_executor, invalid_to_executor;
    uint64_t valid_to_framework, invalid_to_framework;
    uint64_t allocation_runs;
    int64_t allocation_wait_us; /* between the newest run and what caused it */
    uint64_t offers_made, offers_rescinded;
};

struct reason_count {
    uint64_t n;
    char key[];
};

/* ---- the core ---- */

struct master_core {
    struct master_config config;
    char *hostname, *ip, *version;
    char master_id[64];
    uint64_t epoch;
    bool started;
    int64_t now;     /* of the event being handled */
    uint64_t change; /* master_core_version */

    struct map agents;     /* registered and recovered, by id */
    struct map addresses;  /* registered agents by "ip:port" */
    struct map lost;       /* unreachable, by id: struct lost_agent */
    struct map gone;       /* marked gone, by id: struct gone_agent */
    struct map frameworks; /* live, by id */
    struct map removed;    /* ids of removed frameworks: char * */
    struct list completed_frameworks;
    size_t n_completed_frameworks;
    struct map offers; /* by id */
    struct umap links; /* link -> struct link */
    struct link *all_links;
    struct umap streams; /* stream -> struct framework */
    size_t n_recovered;
    uint64_t next_framework, next_agent, next_offer, next_operation;
    struct map operations; /* by uuid: struct operation.key */

    struct heap timers;

    /* allocator */
    struct role root;
    struct map roles;                           /* by name */
    const char *quantity_names[QUANTITIES_MAX]; /* owned */
    bool excluded[QUANTITIES_MAX];              /* do not count for fairness */
    char **excluded_names;
    size_t n_excluded_names;
    size_t n_quantities;
    int64_t totals[QUANTITIES_MAX]; /* of all registered agents */
    bool shares_stale;              /* totals changed since the orders were built */
    struct list dirty;              /* agents to look at */
    VEC(struct agent *) looking;    /* those of the run at hand */
    struct core_timer allocate_timer;
    int64_t woken_us;    /* when it was started */
    struct umap filters; /* client slot << 32 | agent slot */
    VEC(uint32_t) free_client_slots;
    VEC(uint32_t) free_agent_slots;
    uint32_t n_client_slots, n_agent_slots;
    size_t n_custom_min; /* clients with minimal sets of their own */
    struct min_quantities *min;
    size_t n_min;
    struct list fresh_frameworks;
    struct rng rng; /* seeded by an event */
    size_t n_quotas, n_guarantees;
    /* While there are guarantees: what agents have free that could meet them, and what they lack,
     * by all roles together. */
    int64_t free[QUANTITIES_MAX], required[QUANTITIES_MAX];
    struct list held;
    struct core_timer held_timer;
    int64_t held_us; /* when held agents were last looked at */
    bool paused;     /* until `expected_back` agents are back */
    size_t expected_back, n_back;
    struct core_timer recovery_timer;
    bool has_whitelist;
    struct map whitelist;      /* hostnames */
    struct map role_whitelist; /* empty: every role is allowed */
    struct arena domain_arena;
    Mesos__V1__DomainInfo *domain;
    char *flag_weights; /* in force when the store has none */
    bool weights_stored;
    struct trace trace;

    /* losing agents (loss.c) */
    size_t n_known_at_start;         /* that had to come back after the failover */
    struct core_timer absence_timer; /* and by when */
    struct list removals;            /* agents that wait for agent_removal_interval_us */
    struct core_timer removal_timer;
    int64_t next_removal_us;
    struct core_timer gc_timer;
    const char *failure; /* master_core_failure */

    /* maintenance */
    struct arena schedule_arena;
    Mesos__V1__Maintenance__Schedule *schedule; /* NULL: none */
    struct map machines;                        /* of the schedule, by key */
    struct map inverse_offers;                  /* by id */
    struct list inverse_dirty;
    struct core_timer inverse_timer;

    bool operator_events;
    uint64_t operator_events_made;
    struct master_stats stats;

    struct master_mutation *mutations, **mutations_tail;
    struct master_effect *effects, **effects_tail;
    uint64_t last_mutation;
};

/* The protocol state of an agent's link. */
struct link {
    uint64_t id;
    bool greeted;
    bool refused;
    struct agent *agent;      /* once registered */
    struct link *prev, *next; /* in core->all_links */
};

/* ---- output.c ---- */
void put_mutation(struct master_core *core, const char *prefix, const char *id,
    const ProtobufCMessage *m); /* m NULL: delete */
void send_agent(struct master_core *core, const struct agent *a, Dcos__Internal__MasterRecord *rec);
void send_link(struct master_core *core, uint64_t link, Dcos__Internal__MasterRecord *rec);
void close_link(struct master_core *core, uint64_t link);
/* Counts it; nothing happens when the framework is not connected. */
void send_event(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Event *e);
void send_stream(struct master_core *core, uint64_t stream, const Mesos__V1__Scheduler__Event *e);
void close_stream(struct master_core *core, uint64_t stream);
/* One more of a kind; numbers that newer peers know are left out. */
static inline void count_kind(uint64_t *counters, size_t n, int kind)
{
    if (kind >= 0 && (size_t)kind < n)
        counters[kind]++;
}
#define COUNT_KIND(counters, kind) count_kind((counters), ARRAY_SIZE(counters), (int)(kind))
void send_error(struct master_core *core, uint64_t stream, const char *message);
void send_operator_event(struct master_core *core, const Mesos__V1__Master__Event *e);
/* One that is about a framework, and a task of it (or NULL): not everybody may see it. */
void send_operator_event_of(struct master_core *core, const Mesos__V1__Master__Event *e,
    const struct framework *f, const struct task *t);

/* ---- authorize.c ---- */
bool framework_info_may(const struct master_core *core, const Mesos__V1__FrameworkInfo *info,
    enum auth_action action, const char *object);
/* Whether the framework's principal may. */
bool framework_may(const struct master_core *core, const struct framework *f,
    enum auth_action action, const char *object);
/* -EACCES with the text of the ERROR event: one of its roles is not for it. */
int framework_authorize(
    const struct master_core *core, const Mesos__V1__FrameworkInfo *info, struct error *err);
/* -EACCES with the message of the status: not as that user. */
int task_authorize(const struct master_core *core, const struct framework *f,
    const Mesos__V1__TaskInfo *task, struct error *err);
/* -EACCES with the message: the subject may not reserve, unreserve, make, end or resize these, each
 * asked by itself. Resources in the new format. */
int operation_authorize(const struct authorizer *authorizer, const struct auth_subject *who,
    const Mesos__V1__Offer__Operation *op, struct error *err);
/* User that a task runs as, in the arena; what VIEW_TASK asks for. */
const char *task_user(const struct task *t, struct arena *arena);

/* ---- registry.c ---- */
void registry_put_agent(struct master_core *core, const struct agent *a);
void registry_put_lost_agent(struct master_core *core, const struct lost_agent *l);
void registry_delete_agent(struct master_core *core, const char *id);
void registry_put_gone_agent(struct master_core *core, const struct gone_agent *g);
void registry_delete_gone_agent(struct master_core *core, const char *id);
void registry_put_maintenance(struct master_core *core);
void registry_put_framework(
    struct master_core *core, const struct framework *f, int64_t removed_us);
struct lost_agent *remember_lost_agent(
    struct master_core *core, const char *id, int64_t since_us, const struct node_state *node);
struct gone_agent *remember_gone_agent(struct master_core *core, const char *id, int64_t since_us);
void remember_removed_framework(struct master_core *core, const char *id);

/* ---- agent.c ---- */
/* `info` must have its id. Adds it in state RECOVERED without resources. */
struct agent *core_agent_new(struct master_core *core, const char *id);
void core_agent_free(struct master_core *core, struct agent *a);
/* Takes the message's contents over (deep copy). */
void agent_set_info(struct agent *a, const Mesos__V1__AgentInfo *info, const char *version,
    Mesos__V1__AgentInfo__Capability *const *capabilities, size_t n_capabilities);
/* Available is what is in the total and neither used nor offered; shared volumes always are. */
void agent_find_available(struct agent *a);
/* Replaces the total; what is used stays accounted. Offers must have been taken back. */
void agent_set_total(struct master_core *core, struct agent *a, const struct resources *total);
void agent_disconnect(struct master_core *core, struct agent *a);
void agent_mark_unreachable(struct master_core *core, struct agent *a);
void agent_remove(struct master_core *core, struct agent *a); /* planned: its tasks are lost */
/* An operator says that it will not come back; its tasks are gone. It is told to end. */
void agent_mark_gone(struct master_core *core, struct agent *a);
void lost_agent_mark_gone(struct master_core *core, struct lost_agent *lost);
/* Takes its offers and inverse offers back. */
void agent_withdraw(struct master_core *core, struct agent *a);
void send_shutdown_agent(struct master_core *core, uint64_t link, const char *message);
/* Ends the link with a reason. `forget`: the agent must give up its id. */
void link_refuse(struct master_core *core, struct link *l, const char *message, bool forget);
/* Puts it into core->addresses; an agent that was there and is away is removed: its work folder was
 * lost and it came back under a new id. */
void agent_set_address(struct master_core *core, struct agent *a);
void agent_start_pings(struct master_core *core, struct agent *a);
void agent_wait_reregister(struct master_core *core, struct agent *a);
static inline bool agent_connected(const struct agent *a)
{
    return a->link != 0;
}
/* Whether it counts as active, and its resources may be offered. */
static inline bool agent_active(const struct agent *a)
{
    return agent_connected(a) && a->state == AGENT_REGISTERED && !a->node.deactivated;
}
/* FAILURE {agent_id} to every connected framework. */
void broadcast_agent_failure(struct master_core *core, const char *agent_id);

/* ---- register.c ---- */
struct refusal {
    const char *message;
    bool shutdown; /* the agent must end */
    bool forget;   /* it must end what it runs and give up its id */
};
/* False: refused, for the reason given. */
bool agent_register(struct master_core *core, struct link *l, const Dcos__Internal__Register *reg,
    struct refusal *ret);

/* ---- nodes.c: what operators decide about agents ---- */
/* NULL when it neither drains nor is drained. */
Mesos__V1__DrainInfo *node_drain_info(const struct node_state *node, struct arena *arena);
void node_state_restore(
    struct node_state *node, bool deactivated, const Mesos__V1__DrainInfo *drain_info);
/* Tasks or operations of the agent ended: if it drains, it may be done. Looked at a moment later.
 */
void node_check_drained(struct master_core *core, struct agent *a);
/* Of an agent that registered. */
void node_resume_draining(struct master_core *core, struct agent *a, bool was_registered);
void node_timers_init(struct agent *a);

/* ---- loss.c: agents that do not answer ---- */
void loss_init(struct master_core *core);
void loss_start(struct master_core *core);
/* Frees the agent when nothing limits the rate of removals. */
void removal_schedule(struct master_core *core, struct agent *a);
void removal_cancel(struct master_core *core, struct agent *a); /* it answered */
/* How long an agent may be unsure before it ends fenced tasks (Registered.lease_us). */
int64_t lease_us(const struct master_core *core);

/* ---- maintenance.c, inverse.c ---- */
void maintenance_init(struct master_core *core);
void maintenance_done(struct master_core *core);
int maintenance_restore(struct master_core *core, const Dcos__Internal__RegistryMaintenance *rec);
/* The schedule's machine with this name and address, or NULL. */
struct machine *machine_find(const struct master_core *core, const char *hostname, const char *ip);
void machine_assign(struct master_core *core, struct agent *a); /* after its address changed */
/* Something of a framework came to the agent: it may have to be asked. */
void inverse_wake(struct master_core *core, struct agent *a);
void inverse_init(struct master_core *core);
/* The framework is connected (again): all agents on scheduled machines are looked at. */
void inverse_wake_all(struct master_core *core);
void inverse_rescind_agent(struct master_core *core, struct agent *a);
/* Answers and filters are forgotten as well: the unavailability changed, or the agent goes. */
void inverse_forget_agent(struct master_core *core, struct agent *a);
void inverse_clear_filters(struct master_core *core, struct agent *a);
/* The framework's stream ended: nobody is told. */
void inverse_discard_framework(struct master_core *core, struct framework *f);
void inverse_forget_framework(struct master_core *core, struct framework *f);
void inverse_revive(struct master_core *core, struct framework *f);
void handle_inverse_answer(struct master_core *core, struct framework *f,
    Mesos__V1__OfferID *const *ids, size_t n, const Mesos__V1__Filters *filters, bool accepted);
Mesos__V1__InverseOffer *inverse_to_wire(const struct inverse_offer *o, struct arena *arena);

/* ---- framework.c ---- */
struct framework *core_framework_new(
    struct master_core *core, const Mesos__V1__FrameworkInfo *info);
void core_framework_free(struct master_core *core, struct framework *f);
/* Updatable fields of a new info; keeps user and checkpoint. Returns whether anything changed. */
bool framework_update_info(
    struct master_core *core, struct framework *f, const Mesos__V1__FrameworkInfo *info);
/* Every role of it is in the list of --roles. */
int check_allowed_roles(
    struct master_core *core, const Mesos__V1__FrameworkInfo *info, struct error *err);
void framework_set_suppressed(
    struct master_core *core, struct framework *f, char *const *roles, size_t n);
void framework_set_constraints(
    struct framework *f, const Mesos__V1__Scheduler__OfferConstraints *constraints);
void framework_disconnect(struct master_core *core, struct framework *f);
void framework_remove(struct master_core *core, struct framework *f);
void framework_wait_failover(struct master_core *core, struct framework *f, int64_t delay_us);
static inline struct framework *find_framework(struct master_core *core, const char *id)
{
    return map_get(&core->frameworks, id);
}
static inline bool framework_is(const struct framework *f, uint32_t capability)
{
    return (f->capabilities & capability) != 0;
}

/* ---- task.c ---- */
/* `t` in the arena of the caller: the parts become the packed record. */
struct task *core_task_new(struct framework *f, struct agent *a, const Mesos__V1__Task *info,
    struct client *client, struct resources *take_resources);
void core_task_free(struct task *t);
void task_add_active(struct master_core *core, struct task *t); /* charges its resources */
void task_release(struct master_core *core, struct task *t);    /* once; frees what it used */
/* True: a state that the last status did not have. Of statuses with one state the newest is kept.
 */
bool task_add_status(struct task *t, const Mesos__V1__TaskStatus *status);
/* New state (and a status for the record); releases resources when terminal or unreachable. */
void task_transition(struct master_core *core, struct task *t, Mesos__V1__TaskState state,
    const Mesos__V1__TaskStatus *status);
void task_complete(
    struct master_core *core, struct task *t); /* active or unreachable -> completed */
void task_make_unreachable(struct master_core *core, struct task *t);
/* Sends an update made by the master (no uuid) and counts it. */
void send_master_update(
    struct master_core *core, struct framework *f, const Mesos__V1__TaskStatus *status);
void count_task_state(struct master_core *core, const Mesos__V1__TaskStatus *status);
struct executor *executor_find(const struct agent *a, const struct framework *f, const char *id);
struct executor *core_executor_new(struct master_core *core, struct framework *f, struct agent *a,
    const Mesos__V1__ExecutorInfo *info, struct client *client, struct resources *take_resources);
void executor_remove(struct master_core *core, struct executor *e);
/* KILL to the task's agent, with the policy of the last call. */
void task_send_kill(struct master_core *core, const struct task *t);
/* Full message of a task for the wire, in the arena. */
Mesos__V1__Task *task_to_wire(const struct task *t, struct arena *arena);
Mesos__V1__TaskStatus *task_status_at(const struct task *t, size_t i, struct arena *arena);
/* The newest status in the arena, or NULL. */
Mesos__V1__TaskStatus *task_last_status(const struct task *t, struct arena *arena);
void unpack_into(const ProtobufCMessageDescriptor *type, const struct packed *p,
    struct arena *arena, ProtobufCMessage **ret);

/* ---- update.c ---- */
void handle_status_update(
    struct master_core *core, struct agent *a, const Dcos__Internal__StatusUpdate *u);
void handle_acknowledge(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Acknowledge *ack);
void handle_executor_exited(
    struct master_core *core, struct agent *a, const Dcos__Internal__ExecutorExited *m);

/* ---- operations.c ---- */
/* Puts what the operation leaves in the place of what it takes: in the agent's total, and of shared
 * volumes in what is available. What else is available is up to the caller. */
void agent_convert(struct master_core *core, struct agent *a, const struct operation_change *plain);
/* Whether the agent would not fall into more than AGENT_RESOURCES_MAX different resources: the work
 * of each allocation grows with them. What makes no new ones always may. 0 or -EINVAL. */
int operation_has_room(
    const struct agent *a, const struct operation_change *change, struct error *err);
/* Records the operation and sends it to the agent. `info` is in the new format. */
void operation_send(struct master_core *core, struct framework *f, struct agent *a,
    const Mesos__V1__Offer__Operation *info, const struct operation_change *plain);
void handle_operation_update(
    struct master_core *core, struct agent *a, const Dcos__Internal__OperationUpdate *u);
void handle_acknowledge_operation(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__AcknowledgeOperationStatus *ack);
void handle_reconcile_operations(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__ReconcileOperations *r);
/* On re-registration: takes over what the agent reports. `send_differences` asks it about the
 * others, once it was answered. */
void operations_merge(
    struct master_core *core, struct agent *a, const Dcos__Internal__Register *reg);
void operations_send_differences(
    struct master_core *core, struct agent *a, const Dcos__Internal__Register *reg);
/* Puts operations on top of a total that the agent sent before it got them. */
void operations_put_on_top(const struct agent *a, struct resources *total);
/* The agent is given up: frameworks that asked are told the state, the operations are forgotten. */
void operations_lose(struct master_core *core, struct agent *a, Mesos__V1__OperationState state,
    const char *message);
/* The framework is gone: what its operations did stays. */
void operations_orphan(struct master_core *core, struct framework *f);
void operation_detach(struct operation *op); /* from its framework */
void core_operation_free(struct master_core *core, struct operation *op);
Mesos__V1__Operation *operation_to_wire(const struct operation *op, struct arena *arena);
void send_operation_status(
    struct master_core *core, struct framework *f, Mesos__V1__OperationStatus *status);

/* ---- offer.c ---- */
/* Of these resources, which are available on the agent. */
struct offer *core_offer_new(
    struct master_core *core, struct client *c, struct agent *a, const struct resources *plain);
/* Takes the offer back: resources are available again; RESCIND is sent when `rescind`. */
void offer_discard(struct master_core *core, struct offer *o, bool rescind);
/* Where the agent's API is, as offers and inverse offers tell. */
Mesos__V1__URL *agent_url(const struct agent *a, struct arena *arena);
/* As its framework sees it. */
Mesos__V1__Offer *offer_to_wire(const struct offer *o, struct arena *arena);
/* Ends the offer without making its resources available: they go to *ret, still charged to nobody.
 */
void offer_consume(struct master_core *core, struct offer *o, struct resources *ret);
/* Resources (allocated form) of an agent come back to the pool; shared ones were never gone. */
void agent_give_back(struct master_core *core, struct agent *a, const struct resources *r);
void send_fresh_offers(struct master_core *core);

/* ---- filter.c, constraints.c; the rest of the allocator is in allocation.h ---- */
void filter_add(struct master_core *core, struct client *c, struct agent *a,
    const struct resources *r, int64_t duration_us);
/* Holds back all of r: until *ret_until_us (may be NULL). */
bool filter_blocks(struct master_core *core, const struct client *c, const struct agent *a,
    const struct resources *r, int64_t *ret_until_us);
void core_filter_free(struct master_core *core, struct filter *f);
void filters_clear_client(struct master_core *core, struct client *c);
void filters_clear_agent(struct master_core *core, struct agent *a);
/* Microseconds from Filters of a call: default 5 s, 0 = none, at most 365 days. */
int64_t filters_duration_us(const Mesos__V1__Filters *f);
int constraints_validate(const Mesos__V1__FrameworkInfo *info,
    const Mesos__V1__Scheduler__OfferConstraints *constraints, struct error *err);
bool constraints_allow(const struct framework *f, const char *role, const struct agent *a);

/* ---- scheduler_calls.c, accept.c, reconcile.c ---- */
void handle_accept(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Accept *accept);
void handle_reconcile(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Reconcile *reconcile);
void reconcile_task(
    struct master_core *core, struct framework *f, const char *task_id, const char *agent_id);

/* ---- operator events ---- */
void operator_task_added(struct master_core *core, const struct task *t);
void operator_task_updated(
    struct master_core *core, const struct task *t, const Mesos__V1__TaskStatus *status);
void operator_agent_added(struct master_core *core, const struct agent *a);
void operator_agent_removed(struct master_core *core, const char *agent_id);
void operator_framework_added(struct master_core *core, const struct framework *f);
void operator_framework_updated(struct master_core *core, const struct framework *f);
void operator_framework_removed(struct master_core *core, const struct framework *f);
/* Wire forms for GET_AGENTS and GET_FRAMEWORKS. */
Mesos__V1__Master__Response__GetAgents__Agent *agent_to_wire(
    const struct agent *a, struct arena *arena);
Mesos__V1__Master__Response__GetFrameworks__Framework *framework_to_wire(
    const struct framework *f, struct arena *arena);
void master_info_init(
    const struct master_core *core, struct arena *arena, Mesos__V1__MasterInfo *ret);

#endif
