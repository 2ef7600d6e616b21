#include "unit.h"

#include <errno.h>
#include <string.h>

#include "auth/authenticator.h"
#include "base/base64.h"
#include "keys.h"

static const int64_t NOW = 1700000000;
static struct credentials *g_credentials;
static struct jwt_keys *g_keys;
static struct rsa g_rsa;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(credentials_new("bob hush", 8, &g_credentials, NULL), 0);
    rsa_make(&g_rsa, 2048);
    g_keys = jwt_keys_new();
    assert_int_equal(jwt_keys_add_secret(g_keys, "key", 3, NULL), 0);
    assert_int_equal(jwt_keys_add_pem(g_keys, g_rsa.public_pem.p, g_rsa.public_pem.n, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    credentials_free(g_credentials);
    jwt_keys_free(g_keys);
    rsa_done(&g_rsa);
    return 0;
}

static struct authenticator *make(const char *names)
{
    struct authenticator_options o = {.names = names, .credentials = g_credentials, .keys = g_keys};
    struct authenticator *a = NULL;
    struct error err = ERROR_INIT;
    if (authenticator_new(&o, &a, &err) < 0)
        fail_msg("%s: %s", names, err.msg);
    return a;
}

static const char *basic(struct arena *arena, const char *pair)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    base64_encode(&text, pair, strlen(pair));
    return arena_printf(arena, "Basic %s", buf_cstr(&text));
}

static void basic_rows(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const struct {
        const char *header;
        bool good;
    } table[] = {
        {NULL, false},
        {"", false},
        {"Basic", false},
        {"Basic ", false},
        {"Basic !!!!", false},
        {"Basic Ym9iOmh1c2g= x", false},
        {"Bearer Ym9iOmh1c2g=", false},
        {basic(&arena, "bob:hush"), true},
        {basic(&arena, "bob:hush2"), false},
        {basic(&arena, "bob:"), false},
        {basic(&arena, "bob"), false},
        {basic(&arena, ":hush"), false},
        {basic(&arena, "eve:hush"), false},
        {"Basic Ym9iOmh1c2gA", false}, /* a NUL at the end */
        {"basic Ym9iOmh1c2g=", true},
    };
    _cleanup_(authenticator_freep)
    struct authenticator *a = make("basic");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct auth_verdict v;
        authenticator_check(a, str_of(table[i].header), "mesos-x", NOW, &arena, &v);
        if (table[i].good != !v.challenge)
            fail_msg("row %zu: %s", i, table[i].header);
        if (v.challenge) {
            assert_string_equal(v.challenge, "Basic realm=\"mesos-x\"");
            assert_null(v.who.principal);
        } else {
            assert_string_equal(v.who.principal, "bob");
        }
    }
}

static void jwt_rows(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_(authenticator_freep)
    struct authenticator *a = make("jwt");
    static const struct {
        const char *header, *challenge;
    } table[] = {
        {NULL, "Bearer realm=\"r\""},
        {"Bearer", "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"Malformed "
                   "'Authorization' header\""},
        {"Basic abc", "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"Scheme "
                      "'Basic' unrecognized\""},
        {"Ba\"s\\c abc", "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"Scheme "
                         "'Ba?s?c' unrecognized\""},
        {"Bearer abc", "Bearer realm=\"r\", error=\"invalid_token\", error_description=\"Invalid "
                       "JWT: Expected 3 components in token, got 1\""},
    };
    struct auth_verdict v;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        authenticator_check(a, str_of(table[i].header), "r", NOW, &arena, &v);
        assert_non_null(v.challenge);
        assert_string_equal(v.challenge, table[i].challenge);
    }
    _cleanup_buf_ struct buf token = BUF_INIT;
    buf_puts(&token, "Bearer ");
    jwt_make_hs256("key", 3, STR("{\"uid\":\"bob\",\"cid\":\"c\"}"), &token);
    authenticator_check(a, buf_str(&token), "r", NOW, &arena, &v);
    assert_null(v.challenge);
    assert_null(v.who.principal); /* claims only */
    assert_string_equal(auth_claim_get(&v.who, "cid"), "c");
    buf_clear(&token);
    buf_puts(&token, "Bearer ");
    assert_int_equal(
        jwt_make_rs256(buf_str(&g_rsa.private_pem), NULL, STR("{\"uid\":\"bob\"}"), &token, NULL),
        0);
    authenticator_check(a, buf_str(&token), "r", NOW, &arena, &v);
    assert_null(v.challenge);
    assert_string_equal(v.who.principal, "bob");
}

static void combined(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_(authenticator_freep)
    struct authenticator *a = make("basic, jwt");
    struct auth_verdict v;
    authenticator_check(a, (struct str){0}, "r", NOW, &arena, &v);
    assert_string_equal(v.challenge, "Basic realm=\"r\",Bearer realm=\"r\"");
    authenticator_check(a, str_of(basic(&arena, "bob:hush")), "r", NOW, &arena, &v);
    assert_null(v.challenge);
    assert_string_equal(v.who.principal, "bob");
    _cleanup_buf_ struct buf token = BUF_INIT;
    buf_puts(&token, "Bearer ");
    jwt_make_hs256("key", 3, STR("{}"), &token);
    authenticator_check(a, buf_str(&token), "r", NOW, &arena, &v);
    assert_null(v.challenge);
}

static void refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", "basic,", "digest", "basic,basic,basic,jwt,jwt"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct authenticator_options o = {
            .names = names[i], .credentials = g_credentials, .keys = g_keys};
        struct authenticator *a = NULL;
        assert_int_equal(authenticator_new(&o, &a, NULL), -EINVAL);
        assert_null(a);
    }
    struct authenticator *a = NULL;
    assert_int_equal(
        authenticator_new(&(struct authenticator_options){.names = "basic"}, &a, NULL), -EINVAL);
    assert_int_equal(
        authenticator_new(&(struct authenticator_options){.names = "jwt"}, &a, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basic_rows),
        cmocka_unit_test(jwt_rows),
        cmocka_unit_test(combined),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
