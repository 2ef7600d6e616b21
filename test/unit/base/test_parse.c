#include "unit.h"
#include <errno.h>

#include "base/parse.h"

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int r;
        int64_t value;
    } cases[] = {{"0", 0, 0}, {"-1", 0, -1}, {"+5", 0, 5}, {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN}, {"9223372036854775808", -ERANGE, 0},
        {"99999999999999999999", -ERANGE, 0}, {"", -EINVAL, 0}, {"-", -EINVAL, 0},
        {" 1", -EINVAL, 0}, {"1x", -EINVAL, 0}, {"0x1", -EINVAL, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t v = 0;
        assert_int_equal(parse_i64(str_of(cases[i].text), &v), cases[i].r);
        assert_int_equal(v, cases[i].value);
    }
    uint16_t port = 1;
    assert_int_equal(parse_port(STR("65536"), &port), -ERANGE);
    assert_int_equal(port, 1);
    assert_int_equal(parse_port(STR("65535"), &port), 0);
    uint32_t u32;
    assert_int_equal(parse_u32(STR("4294967296"), &u32), -ERANGE);
}

static void doubles_and_sizes(void **state)
{
    (void)state;
    double d;
    uint64_t b;
    assert_int_equal(parse_double(STR("-1.5e3"), &d), 0);
    assert_true(d < -1499 && d > -1501);
    assert_int_equal(parse_double(STR("nan"), &d), -EINVAL);
    assert_int_equal(parse_double(STR("inf"), &d), -EINVAL);
    assert_int_equal(parse_double(STR("1e999"), &d), -ERANGE);
    assert_int_equal(parse_double(STR("1.2.3"), &d), -EINVAL);
    assert_int_equal(parse_bytes(STR("64KB"), &b), 0);
    assert_int_equal(b, 65536);
    assert_int_equal(parse_bytes(STR("10"), &b), 0);
    assert_int_equal(b, 10);
    assert_int_equal(parse_bytes(STR("MB"), &b), -EINVAL);
    assert_int_equal(parse_bytes(STR("99999999999TB"), &b), -ERANGE);
}

static void failure_writes_nothing(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(parse_bytes(STR("18446744073709551615KB"), &v), -ERANGE);
    assert_int_equal(v, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(integers),
        cmocka_unit_test(doubles_and_sizes), cmocka_unit_test(failure_writes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
