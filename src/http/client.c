#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/client-internal.h"
#include "io/stream-internal.h"

#define CALL_CONNECT_TIMEOUT_US (5 * USEC_PER_SEC)
#define CALL_HEAD_TIMEOUT_US (30 * USEC_PER_SEC)
#define POOL_IDLE_TIMEOUT_US (30 * USEC_PER_SEC)
enum { POOL_IDLE_PER_HOST = 8 };

/* ---- the client ---- */

struct http_client *http_client_new(struct loop *l, const struct http_client_options *options)
{
    struct http_client *c = xnew(struct http_client);
    c->loop = l;
    if (options)
        c->options = *options;
    if (!c->options.idle_per_host)
        c->options.idle_per_host = POOL_IDLE_PER_HOST;
    if (!c->options.idle_timeout_us)
        c->options.idle_timeout_us = POOL_IDLE_TIMEOUT_US;
    list_init(&c->calls);
    list_init(&c->idle);
    return c;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    struct http_call *call;
    while ((call = list_first(&c->calls, struct http_call, node)) != NULL)
        http_call_cancel(call);
    struct client_conn *conn;
    while ((conn = list_first(&c->idle, struct client_conn, node)) != NULL)
        client_conn_close(conn);
    if (c->own_tls)
        c->own_tls->ops->free_context(c->own_tls);
    free(c);
}

/* ---- life of a call ---- */

void http_call_ref(struct http_call *call)
{
    call->refs++;
}

void http_call_unref(struct http_call *call)
{
    if (--call->refs)
        return;
    buf_done(&call->request);
    buf_done(&call->body);
    free(call->res_memory);
    free(call->key);
    free(call->host);
    free(call->unix_path);
    free(call);
}

/* Takes the call out of everything; the caller still holds a reference. */
static void detach(struct http_call *call, bool reuse)
{
    list_remove(&call->node);
    timer_stop(&call->timer);
    deferred_cancel(&call->begin);
    if (call->connect)
        stream_connect_cancel(TAKE_PTR(call->connect));
    if (call->conn)
        client_conn_release(TAKE_PTR(call->conn), reuse);
    call->client = NULL;
}

static void finish(
    struct http_call *call, int status, const char *error, const struct http_response *res)
{
    bool reuse = status == 0 && !call->fresh && (!call->stream_body || call->body_ended) &&
                 !call->paused;
    detach(call, reuse);
    if (call->handlers.on_done)
        call->handlers.on_done(call, status, error, res, call->userdata);
    http_call_unref(call);
}

void http_call_cancel(struct http_call *call)
{
    if (!call || !call->client)
        return;
    detach(call, false);
    http_call_unref(call);
}

void call_failed(struct http_call *call, int status, const char *error)
{
    struct client_conn *c = call->conn;
    if (c && c->reused && !c->answered && !call->stream_body && !call->retried) {
        /* The peer closed it while it waited in the pool. */
        call->retried = true;
        call->conn = NULL;
        client_conn_close(c);
        timer_stop(&call->timer);
        loop_defer(call->client->loop, &call->begin);
        return;
    }
    char text[256];
    snprintf(text, sizeof(text), "%s", error); /* it may live in what goes now */
    finish(call, status, text, NULL);
}

static void on_timer(struct timer *t)
{
    struct http_call *call = container_of(t, struct http_call, timer);
    if (!call->got_head) {
        call->retried = true; /* a slow answer is no dead connection */
        call_failed(call, -ETIMEDOUT, "no answer in time");
        return;
    }
    int64_t quiet = loop_now_us(call->client->loop) - call->seen_us;
    if (call->paused)
        timer_start(t, call->idle_timeout_us);
    else if (quiet < call->idle_timeout_us)
        timer_start(t, call->idle_timeout_us - quiet);
    else
        call_failed(call, -ETIMEDOUT, "the answer stopped");
}

/* ---- getting under way ---- */

static void send_request(struct http_call *call, struct client_conn *c)
{
    call->conn = c;
    client_conn_use(c, call);
    stream_write(c->stream, call->request.p, call->request.n);
    if (call->stream_body)
        buf_done(&call->request); /* never sent again */
    timer_start(&call->timer, call->head_timeout_us);
}

static void on_connect(struct stream *s, int status, const char *error, void *userdata)
{
    struct http_call *call = userdata;
    call->connect = NULL;
    if (status < 0) {
        call_failed(call, status, error);
        return;
    }
    send_request(call, client_conn_new(call->client, call->key, s));
}

static struct tls_context *client_tls(struct http_client *c, struct error *err)
{
    if (c->options.tls)
        return c->options.tls;
    if (!c->own_tls) {
        if (!stream_tls_default_client) {
            error_set(err, -EPROTONOSUPPORT, "this program was built without TLS");
            return NULL;
        }
        if (stream_tls_default_client(&c->own_tls, err) < 0)
            return NULL;
    }
    return c->own_tls;
}

static void on_begin(struct deferred *d)
{
    struct http_call *call = container_of(d, struct http_call, begin);
    struct error err = ERROR_INIT;
    if (call->bad_request) {
        call_failed(call, -EINVAL, call->bad_request);
        return;
    }
    /* A streamed body cannot be sent twice: it never meets a connection that may be dead. */
    struct client_conn *c = call->fresh || call->stream_body || call->retried
                                ? NULL
                                : client_pool_take(call->client, call->key);
    if (c) {
        send_request(call, c);
        return;
    }
    struct stream_connect_options o = {.host = call->host,
        .port = call->port,
        .unix_path = call->unix_path,
        .timeout_us = call->connect_timeout_us};
    if (call->tls) {
        o.tls = client_tls(call->client, &err);
        if (!o.tls) {
            call_failed(call, err.code, err.msg);
            return;
        }
    }
    call->connect = stream_connect_start(call->client->loop, &o, on_connect, call);
}

struct http_call *http_call_start(struct http_client *c, const struct http_call_options *options,
    const struct http_call_handlers *handlers, void *userdata)
{
    const struct http_call_options *o = options;
    struct http_call *call = xnew(struct http_call);
    call->refs = 1;
    call->client = c;
    list_push(&c->calls, &call->node);
    call->handlers = *handlers;
    call->userdata = userdata;
    deferred_init(&call->begin, on_begin);
    timer_init(&call->timer, c->loop, on_timer);
    call->key = client_key(o);
    call->host = o->host ? xstrdup(o->host) : NULL;
    call->unix_path = o->unix_path ? xstrdup(o->unix_path) : NULL;
    call->port = o->port;
    call->tls = o->tls;
    call->head_only = o->method && streq(o->method, "HEAD");
    call->stream_body = o->stream_body;
    call->fresh = o->fresh;
    call->collect_max = o->collect_max;
    call->connect_timeout_us = o->connect_timeout_us ? o->connect_timeout_us
                                                     : CALL_CONNECT_TIMEOUT_US;
    call->head_timeout_us = o->head_timeout_us ? o->head_timeout_us : CALL_HEAD_TIMEOUT_US;
    call->idle_timeout_us = o->idle_timeout_us;
    call->bad_request = client_put_request(o, &call->request);
    loop_defer(c->loop, &call->begin);
    return call;
}

/* ---- the answer ---- */

static void copy_response(struct http_call *call, const struct http_head *head)
{
    const struct http_headers *h = &head->headers;
    size_t list = h->n * sizeof(struct http_header), text = 0;
    for (size_t i = 0; i < h->n; i++)
        text += h->items[i].name.n + h->items[i].value.n;
    struct http_header *items = call->res_memory = xmalloc(list + text);
    char *at = (char *)items + list;
    for (size_t i = 0; i < h->n; i++) {
        const struct http_header *from = &h->items[i];
        items[i].name = (struct str){memcpy(at, from->name.p, from->name.n), from->name.n};
        at += from->name.n;
        items[i].value = (struct str){at, from->value.n};
        if (from->value.n)
            memcpy(at, from->value.p, from->value.n);
        at += from->value.n;
    }
    call->res.status = head->status;
    call->res.headers = (struct http_headers){items, h->n};
}

int call_head(struct http_call *call, const struct http_head *head)
{
    if (head->status < 200)
        return HTTP_PARSE_NO_BODY; /* 100 Continue and the like; the answer follows */
    call->got_head = true;
    call->seen_us = loop_now_us(call->client->loop);
    copy_response(call, head);
    timer_stop(&call->timer);
    if (call->idle_timeout_us)
        timer_start(&call->timer, call->idle_timeout_us);
    bool no_body = call->head_only || head->status == 204 || head->status == 304;
    if (call->handlers.on_response)
        call->handlers.on_response(call, &call->res, call->userdata);
    return no_body ? HTTP_PARSE_NO_BODY : 0;
}

bool call_body(struct http_call *call, const char *p, size_t n)
{
    call->seen_us = loop_now_us(call->client->loop);
    if (call->collect_max) {
        if (call->body.n + n > call->collect_max) {
            char text[64];
            snprintf(text, sizeof(text), "the answer is larger than %zu bytes", call->collect_max);
            call_failed(call, -EMSGSIZE, text);
            return false;
        }
        buf_append(&call->body, p, n);
        return true;
    }
    http_call_ref(call);
    if (call->handlers.on_data)
        call->handlers.on_data(call, p, n, call->userdata);
    bool go_on = call->client && !call->paused;
    http_call_unref(call);
    return go_on;
}

void call_complete(struct http_call *call)
{
    call->res.body = (struct str){buf_cstr(&call->body), call->body.n};
    finish(call, 0, NULL, &call->res);
}

void call_drained(struct http_call *call)
{
    if (call->handlers.on_drain)
        call->handlers.on_drain(call, call->userdata);
}

/* ---- the request's body ---- */

static void put(struct http_call *call, const void *p, size_t n)
{
    if (call->conn)
        stream_write(call->conn->stream, p, n);
    else
        buf_append(&call->request, p, n);
}

void http_call_write(struct http_call *call, const void *p, size_t n)
{
    char size[24];
    if (!call->client || !call->stream_body || call->body_ended || n == 0)
        return;
    put(call, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
    put(call, p, n);
    put(call, "\r\n", 2);
}

void http_call_end(struct http_call *call)
{
    if (!call->client || !call->stream_body || call->body_ended)
        return;
    call->body_ended = true;
    put(call, "0\r\n\r\n", 5);
}

size_t http_call_queued(const struct http_call *call)
{
    if (!call->client)
        return 0;
    return call->conn ? stream_write_queued(call->conn->stream) : call->request.n;
}

void http_call_pause(struct http_call *call)
{
    call->paused = true;
    if (call->client && call->conn)
        stream_read_stop(call->conn->stream);
}

void http_call_resume(struct http_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    if (call->client && call->conn)
        client_conn_resume(call->conn);
}

bool http_call_local(const struct http_call *call, struct stream_address *ret)
{
    if (!call->client || !call->conn)
        return false;
    stream_local(call->conn->stream, ret);
    return true;
}
