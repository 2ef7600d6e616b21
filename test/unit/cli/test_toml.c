#include "unit.h"
#include <errno.h>
#include <stdlib.h>

#include "cli/toml.h"

static const char *value(const struct toml *t, const char *name)
{
    const struct toml_line *l = toml_get(t, name);
    return l ? l->value : NULL;
}

static void check_text(const struct toml *t, const char *want)
{
    struct buf out = BUF_INIT;
    toml_write(t, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_done(&out);
}

static void reading(void **state)
{
    (void)state;
    static const char text[] = "# head\n"
                               "top = 1\n"
                               "[core] # c\r\n"
                               "  dcos_url = \"http://a\\tb\\u00e9\"  # why\n"
                               "timeout=180\n"
                               "verify = true # x\n"
                               "lit = 'C:\\n'\n"
                               "\"odd key\" = \"\"\n"
                               "list = [ \"a]\", # one\n  'b' ]\n"
                               "long = \"\"\"x\n\"y\" ]\"\"\"\n"
                               "[a.\"b c\"]\n"
                               "d.e = 5\n"
                               "[[commands]]\n"
                               "name = \"n\"\n";
    struct toml t;
    assert_int_equal(toml_parse(str_of(text), &t, NULL), 0);
    assert_string_equal(value(&t, "top"), "1");
    assert_string_equal(value(&t, "core.dcos_url"), "http://a\tb\xc3\xa9");
    assert_string_equal(value(&t, "core.timeout"), "180");
    assert_false(toml_get(&t, "core.timeout")->is_string);
    assert_string_equal(value(&t, "core.verify"), "true");
    assert_string_equal(value(&t, "core.lit"), "C:\\n");
    assert_string_equal(value(&t, "core.odd key"), "");
    assert_string_equal(value(&t, "a.b c.d.e"), "5");
    assert_null(value(&t, "commands.name"));
    assert_null(value(&t, "core.nothing"));
    toml_done(&t);
}

static void refusing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"x", "line 1: expected '='"},
        {"a = 1\nb = \"x\n", "line 2: string is not closed"},
        {"a = \"\\q\"", "line 1: unknown escape"},
        {"a = \"\\ud800\"", "line 1: escape in a string is no character"},
        {"[x", "line 1: section is not closed"},
        {"[]", "line 1: expected a name"},
        {"[x] y", "line 1: unexpected text after a section"},
        {"a =", "line 1: value is missing"},
        {"a = # no", "line 1: value is missing"},
        {"a = \"b\" c", "line 1: unexpected text after a value"},
        {"a = [1,\n2", "line 2: array or table is not closed"},
        {"= 1", "line 1: expected a name"},
        {"a = \"\"\"x", "line 1: string is not closed"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct toml t;
        struct error err = ERROR_INIT;
        assert_int_equal(toml_parse(str_of(cases[i].text), &t, &err), -EBADMSG);
        assert_non_null(strstr(err.msg, cases[i].part));
    }
    struct toml t;
    assert_int_equal(toml_parse((struct str){"a\0b", 3}, &t, NULL), -EBADMSG);
}

/* From nothing it is written the way the original writes it. */
static void writing(void **state)
{
    (void)state;
    struct toml t = {0};
    toml_set(&t, "core.timeout", "180", true);
    toml_set(&t, "core.dcos_url", "http://127.0.0.1:18080", false);
    toml_set(&t, "cluster.name", "my\"cl\\", false);
    toml_set(&t, "core.dcos_acs_token", "TOK", false);
    check_text(&t, "\n[cluster]\n  name = \"my\\\"cl\\\\\"\n"
                   "\n[core]\n  dcos_acs_token = \"TOK\"\n  dcos_url = \"http://127.0.0.1:18080\"\n"
                   "  timeout = 180\n");
    assert_true(toml_unset(&t, "core.dcos_acs_token"));
    assert_false(toml_unset(&t, "core.dcos_acs_token"));
    assert_true(toml_unset(&t, "cluster.name"));
    check_text(&t, "\n[core]\n  dcos_url = \"http://127.0.0.1:18080\"\n  timeout = 180\n");
    assert_true(toml_unset(&t, "core.dcos_url"));
    assert_true(toml_unset(&t, "core.timeout"));
    check_text(&t, "");
    toml_done(&t);
}

static void preserving(void **state)
{
    (void)state;
    static const char text[] = "# mine\n"
                               "[zeta]\n"
                               "list = [1,\n  2]\n"
                               "# about url\n"
                               "url = \"x\" # here\n"
                               "\n"
                               "[[things]]\n"
                               "url = 5\n";
    struct toml t;
    assert_int_equal(toml_parse(str_of(text), &t, NULL), 0);
    check_text(&t, text);
    toml_set(&t, "zeta.url", "y", false);
    toml_set(&t, "zeta.a", "1", false);
    toml_set(&t, "alpha.k", "v", false);
    check_text(&t, "\n[alpha]\n  k = \"v\"\n"
                   "# mine\n"
                   "[zeta]\n"
                   "  a = \"1\"\n"
                   "list = [1,\n  2]\n"
                   "# about url\n"
                   "  url = \"y\"\n"
                   "\n"
                   "[[things]]\n"
                   "url = 5\n");
    toml_done(&t);
    /* A dotted key moves to a section when it is changed. */
    assert_int_equal(toml_parse(STR("core.dcos_url = \"a\"\n"), &t, NULL), 0);
    assert_string_equal(value(&t, "core.dcos_url"), "a");
    toml_set(&t, "core.dcos_url", "b", false);
    assert_string_equal(value(&t, "core.dcos_url"), "b");
    check_text(&t, "\n[core]\n  dcos_url = \"b\"\n");
    toml_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reading), cmocka_unit_test(refusing),
        cmocka_unit_test(writing), cmocka_unit_test(preserving)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
