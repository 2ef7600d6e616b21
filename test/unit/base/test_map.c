#include "unit.h"
#include <stdio.h>

#include "base/map.h"
#include "base/rng.h"
#include "base/str.h"

static void insertion_order(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    char keys[100][8];
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        assert_null(map_put(&m, keys[i], keys[i]));
    }
    for (int i = 0; i < 100; i += 2)
        assert_ptr_equal(map_remove(&m, keys[i]), keys[i]);
    assert_null(map_remove(&m, "k0"));
    assert_ptr_equal(map_put(&m, keys[1], keys[3]), keys[1]); /* keeps its place */
    int next = 1;
    MAP_FOREACH (e, &m) {
        assert_string_equal(e->key, keys[next]);
        next += 2;
    }
    assert_int_equal(next, 101);
    assert_int_equal(map_size(&m), 50);
    assert_ptr_equal(map_get_n(&m, "k3xyz", 2), keys[3]);
    assert_null(map_get_n(&m, "k3", 1));
    map_done(&m);
}

/* Against a plain array, with many removals, as a queue of tasks would do. */
static void random_life(void **state)
{
    (void)state;
    enum { N = 300 };
    static char keys[N][8];
    bool present[N] = {0};
    size_t count = 0;
    struct map m = MAP_INIT;
    struct rng rng;
    rng_init(&rng, 42);
    for (int i = 0; i < N; i++)
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
    for (int step = 0; step < 50000; step++) {
        size_t i = rng_below(&rng, N);
        if (rng_below(&rng, 2)) {
            void *old = map_put(&m, keys[i], keys[i]);
            assert_ptr_equal(old, present[i] ? keys[i] : NULL);
            count += !present[i];
            present[i] = true;
        } else {
            void *old = map_remove(&m, keys[i]);
            assert_ptr_equal(old, present[i] ? keys[i] : NULL);
            count -= present[i];
            present[i] = false;
        }
        assert_int_equal(map_size(&m), count);
    }
    for (int i = 0; i < N; i++)
        assert_ptr_equal(map_get(&m, keys[i]), present[i] ? keys[i] : NULL);
    assert_true(m.index_size <= 2048);
    map_done(&m);
}

static void removal_while_walking(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    static const char *const keys[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        map_put(&m, keys[i], (void *)(uintptr_t)keys[i]);
    int seen = 0;
    MAP_FOREACH (e, &m) {
        seen++;
        map_remove(&m, e->key);
        map_remove(&m, "c");
    }
    assert_int_equal(seen, 3);
    assert_int_equal(map_size(&m), 0);
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(insertion_order),
        cmocka_unit_test(random_life), cmocka_unit_test(removal_while_walking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
