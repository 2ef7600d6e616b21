#include "unit.h"

#include <stdio.h>

#include "base/arena.h"

static void survives_growth(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena a = ARENA_INIT;
    char *names[500];
    for (int i = 0; i < 500; i++)
        names[i] = arena_printf(&a, "entry-%d", i);
    char *big = arena_zalloc(&a, 100000);
    assert_int_equal(big[99999], 0);
    for (int i = 0; i < 500; i++) {
        char want[32];
        snprintf(want, sizeof(want), "entry-%d", i);
        assert_string_equal(names[i], want);
    }
    assert_true(a.total >= 100000);
}

static void aligns(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena a = ARENA_INIT;
    for (size_t i = 1; i < 64; i++)
        assert_int_equal((uintptr_t)arena_alloc(&a, i) % _Alignof(max_align_t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives_growth), cmocka_unit_test(aligns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
