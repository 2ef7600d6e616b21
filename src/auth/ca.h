#ifndef DCOS_AUTH_CA_H
#define DCOS_AUTH_CA_H

/*
 * A cluster's certificate authority, and the keys that its daemons need.
 *
 * The authority is a folder: dcos-ca.crt for everybody, dcos-ca.key (0600) for whoever issues.
 * Keys are ECDSA P-256; certificates are good for servers and clients alike. Private keys are
 * written with mode 0600 before anything refers to them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum {
    CA_DAYS = 3650,       /* of the authority */
    CA_ISSUED_DAYS = 825, /* of what it issues, unless told otherwise */
    CA_ALTERNATIVES_MAX = 32,
    CA_NAME_MAX = 64, /* X.509's limit of a common name */
};

struct ca;

/* Makes the folder (0755) and an authority in it, its certificate last. -EEXIST when there is one.
 */
int ca_create(const char *folder, const char *name, struct error *err);
int ca_open(const char *folder, struct ca **ret, struct error *err);
void ca_close(struct ca *ca);

struct ca_request {
    const char *name;                /* common name */
    const char *const *alternatives; /* host names and numeric addresses that it is valid for */
    size_t n_alternatives;
    int64_t valid_from_s, valid_until_s; /* 0: from five minutes ago, for CA_ISSUED_DAYS */
};
/* Writes certificate (0644) and key (0600). -EINVAL for names that are none. */
int ca_issue(const struct ca *ca, const struct ca_request *request, const char *cert_path,
    const char *key_path, struct error *err);

/* Whether the certificate in the file is one that this authority signed. */
bool ca_signed(const struct ca *ca, const char *cert_path);

/* An RSA key pair for tokens, of 2048 bits. */
int token_keys_create(const char *private_path, const char *public_path, struct error *err);
/* A random secret of 32 bytes as text (43 characters, base64url) in a file with mode 0600. */
int secret_create(const char *path, struct error *err);

#endif
