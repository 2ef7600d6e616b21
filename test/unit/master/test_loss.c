#include "harness.h"

#include "base/clock.h"

/* Agents that do not answer, those that come back, and who may register at all. */

static struct master_counts counts(struct harness *h)
{
    struct master_counts c;
    master_core_counts(h->core, &c);
    return c;
}

static struct harness *with_defaults(void (*change)(struct master_config *c))
{
    struct master_config c;
    master_config_defaults(&c);
    if (change)
        change(&c);
    return harness_new(&c);
}

static void pong(struct harness *h, uint64_t link)
{
    harness_agent_record(h, link, "{\"pong\":{\"sequence\":1}}");
}

/* ---- silence ---- */

/* Whenever the last answer came, the agent is given up between 8 and 10 seconds later, and its
 * lease is shorter than that. */
static void test_loss_is_seen_within_ten_seconds(void **state)
{
    static const int64_t answered_us[] = {0, 1000, SECOND, 2 * SECOND - 1};
    for (size_t i = 0; i < ARRAY_SIZE(answered_us); i++) {
        struct harness *h = with_defaults(NULL);
        harness_agent_record(h, 1, "{\"hello\":{\"major\":1}}");
        harness_agent_record(h, 1,
            "{\"register\":{\"agent_info\":{\"hostname\":\"a\",\"resources\":" RES(
                "4", "1000") "},\"version\":\"1.0.0\"}}");
        const json_t *r = at(take(h, 1, "registered"), "registered");
        double lease = num_at(r, "lease_us"), silence = num_at(r, "ping_timeout_us");
        assert_true(silence <= 8e6 && lease <= 7e6 && lease > 4e6);
        harness_pass(h, answered_us[i]);
        pong(h, 1);
        harness_pass(h, (int64_t)silence - 1);
        assert_int_equal(counts(h).agents_connected, 1);
        harness_pass(h, 10 * SECOND - (int64_t)silence + 1);
        assert_int_equal(counts(h).agents_unreachable, 1);
        harness_free(h);
    }
}

/* A ping with a new sequence is the proof that the one before was answered. */
static void test_pings_wait_for_answers(void **state)
{
    struct harness *h = with_defaults(NULL);
    harness_register(h, 1, NULL, "a1", NULL);
    double first = num_at(take(h, 1, "ping"), "ping.sequence");
    harness_pass(h, 5 * SECOND);
    assert_false(pending(h, 1, "ping"));
    pong(h, 1);
    harness_pass(h, 2 * SECOND);
    assert_true(num_at(take(h, 1, "ping"), "ping.sequence") > first);
    harness_free(h);
}

static void slow_removals(struct master_config *c)
{
    c->agent_removal_interval_us = 60 * SECOND;
}

static void test_removals_are_limited(void **state)
{
    struct harness *h = with_defaults(slow_removals);
    for (uint64_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "a%d", (int)i);
        harness_register(h, 1 + i, NULL, name, NULL);
    }
    harness_pass(h, 11 * SECOND);
    assert_int_equal(counts(h).agents_unreachable, 1);
    assert_int_equal(counts(h).agents_connected, 3);
    /* The second would be next; it answers in time. */
    for (int i = 0; i < 10; i++) {
        pong(h, 2);
        harness_pass(h, 5 * SECOND);
    }
    assert_int_equal(counts(h).agents_unreachable, 1);
    for (int i = 0; i < 10; i++) {
        pong(h, 2);
        harness_pass(h, 5 * SECOND);
    }
    assert_int_equal(counts(h).agents_unreachable, 2);
    assert_false(closed(h, 2));
    assert_true(closed(h, 1) && closed(h, 3) && !closed(h, 4));
    harness_free(h);
}

static void test_waiting_agent_comes_back(void **state)
{
    struct harness *h = with_defaults(slow_removals);
    char agent[64];
    harness_register(h, 1, NULL, "a1", NULL);
    snprintf(agent, sizeof(agent), "%s", harness_register(h, 2, NULL, "a2", NULL));
    harness_pass(h, 15 * SECOND);
    assert_int_equal(counts(h).agents_unreachable, 1);
    assert_string_equal(harness_register(h, 3, agent, "a2", NULL), agent);
    for (int i = 0; i < 20; i++) {
        harness_pass(h, 5 * SECOND);
        pong(h, 3);
    }
    assert_int_equal(counts(h).agents_connected, 1);
    assert_int_equal(counts(h).agents_unreachable, 1);
    harness_free(h);
}

/* ---- after a failover ---- */

static void half_may_be_missing(struct master_config *c)
{
    c->recovery_agent_removal_limit = 50;
}

static void test_too_many_missing_after_a_failover(void **state)
{
    for (int back = 0; back < 2; back++) {
        struct harness *h = with_defaults(half_may_be_missing);
        char agent[64];
        snprintf(agent, sizeof(agent), "%s", harness_register(h, 1, NULL, "a1", NULL));
        harness_register(h, 2, NULL, "a2", NULL);
        harness_failover(h);
        if (back)
            harness_register(h, 3, agent, "a1", NULL);
        for (int i = 0; i < 121; i++) {
            harness_pass(h, 5 * SECOND);
            if (back)
                pong(h, 3);
        }
        if (back) {
            assert_null(master_core_failure(h->core));
            assert_int_equal(counts(h).agents_unreachable, 1);
            assert_int_equal(counts(h).agents_connected, 1);
        } else {
            assert_non_null(master_core_failure(h->core));
            assert_int_equal(counts(h).agents_unreachable, 0);
        }
        harness_free(h);
    }
}

static void test_missing_agents_are_given_up_in_turn(void **state)
{
    struct harness *h = with_defaults(slow_removals);
    for (uint64_t i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "a%d", (int)i);
        harness_register(h, 1 + i, NULL, name, NULL);
    }
    harness_failover(h);
    harness_pass(h, 601 * SECOND);
    assert_int_equal(counts(h).agents_unreachable, 1);
    harness_pass(h, 60 * SECOND);
    assert_int_equal(counts(h).agents_unreachable, 2);
    harness_pass(h, 60 * SECOND);
    assert_int_equal(counts(h).agents_unreachable, 3);
    harness_free(h);
}

/* ---- forgetting ---- */

static void short_memory(struct master_config *c)
{
    c->registry_gc_interval_us = 100 * SECOND;
    c->registry_max_agent_age_us = 1000 * SECOND;
    c->registry_max_agent_count = 2;
}

static size_t stored(struct harness *h, const char *prefix)
{
    size_t n = 0;
    MAP_FOREACH (e, &h->disk)
        n += has_prefix(e->key, prefix);
    return n;
}

static void test_registry_gc(void **state)
{
    struct harness *h = with_defaults(short_memory);
    char first[64];
    for (uint64_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "a%d", (int)i);
        const char *id = harness_register(h, 1 + i, NULL, name, NULL);
        if (i == 0)
            snprintf(first, sizeof(first), "%s", id);
        harness_pass(h, 11 * SECOND);
    }
    assert_int_equal(stored(h, "agents/"), 4);
    harness_failover(h); /* from now on 100 s until the next */
    harness_pass(h, 101 * SECOND);
    assert_int_equal(stored(h, "agents/"), 2);
    assert_int_equal(counts(h).agents_unreachable, 2);
    char key[100];
    snprintf(key, sizeof(key), "agents/%s", first);
    assert_null(map_get(&h->disk, key)); /* the oldest went */
    /* A gone one has its own list. */
    snprintf(first, sizeof(first), "%s", harness_register(h, 20, NULL, "b", NULL));
    assert_int_equal(master_core_mark_agent_gone(h->core, first, h->now, NULL), 0);
    harness_pump(h);
    harness_pass(h, 200 * SECOND);
    assert_int_equal(stored(h, "gone/"), 1);
    harness_pass(h, 1000 * SECOND);
    assert_int_equal(stored(h, "gone/"), 0);
    assert_int_equal(stored(h, "agents/"), 0);
    harness_free(h);
}

/* ---- who may register ---- */

static const char *attempt(struct harness *h, uint64_t link, const char *id, const char *host,
    const char *ip, const char *version)
{
    _cleanup_free_ char *named = id ? xasprintf("\"id\":{\"value\":\"%s\"},", id) : xstrdup("");
    harness_agent_record(h, link, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, link,
        "{\"register\":{\"agent_info\":{%s\"hostname\":\"%s\",\"port\":5051,\"resources\":" RES(
            "4", "1000") "}%s,\"ip\":\"%s\"}}",
        named, host, version, ip);
    return pending(h, link, "registered")
               ? str_at(take(h, link, "registered"), "registered.agent_id.value")
               : NULL;
}

static void test_versions(void **state)
{
    static const struct {
        const char *version;
        bool fits;
    } table[] = {
        {",\"version\":\"1.0.0\"", true},
        {",\"version\":\"1.11\"", true},
        {",\"version\":\"2\"", true},
        {",\"version\":\"1.12.0-dev+abc\"", true},
        {",\"version\":\"0.28.2\"", false},
        {",\"version\":\"1.2.3.4\"", false},
        {",\"version\":\"one\"", false},
        {",\"version\":\"1..0\"", false},
        {",\"version\":\"\"", false},
        {"", false},
    };
    struct harness *h = with_defaults(NULL);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char host[8];
        snprintf(host, sizeof(host), "v%zu", i);
        const char *id = attempt(h, 1 + i, NULL, host, "10.0.0.1", table[i].version);
        if ((id != NULL) != table[i].fits)
            fail_msg("%s: %s", table[i].version, id ? id : "refused");
        if (!id)
            assert_true(closed(h, 1 + i));
        else
            harness_agent_record(h, 1 + i, "{\"unregister\":{}}");
    }
    harness_free(h);
}

static const char V[] = ",\"version\":\"1.0.0\"";

static void test_same_address(void **state)
{
    struct harness *h = with_defaults(NULL);
    char first[64];
    snprintf(first, sizeof(first), "%s", attempt(h, 1, NULL, "a", "10.0.0.1", V));
    /* Still connected: the answer got lost, so it is given again. */
    assert_string_equal(attempt(h, 2, NULL, "a", "10.0.0.1", V), first);
    assert_true(closed(h, 1));
    assert_int_equal(counts(h).agents_connected, 1);
    /* Disconnected: it is another one, and the old is no more. */
    harness_agent_closed(h, 2);
    const char *second = attempt(h, 3, NULL, "a", "10.0.0.1", V);
    assert_string_not_equal(second, first);
    assert_int_equal(counts(h).agents_connected, 1);
    assert_int_equal(counts(h).agents_disconnected, 0);
    assert_int_equal(stored(h, "agents/"), 1);
    harness_free(h);
}

static void test_same_id_elsewhere(void **state)
{
    struct harness *h = with_defaults(NULL);
    char id[64];
    snprintf(id, sizeof(id), "%s", attempt(h, 1, NULL, "a", "10.0.0.1", V));
    assert_null(attempt(h, 2, id, "b", "10.0.0.1", V));
    take(h, 2, "shutdown_agent");
    assert_null(attempt(h, 3, id, "a", "10.0.0.2", V));
    take(h, 3, "shutdown_agent");
    assert_true(closed(h, 2) && closed(h, 3) && !closed(h, 1));
    assert_int_equal(counts(h).agents_connected, 1);
    /* A new master has not seen the old place. */
    harness_failover(h);
    assert_string_equal(attempt(h, 4, id, "a", "10.0.0.2", V), id);
    harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_is_seen_within_ten_seconds),
        cmocka_unit_test(test_pings_wait_for_answers),
        cmocka_unit_test(test_removals_are_limited),
        cmocka_unit_test(test_waiting_agent_comes_back),
        cmocka_unit_test(test_too_many_missing_after_a_failover),
        cmocka_unit_test(test_missing_agents_are_given_up_in_turn),
        cmocka_unit_test(test_registry_gc),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_same_address),
        cmocka_unit_test(test_same_id_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
