#ifndef DCOS_AUTH_JWT_H
#define DCOS_AUTH_JWT_H

/*
 * JSON web tokens in the compact form (RFC 7515, 7519), signed with HS256 or RS256.
 *
 * Keys decide the algorithm: a secret verifies only HS256, a public key only RS256, whatever the
 * token's header says, so that neither "none" nor a public key used as a secret gets anywhere.
 * Text of tokens and keys appears in no error.
 */

#include "auth/authorizer.h"
#include "base/arena.h"

enum {
    JWT_TEXT_MAX = 8 * 1024,
    JWT_CLAIMS_MAX = 64,
    JWT_KEYS_MAX = 64,
    JWT_KEY_TEXT_MAX = 256 * 1024, /* of a PEM file or a key set */
    JWT_SECRET_MIN = 1,            /* bytes; HS256 wants 32, Mesos takes any */
    JWT_SECRET_MAX = 64 * 1024,
};

struct jwt_keys;
struct jwt_keys *jwt_keys_new(void);
void jwt_keys_free(struct jwt_keys *k); /* wipes secrets */
DEFINE_CLEANUP(struct jwt_keys *, jwt_keys_free)
size_t jwt_keys_count(const struct jwt_keys *k);
/* For HS256. -EINVAL when empty or too large. */
int jwt_keys_add_secret(struct jwt_keys *k, const void *secret, size_t n, struct error *err);
/* For RS256: PEM public keys or certificates, one or more. RSA keys of 2048 to 8192 bits. */
int jwt_keys_add_pem(struct jwt_keys *k, const char *text, size_t n, struct error *err);
/* For RS256: the RSA keys for signatures of a JSON web key set (RFC 7517), by `kid`. They replace
 * those of an earlier set, all or none; other kinds of keys are passed over. */
int jwt_keys_set_jwks(struct jwt_keys *k, const char *text, size_t n, struct error *err);

struct jwt {
    const struct auth_claim *claims; /* those whose value is a string */
    size_t n_claims;
    bool asymmetric; /* verified by a public key */
    /* `exp` and `iat` in seconds since the epoch; 0 = not told. The identity service's `iat` has a
     * fraction, so that a token is told from a revocation in its second: issued_s is rounded up. */
    int64_t expires_s, issued_s;
    int64_t issued_us;
    const char *payload; /* the text of all claims, a JSON object */
};

/* 0, or -EACCES with the reason: malformed, no key verifies it, expired (`exp` is not after
 * `now_s`), not valid yet (`nbf`), critical extensions. What it returns lives in the arena. */
int jwt_verify(const struct jwt_keys *k, struct str token, int64_t now_s, struct arena *arena,
    struct jwt *ret, struct error *err);
/* Value of a claim, NULL when there is none. */
const char *auth_claim_get(const struct auth_subject *who, const char *name);

/* Appends a token with the claims, which are the text of a JSON object. */
void jwt_make_hs256(const void *secret, size_t n, struct str claims, struct buf *out);
/* `pem` is an RSA private key, `kid` may be NULL. */
int jwt_make_rs256(
    struct str pem, const char *kid, struct str claims, struct buf *out, struct error *err);

/* base64url without padding (RFC 4648 section 5). */
void base64url_encode(struct buf *out, const void *p, size_t n);
/* -EINVAL, with out unchanged, for anything but the one spelling of some bytes. */
int base64url_decode(struct buf *out, struct str text);

#endif
