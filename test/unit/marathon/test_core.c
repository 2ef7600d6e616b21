/* The core in a played world: deployments, crashes after every item of output, random lives. */

#include "unit.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/upgrade.h"
#include "world.h"

static void create(struct world *w, const char *more)
{
    char body[512];
    snprintf(body, sizeof(body),
        "{\"id\":\"/a\",\"cmd\":\"run 0\",\"cpus\":0.1,\"mem\":16,\"backoffSeconds\":1%s}", more);
    assert_int_equal(world_request(w, HTTP_POST, "/v2/apps", body, NULL), 201);
    world_pump(w, -1);
    world_settle(w);
}

static void version_of(const struct world *w, char text[TIME_TEXT_SIZE])
{
    time_format_rfc3339(core_spec(w->core, "/a")->app->version_us, text);
}

static void test_idle_costs_nothing(void **state)
{
    struct world w;
    world_init(&w, 1);
    create(&w, ",\"instances\":3");
    assert_int_equal(world_running(&w), 3);
    assert_true(w.suppressed);
    for (int i = 0; i < 10; i++)
        core_tick(w.core, w.now_us + i);
    assert_int_equal(w.core->out.n, 0);
    world_done(&w);
}

static void test_launch_is_stored_before_it_is_accepted(void **state)
{
    struct world w;
    world_init(&w, 1);
    world_request(&w, HTTP_POST, "/v2/apps", "{\"id\":\"/a\",\"cmd\":\"run\"}", NULL);
    world_pump(&w, -1);
    world_offer(&w);
    bool stored = false, accepted = false;
    VEC_FOREACH (o, &w.core->out) {
        if (o->type == OUT_PUT && strstr(o->text, "\"condition\":\"Provisioned\""))
            stored = true;
        if (o->type == OUT_CALL && strstr(o->text, "\"ACCEPT\"")) {
            accepted = true;
            assert_true(stored);
        }
    }
    assert_true(accepted);
    world_done(&w);
}

/* Every place where it can be killed, for a creation, an upgrade, a scaling and a removal. */
static void test_killed_after_every_item(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *body;
        size_t tasks;
    } steps[] = {
        {HTTP_PUT, "/v2/apps//a?force=true", "{\"cmd\":\"run 1\"}", 3},
        {HTTP_PUT, "/v2/apps//a?force=true", "{\"instances\":5}", 5},
        {HTTP_PUT, "/v2/apps//a?force=true", "{\"instances\":1}", 1},
        {HTTP_POST, "/v2/apps//a/restart?force=true", "", 3},
        {HTTP_DELETE, "/v2/apps//a", "", 0},
    };
    for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
        for (ssize_t at = 0; at < 40; at++) {
            struct world w;
            world_init(&w, (uint64_t)at + 1);
            create(&w, ",\"instances\":3");
            int64_t before = core_spec(w.core, "/a")->app->version_us;
            world_request(&w, steps[k].method, steps[k].path, steps[k].body, NULL);
            world_pump(&w, at);
            world_settle(&w);
            world_reconcile(&w);
            world_settle(&w);
            const struct spec *s = core_spec(w.core, "/a");
            bool happened = !s || s->app->version_us != before;
            /* Not answered, it may not have happened; but never half of it. */
            assert_int_equal(world_live(&w, NULL), happened ? steps[k].tasks : 3);
            if (s) {
                char version[TIME_TEXT_SIZE];
                version_of(&w, version);
                bool scaling = k == 1 || k == 2;
                assert_true(scaling || world_live(&w, version) == world_live(&w, NULL));
            }
            world_done(&w);
        }
}

static void test_killed_while_it_goes_on(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct world w;
        world_init(&w, seed);
        create(&w, ",\"instances\":4");
        char body[64];
        for (int round = 0; round < 30; round++) {
            switch (rng_below(&w.rng, 6)) {
            case 0:
                snprintf(body, sizeof(body), "{\"cmd\":\"run %llu\"}",
                    (unsigned long long)rng_below(&w.rng, 100));
                world_request(&w, HTTP_PUT, "/v2/apps//a?force=true", body, NULL);
                break;
            case 1:
                snprintf(body, sizeof(body), "{\"instances\":%llu}",
                    (unsigned long long)rng_below(&w.rng, 7));
                world_request(&w, HTTP_PUT, "/v2/apps//a?force=true", body, NULL);
                break;
            case 2:
                world_step_task(&w, true);
                break;
            case 3:
                world_offer(&w);
                break;
            default:
                world_step_task(&w, false);
                break;
            }
            w.now_us += (int64_t)rng_below(&w.rng, 3 * USEC_PER_SEC);
            core_tick(w.core, w.now_us);
            world_pump(&w, rng_below(&w.rng, 3) == 0 ? (ssize_t)rng_below(&w.rng, 12) : -1);
        }
        world_settle(&w);
        world_reconcile(&w);
        world_settle(&w);
        w.now_us += 400 * USEC_PER_SEC;
        world_settle(&w);
        const struct app *a = core_spec(w.core, "/a")->app;
        if ((int32_t)world_live(&w, NULL) != a->instances)
            fail_msg("seed %llu: %zu tasks, %d wanted", (unsigned long long)seed,
                world_live(&w, NULL), a->instances);
        assert_int_equal(world_running(&w), world_live(&w, NULL));
        world_done(&w);
    }
}

static void test_upgrade_stays_within_its_limits(void **state)
{
    static const double shares[] = {0, 0.25, 0.5, 0.75, 1};
    for (int32_t n = 1; n <= 6; n++)
        for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
            for (size_t k = 0; k < ARRAY_SIZE(shares); k++) {
                struct world w;
                char more[256];
                world_init(&w, (uint64_t)n);
                snprintf(more, sizeof(more),
                    ",\"instances\":%d,\"upgradeStrategy\":{\"minimumHealthCapacity\":%g,"
                    "\"maximumOverCapacity\":%g}",
                    n, shares[i], shares[k]);
                create(&w, more);
                size_t least = (size_t)ceil(n * shares[i]);
                size_t most = (size_t)floor(n * (1 + shares[k]));
                most += most == least; /* else the first step could not be made */
                world_request(&w, HTTP_PUT, "/v2/apps//a", "{\"cmd\":\"run 1\"}", NULL);
                world_pump(&w, -1);
                for (int step = 0; step < 500 && map_size(&w.core->deployments); step++) {
                    if (rng_below(&w.rng, 2))
                        world_offer(&w);
                    else
                        world_step_task(&w, false);
                    w.now_us += USEC_PER_SEC / 2;
                    core_tick(w.core, w.now_us);
                    world_pump(&w, -1);
                    assert_true(world_running(&w) >= least);
                    assert_true(world_live(&w, NULL) <= most);
                }
                assert_int_equal(map_size(&w.core->deployments), 0);
                char version[TIME_TEXT_SIZE];
                version_of(&w, version);
                assert_int_equal(world_live(&w, version), n);
                world_done(&w);
            }
}

static void test_upgrade_arithmetic(void **state)
{
    static const struct {
        int32_t target, total, healthy;
        double min, over;
        int32_t least, most, now;
    } rows[] = {
        {5, 5, 5, 1, 1, 5, 10, 0},
        {5, 5, 5, 1, 0, 5, 6, 0}, /* one more, else stuck */
        {5, 5, 5, 0, 0, 0, 5, 5},
        {5, 5, 5, 0.5, 0, 3, 5, 2},
        {3, 3, 3, 0.67, 0.34, 3, 4, 0},
        {10, 10, 10, 0.3, 0.3, 3, 13, 7},
        {2, 5, 5, 1, 1, 2, 4, 3}, /* fewer wanted than there are */
        {5, 5, 0, 1, 0, 5, 5, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct upgrade_input in = {
            rows[i].target, rows[i].total, rows[i].healthy, rows[i].min, rows[i].over};
        struct upgrade_limits l = upgrade_limits(&in);
        assert_int_equal(l.min_healthy, rows[i].least);
        assert_int_equal(l.max_capacity, rows[i].most);
        assert_int_equal(l.kill_now, rows[i].now);
    }
    assert_int_equal(upgrade_startable(5, 0, 5, 6), 1);
    assert_int_equal(upgrade_startable(5, 4, 0, 10), 1);
    assert_int_equal(upgrade_startable(5, 5, 0, 10), 0);
    assert_int_equal(upgrade_startable(5, 0, 9, 6), 0);
}

static void test_backoff_grows_and_ends(void **state)
{
    struct world w;
    world_init(&w, 3);
    create(&w, ",\"maxLaunchDelaySeconds\":3,\"backoffFactor\":2");
    struct spec *s = core_spec(w.core, "/a");
    static const int64_t expected[] = {1, 2, 3, 3};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_true(world_step_task(&w, true));
        world_pump(&w, -1);
        assert_int_equal(s->delay_us, expected[i] * USEC_PER_SEC);
        assert_true(list_empty(&s->ready)); /* not offered anything meanwhile */
        w.now_us += expected[i] * USEC_PER_SEC;
        core_tick(w.core, w.now_us);
        assert_false(list_empty(&s->ready));
        world_pump(&w, -1);
        world_offer(&w);
        world_pump(&w, -1);
        world_step_task(&w, false);
        world_pump(&w, -1);
    }
    w.now_us += 60 * USEC_PER_SEC;
    world_step_task(&w, true);
    assert_int_equal(s->delay_us, USEC_PER_SEC); /* long enough ago: from the start */
    core_reset_delay(w.core, s, w.now_us);
    assert_int_equal(s->delay_us, 0);
    world_done(&w);
}

static void test_unreachable(void **state)
{
    struct world w;
    world_init(&w, 4);
    create(&w, ",\"unreachableStrategy\":{\"inactiveAfterSeconds\":10,"
               "\"expungeAfterSeconds\":100}");
    struct spec *s = core_spec(w.core, "/a");
    size_t pos = 0;
    struct instance *i = map_next(&s->instances, &pos)->value;
    char *task = xstrdup(i->task_id);
    struct core_status st = {.task_id = task, .state = "TASK_UNREACHABLE", .healthy = -1};
    core_status(w.core, &st, w.now_us);
    assert_int_equal(i->condition, CONDITION_UNREACHABLE);
    assert_int_equal(map_size(&s->instances), 1);
    w.now_us += 11 * USEC_PER_SEC;
    core_status(w.core, &st, w.now_us);
    assert_int_equal(i->condition, CONDITION_UNREACHABLE_INACTIVE);
    assert_int_equal(map_size(&s->instances), 2); /* its replacement */
    world_pump(&w, -1);
    world_settle(&w);
    st.state = "TASK_RUNNING"; /* back: the surplus goes, the youngest first */
    core_status(w.core, &st, w.now_us);
    world_pump(&w, -1);
    world_settle(&w);
    assert_int_equal(world_live(&w, NULL), 1);
    assert_int_equal(map_size(&s->instances), 1);
    free(task);
    world_done(&w);
}

static void test_unknown_task_is_killed(void **state)
{
    struct world w;
    world_init(&w, 5);
    struct core_status st = {.task_id = "x.instance-9c1a2f44-f370-11eb-8d2b-0242ac120003._app.1",
        .state = "TASK_RUNNING",
        .agent_id = "S0",
        .uuid = "AAAAAAAAAAAAAAAAAAAAAA==",
        .healthy = -1};
    core_status(w.core, &st, w.now_us);
    bool killed = false, acknowledged = false;
    VEC_FOREACH (o, &w.core->out) {
        killed = killed || (o->type == OUT_CALL && strstr(o->text, "\"KILL\""));
        acknowledged = acknowledged || (o->type == OUT_CALL && strstr(o->text, "ACKNOWLEDGE"));
    }
    assert_true(killed && acknowledged);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_costs_nothing),
        cmocka_unit_test(test_launch_is_stored_before_it_is_accepted),
        cmocka_unit_test(test_killed_after_every_item),
        cmocka_unit_test(test_killed_while_it_goes_on),
        cmocka_unit_test(test_upgrade_stays_within_its_limits),
        cmocka_unit_test(test_upgrade_arithmetic),
        cmocka_unit_test(test_backoff_grows_and_ends),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_unknown_task_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
