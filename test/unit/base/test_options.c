#include "base/options.h"

#include <errno.h>

#include "base/vec.h"
#include "unit.h"

struct line {
    const char *port, *args[2];
    bool verbose;
    struct option_values set;
    size_t n_args;
};

static int parse(struct line *l, const char *const *argv, struct error *err)
{
    int argc = 0;
    const struct option table[] = {{"--port", "-p", &l->port},
        {"--verbose", NULL, NULL, &l->verbose}, {"--set", .texts = &l->set}};
    while (argv[argc])
        argc++;
    return options_parse("tool", table, ARRAY_SIZE(table), argc, (char **)(uintptr_t)argv, l->args,
        ARRAY_SIZE(l->args), &l->n_args, err);
}

static void test_line(void **state)
{
    static const char *const argv[] = {
        "tool", "a", "--port=1", "--set", "x=1", "--verbose", "b", "-p", "2", "--set=", NULL};
    struct line l = {0};
    assert_int_equal(parse(&l, argv, NULL), 0);
    assert_string_equal(l.port, "2");
    assert_true(l.verbose);
    assert_int_equal(l.n_args, 2);
    assert_string_equal(l.args[1], "b");
    assert_int_equal(l.set.n, 2);
    assert_string_equal(l.set.items[0], "x=1");
    assert_string_equal(l.set.items[1], "");
    vec_done(&l.set);
}

static void test_refused(void **state)
{
    static const struct {
        const char *argv[5], *message;
    } table[] = {
        {{"tool", "--por=1"}, "unknown option --por=1, see tool --help"},
        {{"tool", "--verbose=1"}, "unknown option --verbose=1, see tool --help"},
        {{"tool", "-"}, "unknown option -, see tool --help"},
        {{"tool", "--port"}, "--port needs a value"},
        {{"tool", "a", "b", "c"}, "more than 2 arguments"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct line l = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(parse(&l, table[i].argv, &err), -EINVAL);
        assert_string_equal(err.msg, table[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_line), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
