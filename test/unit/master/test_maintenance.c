#include "harness.h"

#include <errno.h>

/* Maintenance: the schedule, machines that go down and up, inverse offers. */

struct scene {
    struct harness *h;
    char agent[64], framework[64];
    struct error err;
};

#define MACHINE(host, ip) "{\"hostname\":\"" host "\",\"ip\":\"" ip "\"}"
#define WINDOW(machines, start)                                                                    \
    "{\"machine_ids\":[" machines "],\"unavailability\":{\"start\":{\"nanoseconds\":" start        \
    "},\"duration\":{\"nanoseconds\":3600000000000}}}"
#define A1 MACHINE("a1", "10.0.0.1")

static void begin(struct scene *s)
{
    *s = (struct scene){.h = harness_new(NULL), .err = ERROR_INIT};
    struct harness *h = s->h;
    snprintf(s->agent, sizeof(s->agent), "%s", harness_register(h, 1, NULL, "a1", NULL));
    snprintf(s->framework, sizeof(s->framework), "%s",
        harness_subscribe(h, 10, INFO("f", PARTITION_AWARE)));
    harness_pass(h, 2000);
}

static void run_task(struct scene *s)
{
    struct harness *h = s->h;
    launch(h, 10, s->framework, str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value"), s->agent,
        "t1");
    update(h, 1, s->framework, "t1", "TASK_RUNNING", UUID1);
    take(h, 10, "UPDATE");
    acknowledge(h, 10, s->framework, s->agent, "t1", UUID1);
}

static int set_schedule(struct scene *s, const char *windows)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_free_ char *text = xasprintf("{\"windows\":[%s]}", windows);
    ProtobufCMessage *m = harness_parse(
        &mesos__v1__maintenance__schedule__descriptor, &arena, text);
    int r = master_core_update_schedule(
        s->h->core, (Mesos__V1__Maintenance__Schedule *)m, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static int change(struct scene *s, const char *machines, bool down)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_free_ char *text = xasprintf("{\"machines\":[%s]}", machines);
    ProtobufCMessage *m = harness_parse(
        &mesos__v1__master__call__start_maintenance__descriptor, &arena, text);
    const Mesos__V1__Master__Call__StartMaintenance *start =
        (Mesos__V1__Master__Call__StartMaintenance *)m;
    int r = down ? master_core_start_maintenance(
                       s->h->core, start->machines, start->n_machines, s->h->now, &s->err)
                 : master_core_stop_maintenance(
                       s->h->core, start->machines, start->n_machines, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static json_t *status_of(struct scene *s)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    return harness_json(&master_core_maintenance_status(s->h->core, &arena)->base);
}

static json_t *schedule_of(struct scene *s)
{
    return harness_json(&master_core_schedule(s->h->core)->base);
}

static void assert_json(json_t *got, const char *want)
{
    json_t *expected;
    assert_int_equal(json_parse(want, strlen(want), &expected, NULL), 0);
    if (!json_equal(got, expected)) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        json_dump(got, &text);
        fail_msg("%s is not %s", buf_cstr(&text), want);
    }
    json_decref(got);
    json_decref(expected);
}

/* ---- validation ---- */

static void test_bad_schedules(void **state)
{
    static const char *const bad[] = {
        WINDOW("", "1"),
        WINDOW("{}", "1"),
        WINDOW("{\"hostname\":\"\",\"ip\":\"\"}", "1"),
        WINDOW("{\"ip\":\"10.0.0\"}", "1"),
        WINDOW(A1 "," A1, "1"),
        WINDOW(A1, "1") "," WINDOW(A1, "2"),
        WINDOW(A1 "," MACHINE("A1", "10.0.0.1"), "1"),
        "{\"machine_ids\":[" A1 "]}",
        "{\"machine_ids\":[" A1 "],\"unavailability\":{\"start\":{\"nanoseconds\":1},"
        "\"duration\":{\"nanoseconds\":-1}}}",
    };
    struct scene s;
    begin(&s);
    assert_int_equal(set_schedule(&s, WINDOW(MACHINE("b", "10.0.0.9"), "5")), 0);
    uint64_t before = master_core_last_mutation(s.h->core);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (set_schedule(&s, bad[i]) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(master_core_last_mutation(s.h->core), before);
    assert_json(schedule_of(&s), "{\"windows\":[" WINDOW(MACHINE("b", "10.0.0.9"), "5") "]}");
    /* A name or an address alone is a machine, too, though none that an agent is on. */
    assert_int_equal(
        set_schedule(&s, WINDOW("{\"hostname\":\"c\"},{\"ip\":\"10.0.0.3\"}", "1")), 0);
    harness_free(s.h);
}

static void test_large_schedules_are_refused(void **state)
{
    struct scene s;
    begin(&s);
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_puts(&text, "{\"machine_ids\":[");
    for (int i = 0; i < 10000; i++)
        buf_printf(
            &text, "%s{\"hostname\":\"host-%d.example.com\",\"ip\":\"10.0.0.1\"}", i ? "," : "", i);
    buf_puts(&text, "],\"unavailability\":{\"start\":{\"nanoseconds\":1}}}");
    assert_int_equal(set_schedule(&s, buf_cstr(&text)), -EINVAL);
    assert_json(schedule_of(&s), "{}");
    harness_free(s.h);
}

static void test_bad_machines(void **state)
{
    struct scene s;
    begin(&s);
    assert_int_equal(set_schedule(&s, WINDOW(A1 "," MACHINE("b", "10.0.0.2"), "1")), 0);
    for (int down = 0; down < 2; down++) {
        assert_int_equal(change(&s, "", down), -EINVAL);
        assert_int_equal(change(&s, "{}", down), -EINVAL);
        assert_int_equal(change(&s, MACHINE("c", "10.0.0.3"), down), -EINVAL);
        assert_int_equal(change(&s, A1 "," A1, down), -EINVAL);
    }
    assert_int_equal(change(&s, A1, false), -EINVAL); /* is not down */
    assert_int_equal(change(&s, A1 "," MACHINE("c", "10.0.0.3"), true), -EINVAL);
    struct master_counts c;
    master_core_counts(s.h->core, &c);
    assert_int_equal(c.agents_connected, 1); /* none of them */
    assert_int_equal(change(&s, A1, true), 0);
    assert_int_equal(change(&s, A1, true), -EINVAL); /* is down already */
    assert_int_equal(set_schedule(&s, WINDOW(MACHINE("b", "10.0.0.2"), "1")), -EINVAL);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "7")), 0); /* it stays in it */
    assert_json(status_of(&s), "{\"down_machines\":[" A1 "]}");
    harness_free(s.h);
}

/* ---- schedule, down, up ---- */

static void test_offers_tell_of_it(void **state)
{
    struct scene s;
    begin(&s);
    assert_false(has_at(take(s.h, 10, "OFFERS"), "offers.offers.0.unavailability"));
    assert_int_equal(set_schedule(&s, WINDOW(MACHINE("A1", "10.0.0.1"), "1700000000000000000")), 0);
    take(s.h, 10, "RESCIND");
    harness_pass(s.h, 5000);
    const json_t *o = at(take(s.h, 10, "OFFERS"), "offers.offers.0");
    assert_true(num_at(o, "unavailability.start.nanoseconds") == 1.7e18);
    /* The same again changes nothing for the agent. */
    assert_int_equal(set_schedule(&s, WINDOW(A1, "1700000000000000000")), 0);
    assert_false(pending(s.h, 10, "RESCIND"));
    assert_int_equal(set_schedule(&s, ""), 0);
    take(s.h, 10, "RESCIND");
    harness_pass(s.h, 5000);
    assert_false(has_at(take(s.h, 10, "OFFERS"), "offers.offers.0.unavailability"));
    assert_json(schedule_of(&s), "{}");
    harness_failover(s.h);
    assert_json(schedule_of(&s), "{}");
    harness_free(s.h);
}

static void test_down_and_up(void **state)
{
    struct scene s;
    begin(&s);
    run_task(&s);
    assert_int_equal(
        set_schedule(&s, WINDOW(A1, "1") "," WINDOW(MACHINE("b", "10.0.0.2"), "2")), 0);
    assert_json(status_of(&s),
        "{\"draining_machines\":[{\"id\":" A1 "},{\"id\":" MACHINE("b", "10.0.0.2") "}]}");
    s.h->hold = true;
    assert_int_equal(change(&s, A1, true), 0);
    assert_false(pending(s.h, 1, "shutdown_agent"));
    s.h->hold = false;
    harness_pump(s.h);
    take(s.h, 1, "shutdown_agent");
    assert_true(closed(s.h, 1));
    /* Planned: lost for everybody. */
    assert_string_equal(str_at(take(s.h, 10, "UPDATE"), "update.status.state"), "TASK_LOST");
    take(s.h, 10, "FAILURE");
    for (uint64_t link = 2; link < 4; link++) {
        assert_null(harness_register(s.h, link, s.agent, "a1", NULL));
        take(s.h, link, "shutdown_agent");
        assert_false(has_at(take(s.h, link, "refused"), "refused.forget"));
        assert_null(harness_register(s.h, link + 10, NULL, "a1", NULL));
        harness_failover(s.h);
        assert_json(status_of(&s), "{\"draining_machines\":[{\"id\":" MACHINE(
                                       "b", "10.0.0.2") "}],\"down_machines\":[" A1 "]}");
    }
    assert_int_equal(change(&s, A1, false), 0);
    assert_json(schedule_of(&s), "{\"windows\":[" WINDOW(MACHINE("b", "10.0.0.2"), "2") "]}");
    harness_failover(s.h);
    assert_json(schedule_of(&s), "{\"windows\":[" WINDOW(MACHINE("b", "10.0.0.2"), "2") "]}");
    assert_non_null(harness_register(s.h, 5, s.agent, "a1", NULL));
    harness_free(s.h);
}

/* A new master knows the schedule before it knows the agents. */
static void test_failover_in_between(void **state)
{
    struct scene s;
    begin(&s);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "77")), 0);
    harness_failover(s.h);
    _cleanup_free_ char *info = xasprintf(INFO("f", ",\"id\":{\"value\":\"%s\"}"), s.framework);
    harness_subscribe(s.h, 10, info);
    harness_register(s.h, 2, s.agent, "a1", NULL);
    harness_pass(s.h, 5000);
    assert_true(
        num_at(take(s.h, 10, "OFFERS"), "offers.offers.0.unavailability.start.nanoseconds") == 77);
    harness_pass(s.h, 5000);
    take(s.h, 10, "INVERSE_OFFERS");
    /* One that is known but not back when its machine goes down: it may not come back. */
    harness_failover(s.h);
    assert_int_equal(change(&s, A1, true), 0);
    assert_null(harness_register(s.h, 3, s.agent, "a1", NULL));
    take(s.h, 3, "shutdown_agent");
    harness_pass(s.h, 601 * SECOND);
    struct master_counts c;
    master_core_counts(s.h->core, &c);
    assert_int_equal(c.agents_unreachable, 1);
    assert_int_equal(change(&s, A1, false), 0);
    assert_string_equal(harness_register(s.h, 4, s.agent, "a1", NULL), s.agent);
    harness_free(s.h);
}

static void test_no_drain_of_scheduled_machines(void **state)
{
    struct scene s;
    begin(&s);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "1")), 0);
    assert_int_equal(
        master_core_drain_agent(s.h->core, s.agent, -1, false, s.h->now, &s.err), -EINVAL);
    harness_free(s.h);
}

/* ---- inverse offers ---- */

static const char *take_inverse(struct scene *s)
{
    return str_at(take(s->h, 10, "INVERSE_OFFERS"), "inverse_offers.inverse_offers.0.id.value");
}

static int answer(struct scene *s, bool accept, const char *id, double refuse_seconds)
{
    const char *type = accept ? "ACCEPT_INVERSE_OFFERS" : "DECLINE_INVERSE_OFFERS";
    const char *field = accept ? "accept_inverse_offers" : "decline_inverse_offers";
    return harness_call(s->h, 10,
        "{\"type\":\"%s\",\"framework_id\":{\"value\":\"%s\"},\"%s\":{\"inverse_offer_ids\":[{"
        "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":%f}}}",
        type, s->framework, field, id, refuse_seconds);
}

static void test_inverse_offers(void **state)
{
    struct scene s;
    begin(&s);
    run_task(&s);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "77")), 0);
    harness_pass(s.h, 5000);
    const json_t *o = at(take(s.h, 10, "INVERSE_OFFERS"), "inverse_offers.inverse_offers.0");
    assert_string_equal(str_at(o, "agent_id.value"), s.agent);
    assert_string_equal(str_at(o, "framework_id.value"), s.framework);
    assert_true(num_at(o, "unavailability.start.nanoseconds") == 77);
    assert_string_equal(str_at(o, "url.path"), "/slave(1)");
    assert_false(has_at(o, "resources"));
    /* One at a time. */
    harness_pass(s.h, 20 * SECOND);
    assert_false(pending(s.h, 10, "INVERSE_OFFERS"));

    assert_int_equal(answer(&s, true, "unknown", 0), 202);
    assert_json(status_of(&s), "{\"draining_machines\":[{\"id\":" A1 "}]}");
    assert_int_equal(answer(&s, true, str_at(o, "id.value"), 30), 202);
    json_t *status = status_of(&s);
    const json_t *a = at(status, "draining_machines.0.statuses.0");
    assert_string_equal(str_at(a, "status"), "ACCEPT");
    assert_string_equal(str_at(a, "framework_id.value"), s.framework);
    assert_true(num_at(a, "timestamp.nanoseconds") == (double)s.h->now * 1000);
    json_decref(status);
    /* The filter holds, then it is asked again. */
    harness_agent_record(s.h, 1, "{\"pong\":{\"sequence\":1}}");
    harness_pass(s.h, 29 * SECOND);
    assert_false(pending(s.h, 10, "INVERSE_OFFERS"));
    harness_pass(s.h, 2 * SECOND);
    assert_int_equal(answer(&s, false, take_inverse(&s), 1000), 202);
    status = status_of(&s);
    assert_int_equal(json_array_size(at(status, "draining_machines.0.statuses")), 1);
    assert_string_equal(str_at(status, "draining_machines.0.statuses.0.status"), "DECLINE");
    json_decref(status);
    /* REVIVE ends filters. */
    harness_call(s.h, 10, "{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"%s\"}}", s.framework);
    harness_pass(s.h, 5000);
    _cleanup_free_ char *last = xstrdup(take_inverse(&s));
    /* Another window: the question is a new one, and so is the answer. */
    assert_int_equal(set_schedule(&s, WINDOW(A1, "88")), 0);
    assert_string_equal(str_at(take(s.h, 10, "RESCIND_INVERSE_OFFER"),
                            "rescind_inverse_offer.inverse_offer_id.value"),
        last);
    assert_json(status_of(&s), "{\"draining_machines\":[{\"id\":" A1 "}]}");
    harness_pass(s.h, 5000);
    take_inverse(&s);
    assert_int_equal(set_schedule(&s, ""), 0);
    take(s.h, 10, "RESCIND_INVERSE_OFFER");
    harness_pass(s.h, 10 * SECOND);
    assert_false(pending(s.h, 10, "INVERSE_OFFERS"));
    harness_free(s.h);
}

static void test_who_is_asked(void **state)
{
    struct scene s;
    begin(&s);
    /* It has nothing there, not even an offer. */
    decline(
        s.h, 10, s.framework, str_at(take(s.h, 10, "OFFERS"), "offers.offers.0.id.value"), 1000);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "1")), 0);
    harness_pass(s.h, 5000);
    assert_false(pending(s.h, 10, "INVERSE_OFFERS"));
    harness_call(s.h, 10, "{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"%s\"}}", s.framework);
    harness_pass(s.h, 5000);
    run_task(&s);
    take_inverse(&s);
    /* Its stream ends: the question is void; the next stream gets a new one. */
    harness_closed(s.h, 10);
    assert_false(pending(s.h, 10, "RESCIND_INVERSE_OFFER"));
    _cleanup_free_ char *info = xasprintf(INFO("f", ",\"id\":{\"value\":\"%s\"}"), s.framework);
    harness_subscribe(s.h, 10, info);
    harness_pass(s.h, 5000);
    assert_int_equal(answer(&s, true, take_inverse(&s), 0), 202);
    harness_pass(s.h, 5000);
    assert_false(pending(s.h, 10, "INVERSE_OFFERS"));
    harness_pass(s.h, 2 * SECOND);
    take_inverse(&s);
    /* A deactivated agent asks nobody, a lost link rescinds. */
    assert_int_equal(master_core_deactivate_agent(s.h->core, s.agent, s.h->now, NULL), 0);
    harness_pump(s.h);
    take(s.h, 10, "RESCIND_INVERSE_OFFER");
    assert_int_equal(master_core_reactivate_agent(s.h->core, s.agent, s.h->now, NULL), 0);
    harness_pass(s.h, 5000);
    take_inverse(&s);
    harness_agent_closed(s.h, 1);
    take(s.h, 10, "RESCIND_INVERSE_OFFER");
    /* Tearing down forgets its answers. */
    harness_call(
        s.h, 10, "{\"type\":\"TEARDOWN\",\"framework_id\":{\"value\":\"%s\"}}", s.framework);
    assert_json(status_of(&s), "{\"draining_machines\":[{\"id\":" A1 "}]}");
    harness_free(s.h);
}

/* Only who was asked can answer. */
static void test_answers_of_others(void **state)
{
    struct scene s;
    begin(&s);
    run_task(&s);
    const char *other = harness_subscribe(s.h, 11, INFO("g", ""));
    assert_int_equal(set_schedule(&s, WINDOW(A1, "1")), 0);
    harness_pass(s.h, 5000);
    const char *id = take_inverse(&s);
    assert_int_equal(harness_call(s.h, 11,
                         "{\"type\":\"ACCEPT_INVERSE_OFFERS\",\"framework_id\":{\"value\":\"%s\"},"
                         "\"accept_inverse_offers\":{\"inverse_offer_ids\":[{\"value\":\"%s\"}]}}",
                         other, id),
        202);
    assert_json(status_of(&s), "{\"draining_machines\":[{\"id\":" A1 "}]}");
    assert_int_equal(answer(&s, true, id, 1), 202);
    json_t *status = status_of(&s);
    assert_int_equal(json_array_size(at(status, "draining_machines.0.statuses")), 1);
    json_decref(status);
    harness_free(s.h);
}

static void test_inverse_offers_time_out(void **state)
{
    struct scene s = {.err = ERROR_INIT};
    struct master_config c;
    master_config_defaults(&c);
    c.agent_ping_timeout_us = 60 * SECOND;
    c.offer_timeout_us = 10 * SECOND;
    s.h = harness_new(&c);
    snprintf(s.agent, sizeof(s.agent), "%s", harness_register(s.h, 1, NULL, "a1", NULL));
    snprintf(s.framework, sizeof(s.framework), "%s", harness_subscribe(s.h, 10, INFO("f", "")));
    harness_pass(s.h, 2000);
    run_task(&s);
    assert_int_equal(set_schedule(&s, WINDOW(A1, "1")), 0);
    harness_pass(s.h, 5000);
    _cleanup_free_ char *id = xstrdup(take_inverse(&s));
    harness_pass(s.h, 10 * SECOND);
    assert_string_equal(str_at(take(s.h, 10, "RESCIND_INVERSE_OFFER"),
                            "rescind_inverse_offer.inverse_offer_id.value"),
        id);
    assert_string_not_equal(take_inverse(&s), id);
    harness_free(s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_schedules),
        cmocka_unit_test(test_large_schedules_are_refused),
        cmocka_unit_test(test_bad_machines),
        cmocka_unit_test(test_offers_tell_of_it),
        cmocka_unit_test(test_down_and_up),
        cmocka_unit_test(test_failover_in_between),
        cmocka_unit_test(test_no_drain_of_scheduled_machines),
        cmocka_unit_test(test_inverse_offers),
        cmocka_unit_test(test_who_is_asked),
        cmocka_unit_test(test_answers_of_others),
        cmocka_unit_test(test_inverse_offers_time_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
