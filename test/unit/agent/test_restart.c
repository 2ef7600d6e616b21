#include "unit.h"

#include "world.h"

#include "base/clock.h"

/* Restarts, other machines, other masters. */

#define EVENT(name) MESOS__V1__EXECUTOR__EVENT__TYPE__##name

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    world_start(w);
    world_register(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    free(*state);
    return 0;
}

static void running(struct world *w, const char *task, uint8_t uuid)
{
    world_run(w, task, NULL, true);
    agent_core_container_started(
        w->core, world_now(w), world_executor(w, task)->container_id, 100, 7);
    world_subscribe(w, task, NULL);
    world_send(w, task, task, TASK_STATE(RUNNING), uuid);
}

static void executor_comes_back(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_RECOVERED), 0);
    struct agent_executor *e = world_executor(w, "t1");
    assert_int_equal(e->pid, 100);
    assert_int_equal(e->start_time, 7);
    world_subscribe(w, "t1", NULL);
    assert_int_equal(world_count(w, AGENT_RECOVERED), 1);
    assert_non_null(world_event(w, EVENT(SUBSCRIBED), 0));
    assert_null(world_event(w, EVENT(LAUNCH), 0));
    world_forget(w);
    world_register(w);
    assert_int_equal(world_record(w, 1)->register_->n_tasks, 1);
    assert_int_equal(world_record(w, 1)->register_->n_update_states, 1);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(RUNNING)); /* not lost */
    world_advance(w, 100 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
}

static void executor_stays_away(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    assert_int_equal(world_restart(w), 0);
    world_advance(w, 2 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    assert_int_equal(world_count(w, AGENT_RECOVERED), 1);
    world_exit(w, "t1", -1);
    world_register(w);
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, 1, sizeof(uuid));
    world_ack(w, "t1", uuid);
    Dcos__Internal__StatusUpdate *u = world_update(w, 1);
    assert_int_equal(u->status->state, TASK_STATE(GONE));
    assert_int_equal(u->status->reason, STATUS_REASON(EXECUTOR_REREGISTRATION_TIMEOUT));
}

static void staged_and_never_delivered(void **state)
{
    struct world *w = *state;
    world_run(w, "t1", NULL, false);
    assert_int_equal(world_restart(w), 0);
    world_exit(w, "t1", -1); /* the containerizer knows of no such container */
    assert_int_equal(world_count(w, AGENT_RECOVERED), 1);
    world_register(w);
    Dcos__Internal__StatusUpdate *u = world_update(w, 0);
    assert_int_equal(u->status->state, TASK_STATE(LOST));
    assert_int_equal(u->status->reason, STATUS_REASON(AGENT_RESTARTED));
}

static void machine_was_restarted(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    w->boot_id = "boot-2";
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_RECOVERED), 1);
    world_register(w);
    Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_string_equal(r->agent_info->id->value, "S1");
    assert_int_equal(r->tasks[0]->state, TASK_STATE(FAILED));
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, 1, sizeof(uuid));
    world_ack(w, "t1", uuid);
    assert_string_equal(world_update(w, 1)->status->message, "The agent's machine was restarted");
}

static void other_resources_are_refused(void **state)
{
    struct world *w = *state;
    w->cpus = 8;
    assert_true(world_restart(w) < 0);
    w->cpus = 4;
    assert_int_equal(world_restart(w), 0);
}

static void older_masters_are_refused(void **state)
{
    struct world *w = *state;
    world_forget(w);
    w->epoch = 4;
    world_run(w, "t1", NULL, true);
    assert_null(world_task(w, "t1"));
    assert_int_equal(world_count(w, AGENT_RELINK), 1);
    w->epoch = 6;
    assert_int_equal(world_restart(w), 0);
    world_register(w);
    w->epoch = 5; /* newer than at the start, older than the newest */
    assert_int_equal(world_restart(w), 0);
    world_register(w);
    assert_int_equal(world_count(w, AGENT_REGISTERED), 0);
}

static void silence_ends_the_link(void **state)
{
    struct world *w = *state;
    agent_core_link_down(w->core, world_now(w));
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
    id.value = (char *)(uintptr_t) "S1";
    Dcos__Internal__Registered registered = DCOS__INTERNAL__REGISTERED__INIT;
    registered.agent_id = &id;
    registered.has_ping_timeout_us = true;
    registered.ping_timeout_us = 75 * USEC_PER_SEC;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.registered = &registered;
    world_master(w, &r);
    world_forget(w);
    Dcos__Internal__Ping ping = DCOS__INTERNAL__PING__INIT;
    ping.has_sequence = true;
    ping.sequence = 3;
    Dcos__Internal__MasterRecord p = DCOS__INTERNAL__MASTER_RECORD__INIT;
    p.ping = &ping;
    world_advance(w, 60 * USEC_PER_SEC);
    world_master(w, &p);
    assert_int_equal(world_record(w, 0)->pong->sequence, 3);
    world_advance(w, 75 * USEC_PER_SEC - 1);
    assert_int_equal(world_count(w, AGENT_RELINK), 0);
    world_advance(w, 1);
    assert_int_equal(world_count(w, AGENT_RELINK), 1);
}

static void forgotten_by_the_master(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    world_forget(w);
    Dcos__Internal__Refused refused = DCOS__INTERNAL__REFUSED__INIT;
    refused.message = (char *)(uintptr_t) "marked gone";
    refused.has_forget = refused.forget = true;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.refused = &refused;
    world_master(w, &r);
    assert_int_equal(world_count(w, AGENT_RELINK), 1);
    assert_non_null(world_event(w, EVENT(SHUTDOWN), 0));
    assert_string_equal(w->core->id, "S1");
    world_exit(w, "t1", 0);
    assert_null(w->core->id);
    assert_int_equal(world_count(w, AGENT_RELINK), 2);
    world_forget(w);
    assert_int_equal(world_restart(w), 0);
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    assert_null(world_record(w, 1)->register_->agent_info->id);
}

static void reconciliation(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    world_forget(w);
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = (char *)(uintptr_t) "M-0000";
    Mesos__V1__FrameworkInfo framework = MESOS__V1__FRAMEWORK_INFO__INIT;
    framework.id = &framework_id;
    Mesos__V1__TaskID known = MESOS__V1__TASK_ID__INIT, unknown = MESOS__V1__TASK_ID__INIT;
    known.value = (char *)(uintptr_t) "t1";
    unknown.value = (char *)(uintptr_t) "t9";
    Mesos__V1__TaskStatus a = MESOS__V1__TASK_STATUS__INIT, b = MESOS__V1__TASK_STATUS__INIT;
    a.task_id = &known;
    b.task_id = &unknown;
    Mesos__V1__TaskStatus *statuses[] = {&a, &b};
    Dcos__Internal__ReconcileTasks reconcile = DCOS__INTERNAL__RECONCILE_TASKS__INIT;
    reconcile.framework = &framework;
    reconcile.n_statuses = 2;
    reconcile.statuses = statuses;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.reconcile = &reconcile;
    world_master(w, &r);
    assert_int_equal(world_updates(w), 1);
    assert_string_equal(world_update(w, 0)->status->task_id->value, "t9");
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(RECONCILIATION));
    world_master(w, &r); /* asked again: the answer is under way */
    assert_int_equal(world_updates(w), 1);
}

static void leaves_when_told(void **state)
{
    struct world *w = *state;
    running(w, "t1", 1);
    world_forget(w);
    agent_core_unregister(w->core, world_now(w), "operator");
    world_drain(w);
    assert_null(world_record(w, 0));
    assert_non_null(world_event(w, EVENT(SHUTDOWN), 0));
    assert_int_equal(world_count(w, AGENT_EXIT), 0);
    world_exit(w, "t1", 0);
    assert_non_null(world_record(w, 0)->unregister);
    assert_string_equal(world_effect(w, AGENT_EXIT, 0)->message, "operator");
}

/* A crash after any step: what the master was told, and what the executor was told, holds. */
static void crash_after_every_step(void **state)
{
    struct world *first = *state;
    (void)first;
    enum { STEPS = 6 };
    for (int crash = 0; crash < STEPS; crash++) {
        struct world w;
        world_start(&w);
        world_register(&w);
        bool ended = false;
        for (int step = 0; step < STEPS; step++) {
            switch (step) {
            case 0:
                world_run(&w, "t1", "e", true);
                break;
            case 1:
                agent_core_container_started(
                    w.core, world_now(&w), world_executor(&w, "e")->container_id, 100, 7);
                world_drain(&w);
                break;
            case 2:
                world_subscribe(&w, "e", NULL);
                break;
            case 3:
                world_send(&w, "e", "t1", TASK_STATE(RUNNING), 1);
                break;
            case 4:
                world_send(&w, "e", "t1", TASK_STATE(FINISHED), 2);
                break;
            case 5:
                ended = true;
                break;
            }
            if (step != crash)
                continue;
            assert_int_equal(world_restart(&w), 0);
            if (step >= 2)
                world_subscribe(&w, "e", step == 2 ? "t1" : NULL);
            world_register(&w);
        }
        assert_true(ended);
        /* Both updates arrive, in order, whatever happened. */
        assert_int_equal(world_update(&w, 0)->status->state, TASK_STATE(RUNNING));
        uint8_t uuid[AGENT_UUID_SIZE];
        memset(uuid, 1, sizeof(uuid));
        world_ack(&w, "t1", uuid);
        memset(uuid, 2, sizeof(uuid));
        assert_int_equal(
            world_update(&w, world_updates(&w) - 1)->status->state, TASK_STATE(FINISHED));
        world_ack(&w, "t1", uuid);
        assert_null(world_task(&w, "t1"));
        world_exit(&w, "e", 0);
        assert_int_equal(map_size(&w.disk), 1);
        world_done(&w);
    }
}

static void damaged_records(void **state)
{
    struct world *w = *state;
    struct agent_core_options o = {.info = &(Mesos__V1__AgentInfo)MESOS__V1__AGENT_INFO__INIT};
    static const char *const keys[] = {"agent/self", "framework/0000000000000001",
        "executor/0000000000000001", "stream/0000000000000001", "task/0000000000000001",
        "update/0000000000000001", "other/0000000000000001", "task/1", "task"};
    (void)w;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct agent_core *core = agent_core_new(&o);
        struct error err = ERROR_INIT;
        assert_true(agent_core_restore(core, keys[i], "\xff\xff\xff", 3, &err) < 0);
        agent_core_free(core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(executor_comes_back),
        TEST(executor_stays_away),
        TEST(staged_and_never_delivered),
        TEST(machine_was_restarted),
        TEST(other_resources_are_refused),
        TEST(older_masters_are_refused),
        TEST(silence_ends_the_link),
        TEST(forgotten_by_the_master),
        TEST(reconciliation),
        TEST(leaves_when_told),
        TEST(crash_after_every_step),
        TEST(damaged_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
