#include "unit.h"

#include "base/str.h"
#include "iam/core.h"
#include "iam/password.h"

static const char PUBLIC_KEY[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyvNpIkdwonICe0PnFvwO\n"
    "-----END PUBLIC KEY-----\n";

static json_t *parse(const char *text)
{
    json_t *o = NULL;
    struct error err = ERROR_INIT;
    if (text && json_parse(text, strlen(text), &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

/* Reads and, when that went well, carries out. */
static struct iam_reply put(struct iam_core *c, const char *uid, const char *text, bool create)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_json_ json_t *body = parse(text);
    struct iam_user_spec spec;
    struct iam_reply reply = {0};
    if (!iam_user_read(c, uid, body, create, &arena, &spec, &reply))
        return reply;
    if (spec.password)
        spec.password_hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA";
    if (create)
        iam_user_create(c, uid, &spec, 5, &reply);
    else
        iam_user_update(c, uid, &spec, &reply);
    return reply;
}

static void creation(void **state)
{
    (void)state;
    static const struct {
        const char *uid, *body;
        int status;
        const char *text;
    } rows[] = {
        {"a", NULL, 400, "Request has bad Content-Type or lacks JSON data"},
        {"a", "[]", 400, "Request has bad Content-Type or lacks JSON data"},
        {"a", "{}", 400, "One of `password` or `public_key` must be provided"},
        {"a", "{\"description\":\"x\"}", 400, "One of `password` or `public_key` must be provided"},
        {"a", "{\"password\":\"1234\"}", 400, "5 to"},
        {"a", "{\"password\":5}", 400, "`password` must be a string"},
        {"a", "{\"password\":\"12345\",\"more\":1}", 400, "Unknown property `more`"},
        {"a", "{\"password\":\"12345\",\"public_key\":\"x\"}", 400, "not both"},
        {"a", "{\"public_key\":\"x\"}", 400, "`public_key`"},
        {"a/b", "{\"password\":\"12345\"}", 400, "user id"},
        {"", "{\"password\":\"12345\"}", 400, "user id"},
        {"a", "{\"password_hash\":\"plain\"}", 400, "modular crypt"},
        {"a", "{\"password_hash\":\"$6$rounds=999999999$s$h\"}", 400, "cost too much"},
        {"a", "{\"provider_type\":\"x\",\"provider_id\":\"y\"}", 400, "provider_type"},
        {"a", "{\"password\":\"12345\"}", 201, ""},
        {"a", "{\"password\":\"other\"}", 409, "already exists"},
        {"h", "{\"password_hash\":\"$6$rounds=656000$salt$hash\"}", 201, ""},
        {"m@example.org", "{}", 201, ""},
        {"n@example.org", "{\"cluster_url\":\"u\",\"creator_uid\":\"c\"}", 201, ""},
        {"o@example", "{}", 400, "must be provided"},
        {"r", "{\"provider_type\":\"oidc\",\"provider_id\":\"p\"}", 201, ""},
    };
    struct iam_core c = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t before = map_size(&c.policy.users), changes = c.changes.n;
        struct iam_reply reply = put(&c, rows[i].uid, rows[i].body, true);
        if (reply.status != rows[i].status || !strstr(reply.text, rows[i].text))
            fail_msg("row %zu: %d %s", i, reply.status, reply.text);
        bool made = rows[i].status == 201;
        assert_int_equal(map_size(&c.policy.users), before + made);
        assert_int_equal(c.changes.n, changes + made);
    }
    const struct policy_user *u = map_get(&c.policy.users, "m@example.org");
    /* Tokens of an earlier user of that name do not count. */
    assert_false(policy_token_counts(&c.policy, "a", 4));
    assert_true(policy_token_counts(&c.policy, "a", 5));
    assert_true(u->is_remote);
    assert_string_equal(u->provider_type, "oidc");
    assert_string_equal(u->provider_id, "https://dcos.auth0.com/");
    /* What is stored has the hash, what is shown has not. */
    assert_non_null(strstr(c.changes.items[0].stored, "$argon2id$"));
    assert_null(strstr(c.changes.items[0].shown, "argon2id"));
    iam_core_done(&c);
}

static void updates(void **state)
{
    (void)state;
    struct iam_core c = {0};
    put(&c, "a", "{\"password\":\"12345\"}", true);
    put(&c, "r@example.org", "{}", true);
    assert_int_equal(put(&c, "b", "{\"description\":\"d\"}", false).status, 400);
    assert_int_equal(put(&c, "a", "{}", false).status, 400);
    assert_int_equal(put(&c, "a", "{\"public_key\":\"x\"}", false).status, 400);
    assert_int_equal(put(&c, "r@example.org", "{\"password\":\"12345\"}", false).status, 400);
    assert_int_equal(put(&c, "a", "{\"description\":\"d\"}", false).status, 204);
    const struct policy_user *u = map_get(&c.policy.users, "a");
    assert_string_equal(u->description, "d");
    assert_non_null(u->password_hash);
    struct iam_reply reply;
    iam_user_revoke(&c, "a", 77, &reply);
    assert_int_equal(reply.status, 204);
    assert_false(policy_token_counts(&c.policy, "a", 76));
    u = map_get(&c.policy.users, "a");
    assert_non_null(u->password_hash);
    iam_core_done(&c);
}

static void permissions(void **state)
{
    (void)state;
    struct iam_core c = {0};
    struct iam_reply r;
    put(&c, "a", "{\"password\":\"12345\"}", true);
    put(&c, "b", "{\"password\":\"12345\"}", true);
    iam_group_create(&c, "g", "d", &r);
    assert_int_equal(r.status, 201);
    iam_group_create(&c, "g", "d", &r);
    assert_int_equal(r.status, 409);
    iam_group_create(&c, "h", NULL, &r);
    assert_int_equal(r.status, 400);
    iam_member_add(&c, "g", "a", &r);
    assert_int_equal(r.status, 204);
    iam_member_add(&c, "g", "a", &r);
    assert_int_equal(r.status, 409);
    iam_member_add(&c, "g", "z", &r);
    assert_string_equal(r.code, "ERR_UNKNOWN_USER_ID");
    iam_acl_create(&c, "x:y", "d", &r);
    assert_int_equal(r.status, 201);
    iam_entry_grant(&c, "x:y", true, "g", POLICY_READ, &r);
    assert_int_equal(r.status, 204);
    iam_entry_grant(&c, "x:y", true, "g", POLICY_READ, &r);
    assert_int_equal(r.status, 409);
    iam_entry_grant(&c, "x:y", false, "b", POLICY_FULL, &r);
    assert_int_equal(r.status, 204);
    assert_true(policy_allows(&c.policy, "a", "x:y:z", POLICY_READ));
    assert_false(policy_allows(&c.policy, "a", "x:y:z", POLICY_UPDATE));
    assert_true(policy_allows(&c.policy, "b", "x:y", POLICY_DELETE));
    iam_entry_take(&c, "x:y", false, "b", POLICY_READ, &r);
    assert_int_equal(r.status, 400);
    /* Who goes is forgotten everywhere; a new one of the name has nothing. */
    iam_user_delete(&c, "b", &r);
    assert_int_equal(r.status, 204);
    put(&c, "b", "{\"password\":\"12345\"}", true);
    assert_false(policy_allows(&c.policy, "b", "x:y", POLICY_DELETE));
    iam_user_delete(&c, "a", &r);
    put(&c, "a", "{\"password\":\"12345\"}", true);
    assert_false(policy_allows(&c.policy, "a", "x:y:z", POLICY_READ));
    iam_group_delete(&c, "g", &r);
    iam_group_create(&c, "g", "d", &r);
    iam_member_add(&c, "g", "a", &r);
    assert_false(policy_allows(&c.policy, "a", "x:y:z", POLICY_READ));
    iam_make_superuser(&c, "a");
    assert_true(policy_is_superuser(&c.policy, "a"));
    iam_core_done(&c);
}

/* What was stored gives the same again. */
static void loading(void **state)
{
    (void)state;
    struct iam_core c = {0}, d = {0};
    struct iam_reply r;
    put(&c, "a", "{\"password\":\"12345\"}", true);
    iam_group_create(&c, "g", "d", &r);
    iam_member_add(&c, "g", "a", &r);
    iam_make_superuser(&c, "a");
    iam_key_add(&c, "k1", PUBLIC_KEY, "secret one", 5);
    iam_key_add(&c, "k2", PUBLIC_KEY, "secret two", 9);
    VEC_FOREACH (change, &c.changes) {
        struct error err = ERROR_INIT;
        assert_int_equal(iam_core_load(&d, change->key, str_of(change->stored), &err), 0);
        assert_null(strstr(change->shown, "secret"));
    }
    assert_true(policy_is_superuser(&d.policy, "a"));
    assert_non_null(((struct policy_user *)map_get(&d.policy.users, "a"))->password_hash);
    assert_true(policy_in_group(map_get(&d.policy.groups, "g"), "a"));
    const struct policy_public_key *one = map_get(&d.policy.keys, "k1"),
                                   *two = map_get(&d.policy.keys, "k2");
    assert_false(one->current);
    assert_true(two->current);
    assert_int_equal(one->retired_us, 9);
    struct error err = ERROR_INIT;
    assert_true(iam_core_load(&d, "users/x", STR("{\"version\":99}"), &err) < 0);
    assert_true(iam_core_load(&d, "users/x", STR("{"), &err) < 0);
    iam_core_done(&c);
    iam_core_done(&d);
}

static void hashes(void **state)
{
    (void)state;
    char *hash = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(password_hash("correct horse", &hash, &err), 0);
    assert_int_equal(password_hash_check(hash, &err), 0);
    assert_true(password_verify("correct horse", hash));
    assert_false(password_verify("correct house", hash));
    assert_false(password_verify("correct horse", NULL));
    free(hash);
    /* openssl passwd -6 -salt abcdefgh secret99 */
    static const char imported[] =
        "$6$abcdefgh$ax1FgFSXRfYR1S5WY4JDcz3lAK7LM9fBx/lKfzav6l/ks5IX2EzBLklz8FvF1qwz56W2thDDH6lZ0e"
        "G.KlFvc/";
    assert_true(password_verify("secret99", imported));
    assert_int_equal(password_hash_check(imported, &err), 0);
    assert_false(password_verify("secret98", imported));
    static const char *const bad[] = {"", "x", "$1$salt$hash", "$2b$31$abcdefghijklmnopqrstuv",
        "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdA$aGFzaA", "$6$a b$c", "$y$jZ9$a$b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (password_hash_check(bad[i], &err) == 0)
            fail_msg("accepted '%s'", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),
        cmocka_unit_test(updates),
        cmocka_unit_test(permissions),
        cmocka_unit_test(loading),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
