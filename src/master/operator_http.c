#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/shell.h"

/*
 * The endpoints people and tools read: /state and its kin. Every one exists under /master/ too, and
 * with the old suffix .json.
 *
 * Documents are rendered after the events of the loop's turn; everyone who asks for the same one
 * while nothing changed gets the same bytes.
 */

#define RENDERED_KEEP_US USEC_PER_SEC

struct endpoint {
    const char *path;
    document write;
    bool local;   /* answered by every master, leading or not */
    bool changes; /* differs from one moment to the next though the core did not change */
};

static const struct endpoint endpoints[] = {
    {"/state", write_state},
    {"/state-summary", write_state_summary},
    {"/slaves", write_slaves},
    {"/frameworks", write_frameworks},
    {"/tasks", write_tasks},
    {"/roles", write_roles},
    {"/metrics/snapshot", write_metrics, true, true},
    {"/flags", write_flags, true, true},
    {"/version", write_version, true, true},
};

/* ---- answering ---- */

static bool callback_valid(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '$' || c == '.'))
            return false;
    }
    return name.n > 0 && name.n <= 256;
}

static void respond(struct http_request *req, struct blob *body)
{
    struct str callback = http_request_param(req, "jsonp");
    if (!callback.p) {
        http_respond_blob(req, 200, "application/json", body);
        return;
    }
    if (!callback_valid(callback)) {
        http_respond_text(req, 400, "The jsonp callback is not a name");
        return;
    }
    _cleanup_buf_ struct buf script = BUF_INIT;
    buf_append(&script, callback.p, callback.n);
    buf_putc(&script, '(');
    buf_append(&script, body->p, body->n);
    buf_putc(&script, ')');
    http_respond(req, 200, "text/javascript", script.p, script.n);
}

static struct rendered *find_rendered(struct shell *s, const char *key)
{
    uint64_t version = master_core_version(s->core);
    for (size_t i = 0; i < RENDERED_MAX; i++)
        if (s->rendered[i].key && s->rendered[i].version == version &&
            streq(s->rendered[i].key, key))
            return &s->rendered[i];
    return NULL;
}

static void forget(struct rendered *r)
{
    free(r->key);
    blob_unref(r->body);
    *r = (struct rendered){0};
}

static struct blob *render(struct shell *s, struct http_request *req, document write)
{
    struct buf body = BUF_INIT;
    struct json_writer w;
    blob_begin(&body);
    jw_init(&w, &body);
    write(s, req, &w);
    return blob_end(&body);
}

static void answer(struct asking *q)
{
    struct shell *s = q->shell;
    struct http_request *req = q->req;
    /* The host part of nothing: path and query say it all. */
    char *key = arena_printf(
        &req->arena, "%p " STR_FMT, (void *)(uintptr_t)q->write, STR_ARG(req->query));
    struct rendered *r = find_rendered(s, key);
    if (r) {
        s->http_cache_hits++;
    } else {
        r = &s->rendered[s->next_rendered++ % RENDERED_MAX];
        forget(r);
        *r = (struct rendered){
            .key = xstrdup(key),
            .version = master_core_version(s->core),
            .body = render(s, req, q->write),
        };
    }
    if (r->body->n > RENDERED_BYTES_MAX)
        timer_start(&s->rendered_timer, RENDERED_KEEP_US);
    respond(req, r->body);
}

/* Memory of large documents is held only while they are asked for. */
void operator_http_forget(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, rendered_timer);
    for (size_t i = 0; i < RENDERED_MAX; i++)
        if (s->rendered[i].key && s->rendered[i].body->n > RENDERED_BYTES_MAX)
            forget(&s->rendered[i]);
}

void operator_http_answer(struct deferred *d)
{
    struct shell *s = container_of(d, struct shell, answer);
    struct asking *q;
    while ((q = list_first(&s->waiting, struct asking, node))) {
        list_remove(&q->node);
        if (!http_responded(q->req))
            answer(q);
        http_request_unref(q->req);
        free(q);
    }
}

void operator_http_done(struct shell *s)
{
    deferred_cancel(&s->answer);
    timer_stop(&s->rendered_timer);
    struct asking *q;
    while ((q = list_first(&s->waiting, struct asking, node))) {
        list_remove(&q->node);
        http_request_unref(q->req);
        free(q);
    }
    for (size_t i = 0; i < RENDERED_MAX; i++)
        forget(&s->rendered[i]);
}

static void ask(struct shell *s, struct http_request *req, document write)
{
    struct asking *q = xnew(struct asking);
    *q = (struct asking){.shell = s, .req = req, .write = write};
    list_init(&q->node);
    http_request_ref(req);
    list_push(&s->waiting, &q->node);
    loop_defer(s->loop, &s->answer);
}

static void answer_now(struct shell *s, struct http_request *req, document write)
{
    struct blob *body = render(s, req, write);
    respond(req, body);
    blob_unref(body);
}

/* ---- those that are no documents ---- */

static void redirect(struct shell *s, struct http_request *req)
{
    char self[384];
    snprintf(self, sizeof(self), "%s:%u", s->hostname, s->port);
    _cleanup_buf_ struct buf leader = BUF_INIT;
    if (!s->leading && (store_leader_info(s->store, &leader, NULL) < 0 || leader.n == 0)) {
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
    void (*handle)(struct operator_call *c);
} actions[] = {
    {"/health", ANY_METHOD, .local = true, .handle = health},
    {"/redirect", ANY_METHOD, .local = true, .handle = redirect_to_leader},
    {"/teardown", POST, .handle = teardown},
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
        if (!a->local && !shell_require_leader(s, req))
            return true;
        if (!method_fits(req, a->methods))
            return true;
        struct operator_call *c = arena_new(&req->arena, struct operator_call);
        *c = (struct operator_call){.s = s, .req = req, .json = true, .action = a, .path = path};
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
        if (!method_fits(req, GET))
            return;
        if (!e->local && !shell_require_leader(s, req))
            return;
        if (e->changes)
            answer_now(s, req, e->write);
        else
            ask(s, req, e->write);
        return;
    }
    http_respond_text(req, 404, "Not Found");
}
