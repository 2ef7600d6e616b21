#include <errno.h>

#include "auth/credentials.h"
#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "iam/password.h"
#include "iam/shell.h"

/* The first users: superusers by flags, and accounts of a file. */

enum { KEY_FILE_MAX = 16 * 1024, ACCOUNTS_FILE_MAX = 4 * 1024 * 1024 };

static int ensure_superuser(
    struct iam *s, const char *uid, const struct iam_user_spec *spec, struct error *err)
{
    struct iam_reply reply;
    if (!iam_id_valid(uid))
        return error_set(err, -EINVAL, "%s is no user id", uid);
    if (!map_get(&s->core.policy.users, uid)) {
        iam_user_create(&s->core, uid, spec, iam_now(s), &reply);
        if (reply.status >= 400)
            return error_set(err, -EINVAL, "%s", reply.text);
        log_info("superuser made user=%s", uid);
    }
    iam_make_superuser(&s->core, uid);
    return 0;
}

static int hash_of_file(const char *path, struct buf *ret, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    char *hash = NULL;
    bool exposed = false;
    int r = secret_file_read(path, KEY_FILE_MAX, &text, &exposed, err);
    if (r == 0 && exposed)
        r = error_set(err, -EACCES, "%s can be read by others; its mode should be 0600", path);
    if (r < 0)
        return r;
    struct str s = str_trim(buf_str(&text));
    if (s.n < IAM_PASSWORD_MIN || s.n > IAM_PASSWORD_MAX)
        return error_set(
            err, -EINVAL, "a password has %d to %d bytes", IAM_PASSWORD_MIN, IAM_PASSWORD_MAX);
    char *password = xstrndup(s.p, s.n);
    r = password_hash(password, &hash, err);
    rsa_wipe(password);
    if (r == 0)
        buf_puts(ret, hash);
    free(hash);
    return r;
}

/* ---- accounts of a file ---- */

static int grant(
    struct iam *s, const char *uid, const char *rid, const json_t *actions, struct iam_reply *reply)
{
    unsigned bits = 0;
    for (size_t i = 0; i < json_array_size(actions); i++) {
        const char *name = json_string_value(json_array_get(actions, i));
        unsigned bit = name ? policy_action_parse(str_of(name)) : 0;
        if (!bit) {
            iam_refuse(reply, 400, "ERR_UNKNOWN_ACTION",
                "expected some of create, read, update, delete and full for `%s`", rid);
            return -EINVAL;
        }
        bits |= bit;
    }
    if (!map_get(&s->core.policy.acls, rid))
        iam_acl_create(&s->core, rid, rid, reply);
    if (reply->status < 400)
        iam_entry_grant(&s->core, rid, false, uid, bits, reply);
    return reply->status < 400 ? 0 : -EINVAL;
}

static int make_account(
    struct iam *s, const char *uid, const json_t *account, struct iam_reply *reply)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_json_ json_t *body = json_copy((json_t *)(uintptr_t)account);
    json_object_del(body, "uid");
    json_object_del(body, "permissions");
    struct iam_user_spec spec;
    if (!iam_user_read(&s->core, uid, body, true, &arena, &spec, reply))
        return -EINVAL;
    if (spec.password) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "give a password_hash in place of a password");
        return -EINVAL;
    }
    iam_user_create(&s->core, uid, &spec, iam_now(s), reply);
    if (reply->status >= 400)
        return -EINVAL;
    log_info("account made user=%s", uid);
    const char *rid;
    json_t *actions;
    json_object_foreach((json_t *)(uintptr_t)json_at(account, "permissions"), rid, actions)
    {
        if (grant(s, uid, rid, actions, reply) < 0)
            return -EINVAL;
    }
    return 0;
}

void bootstrap_load(struct iam *s, const char *key)
{
    char *copy = xstrdup(key);
    free(map_remove(&s->initial, copy));
    map_put(&s->initial, copy, copy);
}

void bootstrap_done(struct iam *s)
{
    MAP_FOREACH (e, &s->initial)
        free(e->value);
    map_done(&s->initial);
}

/* What is there is left alone, with its permissions: they may have been taken from it. */
static int make_accounts(struct iam *s, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *document = NULL;
    int r = file_read(path, ACCOUNTS_FILE_MAX, &text, err);
    if (r >= 0)
        r = json_parse(buf_cstr(&text), text.n, &document, err);
    if (r < 0)
        return error_prefix(err, r, "--initial_accounts");
    const json_t *accounts = json_at(document, "accounts");
    if (!json_is_array(accounts))
        return error_set(err, -EINVAL, "--initial_accounts: /accounts: expected an array");
    for (size_t i = 0; i < json_array_size(accounts); i++) {
        const json_t *account = json_array_get(accounts, i);
        const char *uid = json_str_at(account, "uid", NULL);
        struct iam_reply reply = {0};
        if (!uid || !iam_id_valid(uid))
            return error_set(
                err, -EINVAL, "--initial_accounts: /accounts/%zu/uid: expected a user id", i);
        _cleanup_buf_ struct buf key = BUF_INIT;
        policy_key(&key, "initial", uid);
        if (map_get(&s->core.policy.users, uid) || map_get(&s->initial, buf_cstr(&key)))
            continue;
        if (make_account(s, uid, account, &reply) < 0)
            return error_set(
                err, -EINVAL, "--initial_accounts: /accounts/%zu (%s): %s", i, uid, reply.text);
        iam_put_document(&s->core, "initial", uid, json_object());
    }
    return 0;
}

/* ---- all of them ---- */

int iam_bootstrap(struct iam *s, const struct iam_bootstrap *b, struct error *err)
{
    int r = 0;
    _cleanup_buf_ struct buf key = BUF_INIT, hash = BUF_INIT;
    if (b->hash_file) {
        r = file_read(b->hash_file, PASSWORD_HASH_MAX, &hash, err);
        if (r < 0)
            return r;
    } else if (b->hash) {
        buf_puts(&hash, b->hash);
    } else if (b->password_file && !map_get(&s->core.policy.users, b->superuser)) {
        r = hash_of_file(b->password_file, &hash, err);
        if (r < 0)
            return error_prefix(err, r, "--superuser_password_file");
    }
    if (hash.n) {
        struct str text = str_trim(buf_str(&hash));
        _cleanup_free_ char *trimmed = xstrndup(text.p, text.n);
        r = password_hash_check(trimmed, err);
        if (r < 0)
            return error_prefix(err, r, "--superuser_password_hash");
        const struct iam_user_spec spec = {
            .description = "Bootstrap superuser", .password_hash = trimmed};
        r = ensure_superuser(s, b->superuser, &spec, err);
    }
    if (r == 0 && b->service_uid) {
        r = file_read(b->service_key, KEY_FILE_MAX, &key, err);
        if (r >= 0)
            r = rsa_check_public(buf_cstr(&key), err);
        if (r < 0)
            return error_prefix(err, r, "--superuser_service_account_public_key_file");
        const struct iam_user_spec spec = {
            .description = "Superuser service account", .public_key = buf_cstr(&key)};
        r = ensure_superuser(s, b->service_uid, &spec, err);
    }
    return r == 0 && b->accounts ? make_accounts(s, b->accounts, err) : r;
}
