#include "harness.h"

#include <errno.h>

/* What operators decide about agents: deactivated, draining, gone. */

struct scene {
    struct harness *h;
    char agent[64], framework[64];
    struct error err;
};

/* Agent on link 1, framework on stream 10, with task t1 running when `running`. */
static void begin(struct scene *s, const char *info, bool running)
{
    *s = (struct scene){.h = harness_new(NULL), .err = ERROR_INIT};
    struct harness *h = s->h;
    snprintf(s->agent, sizeof(s->agent), "%s", harness_register(h, 1, NULL, "a1", NULL));
    snprintf(s->framework, sizeof(s->framework), "%s", harness_subscribe(h, 10, info));
    harness_pass(h, 2000);
    if (!running)
        return;
    launch(h, 10, s->framework, str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value"), s->agent,
        "t1");
    update(h, 1, s->framework, "t1", "TASK_RUNNING", UUID1);
    take(h, 10, "UPDATE");
    acknowledge(h, 10, s->framework, s->agent, "t1", UUID1);
    harness_pass(h, 5000);
}

static const char *task_json(const struct scene *s, const char *state)
{
    static char text[600];
    snprintf(text, sizeof(text),
        ",\"tasks\":[{\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"framework_id\":{\"value\":"
        "\"%s\"},\"agent_id\":{\"value\":\"%s\"},\"state\":\"%s\",\"resources\":[{\"name\":"
        "\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1},\"allocation_info\":{\"role\":"
        "\"*\"}}]}],\"frameworks\":[" INFO("f", ",\"id\":{\"value\":\"%s\"}") "]",
        s->framework, s->agent, state, s->framework);
    return text;
}

static void end_task(struct scene *s, const char *state)
{
    update(s->h, 1, s->framework, "t1", state, UUID2);
    acknowledge(s->h, 10, s->framework, s->agent, "t1", UUID2);
}

static int drain(struct scene *s, int64_t grace_ns, bool mark_gone)
{
    int r = master_core_drain_agent(s->h->core, s->agent, grace_ns, mark_gone, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static int deactivate(struct scene *s)
{
    int r = master_core_deactivate_agent(s->h->core, s->agent, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static int reactivate(struct scene *s)
{
    int r = master_core_reactivate_agent(s->h->core, s->agent, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static int mark_gone(struct scene *s)
{
    int r = master_core_mark_agent_gone(s->h->core, s->agent, s->h->now, &s->err);
    harness_pump(s->h);
    return r;
}

static struct master_counts counts(struct scene *s)
{
    struct master_counts c;
    master_core_counts(s->h->core, &c);
    return c;
}

static void reconcile(struct scene *s, const char *task)
{
    harness_call(s->h, 10,
        "{\"type\":\"RECONCILE\",\"framework_id\":{\"value\":\"%s\"},\"reconcile\":{\"tasks\":[{"
        "\"task_id\":{\"value\":\"%s\"},\"agent_id\":{\"value\":\"%s\"}}]}}",
        s->framework, task, s->agent);
}

/* ---- deactivation ---- */

static void test_deactivate_and_reactivate(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    take(s.h, 10, "OFFERS");
    assert_int_equal(reactivate(&s), -EINVAL);
    assert_int_equal(deactivate(&s), 0);
    take(s.h, 10, "RESCIND");
    assert_int_equal(counts(&s).agents_active, 0);
    assert_int_equal(counts(&s).agents_connected, 1);
    assert_int_equal(counts(&s).tasks, 1); /* they go on */
    harness_pass(s.h, 10 * SECOND);
    assert_false(pending(s.h, 10, "OFFERS"));
    assert_false(pending(s.h, 1, "drain_agent"));
    assert_int_equal(deactivate(&s), 0); /* is so already */
    end_task(&s, "TASK_FINISHED");
    harness_pass(s.h, 10 * SECOND);
    assert_false(pending(s.h, 10, "OFFERS"));
    assert_int_equal(reactivate(&s), 0);
    harness_pass(s.h, 5000);
    take(s.h, 10, "OFFERS");
    assert_int_equal(counts(&s).agents_active, 1);
    harness_free(s.h);
}

static void test_unknown_agents(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), false);
    snprintf(s.agent, sizeof(s.agent), "nobody");
    assert_int_equal(deactivate(&s), -ENOENT);
    assert_int_equal(reactivate(&s), -ENOENT);
    assert_int_equal(drain(&s, -1, false), -ENOENT);
    assert_int_equal(mark_gone(&s), -ENOENT);
    harness_free(s.h);
}

static void test_deactivation_survives(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), false);
    assert_int_equal(deactivate(&s), 0);
    /* A link that breaks, a new master, and being unreachable. */
    harness_agent_closed(s.h, 1);
    harness_register(s.h, 2, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_active, 0);
    harness_failover(s.h);
    harness_register(s.h, 3, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_active, 0);
    harness_pass(s.h, 100 * SECOND);
    assert_int_equal(counts(&s).agents_unreachable, 1);
    harness_failover(s.h);
    assert_int_equal(counts(&s).agents_unreachable, 1);
    harness_register(s.h, 4, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_connected, 1);
    assert_int_equal(counts(&s).agents_active, 0);
    harness_failover(s.h);
    harness_register(s.h, 5, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_active, 0);
    assert_int_equal(reactivate(&s), 0);
    assert_int_equal(counts(&s).agents_active, 1);
    harness_failover(s.h);
    harness_register(s.h, 6, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_active, 1);
    harness_free(s.h);
}

static void test_unreachable_agents_can_be_told(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), false);
    harness_pass(s.h, 100 * SECOND);
    assert_int_equal(counts(&s).agents_unreachable, 1);
    assert_int_equal(deactivate(&s), 0);
    assert_int_equal(reactivate(&s), 0);
    assert_int_equal(drain(&s, INT64_C(5000000000), false), 0);
    harness_failover(s.h);
    /* It drains from the first moment. */
    harness_agent_record(s.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(s.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\","
        "\"resources\":" RES("4", "1000") "},\"version\":\"1.0.0\"}}",
        s.agent);
    const json_t *r = at(take(s.h, 2, "registered"), "registered");
    assert_true(num_at(r, "drain_config.max_grace_period.nanoseconds") > 4.9e9);
    assert_int_equal(counts(&s).agents_active, 0);
    harness_free(s.h);
}

/* ---- draining ---- */

static void test_drain(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    take(s.h, 10, "OFFERS");
    assert_int_equal(drain(&s, INT64_C(3000000000), false), 0);
    take(s.h, 10, "RESCIND");
    const json_t *d = at(take(s.h, 1, "drain_agent"), "drain_agent.config");
    assert_true(num_at(d, "max_grace_period.nanoseconds") > 2.9e9);
    assert_true(json_is_false(at(d, "mark_gone")));
    assert_int_equal(reactivate(&s), -EINVAL);
    assert_string_equal(
        s.err.msg + strlen(s.err.msg) - strlen("is still draining"), "is still draining");
    /* Its end must be acknowledged, too. */
    update(s.h, 1, s.framework, "t1", "TASK_KILLED", UUID2);
    harness_pass(s.h, SECOND);
    assert_int_equal(reactivate(&s), -EINVAL);
    acknowledge(s.h, 10, s.framework, s.agent, "t1", UUID2);
    harness_pass(s.h, SECOND);
    assert_false(pending(s.h, 10, "OFFERS"));
    /* Drained: it stays so, until it is wanted again. */
    harness_failover(s.h);
    harness_register(s.h, 2, s.agent, "a1", NULL);
    assert_int_equal(counts(&s).agents_active, 0);
    assert_int_equal(reactivate(&s), 0);
    assert_false(has_at(take(s.h, 2, "drain_agent"), "drain_agent.config"));
    assert_int_equal(counts(&s).agents_active, 1);
    harness_free(s.h);
}

static void test_drain_without_tasks_is_done_at_once(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), false);
    assert_int_equal(drain(&s, -1, false), 0);
    assert_false(has_at(take(s.h, 1, "drain_agent"), "drain_agent.config.max_grace_period"));
    harness_pass(s.h, 1000);
    assert_int_equal(reactivate(&s), 0);
    harness_free(s.h);
}

/* The master ends between the drain and the last task; the next one takes it up. */
static void test_drain_through_a_failover(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    assert_int_equal(drain(&s, -1, false), 0);
    harness_failover(s.h);
    harness_agent_record(s.h, 1, "{\"hello\":{\"major\":1}}");
    harness_agent_record(s.h, 1,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\","
        "\"resources\":" RES("4", "1000") "},\"version\":\"1.0.0\"%s}}",
        s.agent, task_json(&s, "TASK_RUNNING"));
    assert_true(has_at(take(s.h, 1, "registered"), "registered.drain_config"));
    harness_pass(s.h, SECOND);
    assert_int_equal(reactivate(&s), -EINVAL);
    _cleanup_free_ char *info = xasprintf(INFO("f", ",\"id\":{\"value\":\"%s\"}"), s.framework);
    harness_subscribe(s.h, 10, info);
    end_task(&s, "TASK_KILLED");
    harness_pass(s.h, 1000);
    assert_int_equal(reactivate(&s), 0);
    harness_free(s.h);
}

static void test_drain_ends_while_the_agent_is_away(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    assert_int_equal(drain(&s, -1, false), 0);
    harness_agent_closed(s.h, 1);
    harness_pass(s.h, 1000);
    assert_int_equal(reactivate(&s), -EINVAL);
    harness_register(s.h, 2, s.agent, "a1", task_json(&s, "TASK_KILLED"));
    harness_agent_record(s.h, 2,
        "{\"update\":{\"framework_id\":{\"value\":\"%s\"},\"latest_state\":\"TASK_KILLED\","
        "\"status\":{\"task_id\":{\"value\":\"t1\"},\"state\":\"TASK_KILLED\",\"uuid\":\"" UUID2
        "\"}}}",
        s.framework);
    acknowledge(s.h, 10, s.framework, s.agent, "t1", UUID2);
    harness_pass(s.h, 1000);
    assert_int_equal(reactivate(&s), 0);
    harness_free(s.h);
}

static void test_drain_needs_the_capability(void **state)
{
    struct scene s = {.h = harness_new(NULL), .err = ERROR_INIT};
    snprintf(s.agent, sizeof(s.agent), "%s", harness_agent(s.h, 1, "a1", RES("4", "1000"), NULL));
    assert_int_equal(drain(&s, -1, false), -EINVAL);
    assert_int_equal(counts(&s).agents_active, 1);
    assert_int_equal(deactivate(&s), 0); /* needs nothing of it */
    harness_free(s.h);
}

/* It drained while nobody could ask it, and comes back as one that does not know how. */
static void test_drain_of_an_agent_that_comes_back_without_the_capability(void **state)
{
    struct scene s;
    begin(&s, INFO("f", PARTITION_AWARE), true);
    harness_agent_closed(s.h, 1);
    harness_pass(s.h, 100 * SECOND);
    assert_int_equal(counts(&s).agents_unreachable, 1);
    assert_int_equal(drain(&s, INT64_C(1000000000), false), 0);
    harness_agent_record(s.h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(s.h, 2,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,"
        "\"resources\":" RES("4", "1000") "},\"version\":\"1.11.0\",\"ip\":\"10.0.0.1\"%s}}",
        s.agent, task_json(&s, "TASK_RUNNING"));
    const json_t *kill = at(take(s.h, 2, "kill_task"), "kill_task");
    assert_string_equal(str_at(kill, "task_id.value"), "t1");
    assert_true(num_at(kill, "kill_policy.grace_period.nanoseconds") == 1e9);
    assert_int_equal(reactivate(&s), -EINVAL); /* still draining */
    harness_agent_record(s.h, 2,
        "{\"update\":{\"framework_id\":{\"value\":\"%s\"},\"latest_state\":\"TASK_KILLED\","
        "\"status\":{\"task_id\":{\"value\":\"t1\"},\"state\":\"TASK_KILLED\",\"uuid\":\"" UUID2
        "\"}}}",
        s.framework);
    acknowledge(s.h, 10, s.framework, s.agent, "t1", UUID2);
    harness_pass(s.h, 1000);
    assert_int_equal(reactivate(&s), 0); /* it was drained */
    harness_free(s.h);
}

static void test_drain_and_mark_gone(void **state)
{
    struct scene s;
    begin(&s, INFO("f", PARTITION_AWARE), true);
    assert_int_equal(drain(&s, -1, true), 0);
    const json_t *sent = take(s.h, 1, "drain_agent");
    assert_true(json_is_true(at(sent, "drain_agent.config.mark_gone")));
    harness_failover(s.h);
    harness_register(s.h, 2, s.agent, "a1", NULL);
    harness_pass(s.h, 1000);
    take(s.h, 2, "shutdown_agent");
    sent = take(s.h, 2, "refused");
    assert_true(json_is_true(at(sent, "refused.forget")));
    assert_true(closed(s.h, 2));
    assert_int_equal(counts(&s).agents_connected, 0);
    assert_null(harness_register(s.h, 3, s.agent, "a1", NULL));
    harness_free(s.h);
}

/* ---- gone ---- */

static void test_mark_gone(void **state)
{
    struct scene s;
    begin(&s, INFO("f", PARTITION_AWARE), true);
    take(s.h, 10, "OFFERS");
    s.h->hold = true;
    assert_int_equal(mark_gone(&s), 0);
    /* Nobody hears of it before it is durable. */
    assert_false(pending(s.h, 10, "UPDATE"));
    assert_false(pending(s.h, 1, "shutdown_agent"));
    s.h->hold = false;
    harness_pump(s.h);
    const json_t *u = at(take(s.h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_GONE_BY_OPERATOR");
    assert_string_equal(str_at(u, "reason"), "REASON_AGENT_REMOVED_BY_OPERATOR");
    take(s.h, 10, "RESCIND");
    take(s.h, 10, "FAILURE");
    take(s.h, 1, "shutdown_agent");
    assert_true(closed(s.h, 1));
    assert_int_equal(counts(&s).tasks, 0);
    assert_int_equal(mark_gone(&s), 0);
    assert_int_equal(deactivate(&s), -ENOENT);
    reconcile(&s, "t1");
    u = at(take(s.h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_GONE_BY_OPERATOR");
    assert_string_equal(str_at(u, "reason"), "REASON_RECONCILIATION");

    for (int i = 0; i < 2; i++) { /* the id never comes back */
        uint64_t link = 20 + (uint64_t)i;
        assert_null(harness_register(s.h, link, s.agent, "a1", NULL));
        const json_t *refused = take(s.h, link, "refused");
        assert_true(json_is_true(at(refused, "refused.forget")));
        harness_failover(s.h);
        assert_int_equal(mark_gone(&s), 0);
    }
    const char *fresh = harness_register(s.h, 30, NULL, "a1", NULL);
    assert_non_null(fresh);
    assert_string_not_equal(fresh, s.agent);
    harness_free(s.h);
}

static void test_gone_for_the_unaware(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    assert_int_equal(mark_gone(&s), 0);
    const json_t *u = at(take(s.h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_LOST");
    assert_string_equal(str_at(u, "reason"), "REASON_AGENT_REMOVED");
    reconcile(&s, "t1");
    assert_string_equal(str_at(take(s.h, 10, "UPDATE"), "update.status.state"), "TASK_LOST");
    harness_free(s.h);
}

static void test_unreachable_becomes_gone(void **state)
{
    struct scene s;
    begin(&s, INFO("f", PARTITION_AWARE), true);
    harness_pass(s.h, 100 * SECOND);
    assert_string_equal(str_at(take(s.h, 10, "UPDATE"), "update.status.state"), "TASK_UNREACHABLE");
    assert_int_equal(mark_gone(&s), 0);
    assert_string_equal(
        str_at(take(s.h, 10, "UPDATE"), "update.status.state"), "TASK_GONE_BY_OPERATOR");
    assert_int_equal(counts(&s).agents_unreachable, 0);
    harness_failover(s.h);
    assert_int_equal(counts(&s).agents_unreachable, 0);
    assert_null(harness_register(s.h, 2, s.agent, "a1", NULL));
    harness_free(s.h);
}

static void test_recovered_becomes_gone(void **state)
{
    struct scene s;
    begin(&s, INFO("f", ""), true);
    harness_failover(s.h);
    assert_int_equal(counts(&s).agents_recovered, 1);
    assert_int_equal(mark_gone(&s), 0);
    assert_int_equal(counts(&s).agents_recovered, 0);
    assert_null(harness_register(s.h, 2, s.agent, "a1", NULL));
    harness_free(s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deactivate_and_reactivate),
        cmocka_unit_test(test_unknown_agents),
        cmocka_unit_test(test_deactivation_survives),
        cmocka_unit_test(test_unreachable_agents_can_be_told),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_without_tasks_is_done_at_once),
        cmocka_unit_test(test_drain_through_a_failover),
        cmocka_unit_test(test_drain_ends_while_the_agent_is_away),
        cmocka_unit_test(test_drain_needs_the_capability),
        cmocka_unit_test(test_drain_of_an_agent_that_comes_back_without_the_capability),
        cmocka_unit_test(test_drain_and_mark_gone),
        cmocka_unit_test(test_mark_gone),
        cmocka_unit_test(test_gone_for_the_unaware),
        cmocka_unit_test(test_unreachable_becomes_gone),
        cmocka_unit_test(test_recovered_becomes_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
