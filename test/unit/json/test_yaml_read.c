#include "json/yaml_read.h"

#include <errno.h>

#include "unit.h"

static json_t *yaml(const char *text)
{
    json_t *json = NULL;
    struct error err = ERROR_INIT;
    if (yaml_read(text, strlen(text), &json, &err) < 0)
        fail_msg("%s", err.msg);
    return json;
}

static void test_texts(void **state)
{
    static const char *const bad[] = {"a: &x 1\nb: *x\n", "a: b\na: c\n", "a: [\n", "? [a]\n: b\n",
        "--- a\n--- b\n", "\t- x: y", "a: !!int 1", "a: !own b", "&a b: c"};
    _cleanup_json_ json_t *json = yaml("a: 0644\nb:\n- c\n- {d: \"e\\n\"}\n");
    _cleanup_json_ json_t *empty = yaml("");
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(json, &text);
    assert_string_equal(buf_cstr(&text), "{\"a\":\"0644\",\"b\":[\"c\",{\"d\":\"e\\n\"}]}");
    assert_int_equal(json_object_size(empty), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *no = NULL;
        struct error err = ERROR_INIT;
        if (yaml_read(bad[i], strlen(bad[i]), &no, &err) != -EBADMSG)
            fail_msg("%s passed", bad[i]);
        assert_non_null(strstr(err.msg, "line "));
    }
}

static int write_member(
    void *userdata, const char *name, json_t *value, unsigned line, struct error *err)
{
    struct buf *out = userdata;
    int r = streq(name, "stop") ? error_set(err, -ECANCELED, "stopped") : 0;
    buf_printf(out, "%u:%s=", line, name);
    json_dump(value, out);
    buf_putc(out, ' ');
    json_decref(value);
    return r;
}

static void test_members(void **state)
{
    static const struct {
        const char *yaml, *seen, *error;
    } table[] = {
        {"a: 1\n\nb: {c: yes}\na: '1'\n", "1:a=1 3:b={\"c\":true} 4:a=\"1\" ", NULL},
        {"a: 1\nstop: 2\nb: 3\n", "1:a=1 2:stop=2 ", "stopped"},
        {"# nothing\n", "", NULL},
        {"[a]", "", "line 1: must be a mapping of names to values"},
        {"\ntext", "", "line 2: must be a mapping of names to values"},
        {"a: {b: 1, b: 2}", "", "line 1: a key is there twice"},
        {"a: 1\n--- b\n", "1:a=1 ", "line 2: more than one document"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        struct error err = ERROR_INIT;
        int r = yaml_read_members(
            table[i].yaml, strlen(table[i].yaml), YAML_TYPES, write_member, &out, &err);
        assert_string_equal(buf_cstr(&out), table[i].seen);
        assert_int_equal(r < 0, table[i].error != NULL);
        if (r < 0)
            assert_string_equal(err.msg, table[i].error);
    }
}

static void test_depth(void **state)
{
    _cleanup_buf_ struct buf deep = BUF_INIT;
    struct error err = ERROR_INIT;
    json_t *json = NULL;
    for (int i = 0; i < YAML_DEPTH_MAX + 2; i++)
        buf_putc(&deep, '[');
    assert_int_equal(yaml_read(deep.p, deep.n, &json, &err), -EBADMSG);
    assert_string_equal(err.msg, "line 1: too deep or too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts), cmocka_unit_test(test_members), cmocka_unit_test(test_depth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
