/* Keys that verify tokens. */

#include <errno.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "auth/jwt-internal.h"
#include "json/json.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192 };

int jwt_crypto_error(struct error *err, int code, const char *what)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return error_set(err, code, "%s: %s", what, reason ? reason : "not readable");
}

static void key_done(struct jwt_key *key)
{
    free(key->kid);
    if (key->secret)
        OPENSSL_cleanse(key->secret, key->n);
    free(key->secret);
    EVP_PKEY_free(key->rsa);
}

struct jwt_keys *jwt_keys_new(void)
{
    return xnew(struct jwt_keys);
}

void jwt_keys_free(struct jwt_keys *k)
{
    if (!k)
        return;
    VEC_FOREACH (key, &k->keys)
        key_done(key);
    vec_done(&k->keys);
    free(k);
}

size_t jwt_keys_count(const struct jwt_keys *k)
{
    return k->keys.n;
}

int jwt_keys_add_secret(struct jwt_keys *k, const void *secret, size_t n, struct error *err)
{
    if (n < JWT_SECRET_MIN || n > JWT_SECRET_MAX)
        return error_set(
            err, -EINVAL, "a secret has %d to %d bytes", JWT_SECRET_MIN, JWT_SECRET_MAX);
    if (k->keys.n == JWT_KEYS_MAX)
        return error_set(err, -EINVAL, "more than %d keys", JWT_KEYS_MAX);
    vec_push(&k->keys, (struct jwt_key){.kind = KEY_HS256, .secret = xmemdup(secret, n), .n = n});
    return 0;
}

static int check_rsa(EVP_PKEY *rsa, struct error *err)
{
    if (EVP_PKEY_get_base_id(rsa) != EVP_PKEY_RSA)
        return error_set(err, -EINVAL, "not an RSA key");
    int bits = EVP_PKEY_get_bits(rsa);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return error_set(err, -EINVAL, "an RSA key of %d bits; %d to %d are accepted", bits,
            RSA_BITS_MIN, RSA_BITS_MAX);
    return 0;
}

/* The next key of the file; NULL at its end. */
static EVP_PKEY *next_pem(BIO *in, struct error *err, int *ret_status)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n;
    EVP_PKEY *rsa = NULL;
    *ret_status = 0;
    ERR_clear_error();
    if (PEM_read_bio(in, &name, &header, &data, &n) != 1) {
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
            *ret_status = jwt_crypto_error(err, -EBADMSG, "PEM");
        ERR_clear_error();
        return NULL;
    }
    const unsigned char *p = data;
    if (streq(name, "PUBLIC KEY")) {
        rsa = d2i_PUBKEY(NULL, &p, n);
    } else if (streq(name, "CERTIFICATE")) {
        X509 *certificate = d2i_X509(NULL, &p, n);
        rsa = certificate ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    } else {
        *ret_status = error_set(err, -EINVAL, "expected PUBLIC KEY or CERTIFICATE blocks only");
    }
    if (!rsa && *ret_status == 0)
        *ret_status = jwt_crypto_error(err, -EBADMSG, "PEM");
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)n);
    return rsa;
}

int jwt_keys_add_pem(struct jwt_keys *k, const char *text, size_t n, struct error *err)
{
    if (n > JWT_KEY_TEXT_MAX)
        return error_set(err, -EINVAL, "more than %d bytes", JWT_KEY_TEXT_MAX);
    BIO *in = BIO_new_mem_buf(text, (int)n);
    if (!in)
        abort(); /* out of memory */
    size_t before = k->keys.n;
    int r = 0;
    EVP_PKEY *rsa;
    while (r == 0 && (rsa = next_pem(in, err, &r))) {
        r = check_rsa(rsa, err);
        if (r == 0 && k->keys.n == JWT_KEYS_MAX)
            r = error_set(err, -EINVAL, "more than %d keys", JWT_KEYS_MAX);
        if (r == 0)
            vec_push(&k->keys, (struct jwt_key){.kind = KEY_RS256, .rsa = rsa});
        else
            EVP_PKEY_free(rsa);
    }
    BIO_free(in);
    if (r == 0 && k->keys.n == before)
        r = error_set(err, -EINVAL, "there is no public key in it");
    while (r < 0 && k->keys.n > before)
        key_done(&vec_pop(&k->keys));
    return r;
}

/* ---- key sets ---- */

static EVP_PKEY *rsa_of_numbers(struct str n, struct str e)
{
    EVP_PKEY *rsa = NULL;
    BIGNUM *bn_n = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *bn_e = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    if (bn_n && bn_e && build && ctx &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) &&
        (params = OSSL_PARAM_BLD_to_param(build)) && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &rsa, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(bn_n);
    BN_free(bn_e);
    return rsa;
}

/* 1 and a key, 0 for one that is not for us. */
static int read_jwk(const json_t *jwk, struct jwt_key *ret, struct error *err)
{
    if (!json_is_object(jwk))
        return error_set(err, -EINVAL, "expected an object");
    if (!streq(json_str_at(jwk, "kty", ""), "RSA") ||
        !streq(json_str_at(jwk, "use", "sig"), "sig") ||
        !streq(json_str_at(jwk, "alg", "RS256"), "RS256"))
        return 0;
    _cleanup_buf_ struct buf n = BUF_INIT;
    _cleanup_buf_ struct buf e = BUF_INIT;
    if (base64url_decode(&n, str_of(json_str_at(jwk, "n", "="))) < 0 ||
        base64url_decode(&e, str_of(json_str_at(jwk, "e", "="))) < 0 || n.n > RSA_BITS_MAX / 8 ||
        e.n > 8)
        return error_set(err, -EINVAL, "n and e are not base64url numbers");
    ERR_clear_error();
    EVP_PKEY *rsa = rsa_of_numbers(buf_str(&n), buf_str(&e));
    if (!rsa)
        return jwt_crypto_error(err, -EINVAL, "key");
    int r = check_rsa(rsa, err);
    if (r < 0) {
        EVP_PKEY_free(rsa);
        return r;
    }
    const char *kid = json_str_at(jwk, "kid", NULL);
    *ret = (struct jwt_key){
        .kind = KEY_RS256, .rsa = rsa, .kid = kid ? xstrdup(kid) : NULL, .from_set = true};
    return 1;
}

static int read_set(const json_t *keys, struct jwt_keys *into, struct error *err)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct jwt_key key;
        int r = read_jwk(json_array_get(keys, i), &key, err);
        if (r < 0)
            return error_prefix(err, r, "/keys/%zu", i);
        if (r > 0)
            vec_push(&into->keys, key);
    }
    return into->keys.n > 0 ? 0 : error_set(err, -EINVAL, "/keys: no RSA key for signatures");
}

int jwt_keys_set_jwks(struct jwt_keys *k, const char *text, size_t n, struct error *err)
{
    if (n > JWT_KEY_TEXT_MAX)
        return error_set(err, -EINVAL, "more than %d bytes", JWT_KEY_TEXT_MAX);
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(text, n, &doc, err);
    if (r < 0)
        return r;
    const json_t *keys = json_at(doc, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > JWT_KEYS_MAX)
        return error_set(err, -EINVAL, "/keys: expected at most %d keys", JWT_KEYS_MAX);
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *fresh = jwt_keys_new();
    r = read_set(keys, fresh, err);
    if (r < 0)
        return r;
    size_t kept = 0;
    for (size_t i = 0; i < k->keys.n; i++) {
        if (k->keys.items[i].from_set)
            key_done(&k->keys.items[i]);
        else
            k->keys.items[kept++] = k->keys.items[i];
    }
    k->keys.n = kept;
    VEC_FOREACH (key, &fresh->keys)
        vec_push(&k->keys, *key);
    fresh->keys.n = 0;
    return 0;
}
