#include "unit.h"

#include "world.h"

#include "base/clock.h"

/* Draining, fencing, being told to go, and other flags than before. */

#define EVENT(name) MESOS__V1__EXECUTOR__EVENT__TYPE__##name
#define LEASE_US (75 * USEC_PER_SEC)

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

static void started(struct world *w, const char *task, const char *executor, bool partition_aware)
{
    world_run(w, task, executor, partition_aware);
    struct agent_executor *e = world_executor(w, executor ? executor : task);
    agent_core_container_started(w->core, world_now(w), e->container_id, 100, 7);
    world_subscribe(w, e->id, NULL);
    world_send(w, e->id, task, TASK_STATE(RUNNING), 1);
}

static void acknowledge(struct world *w, const char *task, uint8_t uuid)
{
    uint8_t bytes[AGENT_UUID_SIZE];
    memset(bytes, uuid, sizeof(bytes));
    world_ack(w, task, bytes);
}

static void drain(struct world *w, int64_t max_grace_s, bool mark_gone)
{
    Mesos__V1__DurationInfo grace = MESOS__V1__DURATION_INFO__INIT;
    Mesos__V1__DrainConfig config = MESOS__V1__DRAIN_CONFIG__INIT;
    grace.has_nanoseconds = true;
    grace.nanoseconds = max_grace_s * USEC_PER_SEC * NSEC_PER_USEC;
    if (max_grace_s >= 0)
        config.max_grace_period = &grace;
    config.has_mark_gone = mark_gone;
    config.mark_gone = mark_gone;
    Dcos__Internal__DrainAgent d = DCOS__INTERNAL__DRAIN_AGENT__INIT;
    d.config = &config;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.drain_agent = &d;
    world_master(w, &r);
}

static void drain_over(struct world *w)
{
    Dcos__Internal__DrainAgent d = DCOS__INTERNAL__DRAIN_AGENT__INIT;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.drain_agent = &d;
    world_master(w, &r);
}

static int64_t killed_with_s(struct world *w, size_t n)
{
    Mesos__V1__Executor__Event *e = world_event(w, EVENT(KILL), n);
    assert_non_null(e);
    return e->kill->kill_policy
               ? e->kill->kill_policy->grace_period->nanoseconds / NSEC_PER_USEC / USEC_PER_SEC
               : -1;
}

/* ---- draining ---- */

static void drain_takes_the_shorter_grace(void **state)
{
    static const struct {
        int64_t own_s, max_s, sent_s; /* own 0 = no kill policy; -1 = none */
    } cases[] = {
        {10, 5, 5}, {10, 30, -1}, {10, -1, -1}, {0, 1, 1}, {0, 60, -1}, {0, -1, -1}, {10, 0, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world w;
        world_start(&w);
        world_register(&w);
        w.grace_s = cases[i].own_s;
        started(&w, "t1", NULL, true);
        world_forget(&w);
        drain(&w, cases[i].max_s, false);
        assert_int_equal(killed_with_s(&w, 0), cases[i].sent_s);
        world_done(&w);
    }
    (void)state;
}

static void drained_tasks_say_why(void **state)
{
    static const struct {
        bool mark_gone, aware;
        Mesos__V1__TaskState killed;
    } cases[] = {{false, true, TASK_STATE(KILLED)}, {true, false, TASK_STATE(KILLED)},
        {true, true, TASK_STATE(GONE_BY_OPERATOR)}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world w;
        world_start(&w);
        world_register(&w);
        started(&w, "t1", NULL, cases[i].aware);
        started(&w, "t2", NULL, cases[i].aware);
        acknowledge(&w, "t1", 1);
        acknowledge(&w, "t2", 1);
        drain(&w, 5, cases[i].mark_gone);
        world_forget(&w);
        world_send(&w, "t1", "t1", TASK_STATE(KILLING), 2);
        assert_int_equal(world_update(&w, 0)->status->state, TASK_STATE(KILLING));
        assert_int_equal(world_update(&w, 0)->status->reason, STATUS_REASON(AGENT_DRAINING));
        acknowledge(&w, "t1", 2);
        world_send(&w, "t1", "t1", TASK_STATE(KILLED), 3);
        assert_int_equal(world_update(&w, 1)->status->state, cases[i].killed);
        assert_int_equal(world_update(&w, 1)->status->reason, STATUS_REASON(AGENT_DRAINING));
        /* Other ends stay what they are. */
        world_send(&w, "t2", "t2", TASK_STATE(FINISHED), 4);
        assert_int_equal(world_update(&w, 2)->status->state, TASK_STATE(FINISHED));
        assert_false(world_update(&w, 2)->status->has_reason);
        acknowledge(&w, "t1", 3);
        world_exit(&w, "t1", 0);
        assert_null(world_task(&w, "t1"));
        world_done(&w);
    }
    (void)state;
}

static void drain_ends_what_waits_and_refuses_what_comes(void **state)
{
    struct world *w = *state;
    world_register(w);
    world_run(w, "t1", NULL, true);
    world_forget(w);
    drain(w, 5, false);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(KILLED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(AGENT_DRAINING));
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    world_forget(w);
    world_run(w, "t2", NULL, true);
    world_run(w, "t3", NULL, false);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(AGENT_DRAINING));
    assert_int_equal(world_update(w, 1)->status->state, TASK_STATE(LOST));
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    drain_over(w);
    world_run(w, "t4", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
}

static void drain_survives_restarts(void **state)
{
    struct world *w = *state;
    world_register(w);
    started(w, "t1", NULL, true);
    drain(w, 2, true);
    int64_t since = w->core->drain_start_wall_us;
    world_advance(w, 1 * USEC_PER_SEC);
    assert_int_equal(world_restart(w), 0);
    assert_true(w->core->draining);
    assert_true(w->core->drain_mark_gone);
    assert_int_equal(w->core->drain_start_wall_us, since);
    /* What it was told before may have been lost with the stream. */
    world_subscribe(w, "t1", NULL);
    assert_int_equal(killed_with_s(w, 0), 2);
    world_forget(w);
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_non_null(r->drain_config);
    assert_true(r->drain_config->mark_gone);
    /* The master's word at registration counts: here it is over. */
    world_register(w);
    assert_false(w->core->draining);
    assert_int_equal(world_restart(w), 0);
    assert_false(w->core->draining);
}

static void drain_comes_with_registration(void **state)
{
    struct world *w = *state;
    world_register(w);
    started(w, "t1", NULL, true);
    agent_core_link_down(w->core, world_now(w));
    world_drain(w);
    world_forget(w);
    Mesos__V1__DrainConfig config = MESOS__V1__DRAIN_CONFIG__INIT;
    w->drain = &config;
    world_register(w);
    assert_non_null(world_event(w, EVENT(KILL), 0));
    assert_true(w->core->draining);
}

static void drain_waits_for_broken_streams(void **state)
{
    struct world *w = *state;
    world_register(w);
    started(w, "t1", NULL, true);
    struct agent_executor *e = world_executor(w, "t1");
    agent_core_disconnected(w->core, world_now(w), e, e->connection);
    world_forget(w);
    drain(w, 1, false);
    assert_null(world_event(w, EVENT(KILL), 0));
    world_subscribe(w, "t1", NULL);
    assert_int_equal(killed_with_s(w, 0), 1);
}

/* ---- fencing ---- */

static void lease_registered(struct world *w)
{
    w->lease_us = LEASE_US;
    world_register(w);
}

static void lease_ends_what_asked_for_it(void **state)
{
    struct world *w = *state;
    lease_registered(w);
    started(w, "plain", NULL, true);
    w->fencing = true;
    started(w, "t1", NULL, true);
    started(w, "t2", NULL, true);
    acknowledge(w, "t1", 1);
    acknowledge(w, "t2", 1);
    agent_core_link_down(w->core, world_now(w));
    world_drain(w);
    world_forget(w);
    world_advance(w, LEASE_US - USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    world_advance(w, 1 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 2);
    assert_true(world_effect(w, AGENT_DESTROY, 0)->urgent);
    assert_null(world_event(w, EVENT(SHUTDOWN), 0)); /* no grace */
    world_exit(w, "t1", 9);
    world_exit(w, "t2", 9);
    world_register(w);
    assert_int_equal(world_task(w, "plain")->state, TASK_STATE(RUNNING));
    assert_int_equal(world_task(w, "t2")->state, TASK_STATE(GONE));
    size_t i = 0;
    while (!streq(world_update(w, i)->status->task_id->value, "t1"))
        i++;
    assert_int_equal(world_update(w, i)->status->state, TASK_STATE(GONE));
    assert_int_equal(world_update(w, i)->status->reason, STATUS_REASON(AGENT_DISCONNECTED));
    assert_non_null(strstr(world_update(w, i)->status->message, "lease of 75secs"));
}

static void ping(struct world *w)
{
    Dcos__Internal__Ping p = DCOS__INTERNAL__PING__INIT;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.ping = &p;
    world_master(w, &r);
}

static void pings_renew_the_lease(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    for (int i = 0; i < 10; i++) {
        world_advance(w, LEASE_US / 2 - USEC_PER_SEC);
        ping(w);
    }
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    /* A master whose time is over does not. */
    w->epoch--;
    world_advance(w, LEASE_US / 2);
    ping(w);
    world_advance(w, USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

/* The last ping proves only that the answer to the one before was heard. */
static void an_answer_that_may_be_lost_is_no_contact(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    world_advance(w, 10 * USEC_PER_SEC);
    ping(w);
    world_advance(w, 10 * USEC_PER_SEC);
    ping(w);
    /* Other records go on coming when the way to the master is cut. */
    for (int i = 0; i < 10; i++) {
        world_advance(w, (LEASE_US - 10 * USEC_PER_SEC) / 10 - USEC_PER_MSEC);
        Dcos__Internal__ReconcileTasks reconcile = DCOS__INTERNAL__RECONCILE_TASKS__INIT;
        Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
        r.reconcile = &reconcile;
        world_master(w, &r);
    }
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    world_advance(w, 10 * USEC_PER_MSEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void a_link_without_registration_is_no_contact(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    agent_core_link_down(w->core, world_now(w));
    world_advance(w, LEASE_US / 2);
    agent_core_link_up(w->core, world_now(w));
    Dcos__Internal__Hello hello = DCOS__INTERNAL__HELLO__INIT;
    hello.has_major = true;
    hello.major = 1;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.hello = &hello;
    world_master(w, &r);
    world_advance(w, LEASE_US / 2 + USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void suspended_machines_count_the_time(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    w->now.boot_us += LEASE_US; /* timers stood still meanwhile */
    /* What was waiting in the socket is no new contact. */
    ping(w);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void timers_alone_notice_a_suspension(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    w->now.boot_us += LEASE_US;
    world_advance(w, 1 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void set_clocks_do_not_matter(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    w->now.wall_us += 1000 * LEASE_US;
    world_advance(w, LEASE_US - USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    w->now.wall_us -= 2000 * LEASE_US;
    world_advance(w, 1 * USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void lease_goes_on_over_restarts(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    agent_core_link_down(w->core, world_now(w));
    world_drain(w);
    world_advance(w, LEASE_US / 2);
    assert_int_equal(world_restart(w), 0);
    world_subscribe(w, "t1", NULL);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    world_advance(w, LEASE_US / 2 + USEC_PER_SEC);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void lease_that_ended_meanwhile_ends_tasks_at_the_start(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    lease_registered(w);
    started(w, "t1", NULL, true);
    /* Renewed, and that is on disk. */
    world_advance(w, LEASE_US / 2);
    ping(w);
    ping(w);
    w->now.boot_us += LEASE_US - USEC_PER_SEC;
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
    w->now.boot_us += USEC_PER_SEC;
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
}

static void executors_of_others_end_as_a_whole(void **state)
{
    struct world *w = *state;
    lease_registered(w);
    started(w, "t1", "e1", true);
    started(w, "t2", "e2", true);
    w->fencing = true;
    world_run(w, "t3", "e1", true);
    world_advance(w, LEASE_US);
    assert_int_equal(world_count(w, AGENT_DESTROY), 1);
    assert_string_equal(
        world_effect(w, AGENT_DESTROY, 0)->container_id, world_executor(w, "e1")->container_id);
    world_exit(w, "e1", 9);
    assert_int_equal(world_task(w, "t1")->state, TASK_STATE(GONE));
}

static void no_lease_no_fencing(void **state)
{
    struct world *w = *state;
    w->fencing = true;
    world_register(w);
    started(w, "t1", NULL, true);
    world_advance(w, 1000 * LEASE_US);
    assert_int_equal(world_count(w, AGENT_DESTROY), 0);
}

/* ---- being told to go ---- */

static void shutdown_ends_everything(void **state)
{
    struct world *w = *state;
    world_register(w);
    started(w, "t1", NULL, true);
    world_forget(w);
    Dcos__Internal__ShutdownAgent s = DCOS__INTERNAL__SHUTDOWN_AGENT__INIT;
    s.message = (char *)(uintptr_t) "Machine is DOWN";
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.shutdown_agent = &s;
    world_master(w, &r);
    assert_non_null(world_event(w, EVENT(SHUTDOWN), 0));
    assert_int_equal(world_count(w, AGENT_EXIT), 0);
    world_run(w, "t2", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    world_exit(w, "t1", 0);
    assert_int_equal(world_count(w, AGENT_EXIT), 1);
    assert_string_equal(world_effect(w, AGENT_EXIT, 0)->message, "Machine is DOWN");
}

/* Its machine is under maintenance: it is told so instead of being registered. */
static void shutdown_instead_of_registration(void **state)
{
    struct world *w = *state;
    agent_core_link_up(w->core, world_now(w));
    Dcos__Internal__ShutdownAgent s = DCOS__INTERNAL__SHUTDOWN_AGENT__INIT;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.shutdown_agent = &s;
    world_master(w, &r);
    assert_int_equal(world_count(w, AGENT_EXIT), 1);
}

static void gone_agents_register_anew(void **state)
{
    struct world *w = *state;
    world_register(w);
    started(w, "t1", NULL, true);
    drain(w, 5, true);
    agent_core_link_down(w->core, world_now(w));
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    world_forget(w);
    Dcos__Internal__Refused refused = DCOS__INTERNAL__REFUSED__INIT;
    refused.message = (char *)(uintptr_t) "Agent has been marked gone";
    refused.has_forget = refused.forget = true;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.refused = &refused;
    world_master(w, &r);
    assert_non_null(world_event(w, EVENT(SHUTDOWN), 0));
    /* Being started again does not change its mind. */
    assert_int_equal(world_restart(w), 0);
    assert_true(w->core->forgetting);
    world_exit(w, "t1", 0);
    assert_null(w->core->id);
    assert_false(w->core->draining);
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    Dcos__Internal__Register *again = NULL;
    for (size_t i = 0; world_record(w, i); i++)
        if (world_record(w, i)->register_)
            again = world_record(w, i)->register_;
    assert_non_null(again);
    assert_null(again->agent_info->id);
    assert_int_equal(again->n_tasks, 0);
    assert_null(again->drain_config);
}

/* ---- other flags than before ---- */

static void flags_that_changed(void **state)
{
    (void)state;
    static const struct {
        const char *hostname, *attribute, *region;
        double cpus;
        bool equal, additive; /* accepted? */
    } cases[] = {
        {NULL, "a", "eu", 4, true, true},
        {"other", "a", "eu", 4, false, false},
        {NULL, "a", "eu", 8, false, true},
        {NULL, "a", "eu", 2, false, false},
        {NULL, "b", "eu", 4, false, false},
        {NULL, NULL, "eu", 4, false, false},
        {NULL, "a", "us", 4, false, false},
        {NULL, "a", NULL, 4, false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int additive = 0; additive < 2; additive++) {
            struct world w;
            world_start(&w);
            w.attribute = "a";
            w.region = "eu";
            w.additive = true;
            assert_int_equal(world_restart(&w), 0); /* not yet registered: all may change */
            world_register(&w);
            w.additive = additive;
            w.hostname = cases[i].hostname;
            w.attribute = cases[i].attribute;
            w.region = cases[i].region;
            w.cpus = cases[i].cpus;
            bool accepted = world_restart(&w) == 0;
            assert_int_equal(accepted, additive ? cases[i].additive : cases[i].equal);
            world_done(&w);
        }
    }
    struct world w;
    world_start(&w);
    world_register(&w);
    w.attribute = "a";
    w.region = "eu";
    assert_int_not_equal(world_restart(&w), 0);
    w.additive = true;
    assert_int_equal(world_restart(&w), 0);
    world_done(&w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(drain_takes_the_shorter_grace),
        TEST(drained_tasks_say_why),
        TEST(drain_ends_what_waits_and_refuses_what_comes),
        TEST(drain_survives_restarts),
        TEST(drain_comes_with_registration),
        TEST(drain_waits_for_broken_streams),
        TEST(lease_ends_what_asked_for_it),
        TEST(pings_renew_the_lease),
        TEST(an_answer_that_may_be_lost_is_no_contact),
        TEST(a_link_without_registration_is_no_contact),
        TEST(suspended_machines_count_the_time),
        TEST(timers_alone_notice_a_suspension),
        TEST(set_clocks_do_not_matter),
        TEST(lease_goes_on_over_restarts),
        TEST(lease_that_ended_meanwhile_ends_tasks_at_the_start),
        TEST(executors_of_others_end_as_a_whole),
        TEST(no_lease_no_fencing),
        TEST(shutdown_ends_everything),
        TEST(shutdown_instead_of_registration),
        TEST(gone_agents_register_anew),
        TEST(flags_that_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
