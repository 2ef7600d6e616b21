#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "io/process.h"
#include "io/stream.h"

/* An authority, a certificate of its for localhost and 127.0.0.1, made once per run. */
static char g_dir[32];

struct end {
    struct stream *s;
    struct buf got;
    int ends, end_status;
};

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *server_tls, *client_tls;
    struct end client, server;
    int connects, connect_status;
    char connect_error[256];
};

static char *file_of(const char *name)
{
    return path_join(g_dir, name);
}

static void process_done(const struct process_result *result, void *userdata)
{
    if (result->status != 0)
        fail_msg("openssl: %.*s", (int)result->err.n, result->err.p);
    *(bool *)userdata = true;
}

static int make_certificates(void **state)
{
    (void)state;
    static const char script[] =
        "set -e; cd \"$0\"\n"
        "new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "\"$@\"; }\n"
        "new -keyout ca.key -out ca.pem -subj /CN=ca\n"
        "new -keyout other.key -out other.pem -subj /CN=other\n"
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout srv.key "
        "-out srv.csr -subj /CN=srv\n"
        "echo subjectAltName=DNS:localhost,IP:127.0.0.1 >ext\n"
        "openssl x509 -req -in srv.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile ext -out srv.pem\n";
    snprintf(g_dir, sizeof(g_dir), "/tmp/test-tls-XXXXXX");
    assert_non_null(mkdtemp(g_dir));
    const char *argv[] = {"sh", "-c", script, g_dir, NULL};
    struct loop *l = loop_new();
    bool done = false;
    struct process_options o = {.argv = argv, .capture_max = 10000, .timeout_us = 60000000};
    assert_int_equal(process_start(l, &o, process_done, &done, NULL, NULL), 0);
    while (!done)
        loop_run_once(l, true);
    loop_free(l);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    return remove_tree(g_dir, NULL);
}

static void on_data(struct stream *s, const char *p, size_t n, void *userdata)
{
    struct end *e = userdata;
    (void)s;
    buf_append(&e->got, p, n);
}

static void on_end(struct stream *s, int status, void *userdata)
{
    struct end *e = userdata;
    (void)s;
    e->ends++;
    e->end_status = status;
}

static const struct stream_handlers handlers = {on_data, on_end, NULL};

static void on_accept(struct stream *s, void *userdata)
{
    struct fixture *f = userdata;
    stream_close(f->server.s);
    f->server.s = s;
    stream_set_handlers(s, &handlers, &f->server);
    stream_read_start(s);
}

static void on_connect(struct stream *s, int status, const char *error, void *userdata)
{
    struct fixture *f = userdata;
    f->connects++;
    f->connect_status = status;
    f->client.s = s;
    snprintf(f->connect_error, sizeof(f->connect_error), "%s", error ? error : "");
    if (s) {
        stream_set_handlers(s, &handlers, &f->client);
        stream_read_start(s);
    }
}

static int setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    struct error err = ERROR_INIT;
    _cleanup_free_ char *cert = file_of("srv.pem"), *key = file_of("srv.key");
    f->loop = loop_new();
    assert_int_equal(tls_context_new_server(cert, key, &f->server_tls, &err), 0);
    assert_int_equal(
        listener_tcp(f->loop, "127.0.0.1", 0, f->server_tls, 10, on_accept, f, &f->listener, &err),
        0);
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
    tls_context_free(f->server_tls);
    tls_context_free(f->client_tls);
    buf_done(&f->client.got);
    buf_done(&f->server.got);
    free(f);
    return 0;
}

static void dial(struct fixture *f, const char *ca, bool verify, const char *name)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ char *path = ca ? file_of(ca) : NULL;
    assert_int_equal(tls_context_new_client(path, verify, &f->client_tls, &err), 0);
    struct stream_connect_options o = {.host = "127.0.0.1",
        .port = listener_port(f->listener),
        .tls = f->client_tls,
        .tls_server_name = name};
    stream_connect_start(f->loop, &o, on_connect, f);
    while (f->connects == 0)
        loop_run_once(f->loop, true);
}

static void both_ways(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 3 << 20 };
    dial(f, "ca.pem", true, "localhost");
    assert_string_equal(f->connect_error, "");
    assert_int_equal(f->connect_status, 0);
    assert_true(stream_is_tls(f->client.s));
    _cleanup_free_ char *data = xmalloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 1000);
    stream_write(f->client.s, data, SIZE);
    stream_write(f->server.s, data, SIZE);
    while (f->server.got.n < SIZE || f->client.got.n < SIZE)
        loop_run_once(f->loop, true);
    assert_memory_equal(f->server.got.p, data, SIZE);
    assert_memory_equal(f->client.got.p, data, SIZE);
    stream_shutdown(f->client.s);
    while (f->server.ends == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(f->server.end_status, 0);
}

static void pausing_holds_back(void **state)
{
    struct fixture *f = *state;
    dial(f, "ca.pem", true, NULL); /* by address */
    assert_int_equal(f->connect_status, 0);
    stream_read_stop(f->client.s);
    stream_write(f->server.s, "abc", 3);
    stream_close_after_flush(TAKE_PTR(f->server.s), USEC_PER_SEC);
    for (int i = 0; i < 20; i++)
        loop_run_once(f->loop, false);
    assert_int_equal(f->client.got.n, 0);
    stream_read_start(f->client.s);
    while (f->client.ends == 0)
        loop_run_once(f->loop, true);
    assert_string_equal(f->client.got.p, "abc");
    assert_int_equal(f->client.end_status, 0);
}

static void cut_without_a_word_is_an_error(void **state)
{
    struct fixture *f = *state;
    dial(f, "ca.pem", true, "localhost");
    stream_write(f->client.s, "x", 1);
    while (f->server.got.n == 0)
        loop_run_once(f->loop, true);
    stream_close(TAKE_PTR(f->client.s));
    while (f->server.ends == 0)
        loop_run_once(f->loop, true);
    assert_true(f->server.end_status < 0);
}

static void other_name(void **state)
{
    struct fixture *f = *state;
    dial(f, "ca.pem", true, "example.org");
    assert_true(f->connect_status < 0);
    assert_non_null(strstr(f->connect_error, "ostname mismatch"));
}

static void other_authority(void **state)
{
    struct fixture *f = *state;
    dial(f, "other.pem", true, "localhost");
    assert_true(f->connect_status < 0);
    assert_non_null(strstr(f->connect_error, "certificate"));
}

static void without_verification(void **state)
{
    struct fixture *f = *state;
    dial(f, NULL, false, "example.org");
    assert_int_equal(f->connect_status, 0);
}

static void plain_peers(void **state)
{
    struct fixture *f = *state;
    struct stream_connect_options o = {.host = "127.0.0.1", .port = listener_port(f->listener)};
    stream_connect_start(f->loop, &o, on_connect, f);
    while (f->connects == 0 || !f->server.s)
        loop_run_once(f->loop, true);
    stream_write(f->client.s, "GET / HTTP/1.1\r\n\r\n", 18);
    while (f->server.ends == 0)
        loop_run_once(f->loop, true);
    assert_true(f->server.end_status < 0);
    assert_int_equal(f->server.got.n, 0);
}

static void bad_files(void **state)
{
    (void)state;
    struct tls_context *t;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *cert = file_of("srv.pem"), *key = file_of("ca.key"),
                        *none = file_of("none");
    assert_int_equal(tls_context_new_server(none, key, &t, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "none"));
    assert_int_equal(tls_context_new_server(cert, none, &t, &err), -EINVAL);
    assert_int_equal(tls_context_new_server(cert, key, &t, &err), -EINVAL); /* not its key */
    assert_int_equal(tls_context_new_client(none, true, &t, &err), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(both_ways),
        T(pausing_holds_back),
        T(cut_without_a_word_is_an_error),
        T(other_name),
        T(other_authority),
        T(without_verification),
        T(plain_peers),
        T(bad_files),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
