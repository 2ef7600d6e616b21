#include "unit.h"

#include "base/alloc.h"
#include "base/buf.h"

static void grows_and_terminates(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_string_equal(buf_cstr(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(b.p[b.n], 0);
    buf_consume(&b, 2);
    assert_memory_equal(b.p, "1,2,", 4);
}

static void long_printf(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_printf(&b, "%0600d", 7);
    assert_int_equal(b.n, 600);
    assert_int_equal(b.p[599], '7');
}

static void limit_is_sticky_and_whole(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT_MAX(8);
    buf_puts(&b, "12345678");
    assert_false(b.overflow);
    buf_puts(&b, "9");
    assert_true(b.overflow);
    assert_string_equal(buf_cstr(&b), "12345678");
    buf_clear(&b);
    buf_puts(&b, "x");
    assert_false(b.overflow);
}

static void steal_never_null(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    _cleanup_free_ char *empty = buf_steal(&b);
    assert_string_equal(empty, "");
    buf_puts(&b, "abc");
    _cleanup_free_ char *abc = buf_steal(&b);
    assert_string_equal(abc, "abc");
    assert_null(b.p);
}

static void reserved_but_unused(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_non_null(buf_reserve(&b, 1000));
    assert_string_equal(buf_cstr(&b), "");
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_true(b.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows_and_terminates),
        cmocka_unit_test(long_printf), cmocka_unit_test(limit_is_sticky_and_whole),
        cmocka_unit_test(steal_never_null), cmocka_unit_test(reserved_but_unused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
