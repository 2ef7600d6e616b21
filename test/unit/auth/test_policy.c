#include "unit.h"

#include <errno.h>

#include "auth/authorizer.h"
#include "auth/policy.h"
#include "base/str.h"

static void put(struct policy *p, const char *kind, const char *name, const char *text)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    policy_key(&key, kind, name);
    json_t *value = NULL;
    struct error err = ERROR_INIT;
    if (text)
        assert_int_equal(json_parse(text, strlen(text), &value, &err), 0);
    assert_int_equal(policy_apply(p, buf_cstr(&key), value, &err), 0);
    json_decref(value);
}

static void make(struct policy *p)
{
    put(p, "users", "ann", "{}");
    put(p, "users", "bob", "{}");
    put(p, "users", "root", "{}");
    put(p, "groups", "ops", "{\"members\":[\"bob\",\"gone\"]}");
    put(p, "acls", "dcos:superuser", "{\"users\":{\"root\":16}}");
    put(p, "acls", "dcos:mesos:master:task:user", "{\"users\":{\"ann\":1}}");
    put(p, "acls", "svc:services:/a", "{\"users\":{\"ann\":2},\"groups\":{\"ops\":16}}");
    put(p, "acls", "svc:services:/", "{\"users\":{\"ann\":8}}");
    put(p, "acls", "dcos:adminrouter:service:x", "{\"users\":{\"ann\":16}}");
}

static void permissions(void **state)
{
    (void)state;
    static const struct {
        const char *uid, *rid;
        unsigned action;
        bool allowed;
    } rows[] = {
        {"root", "anything:at:all", POLICY_DELETE, true},
        {"ann", "dcos:mesos:master:task:user", POLICY_CREATE, true},
        {"ann", "dcos:mesos:master:task:user:nobody", POLICY_CREATE, true},
        {"ann", "dcos:mesos:master:task:user:nobody", POLICY_READ, false},
        {"ann", "dcos:mesos:master:task:users", POLICY_CREATE, false},
        {"ann", "dcos:mesos:master:task", POLICY_CREATE, false},
        {"ann", "svc:services:/a/b/c", POLICY_READ, true},
        {"ann", "svc:services:/ab", POLICY_READ, false},
        {"ann", "svc:services:/ab", POLICY_DELETE, true},
        {"ann", "svc:services:/", POLICY_READ, false},
        {"bob", "svc:services:/a/b", POLICY_UPDATE, true},
        {"bob", "svc:services:/b", POLICY_UPDATE, false},
        {"gone", "svc:services:/a", POLICY_READ, false},
        {NULL, "svc:services:/a", POLICY_READ, false},
        {"ann", "dcos:adminrouter:service:x", POLICY_FULL, true},
        {"ann", "dcos:adminrouter:service:x/y", POLICY_FULL, false},
        {"ann", "dcos:superuser", POLICY_READ, false},
    };
    struct policy p = POLICY_INIT;
    make(&p);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (policy_allows(&p, rows[i].uid, rows[i].rid, rows[i].action) != rows[i].allowed)
            fail_msg("%s on %s", rows[i].uid ? rows[i].uid : "nobody", rows[i].rid);
    assert_true(policy_is_superuser(&p, "root"));
    assert_false(policy_is_superuser(&p, "ann"));
    put(&p, "users", "root", NULL);
    assert_false(policy_allows(&p, "root", "a", POLICY_READ));
    policy_done(&p);
}

static void documents(void **state)
{
    (void)state;
    struct policy p = POLICY_INIT;
    put(&p, "acls", "a/b c:\xc3\xa9%", "{\"description\":\"d\",\"users\":{\"u\":3}}");
    const struct policy_acl *a = map_get(&p.acls, "a/b c:\xc3\xa9%");
    assert_non_null(a);
    json_t *o = policy_acl_document(a);
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(o, &text);
    assert_string_equal(
        buf_cstr(&text), "{\"description\":\"d\",\"users\":{\"u\":3},\"groups\":{}}");
    json_decref(o);
    struct error err = ERROR_INIT;
    json_t *array = json_array();
    assert_int_equal(policy_apply(&p, "users/x", array, &err), -EBADMSG);
    json_decref(array);
    assert_int_equal(policy_apply(&p, "other/x", NULL, &err), 0);
    assert_int_equal(map_size(&p.users), 0);
    policy_done(&p);
}

static void keys(void **state)
{
    (void)state;
    static const struct {
        const char *name, *key;
    } rows[] = {
        {"ann@example.org", "users/ann@example.org"},
        {"a/b", "users/a%2Fb"},
        {"..", "users/%2E%2E"},
        {"a b%", "users/a%20b%25"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ struct buf key = BUF_INIT;
        policy_key(&key, "users", rows[i].name);
        assert_string_equal(buf_cstr(&key), rows[i].key);
        struct policy p = POLICY_INIT;
        put(&p, "users", rows[i].name, "{}");
        assert_non_null(map_get(&p.users, rows[i].name));
        policy_done(&p);
    }
}

static void revocation(void **state)
{
    (void)state;
    struct policy p = POLICY_INIT;
    put(&p, "users", "ann", "{\"revoked_before_us\":1000}");
    put(&p, "users", "bob", "{}");
    assert_true(policy_token_counts(&p, "ann", 1000));
    assert_false(policy_token_counts(&p, "ann", 999));
    assert_false(policy_token_counts(&p, "ann", 0));
    assert_true(policy_token_counts(&p, "bob", 0));
    assert_false(policy_token_counts(&p, "eve", 5));
    assert_false(policy_token_counts(&p, NULL, 5));
    policy_done(&p);
}

/* What Mesos' actions ask for. */
static void actions(void **state)
{
    (void)state;
    static const struct {
        const char *uid;
        enum auth_action action;
        const char *object;
        bool permitted;
    } rows[] = {
        {"root", AUTH_RUN_TASK, "root", true},
        {"root", AUTH_PRUNE_IMAGES, NULL, true},
        {"ann", AUTH_RUN_TASK, "nobody", true},
        {"ann", AUTH_RUN_TASK, NULL, true},
        {"ann", AUTH_VIEW_TASK, "nobody", false},
        {"ann", AUTH_REGISTER_FRAMEWORK, "dev", true},
        {"ann", AUTH_REGISTER_FRAMEWORK, "dev/a", false},
        {"ann", AUTH_REGISTER_FRAMEWORK, "*", false},
        {"ann", AUTH_REGISTER_FRAMEWORK, NULL, false},
        {"ann", AUTH_TEARDOWN_FRAMEWORK, "p", true},
        {"ann", AUTH_TEARDOWN_FRAMEWORK, "p:q", false},
        {"ann", AUTH_GET_ENDPOINT, "/metrics/snapshot", true},
        {"ann", AUTH_GET_ENDPOINT, "/logging/toggle", false},
        {"bob", AUTH_VIEW_TASK, "nobody", true},
        {"bob", AUTH_VIEW_TASK, NULL, true},
        {"bob", AUTH_RUN_TASK, "nobody", false},
        {"eve", AUTH_RUN_TASK, "nobody", false},
        {NULL, AUTH_RUN_TASK, "nobody", false},
    };
    struct policy p = POLICY_INIT;
    uint64_t generation = 7;
    make(&p);
    put(&p, "acls", "dcos:mesos:master:framework:role:dev", "{\"users\":{\"ann\":1}}");
    put(&p, "acls", "dcos:mesos:master:framework:principal:p", "{\"users\":{\"ann\":8}}");
    put(&p, "acls", "dcos:mesos:master:endpoint:path:/metrics", "{\"users\":{\"ann\":2}}");
    put(&p, "acls", "dcos:mesos:master:task:app_id", "{\"groups\":{\"ops\":2}}");
    _cleanup_(authorizer_freep)
    struct authorizer *a = authorizer_new_policy(&p, &generation, "master");
    _cleanup_(authorizer_freep)
    struct authorizer *agent = authorizer_new_policy(&p, &generation, "agent");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct auth_subject who = {.principal = rows[i].uid};
        if (authorizer_permits(a, &who, rows[i].action, rows[i].object) != rows[i].permitted)
            fail_msg("row %zu", i);
        if (!rows[i].object)
            assert_int_equal(authorizer_permits_all(a, &who, rows[i].action), rows[i].permitted);
    }
    const struct auth_subject ann = {.principal = "ann"}, bob = {.principal = "bob"};
    assert_false(authorizer_permits(agent, &ann, AUTH_RUN_TASK, "nobody"));
    /* What one user sees is not shown to another, nor to the same after a change. */
    _cleanup_buf_ struct buf of_ann = BUF_INIT, of_bob = BUF_INIT, later = BUF_INIT;
    const enum auth_action view = AUTH_VIEW_TASK;
    authorizer_same(a, &ann, &view, 1, &of_ann);
    authorizer_same(a, &bob, &view, 1, &of_bob);
    generation++;
    authorizer_same(a, &ann, &view, 1, &later);
    assert_string_not_equal(buf_cstr(&of_ann), buf_cstr(&of_bob));
    assert_string_not_equal(buf_cstr(&of_ann), buf_cstr(&later));
    /* Every action has its resource. */
    for (int action = 1; action < AUTH_ACTIONS; action++) {
        _cleanup_buf_ struct buf rid = BUF_INIT;
        unsigned bit = 0;
        assert_true(authorizer_rid(a, (enum auth_action)action, "x:y", &rid, &bit));
        assert_true(bit == POLICY_CREATE || bit == POLICY_READ || bit == POLICY_UPDATE ||
                    bit == POLICY_DELETE);
        assert_int_equal(strncmp(buf_cstr(&rid), "dcos:mesos:master:", 18), 0);
        assert_null(strstr(buf_cstr(&rid), "x:y"));
    }
    policy_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permissions),
        cmocka_unit_test(documents),
        cmocka_unit_test(keys),
        cmocka_unit_test(revocation),
        cmocka_unit_test(actions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
