#include "unit.h"

#include "console/print.h"

static void check(const char *json, unsigned indent, unsigned flags, const char *want)
{
    json_t *value = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(json_parse(json, strlen(json), &value, &err), 0);
    struct buf out = BUF_INIT;
    json_format(value, indent, flags, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_done(&out);
    json_decref(value);
}

static void formats(void **state)
{
    (void)state;
    check("{\"b\":1,\"a\":[1.0,2.5,\"<&>\"],\"c\":{}}", 4, 0,
        "{\n    \"b\": 1,\n    \"a\": [\n        1,\n        2.5,\n"
        "        \"\\u003c\\u0026\\u003e\"\n    ],\n    \"c\": {}\n}\n");
    check("{\"b\":1,\"a\":{\"z\":null,\"y\":true}}", 2, PRINT_SORTED,
        "{\n  \"a\": {\n    \"y\": true,\n    \"z\": null\n  },\n  \"b\": 1\n}\n");
    check("[]", 4, 0, "[]\n");
}

/* Everything that can be read can be printed. */
static void deep(void **state)
{
    (void)state;
    char text[2 * 100 + 1] = {0};
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    json_t *value = NULL;
    assert_int_equal(json_parse(text, 200, &value, NULL), 0);
    struct buf out = BUF_INIT;
    json_format(value, 1, 0, &out);
    json_t *again = NULL;
    assert_int_equal(json_parse(buf_cstr(&out), out.n, &again, NULL), 0);
    assert_true(json_equal(value, again));
    json_decref(again);
    buf_done(&out);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formats), cmocka_unit_test(deep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
