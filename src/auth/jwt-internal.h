#ifndef DCOS_AUTH_JWT_INTERNAL_H
#define DCOS_AUTH_JWT_INTERNAL_H

#include <openssl/evp.h>

#include "auth/jwt.h"
#include "base/vec.h"

struct jwt_key {
    enum { KEY_HS256, KEY_RS256 } kind;
    char *kid; /* NULL: fits every token */
    bool from_set;
    unsigned char *secret; /* HS256 */
    size_t n;
    EVP_PKEY *rsa; /* RS256 */
};

struct jwt_keys {
    VEC(struct jwt_key) keys;
};

int jwt_crypto_error(struct error *err, int code, const char *what);

#endif
