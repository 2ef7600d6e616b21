/* The stream against a master and an identity service made of our own HTTP server, on one loop. */

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/recordio.h"
#include "http/server.h"
#include "json/writer.h"
#include "scheduler/leader_stream.h"

enum { STEPS = 100000 };

struct world {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    struct http_client *http;
    struct leader_stream *stream;
    struct http_request *open;
    char *key, *file;
    int login_failures;  /* logins still to be answered with 503 */
    int refusals, aside; /* calls still to be answered with 401, with a redirect */
    int logins, calls, records, opened, ends, worked, last_status;
    bool silent, garbage;
    char last_why[128];
};

static void on_close(struct http_request *req)
{
    struct world *w = req->userdata;
    if (w->open == req)
        w->open = NULL;
}

static void on_body(struct http_request *req)
{
    struct world *w = req->userdata;
    if (str_eq_c(req->path, "/login")) {
        if (w->login_failures-- > 0) {
            http_respond_text(req, 503, "not yet");
            return;
        }
        w->logins++;
        static const char answer[] = "{\"token\":\"a.b.c\"}";
        http_respond(req, 200, "application/json", answer, sizeof(answer) - 1);
        return;
    }
    w->calls++;
    assert_true(str_eq_c(req->path, "/api/v1"));
    assert_true(str_eq_c(req->body, "subscribe"));
    if (w->key)
        assert_true(str_eq_c(http_request_header(req, "Authorization"), "Bearer a.b.c"));
    if (w->refusals-- > 0) {
        http_respond_text(req, 401, "who are you");
        return;
    }
    if (w->aside-- > 0) {
        http_set_header_f(req, "Location", "http://127.0.0.1:%u/api/v1", w->port);
        http_respond(req, 307, NULL, NULL, 0);
        return;
    }
    w->open = req;
    req->on_close = on_close;
    http_respond_begin(req, 200, "text/plain");
    _cleanup_buf_ struct buf record = BUF_INIT;
    if (w->garbage)
        buf_puts(&record, "no record\n");
    else
        recordio_append(&record, "hello", 5);
    if (!w->silent)
        http_respond_write(req, record.p, record.n);
}

static void handle(struct http_request *req, void *userdata)
{
    req->userdata = userdata;
    http_request_collect(req, 0, on_body);
}

static void fill(struct buf *body, void *userdata)
{
    buf_puts(body, "subscribe");
}

static void on_open(const struct http_response *res, void *userdata)
{
    ((struct world *)userdata)->opened++;
}

static void on_record(const char *p, size_t n, void *userdata)
{
    struct world *w = userdata;
    assert_int_equal(n, 5);
    w->records++;
    leader_stream_works(w->stream, USEC_PER_SEC);
}

static void on_end(bool worked, int status, const char *why, void *userdata)
{
    struct world *w = userdata;
    w->ends++;
    w->worked += worked;
    w->last_status = status;
    (void)snprintf(w->last_why, sizeof(w->last_why), "%s", why);
}

static void begin(struct world *w, struct login *login)
{
    static const struct leader_stream_handlers handlers = {
        .fill = fill, .on_open = on_open, .on_record = on_record, .on_end = on_end};
    _cleanup_free_ char *masters = xasprintf("127.0.0.1:%u", w->port);
    const struct leader_stream_options o = {.masters = masters,
        .http = w->http,
        .login = login,
        .target = "/api/v1",
        .type = "text/plain",
        .record_max = 1000,
        .min_pause_us = USEC_PER_MSEC,
        .max_pause_us = 10 * USEC_PER_MSEC,
        .silence_us = USEC_PER_SEC};
    assert_int_equal(leader_stream_new(w->loop, &o, &handlers, w, &w->stream, NULL), 0);
    leader_stream_start(w->stream);
}

static void start_world(struct world *w)
{
    *w = (struct world){.loop = loop_new()};
    w->server = http_server_new(w->loop, NULL, handle, w);
    assert_int_equal(http_server_listen(w->server, "127.0.0.1", 0, NULL, &w->port, NULL), 0);
    w->http = http_client_new(w->loop, &(struct http_client_options){0});
}

static void end_world(struct world *w)
{
    leader_stream_free(w->stream);
    http_client_free(w->http);
    http_server_free(w->server);
    loop_free(w->loop);
}

#define run_until(w, condition)                                                                    \
    do {                                                                                           \
        int steps = 0;                                                                             \
        while (!(condition) && steps++ < STEPS)                                                    \
            loop_run_once((w)->loop, true);                                                        \
        assert_true(condition);                                                                    \
    } while (0)

static void opens_again(void **state)
{
    (void)state;
    struct world w;
    start_world(&w);
    w.aside = 2;
    begin(&w, NULL);
    run_until(&w, w.records == 1);
    assert_int_equal(w.calls, 3); /* redirects are followed at once, and not told */
    assert_int_equal(w.ends, 0);
    assert_int_equal(leader_stream_address(w.stream)->port, w.port);
    leader_stream_again(w.stream, "because");
    assert_int_equal(w.worked, 1);
    assert_string_equal(w.last_why, "because");
    run_until(&w, w.records == 2);
    /* Silence ends it. */
    w.silent = true;
    run_until(&w, w.worked == 2);
    assert_string_equal(w.last_why, "no heartbeat for several intervals");
    run_until(&w, w.ends == 3);
    assert_string_equal(w.last_why, "nothing came for too long");
    w.silent = false;
    w.garbage = true;
    run_until(&w, w.ends == 5);
    assert_int_equal(w.worked, 2);
    w.garbage = false;
    run_until(&w, w.records == 3);
    /* Too many redirects are a failure. */
    w.aside = 7;
    leader_stream_again(w.stream, "once more");
    run_until(&w, w.last_status == 307);
    run_until(&w, w.records == 4);
    assert_true(w.opened >= 4);
    end_world(&w);
}

/* Nothing is asked without a token; a refusal is told with its text. */
static void waits_for_the_login(void **state)
{
    (void)state;
    struct world w;
    char *public_pem, kid[RSA_KID_SIZE], dir[] = "/tmp/test-stream-XXXXXX";
    start_world(&w);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rsa_generate(&public_pem, &w.key, kid, NULL), 0);
    _cleanup_free_ char *url = xasprintf("http://127.0.0.1:%u/login", w.port);
    _cleanup_free_ char *file = path_join(dir, "secret");
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer jw;
    jw_init(&jw, &text);
    jw_begin_object(&jw);
    jw_field_string(&jw, "uid", "u");
    jw_field_string(&jw, "private_key", w.key);
    jw_field_string(&jw, "login_endpoint", url);
    jw_end_object(&jw);
    assert_int_equal(file_write_atomic(file, text.p, text.n, 0600, NULL), 0);
    struct login *login;
    bool exposed;
    assert_int_equal(login_new_service(w.loop, file, NULL, &login, &exposed, NULL), 0);
    w.login_failures = 2;
    w.refusals = 2;
    begin(&w, login);
    run_until(&w, w.login_failures == 0);
    assert_int_equal(w.calls, 0);
    run_until(&w, w.ends == 1);
    assert_int_equal(w.logins, 1);
    assert_int_equal(w.last_status, 401);
    assert_string_equal(w.last_why, "who are you");
    run_until(&w, w.records == 1);
    assert_int_equal(w.calls, 3);
    assert_int_equal(w.logins, 1); /* the token is too young to be given up */
    leader_stream_free(w.stream);
    w.stream = NULL;
    login_free(login);
    rsa_wipe(w.key);
    free(public_pem);
    assert_int_equal(remove_tree(dir, NULL), 0);
    end_world(&w);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } table[] = {{"h:1", true}, {"https://h:1", true}, {"http://h:1/,[::1]:2", true}, {"", false},
        {"h", false}, {":1", false}, {"h:99999", false}, {"h:1,,", false}, {"ftp://h", false}};
    static const struct leader_stream_handlers handlers = {
        .fill = fill, .on_record = on_record, .on_end = on_end};
    struct loop *loop = loop_new();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct leader_stream *s = NULL;
        struct error err = ERROR_INIT;
        const struct leader_stream_options o = {
            .masters = table[i].text, .target = "/", .type = "x", .record_max = 1};
        int r = leader_stream_new(loop, &o, &handlers, NULL, &s, &err);
        assert_int_equal(r, table[i].good ? 0 : -EINVAL);
        leader_stream_free(s);
    }
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_again),
        cmocka_unit_test(waits_for_the_login), cmocka_unit_test(addresses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
