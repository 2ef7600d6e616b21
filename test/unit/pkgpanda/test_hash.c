#include "pkgpanda/hash.h"

#include <errno.h>

#include "unit.h"

/* The hashes that the original computes for the same documents. */
static void test_vectors(void **state)
{
    static const struct {
        const char *json, *hash; /* NULL = has none */
    } rows[] = {
        {"\"\"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"[]", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"{}", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"7", "902ba3cda1883801594b6e1b452790cc53948fda"},
        {"true", "88b33e4e12f75ac8bf792aebde41f1a090f3a612"},
        {"[\"b\",\"a\"]", "0421aff1ede93c890870a448b6fcfe3b0079f5ec"},
        {"[\"a\",\"b\"]", "0421aff1ede93c890870a448b6fcfe3b0079f5ec"},
        {"{\"k\":\"v\"}", "9bf02880d3bd6999f0308d739452e2a3db67bba5"},
        {"{\"t\":false,\"n\":{\"x\":[\"b\",\"a\"]}}", "2b91a86524338ee6c3c79c04365b2eb67d1c33f0"},
        {"[\"b--1\",\"a--2\"]", "1ffc383e718afb8b3f189a92a36c0873fd76c79b"},
        {"{\"name\":\"foo\",\"variant\":\"\",\"sources\":{},"
         "\"build\":\"33d4cf9b1f2d3c42b2c4cfd507626057d20d7c52\",\"pkgpanda_version\":\"0.2\","
         "\"docker\":\"sha256:00\",\"environment\":{},\"requires\":[],\"state_directory\":false}",
            "cf03ade83e36ec3a0bdfefc79b2731b430d77ff8"},
        {"null", NULL},
        {"1.5", NULL},
        {"{\"a\":null}", NULL},
        {"[\"a\",1]", NULL},
        {"[{\"a\":\"b\"}]", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_json_ json_t *json = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        char hash[SHA1_TEXT] = "";
        struct error err = ERROR_INIT;
        assert_non_null(json);
        int r = content_hash(json, hash, &err);
        assert_int_equal(r, rows[i].hash ? 0 : -EINVAL);
        if (rows[i].hash)
            assert_string_equal(hash, rows[i].hash);
        else
            assert_true(err.msg[0] != '\0');
    }
}

static void test_texts(void **state)
{
    _cleanup_json_ json_t *json = json_loads("{\"b\":[1,\"\\u00e9\"],\"a\":{}}", 0, NULL);
    _cleanup_buf_ struct buf pretty = BUF_INIT, line = BUF_INIT;
    json_write_pretty(json, &pretty);
    assert_string_equal(
        buf_cstr(&pretty), "{\n  \"a\":{},\n  \"b\":[\n    1,\n    \"\\u00E9\"\n  ]\n}");
    json_write_line(json_object_get(json, "b"), &line);
    assert_string_equal(buf_cstr(&line), "[1, \"\\u00E9\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
