#include "auth/rsa.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "auth/jwt.h"
#include "base/alloc.h"

enum { BITS_MIN = 2048, BITS_MAX = 8192, NUMBER_MAX = BITS_MAX / 8 };

static EVP_PKEY *read_public(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    ERR_clear_error();
    return key;
}

int rsa_check_public(const char *pem, struct error *err)
{
    EVP_PKEY *key = read_public(pem);
    if (!key)
        return error_set(err, -EINVAL, "not a public key in PEM form (-----BEGIN PUBLIC KEY-----)");
    int r = 0;
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        r = error_set(err, -EINVAL, "not an RSA key");
    else if (bits < BITS_MIN || bits > BITS_MAX)
        r = error_set(
            err, -EINVAL, "the key has %d bits; %d to %d are accepted", bits, BITS_MIN, BITS_MAX);
    EVP_PKEY_free(key);
    return r;
}

static char *pem_text(BIO *out)
{
    char *data;
    long n = BIO_get_mem_data(out, &data);
    char *text = xmalloc((size_t)n + 1);
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    OPENSSL_cleanse(data, (size_t)n);
    return text;
}

static void make_kid(EVP_PKEY *key, char kid[RSA_KID_SIZE])
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int size = i2d_PUBKEY(key, &der);
    if (size > 0)
        EVP_Digest(der, (size_t)size, digest, &n, EVP_sha256(), NULL);
    OPENSSL_free(der);
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < (RSA_KID_SIZE - 1) / 2; i++) {
        kid[2 * i] = hex[i < n ? digest[i] >> 4 : 0];
        kid[2 * i + 1] = hex[i < n ? digest[i] & 15 : 0];
    }
    kid[RSA_KID_SIZE - 1] = '\0';
}

int rsa_generate(char **ret_public, char **ret_private, char kid[RSA_KID_SIZE], struct error *err)
{
    return rsa_generate_bits(RSA_BITS, ret_public, ret_private, kid, err);
}

int rsa_generate_bits(
    unsigned bits, char **ret_public, char **ret_private, char kid[RSA_KID_SIZE], struct error *err)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    BIO *public = BIO_new(BIO_s_mem()), *private = BIO_new(BIO_s_secmem());
    int r = 0;
    if (!key || !public || !private || !PEM_write_bio_PUBKEY(public, key) ||
        !PEM_write_bio_PKCS8PrivateKey(private, key, NULL, NULL, 0, NULL, NULL)) {
        ERR_clear_error();
        r = error_set(err, -EIO, "OpenSSL cannot make an RSA key");
    } else {
        *ret_public = pem_text(public);
        *ret_private = pem_text(private);
        make_kid(key, kid);
    }
    BIO_free(public);
    BIO_free(private);
    EVP_PKEY_free(key);
    return r;
}

void rsa_wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

static void write_number(struct json_writer *w, const char *name, const BIGNUM *number)
{
    unsigned char bytes[NUMBER_MAX];
    int n = BN_bn2bin(number, bytes);
    _cleanup_buf_ struct buf text = BUF_INIT;
    base64url_encode(&text, bytes, (size_t)n);
    jw_field_string(w, name, buf_cstr(&text));
}

int rsa_write_jwk(struct json_writer *w, const char *public_pem, const char *kid)
{
    EVP_PKEY *key = read_public(public_pem);
    BIGNUM *n = NULL, *e = NULL;
    int r = -EINVAL;
    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) <= BITS_MAX &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e)) {
        jw_begin_object(w);
        jw_field_string(w, "kty", "RSA");
        jw_field_string(w, "use", "sig");
        jw_field_string(w, "alg", "RS256");
        jw_field_string(w, "kid", kid);
        write_number(w, "n", n);
        write_number(w, "e", e);
        jw_end_object(w);
        r = 0;
    }
    BN_free(n);
    BN_free(e);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return r;
}
