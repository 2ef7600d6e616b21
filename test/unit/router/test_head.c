#include "unit.h"

#include "base/alloc.h"
#include "router/head.h"

static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *header, *token;
    } rows[] = {
        {"token=abc", "abc"},
        {"JWT token=abc", "abc"},
        {"Bearer abc", "abc"},
        {"Bearer token=abc", "abc"},
        {"token=", ""},
        {"token=a b;c", "a b;c"},
        {"bearer abc", NULL},
        {"Basic abc", NULL},
        {"", NULL},
        {"toke", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct str found;
        const bool has = head_token(str_of(rows[i].header), &found);
        assert_int_equal(has, rows[i].token != NULL);
        if (has)
            assert_true(str_eq_c(found, rows[i].token));
    }
}

static void cookies(void **state)
{
    (void)state;
    static const struct {
        const char *header, *scrubbed, *token;
    } rows[] = {
        {"", "", NULL},
        {"a=1", "a=1", NULL},
        {"a=1;b=2", "a=1; b=2", NULL},
        {"dcos-acs-auth-cookie=x", "", "x"},
        {"dcos-acs-auth-cookie=x; a=1", "a=1", "x"},
        {"a=1; dcos-acs-auth-cookie=x=y ;b", "a=1; b", "x=y"},
        {"dcos-acs-auth-cookie = x", "", " x"},
        {"dcos-acs-auth-cookie", "", ""},
        {"dcos-acs-info-cookie=e; Dcos-acs-auth-cookie=x", "Dcos-acs-auth-cookie=x", NULL},
        {"xdcos-acs-auth-cookie=1; dcos-acs-auth-cookies=2",
            "xdcos-acs-auth-cookie=1; dcos-acs-auth-cookies=2", NULL},
        {" ;; ; =; ", "=", NULL},
        {"dcos-acs-auth-cookie=1; dcos-acs-auth-cookie=2; c=3", "c=3", "1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct str header = str_of(rows[i].header);
        _cleanup_free_ char *out = xmalloc(head_scrub_size(header.n) + 1);
        struct str token = {0};
        out[head_scrub(header, out, 0)] = '\0';
        assert_string_equal(out, rows[i].scrubbed);
        assert_int_equal(
            head_cookie(header, "dcos-acs-auth-cookie", &token), rows[i].token != NULL);
        if (rows[i].token)
            assert_true(str_eq_c(token, rows[i].token));
    }
}

static void paths(void **state)
{
    (void)state;
    static const char *const plain[] = {"/", "/a", "/a/", "/a/b.c", "/a/...", "/.a", "/a..",
        "/..a/b", "/a%20b%3F%23", "/%E2%82%AC", "/a%252Fb", "/a;b=c,d"};
    static const char *const tricky[] = {"", "a", "//", "/a//b", "/.", "/..", "/./a", "/a/..",
        "/a/../b", "/a/.", "/%2e", "/%2E%2e", "/a%2fb", "/a%2F", "/a%5cb", "/a%5C", "/a%00",
        "/a\\b", "/a b", "/a#b", "/a%", "/a%2", "/a%zz", "/\x7f", "/\xe2"};
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (!head_path_is_plain(str_of(plain[i])))
            fail_msg("%s is plain", plain[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tricky); i++) {
        if (head_path_is_plain(str_of(tricky[i])))
            fail_msg("%s is not plain", tricky[i]);
    }
}

static void inheritance(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *rid;
        bool covers;
    } rows[] = {
        {"dcos:adminrouter", "dcos:adminrouter:ops:mesos", true},
        {"dcos:adminrouter:ops:mesos", "dcos:adminrouter:ops:mesos", true},
        {"dcos:adminrouter:ops:mesos", "dcos:adminrouter:ops:mesos-dns", false},
        {"dcos:adminrouter:service", "dcos:adminrouter:service:a/b", true},
        {"dcos:adminrouter:service:a", "dcos:adminrouter:service:a/b", false},
        {"dcos:adminrouter:service:a/b", "dcos:adminrouter:service:a", false},
        {"", "dcos", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(head_covers(rows[i].entry, str_of(rows[i].rid)), rows[i].covers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(cookies),
        cmocka_unit_test(paths),
        cmocka_unit_test(inheritance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
