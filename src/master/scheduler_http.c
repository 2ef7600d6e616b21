#include "base/log.h"
#include "base/rng.h"
#include "master/shell.h"
#include "wire/codec.h"

/* POST /api/v1/scheduler. The order of the checks is part of the API; the core does those that need
 * its state. */

static const char JSON_TYPE[] = "application/json";
static const char PROTOBUF_TYPE[] = "application/x-protobuf";

bool api_check_head(struct http_request *req, bool *ret_json)
{
    if (req->method != HTTP_POST) {
        http_set_header(req, "Allow", "POST");
        http_respond_text(req, 405, "Expecting one of { 'POST' }, but received '" STR_FMT "'",
            STR_ARG(req->method_name));
        return false;
    }
    struct str type = http_request_header(req, "Content-Type");
    if (!type.p) {
        http_respond_text(req, 400, "Expecting 'Content-Type' to be present");
        return false;
    }
    type = http_media_type(type);
    if (str_eq_c(type, JSON_TYPE)) {
        *ret_json = true;
    } else if (str_eq_c(type, PROTOBUF_TYPE)) {
        *ret_json = false;
    } else {
        http_respond_text(
            req, 415, "Expecting 'Content-Type' of %s or %s", JSON_TYPE, PROTOBUF_TYPE);
        return false;
    }
    return true;
}

/* Of calls that have, or had in the past, an answer to read. */
static bool check_accept(struct http_request *req, bool *ret_json)
{
    struct str accept = http_headers_join(&req->headers, "Accept", &req->arena);
    *ret_json = http_accepts(accept, JSON_TYPE);
    if (*ret_json || http_accepts(accept, PROTOBUF_TYPE))
        return true;
    http_respond_text(req, 406, "Expecting 'Accept' to allow %s or %s", JSON_TYPE, PROTOBUF_TYPE);
    return false;
}

static void subscribe(
    struct shell *s, struct http_request *req, const Mesos__V1__Scheduler__Call *call)
{
    bool json;
    if (!check_accept(req, &json))
        return;
    if (http_request_header(req, "Mesos-Stream-Id").p) {
        http_respond_text(
            req, 400, "Subscribe calls should not include the 'Mesos-Stream-Id' header");
        return;
    }
    char stream_id[UUID_TEXT_SIZE];
    uuid_random_text(stream_id);
    http_set_header(req, "Mesos-Stream-Id", stream_id);
    struct peer *p = peer_new(s, PEER_SCHEDULER, req, json);
    http_respond_begin(req, 200, json ? JSON_TYPE : PROTOBUF_TYPE);
    const Mesos__V1__FrameworkInfo *info = call->subscribe->framework_info;
    log_info("framework subscribes name=%s id=%s stream=%llu stream_id=%s", info->name,
        info->id && info->id->value ? info->id->value : "new", (unsigned long long)p->id,
        stream_id);
    master_core_subscribe(s->core, p->id, stream_id, call, shell_now(s));
}

/* Whether the call is the caller's own to make. A framework that subscribes without a principal
 * gets the caller's name; one that is updated must tell the principal that it has. The order of the
 * checks is that of the API: an unknown framework is told later. */
static bool check_principal(
    struct shell *s, struct http_request *req, const Mesos__V1__Scheduler__Call *call)
{
    const char *who = req->subject->principal;
    Mesos__V1__FrameworkInfo *info = call->subscribe ? call->subscribe->framework_info : NULL;
    const char *of = info && info->principal ? info->principal : NULL;
    if (!who)
        return true;
    if (info && !of)
        info->principal = arena_strdup(&req->arena, who);
    if (!info && call->framework_id)
        of = master_core_framework_principal(
            s->core, call->framework_id->value ? call->framework_id->value : "");
    if (!of || streq(of, who))
        return true;
    http_respond_text(req, 400,
        "Authenticated principal '%s' does not match principal '%s' set in `FrameworkInfo`", who,
        of);
    return false;
}

/* What frameworks do for their own book-keeping is not worth a line. */
static void note(struct shell *s, struct http_request *req, const Mesos__V1__Scheduler__Call *call)
{
    static const Mesos__V1__Scheduler__Call__Type written[] = {
        MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE, MESOS__V1__SCHEDULER__CALL__TYPE__TEARDOWN,
        MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT, MESOS__V1__SCHEDULER__CALL__TYPE__KILL,
        MESOS__V1__SCHEDULER__CALL__TYPE__SHUTDOWN, MESOS__V1__SCHEDULER__CALL__TYPE__MESSAGE,
        MESOS__V1__SCHEDULER__CALL__TYPE__UPDATE_FRAMEWORK};
    bool changes = false;
    for (size_t i = 0; i < ARRAY_SIZE(written); i++)
        changes = changes || call->type == written[i];
    const char *name = wire_enum_name(
        &mesos__v1__scheduler__call__type__descriptor, (int)call->type);
    gate_note(&s->security.gate, req,
        arena_printf(&req->arena, "POST /api/v1/scheduler %s", name ? name : "?"),
        call->framework_id ? call->framework_id->value : NULL, changes);
}

/* A valid call that waits for its turn. */
struct turn {
    struct shell *s;
    const Mesos__V1__Scheduler__Call *call;
};

void scheduler_http_go(struct http_request *req, void *userdata)
{
    struct turn *t = req->userdata;
    struct shell *s = t->s;
    const Mesos__V1__Scheduler__Call *call = t->call;
    struct error err = ERROR_INIT;
    /* Leadership may have gone while it waited. */
    if (!shell_require_leader(s, req))
        return;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE) {
        subscribe(s, req, call);
        shell_wake(s);
        return;
    }
    bool json;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE_OPERATIONS &&
        !check_accept(req, &json))
        return;
    struct str id = http_request_header(req, "Mesos-Stream-Id");
    char *stream_id = id.p ? arena_strndup(&req->arena, id.p, id.n) : NULL;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__TEARDOWN)
        log_info("framework asks for its teardown framework=%s", call->framework_id->value);
    uint64_t before = master_core_last_mutation(s->core);
    int status = master_core_call(s->core, stream_id, call, shell_now(s), &err);
    if (status >= 400)
        http_respond_text(req, status, "%s", err.msg);
    else
        shell_respond_durable(s, req, before, status, status == 200 ? "application/json" : NULL);
    shell_wake(s);
}

static void handle_body(struct http_request *req)
{
    struct shell *s = req->userdata;
    /* Leadership may have gone while the body came in. */
    if (!shell_require_leader(s, req))
        return;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    struct str type = http_media_type(http_request_header(req, "Content-Type"));
    int r = str_eq_c(type, JSON_TYPE) ? wire_parse_json(&mesos__v1__scheduler__call__descriptor,
                                            &req->arena, req->body.p, req->body.n, &m, &err)
                                      : wire_unpack(&mesos__v1__scheduler__call__descriptor,
                                            &req->arena, req->body.p, req->body.n, &m, &err);
    if (r < 0) {
        http_respond_text(req, 400, "Failed to parse body into Call: %s", err.msg);
        return;
    }
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)m;
    if (wire_check_required(m, &err) < 0) {
        http_respond_text(req, 400, "Failed to convert body into Call: %s", err.msg);
        return;
    }
    if (master_call_validate(call, &err) < 0) {
        http_respond_text(req, 400, "Failed to validate scheduler::Call: %s", err.msg);
        return;
    }
    note(s, req, call);
    if (!check_principal(s, req, call))
        return;
    const char *principal = call->subscribe             ? call->subscribe->framework_info->principal
                            : call->framework_id->value ? master_core_framework_principal(
                                                              s->core, call->framework_id->value)
                                                        : NULL;
    struct turn *t = arena_new(&req->arena, struct turn);
    *t = (struct turn){s, call};
    req->userdata = t;
    rate_limits_pass(s->rates, principal && *principal ? principal : NULL, req);
}

void scheduler_http_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    bool json;
    if (!master_enter_framework(&s->security, req) || !shell_require_leader(s, req) ||
        !api_check_head(req, &json))
        return;
    req->userdata = s;
    http_request_collect(req, 0, handle_body);
}
