#include "unit.h"
#include <errno.h>

#include "base/str.h"

static void splitting(void **state)
{
    (void)state;
    struct str rest = STR("a,,b,"), part;
    static const char *const want[] = {"a", "", "b", ""};
    size_t i = 0;
    for (; str_split(&rest, ',', &part); i++)
        assert_true(i < 4 && str_eq_c(part, want[i]));
    assert_int_equal(i, 4);
    assert_true(str_eq_c(str_trim(STR(" \t x y\r\n")), "x y"));
    assert_true(str_eq_c(str_trim(STR("  ")), ""));
}

static void comparing(void **state)
{
    (void)state;
    assert_true(str_ieq_c(STR("Content-TYPE"), "content-type"));
    assert_false(str_ieq_c(STR("content"), "content-type"));
    assert_true(has_suffix("x.tar.gz", ".gz"));
    assert_false(has_suffix("gz", ".gz"));
    assert_true(streq(NULL, NULL));
    assert_false(streq("a", NULL));
}

static void hex(void **state)
{
    (void)state;
    char text[9];
    uint8_t raw[4];
    hex_encode("\x00\xff\x10\xab", 4, text);
    assert_string_equal(text, "00ff10ab");
    assert_int_equal(hex_decode(STR("00FF10ab"), raw, sizeof(raw)), 4);
    assert_memory_equal(raw, "\x00\xff\x10\xab", 4);
    assert_int_equal(hex_decode(STR("0"), raw, sizeof(raw)), -EINVAL);
    assert_int_equal(hex_decode(STR("zz"), raw, sizeof(raw)), -EINVAL);
    assert_int_equal(hex_decode(STR("0011223344"), raw, sizeof(raw)), -ENOBUFS);
}

static void hashing(void **state)
{
    (void)state;
    assert_int_equal(str_hash("abc", 3), str_hash("abcd", 3));
    assert_int_not_equal(str_hash("abc", 3), str_hash("abd", 3));
    assert_int_not_equal(str_hash("", 0), str_hash("\0", 1));
}

static void comparing_nothing(void **state)
{
    (void)state;
    assert_true(str_ieq_c((struct str){NULL, 0}, ""));
    assert_false(str_ieq_c((struct str){NULL, 0}, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(splitting), cmocka_unit_test(comparing),
        cmocka_unit_test(hex), cmocka_unit_test(hashing), cmocka_unit_test(comparing_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
