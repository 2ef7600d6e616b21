#include "unit.h"

#include "base/rng.h"
#include "master/umap.h"

static void test_against_an_array(void **state)
{
    enum { KEYS = 500 };
    void *want[KEYS] = {0};
    struct umap m = {0};
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t k = rng_below(&rng, KEYS);
        uint64_t key = (k + 1) * 4096; /* no low bits */
        if (rng_below(&rng, 2)) {
            want[k] = &want[k];
            umap_put(&m, key, want[k]);
        } else {
            assert_ptr_equal(umap_remove(&m, key), want[k]);
            want[k] = NULL;
        }
    }
    for (uint64_t k = 0; k < KEYS; k++)
        assert_ptr_equal(umap_get(&m, (k + 1) * 4096), want[k]);
    umap_done(&m);
    assert_null(umap_get(&m, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
