/* The client against a master made of our own HTTP server, on one loop. */

#include "unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "http/recordio.h"
#include "http/server.h"
#include "scheduler/client.h"
#include "wire/codec.h"

enum { STEPS = 20000, CALLS_MAX = 64 };

struct master {
    struct loop *loop;
    struct http_server *server;
    struct scheduler_client *client;
    uint16_t port;
    struct http_request *stream;
    int subscriptions, redirects; /* redirects still to answer with */
    int refuse;                   /* status for the next call */
    double heartbeat;
    int calls[CALLS_MAX];
    size_t n_calls;
    bool stream_id_ok;
    /* seen by the framework */
    int subscribed, offers, disconnected, refused;
};

static void send_event(struct master *m, Mesos__V1__Scheduler__Event *e)
{
    struct buf body = BUF_INIT, record = BUF_INIT;
    wire_pack(&e->base, &body);
    recordio_append(&record, body.p, body.n);
    http_respond_write(m->stream, record.p, record.n);
    buf_done(&body);
    buf_done(&record);
}

static void on_stream_close(struct http_request *req)
{
    struct master *m = req->userdata;
    if (m->stream == req)
        m->stream = NULL;
}

static void subscribe(struct master *m, struct http_request *req)
{
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    Mesos__V1__Scheduler__Event__Subscribed s = MESOS__V1__SCHEDULER__EVENT__SUBSCRIBED__INIT;
    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    if (m->redirects > 0) {
        m->redirects--;
        http_set_header_f(req, "Location", "//127.0.0.1:%u/api/v1/scheduler", m->port);
        http_respond(req, 307, NULL, NULL, 0);
        return;
    }
    m->subscriptions++;
    m->stream = req;
    req->on_close = on_stream_close;
    http_set_header_f(req, "Mesos-Stream-Id", "stream-%d", m->subscriptions);
    http_respond_begin(req, 200, "application/x-protobuf");
    id.value = (char *)(uintptr_t) "F1";
    s.framework_id = &id;
    s.has_heartbeat_interval_seconds = true;
    s.heartbeat_interval_seconds = m->heartbeat;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED;
    e.subscribed = &s;
    send_event(m, &e);
}

static void on_body(struct http_request *req)
{
    struct master *m = req->userdata;
    ProtobufCMessage *msg = NULL;
    assert_int_equal(wire_unpack(&mesos__v1__scheduler__call__descriptor, &req->arena, req->body.p,
                         req->body.n, &msg, NULL),
        0);
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)msg;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE) {
        subscribe(m, req);
        return;
    }
    char want[32];
    snprintf(want, sizeof(want), "stream-%d", m->subscriptions);
    m->stream_id_ok = str_eq_c(http_request_header(req, "Mesos-Stream-Id"), want) &&
                      streq(call->framework_id->value, "F1");
    if (m->n_calls < CALLS_MAX)
        m->calls[m->n_calls++] = call->type;
    int status = m->refuse ? m->refuse : 202;
    m->refuse = 0;
    http_respond(req, status, NULL, NULL, 0);
}

static void handle(struct http_request *req, void *userdata)
{
    req->userdata = userdata;
    http_request_collect(req, 0, on_body);
}

/* ---- the framework ---- */

static void fill(Mesos__V1__Scheduler__Call *call, struct arena *arena, void *userdata)
{
    Mesos__V1__Scheduler__Call__Subscribe *s = arena_new(
        arena, Mesos__V1__Scheduler__Call__Subscribe);
    mesos__v1__scheduler__call__subscribe__init(s);
    call->subscribe = s;
}

static void on_event(const Mesos__V1__Scheduler__Event *e, void *userdata)
{
    struct master *m = userdata;
    m->subscribed += e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED;
    m->offers += e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS;
}

static void on_disconnected(const char *reason, void *userdata)
{
    ((struct master *)userdata)->disconnected++;
}

static void on_refused(int status, const char *text, void *userdata)
{
    ((struct master *)userdata)->refused = status;
}

static void setup(struct master *m, double heartbeat)
{
    static const struct scheduler_handlers handlers = {fill, on_event, on_disconnected, on_refused};
    char masters[32];
    struct error err = ERROR_INIT;
    *m = (struct master){.heartbeat = heartbeat};
    m->loop = loop_new();
    m->server = http_server_new(m->loop, NULL, handle, m);
    assert_int_equal(http_server_listen(m->server, "127.0.0.1", 0, NULL, &m->port, &err), 0);
    snprintf(masters, sizeof(masters), "127.0.0.1:%u", m->port);
    const struct scheduler_options options = {
        .masters = masters, .min_backoff_us = 1000, .max_backoff_us = 5000, .missed_heartbeats = 2};
    assert_int_equal(scheduler_client_new(m->loop, &options, &handlers, m, &m->client, &err), 0);
    scheduler_client_start(m->client);
}

static void teardown(struct master *m)
{
    scheduler_client_free(m->client);
    http_server_free(m->server);
    loop_free(m->loop);
}

#define RUN_UNTIL(m, condition)                                                                    \
    do {                                                                                           \
        int run_i = 0;                                                                             \
        for (; run_i < STEPS && !(condition); run_i++)                                             \
            loop_run_once((m)->loop, true);                                                        \
        assert_true(condition);                                                                    \
    } while (0)

static int make_call(struct master *m, Mesos__V1__Scheduler__Call__Type type)
{
    Mesos__V1__Scheduler__Call call = MESOS__V1__SCHEDULER__CALL__INIT;
    call.has_type = true;
    call.type = type;
    return scheduler_client_call(m->client, &call);
}

static void test_events_and_calls_in_order(void **state)
{
    struct master m;
    setup(&m, 15);
    m.redirects = 2;
    assert_true(make_call(&m, MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE) < 0);
    RUN_UNTIL(&m, m.subscribed == 1);
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__HEARTBEAT;
    send_event(&m, &e);
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS;
    send_event(&m, &e);
    for (int i = 0; i < 20; i++)
        assert_int_equal(make_call(&m, i % 2 ? MESOS__V1__SCHEDULER__CALL__TYPE__SUPPRESS
                                             : MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE),
            0);
    RUN_UNTIL(&m, m.n_calls == 20 && m.offers == 1);
    assert_true(m.stream_id_ok);
    for (int i = 0; i < 20; i++)
        assert_int_equal(m.calls[i], i % 2 ? MESOS__V1__SCHEDULER__CALL__TYPE__SUPPRESS
                                           : MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE);
    assert_int_equal(m.disconnected, 0);
    teardown(&m);
}

static void test_broken_stream_is_made_again(void **state)
{
    struct master m;
    setup(&m, 15);
    RUN_UNTIL(&m, m.subscribed == 1);
    http_respond_abort(m.stream);
    RUN_UNTIL(&m, m.subscribed == 2);
    assert_int_equal(m.disconnected, 1);
    assert_int_equal(make_call(&m, MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE), 0);
    RUN_UNTIL(&m, m.n_calls == 1);
    assert_true(m.stream_id_ok);
    teardown(&m);
}

static void test_silence_is_noticed(void **state)
{
    struct master m;
    setup(&m, 0.02);
    RUN_UNTIL(&m, m.subscribed == 3);
    assert_int_equal(m.disconnected, 2);
    teardown(&m);
}

static void test_refused_call_starts_afresh(void **state)
{
    struct master m;
    setup(&m, 15);
    RUN_UNTIL(&m, m.subscribed == 1);
    m.refuse = 403;
    make_call(&m, MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE);
    make_call(&m, MESOS__V1__SCHEDULER__CALL__TYPE__SUPPRESS);
    RUN_UNTIL(&m, m.subscribed == 2);
    assert_int_equal(m.refused, 403);
    assert_int_equal(m.n_calls, 1); /* the second was dropped with the subscription */
    teardown(&m);
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"", "host", "host:", ":1", "host:99999", "a:1,b"};
    struct loop *l = loop_new();
    const struct scheduler_handlers handlers = {fill, on_event, on_disconnected, on_refused};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct scheduler_client *c;
        const struct scheduler_options options = {.masters = bad[i]};
        if (scheduler_client_new(l, &options, &handlers, NULL, &c, NULL) >= 0)
            fail_msg("took '%s'", bad[i]);
    }
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_and_calls_in_order),
        cmocka_unit_test(test_broken_stream_is_made_again),
        cmocka_unit_test(test_silence_is_noticed),
        cmocka_unit_test(test_refused_call_starts_afresh),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
