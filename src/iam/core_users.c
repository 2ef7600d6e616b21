#include <string.h>

#include "auth/rsa.h"
#include "base/alloc.h"
#include "iam/core_internal.h"
#include "iam/password.h"

/* Users and service accounts: what may be asked for, and what changes. */

enum { PROVIDER_MAX = 256, PUBLIC_KEY_MAX = 16 * 1024 };

static bool looks_like_mail(const char *uid)
{
    const char *at = strchr(uid, '@');
    return at && at > uid && strchr(at + 1, '.') && !strchr(at + 1, '@');
}

/* A text field, or the refusal. */
static bool take_text(const json_t *body, const char *name, size_t max, struct arena *arena,
    const char **ret, struct iam_reply *reply)
{
    const json_t *v = json_at(body, name);
    if (!v)
        return true;
    if (!json_is_string(v)) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "`%s` must be a string", name);
        return false;
    }
    if (json_string_length(v) > max) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "`%s` is longer than %zu bytes", name, max);
        return false;
    }
    *ret = arena_strdup(arena, json_string_value(v));
    return true;
}

static bool known_fields(const json_t *body, bool create, struct iam_reply *reply)
{
    static const char *const fields[] = {"description", "password", "password_hash", "public_key",
        "provider_type", "provider_id", "cluster_url", "creator_uid"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < (create ? ARRAY_SIZE(fields) : 3); i++)
            known = known || streq(name, fields[i]);
        if (!known) {
            iam_refuse(reply, 400, "ERR_INVALID_DATA", "Unknown property `%.64s`", name);
            return false;
        }
    }
    return true;
}

static bool password_ok(const char *password, struct iam_reply *reply)
{
    size_t n = strlen(password);
    if (n >= IAM_PASSWORD_MIN && n <= IAM_PASSWORD_MAX)
        return true;
    iam_refuse(reply, 400, "ERR_INVALID_DATA", "A password has %d to %d characters",
        IAM_PASSWORD_MIN, IAM_PASSWORD_MAX);
    return false;
}

static bool hash_ok(const char *hash, struct iam_reply *reply)
{
    struct error err = ERROR_INIT;
    if (password_hash_check(hash, &err) == 0)
        return true;
    iam_refuse(reply, 400, "ERR_INVALID_DATA", "`password_hash`: %s", err.msg);
    return false;
}

/* Which kind of user the fields make. */
static bool judge(const char *uid, struct iam_user_spec *u, struct iam_reply *reply)
{
    bool credentials = u->password || u->password_hash;
    if (credentials && u->public_key) {
        iam_refuse(
            reply, 400, "ERR_INVALID_DATA", "A user has a password or a public key, not both");
        return false;
    }
    if (credentials)
        return (!u->password || password_ok(u->password, reply)) &&
               (!u->password_hash || hash_ok(u->password_hash, reply));
    if (u->public_key) {
        struct error err = ERROR_INIT;
        if (rsa_check_public(u->public_key, &err) == 0)
            return true;
        iam_refuse(reply, 400, "ERR_INVALID_PUBLIC_KEY", "`public_key`: %s", err.msg);
        return false;
    }
    if (u->provider_type && u->provider_id) {
        if (!streq(u->provider_type, "oidc") && !streq(u->provider_type, "saml") &&
            !streq(u->provider_type, "ldap")) {
            iam_refuse(reply, 400, "ERR_INVALID_DATA",
                "`provider_type` must be one of oidc, saml, ldap for a user without credentials");
            return false;
        }
        u->is_remote = true;
        return true;
    }
    if (!u->provider_type && !u->provider_id && looks_like_mail(uid)) {
        u->provider_type = "oidc";
        u->provider_id = IAM_LEGACY_PROVIDER;
        u->is_remote = true;
        return true;
    }
    iam_refuse(
        reply, 400, "ERR_INVALID_DATA", "One of `password` or `public_key` must be provided");
    return false;
}

bool iam_user_read(const struct iam_core *c, const char *uid, const json_t *body, bool create,
    struct arena *arena, struct iam_user_spec *ret, struct iam_reply *reply)
{
    *ret = (struct iam_user_spec){0};
    if (!json_is_object(body)) {
        iam_refuse(
            reply, 400, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data");
        return false;
    }
    if (!iam_id_valid(uid)) {
        iam_refuse(reply, 400, "ERR_INVALID_USER_ID",
            "A user id has 1 to %d bytes, without '/' and control characters", POLICY_UID_MAX);
        return false;
    }
    if (!known_fields(body, create, reply) ||
        !take_text(body, "description", POLICY_DESCRIPTION_MAX, arena, &ret->description, reply) ||
        !take_text(body, "password", IAM_PASSWORD_MAX, arena, &ret->password, reply) ||
        !take_text(body, "password_hash", PASSWORD_HASH_MAX, arena, &ret->password_hash, reply) ||
        !take_text(body, "public_key", PUBLIC_KEY_MAX, arena, &ret->public_key, reply) ||
        !take_text(body, "provider_type", PROVIDER_MAX, arena, &ret->provider_type, reply) ||
        !take_text(body, "provider_id", PROVIDER_MAX, arena, &ret->provider_id, reply))
        return false;
    const struct policy_user *known = map_get(&c->policy.users, uid);
    if (create) {
        if (known) {
            iam_refuse(reply, 409, "ERR_USER_EXISTS", "User `%s` already exists", uid);
            return false;
        }
        if (map_size(&c->policy.users) >= IAM_USERS_MAX) {
            iam_refuse(reply, 400, "ERR_INVALID_DATA", "There are %d users already", IAM_USERS_MAX);
            return false;
        }
        return judge(uid, ret, reply);
    }
    if (!known) {
        iam_refuse(reply, 400, "ERR_UNKNOWN_USER_ID", "User `%s` is not known", uid);
        return false;
    }
    if (!ret->description && !ret->password && !ret->password_hash) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "Nothing to change was given");
        return false;
    }
    if ((ret->password || ret->password_hash) && known->public_key) {
        iam_refuse(reply, 501, "ERR_INVALID_DATA", "A service account has no password");
        return false;
    }
    if ((ret->password || ret->password_hash) && known->is_remote) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA",
            "User `%s` logs in with an identity provider and has no password here", uid);
        return false;
    }
    return (!ret->password || password_ok(ret->password, reply)) &&
           (!ret->password_hash || hash_ok(ret->password_hash, reply));
}

static void put_user(struct iam_core *c, const char *uid, const struct policy_user *u)
{
    /* The record that holds these strings is replaced on the way. */
    _cleanup_free_ char *hash = u->password_hash ? xstrdup(u->password_hash) : NULL;
    iam_change(c, "users", uid, policy_user_document(u), "password_hash", hash);
}

void iam_user_create(struct iam_core *c, const char *uid, const struct iam_user_spec *spec,
    int64_t now_us, struct iam_reply *reply)
{
    if (map_get(&c->policy.users, uid)) { /* made while a password was being hashed */
        iam_refuse(reply, 409, "ERR_USER_EXISTS", "User `%s` already exists", uid);
        return;
    }
    const struct policy_user u = {
        .description = (char *)(uintptr_t)(spec->description ? spec->description : ""),
        .provider_type = (char *)(uintptr_t)(spec->is_remote ? spec->provider_type : "internal"),
        .provider_id = (char *)(uintptr_t)(spec->is_remote ? spec->provider_id : ""),
        .public_key = (char *)(uintptr_t)spec->public_key,
        .password_hash = (char *)(uintptr_t)spec->password_hash,
        .is_remote = spec->is_remote,
        .revoked_before_us = now_us,
    };
    put_user(c, uid, &u);
    iam_done(reply, 201);
}

static const struct policy_user *find_user(
    struct iam_core *c, const char *uid, struct iam_reply *reply)
{
    const struct policy_user *u = map_get(&c->policy.users, uid);
    if (!u)
        iam_refuse(reply, 400, "ERR_UNKNOWN_USER_ID", "User `%.96s` is not known", uid);
    return u;
}

void iam_user_update(
    struct iam_core *c, const char *uid, const struct iam_user_spec *spec, struct iam_reply *reply)
{
    const struct policy_user *known = find_user(c, uid, reply);
    if (!known)
        return;
    struct policy_user u = *known;
    if (spec->description)
        u.description = (char *)(uintptr_t)spec->description;
    if (spec->password_hash)
        u.password_hash = (char *)(uintptr_t)spec->password_hash;
    put_user(c, uid, &u);
    iam_done(reply, 204);
}

void iam_user_revoke(struct iam_core *c, const char *uid, int64_t now_us, struct iam_reply *reply)
{
    const struct policy_user *known = find_user(c, uid, reply);
    if (!known)
        return;
    struct policy_user u = *known;
    u.revoked_before_us = now_us;
    put_user(c, uid, &u);
    iam_done(reply, 204);
}

void iam_user_delete(struct iam_core *c, const char *uid, struct iam_reply *reply)
{
    if (!find_user(c, uid, reply))
        return;
    iam_forget(c, false, uid);
    iam_change(c, "users", uid, NULL, NULL, NULL);
    iam_done(reply, 204);
}
