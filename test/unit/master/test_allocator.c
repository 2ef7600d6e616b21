#include "harness.h"

#include <errno.h>

#include "base/rng.h"
#include "master/state.h"
#include "wire/codec.h"

/* Weights, quotas, domains, capabilities: who gets what. */

#define MULTI(roles, more)                                                                         \
    ",\"roles\":[" roles "],\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":"                \
    "\"RESERVATION_REFINEMENT\"}" more "]"

static const Mesos__V1__Master__Call__UpdateQuota *parse_quota(
    struct arena *arena, const char *configs)
{
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    char *text = arena_printf(arena, "{\"quota_configs\":%s}", configs);
    if (wire_parse_json(&mesos__v1__master__call__update_quota__descriptor, arena, text,
            strlen(text), &m, &err) < 0)
        fail_msg("%s in %s", err.msg, configs);
    return (const Mesos__V1__Master__Call__UpdateQuota *)m;
}

/* 0, or the check's error. */
static int set_quota(struct harness *h, const char *configs, bool force, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const Mesos__V1__Master__Call__UpdateQuota *u = parse_quota(&arena, configs);
    int r = quota_check(h->core, u->quota_configs, u->n_quota_configs, force, err);
    if (r < 0)
        return r;
    master_core_update_quota(h->core, u->quota_configs, u->n_quota_configs, h->now);
    harness_pump(h);
    return 0;
}

static int set_weight(struct harness *h, const char *role, double weight)
{
    Mesos__V1__WeightInfo info = MESOS__V1__WEIGHT_INFO__INIT, *list = &info;
    info.role = (char *)(uintptr_t)role;
    info.has_weight = true;
    info.weight = weight;
    int r = weights_check(h->core, &list, 1, NULL);
    if (r == 0)
        master_core_update_weights(h->core, &list, 1, h->now);
    harness_pump(h);
    return r;
}

#define QUOTA(role, guarantee, limit)                                                              \
    "{\"role\":\"" role "\",\"guarantees\":{" guarantee "},\"limits\":{" limit "}}"
#define CPUS(n) "\"cpus\":{\"value\":" n "}"

static void add_agents(struct harness *h, uint64_t first, unsigned n)
{
    char name[16];
    for (uint64_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "a%d", (int)(first + i));
        harness_agent(h, 100 + first + i, name, RES("4", "1000"), NULL);
    }
}

/* Sum of a scalar over the offers a stream has not looked at yet. */
static double offered(struct harness *h, uint64_t stream, const char *name)
{
    double sum = 0;
    while (pending(h, stream, "OFFERS")) {
        const json_t *offers = at(take(h, stream, "OFFERS"), "offers.offers"), *o, *r;
        size_t i, k;
        json_array_foreach((json_t *)(uintptr_t)offers, i, o) json_array_foreach(
            (json_t *)(uintptr_t)at(o, "resources"), k, r) if (streq(str_at(r, "name"), name))
            sum += num_at(r, "scalar.value");
    }
    return sum;
}

static void assert_near(double a, double b)
{
    if (a < b - 1e-6 || a > b + 1e-6)
        fail_msg("%g is not %g", a, b);
}

/* ---- fairness ---- */

static void test_weights(void **state)
{
    static const struct {
        double web, db;
        int want_web, want_db;
    } rows[] = {{1, 1, 20, 20}, {3, 1, 30, 10}, {1, 4, 8, 32}, {0.5, 1.5, 10, 30}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct harness *h = harness_new(NULL);
        assert_int_equal(set_weight(h, "web", rows[i].web), 0);
        assert_int_equal(set_weight(h, "db", rows[i].db), 0);
        harness_subscribe(h, 10, INFO("f1", MULTI("\"web\"", "")));
        harness_subscribe(h, 11, INFO("f2", MULTI("\"db\"", "")));
        add_agents(h, 0, 40);
        harness_pass(h, 2000);
        assert_near(offered(h, 10, "cpus"), 4.0 * rows[i].want_web);
        assert_near(offered(h, 11, "cpus"), 4.0 * rows[i].want_db);
        harness_free(h);
    }
}

static void test_weights_of_nested_roles(void **state)
{
    struct harness *h = harness_new(NULL);
    set_weight(h, "eng/web", 3);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"eng/web\"", "")));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"eng/db\"", "")));
    harness_subscribe(h, 12, INFO("f3", MULTI("\"ops\"", "")));
    add_agents(h, 0, 40);
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 60);
    assert_near(offered(h, 11, "cpus"), 20);
    assert_near(offered(h, 12, "cpus"), 80);
    harness_free(h);
}

static void test_weights_rescind_and_survive(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"web\"", "")));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"db\"", "")));
    add_agents(h, 0, 8);
    harness_pass(h, 2000);
    forget(h);
    assert_int_equal(set_weight(h, "elsewhere", 9), 0);
    assert_false(pending(h, 10, "RESCIND"));
    assert_int_equal(set_weight(h, "web", 3), 0);
    take(h, 10, "RESCIND");
    take(h, 11, "RESCIND");
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 24);
    assert_near(offered(h, 11, "cpus"), 8);
    assert_int_equal(set_weight(h, "web", 0), -EINVAL);
    assert_int_equal(set_weight(h, "web", -1), -EINVAL);
    assert_int_equal(set_weight(h, "we b", 1), -EINVAL);
    harness_failover(h);
    const struct role *role = map_get(&h->core->roles, "web");
    assert_non_null(role);
    assert_int_equal(role->tree.weight, 3000);
    harness_free(h);
}

static void test_weights_of_the_flag(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.weights = "web=3,db=0.5";
    struct harness *h = harness_new(&c);
    assert_int_equal(((struct role *)map_get(&h->core->roles, "web"))->tree.weight, 3000);
    assert_int_equal(((struct role *)map_get(&h->core->roles, "db"))->tree.weight, 500);
    set_weight(h, "web", 2);
    harness_failover(h);
    assert_int_equal(((struct role *)map_get(&h->core->roles, "web"))->tree.weight, 2000);
    harness_free(h);
}

static void test_excluded_names(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.fair_sharing_excluded = "mem";
    struct harness *h = harness_new(&c);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"a\"", "")));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"b\"", "")));
    /* One agent with nearly all memory; by cpus alone it is a tenth. */
    harness_agent(h, 1, "big", RES("1", "100000"), NULL);
    harness_pass(h, 2000);
    char name[16];
    for (uint64_t i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "small%d", (int)i);
        harness_agent(h, 100 + i, name, RES("1", "100"), NULL);
    }
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 5);
    assert_near(offered(h, 11, "cpus"), 5);
    harness_free(h);
}

static void test_reservations_count_for_roles(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.fair_sharing_excluded = "mem";
    struct harness *h = harness_new(&c);
    /* A third of the cluster is reserved to "a", and nobody of "a" wants it. */
    harness_agent(h, 1, "r",
        "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":16},\"role\":\"a\"}]", NULL);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"a/x\"", "")));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"b\"", "")));
    add_agents(h, 0, 8);
    harness_pass(h, 2000);
    double a = offered(h, 10, "cpus"), b = offered(h, 11, "cpus");
    assert_near(a + b, 48);
    /* 16 are a's already: b gets the first 16 of what is free, then they take turns. */
    assert_near(b, 24);
    harness_free(h);
}

static void test_random_orders_follow_the_seed(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.role_sorter_random = c.framework_sorter_random = true;
    double got[2][3];
    for (int run = 0; run < 2; run++) {
        struct harness *h = harness_new(&c);
        master_core_seed(h->core, 7);
        set_weight(h, "web", 5);
        harness_subscribe(h, 10, INFO("f1", MULTI("\"web\"", "")));
        harness_subscribe(h, 11, INFO("f2", MULTI("\"web\"", "")));
        harness_subscribe(h, 12, INFO("f3", MULTI("\"db\"", "")));
        add_agents(h, 0, 300);
        harness_pass(h, 2000);
        for (unsigned i = 0; i < 3; i++)
            got[run][i] = offered(h, 10 + i, "cpus") / 4;
        harness_free(h);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_near(got[0][i], got[1][i]);
    assert_near(got[0][0] + got[0][1] + got[0][2], 300);
    assert_true(got[0][2] > 20 && got[0][2] < 80); /* a sixth */
    assert_true(got[0][0] > 90 && got[0][1] > 90);
}

/* ---- quotas ---- */

static void test_quota_contention(void **state)
{
    static const struct {
        const char *quota, *first, *second; /* roles of the frameworks, in order of subscription */
        double want_first, want_second;     /* of 40 cpus */
    } rows[] = {
        /* the guarantee is served although the other was first and has less */
        {QUOTA("prod", CPUS("32"), ""), "\"dev\"", "\"prod\"", 8, 32},
        {QUOTA("prod", CPUS("32"), CPUS("32")), "\"dev\"", "\"prod\"", 8, 32},
        /* also for a nested role, which is where Mesos serves nobody */
        {QUOTA("prod", CPUS("32"), CPUS("32")), "\"dev\"", "\"prod/web\"", 8, 32},
        /* the limit holds, to the thousandth */
        {QUOTA("prod", "", CPUS("6.5")), "\"dev\"", "\"prod\"", 33.5, 6.5},
        {QUOTA("prod", "", CPUS("6.5")), "\"dev\"", "\"prod/web\"", 33.5, 6.5},
        {QUOTA("prod", "", CPUS("0")), "\"dev\"", "\"prod\"", 40, 0},
        /* two parts of one top-level role share its limit */
        {QUOTA("prod", "", CPUS("10")), "\"prod/a\"", "\"prod/b\"", 4, 6},
        /* nobody of the role is there: it is kept for it */
        {QUOTA("prod", CPUS("30"), ""), "\"dev\"", "\"ops\"", 4, 6},
        /* a guarantee of one name bounds only that name */
        {QUOTA("prod", CPUS("0"), CPUS("40")), "\"dev\"", "\"prod\"", 20, 20},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct harness *h = harness_new(NULL);
        char info[600];
        assert_int_equal(set_quota(h, "[]", false, NULL), 0);
        char configs[300];
        snprintf(configs, sizeof(configs), "[%s]", rows[i].quota);
        assert_int_equal(set_quota(h, configs, true, NULL), 0);
        snprintf(info, sizeof(info), INFO("f1", MULTI("%s", "")), rows[i].first);
        harness_subscribe(h, 10, info);
        snprintf(info, sizeof(info), INFO("f2", MULTI("%s", "")), rows[i].second);
        harness_subscribe(h, 11, info);
        add_agents(h, 0, 10);
        harness_pass(h, 3 * SECOND);
        double first = offered(h, 10, "cpus"), second = offered(h, 11, "cpus");
        if (i == 6 || i == 7) /* who gets the odd agent does not matter, the sum does */
            assert_near(first + second, rows[i].want_first + rows[i].want_second);
        else if (first < rows[i].want_first - 1e-6 || first > rows[i].want_first + 1e-6 ||
                 second < rows[i].want_second - 1e-6 || second > rows[i].want_second + 1e-6)
            fail_msg("row %zu: %g and %g instead of %g and %g", i, first, second,
                rows[i].want_first, rows[i].want_second);
        harness_free(h);
    }
}

static void test_kept_back_comes_when_the_role_does(void **state)
{
    struct harness *h = harness_new(NULL);
    add_agents(h, 0, 10);
    assert_int_equal(set_quota(h, "[" QUOTA("prod", CPUS("30"), "") "]", false, NULL), 0);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_pass(h, 5 * SECOND);
    assert_near(offered(h, 10, "cpus"), 10);
    harness_subscribe(h, 11, INFO("f2", MULTI("\"prod\"", "")));
    harness_pass(h, 2000);
    assert_near(offered(h, 11, "cpus"), 30);
    harness_free(h);
}

static void test_kept_back_comes_when_the_quota_goes(void **state)
{
    struct harness *h = harness_new(NULL);
    add_agents(h, 0, 10);
    assert_int_equal(
        set_quota(
            h, "[" QUOTA("prod", CPUS("30"), "") "," QUOTA("dev", "", CPUS("8")) "]", false, NULL),
        0);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_pass(h, 5 * SECOND);
    assert_near(offered(h, 10, "cpus"), 8);
    /* Both at once. */
    assert_int_equal(set_quota(h, "[{\"role\":\"prod\"},{\"role\":\"dev\"}]", false, NULL), 0);
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 32);
    assert_int_equal(h->core->n_quotas, 0);
    harness_free(h);
}

static void test_limit_room_comes_back(void **state)
{
    struct harness *h = harness_new(NULL);
    add_agents(h, 0, 3);
    assert_int_equal(set_quota(h, "[" QUOTA("dev", "", CPUS("4")) "]", false, NULL), 0);
    const char *f = harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_pass(h, SECOND);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_false(pending(h, 10, "OFFERS"));
    /* Declined for long: another agent takes its place at once. */
    decline(h, 10, f, str_at(o, "id.value"), 3600);
    harness_pass(h, 5000);
    const json_t *next = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_string_not_equal(str_at(next, "agent_id.value"), str_at(o, "agent_id.value"));
    harness_free(h);
}

static void test_update_rescinds(void **state)
{
    struct harness *h = harness_new(NULL);
    add_agents(h, 0, 10);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"prod\"", "")));
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 20);
    assert_near(offered(h, 11, "cpus"), 20);
    /* Beyond the limit: as many of the role's offers as must go. */
    assert_int_equal(
        set_quota(h, "[" QUOTA("dev", "", CPUS("8") ",\"mem\":{\"value\":2000}") "]", false, NULL),
        0);
    unsigned rescinded = 0;
    while (pending(h, 10, "RESCIND")) {
        take(h, 10, "RESCIND");
        rescinded++;
    }
    assert_int_equal(rescinded, 3);
    assert_false(pending(h, 11, "RESCIND"));
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 0);
    assert_near(offered(h, 11, "cpus"), 12);
    /* For the guarantee of a third, others' offers go, and no more than needed. */
    assert_int_equal(set_quota(h, "[" QUOTA("ops", CPUS("4"), "") "]", false, NULL), 0);
    rescinded = 0;
    for (uint64_t s = 10; s < 12; s++)
        while (pending(h, s, "RESCIND")) {
            take(h, s, "RESCIND");
            rescinded++;
        }
    assert_int_equal(rescinded, 1);
    harness_pass(h, 5 * SECOND);
    assert_near(offered(h, 10, "cpus") + offered(h, 11, "cpus"), 0);
    harness_subscribe(h, 12, INFO("f3", MULTI("\"ops\"", "")));
    harness_pass(h, 2000);
    assert_near(offered(h, 12, "cpus"), 4);
    harness_free(h);
}

static void test_refused_updates(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.roles = "dev,prod,prod/a";
    struct harness *h = harness_new(&c);
    add_agents(h, 0, 2);
    const char *f = harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_pass(h, 2000);
    const json_t *o = at(take(h, 10, "OFFERS"), "offers.offers.0");
    assert_int_equal(
        launch(h, 10, f, str_at(o, "id.value"), str_at(o, "agent_id.value"), "t"), 202);
    static const struct {
        const char *configs;
        int status, forced;
        const char *text;
    } rows[] = {
        {"[{\"role\":\"ops\"}]", -EINVAL, -EINVAL, "--roles"},
        {"[{\"role\":\"prod/a\"}]", -EINVAL, -EINVAL, "nested"},
        {"[{\"role\":\"*\"}]", -EINVAL, -EINVAL, "'*'"},
        {"[{\"role\":\"a b\"}]", -EINVAL, -EINVAL, "Invalid role"},
        {"[{\"role\":\"dev\"},{\"role\":\"dev\"}]", -EINVAL, -EINVAL, "twice"},
        {"[" QUOTA("prod", CPUS("2"), CPUS("1")) "]", -EINVAL, -EINVAL, "more than its limit"},
        {"[" QUOTA("prod", CPUS("-1"), "") "]", -EINVAL, -EINVAL, "not negative"},
        {"[" QUOTA("prod", "\"cpus\":{}", "") "]", -EINVAL, -EINVAL, "not negative"},
        {"[" QUOTA("prod", "\"\":{\"value\":1}", "") "]", -EINVAL, -EINVAL, "no name"},
        {"[" QUOTA("prod", CPUS("0.0001"), "") "]", -EINVAL, -EINVAL, "0.001"},
        {"[" QUOTA("dev", "", CPUS("0.5")) "]", -EINVAL, 0, "already consuming"},
        {"[" QUOTA("dev", CPUS("5"), "") "," QUOTA("prod", CPUS("5"), "") "]", -ENOSPC, 0,
            "capacity"},
        {"[" QUOTA("prod", "\"toasters\":{\"value\":1}", "") "]", -ENOSPC, 0, "capacity"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = ERROR_INIT;
        int r = set_quota(h, rows[i].configs, false, &err);
        if (r != rows[i].status || !strstr(err.msg, rows[i].text))
            fail_msg("row %zu: %d %s", i, r, err.msg);
        assert_int_equal(h->core->n_quotas, 0);
        assert_int_equal(set_quota(h, rows[i].configs, true, &err), rows[i].forced);
        if (rows[i].forced == 0)
            set_quota(h, "[{\"role\":\"dev\"},{\"role\":\"prod\"}]", true, NULL);
    }
    assert_null(harness_subscribe(h, 11, INFO("f2", MULTI("\"ops\"", ""))));
    harness_free(h);
}

/* There are few places for names of resources, and a call that is refused takes none. */
static void test_refused_quotas_leave_no_names(void **state)
{
    struct harness *h = harness_new(NULL);
    add_agents(h, 1, 1);
    for (unsigned i = 0; i < 2 * QUANTITIES_MAX; i++) {
        struct error err = ERROR_INIT;
        char config[160];
        snprintf(config, sizeof(config),
            "[{\"role\":\"dev\",\"guarantees\":{\"r%u\":{\"value\":1}},\"limits\":{}}]", i);
        assert_int_equal(set_quota(h, config, false, &err), -ENOSPC);
        assert_non_null(strstr(err.msg, "capacity"));
    }
    assert_int_equal(
        set_quota(h, "[" QUOTA("dev", "", "\"toasters\":{\"value\":1}") "]", false, NULL), 0);
    harness_free(h);
}

static void test_quota_survives_and_pauses(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    c.allocator_recovery_timeout_us = INT64_C(4) * SECOND; /* before pings are missed */
    struct harness *h = harness_new(&c);
    char ids[10][64];
    char name[16];
    for (uint64_t i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "a%d", (int)i);
        snprintf(
            ids[i], sizeof(ids[i]), "%s", harness_agent(h, 100 + i, name, RES("4", "1000"), NULL));
    }
    assert_int_equal(
        set_quota(h, "[" QUOTA("prod", CPUS("4"), "\"mem\":{\"value\":50}") "]", false, NULL), 0);
    for (int timeout = 0; timeout < 2; timeout++) {
        harness_failover(h);
        const struct role *role = map_get(&h->core->roles, "prod");
        assert_int_equal(role->quota->guarantee[0], 4000);
        harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
        char extra[300];
        for (uint64_t i = 0; i < (timeout ? 7U : 8U); i++) {
            harness_pass(h, SECOND / 10);
            assert_false(pending(h, 10, "OFFERS")); /* fewer than eight are back */
            assert_true(h->core->paused);
            snprintf(extra, sizeof(extra), ",\"id\":{\"value\":\"%s\"}},\"version\":\"1\"", ids[i]);
            snprintf(name, sizeof(name), "a%d", (int)i);
            harness_agent(h, 200 + i, name, RES("4", "1000"), extra);
        }
        harness_pass(h, 2000);
        if (timeout) {
            assert_false(pending(h, 10, "OFFERS"));
            harness_pass(h, 3 * SECOND + SECOND / 2);
        }
        take(h, 10, "OFFERS");
    }
    /* Without quotas nobody waits. */
    set_quota(h, "[{\"role\":\"prod\"}]", true, NULL);
    harness_failover(h);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_agent(h, 300, "new", RES("4", "1000"), NULL);
    harness_pass(h, 2000);
    take(h, 10, "OFFERS");
    harness_free(h);
}

static void test_mount_disks_are_whole(void **state)
{
    static const char resources[] =
        "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4}},"
        "{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1000}},"
        "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":300},\"disk\":{\"source\":{"
        "\"type\":\"MOUNT\",\"mount\":{\"root\":\"/m1\"}}}},"
        "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1000}}]";
    static const struct {
        const char *limit;
        double disk;
    } rows[] = {{"299", 299}, {"300", 300}, {"500", 500}, {"100", 100}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct harness *h = harness_new(NULL);
        char configs[200];
        snprintf(configs, sizeof(configs),
            "[{\"role\":\"dev\",\"limits\":{\"disk\":{\"value\":%s}}}]", rows[i].limit);
        assert_int_equal(set_quota(h, configs, true, NULL), 0);
        harness_agent(h, 1, "a", resources, NULL);
        harness_subscribe(h, 10, INFO("f", MULTI("\"dev\"", "")));
        harness_pass(h, 2000);
        const json_t *r, *list = at(take(h, 10, "OFFERS"), "offers.offers.0.resources");
        double disk = 0;
        size_t k;
        json_array_foreach((json_t *)(uintptr_t)list, k, r)
        {
            if (!streq(str_at(r, "name"), "disk"))
                continue;
            disk += num_at(r, "scalar.value");
            if (has_at(r, "disk.source"))
                assert_near(num_at(r, "scalar.value"), 300);
        }
        assert_near(disk, rows[i].disk);
        harness_free(h);
    }
}

/* ---- what agents and frameworks must be able to ---- */

static void test_agent_capabilities(void **state)
{
    struct harness *h = harness_new(NULL);
    /* An agent of before roles were many: no capabilities. */
    harness_agent_record(h, 1, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 1,
        "{\"register\":{\"agent_info\":{\"hostname\":\"old\",\"resources\":" RES(
            "4", "1000") "},\"version\":\"1\"}}");
    harness_agent_record(h, 2, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, 2,
        "{\"register\":{\"capabilities\":[{\"type\":\"MULTI_ROLE\"}],\"agent_info\":{\"hostname\":"
        "\"flat\",\"resources\":" RES("4", "1000") "},\"version\":\"1\"}}");
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev/web\"", "")));
    harness_pass(h, 2000);
    assert_false(pending(h, 10, "OFFERS"));
    harness_subscribe(h, 11, INFO("f2", MULTI("\"dev\"", "")));
    harness_pass(h, 2000);
    const json_t *offers = at(take(h, 11, "OFFERS"), "offers.offers");
    assert_int_equal(json_array_size(offers), 1);
    assert_string_equal(str_at(offers, "0.hostname"), "flat");
    harness_subscribe(h, 12, INFO("f3", ",\"role\":\"dev\""));
    harness_pass(h, 2000);
    offers = at(take(h, 12, "OFFERS"), "offers.offers");
    assert_string_equal(str_at(offers, "0.hostname"), "old");
    harness_free(h);
}

static void test_gpus(void **state)
{
    static const char gpu[] = "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4}},"
                              "{\"name\":\"gpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1}}]";
    for (int filter = 0; filter < 2; filter++) {
        struct master_config c;
        master_config_defaults(&c);
        c.filter_gpu_resources = filter;
        struct harness *h = harness_new(&c);
        harness_agent(h, 1, "a", gpu, NULL);
        harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
        harness_pass(h, 2000);
        assert_int_equal(pending(h, 10, "OFFERS"), !filter);
        harness_subscribe(h, 11, INFO("f2", MULTI("\"dev\"", ",{\"type\":\"GPU_RESOURCES\"}")));
        harness_pass(h, 2000);
        assert_int_equal(pending(h, 11, "OFFERS"), filter);
        harness_free(h);
    }
}

#define DOMAIN(region)                                                                             \
    "{\"fault_domain\":{\"region\":{\"name\":\"" region "\"},\"zone\":{\"name\":\"z\"}}}"

static void test_fault_domains(void **state)
{
    struct master_config c;
    master_config_defaults(&c);
    struct harness *h = harness_new(&c);
    assert_null(harness_agent(
        h, 1, "a", RES("4", "1000"), ",\"domain\":" DOMAIN("us") "},\"version\":\"1\""));
    harness_free(h);
    c.domain = DOMAIN("us");
    h = harness_new(&c);
    harness_agent(
        h, 1, "near", RES("4", "1000"), ",\"domain\":" DOMAIN("us") "},\"version\":\"1\"");
    harness_agent(h, 2, "far", RES("4", "1000"), ",\"domain\":" DOMAIN("eu") "},\"version\":\"1\"");
    harness_agent(h, 3, "none", RES("4", "1000"), NULL);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "")));
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "cpus"), 8);
    harness_subscribe(h, 11, INFO("f2", MULTI("\"dev\"", ",{\"type\":\"REGION_AWARE\"}")));
    harness_pass(h, 2000);
    const json_t *offers = at(take(h, 11, "OFFERS"), "offers.offers");
    assert_int_equal(json_array_size(offers), 1);
    assert_string_equal(str_at(offers, "0.hostname"), "far");
    harness_free(h);
    c.require_agent_domain = true;
    h = harness_new(&c);
    assert_null(harness_agent(h, 1, "none", RES("4", "1000"), NULL));
    harness_free(h);
}

static void test_whitelist(void **state)
{
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a", RES("4", "1000"), NULL);
    harness_agent(h, 2, "b", RES("4", "1000"), NULL);
    static const char *const only_b[] = {"b"};
    master_core_whitelist(h->core, only_b, 1, h->now);
    harness_subscribe(h, 10, INFO("f1", ""));
    harness_pass(h, 2000);
    const json_t *offers = at(take(h, 10, "OFFERS"), "offers.offers");
    assert_int_equal(json_array_size(offers), 1);
    assert_string_equal(str_at(offers, "0.hostname"), "b");
    master_core_whitelist(h->core, NULL, 0, h->now);
    harness_pass(h, 2000);
    offers = at(take(h, 10, "OFFERS"), "offers.offers");
    assert_string_equal(str_at(offers, "0.hostname"), "a");
    harness_free(h);
}

static void test_minimum(void **state)
{
    static const struct {
        const char *flag, *role; /* minimum of the framework's role, or NULL */
        const char *resources;
        bool offered;
    } rows[] = {
        {"cpus:0.01|mem:32", NULL, RES("0.01", "1"), true},
        {"cpus:0.01|mem:32", NULL, RES("0.009", "32"), true},
        {"cpus:0.01|mem:32", NULL, RES("0.009", "31"), false},
        {"cpus:1;mem:100", NULL, RES("2", "99"), false},
        {"cpus:1;mem:100", NULL, RES("2", "100"), true},
        {"", NULL, RES("0.001", "0.001"), true},
        {"cpus:0.01|mem:32", "\"cpus\":{\"value\":3}", RES("2", "1000"), false},
        {"cpus:0.01|mem:32", "\"cpus\":{\"value\":3}", RES("3", "1"), true},
        {"cpus:50", "\"cpus\":{\"value\":3}", RES("3", "1"), true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct master_config c;
        master_config_defaults(&c);
        c.min_allocatable_resources = rows[i].flag;
        struct harness *h = harness_new(&c);
        harness_agent(h, 1, "a", rows[i].resources, NULL);
        char info[600];
        if (rows[i].role)
            snprintf(info, sizeof(info),
                INFO("f", ",\"offer_filters\":{\"*\":{\"min_allocatable_resources\":{"
                          "\"quantities\":[{\"quantities\":{%s}}]}}}"),
                rows[i].role);
        else
            snprintf(info, sizeof(info), "%s", INFO("f", ""));
        assert_non_null(harness_subscribe(h, 10, info));
        harness_pass(h, 2000);
        if (pending(h, 10, "OFFERS") != rows[i].offered)
            fail_msg("row %zu", i);
        harness_free(h);
    }
    struct master_config c;
    master_config_defaults(&c);
    assert_int_equal(master_config_check(&c, NULL), 0);
    c.min_allocatable_resources = "ports:[1-2]";
    assert_int_equal(master_config_check(&c, NULL), -EINVAL);
    c.min_allocatable_resources = "cpus:1||mem:2";
    assert_int_equal(master_config_check(&c, NULL), -EINVAL);
    master_config_defaults(&c);
    c.weights = "a=0";
    assert_int_equal(master_config_check(&c, NULL), -EINVAL);
    c.weights = NULL;
    c.domain = "{}";
    assert_int_equal(master_config_check(&c, NULL), -EINVAL);
}

static void test_shared_volumes(void **state)
{
    static const char volume[] =
        "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":4}},"
        "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":100},\"reservations\":[{"
        "\"type\":\"STATIC\",\"role\":\"dev\"}],\"shared\":{},\"disk\":{\"persistence\":{\"id\":"
        "\"v\"},\"volume\":{\"container_path\":\"p\",\"mode\":\"RW\"}}}]";
#define ANY_DISK                                                                                   \
    ",\"offer_filters\":{\"dev\":{\"min_allocatable_resources\":{\"quantities\":[{\"quantities\":" \
    "{"                                                                                            \
    "\"disk\":{\"value\":1}}}]}}}"
    struct harness *h = harness_new(NULL);
    harness_agent(h, 1, "a", volume, NULL);
    harness_subscribe(h, 10, INFO("f1", MULTI("\"dev\"", "") ANY_DISK));
    harness_pass(h, 2000);
    assert_near(offered(h, 10, "disk"), 0); /* cannot share, and so nothing it asked for */
    static const char able[] = INFO(
        "f2", MULTI("\"dev\"", ",{\"type\":\"SHARED_RESOURCES\"}") ANY_DISK);
    harness_subscribe(h, 11, able);
    harness_pass(h, 2000);
    assert_near(offered(h, 11, "disk"), 100);
    /* Another run, another user of the same volume; and the sums count it once. */
    harness_subscribe(h, 12, able);
    harness_pass(h, 2000);
    assert_near(offered(h, 12, "disk") + offered(h, 11, "disk"), 100);
    const struct role *dev = map_get(&h->core->roles, "dev");
    int disk = quantity_index(h->core, "disk");
    assert_int_equal(dev->reserved[disk], 100000);
    assert_int_equal(dev->tree.quantities[disk], 100000);
    harness_free(h);
}

/* ---- any cluster ---- */

struct property {
    struct harness *h;
    struct rng rng;
    char frameworks[6][80];
    bool connected[6];
    uint64_t streams[6];
    VEC(json_t *) offers;
};

static const char *const TOPS[] = {"a", "b", "c"};
static const char *const ROLES[] = {"a", "a/x", "b", "b/y", "c", "*"};

static void check_limits(struct property *p)
{
    const struct master_core *core = p->h->core;
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        int64_t sums[QUANTITIES_MAX] = {0};
        if (role->top != role)
            continue;
        MAP_FOREACH (ae, &core->agents) {
            const struct agent *a = ae->value;
            const struct resources *both[] = {&a->used, &a->offered};
            for (size_t k = 0; k < 2; k++)
                RESOURCES_FOREACH(r, both[k])
                {
                    const char *have = r->kind->allocation_role;
                    size_t n = strlen(role->name);
                    if (r->kind->type != RESOURCE_SCALAR || r->kind->n_reservations ||
                        strncmp(have, role->name, n) != 0 || (have[n] && have[n] != '/'))
                        continue;
                    sums[quantity_index(p->h->core, r->kind->name)] += r->milli;
                }
        }
        for (size_t i = 0; i < core->n_quantities; i++) {
            assert_int_equal(role->unreserved[i], sums[i]);
            assert_true(sums[i] >= 0);
            if (role->quota && sums[i] > role->quota->limit[i])
                fail_msg("role %s has %lld of %s, limit %lld", role->name, (long long)sums[i],
                    core->quantity_names[i], (long long)role->quota->limit[i]);
        }
    }
}

static void take_offers(struct property *p)
{
    for (unsigned i = 0; i < 6; i++) {
        while (p->connected[i] && pending(p->h, p->streams[i], "OFFERS")) {
            const json_t *o, *list = at(take(p->h, p->streams[i], "OFFERS"), "offers.offers");
            size_t k;
            json_array_foreach((json_t *)(uintptr_t)list, k, o)
                vec_push(&p->offers, json_incref((json_t *)(uintptr_t)o));
        }
    }
}

static void answer_one(struct property *p, bool allow_launch, unsigned *tasks)
{
    if (!p->offers.n)
        return;
    size_t at_offer = rng_below(&p->rng, p->offers.n);
    json_t *o = p->offers.items[at_offer];
    vec_remove(&p->offers, at_offer);
    for (unsigned i = 0; i < 6; i++) {
        if (!p->connected[i] || !streq(str_at(o, "framework_id.value"), p->frameworks[i]))
            continue;
        if (allow_launch && rng_below(&p->rng, 2)) {
            char task[32];
            snprintf(task, sizeof(task), "t%u", (*tasks)++);
            launch(p->h, p->streams[i], p->frameworks[i], str_at(o, "id.value"),
                str_at(o, "agent_id.value"), task);
        } else {
            decline(p->h, p->streams[i], p->frameworks[i], str_at(o, "id.value"),
                (double)rng_below(&p->rng, 4));
        }
    }
    json_decref(o);
}

static void random_quota(struct property *p)
{
    char configs[300];
    const char *role = TOPS[rng_below(&p->rng, 3)];
    unsigned guarantee = (unsigned)rng_below(&p->rng, 8),
             limit = guarantee + (unsigned)rng_below(&p->rng, 8);
    switch (rng_below(&p->rng, 4)) {
    case 0:
        snprintf(configs, sizeof(configs), "[{\"role\":\"%s\"}]", role);
        break;
    case 1:
        snprintf(configs, sizeof(configs),
            "[{\"role\":\"%s\",\"guarantees\":{\"cpus\":{\"value\":%u}}}]", role, guarantee);
        break;
    default:
        snprintf(configs, sizeof(configs),
            "[{\"role\":\"%s\",\"guarantees\":{\"cpus\":{\"value\":%u.5}},\"limits\":{\"cpus\":{"
            "\"value\":%u.75},\"mem\":{\"value\":%u}}}]",
            role, guarantee, limit, 100 * limit + 100);
        break;
    }
    (void)set_quota(p->h, configs, false, NULL);
}

/* Whatever happens, no role passes its limit; and when everybody takes what is offered, each
 * guarantee is met as far as there is room. */
static void run_property(uint64_t seed)
{
    struct property p = {.h = harness_new(NULL)};
    rng_init(&p.rng, seed);
    unsigned tasks = 0, agents = 0, streams = 10;
    for (unsigned step = 0; step < 120; step++) {
        unsigned i = (unsigned)rng_below(&p.rng, 6);
        switch (rng_below(&p.rng, 8)) {
        case 0:
            if (agents < 8)
                add_agents(p.h, agents++, 1);
            break;
        case 1:
            if (!p.connected[i]) {
                char info[600], id[120] = "";
                if (p.frameworks[i][0])
                    snprintf(id, sizeof(id), ",\"id\":{\"value\":\"%s\"}", p.frameworks[i]);
                snprintf(info, sizeof(info), INFO("f", MULTI("\"%s\"", "") "%s"), ROLES[i], id);
                p.streams[i] = ++streams;
                snprintf(p.frameworks[i], sizeof(p.frameworks[i]), "%s",
                    harness_subscribe(p.h, p.streams[i], info));
                p.connected[i] = true;
            }
            break;
        case 2:
            if (p.connected[i] && rng_below(&p.rng, 4) == 0) {
                harness_closed(p.h, p.streams[i]);
                p.connected[i] = false;
            }
            break;
        case 3:
            random_quota(&p);
            break;
        case 4:
            harness_pass(p.h, (int64_t)rng_below(&p.rng, 3 * SECOND));
            break;
        default:
            answer_one(&p, true, &tasks);
            break;
        }
        harness_pass(p.h, 1500);
        take_offers(&p);
        check_limits(&p);
    }
    /* Everybody is there and refuses nothing. */
    for (unsigned i = 0; i < 6; i++)
        if (p.connected[i])
            harness_call(p.h, p.streams[i],
                "{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"%s\"}}", p.frameworks[i]);
    harness_pass(p.h, 3 * SECOND);
    check_limits(&p);
    const struct master_core *core = p.h->core;
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        /* Less than the smallest offer may be left. */
        if (role->quota && role->n_active && role_unmet(role, 0) >= 10)
            MAP_FOREACH (ae, &core->agents) {
                const struct agent *a = ae->value;
                if (resources_scalar(&a->available, "cpus") >= 10)
                    fail_msg("seed %llu: role %s lacks %lld, agent %s has %lld",
                        (unsigned long long)seed, role->name, (long long)role_unmet(role, 0),
                        a->id->text, (long long)resources_scalar(&a->available, "cpus"));
            }
    }
    VEC_FOREACH (o, &p.offers)
        json_decref(*o);
    vec_done(&p.offers);
    harness_free(p.h);
}

static void test_any_cluster(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_property(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_weights_of_nested_roles),
        cmocka_unit_test(test_weights_rescind_and_survive),
        cmocka_unit_test(test_weights_of_the_flag),
        cmocka_unit_test(test_excluded_names),
        cmocka_unit_test(test_reservations_count_for_roles),
        cmocka_unit_test(test_random_orders_follow_the_seed),
        cmocka_unit_test(test_quota_contention),
        cmocka_unit_test(test_kept_back_comes_when_the_role_does),
        cmocka_unit_test(test_kept_back_comes_when_the_quota_goes),
        cmocka_unit_test(test_limit_room_comes_back),
        cmocka_unit_test(test_update_rescinds),
        cmocka_unit_test(test_refused_updates),
        cmocka_unit_test(test_refused_quotas_leave_no_names),
        cmocka_unit_test(test_quota_survives_and_pauses),
        cmocka_unit_test(test_mount_disks_are_whole),
        cmocka_unit_test(test_agent_capabilities),
        cmocka_unit_test(test_gpus),
        cmocka_unit_test(test_fault_domains),
        cmocka_unit_test(test_whitelist),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_shared_volumes),
        cmocka_unit_test(test_any_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
