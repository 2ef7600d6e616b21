#include "pkgpanda/late.h"

#include "host.h"
#include "json/yaml_read.h"

static json_t *yaml(const char *text)
{
    json_t *json = NULL;
    struct error err = ERROR_INIT;
    if (yaml_read(text, strlen(text), &json, &err) < 0)
        fail_msg("%s", err.msg);
    return json;
}

static void test_substitute(void **state)
{
    _cleanup_json_ json_t *values = yaml("a: x\nb: LATE_BIND\n");
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(late_substitute("1LATE_BIND_PLACEHOLDER_START_a_LATE_BIND_PLACEHOLDER_END2"
                                     "LATE_BIND_PLACEHOLDER_START_b_LATE_BIND_PLACEHOLDER_END",
                         values, &out, &err),
        0);
    assert_string_equal(buf_cstr(&out), "1x2LATE_BIND");
    assert_int_equal(late_substitute("LATE_BIND_PLACEHOLDER_START_c_LATE_BIND_PLACEHOLDER_END",
                         values, &out, &err),
        -EINVAL);
    assert_non_null(strstr(err.msg, "'c'"));
    assert_int_equal(late_substitute("LATE_BIND_PLACEHOLDER_START_a", values, &out, &err), -EINVAL);
    assert_int_equal(late_substitute("a_LATE_BIND_PLACEHOLDER_END", values, &out, &err), -EINVAL);
}

static void test_files(void **state)
{
    static const char *const bad[] = {"{path: /x}", "{content: x}", "{path: ../x, content: y}",
        "{path: /x, content: y, permissions: 4755}", "{path: /x, content: y, permissions: rw}",
        "{path: /x, content: y, mode: 1}"};
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *values = json_object();
    _cleanup_json_ json_t *config = yaml(
        "package:\n- {path: /etc/a, content: A}\n- {path: b, content: B, permissions: 0600}\n");
    assert_int_equal(late_write_files(h->root, config, values, &err), 0);
    assert_text(h->root, "etc/a", "A");
    assert_text(h->root, "b", "B");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_free_ char *text = xasprintf("package:\n- %s\n", bad[i]);
        _cleanup_json_ json_t *one = yaml(text);
        if (late_write_files(h->root, one, values, &err) != -EINVAL)
            fail_msg("%s passed", bad[i]);
    }
    assert_false(is_there(h->root, "x"));
    assert_false(is_there(h->top, "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_substitute), HOST_TEST(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
