/*
 * The connection to the agent: one streamed subscription, and updates one at a time, so that they
 * arrive in order. Whatever breaks, a new subscription repeats what was not acknowledged.
 */

#include "executor/executor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "wire/codec.h"

typedef Mesos__V1__Executor__Call Call;
typedef Mesos__V1__Executor__Event Event;

static const char *content_type(const struct executor *ex)
{
    return ex->o.json ? "application/json" : "application/x-protobuf";
}

static struct http_call *post(struct executor *ex, const Call *call, bool subscribe,
    const struct http_call_handlers *handlers)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    if (ex->o.json) {
        struct json_writer w;
        jw_init(&w, &body);
        wire_to_json(&w, &call->base);
    } else {
        wire_pack(&call->base, &body);
    }
    _cleanup_buf_ struct buf bearer = BUF_INIT;
    struct http_header headers[3] = {
        {STR("Content-Type"), str_of(content_type(ex))},
        {STR("Accept"), str_of(content_type(ex))},
    };
    size_t n = 2;
    if (ex->o.token) {
        buf_printf(&bearer, "Bearer %s", ex->o.token);
        headers[n++] = (struct http_header){STR("Authorization"), buf_str(&bearer)};
    }
    struct http_call_options o = {
        .method = "POST",
        .host = ex->o.host,
        .port = ex->o.port,
        .unix_path = ex->o.socket_path,
        .target = "/api/v1/executor",
        .headers = headers,
        .n_headers = n,
        .body = body.p,
        .body_n = body.n,
        .collect_max = subscribe ? 0 : 4096,
        .fresh = subscribe,
    };
    return http_call_start(ex->http, &o, handlers, ex);
}

static void fill_call(struct executor *ex, Call *call, Mesos__V1__ExecutorID *executor_id,
    Mesos__V1__FrameworkID *framework_id, Mesos__V1__Executor__Call__Type type)
{
    mesos__v1__executor__call__init(call);
    mesos__v1__executor_id__init(executor_id);
    mesos__v1__framework_id__init(framework_id);
    executor_id->value = (char *)(uintptr_t)ex->o.executor_id;
    framework_id->value = (char *)(uintptr_t)ex->o.framework_id;
    call->executor_id = executor_id;
    call->framework_id = framework_id;
    call->has_type = true;
    call->type = type;
}

static TaskStatus *unpack_status(const struct update *u, struct arena *arena)
{
    ProtobufCMessage *m = NULL;
    wire_unpack(&mesos__v1__task_status__descriptor, arena, u->status.p, u->status.n, &m, NULL);
    return (TaskStatus *)m;
}

/* ---- losing and finding ---- */

static void lose(struct executor *ex, const char *why)
{
    if (ex->subscription)
        http_call_cancel(TAKE_PTR(ex->subscription));
    if (ex->update_call)
        http_call_cancel(TAKE_PTR(ex->update_call));
    ex->update_sent = NULL;
    timer_stop(&ex->ack_limit);
    bool was_subscribed = ex->link == LINK_SUBSCRIBED;
    ex->link = LINK_WAITING;
    recordio_decoder_done(&ex->decoder);
    recordio_decoder_init(&ex->decoder, EVENT_MAX);
    if (was_subscribed) {
        log_info("agent is gone reason=%s", why);
        if (!ex->o.checkpoint) {
            /* Nobody will come back for it. */
            ex->lost = true;
            executor_shutdown(ex);
            return;
        }
    }
    if (!timer_active(&ex->recovery))
        timer_start(&ex->recovery, ex->o.recovery_timeout_us);
    int64_t limit = MIN(ex->o.backoff_max_us, RESUBSCRIBE_MAX_US);
    uint64_t draw;
    random_bytes(&draw, sizeof draw);
    timer_start(&ex->retry, limit > 0 ? (int64_t)(draw % (uint64_t)limit) : 0);
}

static void on_recovery_timeout(struct timer *t)
{
    struct executor *ex = container_of(t, struct executor, recovery);
    log_warn("agent did not come back in time, ending");
    ex->lost = true;
    executor_shutdown(ex);
}

/* ---- events ---- */

static void on_subscribed(struct executor *ex, const Mesos__V1__Executor__Event__Subscribed *s)
{
    ex->link = LINK_SUBSCRIBED;
    timer_stop(&ex->recovery);
    if (ex->launched && !tasks_live(ex))
        timer_start(&ex->ack_limit, TERMINAL_ACK_LIMIT_US);
    log_info("subscribed executor=%s framework=%s", ex->o.executor_id, ex->o.framework_id);
    if (s->container_id) {
        arena_done(&ex->info_arena);
        ex->container_id = (Mesos__V1__ContainerID *)wire_clone(
            &s->container_id->base, &ex->info_arena);
    }
    ex->wants_killing = false;
    const Mesos__V1__FrameworkInfo *f = s->framework_info;
    for (size_t i = 0; f && i < f->n_capabilities; i++) {
        if (f->capabilities[i]->type ==
            MESOS__V1__FRAMEWORK_INFO__CAPABILITY__TYPE__TASK_KILLING_STATE)
            ex->wants_killing = true;
    }
    link_flush(ex);
}

static void on_kill(struct executor *ex, const Mesos__V1__Executor__Event__Kill *kill)
{
    struct task *t = task_find(ex, kill->task_id->value);
    /* In a pod, where one end leads to others, what was asked first stays. */
    if (t && (!ex->o.pod || t->kill.state == KILL_IDLE))
        task_kill(t, task_grace_us(t, kill->kill_policy));
}

static void on_event(struct executor *ex, const Event *e)
{
    switch (e->has_type ? e->type : MESOS__V1__EXECUTOR__EVENT__TYPE__UNKNOWN) {
    case MESOS__V1__EXECUTOR__EVENT__TYPE__SUBSCRIBED:
        if (e->subscribed)
            on_subscribed(ex, e->subscribed);
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH:
        if (ex->o.pod) {
            log_error("the executor of a pod runs task groups only, shutting down");
            executor_shutdown(ex);
        } else if (e->launch && e->launch->task) {
            task_launch(ex, e->launch->task);
        }
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH_GROUP:
        if (!ex->o.pod) {
            log_error("a command executor runs no task groups, shutting down");
            executor_shutdown(ex);
        } else if (e->launch_group && e->launch_group->task_group) {
            pod_launch_group(ex, e->launch_group->task_group);
        }
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__KILL:
        if (e->kill && e->kill->task_id && e->kill->task_id->value)
            on_kill(ex, e->kill);
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__ACKNOWLEDGED:
        if (e->acknowledged && e->acknowledged->has_uuid)
            update_acknowledged(ex, &e->acknowledged->uuid);
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__SHUTDOWN:
        log_info("asked to shut down");
        executor_shutdown(ex);
        return;
    case MESOS__V1__EXECUTOR__EVENT__TYPE__ERROR:
        log_error("agent reports an error message=%s",
            e->error && e->error->message ? e->error->message : "");
        executor_exit(ex, 1);
        return;
    default:
        return; /* MESSAGE, HEARTBEAT and what comes later */
    }
}

static bool on_record(const char *record, size_t n, void *userdata)
{
    struct executor *ex = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m = NULL;
    const ProtobufCMessageDescriptor *type = &mesos__v1__executor__event__descriptor;
    int r = ex->o.json ? wire_parse_json(type, &arena, record, n, &m, &err)
                       : wire_unpack(type, &arena, record, n, &m, &err);
    if (r < 0)
        log_warn("unreadable event, ignoring error=%s", err.msg);
    else
        on_event(ex, (const Event *)m);
    return ex->subscription != NULL; /* lost meanwhile: the rest is void */
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct executor *ex = userdata;
    ex->refused = res->status != 200;
    if (ex->refused)
        log_debug("subscription refused status=%d", res->status);
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct executor *ex = userdata;
    struct error err = ERROR_INIT;
    if (ex->refused)
        return; /* text for people */
    if (recordio_decode(&ex->decoder, p, n, on_record, ex, &err) < 0)
        lose(ex, err.msg);
}

static void on_end(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct executor *ex = userdata;
    ex->subscription = NULL;
    lose(ex, status < 0 && error ? error : "subscription ended");
}

static void subscribe(struct timer *timer)
{
    struct executor *ex = container_of(timer, struct executor, retry);
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_end};
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Call call;
    Mesos__V1__ExecutorID executor_id;
    Mesos__V1__FrameworkID framework_id;
    fill_call(ex, &call, &executor_id, &framework_id, MESOS__V1__EXECUTOR__CALL__TYPE__SUBSCRIBE);
    Mesos__V1__Executor__Call__Subscribe s = MESOS__V1__EXECUTOR__CALL__SUBSCRIBE__INIT;
    size_t n = 0;
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        n++;
    s.unacknowledged_tasks = arena_new_array(&arena, TaskInfo *, n + 1);
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        if (!t->acknowledged)
            s.unacknowledged_tasks[s.n_unacknowledged_tasks++] = t->info;
    n = 0;
    LIST_FOREACH (u, &ex->updates, struct update, node)
        n++;
    s.unacknowledged_updates = arena_new_array(&arena, Mesos__V1__Executor__Call__Update *, n + 1);
    LIST_FOREACH (u, &ex->updates, struct update, node) {
        Mesos__V1__Executor__Call__Update *one = arena_new(
            &arena, Mesos__V1__Executor__Call__Update);
        mesos__v1__executor__call__update__init(one);
        one->status = unpack_status(u, &arena);
        s.unacknowledged_updates[s.n_unacknowledged_updates++] = one;
        u->taken = true;
    }
    call.subscribe = &s;
    ex->link = LINK_SUBSCRIBING;
    ex->subscription = post(ex, &call, true, &handlers);
}

/* ---- updates ---- */

static void on_updated(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct executor *ex = userdata;
    ex->update_call = NULL;
    struct update *u = TAKE_PTR(ex->update_sent);
    if (status < 0 || res->status == 503) {
        lose(ex, status < 0 ? error : "the agent is recovering");
        return;
    }
    if (res->status != 202)
        log_error(
            "agent refuses an update status=%d answer=" STR_FMT, res->status, STR_ARG(res->body));
    if (u)
        u->taken = true;
    link_flush(ex);
}

void link_flush(struct executor *ex)
{
    static const struct http_call_handlers handlers = {.on_done = on_updated};
    if (ex->link != LINK_SUBSCRIBED || ex->update_call)
        return;
    LIST_FOREACH (u, &ex->updates, struct update, node) {
        if (u->taken)
            continue;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Call call;
        Mesos__V1__ExecutorID executor_id;
        Mesos__V1__FrameworkID framework_id;
        fill_call(ex, &call, &executor_id, &framework_id, MESOS__V1__EXECUTOR__CALL__TYPE__UPDATE);
        Mesos__V1__Executor__Call__Update update = MESOS__V1__EXECUTOR__CALL__UPDATE__INIT;
        update.status = unpack_status(u, &arena);
        call.update = &update;
        ex->update_sent = u;
        ex->update_call = post(ex, &call, false, &handlers);
        return;
    }
}

void link_init(struct executor *ex)
{
    ex->http = http_client_new(ex->loop, &(struct http_client_options){.idle_per_host = 1});
    recordio_decoder_init(&ex->decoder, EVENT_MAX);
    timer_init(&ex->retry, ex->loop, subscribe);
    timer_init(&ex->recovery, ex->loop, on_recovery_timeout);
    timer_start(&ex->recovery, ex->o.recovery_timeout_us);
    timer_start(&ex->retry, 0);
}

void link_done(struct executor *ex)
{
    if (ex->subscription)
        http_call_cancel(TAKE_PTR(ex->subscription));
    if (ex->update_call)
        http_call_cancel(TAKE_PTR(ex->update_call));
    timer_stop(&ex->retry);
    timer_stop(&ex->recovery);
    recordio_decoder_done(&ex->decoder);
    http_client_free(TAKE_PTR(ex->http));
}
