#include <string.h>

#include "checks/config.h"
#include "base/str.h"
#include "unit.h"

#define CHECK_A "{\"description\":\"d\",\"cmd\":[\"true\"],\"timeout\":\"1s\"}"

static const char good[] =
    "{\"cluster_checks\":{\"z\":" CHECK_A ",\"a\":" CHECK_A "},"
    "\"node_checks\":{\"checks\":{\"one\":{\"description\":\"first\",\"cmd\":[\"sh\",\"-c\",\"exit "
    "1\"],"
    "\"timeout\":\"1.5s\",\"roles\":[\"agent\"]},\"two\":{\"description\":\"\",\"cmd\":[\"x\"],"
    "\"timeout\":\"soon\"}},\"prestart\":[\"two\"],\"poststart\":[\"two\",\"one\",\"one\"]},"
    "\"check_env\":{\"PATH\":\"/bin\"}}";

static void test_good(void **state)
{
    struct check_config *c = NULL;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(check_config_parse(good, strlen(good), &c, &err), 0);
    const struct check_list *cluster = check_config_list(c, CHECK_CLUSTER);
    assert_int_equal(cluster->n, 2);
    assert_string_equal(cluster->items[0]->name, "a"); /* sorted */
    assert_int_equal(cluster->items[0]->roles, CHECK_ANY);
    const struct check_list *post = check_config_list(c, CHECK_POSTSTART);
    assert_int_equal(post->n, 2); /* each once */
    assert_string_equal(post->items[0]->name, "one");
    assert_int_equal(post->items[0]->roles, CHECK_AGENT);
    assert_int_equal(post->items[0]->timeout_us, 1500000);
    assert_string_equal(post->items[0]->argv[2], "exit 1");
    assert_null(post->items[0]->argv[3]);
    assert_int_equal(post->items[1]->timeout_us, 5000000); /* no duration: the original's default */
    assert_int_equal(check_config_list(c, CHECK_PRESTART)->n, 1);
    assert_string_equal(check_config_env(c)[0], "PATH=/bin");
    assert_null(check_config_env(c)[1]);
    check_config_free(c);
}

static void test_nothing(void **state)
{
    struct check_config *c = NULL;
    (void)state;
    assert_int_equal(check_config_parse("{}", 2, &c, NULL), 0);
    for (int i = 0; i < CHECK_TYPES; i++)
        assert_int_equal(check_config_list(c, (enum check_type)i)->n, 0);
    assert_null(check_config_env(c)[0]);
    check_config_free(c);
}

static void test_bad(void **state)
{
    static const struct {
        const char *text, *why;
    } table[] = {
        {"[]", "must be an object"},
        {"{", "line 1"},
        {"{\"checks\":{}}", "unknown key \"checks\""},
        {"{\"cluster_checks\":[]}", "cluster_checks: must be an object"},
        {"{\"cluster_checks\":{\"a b\":" CHECK_A "}}", "must not be empty or have blanks"},
        {"{\"cluster_checks\":{\"\":" CHECK_A "}}", "must not be empty or have blanks"},
        {"{\"cluster_checks\":{\"a\":1}}", "check a: must be an object"},
        {"{\"cluster_checks\":{\"a\":{\"cmd\":[\"x\"],\"timeout\":\"1s\"}}}",
            "description must be a string"},
        {"{\"cluster_checks\":{\"a\":{\"description\":\"\",\"cmd\":[\"x\"]}}}",
            "timeout must be a string"},
        {"{\"cluster_checks\":{\"a\":{\"description\":\"\",\"cmd\":[],\"timeout\":\"1s\"}}}",
            "cmd must be a list"},
        {"{\"cluster_checks\":{\"a\":{\"description\":\"\",\"cmd\":[1],\"timeout\":\"1s\"}}}",
            "strings only"},
        {"{\"cluster_checks\":{\"a\":{\"description\":\"\",\"cmd\":[\"x\"],\"timeout\":\"1s\","
         "\"roles\":[\"master\"]}}}",
            "unknown key \"roles\""}, /* only checks of nodes have them */
        {"{\"node_checks\":{\"checks\":{}}}", "needs a list"},
        {"{\"node_checks\":{\"prestart\":[],\"more\":1}}", "unknown key \"more\""},
        {"{\"node_checks\":{\"prestart\":[\"x\"]}}", "\"x\" is not defined"},
        {"{\"node_checks\":{\"prestart\":{}}}", "must be a list of names"},
        {"{\"node_checks\":{\"checks\":{\"a\":" CHECK_A "},\"prestart\":[]}}",
            "in neither \"prestart\" nor \"poststart\""},
        {"{\"node_checks\":{\"checks\":{\"a\":{\"description\":\"\",\"cmd\":[\"x\"],\"timeout\":"
         "\"1s\",\"roles\":[\"king\"]}},\"prestart\":[\"a\"]}}",
            "a role must be"},
        {"{\"node_checks\":{\"checks\":{\"a\":{\"description\":\"\",\"cmd\":[\"x\"],\"timeout\":"
         "\"1s\",\"roles\":[]}},\"prestart\":[\"a\"]}}",
            "roles must be a list that is not empty"},
        {"{\"check_env\":{\"A\":1}}", "check_env: must be an object of strings"},
        {"{\"check_env\":{\"A=B\":\"\"}}", "check_env: must be an object of strings"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct check_config *c = NULL;
        struct error err = ERROR_INIT;
        if (check_config_parse(table[i].text, strlen(table[i].text), &c, &err) == 0)
            fail_msg("was taken: %s", table[i].text);
        if (!strstr(err.msg, table[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", table[i].text, err.msg, table[i].why);
    }
}

static void test_timeouts(void **state)
{
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } table[] = {{"30s", 30000000}, {"100ms", 100000}, {"1m30s", 90000000}, {"2h", 7200000000},
        {"0.5s", 500000}, {"5us", 5}, {"5\xc2\xb5s", 5}, {"2000ns", 2}, {"", -1}, {"5", -1},
        {"s", -1}, {"5 s", -1}, {"-5s", -1}, {"1.2.3s", -1}, {"5d", -1},
        {"9999999999999h", INT64_C(86400000000)}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int64_t us = -1;
        int r = check_timeout_parse(table[i].text, &us);
        if ((r == 0 ? us : -1) != table[i].us)
            fail_msg("\"%s\": %d, %lld us", table[i].text, r, (long long)us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_bad), cmocka_unit_test(test_timeouts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
