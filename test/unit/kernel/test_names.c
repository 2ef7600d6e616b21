#include "unit.h"

#include <errno.h>

#include "base/str.h"
#include "kernel/attributes.h"
#include "kernel/ids.h"
#include "kernel/role.h"

static void roles(void **state)
{
    (void)state;
    static const char *const good[] = {"*", "dev", "a/b", "a-b", "a.b", "...", "x/y/z", "é"};
    static const char *const bad[] = {"", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "-a",
        "a/-b", "a/*", "*/a", "a b", "a\tb", "a\x7f", "/"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(role_validate(good[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = ERROR_INIT;
        if (role_validate(bad[i], &err) != -EINVAL)
            fail_msg("accepted '%s'", bad[i]);
        assert_true(err.msg[0]);
    }
    assert_true(role_is_below("a/b", "a") && role_is_below("a/b/c", "a"));
    assert_false(role_is_below("a", "a") || role_is_below("ab", "a") || role_is_below("a", "a/b"));
    assert_int_equal(role_parent_length("a/b/c"), 3);
    assert_int_equal(role_parent_length("a"), 0);
}

static void ids(void **state)
{
    (void)state;
    char longest[ID_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[ID_MAX] = '\0';
    assert_int_equal(id_validate(longest, NULL), 0);
    longest[ID_MAX] = 'a';
    longest[ID_MAX + 1] = '\0';
    assert_int_equal(id_validate(longest, NULL), -EINVAL);
    static const char *const bad[] = {NULL, "", ".", "..", "a/b", "a\\b", "a\n", "\x7f"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(id_validate(bad[i], NULL), -EINVAL);
    assert_int_equal(id_validate("app.instance-1._app.1 ...", NULL), 0);
}

static void attributes(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT;
    Mesos__V1__Attribute **list;
    size_t n;
    struct error err = ERROR_INIT;
    assert_int_equal(
        attributes_parse(STR("rack:a;public_ip:true;n:1.5;r:[1-2];s:{x, y}; url:http://b:1 "
                             ";rack:z"),
            &arena, &list, &n, &err),
        0);
    assert_int_equal(n, 7);
    assert_int_equal(list[1]->type, MESOS__V1__VALUE__TYPE__TEXT);
    assert_int_equal(attributes_validate(list, n, &err), 0);
    struct json_writer w;
    jw_init(&w, &out);
    attributes_write_state(&w, list, n);
    assert_string_equal(buf_cstr(&out),
        "{\"rack\":\"a\",\"public_ip\":\"true\",\"n\":1.5,\"r\":\"[1-2]\",\"s\":\"{x, y}\",\"url\":"
        "\"http://b:1\"}");
    static const char *const bad[] = {"rack", ":a", "rack:", "r:[2-1]", "r:[1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(attributes_parse(str_of(bad[i]), &arena, &list, &n, NULL), -EINVAL);
    assert_int_equal(attributes_parse(STR(""), &arena, &list, &n, NULL), 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles), cmocka_unit_test(ids), cmocka_unit_test(attributes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
