#include "unit.h"

#include "net/name.h"

static void label_rule(void **state)
{
    static const struct {
        const char *in, *label, *strict, *fragment;
    } rows[] = {
        {"app.group", "app-group", "app-group", "app.group"},
        {"My_App v2", "my-appv2", "my-appv2", "my-appv2"},
        {"--x--", "x", "x", "x"},
        {"/mygroup/myapp", "mygroupmyapp", "mygroupmyapp", "mygroupmyapp"},
        {"a..b", "a--b", "a--b", "a.b"},
        {"", "", "", ""},
        {"///", "", "", ""},
        {".", "", "", ""},
        {".a.", "a", "a", "a"},
        {"a.-.b", "a---b", "a---b", "a.b"},
        {"1digits", "1digits", "digits", "1digits"},
        {"-9x", "9x", "x", "9x"},
        {"UPPER", "upper", "upper", "upper"},
        {"\xc3\xa9t\xc3\xa9", "t", "t", "t"},
        {"abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwx",
            "abcdefghijklmnopqrstuvwxyz"},
        {"abcdefghijklmnopqrstuv---yz", "abcdefghijklmnopqrstuv---yz", "abcdefghijklmnopqrstuvyz",
            "abcdefghijklmnopqrstuv---yz"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT, c = BUF_INIT;
        name_label(str_of(rows[i].in), false, &a);
        name_label(str_of(rows[i].in), true, &b);
        name_fragment(str_of(rows[i].in), false, &c);
        assert_string_equal(buf_cstr(&a), rows[i].label);
        assert_string_equal(buf_cstr(&b), rows[i].strict);
        assert_string_equal(buf_cstr(&c), rows[i].fragment);
    }
}

static void cut(void **state)
{
    char in[80], want[80];
    _cleanup_buf_ struct buf out = BUF_INIT;
    (void)state;
    memset(in, 'a', 60);
    memcpy(in + 60, "-----bcd", 9);
    memset(want, 'a', 60);
    memcpy(want + 60, "bcd", 4);
    name_label(str_of(in), false, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_clear(&out);
    memset(in, 'a', 62);
    memcpy(in + 62, "----", 5);
    in[66] = '\0';
    name_label(str_of(in), false, &out);
    assert_int_equal(out.n, 62);
    buf_clear(&out);
    memset(in, 'b', 79);
    in[79] = '\0';
    name_label(str_of(in), false, &out);
    assert_int_equal(out.n, NAME_LABEL_MAX);
}

static void hash(void **state)
{
    char h[33];
    (void)state;
    name_hash(STR("group_app.instance-1._app.1"), 5, h);
    assert_string_equal(h, "jakaj");
    name_hash(STR(""), 32, h);
    assert_int_equal(strlen(h), 32);
}

static void within(void **state)
{
    (void)state;
    assert_true(name_within(STR("a.mesos"), STR("mesos")));
    assert_true(name_within(STR("mesos"), STR("mesos")));
    assert_false(name_within(STR("amesos"), STR("mesos")));
    assert_true(name_within(STR("x"), STR("")));
    assert_false(name_valid(STR("a..b")));
    assert_false(name_valid(STR("a.")));
    assert_false(name_valid(STR("")));
    assert_true(name_valid(STR("a.b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_rule),
        cmocka_unit_test(cut),
        cmocka_unit_test(hash),
        cmocka_unit_test(within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
