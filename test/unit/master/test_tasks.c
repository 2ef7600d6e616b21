#include "harness.h"

/* Launching, updates, acknowledgements, kills, reconciliation. */

struct fixture {
    struct harness *h;
    const char *agent, *framework, *offer;
};

/* One agent on link 1, one framework on stream 10, its first offer. */
static struct fixture begin(const char *info)
{
    struct fixture x = {.h = harness_new(NULL)};
    x.agent = harness_agent(x.h, 1, "a1", RES("4", "1000"), NULL);
    x.framework = harness_subscribe(x.h, 10, info);
    harness_pass(x.h, 2000);
    x.offer = str_at(take(x.h, 10, "OFFERS"), "offers.offers.0.id.value");
    return x;
}

static void end(struct fixture *x)
{
    harness_free(x->h);
}

struct last {
    unsigned n;
    int state;
};

static bool remember(const struct master_task_view *t, void *userdata)
{
    struct last *l = userdata;
    l->n++;
    l->state = (int)t->state;
    return true;
}

static struct last tasks(struct harness *h)
{
    struct last l = {0};
    master_core_each_task(h->core, remember, &l);
    return l;
}

static void test_life_of_a_task(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    assert_int_equal(launch(x.h, 10, x.framework, x.offer, x.agent, "t1"), 202);
    const json_t *run = take(x.h, 1, "run_task");
    assert_string_equal(str_at(run, "run_task.task.task_id.value"), "t1");
    assert_string_equal(str_at(run, "run_task.framework.id.value"), x.framework);
    assert_string_equal(str_at(run, "run_task.task.resources.0.allocation_info.role"), "*");
    assert_true(num_at(run, "epoch") == 1);
    /* What is left comes back as an offer. */
    harness_pass(x.h, 5000);
    const json_t *o = at(take(x.h, 10, "OFFERS"), "offers.offers.0");
    assert_true(num_at(o, "resources.0.scalar.value") == 3);

    update(x.h, 1, x.framework, "t1", "TASK_RUNNING", UUID1);
    const json_t *u = take(x.h, 10, "UPDATE");
    assert_string_equal(str_at(u, "update.status.state"), "TASK_RUNNING");
    assert_string_equal(str_at(u, "update.status.uuid"), UUID1);
    assert_string_equal(str_at(u, "update.status.agent_id.value"), x.agent);
    assert_string_equal(str_at(u, "update.status.executor_id.value"), "t1");
    assert_int_equal(acknowledge(x.h, 10, x.framework, x.agent, "t1", UUID1), 202);
    assert_string_equal(str_at(take(x.h, 1, "acknowledge"), "acknowledge.uuid"), UUID1);
    assert_int_equal(tasks(x.h).n, 1);

    update(x.h, 1, x.framework, "t1", "TASK_FINISHED", UUID2);
    take(x.h, 10, "UPDATE");
    /* Its resources are free before the end is acknowledged; the task stays until then. */
    decline(x.h, 10, x.framework, str_at(o, "id.value"), 0);
    harness_pass(x.h, 2 * SECOND);
    assert_true(num_at(take(x.h, 10, "OFFERS"), "offers.offers.0.resources.0.scalar.value") == 4 ||
                pending(x.h, 10, "OFFERS"));
    assert_int_equal(tasks(x.h).n, 1);
    acknowledge(x.h, 10, x.framework, x.agent, "t1", UUID2);
    assert_int_equal(tasks(x.h).n, 0);
    end(&x);
}

static void test_latest_state_frees_early(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    harness_agent_record(x.h, 1,
        "{\"update\":{\"framework_id\":{\"value\":\"%s\"},\"latest_state\":\"TASK_FAILED\","
        "\"status\":{\"task_id\":{\"value\":\"t1\"},\"state\":\"TASK_RUNNING\",\"uuid\":"
        "\"" UUID1 "\"}}}",
        x.framework);
    assert_string_equal(str_at(take(x.h, 10, "UPDATE"), "update.status.state"), "TASK_RUNNING");
    assert_int_equal(tasks(x.h).state, MESOS__V1__TASK_STATE__TASK_FAILED);
    /* The acknowledgement of RUNNING does not end it. */
    acknowledge(x.h, 10, x.framework, x.agent, "t1", UUID1);
    assert_int_equal(tasks(x.h).n, 1);
    end(&x);
}

static void test_resent_update_is_forwarded_again(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    update(x.h, 1, x.framework, "t1", "TASK_RUNNING", UUID1);
    update(x.h, 1, x.framework, "t1", "TASK_RUNNING", UUID1);
    take(x.h, 10, "UPDATE");
    take(x.h, 10, "UPDATE");
    end(&x);
}

static void test_early_acknowledgement_is_ignored(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    acknowledge(x.h, 10, x.framework, x.agent, "t1", UUID1);
    assert_false(pending(x.h, 1, "acknowledge"));
    /* For a task nobody knows it passes through. */
    acknowledge(x.h, 10, x.framework, x.agent, "other", UUID1);
    take(x.h, 1, "acknowledge");
    end(&x);
}

static const json_t *refusal(struct fixture *x, const char *task_json)
{
    harness_call(x->h, 10,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":0},\"operations\":[{\"type\":"
        "\"LAUNCH\",\"launch\":{\"task_infos\":[%s]}}]}}",
        x->framework, x->offer, task_json);
    const json_t *u = at(take(x->h, 10, "UPDATE"), "update.status");
    harness_pass(x->h, 5000);
    x->offer = str_at(take(x->h, 10, "OFFERS"), "offers.offers.0.id.value");
    assert_false(pending(x->h, 1, "run_task"));
    return u;
}

static void test_invalid_tasks(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    static const char *const bad[] = {
        /* id with a slash, other agent, no resources, neither command nor executor, too much */
        "{\"name\":\"t\",\"task_id\":{\"value\":\"a/b\"},\"agent_id\":{\"value\":\"M1-S0\"},"
        "\"command\":{\"value\":\"true\"},\"resources\":" RES("1", "100") "}",
        "{\"name\":\"t\",\"task_id\":{\"value\":\"a\"},\"agent_id\":{\"value\":\"M1-S9\"},"
        "\"command\":{\"value\":\"true\"},\"resources\":" RES("1", "100") "}",
        "{\"name\":\"t\",\"task_id\":{\"value\":\"a\"},\"agent_id\":{\"value\":\"M1-S0\"},"
        "\"command\":{\"value\":\"true\"}}",
        "{\"name\":\"t\",\"task_id\":{\"value\":\"a\"},\"agent_id\":{\"value\":\"M1-S0\"},"
        "\"resources\":" RES("1", "100") "}",
        "{\"name\":\"t\",\"task_id\":{\"value\":\"a\"},\"agent_id\":{\"value\":\"M1-S0\"},"
        "\"command\":{\"value\":\"true\"},\"resources\":" RES("5", "100") "}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const json_t *u = refusal(&x, bad[i]);
        assert_string_equal(str_at(u, "state"), "TASK_ERROR");
        assert_string_equal(str_at(u, "reason"), "REASON_TASK_INVALID");
        assert_string_equal(str_at(u, "source"), "SOURCE_MASTER");
        assert_false(has_at(u, "uuid"));
        assert_true(has_at(u, "message"));
    }
    assert_int_equal(tasks(x.h).n, 0);
    end(&x);
}

static void test_duplicate_id(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    harness_pass(x.h, 5000);
    const char *offer = str_at(take(x.h, 10, "OFFERS"), "offers.offers.0.id.value");
    launch(x.h, 10, x.framework, offer, x.agent, "t1");
    assert_string_equal(
        str_at(take(x.h, 10, "UPDATE"), "update.status.reason"), "REASON_TASK_INVALID");
    assert_int_equal(tasks(x.h).n, 1);
    end(&x);
}

static void test_invalid_offers(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    launch(x.h, 10, x.framework, "nonsense", x.agent, "t1");
    const json_t *u = at(take(x.h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_LOST");
    assert_string_equal(str_at(u, "reason"), "REASON_INVALID_OFFERS");

    const char *aware = harness_subscribe(x.h, 11, INFO("g", PARTITION_AWARE));
    /* Another framework's offer: refused, and the offer goes back to the pool. */
    launch(x.h, 11, aware, x.offer, x.agent, "t1");
    u = at(take(x.h, 11, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_DROPPED");
    assert_false(pending(x.h, 10, "RESCIND"));
    end(&x);
}

static void test_kill(void **state)
{
    struct fixture x = begin(INFO("f", PARTITION_AWARE));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    static const char kill[] = "{\"type\":\"KILL\",\"framework_id\":{\"value\":\"%s\"},\"kill\":{"
                               "\"task_id\":{\"value\":\"%s\"}%s}}";
    assert_int_equal(harness_call(x.h, 10, kill, x.framework, "t1", ""), 202);
    assert_string_equal(str_at(take(x.h, 1, "kill_task"), "kill_task.task_id.value"), "t1");
    /* Another agent's id: ignored. */
    harness_call(x.h, 10, kill, x.framework, "t1", ",\"agent_id\":{\"value\":\"M1-S9\"}");
    assert_false(pending(x.h, 1, "kill_task"));
    /* With a policy, which replays when the agent comes back. */
    harness_call(x.h, 10, kill, x.framework, "t1",
        ",\"kill_policy\":{\"grace_period\":{\"nanoseconds\":7}}");
    assert_true(
        num_at(take(x.h, 1, "kill_task"), "kill_task.kill_policy.grace_period.nanoseconds") == 7);
    /* Unknown: answered like a reconciliation. */
    harness_call(x.h, 10, kill, x.framework, "nobody", "");
    assert_string_equal(str_at(take(x.h, 10, "UPDATE"), "update.status.state"), "TASK_UNKNOWN");
    end(&x);
}

static const char RECONCILE[] =
    "{\"type\":\"RECONCILE\",\"framework_id\":{\"value\":\"%s\"},\"reconcile\":{\"tasks\":[%s]}}";

static void test_reconcile(void **state)
{
    struct fixture x = begin(INFO("f", PARTITION_AWARE));
    launch(x.h, 10, x.framework, x.offer, x.agent, "t1");
    update(x.h, 1, x.framework, "t1", "TASK_RUNNING", UUID1);
    forget(x.h);
    harness_call(x.h, 10, RECONCILE, x.framework, "");
    const json_t *u = at(take(x.h, 10, "UPDATE"), "update.status");
    assert_string_equal(str_at(u, "state"), "TASK_RUNNING");
    assert_string_equal(str_at(u, "reason"), "REASON_RECONCILIATION");
    assert_false(has_at(u, "uuid"));

    harness_call(x.h, 10, RECONCILE, x.framework,
        "{\"task_id\":{\"value\":\"x\"},\"agent_id\":{\"value\":\"M1-S0\"}},{\"task_id\":{"
        "\"value\":\"y\"}},{\"task_id\":{\"value\":\"z\"},\"agent_id\":{\"value\":\"no\"}}");
    assert_string_equal(str_at(take(x.h, 10, "UPDATE"), "update.status.state"), "TASK_GONE");
    assert_string_equal(str_at(take(x.h, 10, "UPDATE"), "update.status.state"), "TASK_UNKNOWN");
    assert_string_equal(str_at(take(x.h, 10, "UPDATE"), "update.status.state"), "TASK_UNKNOWN");

    const char *old = harness_subscribe(x.h, 11, INFO("g", ""));
    harness_call(x.h, 11, RECONCILE, old, "{\"task_id\":{\"value\":\"y\"}}");
    assert_string_equal(str_at(take(x.h, 11, "UPDATE"), "update.status.state"), "TASK_LOST");
    end(&x);
}

static void test_group_with_executor(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    harness_call(x.h, 10,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"operations\":[{\"type\":\"LAUNCH_GROUP\",\"launch_group\":{"
        "\"executor\":{\"type\":\"DEFAULT\",\"executor_id\":{\"value\":\"e\"},\"framework_id\":{"
        "\"value\":\"%s\"},\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{"
        "\"value\":0.1}},{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":32}}]},"
        "\"task_group\":{\"tasks\":[]}}}]}}",
        x.framework, x.offer, x.framework);
    assert_false(pending(x.h, 1, "run_task_group")); /* no disk, no tasks */

    struct harness *h = harness_new(NULL);
    const char *with_disk =
        "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4}},{\"name\":\"mem\","
        "\"type\":\"SCALAR\",\"scalar\":{\"value\":1000}},{\"name\":\"disk\",\"type\":\"SCALAR\","
        "\"scalar\":{\"value\":1000}}]";
    const char *agent = harness_agent(h, 1, "a1", with_disk, NULL);
    const char *f = harness_subscribe(h, 10, INFO("f", ""));
    harness_pass(h, 2000);
    const char *offer = str_at(take(h, 10, "OFFERS"), "offers.offers.0.id.value");
    harness_call(h, 10,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"operations\":[{\"type\":\"LAUNCH_GROUP\",\"launch_group\":{"
        "\"executor\":{\"type\":\"DEFAULT\",\"executor_id\":{\"value\":\"e\"},\"framework_id\":{"
        "\"value\":\"%s\"},\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{"
        "\"value\":0.1}},{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":32}},{"
        "\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":10}}]},"
        "\"task_group\":{\"tasks\":[{\"name\":\"t\",\"task_id\":{\"value\":\"g1\"},\"agent_id\":{"
        "\"value\":\"%s\"},\"command\":{\"value\":\"true\"},\"resources\":" RES("1",
            "100") "},{"
                   "\"name\":\"t\",\"task_id\":{\"value\":\"g2\"},\"agent_id\":{\"value\":\"%s\"},"
                   "\"command\":{\"value\":\"true\"},\"resources\":" RES("1", "100") "}]}}}]}}",
        f, offer, f, agent, agent);
    const json_t *run = take(h, 1, "run_task_group");
    assert_int_equal(json_array_size(at(run, "run_task_group.group.tasks")), 2);
    assert_int_equal(tasks(h).n, 2);
    /* The executor's end is told, and frees what it had. */
    harness_agent_record(h, 1,
        "{\"executor_exited\":{\"framework_id\":{\"value\":\"%s\"},\"executor_id\":{\"value\":"
        "\"e\"},\"status\":9}}",
        f);
    const json_t *e = take(h, 10, "FAILURE");
    assert_string_equal(str_at(e, "failure.executor_id.value"), "e");
    assert_true(num_at(e, "failure.status") == 9);
    harness_free(h);
    end(&x);
}

static void test_messages_pass(void **state)
{
    struct fixture x = begin(INFO("f", ""));
    harness_call(x.h, 10,
        "{\"type\":\"MESSAGE\",\"framework_id\":{\"value\":\"%s\"},\"message\":{\"agent_id\":{"
        "\"value\":\"%s\"},\"executor_id\":{\"value\":\"e\"},\"data\":\"aGk=\"}}",
        x.framework, x.agent);
    assert_string_equal(str_at(take(x.h, 1, "message"), "message.data"), "aGk=");
    harness_agent_record(x.h, 1,
        "{\"message\":{\"framework_id\":{\"value\":\"%s\"},\"executor_id\":{\"value\":\"e\"},"
        "\"data\":\"eW8=\"}}",
        x.framework);
    const json_t *m = take(x.h, 10, "MESSAGE");
    assert_string_equal(str_at(m, "message.data"), "eW8=");
    assert_string_equal(str_at(m, "message.agent_id.value"), x.agent);
    harness_call(x.h, 10,
        "{\"type\":\"SHUTDOWN\",\"framework_id\":{\"value\":\"%s\"},\"shutdown\":{\"agent_id\":{"
        "\"value\":\"%s\"},\"executor_id\":{\"value\":\"e\"}}}",
        x.framework, x.agent);
    take(x.h, 1, "shutdown_executor");
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_a_task),
        cmocka_unit_test(test_latest_state_frees_early),
        cmocka_unit_test(test_resent_update_is_forwarded_again),
        cmocka_unit_test(test_early_acknowledgement_is_ignored),
        cmocka_unit_test(test_invalid_tasks),
        cmocka_unit_test(test_duplicate_id),
        cmocka_unit_test(test_invalid_offers),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_reconcile),
        cmocka_unit_test(test_group_with_executor),
        cmocka_unit_test(test_messages_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
