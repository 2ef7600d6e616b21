#include "json/writer.h"

#include <math.h>

#include "base/parse.h"
#include "base/rng.h"
#include "unit.h"

struct fixture {
    struct buf out;
    struct json_writer w;
};

static struct json_writer *fresh(struct fixture *f)
{
    buf_clear(&f->out);
    jw_init(&f->w, &f->out);
    return &f->w;
}

#define _cleanup_fixture_ _cleanup_(fixture_done)
static void fixture_done(struct fixture *f)
{
    buf_done(&f->out);
}

static void put_sample(struct json_writer *w)
{
    jw_begin_object(w);
    jw_field_string(w, "id", "a");
    jw_key(w, "list");
    jw_begin_array(w);
    jw_i64(w, 1);
    jw_null(w);
    jw_begin_object(w);
    jw_end_object(w);
    jw_begin_array(w);
    jw_end_array(w);
    jw_end_array(w);
    jw_field_string(w, "none", NULL);
    jw_field_i64(w, "min", INT64_MIN);
    jw_field_bool(w, "t", true);
    jw_field_double(w, "d", 15);
    jw_key(w, "raw");
    jw_raw(w, "[1]", 3);
    jw_key(w, "u");
    jw_u64(w, UINT64_MAX);
    jw_end_object(w);
}

static void test_compact(void **state)
{
    _cleanup_fixture_ struct fixture f = {0};
    put_sample(fresh(&f));
    assert_string_equal(buf_cstr(&f.out),
        "{\"id\":\"a\",\"list\":[1,null,{},[]],\"none\":null,\"min\":-9223372036854775808,"
        "\"t\":true,\"d\":15.0,\"raw\":[1],\"u\":18446744073709551615}");
}

static void test_indent(void **state)
{
    static const char text[] = "{\n"
                               "  \"a\": [\n"
                               "    1,\n"
                               "    {}\n"
                               "  ],\n"
                               "  \"b\": []\n"
                               "}";
    _cleanup_fixture_ struct fixture f = {0};
    struct json_writer *w = fresh(&f);
    w->indent = 2;
    jw_begin_object(w);
    jw_key(w, "a");
    jw_begin_array(w);
    jw_i64(w, 1);
    jw_begin_object(w);
    jw_end_object(w);
    jw_end_array(w);
    jw_key(w, "b");
    jw_begin_array(w);
    jw_end_array(w);
    jw_end_object(w);
    assert_string_equal(buf_cstr(&f.out), text);

    /* A tree looks the same as calls that write the same. */
    _cleanup_json_ json_t *tree = NULL;
    assert_int_equal(json_parse(text, sizeof(text) - 1, &tree, NULL), 0);
    w = fresh(&f);
    w->indent = 2;
    jw_tree(w, tree);
    assert_string_equal(buf_cstr(&f.out), text);
}

static void test_strings(void **state)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain text, long enough for whole words", 39,
            "\"plain text, long enough for whole words\""},
        {"\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\""},
        {"12345678\"12345678\\", 18, "\"12345678\\\"12345678\\\\\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", 1, "\"\xef\xbf\xbd\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
        {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {"\xf4\x90\x80\x80", 4,
            "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* above U+10FFFF */
        {"\xe2\x82x", 3, "\"\xef\xbf\xbdx\""},                       /* cut short */
        {"a\xf0\x9f\x98", 4, "\"a\xef\xbf\xbd\""},
    };
    _cleanup_fixture_ struct fixture f = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        jw_string_n(fresh(&f), cases[i].in, cases[i].n);
        assert_string_equal(buf_cstr(&f.out), cases[i].out);
    }
    /* Every byte at every place of a word takes the right way. */
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 24; at++) {
            char text[24];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            jw_string_n(fresh(&f), text, sizeof(text));
            _cleanup_json_ json_t *back = json_loadb(
                f.out.p, f.out.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_non_null(back);
            if (c < 0x80) {
                assert_int_equal(json_string_length(back), sizeof(text));
                assert_memory_equal(json_string_value(back), text, sizeof(text));
            } else {
                assert_int_equal(json_string_length(back), sizeof(text) + 2);
            }
        }
    }
}

static void test_doubles(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-15, "-15.0"},
        {0.1, "0.1"},
        {1.5, "1.5"},
        {0.001, "0.001"},
        {-0.25, "-0.25"},
        {123456.789, "123456.789"},
        {1e11, "100000000000.0"},
        {123456789012345, "123456789012345.0"},
        {(double)INT64_C(9007199254740993), "9007199254740992.0"},
        {1e15, "1e+15"},
        {1e300, "1e+300"},
        {0.0001, "0.0001"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {0.1 + 0.2, "0.30000000000000004"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {(double)INFINITY, "Infinity"},
        {-(double)INFINITY, "-Infinity"},
        {(double)NAN, "null"},
        {1437000000.123, "1437000000.123"},
        {1437000000.1234567, "1437000000.1234567"},
    };
    _cleanup_fixture_ struct fixture f = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        jw_double(fresh(&f), cases[i].v);
        assert_string_equal(buf_cstr(&f.out), cases[i].text);
    }
}

static void test_doubles_round_trip(void **state)
{
    _cleanup_fixture_ struct fixture f = {0};
    struct rng rng;
    rng_init(&rng, 7);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t bits = rng_next(&rng);
        double v, back;
        memcpy(&v, &bits, sizeof(v));
        if (i % 4 == 1)
            v = (double)(int64_t)bits / 1000;
        else if (i % 4 == 2)
            v = (double)(bits >> 20) / 1000;
        else if (i % 4 == 3)
            v = (double)(bits >> 40) / 7;
        if (!isfinite(v))
            continue;
        jw_double(fresh(&f), v);
        assert_int_equal(parse_double(buf_str(&f.out), &back), 0);
        if (memcmp(&v, &back, sizeof(v)) != 0)
            fail_msg("%a came back as %a from %s", v, back, buf_cstr(&f.out));
    }
}

/* Microseconds since the epoch in seconds: the shortest text, as strtod and printf find it. */
static void test_times(void **state)
{
    _cleanup_fixture_ struct fixture f = {0};
    struct rng rng;
    rng_init(&rng, 8);
    for (unsigned i = 0; i < 50000; i++) {
        int64_t us = (int64_t)(rng_next(&rng) % UINT64_C(9000000000000000));
        double v = (double)us / 1e6, back = 0;
        char text[40];
        for (int precision = 1; precision <= 17 && back != v; precision++) {
            snprintf(text, sizeof(text), "%.*g", precision, v);
            assert_int_equal(parse_double(str_of(text), &back), 0);
        }
        if (strpbrk(text, "e") || !strpbrk(text, "."))
            continue;
        jw_double(fresh(&f), v);
        assert_string_equal(buf_cstr(&f.out), text);
    }
}

static void test_milli(void **state)
{
    static const struct {
        int64_t v;
        const char *text;
    } cases[] = {{0, "0.0"}, {1, "0.001"}, {10, "0.01"}, {100, "0.1"}, {1500, "1.5"}, {2000, "2.0"},
        {-1, "-0.001"}, {-2250, "-2.25"}, {1234567, "1234.567"},
        {INT64_MAX, "9223372036854775.807"}, {INT64_MIN, "-9223372036854775.808"}};
    _cleanup_fixture_ struct fixture f = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        jw_milli(fresh(&f), cases[i].v);
        assert_string_equal(buf_cstr(&f.out), cases[i].text);
    }
}

static void test_tree(void **state)
{
    static const char text[] = "{\"z\":[1,2.0,-3.25,\"\\u0001\",{}],\"a\":{\"n\":null,\"t\":true,"
                               "\"f\":false},\"\\\"\":1e+20}";
    _cleanup_fixture_ struct fixture f = {0};
    _cleanup_json_ json_t *tree = NULL;
    assert_int_equal(json_parse(text, sizeof(text) - 1, &tree, NULL), 0);
    jw_tree(fresh(&f), tree);
    assert_string_equal(buf_cstr(&f.out), text);
    /* As a member, and NULL. */
    struct json_writer *w = fresh(&f);
    jw_begin_array(w);
    jw_tree(w, json_at(tree, "a"));
    jw_tree(w, NULL);
    jw_end_array(w);
    assert_string_equal(buf_cstr(&f.out), "[{\"n\":null,\"t\":true,\"f\":false},null]");
}

/* A document of the greatest depth can be written inside a deep document of ours. */
static void test_deep_tree(void **state)
{
    char text[2 * JSON_DEPTH_MAX];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    _cleanup_json_ json_t *tree = NULL;
    assert_int_equal(json_parse(text, sizeof(text), &tree, NULL), 0);
    _cleanup_fixture_ struct fixture f = {0};
    struct json_writer *w = fresh(&f);
    for (unsigned i = 0; i < JSON_WRITER_DEPTH; i++)
        jw_begin_array(w);
    jw_tree(w, tree);
    for (unsigned i = 0; i < JSON_WRITER_DEPTH; i++)
        jw_end_array(w);
    assert_int_equal(f.out.n, 2 * (JSON_DEPTH_MAX + JSON_WRITER_DEPTH));
}

struct sink {
    struct buf all;
    unsigned calls;
};

static void drain(struct json_writer *w, void *userdata)
{
    struct sink *sink = userdata;
    assert_true(w->out->n >= w->flush_at);
    buf_append(&sink->all, w->out->p, w->out->n);
    buf_clear(w->out);
    sink->calls++;
}

static void test_flush(void **state)
{
    _cleanup_fixture_ struct fixture whole = {0}, parts = {0};
    struct sink sink = {0};
    put_sample(fresh(&whole));
    struct json_writer *w = fresh(&parts);
    w->flush = drain;
    w->userdata = &sink;
    w->flush_at = 16;
    put_sample(w);
    buf_append(&sink.all, parts.out.p, parts.out.n);
    assert_true(sink.calls > 3);
    assert_string_equal(buf_cstr(&sink.all), buf_cstr(&whole.out));
    buf_done(&sink.all);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_indent),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_doubles_round_trip),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_milli),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_deep_tree),
        cmocka_unit_test(test_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
