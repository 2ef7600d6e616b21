#ifndef DCOS_AUTH_AUTHENTICATOR_H
#define DCOS_AUTH_AUTHENTICATOR_H

/*
 * Who calls, from the header Authorization: HTTP basic with a file of credentials, bearer tokens,
 * or several of these in turn. Challenges are those of Mesos. A token may also come as DC/OS sends
 * it, "Authorization: token=...".
 *
 * The principal of a token that a public key verified is its claim `uid` (tokens of the identity
 * service). A token that a shared secret verified has claims only, as in Mesos.
 */

#include "auth/credentials.h"
#include "auth/jwt.h"
#include "http/server.h"

enum { AUTHENTICATORS_MAX = 4 };

struct authenticator_options {
    const char *names;                     /* of "basic" and "jwt", with commas: tried in order */
    const struct credentials *credentials; /* for basic; they outlive it */
    const struct jwt_keys *keys;           /* for jwt; may be empty with a policy */
    /* The identity service's, or NULL: tokens of users that it does not have, or whose tokens were
     * revoked, are refused. */
    const struct policy *policy;
};

struct authenticator;
/* -EINVAL for other names, and for what has nothing to check against. */
int authenticator_new(
    const struct authenticator_options *options, struct authenticator **ret, struct error *err);
void authenticator_free(struct authenticator *a);
DEFINE_CLEANUP(struct authenticator *, authenticator_free)

/* What came out: `challenge` is NULL when it succeeded, else for the header WWW-Authenticate. */
struct auth_verdict {
    struct auth_subject who;
    const char *challenge;
};
/* `authorization.p` NULL: the header is missing. Texts live in the arena. */
void authenticator_check(const struct authenticator *a, struct str authorization, const char *realm,
    int64_t now_s, struct arena *arena, struct auth_verdict *ret);

/* For a request, at this moment: sets req->subject, which is never NULL afterwards. Answers 401 and
 * returns false when it fails. A NULL authenticator takes everybody, as nobody. */
bool authenticate(const struct authenticator *a, struct http_request *req, const char *realm);

#endif
