#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "http/http.h"

static void escapes(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena a = ARENA_INIT;
    static const struct {
        const char *in, *path, *query;
    } cases[] = {
        {"", "", ""},
        {"abc", "abc", "abc"},
        {"a+b", "a+b", "a b"},
        {"%41%2f%7E", "A/~", "A/~"},
        {"a%", NULL, NULL},
        {"a%4", NULL, NULL},
        {"%4", NULL, NULL},
        {"a%zz", NULL, NULL},
        {"a%00", NULL, NULL},
        {"%C3%A9", "\xc3\xa9", "\xc3\xa9"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int plus = 0; plus < 2; plus++) {
            const char *want = plus ? cases[i].query : cases[i].path;
            struct str got = http_unescape(str_of(cases[i].in), plus, &a);
            if (want)
                assert_true(got.p && str_eq_c(got, want));
            else
                assert_null(got.p);
        }
    _cleanup_buf_ struct buf b = BUF_INIT;
    http_escape(&b, STR("aZ09-._~ /\xc3%"));
    assert_string_equal(b.p, "aZ09-._~%20%2F%C3%25");
}

static void params(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena a = ARENA_INIT;
    struct http_params p;
    assert_int_equal(http_params_parse(STR("a=1&b=x%20y+z&&c&a=2&d="), &a, &p), 0);
    assert_int_equal(p.n, 5);
    assert_true(str_eq_c(http_params_get(&p, "a"), "1"));
    assert_true(str_eq_c(http_params_get(&p, "b"), "x y z"));
    assert_true(http_params_get(&p, "c").p && http_params_get(&p, "c").n == 0);
    assert_null(http_params_get(&p, "e").p);
    assert_true(str_eq_c(p.items[3].value, "2"));
    assert_int_equal(http_params_parse(STR("a=%zz"), &a, &p), -EINVAL);
    assert_int_equal(http_params_parse(STR(""), &a, &p), 0);
    assert_int_equal(p.n, 0);
    _cleanup_buf_ struct buf many = BUF_INIT;
    for (int i = 0; i < 1000; i++)
        buf_puts(&many, "x&");
    assert_int_equal(http_params_parse(buf_str(&many), &a, &p), -EINVAL);
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seen;
    } cases[] = {
        {"http://host", "0 host 80 /"},
        {"https://host", "1 host 443 /"},
        {"HTTP://host:8080/a/b?c=d#e", "0 host 8080 /a/b?c=d"},
        {"http://host:/x", "0 host 80 /x"},
        {"http://u:p@host/x@y", "0 host 80 /x@y u:p"},
        {"http://[::1]:5050/", "0 ::1 5050 /"},
        {"http://[::1]", "0 ::1 80 /"},
        {"ftp://host", NULL},
        {"host", NULL},
        {"", NULL},
        {":", NULL},
        {"http:host", NULL},
        {"http://", NULL},
        {"http:///x", NULL},
        {"http://:80/", NULL},
        {"http://host:0/", NULL},
        {"http://host:65536/", NULL},
        {"http://host:+80/", NULL},
        {"http://host:8 0/", NULL},
        {"http://host:80:90/", NULL},
        {"http://[::1/", NULL},
        {"http://[::1]x/", NULL},
        {"http://host?x", NULL},
        {"http://ho st/", NULL},
        {"http://host/\r\nX: y", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_url u;
        struct error err = ERROR_INIT;
        int r = http_url_parse(str_of(cases[i].text), &u, &err);
        if (!cases[i].seen) {
            if (r != -EINVAL || !err.msg[0])
                fail_msg("%s was accepted", cases[i].text);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", cases[i].text, err.msg);
        char seen[200];
        snprintf(seen, sizeof(seen), "%d %.*s %u %.*s%s%.*s", u.tls, STR_ARG(u.host), u.port,
            STR_ARG(u.target), u.userinfo.n ? " " : "", STR_ARG(u.userinfo));
        assert_string_equal(seen, cases[i].seen);
    }
}

static void accepts(void **state)
{
    (void)state;
    static const struct {
        const char *accept, *type;
        bool want;
    } cases[] = {
        {NULL, "application/json", true},
        {"application/json", "application/json", true},
        {"Application/JSON; charset=utf-8", "application/json", true},
        {"application/json;q=x", "application/json", false},
        {"text/html, application/*;q=0.5", "application/json", true},
        {"*/*", "application/json", true},
        {"text/html", "application/json", false},
        {"application/json;q=0", "application/json", false},
        {"*/*, application/json; q=0.0", "application/json", false},
        {"application/jso", "application/json", false},
        {"app/*", "application/json", false},
        {"application/x-protobuf", "application/json", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (http_accepts(str_of(cases[i].accept), cases[i].type) != cases[i].want)
            fail_msg("case %zu", i);
}

static void headers(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena a = ARENA_INIT;
    struct http_header items[] = {
        {STR("A"), STR("1")}, {STR("b"), STR("2")}, {STR("a"), STR("")}, {STR("A"), STR("3")}};
    struct http_headers h = {items, ARRAY_SIZE(items)};
    assert_true(str_eq_c(http_headers_get(&h, "a"), "1"));
    assert_true(str_eq_c(http_headers_join(&h, "a", &a), "1, , 3"));
    assert_true(str_eq_c(http_headers_join(&h, "B", &a), "2"));
    assert_null(http_headers_join(&h, "c", &a).p);
    assert_int_equal(http_method_parse(STR("PATCH")), HTTP_PATCH);
    assert_int_equal(http_method_parse(STR("get")), HTTP_METHOD_OTHER);
    assert_string_equal(http_method_name(HTTP_DELETE), "DELETE");
    assert_string_equal(http_status_text(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_text(799), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(escapes), cmocka_unit_test(params),
        cmocka_unit_test(urls), cmocka_unit_test(accepts), cmocka_unit_test(headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
