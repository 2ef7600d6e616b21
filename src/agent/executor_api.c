#include "agent/agent.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/recordio.h"
#include "kernel/task.h"

/* POST /api/v1/executor: calls of executors, and the streams of events to them. */

#define EXECUTOR_HEARTBEAT_US (30 * 60 * USEC_PER_SEC)
enum { USER_BUFFER_MAX = 16 * 1024 };

struct agent_conn {
    struct agent *agent;
    char *key; /* in agent->conns; framework id, newline, executor id */
    char *framework_id, *executor_id;
    uint64_t number;
    struct http_request *req;
    bool json;
    struct timer heartbeat;
};

static const char type_json[] = "application/json";
static const char type_protobuf[] = "application/x-protobuf";

/* ---- streams ---- */

static void conn_free(struct agent_conn *c)
{
    timer_stop(&c->heartbeat);
    if (map_get(&c->agent->conns, c->key) == c)
        map_remove(&c->agent->conns, c->key);
    free(c->key);
    free(c->framework_id);
    free(c->executor_id);
    free(c);
}

static void conn_closed(struct http_request *req)
{
    struct agent_conn *c = req->userdata;
    if (!c)
        return;
    req->userdata = NULL;
    struct agent *a = c->agent;
    struct agent_executor *e = agent_core_executor(a->core, c->framework_id, c->executor_id);
    if (e) {
        struct agent_now now;
        agent_now(&now);
        agent_core_disconnected(a->core, &now, e, c->number);
        agent_pump(a);
    }
    conn_free(c);
}

/* Ends the stream from our side; what was written goes out first. */
static void conn_end(struct agent_conn *c)
{
    struct http_request *req = c->req;
    req->userdata = NULL;
    conn_free(c);
    http_respond_end(req);
}

static void conn_write(struct agent_conn *c, const ProtobufCMessage *event)
{
    struct buf message = BUF_INIT, frame = BUF_INIT;
    if (c->json) {
        struct json_writer w;
        jw_init(&w, &message);
        wire_to_json(&w, event);
    } else {
        wire_pack(event, &message);
    }
    recordio_append(&frame, message.p, message.n);
    http_respond_write(c->req, frame.p, frame.n);
    buf_done(&message);
    buf_done(&frame);
}

static void heartbeat(struct timer *t)
{
    struct agent_conn *c = container_of(t, struct agent_conn, heartbeat);
    Mesos__V1__Executor__Event event = MESOS__V1__EXECUTOR__EVENT__INIT;
    event.has_type = true;
    event.type = MESOS__V1__EXECUTOR__EVENT__TYPE__HEARTBEAT;
    conn_write(c, &event.base);
    timer_start(&c->heartbeat, EXECUTOR_HEARTBEAT_US);
}

static struct agent_conn *conn_numbered(struct agent *a, uint64_t number)
{
    MAP_FOREACH (entry, &a->conns) {
        struct agent_conn *c = entry->value;
        if (c->number == number)
            return c;
    }
    return NULL;
}

void agent_conn_send(struct agent *a, const struct agent_effect *e)
{
    _cleanup_free_ char *key = xasprintf("%s\n%s", e->framework_id, e->executor_id);
    struct agent_conn *c = map_get(&a->conns, key);
    if (!c || c->number != e->number)
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *event;
    if (wire_unpack(&mesos__v1__executor__event__descriptor, &arena, e->bytes.p, e->bytes.n, &event,
            NULL) >= 0)
        conn_write(c, event);
}

void agent_conn_close(struct agent *a, uint64_t number)
{
    struct agent_conn *c = conn_numbered(a, number);
    if (!c)
        return;
    struct agent_executor *e = agent_core_executor(a->core, c->framework_id, c->executor_id);
    if (e) {
        struct agent_now now;
        agent_now(&now);
        agent_core_disconnected(a->core, &now, e, number);
        agent_pump(a);
    }
    conn_end(c);
}

void agent_conn_stop(struct agent *a)
{
    MAP_FOREACH (entry, &a->conns) {
        struct agent_conn *c = entry->value;
        c->req->userdata = NULL;
        conn_free(c);
    }
    map_done(&a->conns);
}

/* ---- who is calling ---- */

/* On the unix socket: root, ourselves, or the user that the executor runs as. */
static bool peer_allowed(
    struct agent *a, const struct http_request *req, const struct agent_executor *e)
{
    if (!req->peer_is_unix)
        return true;
    uid_t uid = req->peer_cred.uid;
    if (uid == 0 || uid == geteuid())
        return true;
    if (!a->settings.switch_user)
        return false;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    const char *user = e->framework->user;
    if (wire_unpack(
            &mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m, NULL) >= 0) {
        const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)m;
        if (info->command && info->command->user)
            user = info->command->user;
    }
    char buffer[USER_BUFFER_MAX];
    struct passwd entry, *found = NULL;
    return user && getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) == 0 && found &&
           found->pw_uid == uid;
}

/* ---- calls ---- */

static const char *update_fault(const Mesos__V1__Executor__Call *call)
{
    const Mesos__V1__TaskStatus *status = call->update ? call->update->status : NULL;
    if (!status)
        return "Expecting 'update' to be present";
    if (!status->task_id || !status->task_id->value || !status->has_state)
        return "Expecting 'task_id' and 'state' in the status";
    if (!status->has_uuid)
        return "Expecting 'uuid' to be present";
    if (status->uuid.len != AGENT_UUID_SIZE)
        return "Not a valid UUID";
    if (status->executor_id && !streq(status->executor_id->value, call->executor_id->value))
        return "ExecutorID in Call does not match ExecutorID in TaskStatus";
    if (!status->has_source || status->source != MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR)
        return "Received Call from executor with a source other than SOURCE_EXECUTOR";
    if (status->state == TASK_STATE(STAGING))
        return "Received TASK_STAGING from executor which is not allowed";
    if (protobuf_c_message_get_packed_size(&status->base) > AGENT_STATUS_MAX)
        return "The status is too large";
    return NULL;
}

/* What is wrong with the call's form, or NULL. */
static const char *call_fault(const Mesos__V1__Executor__Call *call, struct error *err)
{
    if (!call->has_type)
        return "Expecting 'type' to be present";
    if (!call->executor_id || !call->executor_id->value)
        return "Expecting 'executor_id' to be present";
    if (!call->framework_id || !call->framework_id->value)
        return "Expecting 'framework_id' to be present";
    switch (call->type) {
    case MESOS__V1__EXECUTOR__CALL__TYPE__SUBSCRIBE:
        return call->subscribe ? NULL : "Expecting 'subscribe' to be present";
    case MESOS__V1__EXECUTOR__CALL__TYPE__MESSAGE:
        return call->message && call->message->has_data ? NULL
                                                        : "Expecting 'message' to be present";
    case MESOS__V1__EXECUTOR__CALL__TYPE__UPDATE: {
        const char *fault = update_fault(call);
        if (fault)
            return fault;
        const Mesos__V1__CheckStatusInfo *check = call->update->status->check_status;
        if (check && check_status_validate(check, err) < 0)
            return err->msg;
        return NULL;
    }
    default:
        return NULL;
    }
}

static void subscribe(struct agent *a, struct http_request *req,
    const Mesos__V1__Executor__Call *call, struct agent_executor *e)
{
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    bool json = http_accepts(accept, type_json);
    struct agent_conn *c = xnew(struct agent_conn);
    c->agent = a;
    c->framework_id = xstrdup(call->framework_id->value);
    c->executor_id = xstrdup(call->executor_id->value);
    c->key = xasprintf("%s\n%s", c->framework_id, c->executor_id);
    c->req = req;
    c->json = json;
    timer_init(&c->heartbeat, a->loop, heartbeat);
    struct agent_conn *old = map_get(&a->conns, c->key);
    if (old)
        conn_end(old);
    map_put(&a->conns, c->key, c);
    req->userdata = c;
    req->on_close = conn_closed;
    http_respond_begin(req, 200, json ? type_json : type_protobuf);
    struct agent_now now;
    agent_now(&now);
    c->number = agent_core_subscribe(a->core, &now, e, call->subscribe);
    timer_start(&c->heartbeat, EXECUTOR_HEARTBEAT_US);
    log_debug("executor subscribed framework=%s executor=%s", c->framework_id, c->executor_id);
    agent_pump(a);
}

/* The container's limits say more of why the task died than the executor can know. */
static void add_limitation(
    struct agent *a, const struct agent_executor *e, Mesos__V1__TaskStatus *s, struct arena *arena)
{
    struct container_exit limit;
    if (s->state != TASK_STATE(FAILED) ||
        !containerizer_limited(a->containerizer, e->container_id, &limit) ||
        limit.limitation != CONTAINER_LIMITATION_MEMORY)
        return;
    s->has_reason = true;
    s->reason = STATUS_REASON(CONTAINER_LIMITATION_MEMORY);
    s->message = arena_strdup(arena, limit.message);
    if (limit.mem_limit_bytes <= 0)
        return;
    Mesos__V1__Resource *mem = arena_new(arena, Mesos__V1__Resource);
    mesos__v1__resource__init(mem);
    mem->name = arena_strdup(arena, "mem");
    mem->has_type = true;
    mem->type = MESOS__V1__VALUE__TYPE__SCALAR;
    mem->scalar = arena_new(arena, Mesos__V1__Value__Scalar);
    mesos__v1__value__scalar__init(mem->scalar);
    mem->scalar->has_value = true;
    mem->scalar->value = (double)limit.mem_limit_bytes / (1024.0 * 1024.0);
    s->limitation = arena_new(arena, Mesos__V1__TaskResourceLimitation);
    mesos__v1__task_resource_limitation__init(s->limitation);
    s->limitation->n_resources = 1;
    s->limitation->resources = arena_new_array(arena, Mesos__V1__Resource *, 1);
    s->limitation->resources[0] = mem;
}

static void handle_call(struct agent *a, struct http_request *req, Mesos__V1__Executor__Call *call)
{
    struct error err = ERROR_INIT;
    const char *fault = call_fault(call, &err);
    if (fault)
        return http_respond_text(req, 400, "Failed to validate Executor::Call: %s", fault);
    if (call->type == MESOS__V1__EXECUTOR__CALL__TYPE__SUBSCRIBE) {
        struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
        if (!http_accepts(accept, type_json) && !http_accepts(accept, type_protobuf))
            return http_respond_text(
                req, 406, "Expecting 'Accept' to allow '%s' or '%s'", type_protobuf, type_json);
    }
    if (call->type == MESOS__V1__EXECUTOR__CALL__TYPE__HEARTBEAT)
        return http_respond(req, 202, NULL, NULL, 0);
    const struct agent_framework *f = map_get(&a->core->frameworks, call->framework_id->value);
    if (!f)
        return http_respond_text(req, 400, "Framework cannot be found");
    struct agent_executor *e = agent_core_executor(
        a->core, call->framework_id->value, call->executor_id->value);
    if (!e)
        return http_respond_text(req, 400, "Executor cannot be found");
    if (!agent_is_executor(&a->security, req->subject, e))
        return http_respond_text(req, 403, "The token is that of another executor");
    if (!peer_allowed(a, req, e))
        return http_respond_text(req, 403, "The executor belongs to another user");
    struct agent_now now;
    agent_now(&now);
    switch (call->type) {
    case MESOS__V1__EXECUTOR__CALL__TYPE__SUBSCRIBE:
        return subscribe(a, req, call, e);
    case MESOS__V1__EXECUTOR__CALL__TYPE__UPDATE:
        if (e->state == AGENT_EXECUTOR_REGISTERING)
            break;
        /* It may hold older ones that this process never got: they come first, with its next
         * subscription. */
        if (!e->connected)
            return http_respond_text(req, 503, "Executor is not subscribed now");
        add_limitation(a, e, call->update->status, &req->arena);
        agent_core_update(a->core, &now, e, call->update->status);
        agent_pump(a);
        return http_respond(req, 202, NULL, NULL, 0);
    case MESOS__V1__EXECUTOR__CALL__TYPE__MESSAGE:
        if (e->state == AGENT_EXECUTOR_REGISTERING)
            break;
        agent_core_message(a->core, &now, e, call->message->data.data, call->message->data.len);
        agent_pump(a);
        return http_respond(req, 202, NULL, NULL, 0);
    default:
        return http_respond_text(req, 501, "Unknown call");
    }
    http_respond_text(req, 403, "Executor is not subscribed");
}

static void collected(struct http_request *req)
{
    struct agent *a = req->userdata;
    req->userdata = NULL;
    struct str type = http_media_type(http_request_header(req, "Content-Type"));
    struct error err = ERROR_INIT;
    ProtobufCMessage *m = NULL;
    const ProtobufCMessageDescriptor *descriptor = &mesos__v1__executor__call__descriptor;
    int r;
    if (str_eq_c(type, type_json)) {
        r = wire_parse_json(descriptor, &req->arena, req->body.p, req->body.n, &m, &err);
    } else if (str_eq_c(type, type_protobuf)) {
        r = wire_unpack(descriptor, &req->arena, req->body.p, req->body.n, &m, &err);
    } else {
        return http_respond_text(
            req, 415, "Expecting 'Content-Type' of %s or %s", type_json, type_protobuf);
    }
    if (r >= 0)
        r = wire_check_required(m, &err);
    if (r < 0)
        return http_respond_text(req, 400, "Failed to parse body into Call: %s", err.msg);
    handle_call(a, req, (Mesos__V1__Executor__Call *)m);
}

void agent_executor_api(struct http_request *req, void *userdata)
{
    struct agent *a = userdata;
    if (!authenticate(a->security.executors, req, "mesos-agent-executor"))
        return;
    if (req->method != HTTP_POST) {
        http_set_header(req, "Allow", "POST");
        return http_respond_text(
            req, 405, "Expecting 'POST', received '" STR_FMT "'", STR_ARG(req->method_name));
    }
    if (!http_request_header(req, "Content-Type").p)
        return http_respond_text(req, 400, "Expecting 'Content-Type' to be present");
    req->userdata = userdata;
    http_request_collect(req, AGENT_EXECUTOR_BODY_MAX, collected);
}
