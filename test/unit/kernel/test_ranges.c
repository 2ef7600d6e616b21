#include "unit.h"

#include <errno.h>

#include "base/rng.h"
#include "kernel/ranges.h"

enum { UNIVERSE = 64 };

static struct ranges *from_bits(uint64_t bits)
{
    struct range list[UNIVERSE];
    size_t n = 0;
    for (uint64_t i = 0; i < UNIVERSE; i++)
        if (bits >> i & 1)
            list[n++] = (struct range){i, i};
    return ranges_new(list, n);
}

static void assert_bits(struct ranges *a, uint64_t bits)
{
    struct ranges *want = from_bits(bits);
    assert_true(ranges_equal(a, want));
    assert_int_equal(ranges_count(a), (uint64_t)__builtin_popcountll(bits));
    ranges_unref(want);
    ranges_unref(a);
}

/* Every operation against the same one on bit masks. */
static void algebra(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t x = rng_next(&rng), y = rng_next(&rng);
        if (i % 2)
            x &= rng_next(&rng) & rng_next(&rng), y |= rng_next(&rng);
        struct ranges *a = from_bits(x), *b = from_bits(y);
        assert_bits(ranges_union(a, b), x | y);
        assert_bits(ranges_difference(a, b), x & ~y);
        assert_bits(ranges_intersection(a, b), x & y);
        assert_int_equal(ranges_contains(a, b), (y & ~x) == 0);
        assert_int_equal(ranges_overlap(a, b), (x & y) != 0);
        assert_int_equal(ranges_contains_value(a, (uint64_t)i % UNIVERSE), x >> (i % UNIVERSE) & 1);
        ranges_unref(a);
        ranges_unref(b);
    }
}

static void edges(void **state)
{
    (void)state;
    struct range all = {0, UINT64_MAX}, last = {UINT64_MAX, UINT64_MAX};
    struct ranges *a = ranges_new(&all, 1), *b = ranges_new(&last, 1);
    assert_true(ranges_count(a) == UINT64_MAX);
    struct ranges *d = ranges_difference(a, b);
    assert_true(d->n == 1 && d->r[0].end == UINT64_MAX - 1);
    struct ranges *u = ranges_union(d, b);
    assert_true(ranges_equal(u, a));
    ranges_unref(u);
    ranges_unref(d);
    d = ranges_difference(a, a);
    assert_null(d);
    ranges_unref(a);
    ranges_unref(b);
    assert_null(ranges_new(NULL, 0));
}

static void text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {{"[]", "[]"}, {"[ 1 - 2 ,5-9]", "[1-2, 5-9]"}, {"[3-4, 1-2]", "[1-4]"},
        {"[0-18446744073709551615]", "[0-18446744073709551615]"}, {"1-2", NULL}, {"[1]", NULL},
        {"[2-1]", NULL}, {"[1-2,2-3]", NULL}, {"[1-2", NULL}, {"[-1-2]", NULL},
        {"[1-99999999999999999999]", NULL}, {"[1-2,]", NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ranges *r = NULL;
        struct error err = ERROR_INIT;
        int e = ranges_parse(str_of(cases[i].in), &r, &err);
        if ((e == 0) != (cases[i].out != NULL))
            fail_msg("'%s': %d %s", cases[i].in, e, err.msg);
        if (e < 0)
            continue;
        _cleanup_buf_ struct buf out = BUF_INIT;
        ranges_format(r, &out);
        assert_string_equal(buf_cstr(&out), cases[i].out);
        ranges_unref(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algebra), cmocka_unit_test(edges), cmocka_unit_test(text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
