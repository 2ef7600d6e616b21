/* Connecting: look the name up, try its addresses in turn, then shake hands for TLS. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/stream-internal.h"

#define CONNECT_TIMEOUT_US (10 * USEC_PER_SEC)
/* A unix socket whose backlog is full refuses at once instead of waiting. */
#define CONNECT_RETRY_US (10 * USEC_PER_MSEC)

struct stream_connect {
    struct loop *loop;
    stream_connect_cb cb; /* NULL when cancelled or done */
    void *userdata;
    unsigned refs; /* the caller's until the callback, and each libuv request's */
    struct timer timeout;
    struct timer retry;
    struct deferred result;
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses, *next;
    struct stream *stream; /* being connected */
    char *host, *unix_path, *bind_host, *server_name;
    uint16_t port;
    struct tls_context *tls;
    int status;
    char error[256];
};

struct attempt {
    uv_connect_t uv;
    struct stream_connect *c;
};

static void unref(struct stream_connect *c)
{
    if (--c->refs)
        return;
    uv_freeaddrinfo(c->addresses);
    free(c->host);
    free(c->unix_path);
    free(c->bind_host);
    free(c->server_name);
    free(c);
}

static void release(struct stream_connect *c)
{
    timer_stop(&c->timeout);
    timer_stop(&c->retry);
    deferred_cancel(&c->result);
    c->cb = NULL;
    if (c->stream)
        stream_close(TAKE_PTR(c->stream));
    unref(c);
}

void stream_connect_cancel(struct stream_connect *c)
{
    if (!c || !c->cb)
        return;
    uv_cancel((uv_req_t *)&c->lookup); /* fails when it runs already: its callback then frees */
    release(c);
}

static void report(struct deferred *d)
{
    struct stream_connect *c = container_of(d, struct stream_connect, result);
    stream_connect_cb cb = c->cb;
    void *userdata = c->userdata;
    struct stream *s = c->status == 0 ? TAKE_PTR(c->stream) : NULL;
    c->refs++;
    release(c);
    cb(s, c->status, s ? NULL : c->error, userdata);
    unref(c);
}

static void finish(struct stream_connect *c, int status, const char *what)
{
    c->status = status;
    if (status < 0) {
        if (c->stream)
            stream_close(TAKE_PTR(c->stream));
        if (c->unix_path)
            snprintf(c->error, sizeof(c->error), "connect to %s: %s", c->unix_path, what);
        else
            snprintf(c->error, sizeof(c->error), "connect to %s:%u: %s", c->host, c->port, what);
    }
    timer_stop(&c->timeout);
    timer_stop(&c->retry);
    loop_defer(c->loop, &c->result);
}

static void on_timeout(struct timer *t)
{
    struct stream_connect *c = container_of(t, struct stream_connect, timeout);
    finish(c, -ETIMEDOUT, "timed out");
}

static void on_ready(struct stream *s, int status, const char *error)
{
    struct stream_connect *c = s->ready_data;
    finish(c, status, error);
}

static void connected(struct stream_connect *c)
{
    struct stream *s = c->stream;
    if (!s->is_unix)
        uv_tcp_nodelay(&s->uv.tcp, 1);
    if (!c->tls) {
        finish(c, 0, NULL);
        return;
    }
    s->on_ready = on_ready;
    s->ready_data = c;
    stream_attach_tls(s, c->tls, c->server_name ? c->server_name : c->host);
}

static void try_next(struct stream_connect *c, int status);

static void on_connect(uv_connect_t *req, int status)
{
    struct attempt *a = container_of(req, struct attempt, uv);
    struct stream_connect *c = a->c;
    /* A stream closed meanwhile is not ours any more. */
    bool current = c->cb && c->stream && req->handle == &c->stream->uv.stream;
    free(a);
    if (current && !deferred_pending(&c->result)) {
        if (status < 0) {
            stream_close(TAKE_PTR(c->stream));
            try_next(c, status);
        } else {
            connected(c);
        }
    }
    unref(c);
}

static int bind_local(struct stream_connect *c, int family)
{
    struct sockaddr_storage sa;
    if (!c->bind_host)
        return 0;
    int r = family == AF_INET6 ? uv_ip6_addr(c->bind_host, 0, (struct sockaddr_in6 *)(void *)&sa)
                               : uv_ip4_addr(c->bind_host, 0, (struct sockaddr_in *)(void *)&sa);
    return r < 0 ? r : uv_tcp_bind(&c->stream->uv.tcp, (struct sockaddr *)&sa, 0);
}

static void start_attempt(struct stream_connect *c, const struct addrinfo *ai)
{
    struct attempt *a = xnew(struct attempt);
    int r = 0;
    a->c = c;
    c->refs++;
    c->stream = stream_new(c->loop, c->unix_path != NULL);
    if (c->unix_path) {
        uv_pipe_connect(&a->uv, &c->stream->uv.pipe, c->unix_path, on_connect);
    } else {
        r = bind_local(c, ai->ai_family);
        r = r < 0 ? r : uv_tcp_connect(&a->uv, &c->stream->uv.tcp, ai->ai_addr, on_connect);
    }
    if (r < 0) {
        free(a);
        unref(c);
        stream_close(TAKE_PTR(c->stream));
        try_next(c, r);
    }
}

static void on_retry(struct timer *t)
{
    struct stream_connect *c = container_of(t, struct stream_connect, retry);
    start_attempt(c, NULL);
}

/* `status` is why the attempt before failed. */
static void try_next(struct stream_connect *c, int status)
{
    if (c->unix_path) {
        if (status == UV_EAGAIN)
            timer_start(&c->retry, CONNECT_RETRY_US);
        else if (status < 0)
            finish(c, status, errno_text(status));
        else
            start_attempt(c, NULL);
        return;
    }
    struct addrinfo *ai = c->next;
    if (!ai) {
        finish(c, status, errno_text(status));
        return;
    }
    c->next = ai->ai_next;
    start_attempt(c, ai);
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct stream_connect *c = container_of(req, struct stream_connect, lookup);
    c->addresses = c->next = addresses;
    if (c->cb && !deferred_pending(&c->result)) {
        if (status < 0)
            finish(c, -EHOSTUNREACH, uv_strerror(status));
        else
            try_next(c, -EHOSTUNREACH);
    }
    unref(c);
}

struct stream_connect *stream_connect_start(struct loop *l,
    const struct stream_connect_options *options, stream_connect_cb cb, void *userdata)
{
    struct stream_connect *c = xnew(struct stream_connect);
    c->loop = l;
    c->cb = cb;
    c->userdata = userdata;
    c->refs = 1;
    c->port = options->port;
    c->tls = options->tls;
    c->host = xstrdup(options->host ? options->host : "");
    c->unix_path = options->unix_path ? xstrdup(options->unix_path) : NULL;
    c->bind_host = options->bind_host ? xstrdup(options->bind_host) : NULL;
    c->server_name = options->tls_server_name ? xstrdup(options->tls_server_name) : NULL;
    timer_init(&c->timeout, l, on_timeout);
    timer_init(&c->retry, l, on_retry);
    deferred_init(&c->result, report);
    timer_start(&c->timeout, options->timeout_us ? options->timeout_us : CONNECT_TIMEOUT_US);
    if (c->unix_path) {
        if (strlen(c->unix_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            finish(c, -ENAMETOOLONG, "path of the socket is too long");
        else
            try_next(c, 0);
        return c;
    }
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct in6_addr numeric;
    snprintf(service, sizeof(service), "%u", c->port);
    if (uv_inet_pton(AF_INET, c->host, &numeric) == 0 ||
        uv_inet_pton(AF_INET6, c->host, &numeric) == 0) {
        /* No need of the pool. */
        hints.ai_flags |= AI_NUMERICHOST;
        if (getaddrinfo(c->host, service, &hints, &c->addresses) == 0) {
            c->next = c->addresses;
            try_next(c, -EHOSTUNREACH);
            return c;
        }
    }
    c->refs++;
    int r = uv_getaddrinfo(&l->uv, &c->lookup, on_lookup, c->host, service, &hints);
    if (r < 0) {
        c->refs--;
        finish(c, r, uv_strerror(r));
    }
    return c;
}
