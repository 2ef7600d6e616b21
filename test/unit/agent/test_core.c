#include "unit.h"

#include "world.h"

#include "base/clock.h"

#define EVENT(name) MESOS__V1__EXECUTOR__EVENT__TYPE__##name

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    world_start(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    free(*state);
    return 0;
}

/* A command task up to TASK_RUNNING, its updates acknowledged. */
static void running(struct world *w, const char *task)
{
    world_run(w, task, NULL, true);
    agent_core_container_started(
        w->core, world_now(w), world_executor(w, task)->container_id, 100, 7);
    world_subscribe(w, task, NULL);
    world_send(w, task, task, TASK_STATE(RUNNING), 1);
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, 1, sizeof(uuid));
    world_ack(w, task, uuid);
    world_forget(w);
}

static void registers_and_keeps_its_id(void **state)
{
    struct world *w = *state;
    assert_int_equal(world_count(w, AGENT_RECOVERED), 1);
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    assert_non_null(world_record(w, 0)->hello);
    Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_non_null(r);
    assert_null(r->agent_info->id);
    assert_string_equal(r->ip, "10.0.0.2");
    world_register(w);
    assert_string_equal(world_effect(w, AGENT_REGISTERED, 0)->message, "S1");
    assert_int_equal(world_restart(w), 0);
    world_forget(w);
    world_register(w);
    r = world_record(w, 1)->register_;
    assert_string_equal(r->agent_info->id->value, "S1");
    assert_int_equal(r->epoch, 5);
}

static void life_of_a_command_task(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_forget(w);
    world_run(w, "t1", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
    struct agent_executor *e = world_executor(w, "t1");
    assert_true(e->command);
    assert_int_equal(e->state, AGENT_EXECUTOR_REGISTERING);
    struct agent_limits limits;
    agent_executor_limits(e, &limits);
    assert_int_equal(limits.cpus_milli, 100);
    assert_int_equal(limits.mem_milli, 32000);
    agent_core_container_started(w->core, world_now(w), e->container_id, 100, 7);
    world_subscribe(w, "t1", NULL);
    assert_string_equal(
        world_event(w, EVENT(SUBSCRIBED), 0)->subscribed->agent_info->id->value, "S1");
    assert_string_equal(world_event(w, EVENT(LAUNCH), 0)->launch->task->task_id->value, "t1");
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1);
    assert_non_null(world_event(w, EVENT(ACKNOWLEDGED), 0));
    Dcos__Internal__StatusUpdate *u = world_update(w, 0);
    assert_int_equal(u->status->state, TASK_STATE(RUNNING));
    assert_string_equal(u->status->agent_id->value, "S1");
    assert_string_equal(u->status->executor_id->value, "t1");
    assert_string_equal(u->status->container_status->container_id->value, e->container_id);
    assert_string_equal(
        u->status->container_status->network_infos[0]->ip_addresses[0]->ip_address, "10.0.0.2");
    world_ack(w, "t1", u->status->uuid.data);
    world_send(w, "t1", "t1", TASK_STATE(FINISHED), 2);
    world_exit(w, "t1", 0);
    assert_int_equal(
        world_count(w, AGENT_EXECUTOR_GONE), 0); /* its last word is not acknowledged */
    u = world_update(w, 1);
    assert_int_equal(u->status->state, TASK_STATE(FINISHED));
    world_ack(w, "t1", u->status->uuid.data);
    assert_int_equal(world_count(w, AGENT_EXECUTOR_GONE), 1);
    assert_int_equal(world_count(w, AGENT_FRAMEWORK_GONE), 1);
    /* Nothing is left on disk but the agent itself. */
    assert_int_equal(map_size(&w->disk), 1);
    assert_int_equal(w->core->counters.tasks_finished, 1);
}

static void updates_are_fifo_and_repeated(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_subscribe(w, "t1", NULL);
    world_forget(w);
    world_send(w, "t1", "t1", TASK_STATE(STARTING), 1);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 2);
    assert_int_equal(world_updates(w), 1);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(STARTING));
    /* 10, 20, 40 ... 600, 600 seconds. */
    int64_t wait = 10;
    for (size_t n = 1; n < 10; n++) {
        world_advance(w, wait * USEC_PER_SEC - 1);
        assert_int_equal(world_updates(w), n);
        world_advance(w, 1);
        assert_int_equal(world_updates(w), n + 1);
        assert_int_equal(world_update(w, n)->latest_state, TASK_STATE(RUNNING));
        wait = MIN(wait * 2, INT64_C(600));
    }
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, 9, sizeof(uuid));
    world_forget(w);
    world_ack(w, "t1", uuid); /* nobody's */
    memset(uuid, 2, sizeof(uuid));
    world_ack(w, "t1", uuid); /* not yet at the head */
    assert_int_equal(world_updates(w), 0);
    memset(uuid, 1, sizeof(uuid));
    world_ack(w, "t1", uuid);
    assert_int_equal(world_updates(w), 1);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(RUNNING));
    world_ack(w, "t1", uuid);            /* again */
    world_advance(w, 10 * USEC_PER_SEC); /* the pause began anew */
    assert_int_equal(world_updates(w), 2);
}

static void repeats_of_executors_are_told_apart(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_subscribe(w, "t1", NULL);
    world_forget(w);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1);
    assert_non_null(world_event(w, EVENT(ACKNOWLEDGED), 1));
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, 1, sizeof(uuid));
    world_ack(w, "t1", uuid);
    assert_int_equal(world_updates(w), 1);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1); /* acknowledged already */
    assert_non_null(world_event(w, EVENT(ACKNOWLEDGED), 2));
    assert_int_equal(world_updates(w), 1);
    assert_int_equal(world_restart(w), 0); /* and the memory of it lasts */
    world_register(w);
    world_subscribe(w, "t1", NULL);
    world_forget(w);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1);
    assert_int_equal(world_updates(w), 0);
    /* Nothing follows an end, and tasks of others are not its business. */
    world_send(w, "t1", "t1", TASK_STATE(FAILED), 2);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 3);
    world_send(w, "t1", "other", TASK_STATE(RUNNING), 4);
    assert_int_equal(world_updates(w), 1);
    assert_non_null(world_event(w, EVENT(ACKNOWLEDGED), 3));
    assert_int_equal(world_task(w, "t1")->state, TASK_STATE(FAILED));
}

static void nothing_goes_out_while_the_master_is_away(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_subscribe(w, "t1", NULL);
    agent_core_link_down(w->core, world_now(w));
    world_forget(w);
    world_send(w, "t1", "t1", TASK_STATE(RUNNING), 1);
    world_advance(w, 3600 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_TO_MASTER), 0);
    assert_non_null(world_event(w, EVENT(ACKNOWLEDGED), 0));
    world_register(w);
    Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_int_equal(r->n_tasks, 1);
    assert_int_equal(r->tasks[0]->state, TASK_STATE(RUNNING));
    assert_int_equal(r->n_frameworks, 1);
    assert_int_equal(r->n_executors, 0); /* ours are not shown */
    assert_int_equal(world_updates(w), 1);
    world_advance(w, 10 * USEC_PER_SEC);
    assert_int_equal(world_updates(w), 2);
}

/* ---- kill ---- */

static void kill_before_delivery(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_forget(w);
    world_kill(w, "t1");
    Dcos__Internal__StatusUpdate *u = world_update(w, 0);
    assert_int_equal(u->status->state, TASK_STATE(KILLED));
    assert_int_equal(u->status->reason, STATUS_REASON(TASK_KILLED_DURING_LAUNCH));
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    world_kill(w, "t1"); /* again: it has ended */
    assert_int_equal(world_updates(w), 1);
    world_exit(w, "t1", 9);
    world_ack(w, "t1", u->status->uuid.data);
    assert_int_equal(map_size(&w->disk), 1);
}

static void kill_after_delivery(void **state)
{
    struct world *w = *state;
    world_register(w);
    running(w, "t1");
    world_kill(w, "t1");
    world_kill(w, "t1");
    assert_non_null(world_event(w, EVENT(KILL), 1));
    /* While the executor is away it is kept for it, a restart of the agent included. */
    struct agent_executor *e = world_executor(w, "t1");
    agent_core_disconnected(w->core, world_now(w), e, e->connection);
    world_forget(w);
    world_kill(w, "t1");
    assert_null(world_event(w, EVENT(KILL), 0));
    assert_int_equal(world_restart(w), 0);
    world_subscribe(w, "t1", NULL);
    assert_string_equal(world_event(w, EVENT(KILL), 0)->kill->task_id->value, "t1");
    assert_null(world_event(w, EVENT(KILL), 1));
}

static void kill_of_the_unknown(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_kill(w, "nobody");
    assert_int_equal(world_updates(w), 0); /* not even its framework is known */
    running(w, "t1");
    world_kill(w, "nobody");
    Dcos__Internal__StatusUpdate *u = world_update(w, 0);
    assert_int_equal(u->status->state, TASK_STATE(DROPPED));
    assert_int_equal(u->status->reason, STATUS_REASON(EXECUTOR_TERMINATED));
    world_run(w, "t2", NULL, false); /* the framework came back without the capability */
    world_forget(w);
    world_kill(w, "nobody2");
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(LOST));
}

/* ---- executors ---- */

static void registration_timeout(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_advance(w, 600 * USEC_PER_SEC); /* fetching takes what it takes */
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    agent_core_container_started(
        w->core, world_now(w), world_executor(w, "t1")->container_id, 100, 7);
    world_advance(w, 60 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    world_forget(w);
    world_exit(w, "t1", 9);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(FAILED));
    assert_int_equal(
        world_update(w, 0)->status->reason, STATUS_REASON(EXECUTOR_REGISTRATION_TIMEOUT));
}

static void death_of_an_executor(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", "e", true);
    world_subscribe(w, "e", NULL);
    world_run(w, "t2", "e", true);
    assert_non_null(world_event(w, EVENT(LAUNCH), 1));
    world_send(w, "e", "t2", TASK_STATE(FINISHED), 1);
    world_forget(w);
    world_exit(w, "e", 0x0100);
    assert_int_equal(world_updates(w), 1); /* t2 has ended before */
    assert_string_equal(world_update(w, 0)->status->task_id->value, "t1");
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(EXECUTOR_TERMINATED));
    assert_non_null(strstr(world_update(w, 0)->status->message, "exited with status 1"));
    bool told = false;
    for (size_t i = 0; world_record(w, i); i++)
        told = told || world_record(w, i)->executor_exited;
    assert_true(told);
    world_run(w, "t3", "e", true);
    assert_int_equal(world_update(w, 1)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 1)->status->reason, STATUS_REASON(EXECUTOR_TERMINATED));
}

static void memory_limit(void **state)
{
    struct world *w = *state;
    world_register(w);
    running(w, "t1");
    struct agent_container_exit exit = {
        .status = 9,
        .limited = true,
        .mem_limit_bytes = 64 * 1024 * 1024,
        .message = "Memory limit exceeded",
    };
    agent_core_container_exited(
        w->core, world_now(w), world_executor(w, "t1")->container_id, &exit);
    world_drain(w);
    Mesos__V1__TaskStatus *s = world_update(w, 0)->status;
    assert_int_equal(s->state, TASK_STATE(FAILED));
    assert_int_equal(s->reason, STATUS_REASON(CONTAINER_LIMITATION_MEMORY));
    assert_string_equal(s->limitation->resources[0]->name, "mem");
    assert_true(s->limitation->resources[0]->scalar->value > 63.9);
}

static void launch_failure(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_forget(w);
    agent_core_container_failed(
        w->core, world_now(w), world_executor(w, "t1")->container_id, "no such user");
    world_drain(w);
    Mesos__V1__TaskStatus *s = world_update(w, 0)->status;
    assert_int_equal(s->state, TASK_STATE(FAILED));
    assert_int_equal(s->reason, STATUS_REASON(CONTAINER_LAUNCH_FAILED));
    assert_string_equal(s->message, "Failed to launch container: no such user");
}

static void shutdown_escalates(void **state)
{
    struct world *w = *state;
    world_register(w);
    running(w, "t1");
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = (char *)(uintptr_t) "M-0000";
    Dcos__Internal__ShutdownFramework shutdown = DCOS__INTERNAL__SHUTDOWN_FRAMEWORK__INIT;
    shutdown.framework_id = &framework_id;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.shutdown_framework = &shutdown;
    world_master(w, &r);
    assert_non_null(world_event(w, EVENT(SHUTDOWN), 0));
    world_send(w, "t1", "t1", TASK_STATE(KILLED), 7); /* nobody wants to know */
    assert_int_equal(world_updates(w), 0);
    world_advance(w, 5 * USEC_PER_SEC - 1);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    world_run(w, "t2", NULL, true); /* too late */
    assert_null(world_task(w, "t2"));
    world_advance(w, 1);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    world_exit(w, "t1", 9);
    assert_int_equal(world_count(w, AGENT_FRAMEWORK_GONE), 1);
    assert_int_equal(map_size(&w->disk), 1);
}

/* The stream broke with a LAUNCH on it. */
static void launch_lost_on_the_way(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_subscribe(w, "t1", NULL);
    world_run(w, "c1", "e", true);
    world_subscribe(w, "e", NULL);
    world_forget(w);
    world_subscribe(w, "t1", NULL); /* ours gets it again */
    assert_string_equal(world_event(w, EVENT(LAUNCH), 0)->launch->task->task_id->value, "t1");
    world_forget(w);
    world_subscribe(w, "t1", "t1"); /* unless it has it */
    assert_null(world_event(w, EVENT(LAUNCH), 0));
    world_subscribe(w, "e", NULL); /* others' is given up */
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(AGENT_RESTARTED));
}

static void ids_that_collide(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", "x", true);
    world_forget(w);
    world_run(w, "x", NULL, true);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(TASK_INVALID));
    world_run(w, "t1", "x", true); /* the same once more: nothing happens */
    assert_int_equal(world_updates(w), 1);
}

static size_t exits(struct world *w)
{
    size_t n = 0;
    Dcos__Internal__AgentRecord *r;
    for (size_t i = 0; (r = world_record(w, i)); i++)
        n += r->executor_exited != NULL;
    return n;
}

/* Master and agent agree on which executors there are, whatever crosses on the way. */
static void executors_are_counted_by_both(void **state)
{
    struct world *w = *state;
    world_register(w);
    w->launch_executor = LAUNCH_NEW;
    world_run(w, "t1", "x", true);
    world_subscribe(w, "x", NULL);
    world_exit(w, "x", 1);
    assert_int_equal(exits(w), 1);
    world_forget(w);
    /* Its task's end is not acknowledged: another cannot start, and must not be charged for. */
    world_run(w, "t2", "x", true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(exits(w), 1);
    world_forget(w);
    /* Meant for an executor that is gone: the master hears of that already. */
    w->launch_executor = LAUNCH_KNOWN;
    world_run(w, "t3", "x", true);
    world_run(w, "t4", "y", true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    assert_int_equal(world_updates(w), 2);
    assert_int_equal(world_update(w, 1)->status->reason, STATUS_REASON(EXECUTOR_TERMINATED));
    assert_int_equal(exits(w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(registers_and_keeps_its_id),
        TEST(life_of_a_command_task),
        TEST(updates_are_fifo_and_repeated),
        TEST(repeats_of_executors_are_told_apart),
        TEST(nothing_goes_out_while_the_master_is_away),
        TEST(kill_before_delivery),
        TEST(executors_are_counted_by_both),
        TEST(kill_after_delivery),
        TEST(kill_of_the_unknown),
        TEST(registration_timeout),
        TEST(death_of_an_executor),
        TEST(memory_limit),
        TEST(launch_failure),
        TEST(shutdown_escalates),
        TEST(launch_lost_on_the_way),
        TEST(ids_that_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
