#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/shell.h"
#include "wire/codec.h"

/* POST /api/v1: the calls that read, TEARDOWN, and the stream of events. */

enum { OPERATOR_STREAMS_MAX = 1000 };
static const int64_t HEARTBEAT_US = 15 * USEC_PER_SEC;

/* ---- answers as JSON: top-level lists are shown even when empty ---- */

static bool always_listed(const ProtobufCFieldDescriptor *f)
{
    static const char *const names[] = {"tasks", "unreachable_tasks", "completed_tasks",
        "executors", "frameworks", "completed_frameworks", "agents", "recovered_agents"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(names[i], f->name))
            return true;
    return false;
}

static void write_lists(struct json_writer *w, const ProtobufCMessage *m)
{
    const char *base = (const char *)m;
    jw_begin_object(w);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->label != PROTOBUF_C_LABEL_REPEATED || !always_listed(f))
            continue;
        size_t n;
        memcpy(&n, base + f->quantifier_offset, sizeof(n));
        ProtobufCMessage **items;
        memcpy(&items, base + f->offset, sizeof(items));
        jw_key(w, f->name);
        jw_begin_array(w);
        for (size_t j = 0; j < n; j++)
            wire_to_json(w, items[j]);
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void write_get_state(
    struct json_writer *w, const Mesos__V1__Master__Response__GetState *state)
{
    jw_begin_object(w);
    jw_key(w, "get_tasks");
    write_lists(w, &state->get_tasks->base);
    jw_key(w, "get_executors");
    write_lists(w, &state->get_executors->base);
    jw_key(w, "get_frameworks");
    write_lists(w, &state->get_frameworks->base);
    jw_key(w, "get_agents");
    write_lists(w, &state->get_agents->base);
    jw_end_object(w);
}

static void write_response(struct json_writer *w, const Mesos__V1__Master__Response *r)
{
    const struct {
        const char *name;
        const ProtobufCMessage *m;
    } lists[] = {
        {"get_tasks", r->get_tasks ? &r->get_tasks->base : NULL},
        {"get_executors", r->get_executors ? &r->get_executors->base : NULL},
        {"get_frameworks", r->get_frameworks ? &r->get_frameworks->base : NULL},
        {"get_agents", r->get_agents ? &r->get_agents->base : NULL},
    };
    const ProtobufCEnumValue *type = protobuf_c_enum_descriptor_get_value(
        &mesos__v1__master__response__type__descriptor, (int)r->type);
    if (r->get_state) {
        jw_begin_object(w);
        jw_field_string(w, "type", type->name);
        jw_key(w, "get_state");
        write_get_state(w, r->get_state);
        jw_end_object(w);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        if (!lists[i].m)
            continue;
        jw_begin_object(w);
        jw_field_string(w, "type", type->name);
        jw_key(w, lists[i].name);
        write_lists(w, lists[i].m);
        jw_end_object(w);
        return;
    }
    wire_to_json(w, &r->base);
}

void operator_respond(struct operator_call *c, const Mesos__V1__Master__Response *r)
{
    struct http_request *req = c->req;
    bool json = c->json;
    _cleanup_buf_ struct buf body = BUF_INIT;
    if (json) {
        struct json_writer w;
        jw_init(&w, &body);
        write_response(&w, r);
    } else {
        wire_pack(&r->base, &body);
    }
    http_respond(req, 200, json ? "application/json" : "application/x-protobuf", body.p, body.n);
}

/* ---- the stream ---- */

static void send_event_json(struct peer *p, const Mesos__V1__Master__Event *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    if (e->subscribed) {
        jw_begin_object(&w);
        jw_field_string(&w, "type", "SUBSCRIBED");
        jw_key(&w, "subscribed");
        jw_begin_object(&w);
        jw_key(&w, "get_state");
        write_get_state(&w, e->subscribed->get_state);
        jw_field_double(
            &w, "heartbeat_interval_seconds", e->subscribed->heartbeat_interval_seconds);
        jw_end_object(&w);
        jw_end_object(&w);
    } else {
        wire_to_json(&w, &e->base);
    }
    peer_send(p, text.p, text.n);
}

static void send_one(struct peer *p, const Mesos__V1__Master__Event *e)
{
    if (p->json) {
        send_event_json(p, e);
        return;
    }
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    wire_pack(&e->base, &bytes);
    peer_send(p, bytes.p, bytes.n);
}

void operator_api_event(struct shell *s, const void *bytes, size_t n)
{
    if (list_empty(&s->operators))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT; /* encoded once for all who want JSON */
    LIST_FOREACH (p, &s->operators, struct peer, node) {
        if (!p->json) {
            peer_send(p, bytes, n);
            continue;
        }
        if (text.n == 0) {
            if (!m &&
                wire_unpack(&mesos__v1__master__event__descriptor, &arena, bytes, n, &m, NULL) < 0)
                return;
            struct json_writer w;
            jw_init(&w, &text);
            wire_to_json(&w, m);
        }
        peer_send(p, text.p, text.n);
    }
}

void operator_api_heartbeat(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, operator_heartbeat);
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__HEARTBEAT;
    LIST_FOREACH (p, &s->operators, struct peer, node)
        send_one(p, &e);
    if (!list_empty(&s->operators)) {
        timer_start(t, HEARTBEAT_US);
        shell_wake(s);
    }
}

static void subscribe(struct operator_call *c)
{
    struct shell *s = c->s;
    struct http_request *req = c->req;
    bool json = c->json;
    if (s->n_operators >= OPERATOR_STREAMS_MAX)
        peer_end(list_first(&s->operators, struct peer, node));
    /* What already happened must not be told twice: the snapshot has it. */
    shell_drain(s);
    struct peer *p = peer_new(s, PEER_OPERATOR, req, json);
    http_respond_begin(req, 200, json ? "application/json" : "application/x-protobuf");
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Master__Response__GetState state = MESOS__V1__MASTER__RESPONSE__GET_STATE__INIT;
    fill_get_state(s, &arena, &state);
    Mesos__V1__Master__Event__Subscribed subscribed = MESOS__V1__MASTER__EVENT__SUBSCRIBED__INIT;
    subscribed.get_state = &state;
    subscribed.has_heartbeat_interval_seconds = true;
    subscribed.heartbeat_interval_seconds = (double)HEARTBEAT_US / (double)USEC_PER_SEC;
    Mesos__V1__Master__Event e = MESOS__V1__MASTER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__MASTER__EVENT__TYPE__SUBSCRIBED;
    e.subscribed = &subscribed;
    send_one(p, &e);
    Mesos__V1__Master__Event beat = MESOS__V1__MASTER__EVENT__INIT;
    beat.has_type = true;
    beat.type = MESOS__V1__MASTER__EVENT__TYPE__HEARTBEAT;
    send_one(p, &beat);
    master_core_operator_events(s->core, true);
    if (!timer_active(&s->operator_heartbeat))
        timer_start(&s->operator_heartbeat, HEARTBEAT_US);
    shell_wake(s);
}

/* ---- the calls ---- */

bool operator_sees(const struct operator_call *c, enum auth_action action, const char *object)
{
    return authorizer_permits(c->s->authorizer, &c->who, action, object);
}

bool operator_may(struct operator_call *c, enum auth_action action, const char *object)
{
    if (operator_sees(c, action, object))
        return true;
    http_respond(c->req, 403, NULL, NULL, 0);
    return false;
}

void operator_done(struct operator_call *c, uint64_t before, int status)
{
    shell_respond_durable(c->s, c->req, before, status, NULL);
    shell_wake(c->s);
}

static void teardown(struct operator_call *c)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    const char *id = c->call->teardown->framework_id->value;
    uint64_t before = master_core_last_mutation(s->core);
    if (master_core_teardown(s->core, id ? id : "", shell_now(s), &err) < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    log_info("framework torn down by an operator framework=%s", id);
    operator_done(c, before, 200);
}

/* Calls that do more than read. */
static const struct {
    Mesos__V1__Master__Call__Type type;
    void (*handle)(struct operator_call *c);
} calls[] = {
    {MESOS__V1__MASTER__CALL__TYPE__SUBSCRIBE, subscribe},
    {MESOS__V1__MASTER__CALL__TYPE__TEARDOWN, teardown},
};

/* The field that must be there and is not, or NULL. */
static const char *missing_field(const Mesos__V1__Master__Call *call)
{
    if (!call->has_type)
        return "type";
    if (call->teardown && !call->teardown->framework_id)
        return "teardown.framework_id";
    return wire_missing_of_type(
        &call->base, &mesos__v1__master__call__type__descriptor, (int)call->type);
}

static void dispatch(struct operator_call *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        if (calls[i].type == c->call->type) {
            calls[i].handle(c);
            return;
        }
    }
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    if (fill_response(c->s, c->call->type, &c->req->arena, &r))
        operator_respond(c, &r);
    else
        http_respond_text(c->req, 501, "This call is not served");
}

static void handle_body(struct http_request *req)
{
    struct shell *s = req->userdata;
    if (!shell_require_leader(s, req))
        return;
    bool json_in = str_eq_c(
        http_media_type(http_request_header(req, "Content-Type")), "application/json");
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    int r = json_in ? wire_parse_json(&mesos__v1__master__call__descriptor, &req->arena,
                          req->body.p, req->body.n, &m, &err)
                    : wire_unpack(&mesos__v1__master__call__descriptor, &req->arena, req->body.p,
                          req->body.n, &m, &err);
    if (r >= 0)
        r = wire_check_required(m, &err);
    if (r < 0) {
        http_respond_text(req, 400, "Failed to convert body into Call protobuf: %s", err.msg);
        return;
    }
    const Mesos__V1__Master__Call *call = (const Mesos__V1__Master__Call *)m;
    const char *missing = missing_field(call);
    if (missing) {
        http_respond_text(
            req, 400, "Failed to validate master::Call: Expecting '%s' to be present", missing);
        return;
    }
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    bool json = http_accepts(accept, "application/json");
    if (!json && !http_accepts(accept, "application/x-protobuf")) {
        http_respond_text(
            req, 406, "Expecting 'Accept' to allow application/json or application/x-protobuf");
        return;
    }
    struct operator_call *c = arena_new(&req->arena, struct operator_call);
    *c = (struct operator_call){.s = s, .req = req, .call = call, .json = json};
    dispatch(c);
}

void operator_api_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    bool json;
    if (!shell_require_leader(s, req) || !api_check_head(req, &json))
        return;
    req->userdata = s;
    http_request_collect(req, 0, handle_body);
}
