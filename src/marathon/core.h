#ifndef DCOS_MARATHON_CORE_H
#define DCOS_MARATHON_CORE_H

/*
 * The deterministic heart of dcos-marathon: apps, groups, deployments, instances, launches.
 *
 * Functions here take what happened and the time, change memory, and append to one output queue:
 * store operations, calls to the master, events for subscribers, probes to make. The shell makes
 * the store operations durable in that order and releases everything else only when all store
 * operations before it are durable. No I/O, no clock, no randomness but the seeded generator.
 *
 * Keys in the store:
 *   framework                  id given by the master
 *   app/<safe>/<version>       every kept version of an app, the newest is the current one
 *   group/<safe>               dependencies and role rule of a group
 *   change/<version>/<n>       what one change of the root group replaced, entry by entry
 *   changehead/<version>       ends a change: number of entries, its deployment while it runs
 *   instance/<id>              goal, condition, task, agent
 *   failure/<safe>             last task failure of an app
 * A change writes its entries, then its head, then the app and group records; loading applies
 * complete changes again, so that a crash between batches loses and doubles nothing.
 */

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/vec.h"
#include "marathon/app.h"
#include "marathon/normalize.h"

struct core;
struct deployment;
struct spec;

enum {
    CORE_INSTANCES_MAX = 1000000,    /* instances that one app may ask for */
    MATCH_ATTEMPTS_PER_OFFER = 1000, /* specs tried against one offer */
    OFFER_STATS_AGENTS_MAX = 1000,   /* agents remembered per waiting spec */
    STATUS_MESSAGE_MAX = 10000,      /* bytes */
};

enum accepted_behavior { ACCEPTED_ANY, ACCEPTED_UNRESERVED, ACCEPTED_RESERVED };

struct core_options {
    const char *framework_name, *hostname, *mesos_role, *webui_url, *mesos_user;
    const char *principal;   /* NULL = none */
    const char *env_prefix;  /* NULL = none */
    const char *executor;    /* "//cmd" */
    const char *features;    /* "a,b": shown by /v2/info */
    bool task_killing;       /* tasks under way to their end say so */
    struct app_options *app; /* default network, bridge */
    enum accepted_behavior accepted;
    bool new_group_enforce_role;            /* "top" */
    int32_t local_port_min, local_port_max; /* service ports: [min, max) */
    int32_t max_versions, max_running_deployments, max_instances_per_offer;
    int32_t launch_tokens;
    int64_t launch_token_interval_us;
    int64_t decline_us, min_revive_us, failover_timeout_us;
    int64_t reconcile_delay_us, reconcile_interval_us, scale_delay_us, scale_interval_us;
    int64_t confirm_timeout_us, launch_timeout_us, kill_retry_us;
    int64_t expunge_delay_us, expunge_interval_us;
};

/* ---- output ---- */

enum out_type {
    OUT_PUT,    /* key, text */
    OUT_DELETE, /* key */
    OUT_EVENT,  /* key = event type, text = JSON */
    OUT_CALL,   /* text = v1 scheduler Call as JSON, without framework_id */
    OUT_REPLY,  /* context = what the shell gave with a request */
    OUT_PROBE,  /* probe */
};

enum probe_kind { PROBE_HTTP, PROBE_HTTPS, PROBE_TCP };
struct probe {
    uint64_t id; /* given back with the result */
    enum probe_kind kind;
    bool want_body; /* readiness: keep the answer's body */
    char *host, *path;
    uint16_t port;
    int64_t timeout_us;
};

struct out_item {
    enum out_type type;
    char *key;
    char *text;
    void *context;
    struct probe *probe;
};
typedef VEC(struct out_item) out_vec;
void out_item_done(struct out_item *item);

/* ---- state that the API reads ---- */

enum goal { GOAL_RUNNING, GOAL_STOPPED, GOAL_DECOMMISSIONED };

/* In the order in which several tasks decide the condition of an instance. */
enum condition {
    CONDITION_ERROR,
    CONDITION_FAILED,
    CONDITION_GONE,
    CONDITION_DROPPED,
    CONDITION_UNREACHABLE,
    CONDITION_KILLING,
    CONDITION_STARTING,
    CONDITION_STAGING,
    CONDITION_UNKNOWN,
    CONDITION_SCHEDULED,
    CONDITION_PROVISIONED,
    CONDITION_RUNNING,
    CONDITION_FINISHED,
    CONDITION_KILLED,
    CONDITION_UNREACHABLE_INACTIVE,
};
const char *condition_name(enum condition c);
const char *condition_task_state(enum condition c);
bool condition_is_terminal(enum condition c);
bool condition_is_active(enum condition c);

struct health_result {
    bool known, alive;
    int32_t failures;                                           /* consecutive */
    int64_t first_success_us, last_success_us, last_failure_us; /* 0 = never */
    char *cause;
};

/* A timer in the core's heap; fn runs in core_tick. */
struct core_timer {
    struct heap_node node;
    void (*fn)(struct core *c, struct core_timer *t);
};

struct check_run { /* one Marathon-side check of one instance */
    struct core_timer timer;
    struct instance *instance;
    int32_t index;      /* of the app's health checks; -1 = readiness */
    char probe_key[24]; /* in core->probes; empty = none under way */
    bool started;
};

struct instance {
    char *id;
    struct spec *spec;
    struct app *app; /* version it runs; NULL when that was lost */
    enum goal goal;
    enum condition condition;
    int64_t since_us;
    int32_t incarnation; /* 0 = never launched */
    char *task_id;       /* of the incarnation, or NULL */
    char *agent_id, *hostname, *region, *zone;
    json_t *attributes; /* [{name,text}] or NULL */
    char *role;
    uint16_t *ports;
    size_t n_ports;
    int64_t staged_us, started_us, active_us; /* 0 = not yet */
    int64_t unreachable_us;
    int healthy;                  /* -1 unknown, 0, 1: what the task says */
    int last_aggregate;           /* as in the last event */
    struct health_result *health; /* one per health check, or NULL */
    json_t *ips;                  /* [{ipAddress,protocol}] or NULL */
    json_t *check_result;
    char *started_by; /* deployment id that made it, or NULL */
    bool ready;
    json_t *readiness; /* last result for the API, or NULL */
    struct check_run *runs;
    size_t n_runs;
    bool kill_wanted; /* a KILL is out and not confirmed */
    bool counted;     /* its health gave the running upgrade one more kill */
    int64_t kill_sent_us;
    struct core_timer timer; /* launch timeout, kill retry */
    struct list scheduled;   /* in spec->scheduled */
};

enum reject_reason {
    REJECT_ROLE,
    REJECT_CONSTRAINT,
    REJECT_RESERVATION,
    REJECT_MAINTENANCE,
    REJECT_CPUS,
    REJECT_MEM,
    REJECT_DISK,
    REJECT_GPUS,
    REJECT_PORTS,
    REJECT_SCARCE,
    REJECT_REASONS,
    REJECT_NONE = REJECT_REASONS,
};

struct offer_stats {
    int64_t processed, unused, last_unused_us, last_used_us;
    int64_t rejects[REJECT_REASONS];
    struct map agents; /* agent id -> struct offer_seen */
};
struct offer_seen {
    char *agent_id;
    enum reject_reason reason;
};

struct group {
    char *id;
    struct group *parent;  /* NULL for the root */
    struct map groups;     /* by id, existing or not */
    struct map specs;      /* by id */
    struct group_def *def; /* NULL: does not exist */
};

/* Immutable. */
struct group_def {
    unsigned refs;
    int64_t version_us;
    char **dependencies; /* NULL-terminated, or NULL */
    bool has_enforce, enforce_role;
};
struct group_def *group_def_new(
    int64_t version_us, const json_t *dependencies, int enforce_role /* -1 = not set */);
struct group_def *group_def_ref(struct group_def *d);
void group_def_unref(struct group_def *d);

struct spec {
    char *id, *safe;
    struct group *group;
    struct app *app;            /* current; NULL when removed or not yet created */
    VEC(struct app *) versions; /* oldest first, with the current one */
    struct map instances;
    struct deployment *deployment; /* that locks it */
    struct list scheduled;         /* instances waiting for a launch */
    size_t n_scheduled;
    struct list ready;             /* in core->ready, else alone */
    struct core_timer delay_timer; /* while backed off */
    int64_t delay_us, delay_until_us, delay_config_us;
    int64_t waiting_since_us;
    uint64_t tried_offer;
    struct offer_stats *stats;
    char *last_failure; /* JSON text */
    size_t pins;        /* change entries that name it */
    bool dirty;
    struct list dirty_node;
};

/* ---- changes of the root group ---- */

struct change_entry {
    struct spec *spec;   /* either this, */
    struct group *group; /* or this */
    struct app *old_app, *new_app;
    struct group_def *old_group, *new_group;
    json_t *kills;                           /* instance ids to kill first, or NULL */
    bool restart;                            /* same definition, new version */
    int32_t step_stop, step_start, step_run; /* 1-based, 0 = not part of it */
    uint8_t run_action;                      /* enum action_type of step_run */
};

struct change {
    unsigned refs;
    int64_t version_us;
    VEC(struct change_entry) entries;
    char *group_id; /* of the event */
    char *deployment_id;
};

enum action_type { ACTION_START, ACTION_STOP, ACTION_SCALE, ACTION_RESTART };
const char *action_name(enum action_type t);

struct action {
    enum action_type type;
    struct change_entry *entry;
    bool begun, done, killed_first;
    int32_t kill_quota, killed, max_capacity; /* restart */
};

struct deployment {
    char *id;
    struct change *change;
    VEC(struct action) * steps;
    size_t n_steps;
    size_t current; /* 1-based, 0 = not begun */
    bool ended;
};

/* What a change answers when it is refused. */
struct refusal {
    int status;    /* HTTP */
    char *message; /* owned */
    struct violations violations;
    json_t *locks; /* [{"id":..}] or NULL */
};
void refusal_done(struct refusal *r);
#define _cleanup_refusal_ _cleanup_(refusal_done)

struct core {
    struct core_options options;
    struct rng rng;
    int64_t now_us; /* as the call under way was given it */
    out_vec out;
    struct heap timers;
    struct map specs;  /* by id, in the order of first appearance */
    struct map groups; /* by id */
    struct group *root;
    struct map instances;         /* by id */
    struct map deployments;       /* by id, running ones */
    VEC(struct change *) history; /* oldest first */
    int64_t last_version_us;
    uint16_t *service_ports; /* users per port */
    size_t n_dependent;      /* apps and groups with dependencies */
    size_t n_apps;
    char *framework_id;
    char *master; /* host:port of the event, while subscribed */
    bool subscribed, suppressed, revive_wanted;
    int64_t last_revive_us;
    struct map roles; /* subscribed roles, owned keys */
    struct list ready;
    struct list dirty;
    uint64_t offer_seq, probe_seq;
    struct map probes; /* probe id as text -> struct check_run */
    int32_t tokens;
    struct core_timer revive_timer, token_timer, reconcile_timer, scale_timer, expunge_timer;
    struct {
        uint64_t deployments, dismissed, launched, revive, suppress, op_launch, offers_in,
            offers_used, offers_declined;
        uint64_t updates[16];
    } count;
};

/* ---- life ---- */

struct core *core_new(const struct core_options *options, uint64_t seed);
void core_free(struct core *c);
DEFINE_CLEANUP(struct core *, core_free)

/* One stored record; call for all in key order, then core_loaded. -EINVAL names the key. */
int core_load(struct core *c, const char *key, struct str value, struct error *err);
void core_loaded(struct core *c, int64_t now_us);

/* Time of the earliest timer, INT64_MAX when there is none. */
int64_t core_next_deadline(const struct core *c);
void core_tick(struct core *c, int64_t now_us);

/* ---- changes ---- */

struct change *change_new(void);
void change_unref(struct change *ch);
DEFINE_CLEANUP(struct change *, change_unref)
/* Next version: now, but always later than the last one. Milliseconds. */
int64_t core_next_version(struct core *c, int64_t now_us);
/* Puts an app (takes the reference; NULL removes it) or a group definition into the change. A
 * second entry for the same id replaces the first. */
struct change_entry *change_app(struct core *c, struct change *ch, const char *id, struct app *app);
struct change_entry *change_group(
    struct core *c, struct change *ch, const char *id, struct group_def *def);
/* What the id will be after the change. */
struct app *change_app_at(const struct core *c, const struct change *ch, const char *id);
bool change_group_exists(const struct core *c, const struct change *ch, const char *id);
/*
 * Validates the whole, plans, locks, stores and starts the deployment. Takes the change. 0 and its
 * deployment's id and version, or -1 with `refusal` filled.
 */
int core_change(struct core *c, struct change *ch, bool force, int64_t now_us,
    char ret_deployment[UUID_TEXT_SIZE], int64_t *ret_version_us, struct refusal *refusal);
/* What core_change would do: fills the step numbers of the entries, returns the number of steps or
 * -1 with `refusal` filled. Nothing changes, and the change stays the caller's. */
int core_plan(struct core *c, struct change *ch, int64_t now_us, struct refusal *refusal);
/* Undoes what the deployment changed, as a new forced change. */
int core_rollback(struct core *c, struct deployment *d, int64_t now_us,
    char ret_deployment[UUID_TEXT_SIZE], int64_t *ret_version_us, struct refusal *refusal);
void core_cancel(struct core *c, struct deployment *d, int64_t now_us);

struct spec *core_spec(const struct core *c, const char *id);   /* with an app, or NULL */
struct group *core_group(const struct core *c, const char *id); /* existing, or NULL */
/* Kills the task; `wipe` forgets the instance at once. */
void core_kill_instance(struct core *c, struct instance *i, bool wipe, int64_t now_us);
void core_reset_delay(struct core *c, struct spec *s, int64_t now_us);

/* ---- from the master ---- */

void core_subscribed(struct core *c, const char *framework_id, const char *master, int64_t now_us);
void core_disconnected(struct core *c, int64_t now_us);

struct core_status {
    const char *task_id, *state, *reason, *message, *agent_id; /* NULL = unset, but the first two */
    const char *uuid;                                          /* base64, or NULL */
    int healthy;                                               /* -1 unset */
    const json_t *ips, *check_result;                          /* borrowed, or NULL */
};
void core_status(struct core *c, const struct core_status *st, int64_t now_us);

struct port_range {
    int32_t begin, end; /* inclusive */
};
struct offer_resource {
    const char *name, *role;
    bool usable; /* not a volume, not revocable, no reservation of a resident task */
    int64_t milli;
    VEC(struct port_range) ranges;
    const json_t *form; /* the resource without its value, as JSON */
};
struct offer {
    const char *id, *agent_id, *hostname, *region, *zone, *role;
    const json_t *attributes;
    VEC(struct offer_resource) resources;
    bool local_region;
};
void core_offer(struct core *c, struct offer *offer, int64_t now_us);

/* ---- probes ---- */
struct probe_result {
    bool connected;
    int status;        /* HTTP */
    const char *cause; /* text of the failure */
    const char *content_type;
    struct str body;
};
void core_probe_done(
    struct core *c, uint64_t probe_id, const struct probe_result *result, int64_t now_us);

#endif
