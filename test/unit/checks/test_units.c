#include "checks/probe.h"
#include "unit.h"

static void test_states(void **state)
{
    static const struct {
        const char *load, *active, *sub;
        bool healthy;
    } table[] = {
        {"loaded", "active", "running", true},
        {"loaded", "active", "exited", true},
        {"loaded", "inactive", "dead", true}, /* waits for its timer */
        {"loaded", "activating", "start-pre", true},
        {"loaded", "activating", "auto-restart", false},
        {"loaded", "failed", "failed", false},
        {"loaded", "deactivating", "stop-sigterm", false},
        {"not-found", "inactive", "dead", false},
        {"bad-setting", "inactive", "dead", false},
        {"", "", "", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf why = BUF_INIT;
        bool healthy = unit_is_healthy(table[i].load, table[i].active, table[i].sub, &why);
        if (healthy != table[i].healthy)
            fail_msg("%s/%s/%s", table[i].load, table[i].active, table[i].sub);
        assert_int_equal(why.n > 0, !healthy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
