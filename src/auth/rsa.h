#ifndef DCOS_AUTH_RSA_H
#define DCOS_AUTH_RSA_H

/* RSA keys as PEM text: making them, checking those that others bring, and their form as JSON web
 * keys. */

#include "base/buf.h"
#include "base/error.h"
#include "json/writer.h"

enum { RSA_KID_SIZE = 65, RSA_BITS = 2048 };

/* Whether the text is one SubjectPublicKeyInfo with an RSA key of 2048 to 8192 bits. -EINVAL with
 * the reason. */
int rsa_check_public(const char *pem, struct error *err);

/* A fresh key pair: SubjectPublicKeyInfo and PKCS #8, owned by the caller; wipe the private one
 * with rsa_wipe(). `kid` is the hexadecimal SHA-256 of the public key's DER form. Takes some tenths
 * of a second. -EIO. */
int rsa_generate(char **ret_public, char **ret_private, char kid[RSA_KID_SIZE], struct error *err);
int rsa_generate_bits(unsigned bits, char **ret_public, char **ret_private, char kid[RSA_KID_SIZE],
    struct error *err);
void rsa_wipe(char *secret); /* overwrites and frees; NULL is fine */

/* {"kty":"RSA","use":"sig","alg":"RS256","kid":...,"n":...,"e":...}. -EINVAL when the PEM text is
 * not such a key; nothing was written then. */
int rsa_write_jwk(struct json_writer *w, const char *public_pem, const char *kid);

#endif
