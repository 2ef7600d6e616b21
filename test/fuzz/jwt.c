/* Tokens and key sets from outside: no bytes crash the readers, and no token verifies that the key
 * did not sign. The first byte chooses what the rest is. */

#include <assert.h>
#include <errno.h>

#include "auth/authenticator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const struct jwt_keys *k, struct str token)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct jwt jwt;
    struct error err = ERROR_INIT;
    int r = jwt_verify(k, token, 1700000000, &arena, &jwt, &err);
    assert(r == 0 || (r == -EACCES && err.msg[0]));
}

/* The payload as somebody who has the secret would sign it: what follows the signature's check. */
static void check_signed(const struct jwt_keys *k, struct str payload)
{
    _cleanup_buf_ struct buf token = BUF_INIT;
    jwt_make_hs256("key", 3, payload, &token);
    check_token(k, buf_str(&token));
}

static void check_header(const struct jwt_keys *k, struct str header)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct authenticator *a;
    struct auth_verdict v;
    struct authenticator_options o = {.names = "jwt", .keys = k};
    assert(authenticator_new(&o, &a, NULL) == 0);
    authenticator_check(a, header, "realm", 1700000000, &arena, &v);
    assert(!v.challenge || !strpbrk(v.challenge, "\r\n"));
    authenticator_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *k = jwt_keys_new();
    assert(jwt_keys_add_secret(k, "key", 3, NULL) == 0);
    switch (data[0] % 5) {
    case 0:
        check_token(k, rest);
        break;
    case 1:
        check_signed(k, rest);
        break;
    case 2:
        check_header(k, rest);
        break;
    case 3:
        (void)jwt_keys_set_jwks(k, rest.p, rest.n, NULL);
        assert(jwt_keys_count(k) >= 1);
        break;
    default:
        (void)jwt_keys_add_pem(k, rest.p, rest.n, NULL);
        break;
    }
    return 0;
}
