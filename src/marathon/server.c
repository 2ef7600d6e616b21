/* HTTP requests to the API and back. */

#include "base/alloc.h"
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
        .now_us = shell_now(s)};
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

void server_handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    req->userdata = s;
    if (!s->loaded || !store_confirm(s->store)) {
        http_respond_text(req, 503, "Marathon is still loading its state\n");
        return;
    }
    if (str_eq_c(req->path, "/v2/events") || str_eq_c(req->path, "/v2/events/")) {
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
