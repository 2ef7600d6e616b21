#include "unit.h"

#include "executor/kill_core.h"

#define S INT64_C(1000000)

static void test_term_then_kill(void **state)
{
    struct kill_core k = {0};
    assert_true(kill_core_next_deadline(&k) == INT64_MAX);
    assert_int_equal(kill_core_tick(&k, 100 * S), KILL_ACTION_NONE);
    assert_int_equal(kill_core_request(&k, 3 * S, 100 * S), KILL_ACTION_TERM);
    assert_int_equal(kill_core_next_deadline(&k), 103 * S);
    assert_int_equal(kill_core_tick(&k, 103 * S - 1), KILL_ACTION_NONE);
    assert_int_equal(kill_core_tick(&k, 103 * S), KILL_ACTION_KILL);
    assert_int_equal(kill_core_tick(&k, 104 * S), KILL_ACTION_NONE);
    assert_int_equal(kill_core_request(&k, 3 * S, 105 * S), KILL_ACTION_NONE);
    assert_true(kill_core_next_deadline(&k) == INT64_MAX);
}

static void test_second_request(void **state)
{
    struct kill_core k = {0};
    kill_core_request(&k, 10 * S, 0);
    /* Later is not given, the same grace does not count anew, sooner is. */
    assert_int_equal(kill_core_request(&k, 60 * S, 1 * S), KILL_ACTION_NONE);
    assert_int_equal(kill_core_next_deadline(&k), 10 * S);
    assert_int_equal(kill_core_request(&k, 10 * S, 5 * S), KILL_ACTION_NONE);
    assert_int_equal(kill_core_next_deadline(&k), 10 * S);
    assert_int_equal(kill_core_request(&k, 7 * S, 5 * S), KILL_ACTION_NONE);
    assert_int_equal(kill_core_next_deadline(&k), 7 * S);
    /* A grace that is over already. */
    assert_int_equal(kill_core_request(&k, 2 * S, 6 * S), KILL_ACTION_KILL);
}

static void test_edges(void **state)
{
    struct kill_core k = {0};
    assert_int_equal(kill_core_request(&k, 0, 5), KILL_ACTION_KILL);
    struct kill_core negative = {0};
    assert_int_equal(kill_core_request(&negative, -1, 5), KILL_ACTION_KILL);
    struct kill_core endless = {0};
    assert_int_equal(kill_core_request(&endless, INT64_MAX, 5), KILL_ACTION_TERM);
    assert_int_equal(kill_core_tick(&endless, 1000000 * S), KILL_ACTION_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_term_then_kill),
        cmocka_unit_test(test_second_request),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
