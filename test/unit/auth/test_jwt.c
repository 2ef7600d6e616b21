#include "unit.h"

#include <errno.h>
#include <string.h>

#include "keys.h"

static const int64_t NOW = 1700000000;
static struct rsa g_rsa, g_other;

static int make_keys(void **state)
{
    (void)state;
    rsa_make(&g_rsa, 2048);
    rsa_make(&g_other, 2048);
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    rsa_done(&g_rsa);
    rsa_done(&g_other);
    return 0;
}

static int verify(const struct jwt_keys *k, struct str token, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    return jwt_verify(k, token, NOW, &arena, &jwt, err);
}

static void expect(const struct jwt_keys *k, struct str token, const char *error)
{
    struct error err = ERROR_INIT;
    int r = verify(k, token, &err);
    if (error ? r != -EACCES || !strstr(err.msg, error) : r != 0)
        fail_msg(STR_FMT ": got %d '%s', expected '%s'", STR_ARG(token), r, err.msg,
            error ? error : "success");
}

/* A token with these two parts, signed with the secret "key". */
static void put(struct buf *out, const char *header, const char *payload)
{
    buf_clear(out);
    base64url_encode(out, header, strlen(header));
    buf_putc(out, '.');
    base64url_encode(out, payload, strlen(payload));
    unsigned char mac[32];
    unsigned n = sizeof(mac);
    HMAC(EVP_sha256(), "key", 3, (const unsigned char *)out->p, out->n, mac, &n);
    buf_putc(out, '.');
    base64url_encode(out, mac, n);
}

static struct jwt_keys *secret_keys(const char *secret)
{
    struct jwt_keys *k = jwt_keys_new();
    assert_int_equal(jwt_keys_add_secret(k, secret, strlen(secret), NULL), 0);
    return k;
}

static void rfc7515_example(void **state)
{
    (void)state;
    /* Appendix A.1 of RFC 7515; it expired in 2011. */
    static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
                            "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    static const char token[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
        "VlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    _cleanup_buf_ struct buf secret = BUF_INIT;
    assert_int_equal(base64url_decode(&secret, str_of(k)), 0);
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *keys = jwt_keys_new();
    assert_int_equal(jwt_keys_add_secret(keys, secret.p, secret.n, NULL), 0);
    expect(keys, str_of(token), "Token has expired");
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    assert_int_equal(jwt_verify(keys, str_of(token), 1300819379, &arena, &jwt, NULL), 0);
    assert_int_equal(jwt.n_claims, 1); /* those that are strings */
    assert_string_equal(jwt.claims[0].name, "iss");
    assert_string_equal(jwt.claims[0].value, "joe");
    assert_false(jwt.asymmetric);
}

static void claims_and_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header, *payload, *error;
    } table[] = {
        {"{\"alg\":\"HS256\"}", "{\"fid\":\"f\"}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{}", NULL},
        {"{\"alg\":\"HS256\",\"typ\":1}", "{}", "'typ' is not a string"},
        {"{\"typ\":\"JWT\"}", "{}", "'alg' is not a string"},
        {"{\"alg\":[\"HS256\"]}", "{}", "'alg' is not a string"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "{}", "'crit'"},
        {"{\"alg\":\"HS256\",\"crit\":null}", "{}", "'crit'"},
        {"{\"alg\":\"HS256\",\"kid\":7}", "{}", "'kid' is not a string"},
        {"{\"alg\":\"none\"}", "{}", "Unsupported token algorithm"},
        {"{\"alg\":\"None\"}", "{}", "Unsupported token algorithm"},
        {"{\"alg\":\"\"}", "{}", "Unsupported token algorithm"},
        {"{\"alg\":\"HS384\"}", "{}", "Unsupported token algorithm"},
        {"{\"alg\":\"RS256\"}", "{}", "signature does not match"},
        {"[]", "{}", "header is not a JSON object"},
        {"", "{}", "header is not a JSON object"},
        {"{\"alg\":\"HS256\"}", "[]", "payload is not a JSON object"},
        {"{\"alg\":\"HS256\"}", "", "payload is not a JSON object"},
        {"{\"alg\":\"HS256\"}", "{\"exp\":\"1\"}", "'exp' is not a number"},
        {"{\"alg\":\"HS256\"}", "{\"exp\":null}", "'exp' is not a number"},
        {"{\"alg\":\"HS256\"}", "{\"exp\":1700000000}", "expired"},
        {"{\"alg\":\"HS256\"}", "{\"exp\":1700000001}", NULL},
        {"{\"alg\":\"HS256\"}", "{\"exp\":1700000000.5}", NULL},
        {"{\"alg\":\"HS256\"}", "{\"exp\":1e300}", NULL},
        {"{\"alg\":\"HS256\"}", "{\"exp\":-1}", "expired"},
        {"{\"alg\":\"HS256\"}", "{\"nbf\":1700000001}", "not valid yet"},
        {"{\"alg\":\"HS256\"}", "{\"nbf\":1700000000}", NULL},
        {"{\"alg\":\"HS256\"}", "{\"nbf\":{}}", "'nbf' is not a number"},
        {"{\"alg\":\"HS256\"}", "{\"a\":1,\"a\":2}", "payload is not a JSON object"},
    };
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = secret_keys("key");
    _cleanup_buf_ struct buf token = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        put(&token, table[i].header, table[i].payload);
        expect(k, buf_str(&token), table[i].error);
    }
}

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } table[] = {
        {"", "Expected 3 components in token, got 1"},
        {"a", "Expected 3 components in token, got 1"},
        {"a.b", "Expected 3 components in token, got 2"},
        {"a.b.c.d", "Expected 3 components in token, got 4"},
        {"..", "header is not a JSON object"},
        {"!.e30.e30", "base64url-decode the header"},
        {"eyJhbGciOiJIUzI1NiJ9.e30.=", "base64url-decode the signature"},
        {"eyJhbGciOiJIUzI1NiJ9.e30.", "signature does not match"},
        {"eyJhbGciOiJub25lIn0.e30.", "Unsupported token algorithm"},
    };
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = secret_keys("key");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        expect(k, str_of(table[i].text), table[i].error);
    _cleanup_buf_ struct buf large = BUF_INIT;
    while (large.n <= JWT_TEXT_MAX)
        buf_puts(&large, "aaaa");
    expect(k, buf_str(&large), "larger than");
}

static void every_changed_bit_is_seen(void **state)
{
    (void)state;
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = secret_keys("key");
    _cleanup_buf_ struct buf token = BUF_INIT;
    jwt_make_hs256("key", 3, STR("{\"fid\":\"f\",\"eid\":\"e\"}"), &token);
    expect(k, buf_str(&token), NULL);
    for (size_t i = 0; i < token.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            token.p[i] = (char)(token.p[i] ^ (1 << bit));
            assert_int_equal(verify(k, buf_str(&token), NULL), -EACCES);
            token.p[i] = (char)(token.p[i] ^ (1 << bit));
        }
    }
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *other = secret_keys("kez");
    expect(other, buf_str(&token), "signature does not match");
}

static void public_keys(void **state)
{
    (void)state;
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = jwt_keys_new();
    assert_int_equal(jwt_keys_add_pem(k, g_rsa.public_pem.p, g_rsa.public_pem.n, NULL), 0);
    _cleanup_buf_ struct buf token = BUF_INIT;
    assert_int_equal(jwt_make_rs256(buf_str(&g_rsa.private_pem), "k1",
                         STR("{\"uid\":\"bob\",\"exp\":1700000001}"), &token, NULL),
        0);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    assert_int_equal(jwt_verify(k, buf_str(&token), NOW, &arena, &jwt, NULL), 0);
    assert_true(jwt.asymmetric);
    struct auth_subject who = {.claims = jwt.claims, .n_claims = jwt.n_claims};
    assert_string_equal(auth_claim_get(&who, "uid"), "bob");
    assert_null(auth_claim_get(&who, "exp"));
    char *letter = token.p + token.n - 5;
    *letter = *letter == 'A' ? 'B' : 'A';
    expect(k, buf_str(&token), "signature does not match");
    buf_clear(&token);
    assert_int_equal(
        jwt_make_rs256(buf_str(&g_other.private_pem), NULL, STR("{}"), &token, NULL), 0);
    expect(k, buf_str(&token), "signature does not match");
}

/* The oldest trick: a token signed with HS256 whose secret is the public key's text. */
static void public_key_is_no_secret(void **state)
{
    (void)state;
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = jwt_keys_new();
    assert_int_equal(jwt_keys_add_pem(k, g_rsa.public_pem.p, g_rsa.public_pem.n, NULL), 0);
    _cleanup_buf_ struct buf token = BUF_INIT;
    jwt_make_hs256(g_rsa.public_pem.p, g_rsa.public_pem.n, STR("{\"uid\":\"root\"}"), &token);
    expect(k, buf_str(&token), "signature does not match");
}

static void put_set(struct buf *out, const struct rsa *r, const char *kid, const char *more)
{
    buf_clear(out);
    buf_printf(out,
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"},"
        "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"%s}]}",
        kid, r->n.p, r->e.p, more);
}

static void key_sets(void **state)
{
    (void)state;
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = secret_keys("key");
    _cleanup_buf_ struct buf set = BUF_INIT;
    _cleanup_buf_ struct buf one = BUF_INIT;
    _cleanup_buf_ struct buf two = BUF_INIT;
    assert_int_equal(jwt_make_rs256(buf_str(&g_rsa.private_pem), "one", STR("{}"), &one, NULL), 0);
    assert_int_equal(
        jwt_make_rs256(buf_str(&g_other.private_pem), "two", STR("{}"), &two, NULL), 0);
    put_set(&set, &g_rsa, "one", ",\"use\":\"sig\",\"alg\":\"RS256\"");
    assert_int_equal(jwt_keys_set_jwks(k, set.p, set.n, NULL), 0);
    expect(k, buf_str(&one), NULL);
    expect(k, buf_str(&two), "signature does not match");
    /* Under another id the right key is not tried. */
    put_set(&set, &g_rsa, "two", "");
    assert_int_equal(jwt_keys_set_jwks(k, set.p, set.n, NULL), 0);
    expect(k, buf_str(&one), "signature does not match");
    /* A new set replaces the old one and nothing else; a bad one changes nothing. */
    put_set(&set, &g_other, "two", "");
    assert_int_equal(jwt_keys_set_jwks(k, set.p, set.n, NULL), 0);
    assert_int_equal(jwt_keys_count(k), 2);
    static const char *const bad[] = {"", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}",
        "{\"keys\":[1]}", "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(jwt_keys_set_jwks(k, bad[i], strlen(bad[i]), NULL) < 0);
    expect(k, buf_str(&two), NULL);
}

static void bad_keys(void **state)
{
    (void)state;
    struct rsa small;
    rsa_make(&small, 1024);
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = jwt_keys_new();
    struct error err = ERROR_INIT;
    assert_int_equal(jwt_keys_add_pem(k, small.public_pem.p, small.public_pem.n, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "1024 bits"));
    /* A private key where a public one belongs is a mistake to tell, not to use. */
    assert_int_equal(jwt_keys_add_pem(k, g_rsa.private_pem.p, g_rsa.private_pem.n, &err), -EINVAL);
    assert_null(strstr(err.msg, "MII"));
    assert_true(jwt_keys_add_pem(k, "", 0, &err) < 0);
    assert_true(jwt_keys_add_pem(k, "hello", 5, &err) < 0);
    static const char broken[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert_true(jwt_keys_add_pem(k, broken, strlen(broken), &err) < 0);
    assert_int_equal(jwt_keys_add_secret(k, "", 0, &err), -EINVAL);
    assert_int_equal(jwt_keys_count(k), 0);
    rsa_done(&small);
}

static void base64url(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT;
    for (size_t n = 0; n < 5; n++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        buf_clear(&out);
        base64url_encode(&text, "\xfb\xff\xfe\xfd\xfc", n);
        assert_null(strpbrk(buf_cstr(&text), "+/="));
        assert_int_equal(base64url_decode(&out, buf_str(&text)), 0);
        assert_int_equal(out.n, n);
        if (n)
            assert_memory_equal(out.p, "\xfb\xff\xfe\xfd\xfc", n);
    }
    static const char *const bad[] = {"a", "ab=", "ab==", "a+bc", "a/bc", "ab\n", "ab c", "aB"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (base64url_decode(&out, str_of(bad[i])) == 0)
            fail_msg("%s was decoded", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7515_example),
        cmocka_unit_test(claims_and_headers),
        cmocka_unit_test(shapes),
        cmocka_unit_test(every_changed_bit_is_seen),
        cmocka_unit_test(public_keys),
        cmocka_unit_test(public_key_is_no_secret),
        cmocka_unit_test(key_sets),
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(base64url),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
