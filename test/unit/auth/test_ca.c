#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/jwt.h"
#include "base/alloc.h"
#include "base/file.h"

static char g_dir[32];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(g_dir, sizeof(g_dir), "/tmp/test-ca-XXXXXX");
    assert_non_null(mkdtemp(g_dir));
    assert_int_equal(ca_create(g_dir, "test", NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return remove_tree(g_dir, NULL);
}

static char *file_of(const char *name)
{
    return path_join(g_dir, name);
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    _cleanup_free_ char *path = file_of(name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static X509 *read_certificate(const char *name)
{
    _cleanup_free_ char *path = file_of(name);
    BIO *in = BIO_new_file(path, "r");
    assert_non_null(in);
    X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    assert_non_null(x);
    return x;
}

static int issue(const struct ca_request *q, struct error *err)
{
    _cleanup_free_ char *cert = file_of("x.crt");
    _cleanup_free_ char *key = file_of("x.key");
    struct ca *ca;
    assert_int_equal(ca_open(g_dir, &ca, NULL), 0);
    int r = ca_issue(ca, q, cert, key, err);
    ca_close(ca);
    return r;
}

/* X509_V_OK or the reason. */
static int verify(X509 *x, int purpose)
{
    X509 *authority = read_certificate("dcos-ca.crt");
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, authority);
    X509_STORE_CTX_init(ctx, store, x, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    (void)X509_verify_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(authority);
    return error;
}

static void authority(void **state)
{
    (void)state;
    assert_int_equal(mode_of("dcos-ca.crt"), 0644);
    assert_int_equal(mode_of("dcos-ca.key"), 0600);
    X509 *x = read_certificate("dcos-ca.crt");
    assert_int_equal(X509_check_ca(x), 1);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(x)), 256);
    X509_free(x);
    struct error err = ERROR_INIT;
    assert_int_equal(ca_create(g_dir, "again", &err), -EEXIST);
    struct ca *ca;
    assert_int_equal(ca_open("/nonexistent", &ca, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "/nonexistent"));
}

/* What was cut off between key and certificate is made anew. */
static void cut_off(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-ca-cut-XXXXXX";
    assert_non_null(mkdtemp(folder));
    _cleanup_free_ char *certificate = path_join(folder, "dcos-ca.crt");
    struct error err = ERROR_INIT;
    struct ca *ca;
    assert_int_equal(ca_create(folder, "test", &err), 0);
    assert_int_equal(unlink(certificate), 0);
    assert_int_equal(ca_open(folder, &ca, &err), -EINVAL);
    assert_int_equal(ca_create(folder, "test", &err), 0);
    assert_int_equal(ca_open(folder, &ca, &err), 0);
    ca_close(ca);
    assert_int_equal(ca_create(folder, "test", &err), -EEXIST);
    assert_int_equal(remove_tree(folder, NULL), 0);
}

static void issued(void **state)
{
    (void)state;
    static const char *const names[] = {"node-1.example", "127.0.0.1", "::1"};
    const struct ca_request q = {.name = "node-1", .alternatives = names, .n_alternatives = 3};
    assert_int_equal(issue(&q, NULL), 0);
    assert_int_equal(mode_of("x.key"), 0600);
    X509 *x = read_certificate("x.crt");
    assert_int_equal(verify(x, X509_PURPOSE_SSL_SERVER), X509_V_OK);
    assert_int_equal(verify(x, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    assert_int_equal(X509_check_ca(x), 0);
    assert_int_equal(X509_check_host(x, "node-1.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "node-2.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.2", 0), 0);
    X509_free(x);
}

static void expired(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost"};
    const struct ca_request q = {.name = "old",
        .alternatives = names,
        .n_alternatives = 1,
        .valid_from_s = 1000000000,
        .valid_until_s = 1000086400};
    assert_int_equal(issue(&q, NULL), 0);
    X509 *x = read_certificate("x.crt");
    assert_int_equal(verify(x, X509_PURPOSE_SSL_SERVER), X509_V_ERR_CERT_HAS_EXPIRED);
    X509_free(x);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "a,DNS:evil", "a\nb", "http://x", "1.2.3.4/8"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct ca_request q = {.name = "x", .alternatives = &bad[i], .n_alternatives = 1};
        struct error err = ERROR_INIT;
        assert_int_equal(issue(&q, &err), -EINVAL);
    }
    static const char *const good[] = {"localhost"};
    struct ca_request q = {.name = "", .alternatives = good, .n_alternatives = 1};
    assert_int_equal(issue(&q, NULL), -EINVAL);
    q.name = "x";
    q.n_alternatives = 0;
    assert_int_equal(issue(&q, NULL), -EINVAL);
}

static void keys_and_secrets(void **state)
{
    (void)state;
    _cleanup_free_ char *private_path = file_of("t.key");
    _cleanup_free_ char *public_path = file_of("t.pub");
    _cleanup_free_ char *secret_path = file_of("s");
    _cleanup_buf_ struct buf private_text = BUF_INIT;
    _cleanup_buf_ struct buf public_text = BUF_INIT;
    _cleanup_buf_ struct buf token = BUF_INIT;
    assert_int_equal(token_keys_create(private_path, public_path, NULL), 0);
    assert_int_equal(mode_of("t.key"), 0600);
    assert_int_equal(file_read(private_path, 10000, &private_text, NULL), 0);
    assert_int_equal(file_read(public_path, 10000, &public_text, NULL), 0);
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = jwt_keys_new();
    assert_int_equal(jwt_keys_add_pem(k, public_text.p, public_text.n, NULL), 0);
    assert_int_equal(jwt_make_rs256(buf_str(&private_text), NULL, STR("{}"), &token, NULL), 0);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    assert_int_equal(jwt_verify(k, buf_str(&token), 0, &arena, &jwt, NULL), 0);
    _cleanup_buf_ struct buf one = BUF_INIT;
    _cleanup_buf_ struct buf two = BUF_INIT;
    assert_int_equal(secret_create(secret_path, NULL), 0);
    assert_int_equal(mode_of("s"), 0600);
    assert_int_equal(file_read(secret_path, 100, &one, NULL), 0);
    assert_int_equal(secret_create(secret_path, NULL), 0);
    assert_int_equal(file_read(secret_path, 100, &two, NULL), 0);
    assert_int_equal(one.n, 43);
    assert_string_not_equal(one.p, two.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authority),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(issued),
        cmocka_unit_test(expired),
        cmocka_unit_test(refused),
        cmocka_unit_test(keys_and_secrets),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
