#include "scheduler/client.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "scheduler/leader_stream.h"
#include "wire/codec.h"

static const char PATH[] = "/api/v1/scheduler";
static const char TYPE[] = "application/x-protobuf";

enum {
    STREAM_ID_MAX = 128,
    ANSWER_MAX = 64 * 1024,
    SUBSCRIBE_TIMEOUT_SECONDS = 15,
    FIRST_EVENT_TIMEOUT_SECONDS = 60
};

struct pending {
    char *p;
    size_t n;
};

struct scheduler_client {
    struct scheduler_handlers handlers;
    void *userdata;
    struct leader_stream *stream;
    struct http_client *http;
    struct login *login;
    unsigned missed_heartbeats;
    char stream_id[STREAM_ID_MAX + 1];
    char framework_id[256];
    char master_text[LEADER_HOST_MAX + 8];
    bool subscribed;

    struct pending *calls; /* a ring */
    size_t first, n_calls, cap;
    struct http_call *sending;
};

static void send_next(struct scheduler_client *c);

static void clear_calls(struct scheduler_client *c)
{
    for (size_t i = 0; i < c->n_calls; i++)
        free(c->calls[(c->first + i) % c->cap].p);
    c->n_calls = c->first = 0;
}

/* ---- the stream ---- */

static void fill(struct buf *body, void *userdata)
{
    struct scheduler_client *c = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call = MESOS__V1__SCHEDULER__CALL__INIT;
    call.has_type = true;
    call.type = MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE;
    c->handlers.fill_subscribe(&call, &arena, c->userdata);
    wire_pack(&call.base, body);
    const struct leader_address *at = leader_stream_address(c->stream);
    snprintf(c->master_text, sizeof(c->master_text), "%s:%u", at->host, at->port);
}

static void on_open(const struct http_response *res, void *userdata)
{
    struct scheduler_client *c = userdata;
    struct str id = http_headers_get(&res->headers, "Mesos-Stream-Id");
    snprintf(c->stream_id, sizeof(c->stream_id), STR_FMT, STR_ARG(id));
}

static void on_record(const char *p, size_t n, void *userdata)
{
    struct scheduler_client *c = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &arena, p, n, &m, NULL) < 0) {
        leader_stream_again(c->stream, "unreadable event");
        return;
    }
    const Mesos__V1__Scheduler__Event *e = (const Mesos__V1__Scheduler__Event *)m;
    if (e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED && e->subscribed &&
        e->subscribed->framework_id && e->subscribed->framework_id->value) {
        double seconds = e->subscribed->has_heartbeat_interval_seconds
                             ? e->subscribed->heartbeat_interval_seconds
                             : 0;
        leader_stream_works(c->stream, leader_stream_silence(seconds, c->missed_heartbeats));
        snprintf(
            c->framework_id, sizeof(c->framework_id), "%s", e->subscribed->framework_id->value);
        c->subscribed = true;
    }
    if (e->type != MESOS__V1__SCHEDULER__EVENT__TYPE__HEARTBEAT)
        c->handlers.on_event(e, c->userdata);
}

static void on_end(bool worked, int status, const char *why, void *userdata)
{
    struct scheduler_client *c = userdata;
    if (c->sending)
        http_call_cancel(c->sending);
    c->sending = NULL;
    clear_calls(c);
    c->subscribed = false;
    if (status)
        c->handlers.on_refused(status, why, c->userdata);
    if (worked)
        c->handlers.on_disconnected(why, c->userdata);
}

/* ---- calls ---- */

static void on_call_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct scheduler_client *c = userdata;
    c->sending = NULL;
    if (status < 0 || !res) {
        leader_stream_again(c->stream, error ? error : "a call failed");
        return;
    }
    if (res->status / 100 != 2) {
        char text[256];
        snprintf(text, sizeof(text), "%.*s", (int)MIN(res->body.n, sizeof(text) - 1),
            res->body.p ? res->body.p : "");
        /* 400 may be one bad call or a stale stream: both are mended by a fresh start. */
        bool over = res->status != 409 && res->status != 429 && res->status != 501;
        if (res->status == 401)
            login_refused(c->login);
        c->handlers.on_refused(res->status, text, c->userdata);
        if (over) {
            leader_stream_again(c->stream, text);
            return;
        }
    }
    send_next(c);
}

static void send_next(struct scheduler_client *c)
{
    static const struct http_call_handlers handlers = {.on_done = on_call_done};
    if (c->sending || c->n_calls == 0 || !c->subscribed)
        return;
    struct pending next = c->calls[c->first];
    c->first = (c->first + 1) % c->cap;
    c->n_calls--;
    _cleanup_buf_ struct buf shown = BUF_INIT;
    const struct leader_address *master = leader_stream_address(c->stream);
    login_header(c->login, &shown);
    const struct http_header headers[] = {{STR("Content-Type"), str_of(TYPE)},
        {STR("Accept"), str_of(TYPE)}, {STR("Mesos-Stream-Id"), str_of(c->stream_id)},
        {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options options = {.method = "POST",
        .host = master->host,
        .port = master->port,
        .tls = master->tls,
        .target = PATH,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers) - (shown.n == 0),
        .body = next.p,
        .body_n = next.n,
        .collect_max = ANSWER_MAX};
    c->sending = http_call_start(c->http, &options, &handlers, c);
    free(next.p);
}

int scheduler_client_call(struct scheduler_client *c, Mesos__V1__Scheduler__Call *call)
{
    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    struct buf body = BUF_INIT;
    if (!c->subscribed)
        return -ENOTCONN;
    if (c->n_calls >= SCHEDULER_CALLS_MAX) {
        scheduler_client_resubscribe(c, "too many calls are waiting");
        return -ENOTCONN;
    }
    id.value = c->framework_id;
    call->framework_id = &id;
    wire_pack(&call->base, &body);
    call->framework_id = NULL;
    if (c->n_calls == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct pending *calls = xnew_array(struct pending, cap);
        for (size_t i = 0; i < c->n_calls; i++)
            calls[i] = c->calls[(c->first + i) % c->cap];
        free(c->calls);
        c->calls = calls;
        c->cap = cap;
        c->first = 0;
    }
    size_t n = body.n;
    c->calls[(c->first + c->n_calls++) % c->cap] = (struct pending){buf_steal(&body), n};
    send_next(c);
    return 0;
}

void scheduler_client_resubscribe(struct scheduler_client *c, const char *reason)
{
    leader_stream_again(c->stream, reason);
}

/* ---- life ---- */

int scheduler_client_new(struct loop *l, const struct scheduler_options *o,
    const struct scheduler_handlers *handlers, void *userdata, struct scheduler_client **ret,
    struct error *err)
{
    static const struct leader_stream_handlers stream_handlers = {
        .fill = fill, .on_open = on_open, .on_record = on_record, .on_end = on_end};
    struct scheduler_client *c = xnew(struct scheduler_client);
    c->handlers = *handlers;
    c->userdata = userdata;
    c->missed_heartbeats = o->missed_heartbeats ? o->missed_heartbeats : 5;
    c->login = o->login;
    const struct http_client_options http = {.tls = o->tls};
    c->http = http_client_new(l, &http);
    const struct leader_stream_options stream = {.masters = o->masters,
        .tls = o->tls != NULL,
        .http = c->http,
        .login = o->login,
        .target = PATH,
        .type = TYPE,
        .record_max = SCHEDULER_EVENT_MAX,
        .min_pause_us = o->min_backoff_us,
        .max_pause_us = o->max_backoff_us,
        .head_timeout_us = SUBSCRIBE_TIMEOUT_SECONDS * USEC_PER_SEC,
        .silence_us = FIRST_EVENT_TIMEOUT_SECONDS * USEC_PER_SEC};
    int r = leader_stream_new(l, &stream, &stream_handlers, c, &c->stream, err);
    if (r < 0) {
        scheduler_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void scheduler_client_start(struct scheduler_client *c)
{
    leader_stream_start(c->stream);
}

void scheduler_client_free(struct scheduler_client *c)
{
    if (!c)
        return;
    leader_stream_free(c->stream);
    if (c->sending)
        http_call_cancel(c->sending);
    http_client_free(c->http);
    clear_calls(c);
    free(c->calls);
    free(c);
}

bool scheduler_client_subscribed(const struct scheduler_client *c)
{
    return c->subscribed;
}

const char *scheduler_client_master(const struct scheduler_client *c)
{
    return c->master_text;
}
