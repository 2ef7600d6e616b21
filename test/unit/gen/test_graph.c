#include <errno.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "gen/graph.h"
#include "unit.h"

static int join(struct graph_call *c, const char **ret, struct error *err)
{
    *ret = arena_printf(
        c->arena, "%s+%s", c->in[0] ? c->in[0] : "nothing", c->in[1] ? c->in[1] : "nothing");
    return 0;
}

static int refuse(struct graph_call *c, const char **ret, struct error *err)
{
    return error_set(err, -EINVAL, "%s cannot be", c->name);
}

static int no_x(struct graph_call *c, struct error *err)
{
    return strchr(c->in[0], 'x') ? error_set(err, -EINVAL, "has an x: %s", c->in[0]) : 0;
}

static int same(struct graph_call *c, struct error *err)
{
    return streq(c->in[0], c->in[1]) ? 0 : error_set(err, -EINVAL, "are not the same");
}

/* "name=state:value[message]" */
static void show(const struct graph *g, const char *name, struct buf *b)
{
    static const char *const states[] = {"new", "busy", "set", "unset", "failed", "skipped"};
    const struct graph_node *n = graph_get(g, name);
    buf_printf(b, "%s=%s", name, states[n->state]);
    if (n->state == NODE_SET)
        buf_printf(b, ":%s%s", n->value, n->late ? "(late)" : "");
    if (n->message)
        buf_printf(b, "[%s]", n->message);
    if (n->line)
        buf_printf(b, "@%u", n->line);
    buf_putc(b, ' ');
}

#define ASSERT_NODES(g, names, expected)                                                           \
    do {                                                                                           \
        _cleanup_buf_ struct buf nodes_ = BUF_INIT;                                                \
        struct str rest_ = str_of(names), one_;                                                    \
        while (str_split(&rest_, ' ', &one_)) {                                                    \
            char *name_ = str_dup(one_);                                                           \
            show(g, name_, &nodes_);                                                               \
            free(name_);                                                                           \
        }                                                                                          \
        assert_string_equal(buf_cstr(&nodes_), expected);                                          \
    } while (0)

static void user(struct graph *g, const char *name, const char *value, unsigned line)
{
    graph_add_user(g, &(struct graph_user){name, value, NULL, line});
}

static void test_values(void **state)
{
    static const struct graph_setter setters[] = {
        {"constant", SET_DEFAULT, "c"},
        {"given", SET_DEFAULT, "default"},
        {"sum", SET_MUST, .calc = join, .inputs = "given more"},
        {"more", SET_DEFAULT, .calc = join, .inputs = "constant optional"},
        {"optional", SET_OPTIONAL},
        {"required", SET_REQUIRED},
        {"needs", SET_DEFAULT, .calc = join, .inputs = "required given"},
    };
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    user(g, "given", "mine", 3);
    user(g, "strange", "s", 4);
    assert_int_equal(graph_resolve_all(g, NULL), 0);
    ASSERT_NODES(g, "constant given sum more optional required needs strange",
        "constant=set:c given=set:mine@3 sum=set:mine+c+nothing@3 more=set:c+nothing "
        "optional=unset "
        "required=unset needs=skipped strange=set:s@4 ");
}

static void test_must(void **state)
{
    static const struct graph_setter setters[] = {
        {"m", SET_MUST, "1"}, {"d", SET_DEFAULT, "2"}, {"d", SET_MUST, "3"}};
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    user(g, "m", "9", 1);
    assert_int_equal(graph_resolve_all(g, NULL), 0);
    ASSERT_NODES(g, "m d",
        "m=failed[m must be calculated, but was explicitly set in the configuration. Remove it "
        "from the "
        "configuration.]@1 d=set:3 ");
}

static void test_conditions(void **state)
{
    static const struct graph_setter setters[] = {
        {"kind", SET_REQUIRED},
        {"mode", SET_DEFAULT, "on"},
        {"a", SET_OPTIONAL, .when = "kind=four"},
        {"of_a", SET_MUST, .calc = join, .inputs = "a mode"},
        {"a", SET_DEFAULT, "for one", .when = "kind=one"},
        {"a", SET_DEFAULT, "for two and on", .when = "kind=two mode=on"},
        {"a", SET_REQUIRED, .when = "kind=three"},
    };
    static const struct {
        const char *kind, *mode, *nodes;
    } table[] = {
        {"one", NULL, "kind=set:one@1 mode=set:on a=set:for one of_a=set:for one+on "},
        {"two", NULL,
            "kind=set:two@1 mode=set:on a=set:for two and on of_a=set:for two and on+on "},
        {"two", "off", "kind=set:two@1 mode=set:off@2 a=unset of_a=skipped "},
        {"three", NULL, "kind=set:three@1 mode=set:on a=unset of_a=skipped "},
        {"four", NULL, "kind=set:four@1 mode=set:on a=unset of_a=set:nothing+on "},
        {NULL, NULL, "kind=unset mode=set:on a=skipped of_a=skipped "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_(graph_freep)
        struct graph *g = graph_new(NULL);
        graph_add_setters(g, setters, ARRAY_SIZE(setters));
        if (table[i].kind)
            user(g, "kind", table[i].kind, 1);
        if (table[i].mode)
            user(g, "mode", table[i].mode, 2);
        assert_int_equal(graph_resolve_all(g, NULL), 0);
        ASSERT_NODES(g, "kind mode a of_a", table[i].nodes);
    }
}

static void test_failures(void **state)
{
    static const struct graph_setter setters[] = {
        {"bad", SET_DEFAULT, "x"},
        {"other", SET_DEFAULT, "fine"},
        {"calc", SET_MUST, .calc = refuse, .inputs = "other"},
        {"after_bad", SET_MUST, .calc = join, .inputs = "bad other"},
        {"after_calc", SET_MUST, .calc = join, .inputs = "other calc"},
        {"conditional", SET_DEFAULT, "v", .when = "bad=x"},
    };
    static const struct graph_rule rules[] = {
        {"bad", no_x}, {"other", no_x}, {"conditional", no_x}};
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    graph_add_rules(g, rules, ARRAY_SIZE(rules));
    user(g, "other", "ok", 7);
    user(g, "conditional", "xx", 8);
    assert_int_equal(graph_resolve_all(g, NULL), 0);
    /* What the user says is looked at also where its condition cannot be known. */
    ASSERT_NODES(g, "bad other calc after_bad after_calc conditional",
        "bad=failed[has an x: x] other=set:ok@7 calc=failed[calc cannot be]@7 after_bad=skipped "
        "after_calc=skipped conditional=failed[has an x: xx]@8 ");
}

static void test_checks(void **state)
{
    static const struct graph_setter setters[] = {{"a", SET_DEFAULT, "1"}, {"b", SET_DEFAULT, "2"},
        {"c", SET_DEFAULT, "1"}, {"n", SET_REQUIRED}, {"l", SET_LATE, "?"}};
    static const struct graph_check checks[] = {
        {"a c", same}, {"a n", same}, {"a l", same}, {"a b", same}, {"b c", same}};
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    graph_add_checks(g, checks, ARRAY_SIZE(checks));
    assert_int_equal(graph_resolve_all(g, NULL), 0);
    graph_run_checks(g);
    /* The last check is skipped: b is wrong already. */
    ASSERT_NODES(g, "a b c n l",
        "a=failed[are not the same] b=failed[are not the same] c=set:1 n=unset "
        "l=set:LATE_BIND_PLACEHOLDER_START_l_LATE_BIND_PLACEHOLDER_END(late) ");
}

static void test_late(void **state)
{
    static const struct graph_setter setters[] = {{"l", SET_LATE, "{ Ref }"},
        {"x", SET_DEFAULT, "v"}, {"sum", SET_MUST, .calc = join, .inputs = "x l"},
        {"more", SET_MUST, .calc = join, .inputs = "sum x"},
        {"when", SET_DEFAULT, "1", .when = "l=x"}};
    static const struct graph_rule rules[] = {{"l", no_x}, {"sum", no_x}};
    struct error err = ERROR_INIT;
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    graph_add_rules(g, rules, ARRAY_SIZE(rules));
    assert_int_equal(graph_resolve(g, "more", &err), 0);
    ASSERT_NODES(
        g, "more", "more=set:v+LATE_BIND_PLACEHOLDER_START_l_LATE_BIND_PLACEHOLDER_END+v(late) ");
    assert_int_equal(graph_resolve(g, "when", &err), -EINVAL);
    assert_string_equal(
        err.msg, "l is known only when a host starts, so nothing can depend on what it is");
}

static void test_mistakes(void **state)
{
    static const struct graph_setter setters[] = {{"a", SET_MUST, .calc = join, .inputs = "b"},
        {"b", SET_MUST, .calc = join, .inputs = "a"},
        {"c", SET_MUST, .calc = join, .inputs = "nowhere"}};
    struct error err = ERROR_INIT;
    _cleanup_(graph_freep)
    struct graph *g = graph_new(NULL);
    graph_add_setters(g, setters, ARRAY_SIZE(setters));
    assert_int_equal(graph_resolve(g, "a", &err), -ELOOP);
    assert_string_equal(err.msg, "a is worked out of itself");
    assert_int_equal(graph_resolve(g, "c", &err), -EINVAL);
    assert_string_equal(err.msg, "there is no argument 'nowhere' in the tables");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_must),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
