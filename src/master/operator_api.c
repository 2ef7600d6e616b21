#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/shell.h"
#include "wire/codec.h"

/* POST /api/v1: checks, and who handles which call. */

void operator_respond(struct operator_call *c, const Mesos__V1__Master__Response *r)
{
    struct http_request *req = c->req;
    bool json = c->json;
    _cleanup_buf_ struct buf body = BUF_INIT;
    if (json) {
        struct json_writer w;
        jw_init(&w, &body);
        wire_to_json(&w, &r->base);
    } else {
        wire_pack(&r->base, &body);
    }
    http_respond(req, 200, json ? "application/json" : "application/x-protobuf", body.p, body.n);
}

/* ---- the calls ---- */

void operator_call_init(struct operator_call *c, struct shell *s, struct http_request *req)
{
    *c = (struct operator_call){.s = s, .req = req, .json = true, .who = *req->subject};
    view_init(&c->view, s->authorizer, &c->who);
    _cleanup_buf_ struct buf key = BUF_INIT;
    view_key(&c->view, &key);
    c->view_key = arena_strdup(&req->arena, buf_cstr(&key));
}

void operator_object(struct operator_call *c, const char *object)
{
    gate_note(&c->s->security.gate, c->req, NULL, object, true);
}

bool operator_sees(const struct operator_call *c, enum auth_action action, const char *object)
{
    return authorizer_permits(c->s->authorizer, &c->who, action, object);
}

bool operator_may(struct operator_call *c, enum auth_action action, const char *object)
{
    if (operator_sees(c, action, object))
        return true;
    http_respond_text(c->req, 403, "403 Forbidden.");
    return false;
}

void operator_done(struct operator_call *c, uint64_t before, int status)
{
    /* A call that found everything as it asks for may have found what is not durable yet. */
    (void)before;
    shell_respond_durable(c->s, c->req, UINT64_MAX, status, NULL);
    shell_wake(c->s);
}

static void teardown(struct operator_call *c)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    const char *id = c->call->teardown->framework_id->value;
    const char *principal = master_core_framework_principal(s->core, id ? id : "");
    operator_object(c, id);
    if (principal && !operator_may(c, AUTH_TEARDOWN_FRAMEWORK, principal))
        return;
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
    {MESOS__V1__MASTER__CALL__TYPE__SUBSCRIBE, operator_subscribe},
    {MESOS__V1__MASTER__CALL__TYPE__GET_LOGGING_LEVEL, operator_get_logging_level},
    {MESOS__V1__MASTER__CALL__TYPE__SET_LOGGING_LEVEL, operator_set_logging_level},
    {MESOS__V1__MASTER__CALL__TYPE__LIST_FILES, operator_list_files},
    {MESOS__V1__MASTER__CALL__TYPE__READ_FILE, operator_read_file},
    {MESOS__V1__MASTER__CALL__TYPE__TEARDOWN, teardown},
    {MESOS__V1__MASTER__CALL__TYPE__DRAIN_AGENT, operator_drain_agent},
    {MESOS__V1__MASTER__CALL__TYPE__DEACTIVATE_AGENT, operator_deactivate_agent},
    {MESOS__V1__MASTER__CALL__TYPE__REACTIVATE_AGENT, operator_reactivate_agent},
    {MESOS__V1__MASTER__CALL__TYPE__MARK_AGENT_GONE, operator_mark_agent_gone},
    {MESOS__V1__MASTER__CALL__TYPE__UPDATE_MAINTENANCE_SCHEDULE, operator_update_schedule},
    {MESOS__V1__MASTER__CALL__TYPE__START_MAINTENANCE, operator_start_maintenance},
    {MESOS__V1__MASTER__CALL__TYPE__STOP_MAINTENANCE, operator_stop_maintenance},
    {MESOS__V1__MASTER__CALL__TYPE__GET_MAINTENANCE_SCHEDULE, operator_get_schedule},
    {MESOS__V1__MASTER__CALL__TYPE__GET_MAINTENANCE_STATUS, operator_get_maintenance_status},
    {MESOS__V1__MASTER__CALL__TYPE__GET_OPERATIONS, operator_get_operations},
    {MESOS__V1__MASTER__CALL__TYPE__RESERVE_RESOURCES, operator_reserve_resources},
    {MESOS__V1__MASTER__CALL__TYPE__UNRESERVE_RESOURCES, operator_unreserve_resources},
    {MESOS__V1__MASTER__CALL__TYPE__CREATE_VOLUMES, operator_create_volumes},
    {MESOS__V1__MASTER__CALL__TYPE__DESTROY_VOLUMES, operator_destroy_volumes},
    {MESOS__V1__MASTER__CALL__TYPE__GROW_VOLUME, operator_grow_volume},
    {MESOS__V1__MASTER__CALL__TYPE__SHRINK_VOLUME, operator_shrink_volume},
    {MESOS__V1__MASTER__CALL__TYPE__GET_QUOTA, operator_get_quota},
    {MESOS__V1__MASTER__CALL__TYPE__GET_ROLES, operator_get_roles},
    {MESOS__V1__MASTER__CALL__TYPE__UPDATE_QUOTA, operator_update_quota},
    {MESOS__V1__MASTER__CALL__TYPE__SET_QUOTA, operator_set_quota},
    {MESOS__V1__MASTER__CALL__TYPE__REMOVE_QUOTA, operator_remove_quota},
    {MESOS__V1__MASTER__CALL__TYPE__GET_WEIGHTS, operator_get_weights},
    {MESOS__V1__MASTER__CALL__TYPE__UPDATE_WEIGHTS, operator_update_weights},
};

/* The field that must be there and is not, or NULL. */
static const char *missing_field(const Mesos__V1__Master__Call *call)
{
    if (!call->has_type)
        return "type";
    if (call->teardown && !call->teardown->framework_id)
        return "teardown.framework_id";
    if (call->remove_quota && !call->remove_quota->role)
        return "remove_quota.role";
    return wire_missing_of_type(
        &call->base, &mesos__v1__master__call__type__descriptor, (int)call->type);
}

static void write_lists(struct shell *s, void *subject, struct json_writer *w)
{
    const struct operator_call *c = subject;
    (void)s;
    write_list_response(c, c->call->type, w);
}

/* The large answers, shared by all who ask. */
static void answer_lists(struct operator_call *c)
{
    const struct document_order order = {
        .key = arena_printf(&c->req->arena, "v1 %d %s %s", (int)c->call->type,
            c->json ? "json" : "protobuf", c->view_key),
        .content_type = c->json ? "application/json" : "application/x-protobuf",
        .write = write_lists,
        .subject = c,
    };
    documents_ask(c->s->documents, c->req, &order);
}

static void dispatch(struct operator_call *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        if (calls[i].type == c->call->type) {
            calls[i].handle(c);
            return;
        }
    }
    if (is_list_call(c->call->type)) {
        answer_lists(c);
        return;
    }
    if (c->call->type == MESOS__V1__MASTER__CALL__TYPE__GET_FLAGS &&
        !operator_may(c, AUTH_VIEW_FLAGS, NULL))
        return;
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    if (fill_response(c, c->call->type, &c->req->arena, &r))
        operator_respond(c, &r);
    else
        http_respond_text(c->req, 501, "This call is not served");
}

/* Calls by name in the audit log; those that only look are written when they are refused. */
static void note(struct operator_call *c)
{
    const char *name = wire_enum_name(
        &mesos__v1__master__call__type__descriptor, (int)c->call->type);
    bool looks = !name || has_prefix(name, "GET_") || streq(name, "SUBSCRIBE") ||
                 streq(name, "LIST_FILES") || streq(name, "READ_FILE");
    gate_note(&c->s->security.gate, c->req,
        arena_printf(&c->req->arena, "POST /api/v1 %s", name ? name : "?"), NULL, !looks);
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
    operator_call_init(c, s, req);
    c->call = call;
    c->json = json;
    note(c);
    dispatch(c);
}

void operator_api_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    bool json;
    if (!master_enter_operator(&s->security, req, STR("/api/v1"), GATE_WRITE, false) ||
        !shell_require_leader(s, req) || !api_check_head(req, &json))
        return;
    req->userdata = s;
    http_request_collect(req, 0, handle_body);
}
