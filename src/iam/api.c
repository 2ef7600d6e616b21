#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/clock.h"
#include "base/log.h"
#include "iam/shell.h"

/* From request to call and from outcome to answer. */

static const char PREFIX[] = "/acs/api/v1";

/* ---- answers ---- */

void call_document(struct iam_call *c, int status, const struct buf *body)
{
    http_respond(c->req, status, "application/json", body->p, body->n);
}

void call_array_begin(struct json_writer *w, struct buf *body)
{
    jw_init(w, body);
    jw_begin_object(w);
    jw_key(w, "array");
    jw_begin_array(w);
}

void call_array_end(struct iam_call *c, struct json_writer *w, const struct buf *body)
{
    jw_end_array(w);
    jw_end_object(w);
    call_document(c, 200, body);
}

static void respond_error(
    struct http_request *req, int status, const char *code, const char *description)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "title", http_status_text(status));
    jw_field_string(&w, "description", description);
    jw_field_string(&w, "code", code);
    jw_end_object(&w);
    http_respond(req, status, "application/json", body.p, body.n);
}

void call_refuse(struct iam_call *c, int status, const char *code, const char *fmt, ...)
{
    struct iam_reply reply = {.status = status};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reply.text, sizeof(reply.text), fmt, ap);
    va_end(ap);
    respond_error(c->req, status, code, reply.text);
}

void call_not_allowed(struct iam_call *c, const char *allow)
{
    http_set_header(c->req, "Allow", allow);
    call_refuse(c, 405, "ERR_METHOD_NOT_ALLOWED", "This path serves %s", allow);
}

/* ---- making changes durable ---- */

struct storing {
    struct iam *iam;
    void (*done)(void *userdata);
    void *userdata;
    VEC(struct iam_change) changes;
};

static void storing_free(struct storing *w)
{
    VEC_FOREACH (change, &w->changes)
        iam_change_done(change);
    vec_done(&w->changes);
    free(w);
}

static void stored(int status, ssize_t failed_op, const int64_t *new_versions, void *userdata)
{
    struct storing *w = userdata;
    struct iam *s = w->iam;
    if (status < 0) {
        /* Memory is ahead of the disk: the only safe way on is a new start. */
        iam_fail(s, "cannot store", store_failure(s->store));
    } else if (!s->stopping) {
        VEC_FOREACH (change, &w->changes)
            if (change->shown || !change->stored)
                follow_publish(s, change->key, change->shown);
    }
    if (w->done)
        w->done(w->userdata);
    storing_free(w);
}

/* One batch of changes from number `from`; returns where the next begins. */
static size_t commit_some(struct iam *s, size_t from, void (*done)(void *userdata), void *userdata)
{
    struct storing *w = xnew(struct storing);
    w->iam = s;
    VEC(struct store_op) ops = {0};
    size_t bytes = 0, i = from;
    for (; i < s->core.changes.n; i++) {
        const struct iam_change *change = &s->core.changes.items[i];
        const struct store_op op = {.type = change->stored ? STORE_PUT : STORE_DELETE,
            .key = change->key,
            .value = change->stored,
            .n = change->stored ? strlen(change->stored) : 0,
            .version = STORE_ANY_VERSION};
        bytes += store_op_size(op.key, op.n);
        if (ops.n == STORE_BATCH_OPS_MAX || (ops.n && bytes > STORE_BATCH_MAX))
            break;
        vec_push(&ops, op);
        vec_push(&w->changes, *change);
    }
    if (i == s->core.changes.n) {
        w->done = done;
        w->userdata = userdata;
    }
    struct error err = ERROR_INIT;
    int r = store_commit(s->store, ops.items, ops.n, stored, w, &err);
    vec_done(&ops);
    if (r < 0) {
        iam_fail(s, "cannot store", err.msg);
        if (w->done)
            w->done(w->userdata);
        storing_free(w);
    }
    return i;
}

/* Deleting a user may touch more documents than fit one batch. Batches become durable in their
 * order, and the user goes with the last one: what a crash leaves is a user with less permissions,
 * and a call that was not answered. */
void iam_commit(struct iam *s, void (*done)(void *userdata), void *userdata)
{
    size_t at = 0;
    do
        at = commit_some(s, at, done, userdata);
    while (at < s->core.changes.n);
    s->core.changes.n = 0; /* the batches have them */
}

struct answer {
    struct iam *iam;
    struct http_request *req; /* referenced */
    int status;
};

static void answer_stored(void *userdata)
{
    struct answer *a = userdata;
    if (!a->iam->stopping)
        http_respond(a->req, a->status, NULL, NULL, 0);
    http_request_unref(a->req);
    free(a);
}

void call_finish(struct iam_call *c, const struct iam_reply *reply)
{
    if (reply->status >= 400) {
        respond_error(c->req, reply->status, reply->code, reply->text);
        return;
    }
    if (!c->iam->core.changes.n) {
        http_respond(c->req, reply->status, NULL, NULL, 0);
        return;
    }
    struct answer *a = xnew(struct answer);
    *a = (struct answer){.iam = c->iam, .req = c->req, .status = reply->status};
    http_request_ref(c->req);
    iam_commit(c->iam, answer_stored, a);
}

/* ---- who calls ---- */

/* The text of a token in `Authorization` or, without that header, in the cookie. */
static struct str find_token(struct http_request *req)
{
    struct str header = http_request_header(req, "Authorization");
    static const char *const forms[] = {"token=", "Bearer "};
    if (header.p) {
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
            const char *at = memmem(header.p, header.n, forms[i], strlen(forms[i]));
            if (at) {
                at += strlen(forms[i]);
                return (struct str){at, header.n - (size_t)(at - header.p)};
            }
        }
        return (struct str){0};
    }
    struct str cookies = http_headers_join(&req->headers, "Cookie", &req->arena), part;
    while (str_split(&cookies, ';', &part)) {
        part = str_trim(part);
        struct str name = STR("dcos-acs-auth-cookie=");
        if (str_has_prefix(part, name))
            return (struct str){part.p + name.n, part.n - name.n};
    }
    return (struct str){0};
}

static void identify(struct iam_call *c)
{
    struct iam *s = c->iam;
    c->local = c->req->peer_is_unix;
    struct str token = find_token(c->req);
    struct jwt jwt;
    if (token.p &&
        jwt_verify(s->keys, token, iam_now(s) / USEC_PER_SEC, &c->req->arena, &jwt, NULL) == 0) {
        const struct auth_subject who = {.claims = jwt.claims, .n_claims = jwt.n_claims};
        const char *uid = auth_claim_get(&who, "uid");
        if (policy_token_counts(&s->core.policy, uid, jwt.issued_us))
            c->uid = uid;
    }
    c->superuser = (c->local && !token.p) || (!s->options.require_auth && !token.p) ||
                   policy_is_superuser(&s->core.policy, c->uid);
}

/* ---- routing ---- */

/* Segments of the path, each decoded on its own; a '/' in a name comes escaped, once or (through
 * the router) twice. */
static bool split_path(struct iam_call *c)
{
    struct str rest = c->req->raw_path, part;
    if (!str_has_prefix(rest, str_of(PREFIX)))
        return false;
    rest.p += sizeof(PREFIX) - 1;
    rest.n -= sizeof(PREFIX) - 1;
    while (str_split(&rest, '/', &part)) {
        if (!part.n)
            continue;
        if (c->n_seg == API_SEGMENTS_MAX)
            return false;
        struct str name = http_unescape(part, false, &c->req->arena);
        if (name.p && memchr(name.p, '%', name.n)) {
            struct str again = http_unescape(name, false, &c->req->arena);
            name = again.p ? again : name;
        }
        if (!name.p)
            return false;
        c->seg[c->n_seg++] = arena_strndup(&c->req->arena, name.p, name.n);
    }
    return c->n_seg > 0;
}

static const struct area {
    const char *name;
    void (*handle)(struct iam_call *c);
    bool open; /* to callers without a token */
} areas[] = {
    {"auth", auth_handle, true},
    {"users", users_handle, false},
    {"groups", groups_handle, false},
    {"acls", acls_handle, false},
    {"internal", internal_handle, false},
};

/* Everything but /auth is for superusers; a user may see what they themselves are allowed, and a
 * daemon's service account follow the policy. */
static bool may_call(const struct iam_call *c)
{
    if (c->superuser)
        return true;
    if (!c->uid || c->req->method != HTTP_GET)
        return false;
    if (c->n_seg == 2 && streq(c->seg[0], "internal") && has_prefix(c->seg[1], "policy"))
        return policy_allows(&c->iam->core.policy, c->uid, "dcos:iam:policy", POLICY_READ);
    return c->n_seg >= 2 && streq(c->seg[0], "users") && streq(c->seg[1], c->uid) &&
           (c->n_seg == 2 || (c->n_seg == 3 && streq(c->seg[2], "permissions")));
}

/* Every call that changes something, every login, and whatever was refused. */
static void note(struct iam_call *c)
{
    struct http_request *req = c->req;
    bool reads = req->method == HTTP_GET || req->method == HTTP_HEAD;
    bool login = c->n_seg == 2 && streq(c->seg[0], "auth") && streq(c->seg[1], "login");
    if (!c->iam->gate.audit)
        return;
    struct auth_subject *who = arena_new(&req->arena, struct auth_subject);
    who->principal = c->uid ? c->uid : c->superuser && c->local ? "local" : NULL;
    req->subject = who;
    gate_note(&c->iam->gate, req,
        arena_printf(&req->arena, "%s " STR_FMT, http_method_name(req->method), STR_ARG(req->path)),
        login && json_is_object(c->body)
            ? arena_printf(&req->arena, "%.96s", json_str_at(c->body, "uid", ""))
            : NULL,
        !reads);
}

void call_note(struct iam_call *c, const char *object)
{
    gate_note(&c->iam->gate, c->req, NULL, arena_strdup(&c->req->arena, object), true);
}

static void ui_config(struct iam_call *c);

static void dispatch(struct http_request *req)
{
    struct iam *s = req->userdata;
    struct iam_call *c = arena_new(&req->arena, struct iam_call);
    *c = (struct iam_call){.iam = s, .req = req};
    if (!split_path(c)) {
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
        return;
    }
    /* What a form of another site could send is no JSON, whatever it looks like. */
    struct str type = http_media_type(http_request_header(req, "Content-Type"));
    if (req->body.n && (!type.n || str_ieq_c(type, "application/json")))
        (void)json_parse(req->body.p, req->body.n, &c->body, NULL); /* NULL is refused later */
    if (streq(c->seg[0], "uiconfig")) {
        ui_config(c);
        json_decref(c->body);
        return;
    }
    identify(c);
    note(c);
    const struct area *area = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
        if (streq(c->seg[0], areas[i].name))
            area = &areas[i];
    if (!area) {
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
    } else if (!area->open && !c->superuser && !c->uid) {
        http_set_header(req, "WWW-Authenticate", "acsjwt");
        call_refuse(c, 401, "ERR_UNAUTHENTICATED", "Log in first: the call carries no valid token");
    } else if (!area->open && !may_call(c)) {
        call_refuse(c, 403, "ERR_FORBIDDEN",
            "This needs the permission dcos:superuser; `%s` lacks it", c->uid);
    } else {
        area->handle(c);
    }
    /* Handlers that go on later keep what they need in the arena. */
    json_decref(c->body);
    c->body = NULL;
}

void iam_http_handle(struct http_request *req, void *userdata)
{
    struct iam *s = userdata;
    if (str_eq_c(req->path, "/health")) {
        http_respond(req, s->ready || peers_know_leader(s) ? 200 : 503, NULL, NULL, 0);
        return;
    }
    if (peers_pass_on(s, req))
        return;
    if (!s->ready) {
        respond_error(req, 503, "ERR_NOT_READY", "The identity service is starting");
        return;
    }
    req->userdata = s;
    http_request_collect(req, API_BODY_MAX, dispatch);
}

/* ---- /uiconfig: what the console needs to know before anybody logged in ---- */

static json_t *read_document(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_t *o = NULL;
    if (path && file_read(path, API_BODY_MAX, &text, NULL) >= 0 &&
        json_parse(text.p, text.n, &o, NULL) < 0)
        log_warn("the console's configuration is no JSON path=%s, ignoring", path);
    return o;
}

static void ui_config(struct iam_call *c)
{
    struct iam *s = c->iam;
    json_t *o = read_document(s->options.ui_config_file);
    if (!json_is_object(o)) {
        json_decref(o);
        o = json_object();
    }
    json_t *cluster = json_object();
    _cleanup_buf_ struct buf id = BUF_INIT;
    if (s->options.cluster_id_file && file_read(s->options.cluster_id_file, 4096, &id, NULL) >= 0) {
        struct str text = str_trim(buf_str(&id));
        json_object_set_new(cluster, "id", json_stringn(text.p, text.n));
    }
    bool any = false;
    MAP_FOREACH (e, &s->core.policy.users)
        any = any || !((struct policy_user *)e->value)->public_key;
    json_object_set_new(cluster, "firstUser", json_boolean(!any));
    json_object_set_new(o, "clusterConfiguration", cluster);
    _cleanup_buf_ struct buf body = BUF_INIT;
    json_dump(o, &body);
    json_decref(o);
    call_document(c, 200, &body);
}
