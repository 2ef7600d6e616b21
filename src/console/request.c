#include "console/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/client.h"

struct requester {
    struct loop *loop;
    struct http_client *client;
    char *user_agent, *authorization;
    int64_t timeout_us;
    bool trace;
};

/* One exchange. */
struct exchange {
    struct requester *requester;
    struct http_call *call;
    struct timer timer;
    const struct request *req;
    struct reply *reply;
    char *location;
    bool done, timed_out, stopped, too_large;
    int status;
    char error[256];
};

struct requester *requester_new(const struct requester_options *options)
{
    struct requester *q = xnew(struct requester);
    q->loop = loop_new();
    q->client = http_client_new(
        q->loop, &(struct http_client_options){.tls = options->tls, .idle_per_host = 1});
    q->user_agent = options->user_agent ? xstrdup(options->user_agent) : NULL;
    if (options->token && *options->token)
        q->authorization = xasprintf("token=%s", options->token);
    q->timeout_us = options->timeout_us;
    q->trace = options->trace;
    return q;
}

void requester_free(struct requester *q)
{
    if (!q)
        return;
    http_client_free(q->client);
    loop_free(q->loop);
    free(q->user_agent);
    free(q->authorization);
    free(q);
}

void reply_done(struct reply *r)
{
    buf_done(&r->body);
    free(r->url);
    *r = (struct reply){0};
}

static void finish(struct exchange *x)
{
    x->done = true;
    timer_stop(&x->timer);
    loop_stop(x->requester->loop);
}

static void on_timeout(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    http_call_cancel(x->call);
    x->timed_out = true;
    finish(x);
}

static void copy_header(const struct http_response *res, const char *name, char *out, size_t size)
{
    struct str value = http_headers_get(&res->headers, name);
    snprintf(out, size, STR_FMT, (int)MIN(value.n, size - 1), value.p ?: "");
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct exchange *x = userdata;
    x->reply->status = res->status;
    copy_header(res, "Content-Type", x->reply->content_type, sizeof(x->reply->content_type));
    copy_header(
        res, "Marathon-Deployment-Id", x->reply->deployment_id, sizeof(x->reply->deployment_id));
    copy_header(
        res, "WWW-Authenticate", x->reply->www_authenticate, sizeof(x->reply->www_authenticate));
    struct str location = http_headers_get(&res->headers, "Location");
    if (location.n)
        x->location = str_dup(location);
    if (x->req->on_data && res->status / 100 == 2)
        timer_stop(&x->timer);
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct exchange *x = userdata;
    if (x->req->on_data && x->reply->status / 100 == 2) {
        if (!x->req->on_data(p, n, x->req->userdata)) {
            x->stopped = true;
            http_call_cancel(call);
            finish(x);
        }
        return;
    }
    if (x->reply->body.n + n > REPLY_BODY_MAX) {
        x->too_large = true;
        http_call_cancel(call);
        finish(x);
        return;
    }
    buf_append(&x->reply->body, p, n);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct exchange *x = userdata;
    x->status = status;
    if (status < 0)
        snprintf(x->error, sizeof(x->error), "%s", error ?: errno_text(status));
    finish(x);
}

static bool is_textual(const char *type)
{
    return has_prefix(type, "text/") || has_prefix(type, "application/json") ||
           strstr(type, "+json");
}

/* What changes from hop to hop. */
struct hop {
    const char *method, *url;
    const char *authorization; /* NULL = none */
    const void *body;
    size_t body_n;
};

static int exchange_run(struct requester *q, const struct request *req, const struct hop *hop,
    struct reply *reply, char **ret_location, struct error *err)
{
    const char *method = hop->method, *url_text = hop->url;
    const void *body = hop->body;
    size_t body_n = hop->body_n;
    int64_t timeout_us = req->timeout_us ?: q->timeout_us;
    struct http_url url;
    int r = http_url_parse(str_of(url_text), &url, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *host = str_dup(url.host);
    _cleanup_free_ char *target = str_dup(url.target);
    struct http_header headers[4];
    size_t n = 0;
    headers[n++] = (struct http_header){STR("Accept"), str_of(req->accept ?: "application/json")};
    if (q->user_agent)
        headers[n++] = (struct http_header){STR("User-Agent"), str_of(q->user_agent)};
    if (hop->authorization)
        headers[n++] = (struct http_header){STR("Authorization"), str_of(hop->authorization)};
    if (body_n)
        headers[n++] = (struct http_header){
            STR("Content-Type"), str_of(req->content_type ?: "application/json")};

    reply_done(reply);
    struct exchange x = {.requester = q, .req = req, .reply = reply};
    timer_init(&x.timer, q->loop, on_timeout);
    if (q->trace)
        fprintf(stderr, "> %s %s\n", method, url_text);
    if (q->trace && body_n && !req->secret)
        fprintf(stderr, "> %.*s\n", (int)MIN(body_n, (size_t)65536), (const char *)body);
    struct http_call_options options = {.method = method,
        .host = host,
        .port = url.port,
        .tls = url.tls,
        .unix_path = req->unix_path,
        .target = target,
        .headers = headers,
        .n_headers = n,
        .body = body,
        .body_n = body_n,
        .connect_timeout_us = 10 * USEC_PER_SEC,
        .head_timeout_us = timeout_us ? timeout_us : INT64_C(86400) * USEC_PER_SEC};
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    x.call = http_call_start(q->client, &options, &handlers, &x);
    if (timeout_us)
        timer_start(&x.timer, timeout_us);
    while (!x.done)
        loop_run(q->loop);
    timer_stop(&x.timer);

    *ret_location = TAKE_PTR(x.location);
    if (q->trace && reply->status) {
        fprintf(stderr, "< %d %s\n", reply->status, reply->content_type);
        if (is_textual(reply->content_type) && !req->secret)
            fprintf(
                stderr, "< %.*s\n", (int)MIN(reply->body.n, (size_t)65536), buf_cstr(&reply->body));
    }
    if (x.timed_out)
        return error_set(err, -ETIMEDOUT, "%s:%u did not answer within %lld seconds", host,
            url.port, (long long)(timeout_us / USEC_PER_SEC));
    if (x.too_large)
        return error_set(err, -EFBIG, "the answer of %s:%u is larger than %d MB", host, url.port,
            REPLY_BODY_MAX >> 20);
    if (x.status < 0) {
        const char *where = req->unix_path ?: host;
        if (req->unix_path)
            return error_set(err, x.status, "%s: %s", where, x.error);
        return error_set(err, x.status, "%s:%u: %s", where, url.port, x.error);
    }
    return 0;
}

/* The URL that Location means, seen from `base`. */
static char *resolve(const char *base, const char *location)
{
    if (has_prefix(location, "http://") || has_prefix(location, "https://"))
        return xstrdup(location);
    const char *scheme = strstr(base, "://");
    if (!scheme)
        return NULL;
    if (has_prefix(location, "//"))
        return xasprintf("%.*s:%s", (int)(scheme - base), base, location);
    const char *end = strpbrk(scheme + 3, "/?#");
    int n = end ? (int)(end - base) : (int)strlen(base);
    if (location[0] == '/')
        return xasprintf("%.*s%s", n, base, location);
    return NULL;
}

/* The token must not go to another host. */
static bool same_origin(const char *a, const char *b)
{
    struct http_url x, y;
    return http_url_parse(str_of(a), &x, NULL) == 0 && http_url_parse(str_of(b), &y, NULL) == 0 &&
           str_eq(x.host, y.host) && x.tls == y.tls && x.port == y.port;
}

int requester_send(
    struct requester *q, const struct request *req, struct reply *ret, struct error *err)
{
    _cleanup_free_ char *url = xstrdup(req->url);
    _cleanup_free_ char *own = req->token && *req->token ? xasprintf("token=%s", req->token) : NULL;
    struct hop hop = {.method = req->method ?: "GET",
        .authorization = req->token ? own : q->authorization,
        .body = req->body,
        .body_n = req->body_n};
    int r = 0;
    for (int hops = 0;; hops++) {
        _cleanup_free_ char *location = NULL;
        hop.url = url;
        r = exchange_run(q, req, &hop, ret, &location, err);
        int status = ret->status;
        bool redirect = status == 301 || status == 302 || status == 303 || status == 307 ||
                        status == 308;
        if (r < 0 || !redirect || !location)
            break;
        if (hops == REDIRECTS_MAX) {
            r = error_set(err, -ELOOP, "%s: more than %d redirects", req->url, REDIRECTS_MAX);
            break;
        }
        char *next = resolve(url, location);
        if (!next)
            break;
        if (!same_origin(url, next))
            hop.authorization = NULL;
        if (status < 307 && !streq(hop.method, "GET") && !streq(hop.method, "HEAD")) {
            hop.method = "GET";
            hop.body = NULL;
            hop.body_n = 0;
        }
        free(url);
        url = next;
    }
    if (r == 0)
        ret->url = TAKE_PTR(url);
    return r;
}

struct pause {
    struct timer timer;
    bool done;
};

static void on_pause_over(struct timer *t)
{
    struct pause *p = container_of(t, struct pause, timer);
    p->done = true;
    loop_stop(t->loop);
}

void requester_pause(struct requester *q, int64_t us)
{
    struct pause p = {.done = false};
    timer_init(&p.timer, q->loop, on_pause_over);
    timer_start(&p.timer, us);
    while (!p.done)
        loop_run(q->loop);
}
