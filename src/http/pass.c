#include "http/pass.h"

#include <strings.h>

#include "base/alloc.h"

struct pass {
    struct http_pass_options o;
    struct http_request *req; /* referenced */
    struct http_call *call;   /* NULL: over */
    int status;
    char *type;
    bool begun;
};

/* The client is gone, or has its answer. */
static void closed(struct http_request *req)
{
    struct pass *p = req->userdata;
    req->userdata = NULL;
    req->on_close = NULL;
    if (p->call)
        http_call_cancel(p->call);
    if (p->o.on_end)
        p->o.on_end(p->o.userdata);
    free(p->type);
    http_request_unref(req);
    free(p);
}

static bool is_one_of(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_ieq_c(name, names[i]))
            return true;
    }
    return false;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    static const char *const ours[] = {"Connection", "Keep-Alive", "Transfer-Encoding",
        "Content-Length", "Content-Type", "Date", "Server"};
    struct pass *p = userdata;
    p->status = res->status;
    for (size_t i = 0; i < res->headers.n; i++) {
        const struct http_header *h = &res->headers.items[i];
        if (is_one_of(h->name, ours, ARRAY_SIZE(ours)))
            continue;
        _cleanup_free_ char *name = str_dup(h->name), *value = str_dup(h->value);
        http_set_header(p->req, name, value);
    }
    struct str type = http_headers_get(&res->headers, "Content-Type");
    p->type = type.n ? str_dup(type) : NULL;
    if (p->o.on_answer)
        p->o.on_answer(res->status, NULL, p->o.userdata);
}

static void on_drain(struct http_request *req)
{
    struct pass *p = req->userdata;
    if (p && p->call)
        http_call_resume(p->call);
}

static void on_data(struct http_call *call, const char *data, size_t n, void *userdata)
{
    struct pass *p = userdata;
    struct http_request *req = p->req;
    http_request_ref(req); /* writing may find that the client is gone, and then p is too */
    if (!p->begun) {
        p->begun = true;
        http_respond_on_drain(req, on_drain);
        http_respond_begin(req, p->status, p->type);
    }
    if (req->userdata)
        http_respond_write(req, data, n);
    if (req->userdata && http_respond_queued(req) > HTTP_PASS_AHEAD_MAX)
        http_call_pause(call);
    http_request_unref(req);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct pass *p = userdata;
    p->call = NULL;
    if (status < 0 && !p->status && p->o.on_answer)
        p->o.on_answer(status, error, p->o.userdata);
    if (p->begun && status == 0)
        http_respond_end(p->req);
    else if (p->begun)
        http_respond_abort(p->req);
    else if (status == 0)
        http_respond(p->req, p->status, p->type, NULL, 0);
    else
        p->o.refuse(p->req, p->o.userdata);
}

static bool stays_behind(const struct http_pass_options *o, struct str name)
{
    static const char *const hop[] = {"Host", "Connection", "Keep-Alive", "Content-Length",
        "Content-Encoding", "Transfer-Encoding", "Accept-Encoding", "Expect", "Upgrade", "TE",
        "Trailer"};
    if (is_one_of(name, hop, ARRAY_SIZE(hop)))
        return true;
    for (size_t i = 0; i < o->n_headers; i++) {
        const struct str other = o->headers[i].name;
        if (name.n == other.n && strncasecmp(name.p, other.p, name.n) == 0)
            return true;
    }
    return false;
}

void http_pass_on(struct http_request *req, const struct http_pass_options *o)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct arena *a = &req->arena;
    struct http_header *headers = arena_new_array(
        a, struct http_header, req->headers.n + o->n_headers);
    size_t n = 0;
    for (size_t i = 0; i < req->headers.n; i++) {
        if (!stays_behind(o, req->headers.items[i].name))
            headers[n++] = req->headers.items[i];
    }
    for (size_t i = 0; i < o->n_headers; i++)
        headers[n++] = o->headers[i];
    struct str host = http_request_header(req, "Host");
    const struct http_call_options call = {
        .method = arena_strndup(a, req->method_name.p, req->method_name.n),
        .host = o->host,
        .port = o->port,
        .tls = o->tls,
        .target = arena_strndup(a, req->target.p, req->target.n),
        .host_header = host.n ? arena_strndup(a, host.p, host.n) : NULL,
        .headers = headers,
        .n_headers = n,
        .body = req->body.p,
        .body_n = req->body.n,
        .idle_timeout_us = o->idle_timeout_us};
    struct pass *p = xnew(struct pass);
    p->o = *o;
    p->req = req;
    http_request_ref(req);
    req->userdata = p;
    req->on_close = closed;
    p->call = http_call_start(o->client, &call, &handlers, p);
}
