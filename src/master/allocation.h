#ifndef DCOS_MASTER_ALLOCATION_H
#define DCOS_MASTER_ALLOCATION_H

/*
 * Inside the core: roles, their weights and quotas, the order in which clients get offers, and the
 * record of why an agent was or was not offered. Part of state.h.
 *
 * Rules are those of Mesos' hierarchical allocator, with two differences: it works by events (an
 * agent is looked at when something about it changed), and a nested role is served from and held
 * to the quota of its top-level role, where Mesos looks for a quota of the nested role itself and
 * finds none.
 *
 * Scalars that count are named by an index into core->quantity_names.
 */

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "kernel/resources.h"
#include "master/core.h"

struct role;
struct client;
struct agent;
struct framework;
struct name;

enum {
    QUANTITIES_MAX = 16,           /* scalar names that count for fairness and quota */
    QUOTAS_BYTES_MAX = 256 * 1024, /* all quotas, or all weights, as stored */
    TRACE_DEFAULT = 8192,          /* entries kept of allocation cycles, 80 bytes each */
    TRACE_MAX = 1 << 20,           /* most that may be asked for */
    TRACE_CYCLES = 32,             /* cycles of which totals are kept */
    WEIGHT_ONE = 1000,             /* weights are thousandths */
};
#define WEIGHT_MAX INT64_C(1000000000000) /* thousandths */
#define NO_LIMIT INT64_MAX

struct core_timer {
    struct heap_node node; /* key = due time */
    void (*fn)(struct master_core *core, struct core_timer *t, int64_t now_us);
};

/* ---- orders of fairness (sorter.c) ---- */

/* One place in an order of fairness. */
struct share {
    int64_t dominant; /* allocated / total of the scarcest resource, times 2^30, by weight */
    uint64_t count;   /* allocations so far */
    const char *name;
    struct role *role;     /* of a role's subtree or its own part */
    struct client *client; /* of a client */
    bool own;              /* the part of `role` that is its own clients' */
    uint32_t at;           /* place in a random order */
    int64_t weight;        /* thousandths */
    int64_t quantities[QUANTITIES_MAX];
};

struct order {
    struct share **items; /* ascending by (dominant, count, name); random: in no order */
    size_t n, cap;
    struct share **base; /* where the memory begins: `cap` places, of which those before `items`
                            are free */
    bool random;
};

void order_insert(struct order *o, struct share *s);
void order_remove(struct order *o, struct share *s);
void order_done(struct order *o);
/* The keys of a member are changed to these; it goes to its new place. */
void order_update(struct order *o, struct share *s, int64_t dominant, uint64_t count);
/* All dominant shares may have changed. */
void order_rebuild(struct order *o);
/* The item whose turn is i-th, for i = 0, 1, ...; of a random order, drawn by weight from those not
 * drawn yet since i = 0. */
struct share *order_pick(struct master_core *core, struct order *o, size_t i);
int64_t share_dominant(const struct master_core *core, const struct share *s);

/* ---- roles and clients (roles.c) ---- */

struct quota {
    int64_t guarantee[QUANTITIES_MAX];
    int64_t limit[QUANTITIES_MAX]; /* NO_LIMIT */
    bool has_guarantee, has_limit;
};

/* A node of the tree of roles; the root has the name "". It lives while something names it: a
 * client, a child, a reservation, a weight or a quota. */
struct role {
    char *name; /* the text of `id` */
    struct name *id;
    struct role *parent;
    struct role *top; /* the top-level role above it, or itself */
    size_t refs;
    struct share tree;    /* place among the parent's children */
    struct share own;     /* place among its own children */
    struct order order;   /* children's trees, and `own` */
    struct order clients; /* active ones only */
    size_t n_clients;
    size_t n_active; /* active clients here and below */
    bool has_weight; /* tree.weight was set by an operator */
    /* Of top-level roles, subtree included: what is allocated or offered of unreserved and not
     * revocable scalars, and what is reserved, allocated or not. Together that is what counts
     * against the quota. */
    int64_t unreserved[QUANTITIES_MAX], reserved[QUANTITIES_MAX];
    struct quota *quota; /* of a top-level role, or NULL */
};

struct client {
    uint32_t slot;
    struct framework *framework;
    struct role *role;
    struct share share;
    bool subscribed; /* the role is among the framework's roles */
    bool suppressed;
    bool active; /* in role->clients: subscribed, not suppressed, framework connected */
    struct list filters;
    size_t n_filters;
    /* Minimal sets the framework wants in this role; n_min = 0: the default. */
    struct min_quantities {
        struct min_quantity {
            const char *name; /* in the framework's info, or the core's own */
            int64_t milli;
        } * items;
        size_t n;
    } * min;
    size_t n_min;
    /* Shared volumes it holds, each once, with how often. */
    VEC(struct shared_use {
        const struct resource_kind *kind;
        size_t n;
    })
    shared;
    /* How the newest cycle that considered it went, by enum trace_result. */
    uint64_t cycle;
    uint32_t *results;
};

struct client *client_get(struct master_core *core, struct framework *f, const char *role);
void core_client_free(struct master_core *core, struct client *c);
void client_refresh(struct master_core *core, struct client *c); /* active or not, anew */
/* Sign +1: the client was given these, -1: they came back. */
void client_charge(struct master_core *core, struct client *c, const struct resources *r, int sign);
void totals_change(struct master_core *core, const struct resources *r, int sign);
void shares_rebuild(struct master_core *core);
void roles_done(struct master_core *core);
/* Makes the role when there is none; the caller holds a reference until role_unref(). */
struct role *role_ref(struct master_core *core, const char *name);
void role_unref(struct master_core *core, struct role *role);
/* -1 when the table is full. */
int quantity_index(struct master_core *core, const char *name);
/* What an agent has reserved, and has free for guarantees, is counted anew: after any change of its
 * total, of what is available, or of whether it may be offered. Cheap when nothing changed. */
void agent_recount(struct master_core *core, struct agent *a);
/* It leaves: counts for nothing any more. */
void agent_uncount(struct master_core *core, struct agent *a);
/* Against the quota of a top-level role. */
static inline int64_t role_consumed(const struct role *top, size_t quantity)
{
    return top->unreserved[quantity] + top->reserved[quantity];
}
/* What the guarantee lacks. */
int64_t role_unmet(const struct role *top, size_t quantity);
/* Asserts that what guarantees lack and what could meet them is the sum over roles and agents. */
void roles_check(const struct master_core *core);
/* Replaces the weight; has = false: the default. */
void role_set_weight(struct master_core *core, const char *name, bool has, int64_t milli);
/* Replaces the quota of a top-level role; takes `q` over, NULL: none. */
void role_set_quota(struct master_core *core, const char *name, struct quota *q);

/* ---- the allocator (allocator.c) ---- */

/* Why something came out as it did. */
enum trace_result {
    TRACE_OFFERED,
    /* about an agent and a client */
    TRACE_FILTERED,     /* until `until_us` */
    TRACE_CONSTRAINTS,  /* offer constraints of the framework */
    TRACE_QUOTA_LIMIT,  /* of `quantity` */
    TRACE_HEADROOM,     /* kept for guarantees of others, `quantity` */
    TRACE_NO_GPU,       /* lacks GPU_RESOURCES */
    TRACE_NO_REGION,    /* lacks REGION_AWARE */
    TRACE_NO_ROLES,     /* agent lacks MULTI_ROLE */
    TRACE_NO_HIERARCHY, /* agent lacks HIERARCHICAL_ROLE */
    TRACE_TOO_LITTLE,   /* less than the minimum */
    TRACE_RESERVED,     /* nothing but what is reserved to others */
    TRACE_CAPABILITY,   /* nothing but what needs a capability it lacks */
    TRACE_SUPPRESSED,
    TRACE_DISCONNECTED, /* the framework */
    /* about an agent */
    TRACE_NOTHING_LEFT,
    TRACE_AGENT_AWAY,
    TRACE_DEACTIVATED,
    TRACE_NOT_WHITELISTED,
    TRACE_PAUSED,    /* until enough agents are back */
    TRACE_AVAILABLE, /* nothing stands in the way: it will be looked at, or went to another */
    TRACE_RESULTS
};
const char *trace_result_name(enum trace_result r); /* "QUOTA_LIMIT" */

enum allocation_stage { STAGE_GUARANTEES, STAGE_FAIR_SHARE };

/* TRACE_AVAILABLE, or why nothing of the agent may be offered to anybody now. */
enum trace_result agent_offerable(const struct master_core *core, const struct agent *a);
/* Whether it may be offered has changed. */
void agent_offerable_changed(struct master_core *core, struct agent *a);
void mark_dirty(struct master_core *core, struct agent *a);
void mark_all_dirty(struct master_core *core);
void allocate(struct master_core *core);
/* Agents of which something was kept back for quotas are looked at again soon. */
void allocator_wake_held(struct master_core *core);
/* At the start: waits for agents to come back when there are quotas. */
void allocator_start(struct master_core *core);
/* An agent came back. */
void allocator_agent_back(struct master_core *core);
/* How the client stands with the agent now, without changing anything. *until_us of filters. */
enum trace_result allocator_explain(
    struct master_core *core, struct client *c, struct agent *a, int64_t *until_us, int *quantity);
/* "cpus:0.01|mem:32": any of the sets, each whole. -EINVAL. */
int min_quantities_parse(
    const char *text, struct min_quantities **ret, size_t *ret_n, struct error *err);
void min_quantities_free(struct min_quantities *min, size_t n);

/* ---- filters (filter.c) ---- */

struct filter {
    struct client *client;
    struct agent *agent;
    struct resources resources; /* allocated to the client's role */
    struct core_timer timer;
    struct list client_node, agent_node;
};

/* ---- the record of cycles (trace.c) ---- */

struct trace_entry {
    uint64_t cycle;                        /* 0: unused */
    struct name *agent, *framework, *role; /* framework NULL: all of the role; role NULL: anybody */
    int64_t until_us;
    int64_t amounts[4]; /* cpus, mem, disk, gpus of an offer, thousandths */
    uint8_t result;     /* enum trace_result */
    uint8_t stage;      /* enum allocation_stage */
    int8_t quantity;    /* that ran short, or -1 */
};

struct trace_cycle {
    uint64_t number; /* 0: unused */
    int64_t at_us;
    uint32_t agents, offers, kept_back, unrecorded;
};

struct trace {
    struct trace_entry *entries; /* a ring */
    size_t size, next;
    size_t room; /* left for refusals in this cycle */
    struct trace_cycle cycles[TRACE_CYCLES];
    struct trace_cycle *current;
};

void trace_init(struct trace *t, size_t size);
void trace_done(struct trace *t);
void trace_begin(struct master_core *core, size_t n_agents);
void trace_offer(struct master_core *core, struct client *c, const struct agent *a,
    const struct resources *r, enum allocation_stage stage);
/* `c` NULL: all clients of `role`, or, when that is NULL too, anybody. */
void trace_refusal(struct master_core *core, struct client *c, struct role *role,
    const struct agent *a, enum trace_result result, enum allocation_stage stage, int quantity,
    int64_t until_us);

/* ---- quotas and weights as operators set them (quota.c) ---- */

Mesos__V1__Quota__QuotaConfig **quota_configs(
    const struct master_core *core, struct arena *arena, size_t *ret_n);
/* Those that were set. */
Mesos__V1__WeightInfo **weight_infos(
    const struct master_core *core, struct arena *arena, size_t *ret_n);
/* In the list of --roles, or there is no such list. */
bool role_is_allowed(const struct master_core *core, const char *role);
void registry_put_quotas(struct master_core *core);
void registry_put_weights(struct master_core *core);
int quota_restore(struct master_core *core, const void *value, size_t n, struct error *err);
int weights_restore(struct master_core *core, const void *value, size_t n, struct error *err);

/* ---- settings.c ---- */
void settings_init(struct master_core *core);
void settings_start(struct master_core *core);
void settings_done(struct master_core *core);
/* NULL, or why an agent with this domain is refused. */
const char *domain_refusal(const struct master_core *core, const Mesos__V1__AgentInfo *info);
/* In another region than the master. */
bool domain_is_remote(const struct master_core *core, const Mesos__V1__AgentInfo *info);

#endif
