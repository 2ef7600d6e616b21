#ifndef DCOS_SCHEDULER_CLIENT_H
#define DCOS_SCHEDULER_CLIENT_H

/*
 * Client of the master's v1 scheduler API, in protobuf.
 *
 * Holds one subscription: events come in order on its stream; calls go out one after the other, in
 * the order they were made, on a second connection, with the stream's id. When the stream breaks,
 * stays silent for several heartbeat intervals, or a call is refused as not belonging to it, the
 * client says so, drops the calls it still held, and subscribes again after a growing pause; a 307
 * is followed at once. The framework reconciles after each subscription: that is how lost calls
 * are made up for.
 */

#include "auth/login.h"
#include "http/client.h"
#include "wire/scheduler.pb-c.h"

enum {
    SCHEDULER_EVENT_MAX = 64 * 1024 * 1024, /* bytes of one event */
    SCHEDULER_CALLS_MAX = 1000000,          /* waiting; more break the subscription */
};

struct scheduler_client;

struct scheduler_handlers {
    /* Fills call->subscribe and, for a known framework, call->framework_id; memory from arena. */
    void (*fill_subscribe)(Mesos__V1__Scheduler__Call *call, struct arena *arena, void *userdata);
    /* Each event but HEARTBEAT; valid during the call. */
    void (*on_event)(const Mesos__V1__Scheduler__Event *event, void *userdata);
    /* A subscription that had begun is over. */
    void (*on_disconnected)(const char *reason, void *userdata);
    /* A call was answered with this status instead of 2xx. The subscription is given up when the
     * status says that it is not valid any more. */
    void (*on_refused)(int status, const char *text, void *userdata);
};

struct scheduler_options {
    const char *masters; /* as in scheduler/leader_stream.h; TLS is meant when there is a context */
    struct tls_context *tls;                /* borrowed; NULL: the system's authorities for https */
    struct login *login;                    /* borrowed; NULL: nothing is shown */
    int64_t min_backoff_us, max_backoff_us; /* 0 = 100 ms, 5 s */
    unsigned missed_heartbeats;             /* 0 = 5 */
};

/* -EINVAL for malformed addresses. Nothing happens before scheduler_client_start. */
int scheduler_client_new(struct loop *l, const struct scheduler_options *options,
    const struct scheduler_handlers *handlers, void *userdata, struct scheduler_client **ret,
    struct error *err);
void scheduler_client_start(struct scheduler_client *c);
/* Ends the subscription without a TEARDOWN. */
void scheduler_client_free(struct scheduler_client *c);

/* Queues a call; framework_id is filled in. -ENOTCONN while not subscribed. */
int scheduler_client_call(struct scheduler_client *c, Mesos__V1__Scheduler__Call *call);
/* Drops the subscription and makes a new one: with new roles, say. */
void scheduler_client_resubscribe(struct scheduler_client *c, const char *reason);
bool scheduler_client_subscribed(const struct scheduler_client *c);
const char *scheduler_client_master(const struct scheduler_client *c); /* "host:port" */

#endif
