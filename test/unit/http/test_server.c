#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/server.h"

/* A server in the loop, and a client that says exactly the bytes of the test. */
struct fixture {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    struct stream *s;
    bool connected, ended;
    int status;
    struct buf got;
    /* seen by handlers */
    int requests, closes, ends, end_status, drains;
    struct buf body;
    struct http_request *held;
    char dir[32];
};

static struct fixture *g_f;

static void on_close(struct http_request *req)
{
    g_f->closes++;
    if (g_f->held == req) {
        g_f->held = NULL;
        http_request_unref(req);
    }
}

static void hold(struct http_request *req)
{
    assert_null(g_f->held);
    http_request_ref(req);
    g_f->held = req;
}

static void echo(struct http_request *req)
{
    http_respond(req, 200, "text/plain", req->body.p, req->body.n);
}

static void duplex_data(struct http_request *req, const char *p, size_t n)
{
    http_respond_write(req, p, n);
}

static void duplex_end(struct http_request *req, int status)
{
    g_f->ends++;
    g_f->end_status = status;
    http_respond_end(req);
}

static void store_data(struct http_request *req, const char *p, size_t n)
{
    (void)req;
    buf_append(&g_f->body, p, n);
    if (g_f->body.n < 4)
        http_request_pause(req);
}

static void store_end(struct http_request *req, int status)
{
    g_f->ends++;
    g_f->end_status = status;
    http_respond_text(req, 200, "%zu", g_f->body.n);
}

static void on_drain(struct http_request *req)
{
    (void)req;
    g_f->drains++;
}

static void handler(struct http_request *req, void *userdata)
{
    struct fixture *f = userdata;
    f->requests++;
    req->on_close = on_close;
    if (str_eq_c(req->path, "/hello")) {
        http_set_header(req, "X-One", "1");
        http_set_header(req, "X-Bad", "1\r\nInjected: 1");
        http_respond_text(req, 200, "hello %.*s", STR_ARG(req->method_name));
    } else if (str_eq_c(req->path, "/echo")) {
        http_request_collect(req, 2000, echo);
    } else if (str_eq_c(req->path, "/duplex")) {
        http_respond_begin(req, 200, "application/octet-stream");
        http_request_stream(req, duplex_data, duplex_end);
    } else if (str_eq_c(req->path, "/store")) {
        http_request_stream(req, store_data, store_end);
        hold(req);
    } else if (str_eq_c(req->path, "/stream")) {
        http_respond_begin(req, 200, "text/event-stream");
        http_respond_on_drain(req, on_drain);
        http_respond_write(req, "first", 5);
        hold(req);
    } else if (str_eq_c(req->path, "/later")) {
        hold(req);
    } else if (str_eq_c(req->path, "/abort")) {
        http_respond_abort(req);
        assert_true(http_responded(req));
    } else if (str_eq_c(req->path, "/big")) {
        _cleanup_free_ char *big = xcalloc(1, 100000);
        memset(big, 'a', 100000);
        http_respond(req, 200, "text/plain", big, 100000);
    } else if (str_eq_c(req->path, "/none")) {
        http_respond(req, 204, NULL, NULL, 0);
    } else {
        http_respond_text(req, 404, "no %.*s", STR_ARG(req->path));
    }
}

/* ---- the client's side ---- */

static void client_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct fixture *f = userdata;
    (void)s;
    buf_append(&f->got, p, n);
}

static void client_end(struct stream *s, int status, void *userdata)
{
    struct fixture *f = userdata;
    (void)s;
    f->ended = true;
    f->status = status;
}

static void client_connected(struct stream *s, int status, const char *error, void *userdata)
{
    static const struct stream_handlers handlers = {client_data, client_end, NULL};
    struct fixture *f = userdata;
    assert_int_equal(status, 0);
    (void)error;
    f->s = s;
    stream_set_handlers(s, &handlers, f);
    stream_read_start(s);
}

static void hang_up(struct fixture *f)
{
    if (f->s)
        stream_close(TAKE_PTR(f->s));
}

static void dial(struct fixture *f)
{
    struct stream_connect_options o = {.host = "127.0.0.1", .port = f->port};
    hang_up(f);
    buf_clear(&f->got);
    f->ended = false;
    stream_connect_start(f->loop, &o, client_connected, f);
    while (!f->s)
        loop_run_once(f->loop, true);
}

static void say(struct fixture *f, const char *text)
{
    stream_write(f->s, text, strlen(text));
}

static void turns(struct fixture *f, int n)
{
    while (n--)
        loop_run_once(f->loop, false);
}

static void until(struct fixture *f, const char *text)
{
    while (!strstr(buf_cstr(&f->got), text)) {
        if (f->ended)
            fail_msg("connection ended; got: %s", buf_cstr(&f->got));
        loop_run_once(f->loop, true);
    }
}

static void until_end(struct fixture *f)
{
    int64_t deadline = clock_monotonic_us() + 60 * USEC_PER_SEC;
    while (!f->ended) {
        if (clock_monotonic_us() > deadline)
            fail_msg("the connection stays open; got: %s", buf_cstr(&f->got));
        loop_run_once(f->loop, false);
    }
}

/* Says it on a new connection and waits for the end of that. */
static const char *ask(struct fixture *f, const char *text)
{
    dial(f);
    say(f, text);
    until_end(f);
    return buf_cstr(&f->got);
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("no '%s' in: %s", (part), (text));                                            \
    } while (0)

static void start(struct fixture *f, const struct http_server_options *o)
{
    struct error err = ERROR_INIT;
    f->server = http_server_new(f->loop, o, handler, f);
    assert_int_equal(http_server_listen(f->server, "127.0.0.1", 0, NULL, &f->port, &err), 0);
}

static int setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    g_f = f;
    f->loop = loop_new();
    snprintf(f->dir, sizeof(f->dir), "/tmp/test-server-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    hang_up(f);
    http_server_free(f->server);
    assert_null(f->held);
    assert_int_equal(f->requests, f->closes);
    loop_free(f->loop);
    buf_done(&f->got);
    buf_done(&f->body);
    remove_tree(f->dir, NULL);
    free(f);
    return 0;
}

/* ---- tests ---- */

static void keeps_alive(void **state)
{
    struct fixture *f = *state;
    start(f, &(struct http_server_options){.server_name = "tested"});
    dial(f);
    say(f, "GET /hello?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, "hello GET");
    assert_has(f->got.p, "HTTP/1.1 200 OK\r\n");
    assert_has(f->got.p, "X-One: 1\r\n");
    assert_has(f->got.p, "Server: tested\r\n");
    assert_has(f->got.p, "Content-Length: 9\r\n");
    assert_has(f->got.p, "\r\nDate: ");
    assert_null(strstr(f->got.p, "Injected"));
    assert_null(strstr(f->got.p, "Connection"));
    buf_clear(&f->got);
    /* A byte at a time. */
    const char *second = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (const char *p = second; *p; p++) {
        stream_write(f->s, p, 1);
        turns(f, 2);
    }
    until_end(f);
    assert_int_equal(f->status, 0);
    assert_has(f->got.p, "hello GET");
    assert_has(f->got.p, "Connection: close\r\n");
    assert_int_equal(f->requests, 2);
    assert_int_equal(http_server_connections(f->server), 0);
}

static void pipelines_in_turn(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
           "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    while (f->requests < 1)
        loop_run_once(f->loop, true);
    turns(f, 10);
    assert_int_equal(f->requests, 1);
    assert_int_equal(f->got.n, 0);
    http_respond_text(f->held, 200, "<later>");
    until_end(f);
    assert_int_equal(f->requests, 5);
    const char *later = strstr(f->got.p, "<later>");
    assert_non_null(later);
    assert_non_null(strstr(later, "12345HTTP/1.1 200"));
    assert_has(later, "Content-Length: 10\r\n\r\nHTTP/1.1 204 No Content\r\n"); /* HEAD: no body */
    assert_has(later, "hello GET");
    for (const char *p = strstr(later, " 204 "); p < strstr(later, "hello GET"); p++)
        if (strncmp(p, "\r\n\r\n", 4) == 0) {
            assert_memory_equal(p + 4, "HTTP/1.1 200", 12); /* 204 has no body either */
            break;
        }
}

static void http_10(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    assert_has(ask(f, "GET /hello HTTP/1.0\r\n\r\n"), "Connection: close\r\n");
    dial(f);
    say(f, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    until(f, "hello GET");
    assert_has(f->got.p, "Connection: keep-alive\r\n");
    /* A stream to it is not chunked and ends with the connection. */
    dial(f);
    say(f, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    until(f, "first");
    http_respond_end(f->held);
    until_end(f);
    assert_has(f->got.p, "\r\n\r\nfirst");
    assert_null(strstr(f->got.p, "chunked"));
}

static void bodies(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n");
    until(f, "abcdefg");
    buf_clear(&f->got);
    say(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    until(f, "Content-Length: 0\r\n\r\n");
    buf_clear(&f->got);
    say(f, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    until(f, "HTTP/1.1 100 Continue\r\n\r\n");
    say(f, "xyz");
    until(f, "\r\n\r\nxyz");
    buf_clear(&f->got);
    /* Nobody wants this body; it is skipped and the connection stays. */
    say(f, "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
    until(f, "hello POST");
    say(f, "56789GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, "204");
    /* Held back by Expect and not wanted: the connection cannot go on. */
    const char *got = ask(
        f, "POST /hello HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    assert_has(got, "Connection: close");
    assert_null(strstr(got, "100 Continue"));
    assert_has(ask(f, "GET /hello HTTP/1.1\r\nHost: x\r\nExpect: fries\r\n\r\n"), " 417 ");
}

static void body_limits(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n");
    until(f, " 413 ");
    /* Large ones are not read at all. */
    assert_has(
        ask(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"), " 413 ");
    dial(f);
    say(f, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    _cleanup_free_ char *zeros = xcalloc(1, 1001);
    memset(zeros, '0', 1000);
    for (int i = 0; i < 3; i++) {
        say(f, "3e8\r\n");
        say(f, zeros);
        say(f, "\r\n");
    }
    until(f, " 413 ");
    say(f, "0\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, " 204 ");
    /* Endless and unwanted: cut. */
    dial(f);
    say(f, "POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    until(f, "hello POST");
    for (int i = 0; i < 1000 && !f->ended; i++) {
        say(f, "3e8\r\n");
        say(f, zeros);
        say(f, "\r\n");
        turns(f, 2);
    }
    until_end(f);
}

static void gzip_both_ways(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    assert_has(ask(f, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        "Content-Length: 100000\r\n");
    const char *got = ask(f, "GET /big HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, "
                             "gzip;q=0.5\r\nConnection: close\r\n\r\n");
    assert_has(got, "Content-Encoding: gzip\r\n");
    assert_has(got, "Vary: Accept-Encoding\r\n");
    const char *data = strstr(got, "\r\n\r\n") + 4;
    _cleanup_free_ char *plain = xmalloc(100001);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
        .avail_in = (uInt)(f->got.p + f->got.n - data),
        .next_out = (Bytef *)plain,
        .avail_out = 100001};
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    assert_int_equal(z.total_out, 100000);
    assert_int_equal(plain[99999], 'a');
    got = ask(f,
        "GET /big HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\nConnection: close\r\n\r\n");
    assert_null(strstr(got, "Content-Encoding"));

    /* Requests: 1500 bytes fit in the limit of 2000, 100000 do not. */
    size_t sizes[] = {1500, 100000};
    for (size_t i = 0; i < 2; i++) {
        unsigned char packed[1024];
        memset(plain, 'b', sizes[i]);
        z = (z_stream){.next_in = (Bytef *)plain,
            .avail_in = (uInt)sizes[i],
            .next_out = packed,
            .avail_out = sizeof(packed)};
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        deflateEnd(&z);
        for (int cut = 0; cut < 2; cut++) {
            char head[200];
            size_t n = z.total_out - (cut ? 4 : 0);
            snprintf(head, sizeof(head),
                "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n"
                "Content-Length: %zu\r\n\r\n",
                n);
            dial(f);
            say(f, head);
            stream_write(f->s, packed, n);
            until_end(f);
            if (i == 0 && !cut)
                assert_has(f->got.p, "Content-Length: 1500\r\n");
            else
                assert_has(f->got.p, i == 1 ? " 413 " : " 400 ");
        }
    }
    assert_has(
        ask(f, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: br\r\n"
               "Content-Length: 2\r\n\r\nxx"),
        " 415 ");
}

static void streams_both_ways(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "POST /duplex HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    until(f, "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        buf_clear(&f->got);
        say(f, "4\r\nping\r\n");
        until(f, "4\r\nping\r\n");
    }
    say(f, "0\r\n\r\n");
    until(f, "0\r\n\r\n");
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->end_status, 0);
    say(f, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, " 204 ");
    /* The peer goes away in the middle. */
    say(f, "POST /duplex HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (f->requests < 3)
        loop_run_once(f->loop, true);
    hang_up(f);
    while (f->closes < 3)
        loop_run_once(f->loop, true);
    assert_int_equal(f->ends, 2);
    assert_true(f->end_status < 0);
}

static void pausing_a_body(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "POST /store HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
           "2\r\nab\r\n2\r\ncd\r\n2\r\nef\r\n0\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    while (f->body.n < 2)
        loop_run_once(f->loop, true);
    turns(f, 10);
    assert_int_equal(f->body.n, 2);
    http_request_resume(f->held);
    until(f, " 204 ");
    assert_string_equal(f->body.p, "abcdef");
    assert_int_equal(f->ends, 1);
    /* Paused in its last byte: the end must come without further bytes. */
    buf_clear(&f->body);
    buf_clear(&f->got);
    say(f, "POST /store HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");
    while (f->body.n < 3)
        loop_run_once(f->loop, true);
    turns(f, 10);
    assert_int_equal(f->ends, 1);
    http_request_resume(f->held);
    until(f, "\r\n\r\n3");
    assert_int_equal(f->ends, 2);
}

static void streaming_answers(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, "5\r\nfirst\r\n");
    while (f->drains == 0)
        loop_run_once(f->loop, true);
    struct blob *b = blob_new("shared", 6);
    http_respond_write_blob(f->held, b);
    assert_true(http_respond_queued(f->held) > 0);
    blob_unref(b);
    until(f, "6\r\nshared\r\n");
    http_respond_end(f->held);
    until(f, "0\r\n\r\n");
    say(f, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, " 204 ");
    /* A reader that ends is noticed though nothing is written. */
    say(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->held)
        loop_run_once(f->loop, true);
    hang_up(f);
    while (f->held)
        loop_run_once(f->loop, true);
    /* A reader that does not read is cut off. */
    dial(f);
    say(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, "first");
    stream_read_stop(f->s);
    _cleanup_free_ char *data = xcalloc(1, 1 << 20);
    for (int i = 0; i < 100 && f->held; i++) {
        http_respond_write(f->held, data, 1 << 20);
        turns(f, 2);
    }
    assert_null(f->held);
}

static void answers_after_the_peer_left(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->held)
        loop_run_once(f->loop, true);
    struct http_request *req = f->held;
    http_request_ref(req);
    http_server_free(TAKE_PTR(f->server));
    assert_int_equal(f->closes, 1);
    assert_true(http_responded(req));
    http_respond_text(req, 200, "ignored");
    http_respond_begin(req, 200, NULL);
    http_respond_write(req, "x", 1);
    http_respond_end(req);
    http_respond_abort(req);
    http_request_collect(req, 0, echo);
    assert_int_equal(http_respond_queued(req), 0);
    http_request_unref(req);
}

static void half_closed_peers_get_their_answer(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    dial(f);
    say(f, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    stream_shutdown(f->s);
    while (!f->held)
        loop_run_once(f->loop, true);
    turns(f, 10);
    http_respond_text(f->held, 200, "still");
    until_end(f);
    assert_has(f->got.p, "still");
}

static void aborts(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    assert_string_equal(ask(f, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n"), "");
}

static void refuses_smuggling(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
#define POST "POST /echo HTTP/1.1\r\nHost: x\r\n"
    static const struct {
        const char *text;
        const char *status;
    } cases[] = {
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", " 400 "},
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", " 400 "},
        {POST "Content-Length: 5, 5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: +5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: -5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: 0x5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: 5 5\r\n\r\n12345", " 400 "},
        {POST "Content-Length: 99999999999999999999999\r\n\r\n", " 400 "},
        {POST "Content-Length : 5\r\n\r\n12345", " 400 "},
        {POST "Content-Length:\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: identity\r\n\r\n", " 501 "},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", " 501 "},
        {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", " 501 "},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding:\x0b"
              "chunked\r\n\r\n0\r\n\r\n",
            " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\n12345\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5 \r\n12345\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5\n12345\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345X\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5;a\n12345\r\n0\r\n\r\n", " 400 "},
        {POST "Transfer-Encoding: chunked\r\n\r\n5\r12345\r\n0\r\n\r\n", " 400 "},
        {POST "X: a\r\n folded\r\n\r\n", " 400 "},
        {POST "X: a\r\n\tfolded\r\n\r\n", " 400 "},
        {POST "X: a\nY: b\r\n\r\n", " 400 "},
        {POST "X: a\rY: b\r\n\r\n", " 400 "},
        {POST "X: a\n\r\n", " 400 "},
        {POST "X: a\r\n\n", " 400 "},
        {POST "X: a\x01\r\n\r\n", " 400 "},
        {POST "X\x7f: a\r\n\r\n", " 400 "},
        {POST "X Y: a\r\n\r\n", " 400 "},
        {POST "no colon\r\n\r\n", " 400 "},
        {POST ": empty\r\n\r\n", " 400 "},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
        {"GET /hello HTTP/1.1\r\n\r\n", " 400 "},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", " 400 "},
        {"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", " 505 "},
        {"GET /hello HTTP/0.9\r\nHost: x\r\n\r\n", " 505 "},
        {"GET /hello HTTP/1.2\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /hello\r\nHost: x\r\n\r\n", " 400 "},
        {"GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /hello#f HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /a/../hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /a/%2e%2e/hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /./hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /hello%00 HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /hello%zz HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"GET /hello%4 HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"NOSUCH /hello HTTP/1.1\r\nHost: x\r\n\r\n", " 400 "},
        {"\x16\x03\x01\x02\r\n\r\n", " 400 "},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", " 400 "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int before = f->requests;
        dial(f);
        say(f, cases[i].text);
        say(f, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        until_end(f);
        const char *got = buf_cstr(&f->got);
        if (!strstr(got, cases[i].status) || strstr(got, "smuggled") || strstr(got, " 200 "))
            fail_msg("case %zu, %s: got %s", i, cases[i].text, got);
        assert_true(f->requests <= before + 1);
    }
#undef POST
}

static void accepts_what_is_odd_but_right(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"\r\nGET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "hello GET"},
        {"GET http://h:1/hello?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "hello GET"},
        {"GET /hel%6co HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "hello GET"},
        {"GET /hello HTTP/1.1\r\nhOST:x\r\nEmpty:\r\nX: \t a \t\r\nConnection: close\r\n\r\n",
            "hello GET"},
        {"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
            "hello GET"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
         "00A\r\n0123456789\r\n0\r\n\r\n",
            "0123456789"},
        {"DELETE /a%2fb HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "no /a/b"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_has(ask(f, cases[i].text), cases[i].part);
}

static void head_limits(void **state)
{
    struct fixture *f = *state;
    start(f, NULL);
    struct buf b = BUF_INIT;
    buf_puts(&b, "GET /hello?");
    for (int i = 0; i < HTTP_TARGET_MAX; i++)
        buf_putc(&b, 'a');
    buf_puts(&b, " HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(ask(f, b.p), " 414 ");
    buf_clear(&b);
    buf_puts(&b, "GET /hello HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < HTTP_HEAD_MAX; i++)
        buf_putc(&b, 'a');
    assert_has(ask(f, b.p), " 431 ");
    buf_clear(&b);
    buf_puts(&b, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX - 2; i++)
        buf_printf(&b, "X%d: %d\r\n", i, i);
    size_t full = b.n;
    buf_puts(&b, "\r\n");
    assert_has(ask(f, b.p), "hello GET");
    b.n = full;
    buf_puts(&b, "One: more\r\n\r\n");
    assert_has(ask(f, b.p), " 431 ");
    buf_clear(&b);
    buf_puts(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    for (int i = 0; i < 5000; i++)
        buf_putc(&b, 'a');
    assert_has(ask(f, b.p), " 400 ");
    buf_clear(&b);
    buf_puts(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ");
    for (int i = 0; i < HTTP_HEAD_MAX + 10; i++)
        buf_putc(&b, 'a');
    assert_has(ask(f, b.p), " 431 ");
    buf_done(&b);
}

static void times_out(void **state)
{
    struct fixture *f = *state;
    enum { SHORT = 250000 };
    start(f, &(struct http_server_options){.head_timeout_us = SHORT,
                 .idle_timeout_us = SHORT,
                 .body_timeout_us = SHORT,
                 .write_timeout_us = SHORT});
    assert_string_equal(ask(f, ""), "");
    assert_has(ask(f, "GET /hello HTTP/1.1\r\nHo"), " 408 ");
    assert_has(ask(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"), " 408 ");
    assert_has(ask(f, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello GET"); /* then idle */
    /* Neither a stream nor a slow handler is idle. */
    dial(f);
    say(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    until(f, "first");
    int64_t end = clock_monotonic_us() + 3 * SHORT;
    while (clock_monotonic_us() < end)
        loop_run_once(f->loop, false);
    assert_non_null(f->held);
    /* But a reader that takes nothing is gone. */
    stream_read_stop(f->s);
    _cleanup_free_ char *data = xcalloc(1, 4 << 20);
    http_respond_write(f->held, data, 4 << 20);
    while (f->held) {
        if (http_respond_queued(f->held) == 0)
            http_respond_write(f->held, data, 4 << 20);
        loop_run_once(f->loop, true);
    }
}

static void unix_sockets(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    start(f, NULL);
    _cleanup_free_ char *path = path_join(f->dir, "s");
    assert_int_equal(http_server_listen_unix(f->server, path, 0600, &err), 0);
    struct stream_connect_options o = {.unix_path = path};
    stream_connect_start(f->loop, &o, client_connected, f);
    while (!f->s)
        loop_run_once(f->loop, true);
    say(f, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->held)
        loop_run_once(f->loop, true);
    assert_true(f->held->peer_is_unix);
    assert_int_equal(f->held->peer_cred.pid, getpid());
    http_respond_text(f->held, 200, "unix");
    until(f, "unix");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(keeps_alive),
        T(pipelines_in_turn),
        T(http_10),
        T(bodies),
        T(body_limits),
        T(gzip_both_ways),
        T(streams_both_ways),
        T(pausing_a_body),
        T(streaming_answers),
        T(answers_after_the_peer_left),
        T(half_closed_peers_get_their_answer),
        T(aborts),
        T(refuses_smuggling),
        T(accepts_what_is_odd_but_right),
        T(head_limits),
        T(times_out),
        T(unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
