/* HTTP requests to the API and back. */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "marathon/shell.h"

struct exchange {
    struct http_request *req;
    struct api_reply reply;
};

static void set_common_headers(struct shell *s, struct http_request *req)
{
    http_set_header(req, "Cache-Control", "no-cache, no-store, must-revalidate");
    http_set_header(req, "Pragma", "no-cache");
    http_set_header(req, "Expires", "0");
    http_set_header_f(
        req, "X-Marathon-Leader", "http%s://%s", s->info.tls ? "s" : "", s->info.address);
    http_set_header(req, "X-Frame-Options", "DENY");
    http_set_header(req, "X-XSS-Protection", "1; mode=block");
}

static void respond(struct shell *s, struct exchange *x)
{
    struct http_request *req = x->req;
    struct api_reply *r = &x->reply;
    set_common_headers(s, req);
    for (size_t i = 0; i < r->n_headers; i++) {
        if (strcmp(r->headers[i].name, "Location") == 0) {
            struct str host = http_request_header(req, "Host");
            http_set_header_f(req, "Location", "http%s://" STR_FMT "%s", s->info.tls ? "s" : "",
                STR_ARG(host.n ? host : str_of(s->info.address)), r->headers[i].value);
        } else {
            http_set_header(req, r->headers[i].name, r->headers[i].value);
        }
    }
    http_respond(req, r->status, r->content_type ? r->content_type : "application/json", r->body.p,
        r->body.n);
}

void server_forget(void *context)
{
    struct exchange *x = context;
    http_request_unref(x->req);
    api_reply_done(&x->reply);
    free(x);
}

void server_reply(struct shell *s, void *context)
{
    respond(s, context);
    server_forget(context);
}

static void handle_body(struct http_request *req)
{
    struct shell *s = req->userdata;
    struct exchange *x = xnew(struct exchange);
    struct str accept = http_request_header(req, "Accept");
    const char *path = arena_strndup(&req->arena, req->path.p, req->path.n);
    struct api_request api = {.method = req->method,
        .path = path,
        .body = req->body,
        .remote = req->peer.host,
        .accept = accept.p ? arena_strndup(&req->arena, accept.p, accept.n) : NULL,
        .uri = arena_strndup(&req->arena, req->target.p, req->target.n),
        .now_us = shell_now(s),
        .policy = s->follow ? policy_follow_policy(s->follow) : NULL,
        .uid = req->subject ? req->subject->principal : NULL};
    (void)http_params_parse(req->query, &req->arena, &api.params); /* bad escapes: no parameters */
    x->req = req;
    http_request_ref(req);
    s->info.event_streams = s->n_streams;
    api_handle(s->core, &s->info, &api, &x->reply);
    vec_push(&s->core->out, (struct out_item){.type = OUT_REPLY, .context = x});
    shell_wake(s);
}

static bool media_ok(struct http_request *req)
{
    struct str type = http_request_header(req, "Content-Type");
    struct str first;
    if (!type.p || !str_split(&type, ';', &first))
        return true;
    first = str_trim(first);
    return str_ieq_c(first, "application/json") || str_has_suffix(first, STR("+json")) ||
           str_ieq_c(first, "application/x-www-form-urlencoded");
}

static void respond_message(
    struct shell *s, struct http_request *req, int status, const char *message)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    set_common_headers(s, req);
    buf_printf(&body, "{\"message\":\"%s\"}", message);
    http_respond(req, status, "application/json", body.p, body.n);
}

/* Everybody may ask whether we are alive, nothing else without a token. */
static bool enter(struct shell *s, struct http_request *req)
{
    if (!s->follow || str_eq_c(req->path, "/ping"))
        return true;
    struct auth_verdict *v = arena_new(&req->arena, struct auth_verdict);
    authenticator_check(s->authenticator, http_request_header(req, "Authorization"), "marathon",
        shell_now(s) / USEC_PER_SEC, &req->arena, v);
    req->subject = &v->who;
    if (!v->challenge && v->who.principal)
        return true;
    http_set_header(
        req, "WWW-Authenticate", v->challenge ? v->challenge : "Bearer realm=\"marathon\"");
    respond_message(s, req, 401, "Invalid username or password.");
    return false;
}

bool server_may(struct shell *s, struct http_request *req, const char *rid, unsigned action)
{
    if (!s->follow ||
        policy_allows(policy_follow_policy(s->follow), req->subject->principal, rid, action))
        return true;
    respond_message(s, req, 403, "Not Authorized to perform this action!");
    return false;
}

void server_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    req->userdata = s;
    if (!s->loaded && standby_pass_on(s, req))
        return;
    if (!s->loaded || !store_confirm(s->store)) {
        http_respond_text(req, 503, "Marathon is still loading its state\n");
        return;
    }
    if (!enter(s, req))
        return;
    if (str_eq_c(req->path, "/v2/events") || str_eq_c(req->path, "/v2/events/")) {
        if (!server_may(s, req, "dcos:service:marathon:marathon:admin:events", POLICY_READ))
            return;
        set_common_headers(s, req);
        events_subscribe(s, req);
        return;
    }
    bool body = req->method == HTTP_POST || req->method == HTTP_PUT || req->method == HTTP_PATCH;
    if (body && !media_ok(req)) {
        set_common_headers(s, req);
        static const char text[] = "{\"message\":\"Unsupported Media Type\"}";
        http_respond(req, 415, "application/json", text, sizeof(text) - 1);
        return;
    }
    http_request_collect(req, API_BODY_MAX, handle_body);
}
