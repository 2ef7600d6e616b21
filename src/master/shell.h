#ifndef DCOS_MASTER_SHELL_H
#define DCOS_MASTER_SHELL_H

/*
 * What surrounds the core in dcos-master: loop, store, HTTP. After each event somebody calls
 * shell_wake(); from the loop the shell then commits mutations, sends effects whose mutations are
 * durable, and sets the timer.
 */

#include "auth/authorizer.h"
#include "base/flags.h"
#include "base/map.h"
#include "http/recordio.h"
#include "http/server.h"
#include "io/loop.h"
#include "json/writer.h"
#include "master/core.h"
#include "master/rate_limit.h"
#include "master/documents.h"
#include "master/security.h"
#include "master/umap.h"
#include "master/visible.h"
#include "process/log_toggle.h"
#include "process/metrics.h"
#include "store/store.h"

/* A scheduler's subscription, an agent's link or an operator's subscription. */
struct peer {
    struct shell *shell;
    uint64_t id;
    struct http_request *req;        /* referenced */
    bool json;                       /* events as JSON */
    bool broken;                     /* it sent what cannot be read */
    bool ended;                      /* ended by us; waits for the connection to go */
    struct buf out;                  /* frames not yet handed to the connection */
    struct list dirty;               /* in shell.dirty while out holds something */
    struct list node;                /* operators: in shell.operators */
    struct recordio_decoder decoder; /* agents only */
    size_t queue_max;                /* bytes that may wait for the peer before it is cut off */
    /* Operators: the snapshot that comes first is not there yet, `out` waits for it. Events up to
     * number `seen` are part of it. */
    bool holding;
    uint64_t seen;
    enum peer_kind { PEER_AGENT, PEER_SCHEDULER, PEER_OPERATOR } kind;
};

/* An answer that waits until what it tells is durable. */
struct promise {
    struct list node;
    uint64_t after;           /* mutation */
    struct http_request *req; /* referenced */
    int status;
    const char *content_type;
};

/* A call of an operator, in the v1 API or at an endpoint of its own. Lives in the request's arena.
 */
struct operator_call {
    struct shell *s;
    struct http_request *req;            /* its body is complete */
    const Mesos__V1__Master__Call *call; /* NULL outside the v1 API */
    struct auth_subject who;
    struct view view;     /* what is shown to them */
    const char *view_key; /* part of the key of every document */
    bool json;            /* form of the answer */
    /* Of an endpoint: its entry in the table and the path that was asked for, without "/master". */
    const struct action *action;
    struct str path;
};

struct shell {
    struct loop *loop;
    struct store *store;
    struct election *election;
    struct http_server *server;
    struct master_core *core;
    struct deferred wake;
    struct timer timer;

    bool leading;   /* elected */
    bool recovered; /* the core was started */
    char master_id[40];
    int64_t start_real_us, start_mono_us;
    int64_t start_us, elected_us;
    char hostname[256];
    char ip[64];
    uint16_t port;
    const char *cluster;
    const char *version;
    const struct flag *flags;
    size_t n_flags;
    struct master_security security;
    const struct authorizer *authorizer; /* of it; NULL: everything is permitted */

    uint64_t next_peer;
    uint64_t durable; /* last durable mutation */
    struct umap peers;
    struct list dirty;
    struct list operators;
    size_t n_operators, operators_max;
    uint64_t operator_events; /* carried out */
    struct timer operator_heartbeat;
    struct list promises; /* struct promise, in order of `after` */
    struct documents *documents;
    struct metrics_http *metrics;
    uint64_t metrics_answers;
    bool framework_metrics; /* --publish_per_framework_metrics */
    struct metric_timer store_ms, fetch_ms;
    struct map registry_sizes; /* struct registry_size by key */
    uint64_t registry_bytes;
    struct log_toggle log_toggle;
    const char *log_dir, *external_log_file;
    char *log_path; /* what /master/log is; NULL = nothing */
    struct rate_limits *rates;
    /* --whitelist */
    const char *whitelist_path;
    bool whitelist_read;
    struct buf whitelist_text;
    struct timer whitelist_timer;
    struct metric_timer run_ms, run_latency_ms; /* of allocation */
    const char *ready_file;
    struct timer standby_timer;
    int failure; /* exit code once the loop stops */
};

void shell_write_ready(struct shell *s);
/* An entry of the registry has this size now, for registrar/registry_size_bytes. */
struct registry_size {
    size_t n;
    char key[];
};
void shell_registry_size(struct shell *s, const char *key, size_t n, bool removed);
/* Time has gone on; how long allocation took is measured (metrics_allocator.c). */
void shell_tick(struct shell *s);
/* whitelist.c. `flag` NULL or "*": every host. */
int whitelist_start(struct shell *s, const char *flag, struct error *err);
void whitelist_stop(struct shell *s);
/* Calls of frameworks in their turn (scheduler_http.c). */
void scheduler_http_go(struct http_request *req, void *userdata);
int64_t shell_now(const struct shell *s);
void shell_wake(struct shell *s);
void shell_pump(struct deferred *d);
void shell_forget_promises(struct shell *s); /* at the end: unanswered */
/* Carries out what the core has ready now. */
void shell_drain(struct shell *s);
/* Answers a call that changed state, without a body, once all mutations up to now are durable; at
 * once when there was none since `before` (master_core_last_mutation() before the call). */
void shell_respond_durable(struct shell *s, struct http_request *req, uint64_t before, int status,
    const char *content_type);
/* The core can be asked: leading and recovered. */
static inline bool shell_ready(const struct shell *s)
{
    return s->leading && s->recovered;
}

/* Answers 307 or 503 and returns false when this master must not answer itself. */
bool shell_require_leader(struct shell *s, struct http_request *req);

struct peer *peer_new(struct shell *s, enum peer_kind kind, struct http_request *req, bool json);
enum { PEER_QUEUE_MAX = 64 * 1024 * 1024 };
/* Queues one record; sent when the current batch of effects is through. */
void peer_send(struct peer *p, const void *bytes, size_t n);
void peer_flush(struct peer *p);
void peer_end(struct peer *p);
void peer_free(struct peer *p);

/* HTTP handlers by file. */
void agent_link_handle(struct http_request *req, void *userdata);
void scheduler_http_handle(struct http_request *req, void *userdata);
void operator_http_handle(struct http_request *req, void *userdata); /* every other path */
void operator_api_handle(struct http_request *req, void *userdata);  /* POST /api/v1 */
/* The stream of events (operator_stream.c). */
void operator_subscribe(struct operator_call *c);
void operator_stream_event(struct shell *s, const struct master_effect *e);
void operator_stream_heartbeat(struct timer *t);
void operator_stream_leave(struct peer *p); /* counts no more; harmless when it did not */

/* ---- documents of the operator endpoints (state_json.c, state_lists.c, metrics.c) ---- */
/* Read the core as it is; who asks is in the call. */
typedef void (*document)(const struct operator_call *c, struct json_writer *w);
void write_state(const struct operator_call *c, struct json_writer *w);
void write_state_summary(const struct operator_call *c, struct json_writer *w);
void write_slaves(const struct operator_call *c, struct json_writer *w);
void write_frameworks(const struct operator_call *c, struct json_writer *w);
void write_tasks(const struct operator_call *c, struct json_writer *w);
void write_roles(const struct operator_call *c, struct json_writer *w);
void write_flags(const struct operator_call *c, struct json_writer *w);
void write_version(const struct operator_call *c, struct json_writer *w);
void write_allocator_trace(const struct operator_call *c, struct json_writer *w);
void write_offer_constraints_debug(const struct operator_call *c, struct json_writer *w);
void each_allocator_metric(struct shell *s, metric_fn fn, void *userdata);
/* Each metric in order. */
void each_metric(struct shell *s, metric_fn fn, void *userdata);
void metrics_put_frameworks(const struct shell *s, metric_fn fn, void *userdata);

/* ---- answers of the v1 operator API (state_v1.c) ---- */
/* Fills the answer for a call that only reads; false when the type is not one of those. */
bool fill_response(const struct operator_call *c, Mesos__V1__Master__Call__Type type,
    struct arena *arena, Mesos__V1__Master__Response *ret);

/* ---- the large answers, object by object (state_v1_lists.c) ---- */
/* GET_STATE, GET_TASKS, GET_EXECUTORS, GET_FRAMEWORKS, GET_AGENTS. */
bool is_list_call(Mesos__V1__Master__Call__Type type);
/* The whole response, in the form that the caller wants. */
void write_list_response(
    const struct operator_call *c, Mesos__V1__Master__Call__Type type, struct json_writer *w);
/* The SUBSCRIBED event. */
void write_subscribed(const struct operator_call *c, double heartbeat_s, struct json_writer *w);

/* ---- what every daemon has (operator_process.c) ---- */
int operator_process_start(
    struct shell *s, const char *log_dir, const char *external_log_file, struct error *err);
void operator_process_stop(struct shell *s);
void endpoint_metrics(struct operator_call *c);
void endpoint_metrics_snapshot(struct operator_call *c);
void endpoint_logging_toggle(struct operator_call *c);
void endpoint_system_stats(struct operator_call *c);
void endpoint_processes(struct operator_call *c);
void endpoint_help(struct operator_call *c);
void endpoint_files(struct operator_call *c);
void endpoint_landing(struct operator_call *c);
void operator_get_logging_level(struct operator_call *c);
void operator_set_logging_level(struct operator_call *c);
void operator_list_files(struct operator_call *c);
void operator_read_file(struct operator_call *c);

/* ---- calls that do something: one function each, by subject (operator_*.c) ---- */

/* For a request that passed the door. */
void operator_call_init(struct operator_call *c, struct shell *s, struct http_request *req);
/* What the call is about, for the audit log; text lives as long as the request. */
void operator_object(struct operator_call *c, const char *object);
/* Whether the caller may; otherwise it is answered 403 here. */
bool operator_may(struct operator_call *c, enum auth_action action, const char *object);
/* Whether the caller may, for answers that leave out what they do not show. */
bool operator_sees(const struct operator_call *c, enum auth_action action, const char *object);
/* 200 with the message. */
void operator_respond(struct operator_call *c, const Mesos__V1__Master__Response *r);
/* Answers `status` without a body once what the call changed since `before`
 * (master_core_last_mutation) is durable, and has the loop carry out what the core decided. */
void operator_done(struct operator_call *c, uint64_t before, int status);

/* operator_nodes.c */
void operator_drain_agent(struct operator_call *c);
void operator_deactivate_agent(struct operator_call *c);
void operator_reactivate_agent(struct operator_call *c);
void operator_mark_agent_gone(struct operator_call *c);

/* operator_maintenance.c */
void operator_update_schedule(struct operator_call *c);
void operator_start_maintenance(struct operator_call *c);
void operator_stop_maintenance(struct operator_call *c);
void operator_get_schedule(struct operator_call *c);
void operator_get_maintenance_status(struct operator_call *c);
void maintenance_schedule_endpoint(struct operator_call *c);
void maintenance_status_endpoint(struct operator_call *c);
void machine_down_endpoint(struct operator_call *c);
void machine_up_endpoint(struct operator_call *c);

/* operator_reserve.c */
void operator_get_operations(struct operator_call *c);
void operator_reserve_resources(struct operator_call *c);
void operator_unreserve_resources(struct operator_call *c);
void operator_create_volumes(struct operator_call *c);
void operator_destroy_volumes(struct operator_call *c);
void operator_grow_volume(struct operator_call *c);
void operator_shrink_volume(struct operator_call *c);
void endpoint_reserve(struct operator_call *c);
void endpoint_unreserve(struct operator_call *c);
void endpoint_create_volumes(struct operator_call *c);
void endpoint_destroy_volumes(struct operator_call *c);

void operator_get_roles(struct operator_call *c); /* state_roles.c */
/* operator_quota.c */
void operator_get_quota(struct operator_call *c);
void operator_update_quota(struct operator_call *c);
void operator_set_quota(struct operator_call *c);
void operator_remove_quota(struct operator_call *c);
void operator_get_weights(struct operator_call *c);
void operator_update_weights(struct operator_call *c);
void operator_quota_endpoint(struct operator_call *c);   /* /quota, /quota/<role> */
void operator_weights_endpoint(struct operator_call *c); /* /weights */

/* Checks 5, 6 and 8 of the scheduler API, shared with the operator API: method, content type.
 * Answers itself when it returns false. */
bool api_check_head(struct http_request *req, bool *ret_json);

#endif
