#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/election.h"
#include "master/shell.h"

/*
 * The endpoints people and tools read: /state and its kin. Every one exists under /master/ too, and
 * with the old suffix .json.
 */

struct endpoint {
    const char *path;
    document write;
    bool local;   /* answered by every master, leading or not */
    bool changes; /* differs from one moment to the next though the core did not change */
    bool open;    /* nobody is asked who they are */
    bool claims;  /* nor does it take a principal with a name */
    enum auth_action action; /* needed for the whole document; 0 = none */
};

static const struct endpoint endpoints[] = {
    {"/state", write_state},
    {"/state-summary", write_state_summary},
    {"/slaves", write_slaves, .claims = true},
    {"/frameworks", write_frameworks},
    {"/tasks", write_tasks},
    {"/roles", write_roles},
    {"/allocator/trace", write_allocator_trace, .changes = true},
    {"/hierarchical-allocator(1)/offer_constraints_debug", write_offer_constraints_debug},
    {"/flags", write_flags, true, true, .action = AUTH_VIEW_FLAGS},
    {"/version", write_version, true, true, .open = true},
};

/* ---- answering ---- */

struct asked {
    struct operator_call call;
    document write;
    struct str callback; /* of jsonp; the script is made with the document, which may be large */
};

static void write_document(struct shell *s, void *subject, struct json_writer *w)
{
    const struct asked *a = subject;
    (void)s;
    if (a->callback.p) {
        buf_append(w->out, a->callback.p, a->callback.n);
        buf_putc(w->out, '(');
    }
    a->write(&a->call, w);
    if (a->callback.p)
        buf_putc(w->out, ')');
}

static void ask(struct shell *s, struct http_request *req, const struct endpoint *e)
{
    struct asked *a = arena_new(&req->arena, struct asked);
    operator_call_init(&a->call, s, req);
    a->call.path = str_of(e->path);
    const char *object = e->action == AUTH_GET_ENDPOINT ? e->path : NULL;
    if (e->action && !operator_may(&a->call, e->action, object))
        return;
    a->write = e->write;
    a->callback = http_request_param(req, "jsonp");
    if (a->callback.p && !http_callback_valid(a->callback)) {
        http_respond_text(req, 400, "The jsonp callback is not a name");
        return;
    }
    const struct document_order order = {
        .key = arena_printf(
            &req->arena, "%s?" STR_FMT " %s", e->path, STR_ARG(req->query), a->call.view_key),
        .content_type = a->callback.p ? "text/javascript" : "application/json",
        .conditional = !e->changes,
        .write = write_document,
        .subject = a,
    };
    if (e->changes)
        documents_answer_now(s->documents, req, &order);
    else
        documents_ask(s->documents, req, &order);
}

/* ---- those that are no documents ---- */

static void redirect(struct shell *s, struct http_request *req)
{
    char self[384];
    snprintf(self, sizeof(self), "%s:%u", s->hostname, s->port);
    _cleanup_buf_ struct buf leader = BUF_INIT;
    if (!s->leading && !election_leader(s, &leader)) {
        http_respond_text(req, 503, "No leader elected");
        return;
    }
    http_set_header_f(req, "Location", "//%s", s->leading ? self : buf_cstr(&leader));
    http_respond(req, 307, NULL, NULL, 0);
}

static void teardown(struct operator_call *c)
{
    struct shell *s = c->s;
    struct http_request *req = c->req;
    struct http_params params;
    if (http_params_parse(req->body, &req->arena, &params) < 0) {
        http_respond_text(req, 400, "Unable to parse query string");
        return;
    }
    struct str id = http_params_get(&params, "frameworkId");
    if (!id.p) {
        http_respond_text(req, 400, "Missing 'frameworkId' query parameter");
        return;
    }
    struct error err = ERROR_INIT;
    char *text = arena_strndup(&req->arena, id.p, id.n);
    const char *principal = master_core_framework_principal(s->core, text);
    operator_object(c, text);
    if (principal && !operator_may(c, AUTH_TEARDOWN_FRAMEWORK, principal))
        return;
    uint64_t before = master_core_last_mutation(s->core);
    if (master_core_teardown(s->core, text, shell_now(s), &err) < 0) {
        http_respond_text(req, 400, "%s", err.msg);
        return;
    }
    log_info("framework torn down by an operator framework=%s", text);
    operator_done(c, before, 200);
}

static void health(struct operator_call *c)
{
    http_respond(c->req, 200, NULL, NULL, 0);
}

static void redirect_to_leader(struct operator_call *c)
{
    redirect(c->s, c->req);
}

/* ---- endpoints that do something, or are no documents ---- */

enum { ANY_METHOD = 0, GET = 1u << HTTP_GET | 1u << HTTP_HEAD, POST = 1u << HTTP_POST };

static const struct action {
    const char *path;
    unsigned methods;
    bool local;  /* answered by every master, leading or not */
    bool prefix; /* the path goes on: "/quota/<role>" */
    enum gate_kind kind;
    bool claims; /* a principal needs no name */
    void (*handle)(struct operator_call *c);
} actions[] = {
    {"/health", ANY_METHOD, .local = true, .kind = GATE_OPEN, .handle = health},
    {"/redirect", ANY_METHOD, .local = true, .kind = GATE_OPEN, .handle = redirect_to_leader},
    {"/", GET, .local = true, .kind = GATE_OPEN, .handle = endpoint_landing},
    {"/metrics", GET, .local = true, .kind = GATE_READ, .handle = endpoint_metrics},
    {"/metrics/snapshot", GET, .local = true, .kind = GATE_READ,
        .handle = endpoint_metrics_snapshot},
    {"/metrics/snapshot.json", GET, .local = true, .kind = GATE_READ,
        .handle = endpoint_metrics_snapshot},
    {"/logging/toggle", ANY_METHOD, .local = true, .kind = GATE_WRITE,
        .handle = endpoint_logging_toggle},
    {"/system/stats.json", GET, .local = true, .kind = GATE_OPEN, .handle = endpoint_system_stats},
    {"/__processes__", GET, .local = true, .kind = GATE_OPEN, .handle = endpoint_processes},
    {"/help", GET, .local = true, .prefix = true, .kind = GATE_OPEN, .handle = endpoint_help},
    {"/files", GET, .local = true, .prefix = true, .kind = GATE_READ, .handle = endpoint_files},
    {"/teardown", POST, .handle = teardown},
    {"/maintenance/schedule", GET | POST, .claims = true, .handle = maintenance_schedule_endpoint},
    {"/maintenance/status", GET, .kind = GATE_READ, .claims = true,
        .handle = maintenance_status_endpoint},
    {"/machine/down", POST, .claims = true, .handle = machine_down_endpoint},
    {"/machine/up", POST, .claims = true, .handle = machine_up_endpoint},
    {"/reserve", POST, .handle = endpoint_reserve},
    {"/unreserve", POST, .handle = endpoint_unreserve},
    {"/create-volumes", POST, .handle = endpoint_create_volumes},
    {"/destroy-volumes", POST, .handle = endpoint_destroy_volumes},
    {"/quota", GET | POST | 1u << HTTP_DELETE, .prefix = true, .handle = operator_quota_endpoint},
    {"/weights", GET | 1u << HTTP_PUT, .handle = operator_weights_endpoint},
};

static bool method_fits(struct http_request *req, unsigned methods)
{
    if (methods == ANY_METHOD || (methods & 1u << req->method))
        return true;
    _cleanup_buf_ struct buf allow = BUF_INIT;
    for (unsigned m = 0; m < HTTP_METHOD_OTHER; m++)
        if (methods & 1u << m)
            buf_printf(&allow, "%s%s", allow.n ? ", " : "", http_method_name((enum http_method)m));
    http_set_header(req, "Allow", buf_cstr(&allow));
    http_respond_text(req, 405, "Expecting one of { %s }", buf_cstr(&allow));
    return false;
}

static void act(struct http_request *req)
{
    struct operator_call *c = req->userdata;
    /* Leadership may have gone while the body came in. */
    const struct action *a = c->action;
    if (a->local || shell_require_leader(c->s, req))
        a->handle(c);
}

static bool find_action(struct shell *s, struct http_request *req, struct str path)
{
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        const struct action *a = &actions[i];
        struct str rest = path;
        if (a->prefix && str_has_prefix(path, str_of(a->path)) && path.n > strlen(a->path) &&
            path.p[strlen(a->path)] == '/')
            rest.n = strlen(a->path);
        if (!str_eq_c(rest, a->path))
            continue;
        if (!master_enter_operator(&s->security, req, path, a->kind, a->claims))
            return true;
        if (!a->local && !shell_require_leader(s, req))
            return true;
        if (!method_fits(req, a->methods))
            return true;
        struct operator_call *c = arena_new(&req->arena, struct operator_call);
        operator_call_init(c, s, req);
        c->action = a;
        c->path = path;
        req->userdata = c;
        http_request_collect(req, 0, act);
        return true;
    }
    return false;
}

void operator_http_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    struct str path = req->path;
    if (str_has_prefix(path, STR("/master/"))) {
        path.p += sizeof("/master") - 1;
        path.n -= sizeof("/master") - 1;
    }
    if (find_action(s, req, path))
        return;
    if (str_has_suffix(path, STR(".json")))
        path.n -= sizeof(".json") - 1;
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (!str_eq_c(path, e->path))
            continue;
        enum gate_kind kind = e->open ? GATE_OPEN : GATE_READ;
        if (!master_enter_operator(&s->security, req, path, kind, e->claims))
            return;
        if (!method_fits(req, GET))
            return;
        if (!e->local && !shell_require_leader(s, req))
            return;
        ask(s, req, e);
        return;
    }
    http_respond_text(req, 404, "Not Found");
}
