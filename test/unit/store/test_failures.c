/* Storage that fails or is slow, with failures on demand. */

#include "fixture.h"
#include "store/memory.h"

static int set_up(void **state)
{
    struct fixture *f = xnew(struct fixture);
    fixture_init(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

/* A full disk is waited for: the commit is answered once, and only when it is written. */
static void test_transient(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, "memory:");
    put(f, s, "a", "1");
    store_memory_fail(s, 1, -ENOSPC);
    put(f, s, "a", "2");
    assert_value(s, "a", "2");
    store_memory_fail(s, 2, -EDQUOT);
    put(f, s, "a", "3");
    put(f, s, "a", "4");
    assert_value(s, "a", "4");
    assert_string_equal(store_failure(s), "");
    store_close(s);
}

static void test_final(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, "memory:");
    put(f, s, "a", "1");
    store_memory_fail(s, 1, -EIO);
    struct store_op op = op_put("a", "2", STORE_ANY_VERSION);
    struct result r = commit(f, s, &op, 1);
    assert_int_equal(r.status, -EIO);
    assert_int_equal(r.failed_op, -1);
    assert_string_equal(store_failure(s), "memory:: Input/output error");
    assert_value(s, "a", "1");
    /* It stays so: what came later must not look written when what came before was lost. */
    assert_int_equal(commit(f, s, &op, 1).status, -EIO);
    assert_value(s, "a", "1");
    store_close(s);
}

struct slow {
    unsigned calls;
    int64_t waited_us;
    char reason[ERROR_MSG_MAX];
};

static void on_slow(int64_t waited_us, const char *reason, void *userdata)
{
    struct slow *slow = userdata;
    slow->calls++;
    slow->waited_us = waited_us;
    (void)snprintf(slow->reason, sizeof(slow->reason), "%s", reason);
}

static void test_slow(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, "memory:");
    struct slow slow = {0};
    store_on_slow(s, 2000, on_slow, &slow);
    put(f, s, "a", "fast");
    store_memory_hold(s, true);
    struct store_op op = op_put("a", "slow", STORE_ANY_VERSION);
    struct result r;
    must_start(s, &op, 1, &r);
    while (slow.calls < 2)
        loop_run_once(f->loop, true);
    assert_int_equal(r.calls, 0);
    assert_true(slow.waited_us >= 2000);
    assert_string_equal(slow.reason, "");
    struct store_stats stats;
    store_stats(s, &stats);
    assert_int_equal(stats.queued, 1);
    assert_true(stats.max_flush_us >= 2000);
    store_memory_hold(s, false);
    while (r.calls == 0)
        loop_run_once(f->loop, true);
    assert_int_equal(r.status, 0);
    store_close(s);
}

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    assert_int_equal(status, 0);
    *(uint64_t *)userdata = epoch;
}

/* Becoming the leader is a write as well. */
static void test_slow_epoch(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, "memory:");
    struct slow slow = {0};
    uint64_t epoch = 0;
    store_on_slow(s, 2000, on_slow, &slow);
    store_memory_hold(s, true);
    assert_int_equal(store_lead(s, "us", on_leader, &epoch), 0);
    while (slow.calls < 2)
        loop_run_once(f->loop, true);
    assert_int_equal(epoch, 0);
    store_memory_hold(s, false);
    while (epoch == 0)
        loop_run_once(f->loop, true);
    store_close(s);
}

static void test_close_while_disk_is_full(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, "memory:");
    struct slow slow = {0};
    store_on_slow(s, 1000, on_slow, &slow);
    store_memory_fail(s, 1, -ENOSPC);
    struct store_op op = op_put("a", "1", STORE_ANY_VERSION);
    struct result r;
    must_start(s, &op, 1, &r);
    /* The first report may come before the first attempt. */
    while (!slow.reason[0] && r.calls == 0)
        loop_run_once(f->loop, true);
    if (r.calls == 0)
        assert_string_equal(slow.reason, "memory:: No space left on device");
    store_close(s);
    assert_true(r.calls == 0 || r.status == 0);
}

static void test_urls(void **state)
{
    struct fixture *f = *state;
    struct store *s;
    struct error err = ERROR_INIT;
    assert_int_equal(store_open(f->loop, "etcd://x", &s, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "expected sqlite:PATH"));
    assert_int_equal(store_open(f->loop, "sqlite:", &s, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "needs a path"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transient, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_final, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_epoch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_while_disk_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_urls, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
