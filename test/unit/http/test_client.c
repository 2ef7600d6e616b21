#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/client.h"
#include "http/server.h"

/* The client against our own server, and against a peer that says exactly what a test wants. */
struct outcome {
    int done, status, code, responses, drains;
    char error[256];
    struct buf body; /* streamed or collected */
    char header[64];
};

struct fixture {
    struct loop *loop;
    struct http_client *client;
    struct http_server *server;
    uint16_t port;
    unsigned requests;
    struct http_request *held;
    /* the scripted peer */
    struct listener *listener;
    uint16_t raw_port;
    struct stream *peers[8];
    unsigned n_peers;
    struct buf heard;
    const char *script; /* said once a whole head was heard */
    bool close_after;   /* and then it hangs up */
    char dir[32];
};

static struct fixture *g_f;

static void on_close(struct http_request *req)
{
    if (g_f->held == req) {
        g_f->held = NULL;
        http_request_unref(req);
    }
}

static void echo(struct http_request *req)
{
    http_set_header_f(req, "X-Length", "%zu", req->body.n);
    http_respond(req, 200, "text/plain", req->body.p, req->body.n);
}

static void duplex_data(struct http_request *req, const char *p, size_t n)
{
    http_respond_write(req, p, n);
}

static void duplex_end(struct http_request *req, int status)
{
    (void)status;
    http_respond_end(req);
}

static void handler(struct http_request *req, void *userdata)
{
    struct fixture *f = userdata;
    f->requests++;
    req->on_close = on_close;
    if (str_eq_c(req->path, "/echo")) {
        http_request_collect(req, 0, echo);
    } else if (str_eq_c(req->path, "/duplex")) {
        http_respond_begin(req, 200, "text/plain");
        http_request_stream(req, duplex_data, duplex_end);
    } else if (str_eq_c(req->path, "/hold")) {
        http_request_ref(req);
        f->held = req;
    } else if (str_eq_c(req->path, "/zeros")) {
        _cleanup_free_ char *data = xcalloc(1, 3000000);
        http_respond(req, 200, "application/octet-stream", data, 3000000);
    } else {
        http_respond_text(req, 404, "%.*s of %.*s", STR_ARG(req->method_name), STR_ARG(req->path));
    }
}

/* ---- the scripted peer ---- */

static void peer_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct fixture *f = userdata;
    buf_append(&f->heard, p, n);
    if (!strstr(f->heard.p, "\r\n\r\n"))
        return;
    buf_clear(&f->heard);
    if (f->script)
        stream_write(s, f->script, strlen(f->script));
    if (f->close_after)
        stream_shutdown(s);
}

static void peer_end(struct stream *s, int status, void *userdata)
{
    (void)s, (void)status, (void)userdata;
}

static void peer_accept(struct stream *s, void *userdata)
{
    static const struct stream_handlers handlers = {peer_data, peer_end, NULL};
    struct fixture *f = userdata;
    assert_true(f->n_peers < ARRAY_SIZE(f->peers));
    f->peers[f->n_peers++] = s;
    stream_set_handlers(s, &handlers, f);
    stream_read_start(s);
}

/* ---- calls ---- */

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct outcome *o = userdata;
    (void)call;
    o->responses++;
    o->code = res->status;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct outcome *o = userdata;
    (void)call;
    buf_append(&o->body, p, n);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct outcome *o = userdata;
    (void)call;
    o->done++;
    o->status = status;
    snprintf(o->error, sizeof(o->error), "%s", error ? error : "");
    if (res) {
        o->code = res->status;
        buf_append(&o->body, res->body.p, res->body.n);
        struct str x = http_headers_get(&res->headers, "x-length");
        snprintf(o->header, sizeof(o->header), "%.*s", STR_ARG(x));
    }
}

static void on_drain(struct http_call *call, void *userdata)
{
    struct outcome *o = userdata;
    (void)call;
    o->drains++;
}

static const struct http_call_handlers handlers = {on_response, on_data, on_done, on_drain};

static void clear(struct outcome *o)
{
    buf_done(&o->body);
    *o = (struct outcome){0};
}

static void finish(struct fixture *f, struct outcome *o)
{
    int64_t deadline = clock_monotonic_us() + 60 * USEC_PER_SEC;
    while (!o->done) {
        assert_true(clock_monotonic_us() < deadline);
        loop_run_once(f->loop, false);
    }
    for (int i = 0; i < 3; i++)
        loop_run_once(f->loop, false);
    assert_int_equal(o->done, 1);
}

static void ask(struct fixture *f, const struct http_call_options *options, struct outcome *o)
{
    clear(o);
    http_call_start(f->client, options, &handlers, o);
    assert_int_equal(o->done, 0);
    finish(f, o);
}

static int setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    struct error err = ERROR_INIT;
    g_f = f;
    f->loop = loop_new();
    f->client = http_client_new(f->loop, NULL);
    f->server = http_server_new(f->loop, NULL, handler, f);
    assert_int_equal(http_server_listen(f->server, "127.0.0.1", 0, NULL, &f->port, &err), 0);
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, NULL, 100, peer_accept, f, &f->listener, &err), 0);
    f->raw_port = listener_port(f->listener);
    snprintf(f->dir, sizeof(f->dir), "/tmp/test-client-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_client_free(f->client);
    http_server_free(f->server);
    listener_close(f->listener);
    for (unsigned i = 0; i < f->n_peers; i++)
        stream_close(f->peers[i]);
    loop_free(f->loop);
    buf_done(&f->heard);
    remove_tree(f->dir, NULL);
    free(f);
    return 0;
}

/* ---- tests ---- */

static void collects(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {.method = "POST",
        .host = "127.0.0.1",
        .port = f->port,
        .target = "/echo",
        .body = "12345",
        .body_n = 5,
        .collect_max = 1000};
    for (int i = 0; i < 3; i++) {
        ask(f, &q, &o);
        assert_int_equal(o.status, 0);
        assert_int_equal(o.code, 200);
        assert_string_equal(buf_cstr(&o.body), "12345");
        assert_string_equal(o.header, "5");
        assert_int_equal(o.responses, 1);
    }
    assert_int_equal(http_server_connections(f->server), 1); /* one connection for all */
    q.fresh = true;
    ask(f, &q, &o);
    assert_int_equal(o.code, 200);
    q = (struct http_call_options){
        .host = "localhost", .port = f->port, .target = "/x%20y", .collect_max = 1000};
    ask(f, &q, &o);
    assert_int_equal(o.code, 404);
    assert_string_equal(buf_cstr(&o.body), "GET of /x y");
    q.method = "HEAD";
    ask(f, &q, &o);
    assert_int_equal(o.code, 404);
    assert_int_equal(o.body.n, 0);
    q.method = NULL;
    q.target = "/zeros";
    ask(f, &q, &o);
    assert_int_equal(o.status, -EMSGSIZE);
    q.collect_max = 0;
    ask(f, &q, &o);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.body.n, 3000000);
    clear(&o);
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    struct outcome o[50] = {0};
    struct http_call_options q = {.method = "POST",
        .host = "127.0.0.1",
        .port = f->port,
        .target = "/echo",
        .body = "x",
        .body_n = 1,
        .collect_max = 1000};
    for (size_t i = 0; i < ARRAY_SIZE(o); i++)
        http_call_start(f->client, &q, &handlers, &o[i]);
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        finish(f, &o[i]);
        assert_int_equal(o[i].code, 200);
        clear(&o[i]);
    }
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, false);
    assert_int_equal(http_server_connections(f->server), 8); /* the pool's size */
}

static void streams_both_ways(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {.method = "POST",
        .host = "127.0.0.1",
        .port = f->port,
        .target = "/duplex",
        .stream_body = true};
    struct http_call *call = http_call_start(f->client, &q, &handlers, &o);
    http_call_write(call, "early", 5); /* before there is a connection */
    assert_true(http_call_queued(call) > 0);
    while (o.body.n < 5)
        loop_run_once(f->loop, true);
    struct stream_address a;
    assert_true(http_call_local(call, &a));
    assert_string_equal(a.host, "127.0.0.1");
    for (int i = 0; i < 10; i++) {
        http_call_write(call, "ping", 4);
        while (o.body.n < 5 + 4 * ((size_t)i + 1))
            loop_run_once(f->loop, true);
    }
    assert_true(o.drains > 0);
    http_call_pause(call);
    size_t before = o.body.n;
    http_call_write(call, "held", 4);
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, false);
    assert_int_equal(o.body.n, before);
    http_call_resume(call);
    http_call_end(call);
    finish(f, &o);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.body.n, before + 4);
    clear(&o);
}

static void unix_sockets(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    _cleanup_free_ char *path = path_join(f->dir, "s");
    assert_int_equal(http_server_listen_unix(f->server, path, 0600, NULL), 0);
    struct http_call_options q = {.unix_path = path, .target = "/nothing", .collect_max = 100};
    ask(f, &q, &o);
    assert_int_equal(o.code, 404);
    clear(&o);
}

static void dead_pooled_connections_are_retried(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {.method = "POST",
        .host = "127.0.0.1",
        .port = f->raw_port,
        .body = "b",
        .body_n = 1,
        .collect_max = 100};
    f->script = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    ask(f, &q, &o);
    assert_int_equal(o.status, 0);
    assert_int_equal(f->n_peers, 1);
    /* The peer goes as the next request is on its way. */
    clear(&o);
    http_call_start(f->client, &q, &handlers, &o);
    stream_close(f->peers[0]);
    f->n_peers = 0;
    finish(f, &o);
    assert_int_equal(o.status, 0);
    assert_string_equal(o.body.p, "ok");
    /* A fresh connection that dies is not tried again. */
    f->script = NULL;
    f->close_after = true;
    q.fresh = true;
    ask(f, &q, &o);
    assert_int_equal(o.status, -ECONNRESET);
    clear(&o);
}

static void odd_answers(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    static const struct {
        const char *script;
        bool close;
        int status, code;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, 0, 200, "until the end"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", false,
            0, 201, "x"},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, 0, 204, ""},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", false, 0, 304, ""},
        {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 0, 200, ""},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", false, 0, 200, "ab"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            false, 0, 200, "abc"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", true, -ECONNRESET, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true, -ECONNRESET, 0,
            NULL},
        {"HTTP/1.1 200 OK\r\nContent-Le", true, -ECONNRESET, 0, NULL},
        {"garbage\r\n\r\n", false, -EBADMSG, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false, -EBADMSG, 0,
            NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false, -EBADMSG, 0, NULL},
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, -EBADMSG, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, -EBADMSG, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_call_options q = {
            .host = "127.0.0.1", .port = f->raw_port, .collect_max = 100, .fresh = true};
        f->script = cases[i].script;
        f->close_after = cases[i].close;
        f->n_peers = 0;
        ask(f, &q, &o);
        if (o.status != cases[i].status || (cases[i].code && o.code != cases[i].code))
            fail_msg("case %zu: status %d (%s), code %d", i, o.status, o.error, o.code);
        if (cases[i].body)
            assert_string_equal(buf_cstr(&o.body), cases[i].body);
        assert_true(o.status == 0 || o.error[0]);
        for (unsigned p = 0; p < f->n_peers; p++)
            stream_close(f->peers[p]);
        f->n_peers = 0;
    }
    clear(&o);
}

static void timeouts(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {.host = "127.0.0.1",
        .port = f->raw_port,
        .head_timeout_us = 300 * USEC_PER_MSEC,
        .idle_timeout_us = 300 * USEC_PER_MSEC};
    ask(f, &q, &o);
    assert_int_equal(o.status, -ETIMEDOUT);
    f->script = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
    ask(f, &q, &o);
    assert_int_equal(o.status, -ETIMEDOUT);
    assert_int_equal(o.body.n, 2);
    clear(&o);
}

static void failures_to_start(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_header bad = {STR("X"), STR("a\r\nY: b")};
    struct http_call_options q = {
        .host = "127.0.0.1", .port = f->port, .headers = &bad, .n_headers = 1};
    ask(f, &q, &o);
    assert_int_equal(o.status, -EINVAL);
    q = (struct http_call_options){.host = "127.0.0.1", .port = f->port, .target = "/a b"};
    ask(f, &q, &o);
    assert_int_equal(o.status, -EINVAL);
    q = (struct http_call_options){.host = "127.0.0.1", .port = f->port, .method = "GET /"};
    ask(f, &q, &o);
    assert_int_equal(o.status, -EINVAL);
    q = (struct http_call_options){.host = "127.0.0.1", .port = f->port, .tls = true};
    ask(f, &q, &o);
    assert_int_equal(o.status, -EPROTONOSUPPORT); /* this test does not link TLS */
    q = (struct http_call_options){.unix_path = "/nonexistent/s"};
    ask(f, &q, &o);
    assert_int_equal(o.status, -ENOENT);
    clear(&o);
}

static void cancel_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    (void)p, (void)n;
    ((struct outcome *)userdata)->responses = 100;
    http_call_cancel(call);
}

static void cancel_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    (void)res;
    ((struct outcome *)userdata)->responses = 100;
    http_call_cancel(call);
}

static void cancel_at_any_point(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {
        .host = "127.0.0.1", .port = f->port, .target = "/zeros", .collect_max = 4000000};
    for (int turns = 0; turns < 12; turns++) {
        clear(&o);
        struct http_call *call = http_call_start(f->client, &q, &handlers, &o);
        for (int i = 0; i < turns && !o.done; i++)
            loop_run_once(f->loop, false);
        if (o.done)
            break;
        http_call_cancel(call);
        for (int i = 0; i < 10; i++)
            loop_run_once(f->loop, false);
        assert_int_equal(o.done, 0);
    }
    q.collect_max = 0;
    const struct http_call_handlers inside[] = {
        {NULL, cancel_data, on_done, NULL}, {cancel_response, NULL, on_done, NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
        clear(&o);
        http_call_start(f->client, &q, &inside[i], &o);
        while (o.responses < 100)
            loop_run_once(f->loop, true);
        for (int t = 0; t < 10; t++)
            loop_run_once(f->loop, false);
        assert_int_equal(o.done, 0);
    }
    /* The client goes with a call under way. */
    q.target = "/hold";
    http_call_start(f->client, &q, &handlers, &o);
    while (!f->held)
        loop_run_once(f->loop, true);
    clear(&o);
}

static void chain_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    static const struct http_call_handlers again = {NULL, NULL, chain_done, NULL};
    struct outcome *o = userdata;
    (void)call, (void)error, (void)res;
    assert_int_equal(status, 0);
    if (++o->done < 20) {
        struct http_call_options q = {
            .host = "127.0.0.1", .port = g_f->port, .target = "/zeros", .collect_max = 4000000};
        http_call_start(g_f->client, &q, &again, o);
    }
}

static void calls_from_within_calls(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct http_call_options q = {.host = "127.0.0.1", .port = f->port, .collect_max = 4000000};
    const struct http_call_handlers first = {NULL, NULL, chain_done, NULL};
    http_call_start(f->client, &q, &first, &o);
    while (o.done < 20)
        loop_run_once(f->loop, true);
    assert_int_equal(http_server_connections(f->server), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(collects),
        T(many_at_once),
        T(streams_both_ways),
        T(unix_sockets),
        T(dead_pooled_connections_are_retried),
        T(odd_answers),
        T(timeouts),
        T(failures_to_start),
        T(cancel_at_any_point),
        T(calls_from_within_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
