#include "auth/authenticator.h"

#include <errno.h>

#include "auth/policy.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"

enum { SCHEME_TEXT_MAX = 32 };

enum scheme { BASIC, JWT };

struct authenticator {
    enum scheme schemes[AUTHENTICATORS_MAX];
    size_t n;
    const struct credentials *credentials;
    const struct jwt_keys *keys;
    const struct policy *policy;
};

static int add_scheme(struct authenticator *a, struct str name, struct error *err)
{
    if (a->n == AUTHENTICATORS_MAX)
        return error_set(err, -EINVAL, "more than %d authenticators", AUTHENTICATORS_MAX);
    if (str_eq_c(name, "basic")) {
        if (!a->credentials)
            return error_set(err, -EINVAL, "authenticator 'basic' needs credentials");
        a->schemes[a->n++] = BASIC;
        return 0;
    }
    if (str_eq_c(name, "jwt")) {
        if (!a->keys || (jwt_keys_count(a->keys) == 0 && !a->policy))
            return error_set(err, -EINVAL, "authenticator 'jwt' needs a key");
        a->schemes[a->n++] = JWT;
        return 0;
    }
    return error_set(
        err, -EINVAL, "there is no authenticator '" STR_FMT "'; basic and jwt are", STR_ARG(name));
}

int authenticator_new(
    const struct authenticator_options *options, struct authenticator **ret, struct error *err)
{
    _cleanup_(authenticator_freep)
    struct authenticator *a = xnew(struct authenticator);
    a->credentials = options->credentials;
    a->keys = options->keys;
    a->policy = options->policy;
    struct str rest = str_of(options->names), name;
    while (str_split(&rest, ',', &name)) {
        int r = add_scheme(a, str_trim(name), err);
        if (r < 0)
            return r;
    }
    if (a->n == 0)
        return error_set(err, -EINVAL, "no authenticator is named");
    *ret = TAKE_PTR(a);
    return 0;
}

void authenticator_free(struct authenticator *a)
{
    free(a);
}

/* ---- the schemes: NULL, or the challenge ---- */

static bool split_scheme(struct str text, struct str *ret_scheme, struct str *ret_rest)
{
    ptrdiff_t at = str_index(text, ' ');
    if (at <= 0)
        return false;
    *ret_scheme = (struct str){text.p, (size_t)at};
    *ret_rest = str_trim((struct str){text.p + at, text.n - (size_t)at});
    return ret_rest->n > 0 && str_index(*ret_rest, ' ') < 0;
}

static const char *check_basic(const struct authenticator *a, struct str header, const char *realm,
    struct arena *arena, struct auth_subject *ret)
{
    struct str scheme, encoded;
    const char *challenge = arena_printf(arena, "Basic realm=\"%s\"", realm);
    if (!header.p || !split_scheme(header, &scheme, &encoded) || !str_ieq_c(scheme, "Basic"))
        return challenge;
    _cleanup_secret_ struct buf pair = BUF_INIT;
    if (base64_decode(&pair, encoded) < 0 || memchr(buf_cstr(&pair), '\0', pair.n))
        return challenge;
    ptrdiff_t colon = str_index(buf_str(&pair), ':');
    if (colon <= 0)
        return challenge;
    const char *principal = arena_strndup(arena, pair.p, (size_t)colon);
    struct str secret = {pair.p + colon + 1, pair.n - (size_t)colon - 1};
    if (!credentials_match(a->credentials, principal, secret))
        return challenge;
    *ret = (struct auth_subject){.principal = principal};
    return NULL;
}

/* A scheme goes back into a quoted string. */
static const char *plain(struct str scheme, struct arena *arena)
{
    char *text = arena_strndup(arena, scheme.p, MIN(scheme.n, (size_t)SCHEME_TEXT_MAX));
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    return text;
}

static const char *invalid_token(struct arena *arena, const char *realm, const char *why)
{
    return arena_printf(arena,
        "Bearer realm=\"%s\", error=\"invalid_token\", error_description=\"%s\"", realm, why);
}

static const char *check_jwt(const struct authenticator *a, struct str header, const char *realm,
    int64_t now_s, struct arena *arena, struct auth_subject *ret)
{
    if (!header.p)
        return arena_printf(arena, "Bearer realm=\"%s\"", realm);
    struct str scheme, token;
    if (str_has_prefix(header, STR("token="))) { /* as DC/OS writes it */
        scheme = STR("Bearer");
        token = (struct str){header.p + sizeof("token=") - 1, header.n - sizeof("token=") + 1};
    } else if (!split_scheme(header, &scheme, &token))
        return invalid_token(arena, realm, "Malformed 'Authorization' header");
    if (!str_ieq_c(scheme, "Bearer"))
        return invalid_token(
            arena, realm, arena_printf(arena, "Scheme '%s' unrecognized", plain(scheme, arena)));
    struct jwt jwt;
    struct error err = ERROR_INIT;
    if (jwt_verify(a->keys, token, now_s, arena, &jwt, &err) < 0)
        return invalid_token(arena, realm, arena_printf(arena, "Invalid JWT: %s", err.msg));
    struct auth_subject who = {.claims = jwt.claims, .n_claims = jwt.n_claims};
    if (jwt.asymmetric)
        who.principal = auth_claim_get(&who, "uid");
    if (jwt.asymmetric && a->policy &&
        !policy_token_counts(a->policy, who.principal, jwt.issued_us))
        return invalid_token(arena, realm, "The token's user is not known, or it was revoked");
    *ret = who;
    return NULL;
}

void authenticator_check(const struct authenticator *a, struct str authorization, const char *realm,
    int64_t now_s, struct arena *arena, struct auth_verdict *ret)
{
    *ret = (struct auth_verdict){0};
    const char *challenges = NULL;
    for (size_t i = 0; i < a->n; i++) {
        const char *c = a->schemes[i] == BASIC
                            ? check_basic(a, authorization, realm, arena, &ret->who)
                            : check_jwt(a, authorization, realm, now_s, arena, &ret->who);
        if (!c)
            return;
        challenges = challenges ? arena_printf(arena, "%s,%s", challenges, c) : c;
    }
    ret->challenge = challenges;
}

bool authenticate(const struct authenticator *a, struct http_request *req, const char *realm)
{
    static const struct auth_subject nobody = {0};
    req->subject = &nobody;
    if (!a)
        return true;
    struct auth_verdict *v = arena_new(&req->arena, struct auth_verdict);
    authenticator_check(a, http_request_header(req, "Authorization"), realm,
        clock_realtime_us() / USEC_PER_SEC, &req->arena, v);
    req->subject = &v->who;
    if (!v->challenge)
        return true;
    http_set_header(req, "WWW-Authenticate", v->challenge);
    http_respond_text(req, 401, "401 Unauthorized.");
    return false;
}
