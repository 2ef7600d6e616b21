#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "io/stream.h"

/* Both ends of a connection in one loop. */
struct end {
    struct stream *s;
    struct buf got;
    int ends, end_status, errors, error_status, drains;
};

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct stream_connect *connect;
    struct end client, server;
    int connect_status, connects, accepted;
    char connect_error[256];
    char dir[64];
};

static void on_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct end *e = userdata;
    assert_ptr_equal(s, e->s);
    buf_append(&e->got, p, n);
}

static void on_end(struct stream *s, int status, void *userdata)
{
    struct end *e = userdata;
    (void)s;
    if (status < 0) {
        e->errors++;
        e->error_status = status;
    } else {
        e->ends++;
    }
}

static void on_drain(struct stream *s, void *userdata)
{
    struct end *e = userdata;
    (void)s;
    e->drains++;
}

static const struct stream_handlers handlers = {on_data, on_end, on_drain};

static void on_accept(struct stream *s, void *userdata)
{
    struct fixture *f = userdata;
    f->accepted++;
    if (f->server.s) {
        stream_close(s);
        return;
    }
    f->server.s = s;
    stream_set_handlers(s, &handlers, &f->server);
    stream_read_start(s);
}

static void on_connect(struct stream *s, int status, const char *error, void *userdata)
{
    struct fixture *f = userdata;
    f->connects++;
    f->connect = NULL;
    f->connect_status = status;
    if (!s) {
        snprintf(f->connect_error, sizeof(f->connect_error), "%s", error);
        return;
    }
    f->client.s = s;
    stream_set_handlers(s, &handlers, &f->client);
    stream_read_start(s);
}

static void until_connected(struct fixture *f)
{
    while (f->connects == 0 || (f->connect_status == 0 && !f->server.s))
        loop_run_once(f->loop, true);
}

static void open_tcp(struct fixture *f)
{
    struct error err = ERROR_INIT;
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, NULL, 100, on_accept, f, &f->listener, &err), 0);
    assert_true(listener_port(f->listener) > 0);
    struct stream_connect_options options = {
        .host = "127.0.0.1", .port = listener_port(f->listener)};
    f->connect = stream_connect_start(f->loop, &options, on_connect, f);
    assert_int_equal(f->connects, 0);
    until_connected(f);
    assert_int_equal(f->connect_status, 0);
}

static int setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    f->loop = loop_new();
    snprintf(f->dir, sizeof(f->dir), "/tmp/test-stream-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stream_close(f->client.s);
    stream_close(f->server.s);
    listener_close(f->listener);
    loop_free(f->loop);
    buf_done(&f->client.got);
    buf_done(&f->server.got);
    remove_tree(f->dir, NULL);
    free(f);
    return 0;
}

static void tcp_both_ways(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    struct stream_address a, b;
    stream_local(f->client.s, &a);
    stream_peer(f->server.s, &b);
    assert_string_equal(a.host, "127.0.0.1");
    assert_string_equal(b.host, "127.0.0.1");
    assert_int_equal(a.port, b.port);
    struct ucred cred;
    assert_int_equal(stream_peer_cred(f->server.s, &cred), -ENOTSUP);
    stream_write(f->client.s, "hel", 3);
    stream_write(f->client.s, "lo", 2);
    assert_int_equal(stream_write_queued(f->client.s), 5);
    while (f->server.got.n < 5 || f->client.drains == 0)
        loop_run_once(f->loop, true);
    assert_string_equal(f->server.got.p, "hello");
    assert_int_equal(f->client.drains, 1);
    stream_write(f->server.s, "bye", 3);
    stream_shutdown(f->server.s);
    while (f->client.ends == 0)
        loop_run_once(f->loop, true);
    assert_string_equal(f->client.got.p, "bye");
    assert_int_equal(f->client.errors, 0);
    /* The other direction is still open. */
    stream_write(f->client.s, "more", 4);
    while (f->server.got.n < 9)
        loop_run_once(f->loop, true);
    assert_string_equal(f->server.got.p, "hellomore");
}

static void backpressure(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    stream_read_stop(f->server.s);
    enum { CHUNK = 100000, CHUNKS = 300 };
    _cleanup_free_ char *chunk = xmalloc(CHUNK);
    for (int i = 0; i < CHUNKS; i++) {
        memset(chunk, 'a' + i % 26, CHUNK);
        if (i % 3) {
            stream_write(f->client.s, chunk, CHUNK);
        } else {
            struct blob *b = blob_new(chunk, CHUNK);
            stream_write_blob(f->client.s, b);
            blob_unref(b);
        }
    }
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, false);
    assert_true(stream_write_queued(f->client.s) > CHUNK); /* the kernel is full */
    assert_int_equal(f->client.drains, 0);
    assert_int_equal(f->server.got.n, 0);
    stream_read_start(f->server.s);
    while (f->server.got.n < (size_t)CHUNK * CHUNKS || f->client.drains == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(f->server.got.n, (size_t)CHUNK * CHUNKS);
    for (size_t i = 0; i < CHUNKS; i++) {
        assert_int_equal(f->server.got.p[i * CHUNK], 'a' + i % 26);
        assert_int_equal(f->server.got.p[(i + 1) * CHUNK - 1], 'a' + i % 26);
    }
    assert_int_equal(stream_write_queued(f->client.s), 0);
}

/* Of what is left of a shared buffer nothing is ours to write behind. */
static void more_follows_a_blob_on_its_way(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    enum { SIZE = 32 << 20 };
    stream_read_stop(f->server.s);
    char *data = xmalloc(SIZE);
    memset(data, 'b', SIZE);
    struct blob *b = blob_new(data, SIZE);
    free(data);
    stream_write_blob(f->client.s, b);
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, false);
    assert_true(stream_write_queued(f->client.s) > 0); /* some of it went */
    assert_true(stream_write_queued(f->client.s) < SIZE);
    stream_write(f->client.s, "end", 3);
    blob_unref(b);
    stream_read_start(f->server.s);
    while (f->server.got.n < (size_t)SIZE + 3)
        loop_run_once(f->loop, true);
    assert_memory_equal(f->server.got.p + SIZE, "end", 3);
    assert_int_equal(f->server.got.p[SIZE - 1], 'b');
}

static void reset_is_an_error(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    stream_write(f->client.s, "unread", 6);
    stream_read_stop(f->server.s);
    for (int i = 0; i < 5; i++)
        loop_run_once(f->loop, false);
    stream_close(TAKE_PTR(f->server.s)); /* with unread input: a reset */
    while (f->client.errors == 0 && f->client.ends == 0)
        loop_run_once(f->loop, true);
    /* Writing on goes nowhere, and raises no signal. */
    for (int i = 0; i < 5; i++) {
        stream_write(f->client.s, "x", 1);
        loop_run_once(f->loop, false);
    }
    assert_true(f->client.errors == 1);
    assert_true(f->client.error_status == -ECONNRESET || f->client.error_status == -EPIPE);
    assert_int_equal(stream_write_queued(f->client.s), 0);
}

static void close_after_flush_delivers(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    enum { SIZE = 4 << 20 };
    _cleanup_free_ char *data = xcalloc(1, SIZE);
    /* Unread input at the closing side must not destroy what is on its way. */
    stream_write(f->client.s, data, 100000);
    stream_write(f->server.s, data, SIZE);
    stream_close_after_flush(TAKE_PTR(f->server.s), 60 * USEC_PER_SEC);
    while (f->client.ends == 0 && f->client.errors == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(f->client.errors, 0);
    assert_int_equal(f->client.got.n, SIZE);
}

static void close_after_flush_times_out(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    stream_read_stop(f->client.s);
    _cleanup_free_ char *data = xcalloc(1, 32 << 20);
    stream_write(f->server.s, data, 32 << 20);
    stream_close_after_flush(TAKE_PTR(f->server.s), 20 * USEC_PER_MSEC);
    listener_close(TAKE_PTR(f->listener));
    int64_t start = clock_monotonic_us();
    stream_close(TAKE_PTR(f->client.s));
    loop_run(f->loop); /* ends when nothing is left */
    assert_true(clock_monotonic_us() - start < 60 * USEC_PER_SEC);
}

static void lingering_goes_with_the_loop(void **state)
{
    struct fixture *f = *state;
    open_tcp(f);
    stream_write(f->server.s, "x", 1);
    stream_close_after_flush(TAKE_PTR(f->server.s), 3600 * USEC_PER_SEC);
    /* teardown frees the loop with it open */
}

static void unix_credentials(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_free_ char *path = path_join(f->dir, "sock");
    assert_int_equal(listener_unix(f->loop, path, 0660, 100, on_accept, f, &f->listener, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    struct listener *other;
    assert_int_equal(
        listener_unix(f->loop, path, 0660, 100, on_accept, f, &other, &err), -EADDRINUSE);
    struct stream_connect_options options = {.unix_path = path};
    f->connect = stream_connect_start(f->loop, &options, on_connect, f);
    until_connected(f);
    struct ucred cred;
    assert_int_equal(stream_peer_cred(f->server.s, &cred), 0);
    assert_int_equal(cred.pid, getpid());
    assert_int_equal(cred.uid, getuid());
    struct stream_address a;
    stream_peer(f->client.s, &a);
    assert_true(a.is_unix);
    assert_string_equal(a.host, path);
    listener_close(TAKE_PTR(f->listener));
    assert_int_equal(access(path, F_OK), -1);
}

static void stale_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = path_join(f->dir, "sock");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    close(fd);
    assert_int_equal(listener_unix(f->loop, path, 0600, 100, on_accept, f, &f->listener, &err), 0);
    /* What is no socket is left alone. */
    _cleanup_free_ char *file = path_join(f->dir, "file");
    assert_int_equal(file_write_atomic(file, "", 0, 0600, NULL), 0);
    struct listener *other;
    assert_int_equal(listener_unix(f->loop, file, 0600, 100, on_accept, f, &other, &err), -EEXIST);
    _cleanup_free_ char *missing = path_join(f->dir, "no/such");
    assert_int_equal(
        listener_unix(f->loop, missing, 0600, 100, on_accept, f, &other, &err), -ENOENT);
}

static void connect_failures(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    /* A port that was free a moment ago refuses. */
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, NULL, 100, on_accept, f, &f->listener, &err), 0);
    uint16_t port = listener_port(f->listener);
    struct listener *same;
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", port, NULL, 1, on_accept, f, &same, &err), -EADDRINUSE);
    listener_close(TAKE_PTR(f->listener));
    struct stream_connect_options options = {.host = "127.0.0.1", .port = port};
    stream_connect_start(f->loop, &options, on_connect, f);
    while (f->connects < 1)
        loop_run_once(f->loop, true);
    assert_int_equal(f->connect_status, -ECONNREFUSED);
    assert_non_null(strstr(f->connect_error, "Connection refused"));
    options = (struct stream_connect_options){.unix_path = "/nonexistent/sock"};
    stream_connect_start(f->loop, &options, on_connect, f);
    while (f->connects < 2)
        loop_run_once(f->loop, true);
    assert_int_equal(f->connect_status, -ENOENT);
    options = (struct stream_connect_options){.host = "name.invalid", .port = 1};
    stream_connect_start(f->loop, &options, on_connect, f);
    while (f->connects < 3)
        loop_run_once(f->loop, true);
    assert_int_equal(f->connect_status, -EHOSTUNREACH);
}

static void connect_times_out(void **state)
{
    struct fixture *f = *state;
    /* A backlog of one that nobody accepts from, filled up: the next connect hangs. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f};
    socklen_t n = sizeof(sin);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
    int fill[8];
    for (size_t i = 0; i < ARRAY_SIZE(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&sin, sizeof(sin));
    }
    struct stream_connect_options options = {
        .host = "127.0.0.1", .port = ntohs(sin.sin_port), .timeout_us = 30 * USEC_PER_MSEC};
    stream_connect_start(f->loop, &options, on_connect, f);
    while (f->connects < 1)
        loop_run_once(f->loop, true);
    assert_int_equal(f->connect_status, -ETIMEDOUT);
    for (size_t i = 0; i < ARRAY_SIZE(fill); i++)
        close(fill[i]);
    close(fd);
}

static void cancel_at_any_point(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, NULL, 100, on_accept, f, &f->listener, &err), 0);
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (int turns = 0; turns < 4; turns++)
        for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
            struct stream_connect_options options = {
                .host = hosts[i], .port = listener_port(f->listener)};
            f->connects = 0;
            struct stream_connect *c = stream_connect_start(f->loop, &options, on_connect, f);
            for (int t = 0; t < turns && f->connects == 0; t++)
                loop_run_once(f->loop, false);
            if (f->connects == 0) {
                stream_connect_cancel(c);
                for (int t = 0; t < 5; t++)
                    loop_run_once(f->loop, false);
                assert_int_equal(f->connects, 0);
            } else {
                stream_close(TAKE_PTR(f->client.s));
            }
        }
}

static void accepting_pauses_at_the_limit(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, NULL, 1, on_accept, f, &f->listener, &err), 0);
    struct stream_connect_options options = {
        .host = "127.0.0.1", .port = listener_port(f->listener)};
    stream_connect_start(f->loop, &options, on_connect, f);
    until_connected(f);
    struct stream *first = TAKE_PTR(f->client.s);
    stream_connect_start(f->loop, &options, on_connect, f);
    while (f->connects < 2)
        loop_run_once(f->loop, true);
    for (int i = 0; i < 10; i++)
        loop_run_once(f->loop, false);
    assert_int_equal(f->accepted, 1);
    stream_close(first);
    stream_close(TAKE_PTR(f->server.s));
    while (f->accepted < 2)
        loop_run_once(f->loop, true);
    assert_non_null(f->server.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tcp_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(backpressure, setup, teardown),
        cmocka_unit_test_setup_teardown(more_follows_a_blob_on_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(close_after_flush_delivers, setup, teardown),
        cmocka_unit_test_setup_teardown(close_after_flush_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(lingering_goes_with_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(unix_credentials, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_socket_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(connect_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(connect_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(cancel_at_any_point, setup, teardown),
        cmocka_unit_test_setup_teardown(accepting_pauses_at_the_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
