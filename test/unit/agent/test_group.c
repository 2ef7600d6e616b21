#include "unit.h"

#include "world.h"

#include "base/clock.h"

/* Task groups: taken, refused, delivered and killed as a whole. */

#define EVENT(name) MESOS__V1__EXECUTOR__EVENT__TYPE__##name

#define TASK(id)                                                                                   \
    "{\"name\":\"t\",\"task_id\":{\"value\":\"" id "\"},\"agent_id\":{\"value\":\"S1\"},"          \
    "\"command\":{\"value\":\"true\"},"                                                            \
    "\"resources\":[{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":64}}]}"
#define POD                                                                                        \
    "\"executor\":{\"type\":\"DEFAULT\",\"executor_id\":{\"value\":\"pod\"},"                      \
    "\"resources\":[{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":32}}]}"
#define CUSTOM                                                                                     \
    "\"executor\":{\"type\":\"CUSTOM\",\"executor_id\":{\"value\":\"pod\"},"                       \
    "\"command\":{\"value\":\"true\"}}"
#define GROUP(executor, tasks) "{" executor ",\"group\":{\"tasks\":[" tasks "]}}"
#define TWO TASK("a") "," TASK("b")

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    world_start(w);
    world_register(w);
    world_forget(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    free(*state);
    return 0;
}

static void subscribed(struct world *w)
{
    struct agent_executor *e = world_executor(w, "pod");
    if (e->pid == 0)
        agent_core_container_started(w->core, world_now(w), e->container_id, 100, 7);
    world_subscribe(w, "pod", NULL);
}

static void assert_told(
    struct world *w, Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason)
{
    assert_int_equal(world_updates(w), 2);
    for (size_t i = 0; i < 2; i++) {
        const Mesos__V1__TaskStatus *s = world_update(w, i)->status;
        assert_string_equal(s->task_id->value, i == 0 ? "a" : "b");
        assert_string_equal(s->executor_id->value, "pod");
        assert_int_equal(s->state, state);
        assert_int_equal(s->reason, reason);
    }
}

static void one_event_for_all(void **state)
{
    static const char *const groups[] = {GROUP(POD, TWO), GROUP(CUSTOM, TWO)};
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
        struct world w;
        world_start(&w);
        world_register(&w);
        world_run_group(&w, groups[i], true);
        assert_int_equal(world_count(&w, AGENT_LAUNCH), 1);
        assert_int_equal(world_executor(&w, "pod")->pod, i == 0);
        subscribed(&w);
        Mesos__V1__Executor__Event *e = world_event(&w, EVENT(LAUNCH_GROUP), 0);
        assert_non_null(e);
        assert_int_equal(e->launch_group->task_group->n_tasks, 2);
        assert_string_equal(e->launch_group->task_group->tasks[0]->task_id->value, "a");
        assert_string_equal(e->launch_group->task_group->tasks[1]->task_id->value, "b");
        assert_null(world_event(&w, EVENT(LAUNCH), 0));
        assert_null(world_event(&w, EVENT(LAUNCH_GROUP), 1));
        /* Sent twice, in part or as a whole: nothing new. */
        world_forget(&w);
        world_run_group(&w, groups[i], true);
        assert_int_equal(w.effects.n, 0);
        world_done(&w);
    }
    (void)state;
}

static void another_group_for_the_same_executor(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    subscribed(w);
    world_forget(w);
    world_run_group(w, GROUP(POD, TASK("c") "," TASK("d")), true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    /* Its limits grow first. */
    assert_int_equal(w->effects.items[0].type, AGENT_UPDATE_CONTAINER);
    Mesos__V1__Executor__Event *e = world_event(w, EVENT(LAUNCH_GROUP), 0);
    assert_non_null(e);
    assert_int_equal(e->launch_group->task_group->n_tasks, 2);
    assert_string_equal(e->launch_group->task_group->tasks[0]->task_id->value, "c");
    struct agent_limits limits;
    agent_executor_limits(world_executor(w, "pod"), &limits);
    assert_int_equal(limits.mem_milli, (32 + 4 * 64) * 1000);
}

static void a_kill_before_delivery_ends_the_group(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    world_run_group(w, GROUP(POD, TASK("c")), true);
    world_forget(w);
    world_kill(w, "b");
    assert_told(w, TASK_STATE(KILLED), STATUS_REASON(TASK_KILLED_DURING_LAUNCH));
    assert_int_equal(world_task(w, "c")->phase, AGENT_TASK_QUEUED);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    subscribed(w);
    assert_int_equal(world_event(w, EVENT(LAUNCH_GROUP), 0)->launch_group->task_group->n_tasks, 1);
    assert_null(world_event(w, EVENT(LAUNCH_GROUP), 1));
}

static void nobody_needs_the_executor_of_a_killed_group(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    world_kill(w, "a");
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void a_kill_after_delivery_goes_to_the_executor(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    subscribed(w);
    world_forget(w);
    world_kill(w, "a");
    assert_string_equal(world_event(w, EVENT(KILL), 0)->kill->task_id->value, "a");
    assert_null(world_event(w, EVENT(KILL), 1));
    assert_int_equal(world_updates(w), 0);
}

static void refusals_are_the_whole_groups(void **state)
{
    static const struct {
        const char *group;
        bool aware, drains;
        Mesos__V1__TaskState state;
        Mesos__V1__TaskStatus__Reason reason;
    } cases[] = {
        {GROUP(POD, TWO), true, true, TASK_STATE(DROPPED), STATUS_REASON(AGENT_DRAINING)},
        {GROUP(POD, TWO), false, true, TASK_STATE(LOST), STATUS_REASON(AGENT_DRAINING)},
        {GROUP(POD, TASK("a") ",{\"task_id\":{\"value\":\"b\"}}"), true, false, TASK_STATE(ERROR),
            STATUS_REASON(TASK_GROUP_INVALID)},
        {GROUP(POD, TASK("a") ",{\"task_id\":{\"value\":\"b\"},\"command\":{\"value\":\"x\"},"
                              "\"container\":{\"type\":\"MESOS\",\"mesos\":{\"image\":{\"type\":"
                              "\"DOCKER\",\"docker\":{\"name\":\"x\"}}}}}"),
            true, false, TASK_STATE(ERROR), STATUS_REASON(TASK_GROUP_INVALID)},
        {GROUP(POD, TASK("a") ",{\"task_id\":{\"value\":\"b\"},\"command\":{\"value\":\"x\"},"
                              "\"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{"
                              "\"value\":1},\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":"
                              "\"r\"}],\"allocation_info\":{\"role\":\"r\"}}]}"),
            true, false, TASK_STATE(DROPPED), STATUS_REASON(RESOURCES_UNKNOWN)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world w;
        world_start(&w);
        Mesos__V1__DrainConfig drain = MESOS__V1__DRAIN_CONFIG__INIT;
        if (cases[i].drains)
            w.drain = &drain;
        world_register(&w);
        world_forget(&w);
        w.launch_executor = LAUNCH_NEW;
        world_run_group(&w, cases[i].group, cases[i].aware);
        assert_told(&w, cases[i].state, cases[i].reason);
        assert_int_equal(world_count(&w, AGENT_LAUNCH), 0);
        assert_null(world_executor(&w, "pod"));
        assert_null(world_task(&w, "a"));
        world_done(&w);
    }
    (void)state;
}

static void an_executor_that_ends_or_has_ended(void **state)
{
    struct world *w = *state;
    w->launch_executor = LAUNCH_KNOWN;
    world_run_group(w, GROUP(POD, TWO), true);
    assert_told(w, TASK_STATE(DROPPED), STATUS_REASON(EXECUTOR_TERMINATED));
    assert_null(world_executor(w, "pod"));
    world_ack(w, "a", world_update(w, 0)->status->uuid.data);
    world_ack(w, "b", world_update(w, 1)->status->uuid.data);
    w->launch_executor = LAUNCH_NEW;
    world_run_group(w, GROUP(POD, TASK("c")), true);
    agent_executor_limits(world_executor(w, "pod"), &(struct agent_limits){0});
    world_kill(w, "c"); /* its executor is being destroyed */
    world_forget(w);
    w->launch_executor = LAUNCH_KNOWN;
    world_run_group(w, GROUP(POD, TWO), true);
    assert_told(w, TASK_STATE(DROPPED), STATUS_REASON(EXECUTOR_TERMINATED));
}

static void membership_survives_a_restart(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    world_run_group(w, GROUP(POD, TASK("c") "," TASK("d")), true);
    assert_int_equal(world_restart(w), 0);
    world_register(w);
    world_forget(w);
    world_kill(w, "b");
    assert_told(w, TASK_STATE(KILLED), STATUS_REASON(TASK_KILLED_DURING_LAUNCH));
    subscribed(w);
    Mesos__V1__Executor__Event *e = world_event(w, EVENT(LAUNCH_GROUP), 0);
    assert_int_equal(e->launch_group->task_group->n_tasks, 2);
    assert_string_equal(e->launch_group->task_group->tasks[0]->task_id->value, "c");
    assert_null(world_event(w, EVENT(LAUNCH_GROUP), 1));
}

/* The stream broke with the event on it. */
static void a_lost_group_is_sent_again_as_a_group(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    subscribed(w);
    assert_int_equal(world_restart(w), 0);
    world_register(w);
    world_forget(w);
    world_subscribe(w, "pod", NULL);
    assert_int_equal(world_event(w, EVENT(LAUNCH_GROUP), 0)->launch_group->task_group->n_tasks, 2);
    assert_int_equal(world_updates(w), 0);
}

static void a_framework_of_its_own_loses_the_group(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(CUSTOM, TWO), true);
    subscribed(w);
    world_forget(w);
    world_subscribe(w, "pod", NULL);
    assert_told(w, TASK_STATE(DROPPED), STATUS_REASON(AGENT_RESTARTED));
    assert_null(world_event(w, EVENT(LAUNCH_GROUP), 0));
}

/* A batch that holds the first task only. */
static void a_half_stored_group_is_dropped(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    world_lose(w, &world_task(w, "b")->record);
    assert_int_equal(world_restart(w), 0);
    world_register(w);
    assert_int_equal(world_updates(w), 1);
    assert_string_equal(world_update(w, 0)->status->task_id->value, "a");
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(AGENT_RESTARTED));
    world_forget(w);
    world_subscribe(w, "pod", NULL);
    assert_null(world_event(w, EVENT(LAUNCH_GROUP), 0));
}

static void the_master_hears_of_the_executor(void **state)
{
    struct world *w = *state;
    world_run_group(w, GROUP(POD, TWO), true);
    subscribed(w);
    world_send(w, "pod", "a", TASK_STATE(RUNNING), 1);
    world_forget(w);
    world_register(w);
    const Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_int_equal(r->n_executors, 1);
    assert_string_equal(r->executors[0]->executor_id->value, "pod");
    assert_int_equal(r->executors[0]->type, MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT);
    assert_null(r->executors[0]->command);
    assert_int_equal(r->n_tasks, 2);
    assert_string_equal(r->tasks[0]->executor_id->value, "pod");
    world_forget(w);
    world_exit(w, "pod", 9);
    size_t failed = 0;
    for (size_t i = 0; i < world_updates(w); i++)
        failed += world_update(w, i)->latest_state == TASK_STATE(FAILED);
    assert_int_equal(failed, 1); /* that of "a" waits behind its first */
    assert_int_equal(world_task(w, "a")->state, TASK_STATE(FAILED));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(one_event_for_all), T(another_group_for_the_same_executor),
        T(a_kill_before_delivery_ends_the_group), T(nobody_needs_the_executor_of_a_killed_group),
        T(a_kill_after_delivery_goes_to_the_executor), T(refusals_are_the_whole_groups),
        T(an_executor_that_ends_or_has_ended), T(membership_survives_a_restart),
        T(a_lost_group_is_sent_again_as_a_group), T(a_framework_of_its_own_loses_the_group),
        T(a_half_stored_group_is_dropped), T(the_master_hears_of_the_executor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
