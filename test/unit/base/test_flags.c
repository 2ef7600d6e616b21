#include "unit.h"
#include <errno.h>
#include <stdlib.h>

#include "base/flags.h"

static const char *g_work_dir;
static bool g_switch_user;
static uint16_t g_port;
static int64_t g_timeout_us;
static uint64_t g_size;

static struct flag g_flags[] = {
    {"work_dir", FLAG_STRING, &g_work_dir, NULL, "PATH", "where", .required = true},
    {"switch_user", FLAG_BOOL, &g_switch_user, "true", NULL, "switch"},
    {"port", FLAG_PORT, &g_port, "5050", "PORT", "port"},
    {"timeout", FLAG_DURATION, &g_timeout_us, "10secs", "DURATION", "timeout"},
    {"cache_size", FLAG_BYTES, &g_size, "2GB", "BYTES", "size"},
};
static const struct program g_program = {"prog", "A program.", "TESTFLAGS", "1.0"};

static int parse(struct error *err, int argc, ...)
{
    char *argv[16] = {(char *)"prog"};
    va_list ap;
    va_start(ap, argc);
    for (int i = 1; i <= argc; i++)
        argv[i] = va_arg(ap, char *);
    va_end(ap);
    for (size_t i = 0; i < ARRAY_SIZE(g_flags); i++)
        g_flags[i].value_text = NULL;
    return flags_parse(&g_program, g_flags, ARRAY_SIZE(g_flags), argc + 1, argv, err);
}

static void forms(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(parse(&err, 3, "--work-dir=/w", "--no-switch_user", "--port=1"), 0);
    assert_string_equal(g_work_dir, "/w");
    assert_false(g_switch_user);
    assert_int_equal(g_port, 1);
    assert_int_equal(g_timeout_us, 10000000);
    assert_int_equal(g_size, UINT64_C(2) << 30);
    assert_int_equal(parse(&err, 3, "--work_dir", "/x", "--switch_user=true"), 0);
    assert_string_equal(g_work_dir, "/x");
    assert_true(g_switch_user);
}

static void environment_is_overridden(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    setenv("TESTFLAGS_PORT", "7", 1);
    setenv("TESTFLAGS_WORK_DIR", "/env", 1);
    assert_int_equal(parse(&err, 0), 0);
    assert_int_equal(g_port, 7);
    assert_string_equal(g_work_dir, "/env");
    assert_int_equal(parse(&err, 1, "--port=8"), 0);
    assert_int_equal(g_port, 8);
    unsetenv("TESTFLAGS_PORT");
    unsetenv("TESTFLAGS_WORK_DIR");
}

static void errors_name_the_flag(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    static const struct {
        const char *arg, *want;
    } cases[] = {{"--port=70000", "--port: expected a port number"},
        {"--nope=1", "unknown flag '--nope'"}, {"--timeout=10", "--timeout: expected a duration"},
        {"--port", "--port needs a value"}, {"stray", "unexpected argument 'stray'"},
        {"--no-port", "unknown flag"}, {"--switch_user=maybe", "expected true or false"},
        {"--port=1", "--work_dir is required"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(parse(&err, 1, cases[i].arg), -EINVAL);
        if (!strstr(err.msg, cases[i].want))
            fail_msg("'%s' gave '%s', wanted '%s'", cases[i].arg, err.msg, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms),
        cmocka_unit_test(environment_is_overridden), cmocka_unit_test(errors_name_the_flag)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
