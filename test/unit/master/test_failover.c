#include "harness.h"

/* Frameworks and agents that come and go, masters that start anew. */

static const char TEARDOWN[] = "{\"type\":\"TEARDOWN\",\"framework_id\":{\"value\":\"%s\"}}";
static const char REVIVE[] = "{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"%s\"}}";

static struct master_counts counts(struct harness *h)
{
    struct master_counts c;
    master_core_counts(h->core, &c);
    return c;
}

static char *with_id(const char *name, const char *id, const char *more)
{
    return xasprintf("{\"user\":\"u\",\"name\":\"%s\",\"checkpoint\":true,\"failover_timeout\":60,"
                     "\"id\":{\"value\":\"%s\"}%s}",
        name, id, more);
}

/* Agent on link 1, framework on stream 10, task t1 running. */
static const char *run_one(struct harness *h, const char *info, char *agent_id, size_t size)
{
    const char *agent = harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    snprintf(agent_id, size, "%s", agent);
    const char *f = harness_subscribe(h, 10, info);
    harness_pass(h, 2000);
    launch(h, 10, f, str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value"), agent, "t1");
    update(h, 1, f, "t1", "TASK_RUNNING", UUID1);
    take(h, 10, "UPDATE");
    acknowledge(h, 10, f, agent, "t1", UUID1);
    harness_pass(h, 5000);
    return f;
}

/* The agent registers again on a link, reporting t1 in the state given (NULL: no task). */
static void come_back(struct harness *h, uint64_t link, const char *agent, const char *framework,
    const char *info, const char *task_state)
{
    _cleanup_free_ char *tasks =
        task_state
            ? xasprintf(
                  "{\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"framework_id\":{\"value\":"
                  "\"%s\"},\"agent_id\":{\"value\":\"%s\"},\"state\":\"%s\",\"resources\":[{"
                  "\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1},"
                  "\"allocation_info\":{\"role\":\"*\"}}]}",
                  framework, agent, task_state)
            : xstrdup("");
    harness_agent_record(h, link, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, link,
        "{\"register\":{\"agent_info\":{\"id\":{\"value\":\"%s\"},\"hostname\":\"a1\",\"port\":"
        "5051,\"resources\":" RES(
            "4", "1000") "},\"version\":\"1\",\"frameworks\":[%s],\"tasks\":[%s]}}",
        agent, info ? info : "", tasks);
}

static void test_failed_over_stream(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    take(h, 10, "OFFERS");
    _cleanup_free_ char *again = with_id("renamed", f, "");
    assert_string_equal(harness_subscribe(h, 11, again), f);
    assert_string_equal(str_at(take(h, 10, "ERROR"), "error.message"), "Framework failed over");
    assert_true(closed(h, 10));
    assert_false(pending(h, 10, "RESCIND"));
    /* The old stream id is void, none is not enough, the new one is good. */
    assert_int_equal(harness_call(h, 10, REVIVE, f), 400);
    assert_int_equal(harness_call(h, 0, REVIVE, f), 400);
    assert_int_equal(harness_call(h, 11, REVIVE, f), 202);
    assert_int_equal(harness_call(h, 11, REVIVE, "unknown"), 400);
    /* The end of the old connection changes nothing. */
    harness_closed(h, 10);
    assert_int_equal(counts(h).frameworks_connected, 1);
    harness_pass(h, 5000);
    take(h, 11, "OFFERS");
    harness_free(h);
}

static void test_failover_timeout(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    const char *f = run_one(h, INFO("f", ""), agent, sizeof(agent));
    harness_closed(h, 10);
    assert_int_equal(harness_call(h, 10, REVIVE, f), 403);
    harness_pass(h, 59 * SECOND);
    /* It would be pinged out first otherwise. */
    harness_agent_record(h, 1, "{\"pong\":{\"sequence\":1}}");
    assert_int_equal(counts(h).tasks, 1);
    assert_false(pending(h, 1, "shutdown_framework"));
    harness_pass(h, 2 * SECOND);
    take(h, 1, "shutdown_framework");
    assert_int_equal(counts(h).tasks, 0);
    assert_int_equal(counts(h).frameworks_disconnected, 0);
    _cleanup_free_ char *again = with_id("f", f, "");
    assert_null(harness_subscribe(h, 11, again));
    assert_string_equal(
        str_at(take(h, 11, "ERROR"), "error.message"), "Framework has been removed");
    harness_free(h);
}

static void test_no_failover_timeout(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_subscribe(h, 10, "{\"user\":\"u\",\"name\":\"f\"}");
    harness_closed(h, 10);
    assert_int_equal(counts(h).frameworks_disconnected, 0);
    harness_free(h);
}

static void test_resubscribe_in_time(void **state)
{
    struct harness *h = harness_new(NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    harness_closed(h, 10);
    harness_pass(h, 30 * SECOND);
    _cleanup_free_ char *again = with_id("f", f, "");
    assert_string_equal(harness_subscribe(h, 11, again), f);
    harness_pass(h, 120 * SECOND);
    assert_int_equal(counts(h).frameworks_connected, 1);
    harness_free(h);
}

static void test_teardown(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64], f[64];
    snprintf(f, sizeof(f), "%s", run_one(h, INFO("f", ""), agent, sizeof(agent)));
    assert_int_equal(harness_call(h, 10, TEARDOWN, f), 202);
    assert_true(closed(h, 10));
    take(h, 1, "shutdown_framework");
    assert_int_equal(counts(h).tasks, 0);
    /* Not even a new master forgets it. */
    harness_failover(h);
    _cleanup_free_ char *info = with_id("f", f, "");
    come_back(h, 2, agent, f, info, "TASK_RUNNING");
    assert_string_equal(
        str_at(take(h, 2, "registered"), "registered.removed_frameworks.0.value"), f);
    assert_int_equal(counts(h).tasks, 0);
    assert_null(harness_subscribe(h, 11, info));
    harness_free(h);
}

static void test_update_framework(void **state)
{
    struct harness *h = harness_new(NULL);
    static const char info[] =
        "{\"user\":\"%s\",\"name\":\"%s\",\"checkpoint\":true,\"failover_timeout\":60,\"id\":{"
        "\"value\":\"M1-0000\"},\"roles\":[\"%s\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]}";
    static const char call[] = "{\"type\":\"UPDATE_FRAMEWORK\",\"framework_id\":{\"value\":"
                               "\"M1-0000\"},\"update_framework\":{\"framework_info\":%s}}";
    const char *agent = harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    harness_subscribe(h, 10,
        "{\"user\":\"u\",\"name\":\"f\",\"checkpoint\":true,\"failover_timeout\":60,\"roles\":["
        "\"a\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]}");
    harness_pass(h, 2000);
    const char *offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");
    assert_int_equal(launch(h, 10, "M1-0000", offer, agent, "t1"), 202);
    harness_pass(h, 5000);
    take(h, 10, "OFFERS");
    harness_agent(h, 2, "a2", RES("0.001", "1"), NULL); /* runs nothing of it */
    char text[400];
    snprintf(text, sizeof(text), info, "other", "f", "a");
    assert_int_equal(harness_call(h, 10, call, text), 400); /* the user may not change */
    snprintf(text, sizeof(text), info, "u", "renamed", "b");
    h->hold = true;
    assert_int_equal(harness_call(h, 10, call, text), 200);
    assert_false(pending(h, 1, "update_framework")); /* not before it is durable */
    h->hold = false;
    harness_pump(h);
    /* What was offered in the role it left is taken back, and offered in the new one. */
    take(h, 10, "RESCIND");
    assert_string_equal(
        str_at(take(h, 1, "update_framework"), "update_framework.framework.name"), "renamed");
    assert_false(pending(h, 2, "update_framework"));
    harness_pass(h, 5000);
    assert_string_equal(str_at(take(h, 10, "OFFERS"), "offers.offers.0.allocation_info.role"), "b");
    assert_int_equal(harness_call(h, 10, call, text), 200);
    assert_false(pending(h, 1, "update_framework")); /* nothing changed */
    harness_free(h);
}

static void test_refusals(void **state)
{
    struct harness *h = harness_new(NULL);
    static const char *const bad[] = {
        "{\"user\":\"u\",\"name\":\"f\",\"roles\":[\"a\"]}", /* without MULTI_ROLE */
        "{\"user\":\"u\",\"name\":\"f\",\"role\":\"a//b\"}",
        "{\"user\":\"u\",\"name\":\"f\",\"id\":{\"value\":\"a/b\"}}",
        "{\"user\":\"u\",\"name\":\"f\",\"failover_timeout\":1e300}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_null(harness_subscribe(h, 100 + i, bad[i]));
        assert_true(closed(h, 100 + i));
    }
    harness_free(h);
}

static void test_ping_timeout_and_return(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    const char *f = run_one(h, INFO("f", PARTITION_AWARE), agent, sizeof(agent));
    take(h, 1, "ping");
    forget(h);
    harness_pass(h, 76 * SECOND);
    assert_false(pending(h, 1, "ping")); /* none while one is not answered */
    assert_true(closed(h, 1));
    const json_t *u = at(take(h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_UNREACHABLE");
    assert_string_equal(str_at(u, "reason"), "REASON_AGENT_REMOVED");
    assert_true(has_at(u, "unreachable_time"));
    assert_string_equal(str_at(take(h, 10, "FAILURE"), "failure.agent_id.value"), agent);
    take(h, 10, "RESCIND");
    assert_int_equal(counts(h).agents_unreachable, 1);
    /* Asked for with the agent's id it is unreachable; without, unknown. */
    harness_call(h, 10,
        "{\"type\":\"RECONCILE\",\"framework_id\":{\"value\":\"%s\"},\"reconcile\":{\"tasks\":[{"
        "\"task_id\":{\"value\":\"t1\"},\"agent_id\":{\"value\":\"%s\"}}]}}",
        f, agent);
    assert_string_equal(str_at(take(h, 10, "UPDATE"), "update.status.state"), "TASK_UNREACHABLE");

    come_back(h, 2, agent, f, NULL, "TASK_RUNNING");
    take(h, 2, "registered");
    u = at(take(h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_RUNNING");
    assert_string_equal(str_at(u, "reason"), "REASON_AGENT_REREGISTERED");
    assert_int_equal(counts(h).agents_unreachable, 0);
    assert_int_equal(counts(h).agents_connected, 1);
    assert_int_equal(counts(h).tasks, 1);
    harness_free(h);
}

static void test_pongs_keep_it(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    for (int i = 0; i < 20; i++) {
        harness_pass(h, 60 * SECOND);
        harness_agent_record(h, 1, "{\"pong\":{\"sequence\":1}}");
    }
    assert_int_equal(counts(h).agents_connected, 1);
    harness_free(h);
}

static void test_unaware_framework_is_told_lost(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    const char *f = run_one(h, INFO("f", ""), agent, sizeof(agent));
    harness_pass(h, 76 * SECOND);
    assert_string_equal(str_at(take(h, 10, "UPDATE"), "update.status.state"), "TASK_LOST");
    come_back(h, 2, agent, f, NULL, "TASK_RUNNING");
    assert_string_equal(str_at(take(h, 10, "UPDATE"), "update.status.state"), "TASK_RUNNING");
    harness_free(h);
}

static void test_broken_link(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    const char *f = run_one(h, INFO("f", ""), agent, sizeof(agent));
    take(h, 10, "OFFERS");
    harness_agent_closed(h, 1);
    take(h, 10, "RESCIND");
    assert_int_equal(counts(h).agents_disconnected, 1);
    assert_int_equal(counts(h).tasks, 1); /* it checkpoints */
    /* A kill in between is sent when the agent is back; a task it does not know is asked for. */
    harness_call(h, 10,
        "{\"type\":\"KILL\",\"framework_id\":{\"value\":\"%s\"},\"kill\":{\"task_id\":{\"value\":"
        "\"t1\"}}}",
        f);
    come_back(h, 2, agent, f, NULL, "TASK_RUNNING");
    take(h, 2, "registered");
    take(h, 2, "kill_task");
    assert_false(pending(h, 2, "reconcile"));
    harness_agent_closed(h, 2);
    come_back(h, 3, agent, f, NULL, NULL);
    assert_string_equal(
        str_at(take(h, 3, "reconcile"), "reconcile.statuses.0.task_id.value"), "t1");
    harness_pass(h, 5000);
    take(h, 10, "OFFERS");
    harness_free(h);
}

static bool count_executor(const struct master_executor_view *e, void *userdata)
{
    ++*(size_t *)userdata;
    return true;
}

static size_t executors(struct harness *h)
{
    size_t n = 0;
    master_core_each_executor(h->core, count_executor, &n);
    return n;
}

/* Its end was told on a link that broke: nobody may be charged for it for ever. */
static void test_executor_ends_while_the_agent_is_away(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    snprintf(agent, sizeof(agent), "%s", harness_agent(h, 1, "a1", RES("4", "1000"), NULL));
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    int status = harness_call(h, 10,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"operations\":[{\"type\":\"LAUNCH\",\"launch\":{\"task_infos\":[{"
        "\"name\":\"t\",\"task_id\":{\"value\":\"t1\"},\"agent_id\":{\"value\":\"%s\"},"
        "\"executor\":{\"executor_id\":{\"value\":\"x\"},\"command\":{\"value\":\"true\"},"
        "\"resources\":" RES("1", "100") "},\"resources\":" RES("1", "100") "}]}}]}}",
        f, str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value"), agent);
    assert_int_equal(status, 202);
    const json_t *run = take(h, 1, "run_task");
    assert_true(json_is_true(at(run, "run_task.launch_executor")));
    assert_int_equal(executors(h), 1);
    harness_agent_closed(h, 1);
    come_back(h, 2, agent, f, NULL, "TASK_FINISHED");
    take(h, 2, "registered");
    assert_int_equal(executors(h), 0);
    master_core_check(h->core);
    harness_free(h);
}

static void test_without_checkpoint_tasks_are_lost(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    run_one(h, "{\"user\":\"u\",\"name\":\"f\",\"failover_timeout\":60}", agent, sizeof(agent));
    harness_agent_closed(h, 1);
    const json_t *u = at(take(h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_LOST");
    assert_string_equal(str_at(u, "reason"), "REASON_AGENT_DISCONNECTED");
    assert_int_equal(counts(h).tasks, 0);
    harness_free(h);
}

static void test_new_master(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64], f[64];
    snprintf(f, sizeof(f), "%s", run_one(h, INFO("f", PARTITION_AWARE), agent, sizeof(agent)));
    harness_failover(h);
    assert_int_equal(counts(h).agents_recovered, 1);
    assert_int_equal(counts(h).frameworks_disconnected, 1);
    _cleanup_free_ char *info = with_id("f", f, PARTITION_AWARE);
    assert_string_equal(harness_subscribe(h, 20, info), f);
    /* The agent may still come back with it: no answer. */
    harness_call(h, 20,
        "{\"type\":\"RECONCILE\",\"framework_id\":{\"value\":\"%s\"},\"reconcile\":{\"tasks\":[{"
        "\"task_id\":{\"value\":\"t1\"}}]}}",
        f);
    assert_false(pending(h, 20, "UPDATE"));
    come_back(h, 21, agent, f, info, "TASK_RUNNING");
    assert_true(num_at(take(h, 21, "registered"), "epoch") == 2);
    assert_int_equal(counts(h).tasks, 1);
    assert_false(pending(h, 20, "UPDATE")); /* nothing happened, as far as it is concerned */
    harness_pass(h, 5000);
    assert_true(num_at(take(h, 20, "OFFERS"), "offers.offers.0.resources.0.scalar.value") == 3);
    harness_free(h);
}

static void test_recovered_agent_times_out(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    run_one(h, INFO("f", PARTITION_AWARE), agent, sizeof(agent));
    harness_failover(h);
    harness_pass(h, 601 * (int64_t)SECOND);
    assert_int_equal(counts(h).agents_recovered, 0);
    assert_int_equal(counts(h).agents_unreachable, 1);
    /* And the framework that never came: removed, with its time and ours gone by. */
    assert_int_equal(counts(h).frameworks_disconnected, 0);
    harness_failover(h);
    assert_int_equal(counts(h).agents_unreachable, 1);
    harness_free(h);
}

static void test_graceful_leave(void **state)
{
    struct harness *h = harness_new(NULL);
    char agent[64];
    run_one(h, INFO("f", PARTITION_AWARE), agent, sizeof(agent));
    harness_agent_record(h, 1, "{\"unregister\":{}}");
    assert_string_equal(str_at(take(h, 10, "UPDATE"), "update.status.state"), "TASK_LOST");
    take(h, 10, "FAILURE");
    assert_int_equal(map_size(&h->disk), 1); /* the framework alone */
    harness_free(h);
}

static void test_newer_epoch_refuses(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent_record(h, 1, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 1,
        "{\"register\":{\"agent_info\":{\"hostname\":\"a\",\"resources\":" RES(
            "4", "1000") "},\"epoch\":7}}");
    take(h, 1, "refused");
    harness_free(h);
}

static void test_operator_events(void **state)
{
    struct harness *h = harness_new(NULL);
    master_core_operator_events(h->core, true);
    char agent[64];
    const char *f = run_one(h, INFO("f", ""), agent, sizeof(agent));
    take(h, 0, "AGENT_ADDED");
    take(h, 0, "FRAMEWORK_ADDED");
    assert_string_equal(str_at(take(h, 0, "TASK_ADDED"), "task_added.task.task_id.value"), "t1");
    assert_string_equal(str_at(take(h, 0, "TASK_UPDATED"), "task_updated.state"), "TASK_RUNNING");
    harness_call(h, 10, TEARDOWN, f);
    take(h, 0, "FRAMEWORK_REMOVED");
    harness_free(h);
}

/* Shares are counted anew, for all clients, while the clients of a framework go one by one. */
static void test_removed_before_it_came_back(void **state)
{
    struct harness *h = harness_new(NULL);
    static const char two[] = INFO(
        "f1", ",\"roles\":[\"a\",\"b\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]");
    char *gone = xstrdup(harness_subscribe(h, 10, two));
    harness_subscribe(
        h, 11, INFO("f2", ",\"roles\":[\"a\"],\"capabilities\":[{\"type\":\"MULTI_ROLE\"}]"));
    harness_failover(h);
    harness_agent(h, 1, "a1", RES("4", "1000"), NULL);
    assert_int_equal(master_core_teardown(h->core, gone, h->now, NULL), 0);
    master_core_check(h->core);
    free(gone);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_over_stream),
        cmocka_unit_test(test_failover_timeout),
        cmocka_unit_test(test_no_failover_timeout),
        cmocka_unit_test(test_resubscribe_in_time),
        cmocka_unit_test(test_teardown),
        cmocka_unit_test(test_update_framework),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_ping_timeout_and_return),
        cmocka_unit_test(test_pongs_keep_it),
        cmocka_unit_test(test_unaware_framework_is_told_lost),
        cmocka_unit_test(test_broken_link),
        cmocka_unit_test(test_executor_ends_while_the_agent_is_away),
        cmocka_unit_test(test_without_checkpoint_tasks_are_lost),
        cmocka_unit_test(test_new_master),
        cmocka_unit_test(test_recovered_agent_times_out),
        cmocka_unit_test(test_graceful_leave),
        cmocka_unit_test(test_newer_epoch_refuses),
        cmocka_unit_test(test_operator_events),
        cmocka_unit_test(test_removed_before_it_came_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
