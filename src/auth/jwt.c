#include "auth/jwt-internal.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "json/json.h"
#include "json/writer.h"

enum { HS256_SIZE = 32 };

const char *auth_claim_get(const struct auth_subject *who, const char *name)
{
    for (size_t i = 0; i < who->n_claims; i++)
        if (streq(who->claims[i].name, name))
            return who->claims[i].value;
    return NULL;
}

/* ---- signatures ---- */

static void hs256(const void *secret, size_t n, struct str text, unsigned char mac[HS256_SIZE])
{
    unsigned size = HS256_SIZE;
    if (!HMAC(EVP_sha256(), secret, (int)n, (const unsigned char *)text.p, text.n, mac, &size))
        abort(); /* out of memory */
}

static bool rs256_good(EVP_PKEY *rsa, struct str text, const struct buf *signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        abort(); /* out of memory */
    bool good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, rsa) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)signature->p, signature->n,
                    (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static bool key_verifies(const struct jwt_key *key, struct str text, const struct buf *signature)
{
    if (key->kind == KEY_RS256)
        return rs256_good(key->rsa, text, signature);
    unsigned char mac[HS256_SIZE];
    hs256(key->secret, key->n, text, mac);
    return signature->n == HS256_SIZE && CRYPTO_memcmp(mac, signature->p, HS256_SIZE) == 0;
}

/* ---- parts ---- */

/* One of the two JSON objects. */
static int decode_object(struct str part, const char *what, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (base64url_decode(&text, part) < 0)
        return error_set(err, -EACCES, "Failed to base64url-decode the %s", what);
    if (json_parse(buf_cstr(&text), text.n, ret, NULL) < 0 || !json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return error_set(err, -EACCES, "The %s is not a JSON object", what);
    }
    return 0;
}

static int read_header(
    struct str part, bool *ret_rs256, struct arena *arena, const char **ret_kid, struct error *err)
{
    _cleanup_json_ json_t *header = NULL;
    int r = decode_object(part, "header", &header, err);
    if (r < 0)
        return r;
    const json_t *alg = json_at(header, "alg"), *typ = json_at(header, "typ");
    const json_t *kid = json_at(header, "kid");
    if (!json_is_string(alg))
        return error_set(err, -EACCES, "Token 'alg' is not a string");
    if (typ && !json_is_string(typ))
        return error_set(err, -EACCES, "Token 'typ' is not a string");
    if (json_at(header, "crit"))
        return error_set(err, -EACCES, "Token 'crit' is not supported");
    if (kid && !json_is_string(kid))
        return error_set(err, -EACCES, "Token 'kid' is not a string");
    *ret_rs256 = streq(json_string_value(alg), "RS256");
    if (!*ret_rs256 && !streq(json_string_value(alg), "HS256"))
        return error_set(err, -EACCES, "Unsupported token algorithm");
    *ret_kid = kid ? arena_strdup(arena, json_string_value(kid)) : NULL;
    return 0;
}

static int check_time(const json_t *payload, int64_t now_s, struct error *err)
{
    const json_t *exp = json_at(payload, "exp"), *nbf = json_at(payload, "nbf");
    if (exp && !json_is_number(exp))
        return error_set(err, -EACCES, "Token 'exp' is not a number");
    if (exp && json_number_value(exp) <= (double)now_s)
        return error_set(err, -EACCES, "Token has expired");
    if (nbf && !json_is_number(nbf))
        return error_set(err, -EACCES, "Token 'nbf' is not a number");
    if (nbf && json_number_value(nbf) > (double)now_s)
        return error_set(err, -EACCES, "Token is not valid yet");
    return 0;
}

/* Whole seconds; what no clock will show counts as the end of time. */
static int64_t seconds_at(const json_t *payload, const char *name)
{
    double s = json_number_value(json_at(payload, name));
    return s >= 1e15 ? INT64_C(1000000000000000) : s > 0 ? (int64_t)s : 0;
}

static int read_payload(
    struct str part, int64_t now_s, struct arena *arena, struct jwt *ret, struct error *err)
{
    _cleanup_json_ json_t *payload = NULL;
    int r = decode_object(part, "payload", &payload, err);
    if (r < 0)
        return r;
    r = check_time(payload, now_s, err);
    if (r < 0)
        return r;
    if (json_object_size(payload) > JWT_CLAIMS_MAX)
        return error_set(err, -EACCES, "Token has more than %d claims", JWT_CLAIMS_MAX);
    struct auth_claim *claims = arena_new_array(arena, struct auth_claim, JWT_CLAIMS_MAX);
    const char *key;
    json_t *value;
    json_object_foreach(payload, key, value)
    {
        if (json_is_string(value))
            claims[ret->n_claims++] = (struct auth_claim){
                arena_strdup(arena, key), arena_strdup(arena, json_string_value(value))};
    }
    ret->claims = claims;
    ret->expires_s = seconds_at(payload, "exp");
    double issued = json_number_value(json_at(payload, "iat"));
    issued = issued > 0 ? MIN(issued, 1e12) : 0;
    ret->issued_us = (int64_t)(issued * 1e6 + 0.5);
    ret->issued_s = (ret->issued_us + 999999) / 1000000;
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(payload, &text);
    ret->payload = arena_strdup(arena, buf_cstr(&text));
    return 0;
}

/* A key without an id fits every token, and so does every key a token without one. */
static bool key_fits(const struct jwt_key *key, bool rs256, const char *kid)
{
    return (key->kind == KEY_RS256) == rs256 && (!kid || !key->kid || streq(key->kid, kid));
}

int jwt_verify(const struct jwt_keys *k, struct str token, int64_t now_s, struct arena *arena,
    struct jwt *ret, struct error *err)
{
    if (token.n > JWT_TEXT_MAX)
        return error_set(err, -EACCES, "Token is larger than %d bytes", JWT_TEXT_MAX);
    struct str rest = token, next, part[3];
    size_t n = 0;
    while (str_split(&rest, '.', &next)) {
        if (n < ARRAY_SIZE(part))
            part[n] = next;
        n++;
    }
    if (n != ARRAY_SIZE(part))
        return error_set(err, -EACCES, "Expected 3 components in token, got %zu", n);
    bool rs256 = false;
    const char *kid = NULL;
    int r = read_header(part[0], &rs256, arena, &kid, err);
    if (r < 0)
        return r;
    _cleanup_buf_ struct buf signature = BUF_INIT;
    if (base64url_decode(&signature, part[2]) < 0)
        return error_set(err, -EACCES, "Failed to base64url-decode the signature");
    struct str text = {token.p, token.n - part[2].n - 1};
    bool good = false;
    for (size_t i = 0; i < k->keys.n && !good; i++)
        good = key_fits(&k->keys.items[i], rs256, kid) &&
               key_verifies(&k->keys.items[i], text, &signature);
    if (!good)
        return error_set(err, -EACCES, "Token signature does not match");
    struct jwt jwt = {.asymmetric = rs256};
    r = read_payload(part[1], now_s, arena, &jwt, err);
    if (r < 0)
        return r;
    *ret = jwt;
    return 0;
}

/* ---- making ---- */

static void put_text(struct buf *out, const char *alg, const char *kid, struct str claims)
{
    _cleanup_buf_ struct buf header = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &header);
    jw_begin_object(&w);
    jw_field_string(&w, "alg", alg);
    jw_field_string(&w, "typ", "JWT");
    if (kid)
        jw_field_string(&w, "kid", kid);
    jw_end_object(&w);
    base64url_encode(out, header.p, header.n);
    buf_putc(out, '.');
    base64url_encode(out, claims.p, claims.n);
}

void jwt_make_hs256(const void *secret, size_t n, struct str claims, struct buf *out)
{
    size_t start = out->n;
    put_text(out, "HS256", NULL, claims);
    unsigned char mac[HS256_SIZE];
    hs256(secret, n, (struct str){out->p + start, out->n - start}, mac);
    buf_putc(out, '.');
    base64url_encode(out, mac, sizeof(mac));
}

static int sign(EVP_PKEY *rsa, struct str text, struct buf *signature, struct error *err)
{
    if (EVP_PKEY_get_base_id(rsa) != EVP_PKEY_RSA)
        return error_set(err, -EINVAL, "private key: not an RSA key");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = (size_t)EVP_PKEY_get_size(rsa);
    char *to = buf_reserve(signature, n);
    bool good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rsa) == 1 &&
                EVP_DigestSign(
                    ctx, (unsigned char *)to, &n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        return jwt_crypto_error(err, -EINVAL, "signing");
    buf_commit(signature, n);
    return 0;
}

int jwt_make_rs256(
    struct str pem, const char *kid, struct str claims, struct buf *out, struct error *err)
{
    ERR_clear_error();
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *rsa = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (!rsa)
        return jwt_crypto_error(err, -EINVAL, "private key");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_buf_ struct buf signature = BUF_INIT;
    put_text(&text, "RS256", kid, claims);
    int r = sign(rsa, buf_str(&text), &signature, err);
    EVP_PKEY_free(rsa);
    if (r < 0)
        return r;
    buf_append(out, text.p, text.n);
    buf_putc(out, '.');
    base64url_encode(out, signature.p, signature.n);
    return 0;
}
