#ifndef DCOS_TEST_AUTH_KEYS_H
#define DCOS_TEST_AUTH_KEYS_H

/* RSA keys made for a test. */

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "auth/jwt.h"

struct rsa {
    EVP_PKEY *key;
    struct buf private_pem, public_pem;
    struct buf n, e; /* base64url */
};

static inline void rsa_number(EVP_PKEY *key, const char *name, struct buf *out)
{
    unsigned char bytes[1024];
    BIGNUM *v = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &v), 1);
    base64url_encode(out, bytes, (size_t)BN_bn2bin(v, bytes));
    BN_free(v);
}

static inline void rsa_text(BIO *from, struct buf *out)
{
    char *p;
    long n = BIO_get_mem_data(from, &p);
    buf_append(out, p, (size_t)n);
    BIO_free(from);
}

static inline void rsa_make(struct rsa *r, unsigned bits)
{
    *r = (struct rsa){.key = EVP_RSA_gen(bits)};
    assert_non_null(r->key);
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(out, r->key, NULL, NULL, 0, NULL, NULL), 1);
    rsa_text(out, &r->private_pem);
    out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(out, r->key), 1);
    rsa_text(out, &r->public_pem);
    rsa_number(r->key, OSSL_PKEY_PARAM_RSA_N, &r->n);
    rsa_number(r->key, OSSL_PKEY_PARAM_RSA_E, &r->e);
}

static inline void rsa_done(struct rsa *r)
{
    EVP_PKEY_free(r->key);
    buf_done(&r->private_pem);
    buf_done(&r->public_pem);
    buf_done(&r->n);
    buf_done(&r->e);
}

#endif
