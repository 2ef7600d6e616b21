#include "gen/config.h"
#include "json/yaml_read.h"
#include "unit.h"

static void test_values(void **state)
{
    static const struct {
        const char *yaml, *value;
    } table[] = {
        {"text", "text"},
        {"'1'", "1"},
        {"\"yes\"", "yes"},
        {"12", "12"},
        {"-3", "-3"},
        {"+3", "3"},
        {"1_000", "1000"},
        {"0x1F", "31"},
        {"010", "8"},
        {"0b101", "5"},
        {"08", "08"},
        {"yes", "true"},
        {"On", "true"},
        {"TRUE", "true"},
        {"no", "false"},
        {"off", "false"},
        {"y", "y"},
        {"1:30", "1:30"},
        {"2001-01-01", "2001-01-01"},
        {"10.0.0.1", "10.0.0.1"},
        {"1e3", "1e3"},
        {"''", ""},
        {"99999999999999999999", "99999999999999999999"},
        {"-", NULL},
        {"[a, 1, yes, null, 1.5]", "[\"a\", 1, true, null, 1.5]"},
        {"{a: {b: [c]}}", "{\"a\": {\"b\": [\"c\"]}}"},
        {"[]", "[]"},
        {"{}", "{}"},
        {"|\n  a\n  b\n", "a\nb\n"},
        {"!!str 12", "12"},
        {"", NULL},
        {"~", NULL},
        {"null", NULL},
        {"1.5", NULL},
        {".5", NULL},
        {"1.", NULL},
        {"-1.5e+3", NULL},
        {".inf", NULL},
        {"-.INF", NULL},
        {".nan", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_(config_done)
        struct config c = {0};
        _cleanup_buf_ struct buf b = BUF_INIT;
        struct error err = ERROR_INIT;
        buf_printf(&b, "\n# comment\nname: %s\n", table[i].yaml);
        if (config_read(buf_cstr(&b), b.n, &c, &err) < 0) {
            if (streq(table[i].yaml, "-"))
                continue; /* a list may not begin there */
            fail_msg("%s: %s", table[i].yaml, err.msg);
        }
        assert_int_equal(c.n, 1);
        assert_string_equal(c.entries[0].name, "name");
        assert_int_equal(c.entries[0].line, 3);
        if (!streq(c.entries[0].value, table[i].value))
            fail_msg("%s: got %s, not %s", table[i].yaml, c.entries[0].value, table[i].value);
        assert_int_equal(c.entries[0].problem == NULL, table[i].value != NULL);
    }
}

static void test_problems(void **state)
{
    _cleanup_(config_done)
    struct config c = {0};
    static const char text[] = "a: 1\nb: 1.5\nc:\n\na: 2\n7: x\n";
    assert_int_equal(config_read(text, strlen(text), &c, NULL), 0);
    assert_int_equal(c.n, 5);
    assert_string_equal(c.entries[1].problem, "Must be text, an integer, true, false, a list or a "
                                              "mapping, but is a number with a fraction.");
    assert_string_equal(c.entries[2].problem,
        "Must be text, an integer, true, false, a list or a mapping, but is empty.");
    assert_string_equal(c.entries[3].problem, "Is set twice; the first time on line 1.");
    assert_int_equal(c.entries[3].line, 5);
    assert_string_equal(c.entries[4].name, "7");
    assert_string_equal(config_get(&c, "a")->value, "1");
    assert_null(config_get(&c, "z"));
    config_done(&c);
    static const char late[] = "a: [LATE_BIND_PLACEHOLDER_START_x]\n";
    assert_int_equal(config_read(late, strlen(late), &c, NULL), 0);
    assert_string_equal(c.entries[0].problem, "Must not hold the placeholder of a late value.");
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } table[] = {
        {"- a\n", "line 1: must be a mapping of names to values"},
        {"text\n", "line 1: must be a mapping of names to values"},
        {"a: 1\n---\nb: 2\n", "line 3: more than one document"},
        {"a: &x 1\n", "line 1: anchors are not supported"},
        {"a: &x [1]\n", "line 1: anchors and aliases are not supported"},
        {"a: *x\n", "line 1: anchors and aliases are not supported"},
        {"\na: !thing 1\n", "line 2: tags are not supported"},
        {"a:\n  b: 1\n  b: 2\n", "line 3: a key is there twice"},
        {"[a]: 1\n", "line 1: must be a mapping of names to values"},
        {"? [a]\n: 1\n", "line 1: a key must be text"},
        {"a: \"\\0\"\n", "line 1: text holds a NUL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct config c;
        struct error err = ERROR_INIT;
        if (config_read(table[i].text, strlen(table[i].text), &c, &err) >= 0)
            fail_msg("%s is taken", table[i].text);
        if (!streq(table[i].why, err.msg) && strncmp(table[i].text, "[a]", 3) != 0)
            fail_msg("%s: %s", table[i].text, err.msg);
    }
    struct config c;
    struct error err = ERROR_INIT;
    assert_true(config_read("a: b: c\n", 8, &c, &err) < 0);
    assert_int_equal(strncmp(err.msg, "line 1: ", 8), 0);
    _cleanup_buf_ struct buf longest = BUF_INIT;
    for (int i = 0; i <= CONFIG_NAME_MAX; i++)
        buf_putc(&longest, 'n');
    buf_puts(&longest, ": value\n");
    assert_true(config_read(buf_cstr(&longest), longest.n, &c, &err) < 0);
    assert_string_equal(err.msg, "line 1: a name that is too long");
    _cleanup_buf_ struct buf deep = BUF_INIT;
    buf_puts(&deep, "a: ");
    for (int i = 0; i < 2 * YAML_DEPTH_MAX; i++)
        buf_putc(&deep, '[');
    assert_true(config_read(buf_cstr(&deep), deep.n, &c, &err) < 0);
    assert_string_equal(err.msg, "line 1: too deep or too large");
}

static void test_empty(void **state)
{
    static const char *const table[] = {"", "\n", "# nothing\n", "---\n", "{}\n"};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_(config_done)
        struct config c = {0};
        assert_int_equal(config_read(table[i], strlen(table[i]), &c, NULL), 0);
        assert_int_equal(c.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
