#ifndef DCOS_IAM_OIDC_H
#define DCOS_IAM_OIDC_H

/* What the files about OpenID Connect share. */

#include <errno.h>

#include "iam/shell.h"
#include "io/stream.h"

struct oidc_provider {
    unsigned refs; /* the table's, and each login under way */
    struct iam *iam;
    json_t *document; /* as it was put, with the client's secret */
    struct tls_context *tls;
    struct http_client *client;
    /* From the provider's discovery document, asked for when first needed and again after a while;
     * NULL before. */
    char *authorization_endpoint, *token_endpoint, *jwks_uri;
    struct jwt_keys *keys;
    int64_t discovered_us;
    char id[];
};

/* A login that a browser began: how the callback is recognised. */
struct oidc_pending {
    int64_t expires_us;
    char *provider_id, *target;
    char nonce[44], verifier[44];
    char state[44];
};

void oidc_provider_unref(struct oidc_provider *p);
const char *oidc_issuer(const struct oidc_provider *p);
void oidc_callback(struct iam_call *c);

#endif
