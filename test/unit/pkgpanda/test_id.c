#include "pkgpanda/id.h"

#include "unit.h"

static void test_ids(void **state)
{
    static const struct {
        const char *text, *name, *version; /* NULL = no id */
    } rows[] = {
        {"foo--1", "foo", "1"},
        {"dcos-image--0ab:c.d_e+f@g", "dcos-image", "0ab:c.d_e+f@g"},
        {"a.b@c_d+e-f--2", "a.b@c_d+e-f", "2"},
        {"package---version"},
        {"packageversion"},
        {"!@#*"},
        {"a--b--c"},
        {"a--1-2"},
        {"--1"},
        {"a--"},
        {".a--1"},
        {"-a--1"},
        {"a/b--1"},
        {"a--../x"},
        {""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct package_id id;
        struct error err = ERROR_INIT;
        int r = package_id_parse(rows[i].text, &id, &err);
        if ((r == 0) != (rows[i].name != NULL))
            fail_msg("'%s' gave %d", rows[i].text, r);
        if (r < 0) {
            assert_non_null(strstr(err.msg, "Invalid package ID: "));
            continue;
        }
        assert_true(str_eq_c(id.name, rows[i].name));
        assert_true(str_eq_c(id.version, rows[i].version));
    }
}

static void test_users(void **state)
{
    static const char *const good[] = {"dcos__", "dcos_1", "dcos_foo_bar9"};
    static const char *const bad[] = {
        "dcos", "dcos_", "d_a", "dcos_***", "3dcos_x", "dcos3_x", "dcos_A", "root", ""};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(user_name_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (user_name_valid(bad[i]))
            fail_msg("'%s' passed", bad[i]);
    assert_true(group_name_valid(""));
    assert_true(group_name_valid("systemd-journal"));
    assert_true(group_name_valid("_x9"));
    assert_false(group_name_valid("9x"));
    assert_false(group_name_valid("-x"));
    assert_false(group_name_valid("X"));
    assert_false(group_name_valid("a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
