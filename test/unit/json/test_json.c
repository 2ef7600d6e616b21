#include "json/json.h"

#include <errno.h>
#include <math.h>

#include "unit.h"

static json_t *parse(const char *text)
{
    json_t *value = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(text, strlen(text), &value, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return value;
}

static void test_parse_any_type(void **state)
{
    static const char *const texts[] = {"null", "true", "false", "0", "-7", "9223372036854775807",
        "1.5", "\"a\"", "[]", "{}", " [1,2] \n", "{\"b\":1,\"a\":[{}]}"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_json_ json_t *value = parse(texts[i]);
        assert_non_null(value);
    }
}

static void test_parse_refuses(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } cases[] = {
        {"", 0, "line 1 column 1"},
        {"{", 1, "line 1"},
        {"[1,]", 4, "line 1 column 4"},
        {"[1,\n 2,\n x]", 11, "line 3 column 2"},
        {"{\"a\":1,\"a\":2}", 13, "duplicate"},
        {"{} {}", 5, "line 1"},
        {"\"a\\u0000b\"", 10, "NUL"},
        {"\"a\0b\"", 5, "line 1"},
        {"\"\xff\"", 3, "decode byte"},
        {"9223372036854775808", 19, "too big"},
        {"1e999", 5, "overflow"},
        {"NaN", 3, "line 1"},
        {"'a'", 3, "line 1"},
        {"01", 2, "line 1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *value = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(cases[i].text, cases[i].n, &value, &err), -EBADMSG);
        assert_null(value);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.msg, cases[i].says);
    }
}

static void test_parse_depth(void **state)
{
    enum { N = JSON_DEPTH_MAX };
    char text[2 * (N + 1)];
    memset(text, '[', N + 1);
    memset(text + N + 1, ']', N + 1);
    _cleanup_json_ json_t *ok = NULL;
    assert_int_equal(json_parse(text + 1, 2 * N, &ok, NULL), 0);
    json_t *value = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(json_parse(text, sizeof(text), &value, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "line 1 column 129: nested more than 128 deep"));
    /* Brackets in strings do not count. */
    memset(text, '[', sizeof(text));
    text[0] = text[sizeof(text) - 1] = '"';
    _cleanup_json_ json_t *string = NULL;
    assert_int_equal(json_parse(text, sizeof(text), &string, NULL), 0);
}

struct target {
    int64_t i, milli;
    bool has_i, b;
    double d;
    const char *s;
    const json_t *object, *array, *any;
};

static const struct json_field g_fields[] = {
    {"i", JSON_FIELD_I64, offsetof(struct target, i), .min = -5, .max = 10,
        .has_offset = offsetof(struct target, has_i)},
    {"milli", JSON_FIELD_MILLI, offsetof(struct target, milli), .min = 0, .max = 2500},
    {"b", JSON_FIELD_BOOL, offsetof(struct target, b)},
    {"d", JSON_FIELD_DOUBLE, offsetof(struct target, d)},
    {"a/b~c", JSON_FIELD_STRING, offsetof(struct target, s)},
    {"object", JSON_FIELD_OBJECT, offsetof(struct target, object)},
    {"array", JSON_FIELD_ARRAY, offsetof(struct target, array)},
    {"any", JSON_FIELD_ANY, offsetof(struct target, any)},
};

static int read_target(const char *text, unsigned flags, struct target *t, struct error *err)
{
    _cleanup_json_ json_t *value = parse(text);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    int r = json_read_object(value, "/t/0", g_fields, ARRAY_SIZE(g_fields), flags, t, &arena, err);
    if (t->s)
        t->s = streq(t->s, "text") ? "text" : "other"; /* the arena goes */
    return r;
}

static void test_read_fields(void **state)
{
    struct target t = {.milli = 77};
    struct error err = ERROR_INIT;
    assert_int_equal(read_target("{\"i\":7.0,\"b\":true,\"d\":3,\"a/b~c\":\"text\",\"milli\":null,"
                                 "\"object\":{},\"array\":[],\"any\":false}",
                         0, &t, &err),
        0);
    assert_int_equal(t.i, 7);
    assert_true(t.has_i);
    assert_true(t.b);
    assert_true(t.d >= 3 && t.d <= 3);
    assert_string_equal(t.s, "text");
    assert_int_equal(t.milli, 77); /* null leaves the target as it is */
    assert_non_null(t.object);
    assert_non_null(t.array);
    assert_non_null(t.any);

    t = (struct target){0};
    assert_int_equal(read_target("{\"milli\":0.1,\"new\":1}", JSON_ALLOW_UNKNOWN, &t, &err), 0);
    assert_int_equal(t.milli, 100);
    assert_false(t.has_i);
    assert_int_equal(read_target("{\"milli\":0.0005}", 0, &t, &err), 0);
    assert_int_equal(t.milli, 1);
    assert_int_equal(read_target("{\"milli\":2}", 0, &t, &err), 0);
    assert_int_equal(t.milli, 2000);
}

static void test_read_errors(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "/t/0: expected an object, got an array"},
        {"{\"i\":\"abc\"}", "/t/0/i: expected a whole number, got \"abc\""},
        {"{\"i\":1.5}", "/t/0/i: expected a whole number, got 1.5"},
        {"{\"i\":1e30}", "/t/0/i: expected a whole number, got 1e+30"},
        {"{\"i\":11}", "/t/0/i: expected a number from -5 to 10, got 11"},
        {"{\"milli\":2.6}", "/t/0/milli: expected a number from 0.0 to 2.5, got 2.6"},
        {"{\"milli\":9223372036854775807}",
            "/t/0/milli: expected a number, got 9223372036854775807"},
        {"{\"b\":1}", "/t/0/b: expected true or false, got 1"},
        {"{\"d\":\"1\"}", "/t/0/d: expected a number, got \"1\""},
        {"{\"a/b~c\":{}}", "/t/0/a~1b~0c: expected a string, got an object"},
        {"{\"object\":[]}", "/t/0/object: expected an object, got an array"},
        {"{\"array\":{}}", "/t/0/array: expected an array, got an object"},
        {"{\"i\":1,\"zz\":1}", "/t/0/zz: unknown field"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct target t = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(read_target(cases[i].text, 0, &t, &err), -EINVAL);
        assert_string_equal(err.msg, cases[i].says);
    }
    static const struct json_field required[] = {
        {"id", JSON_FIELD_STRING, offsetof(struct target, s), .required = true}};
    _cleanup_json_ json_t *value = parse("{\"id\":null}");
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct target t = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(json_read_object(value, "", required, 1, 0, &t, &arena, &err), -EINVAL);
    assert_string_equal(err.msg, "/id: required, but missing");
}

static void test_describe(void **state)
{
    char out[256], tiny[4];
    _cleanup_json_ json_t *value = parse("[\"a\\nb\", 3, 2.0, null, {}, true]");
    static const char *const says[] = {"\"a\\nb\"", "3", "2.0", "null", "an object", "true"};
    for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
        json_describe(json_array_get(value, i), out, sizeof(out));
        assert_string_equal(out, says[i]);
    }
    json_describe(NULL, out, sizeof(out));
    assert_string_equal(out, "nothing");
    json_describe(json_array_get(value, 4), tiny, sizeof(tiny));
    assert_string_equal(tiny, "an ");
    json_describe(value, NULL, 0);
    /* A long string is cut where a character starts. */
    char text[80];
    memset(text, 'x', sizeof(text));
    memcpy(text + 63, "\xc3\xa4\xc3\xa4", 4);
    _cleanup_json_ json_t *string = json_stringn(text, sizeof(text));
    json_describe(string, out, sizeof(out));
    assert_int_equal(strlen(out), 1 + 63 + 4);
    assert_string_equal(out + 60, "xxxx...\"");
}

static void test_lookups(void **state)
{
    _cleanup_json_ json_t *v = parse("{\"s\":\"x\",\"i\":4,\"r\":5.0,\"f\":1.5,\"b\":true}");
    assert_string_equal(json_str_at(v, "s", "no"), "x");
    assert_string_equal(json_str_at(v, "i", "no"), "no");
    assert_string_equal(json_str_at(NULL, "i", "no"), "no");
    assert_int_equal(json_i64_at(v, "i", -1), 4);
    assert_int_equal(json_i64_at(v, "r", -1), 5);
    assert_int_equal(json_i64_at(v, "f", -1), -1);
    assert_true(json_double_at(v, "f", 0) > 1.4);
    assert_true(json_double_at(v, "i", 0) > 3.9);
    assert_true(json_bool_at(v, "b", false));
    assert_true(json_bool_at(v, "s", true));
    assert_null(json_at(v, "none"));
    assert_null(json_at(json_at(v, "s"), "deeper"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_any_type),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_depth),
        cmocka_unit_test(test_read_fields),
        cmocka_unit_test(test_read_errors),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_lookups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
