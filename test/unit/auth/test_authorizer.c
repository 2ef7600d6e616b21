#include "unit.h"

#include <errno.h>
#include <string.h>

#include "auth/authorizer.h"

static struct authorizer *make(const char *text)
{
    struct authorizer *a = NULL;
    struct error err = ERROR_INIT;
    if (authorizer_new(text, strlen(text), &a, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return a;
}

static void without_rules(void **state)
{
    (void)state;
    const struct auth_subject nobody = {0};
    assert_true(authorizer_permits(NULL, &nobody, AUTH_DRAIN_AGENT, NULL));
    assert_true(authorizer_permits(NULL, &nobody, AUTH_VIEW_ROLE, "dev"));
    assert_true(authorizer_permits_all(NULL, &nobody, AUTH_VIEW_ROLE));
}

static const char RULES[] =
    "{\"permissive\": false,"
    " \"run_tasks\": ["
    "  {\"principals\": {\"values\": [\"a\", \"b\"]}, \"users\": {\"values\": [\"web\"]}},"
    "  {\"principals\": {\"values\": [\"a\"]}, \"users\": {\"type\": \"NONE\"}},"
    "  {\"principals\": {\"type\": \"ANY\"}, \"users\": {\"values\": [\"guest\"]}}],"
    " \"register_frameworks\": ["
    "  {\"principals\": {\"values\": [\"a\"]}, \"roles\": {\"values\": [\"eng\", \"ads/%\"]}},"
    "  {\"principals\": {\"values\": [\"b\"]}, \"roles\": {\"type\": \"ANY\"}}],"
    " \"view_tasks\": [{\"principals\": {\"type\": \"NONE\"}, \"users\": {\"type\": \"ANY\"}}],"
    " \"teardown_frameworks\": [{\"principals\": {\"type\": \"ANY\"},"
    "   \"framework_principals\": {\"values\": [\"x/%\"]}}],"
    " \"update_quotas\": [{\"principals\": {\"values\": [\"a\"]}, \"roles\": {\"type\": \"ANY\"}}],"
    " \"drain_agents\": [{\"principals\": {\"values\": [\"a\"]}, \"agents\": {\"type\": "
    "\"ANY\"}}]}";

static void rules(void **state)
{
    (void)state;
    static const struct {
        const char *who;
        enum auth_action action;
        const char *object;
        bool want;
    } table[] = {
        {"a", AUTH_RUN_TASK, "web", true},
        {"a", AUTH_RUN_TASK, "guest", false}, /* the second rule decides before the third */
        {"b", AUTH_RUN_TASK, "web", true},
        {"b", AUTH_RUN_TASK, "root", false}, /* no rule fits: not permissive */
        {"b", AUTH_RUN_TASK, "guest", true}, {"c", AUTH_RUN_TASK, "guest", true},
        {NULL, AUTH_RUN_TASK, "guest", true}, {NULL, AUTH_RUN_TASK, "web", false},
        {"a", AUTH_RUN_TASK, NULL, false}, /* any object: values do not fit, NONE does */
        {"a", AUTH_REGISTER_FRAMEWORK, "eng", true}, {"a", AUTH_REGISTER_FRAMEWORK, "ads", false},
        {"a", AUTH_REGISTER_FRAMEWORK, "ads/", false},
        {"a", AUTH_REGISTER_FRAMEWORK, "ads/web", true},
        {"a", AUTH_REGISTER_FRAMEWORK, "ads/web/x", true},
        {"a", AUTH_REGISTER_FRAMEWORK, "adsx/web", false},
        {"a", AUTH_REGISTER_FRAMEWORK, "engine", false},
        {"a", AUTH_REGISTER_FRAMEWORK, NULL, false}, {"b", AUTH_REGISTER_FRAMEWORK, NULL, true},
        {"b", AUTH_REGISTER_FRAMEWORK, "*", true},
        {"a", AUTH_VIEW_TASK, "web", false}, /* NONE among the principals refuses everybody */
        {NULL, AUTH_VIEW_TASK, NULL, false},
        {"a", AUTH_TEARDOWN_FRAMEWORK, "x/y", false}, /* no role: the sign means nothing */
        {"a", AUTH_TEARDOWN_FRAMEWORK, "x/%", true}, {"a", AUTH_UPDATE_QUOTA, "eng", true},
        {"a", AUTH_UPDATE_QUOTA_WITH_CONFIG, "eng", true},
        {"b", AUTH_UPDATE_QUOTA_WITH_CONFIG, "eng", false}, {"a", AUTH_DRAIN_AGENT, NULL, true},
        {"a", AUTH_DRAIN_AGENT, "S1", true}, {"b", AUTH_DRAIN_AGENT, NULL, false},
        {"a", AUTH_VIEW_ROLE, "eng", false}, /* no rules at all for it */
    };
    _cleanup_(authorizer_freep)
    struct authorizer *a = make(RULES);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct auth_subject who = {.principal = table[i].who};
        if (authorizer_permits(a, &who, table[i].action, table[i].object) != table[i].want)
            fail_msg("row %zu: %s %d %s: expected %d", i, table[i].who, table[i].action,
                table[i].object, table[i].want);
    }
}

static void permissive_unless_told(void **state)
{
    (void)state;
    _cleanup_(authorizer_freep)
    struct authorizer *a = make(
        "{\"view_roles\": [{\"principals\": {\"values\": [\"a\"]}, \"roles\": {\"type\": "
        "\"NONE\"}}]}");
    struct auth_subject who = {.principal = "a"}, other = {.principal = "b"};
    assert_false(authorizer_permits(a, &who, AUTH_VIEW_ROLE, "x"));
    assert_true(authorizer_permits(a, &other, AUTH_VIEW_ROLE, "x"));
    assert_true(authorizer_permits(a, &who, AUTH_VIEW_TASK, "x"));
}

static void everything_is_known(void **state)
{
    (void)state;
    _cleanup_(authorizer_freep)
    struct authorizer *a = make(RULES);
    struct auth_subject principals[] = {{.principal = "a"}, {.principal = "b"}, {0}};
    assert_false(authorizer_permits_all(a, &principals[0], AUTH_RUN_TASK));
    assert_true(authorizer_permits_all(a, &principals[1], AUTH_REGISTER_FRAMEWORK));
    assert_false(authorizer_permits_all(a, &principals[0], AUTH_REGISTER_FRAMEWORK));
    assert_true(authorizer_permits_all(a, &principals[0], AUTH_DRAIN_AGENT));
    assert_false(authorizer_permits_all(a, &principals[2], AUTH_VIEW_TASK));
    /* A rule that refuses one object ends it, though the file is permissive. */
    _cleanup_(authorizer_freep)
    struct authorizer *b = make(
        "{\"view_tasks\": [{\"principals\": {\"type\": \"NONE\"}, \"users\": {\"values\": "
        "[\"root\"]}}]}");
    assert_false(authorizer_permits_all(b, &principals[0], AUTH_VIEW_TASK));
    assert_true(authorizer_permits(b, &principals[0], AUTH_VIEW_TASK, "web"));
}

static void who_may_the_same(void **state)
{
    (void)state;
    static const enum auth_action actions[] = {AUTH_RUN_TASK, AUTH_REGISTER_FRAMEWORK};
    _cleanup_(authorizer_freep)
    struct authorizer *a = make(RULES);
    struct auth_subject principals[] = {
        {.principal = "a"}, {.principal = "b"}, {.principal = "c"}, {.principal = "d"}, {0}};
    struct buf text[ARRAY_SIZE(principals)] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(principals); i++)
        authorizer_same(a, &principals[i], actions, ARRAY_SIZE(actions), &text[i]);
    assert_string_not_equal(text[0].p, text[1].p);
    assert_string_not_equal(text[0].p, text[2].p);
    assert_string_equal(text[2].p, text[3].p);
    assert_string_equal(text[2].p, text[4].p);
    for (size_t i = 0; i < ARRAY_SIZE(principals); i++)
        buf_done(&text[i]);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } table[] = {
        {"[]", "/: expected an object"},
        {"{", "line 1 column"},
        {"{\"permissive\": 1}", "/permissive: expected true or false"},
        {"{\"view_task\": []}", "/view_task: there is no such ACL"},
        {"{\"view_tasks\": {}}", "/view_tasks: expected an array"},
        {"{\"view_tasks\": [{\"users\": {\"type\": \"ANY\"}}]}", "/view_tasks/0/principals"},
        {"{\"view_tasks\": [{\"principals\": {\"type\": \"ANY\"}}]}", "/view_tasks/0/users"},
        {"{\"view_tasks\": [{\"principals\": {\"type\": \"ALL\"}, \"users\": {\"type\": "
         "\"ANY\"}}]}",
            "/view_tasks/0/principals/type: expected SOME, ANY or NONE"},
        {"{\"view_tasks\": [{\"principals\": {\"values\": [1]}, \"users\": {\"type\": "
         "\"ANY\"}}]}",
            "/view_tasks/0/principals/values/0: expected a string"},
        {"{\"view_tasks\": [{\"principals\": {\"values\": []}, \"users\": {\"type\": \"ANY\"}, "
         "\"roles\": {}}]}",
            "/view_tasks/0"},
        {"{\"view_flags\": [{\"principals\": {\"type\": \"ANY\"}, \"flags\": {\"values\": "
         "[\"x\"]}}]}",
            "/view_flags/0/flags: type must be either NONE or ANY"},
        {"{\"get_endpoints\": [{\"principals\": {\"type\": \"ANY\"}, \"paths\": {\"values\": "
         "[\"/state\"]}}]}",
            "Path: '/state' is not an authorizable path"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct authorizer *a = NULL;
        struct error err = ERROR_INIT;
        assert_true(authorizer_new(table[i].text, strlen(table[i].text), &a, &err) < 0);
        assert_null(a);
        if (!strstr(err.msg, table[i].error))
            fail_msg("%s: got '%s', expected '%s'", table[i].text, err.msg, table[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules),
        cmocka_unit_test(rules),
        cmocka_unit_test(permissive_unless_told),
        cmocka_unit_test(everything_is_known),
        cmocka_unit_test(who_may_the_same),
        cmocka_unit_test(errors_name_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
