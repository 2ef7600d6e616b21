#include "unit.h"

#include "base/heap.h"
#include "base/rng.h"

static void pops_in_order(void **state)
{
    (void)state;
    enum { N = 2000 };
    static struct heap_node nodes[N];
    struct heap h = {0};
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < N; i++)
        heap_push(&h, &nodes[i], (int64_t)rng_below(&rng, 100));
    for (int i = 0; i < N; i += 3)
        heap_remove(&h, &nodes[i]);
    heap_remove(&h, &nodes[0]); /* twice does nothing */
    assert_false(heap_contains(&nodes[0]));
    assert_true(heap_contains(&nodes[1]));
    int64_t key = -1;
    uint64_t seq = 0;
    size_t left = h.n;
    assert_int_equal(left, N - (N + 2) / 3);
    for (struct heap_node *m; (m = heap_min(&h)); left--) {
        assert_true(m->key > key || (m->key == key && m->seq > seq));
        key = m->key;
        seq = m->seq;
        heap_remove(&h, m);
    }
    assert_int_equal(left, 0);
    heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pops_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
