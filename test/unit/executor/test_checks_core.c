#include "unit.h"

#include "executor/checks_core.h"

#define S INT64_C(1000000)

static struct check_core health(int64_t grace, unsigned failures)
{
    struct check_config config = {.health = true,
        .delay_us = 2 * S,
        .interval_us = 10 * S,
        .timeout_us = 5 * S,
        .grace_us = grace,
        .consecutive_failures = failures};
    struct check_core c;
    check_core_init(&c, &config);
    assert_true(check_core_next_deadline(&c) == INT64_MAX);
    check_core_start(&c, 0);
    return c;
}

/* Lets the next check start and end at once; returns what follows. */
static unsigned next(struct check_core *c, bool healthy)
{
    int64_t at = check_core_next_deadline(c);
    assert_int_equal(check_core_tick(c, at - 1), 0);
    assert_int_equal(check_core_tick(c, at), CHECK_ACTION_START);
    return check_core_health(c, healthy, at);
}

static void test_timing(void **state)
{
    struct check_core c = health(0, 3);
    assert_int_equal(check_core_next_deadline(&c), 2 * S);
    assert_int_equal(check_core_tick(&c, 2 * S), CHECK_ACTION_START);
    assert_int_equal(check_core_next_deadline(&c), 7 * S); /* timeout */
    /* The interval counts from the end of a check. */
    assert_int_equal(check_core_health(&c, true, 4 * S), CHECK_ACTION_UPDATE);
    assert_int_equal(check_core_next_deadline(&c), 14 * S);
    assert_int_equal(check_core_tick(&c, 14 * S), CHECK_ACTION_START);
    assert_int_equal(check_core_tick(&c, 19 * S), CHECK_ACTION_TIMEOUT);
    assert_int_equal(check_core_tick(&c, 20 * S), 0);
    assert_int_equal(check_core_health(&c, false, 20 * S), CHECK_ACTION_UPDATE);
    assert_int_equal(check_core_health(&c, false, 20 * S), 0); /* stale */
    assert_int_equal(check_core_next_deadline(&c), 30 * S);
}

static void test_health_sequence(void **state)
{
    struct check_core c = health(0, 3);
    assert_int_equal(next(&c, true), CHECK_ACTION_UPDATE); /* first success */
    assert_int_equal(next(&c, true), 0);
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE); /* every failure */
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE);
    assert_int_equal(next(&c, true), CHECK_ACTION_UPDATE); /* recovery */
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE);
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE);
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE | CHECK_ACTION_KILL);
    assert_true(check_core_next_deadline(&c) == INT64_MAX);
}

static void test_grace(void **state)
{
    struct check_core c = health(15 * S, 1);
    assert_int_equal(next(&c, false), 0); /* at 2 s */
    assert_int_equal(next(&c, false), 0); /* at 12 s */
    assert_int_equal(next(&c, false), CHECK_ACTION_UPDATE | CHECK_ACTION_KILL);
    /* A success ends the grace. */
    struct check_core d = health(100 * S, 2);
    assert_int_equal(next(&d, false), 0);
    assert_int_equal(next(&d, true), CHECK_ACTION_UPDATE);
    assert_int_equal(next(&d, false), CHECK_ACTION_UPDATE);
    assert_int_equal(next(&d, false), CHECK_ACTION_UPDATE | CHECK_ACTION_KILL);
}

static void test_value(void **state)
{
    struct check_config config = {.interval_us = 1 * S};
    struct check_core c;
    check_core_init(&c, &config);
    check_core_start(&c, 0);
    static const struct {
        int64_t value;
        unsigned actions;
    } steps[] = {{CHECK_VALUE_NONE, 0}, {0, CHECK_ACTION_UPDATE}, {0, 0}, {1, CHECK_ACTION_UPDATE},
        {CHECK_VALUE_NONE, CHECK_ACTION_UPDATE}, {CHECK_VALUE_NONE, 0}, {1, CHECK_ACTION_UPDATE}};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int64_t at = check_core_next_deadline(&c);
        assert_int_equal(check_core_tick(&c, at), CHECK_ACTION_START);
        assert_true(check_core_next_deadline(&c) == INT64_MAX); /* no timeout */
        assert_int_equal(check_core_value(&c, steps[i].value, at), steps[i].actions);
    }
    /* What could not be tried changes nothing. */
    int64_t at = check_core_next_deadline(&c);
    assert_int_equal(check_core_tick(&c, at), CHECK_ACTION_START);
    check_core_transient(&c, at);
    assert_int_equal(check_core_next_deadline(&c), at + S);
    check_core_stop(&c);
    assert_int_equal(check_core_tick(&c, at + 100 * S), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timing),
        cmocka_unit_test(test_health_sequence),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
