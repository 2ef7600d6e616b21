#include <errno.h>

#include "gen/template-internal.h"
#include "gen/template.h"
#include "unit.h"

/* ---- tokens ---- */

static void tokens_of(const char *text, struct buf *out)
{
    struct template_lexer x = {.rest = str_of(text), .line = 1};
    struct template_token t = {.kind = TEMPLATE_TEXT};
    struct error err = ERROR_INIT;
    while (t.kind != TEMPLATE_END) {
        if (template_next(&x, &t, &err) < 0) {
            buf_printf(out, "error %s", err.msg);
            return;
        }
        buf_printf(out, "%u %s", t.line, template_token_name(t.kind));
        if (t.text.n)
            buf_printf(out, " [" STR_FMT "]", STR_ARG(t.text));
        if (t.extra.n)
            buf_printf(out, " [" STR_FMT "]", STR_ARG(t.extra));
        buf_puts(out, "; ");
    }
}

static void test_tokens(void **state)
{
    static const struct {
        const char *text, *tokens;
    } table[] = {
        {"", "1 the end; "},
        {"plain { text }} }", "1 text [plain { text }} }]; 1 the end; "},
        {"a{{ b }}c", "1 text [a]; 1 a value [b]; 1 text [c]; 1 the end; "},
        {"{{ a_1 | f2 }}", "1 a value [a_1] [f2]; 1 the end; "},
        {"{{{{ a }}", "1 text [{{]; 1 text [ a }}]; 1 the end; "},
        {"{", "1 text [{]; 1 the end; "},
        {"x\n\n{% switch a %}\n{% case \"b\\\"\\\\\" %}\ny{% endswitch %}",
            "1 text [x\n\n]; 3 switch [a]; 3 text [\n]; 4 case [b\\\"\\\\]; 4 text [\ny]; 5 "
            "endswitch; 5 the end; "},
        {"{% for x in list %}{{ x }}{% endfor %}",
            "1 for [list] [x]; 1 a value [x]; 1 endfor; 1 the end; "},
        {"a\n{{{ b }}", "1 text [a\n]; error line 2: {{{ is neither a value nor the text {{{{"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        tokens_of(table[i].text, &b);
        assert_string_equal(buf_cstr(&b), table[i].tokens);
    }
}

static void test_bad_tokens(void **state)
{
    static const char *const table[] = {"{{ a}}", "{{a }}", "{{  a }}", "{{ a  }}", "{{ A }}",
        "{{ a-b }}", "{{ }}", "{{ a |f }}", "{{ a | f | g }}", "{{ a", "{{", "{%", "{% switch %}",
        "{%switch a %}", "{% switch a%}", "{% case a %}", "{% case \"a %}", "{% case \"a\nb\" %}",
        "{% case \"\\n\" %}", "{% for x of y %}", "{% end %}", "{% endswitch  %}"};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        tokens_of(table[i], &b);
        if (strncmp(buf_cstr(&b), "error line 1: ", 14) != 0)
            fail_msg("%s: %s", table[i], buf_cstr(&b));
    }
}

/* ---- rendering ---- */

static int upper(const char *value, struct buf *out, struct error *err)
{
    if (!*value)
        return error_set(err, -EINVAL, "nothing there");
    for (; *value; value++)
        buf_putc(out, *value >= 'a' && *value <= 'z' ? (char)(*value - 32) : *value);
    return 0;
}

static const struct template_filter filters[] = {{"upper", upper}};

static void render(const char *text, struct buf *out)
{
    _cleanup_json_ json_t *arguments = NULL;
    _cleanup_(template_freep)
    struct template *t = NULL;
    static const char values[] =
        "{\"a\":\"one\",\"b\":\"two\",\"none\":\"\",\"q\":\"it's \\\"x\\\"\\n\","
        "\"list\":[\"x\",\"y\"],\"text_list\":\"[\\\"p\\\",\\\"q\\\"]\",\"numbers\":[1]}";
    struct error err = ERROR_INIT;
    assert_int_equal(json_parse(values, strlen(values), &arguments, NULL), 0);
    int r = template_parse(text, strlen(text), &t, &err);
    if (r == 0)
        r = template_render(t, arguments, filters, ARRAY_SIZE(filters), out, &err);
    if (r < 0) {
        buf_clear(out);
        buf_printf(out, "%s: %s", r == -EBADMSG ? "parse" : "render", err.msg);
    }
}

static void test_render(void **state)
{
    static const struct {
        const char *text, *rendered;
    } table[] = {
        {"", ""},
        {"a { b }} {{{{ c", "a { b }} {{ c"},
        {"<{{ a }}{{ b }}{{ none }}>", "<onetwo>"},
        {"{{ a | upper }}", "ONE"},
        {"{{ q | json }}", "\"it's \\\"x\\\"\\n\""},
        {"{{ q | shell }}", "'it'\\''s \"x\"\n'"},
        {"{% switch a %} \n {% case \"one\" %}1{{ b }}{% case \"two\" %}2{% endswitch %}.",
            "1two."},
        {"{% switch b %}{% case \"one\" %}1{% case \"two\" %}{% switch a %}{% case \"one\" %}in{% "
         "endswitch "
         "%}{% endswitch %}",
            "in"},
        {"{% for a in list %}{{ a }}{{ b }},{% endfor %}{{ a }}", "xtwo,ytwo,one"},
        {"{% for i in text_list %}{% for j in list %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
            "px py qx qy "},
        {"{{ missing }}", "render: line 1: no argument named missing"},
        {"\n{{ list }}", "render: line 2: list is a list"},
        {"{{ a | low }}", "render: line 1: no filter named low"},
        {"{{ none | upper }}", "render: line 1: none: nothing there"},
        {"{% switch a %}{% case \"two\" %}{% endswitch %}",
            "render: line 1: no case for 'one', the value of a"},
        {"{% for x in a %}{% endfor %}", "render: line 1: a is not a list"},
        {"{% for x in numbers %}{% endfor %}", "render: line 1: a member of numbers is not text"},
        {"{% for x in nothing %}{% endfor %}", "render: line 1: no argument named nothing"},
        {"{% switch a %}x{% case \"one\" %}{% endswitch %}",
            "parse: line 1: only white space may stand between switch and its first case"},
        {"{% switch a %}{% endswitch %}", "parse: line 1: expected case, found endswitch"},
        {"{% switch a %}\n{% case \"one\" %}\n",
            "parse: line 3: expected endswitch, found the end"},
        {"{% for x in list %}", "parse: line 1: expected endfor, found the end"},
        {"{% endfor %}", "parse: line 1: expected the end, found endfor"},
        {"{% case \"x\" %}", "parse: line 1: expected the end, found case"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        render(table[i].text, &b);
        assert_string_equal(buf_cstr(&b), table[i].rendered);
    }
}

static void test_limits(void **state)
{
    _cleanup_buf_ struct buf text = BUF_INIT, out = BUF_INIT;
    for (int i = 0; i <= TEMPLATE_DEPTH_MAX; i++)
        buf_puts(&text, "{% for x in list %}");
    render(buf_cstr(&text), &out);
    assert_string_equal(buf_cstr(&out), "parse: line 1: more than 32 levels");
    /* 2^24 copies of two bytes. */
    buf_clear(&text);
    buf_clear(&out);
    for (int i = 0; i < 24; i++)
        buf_puts(&text, "{% for x in list %}");
    buf_puts(&text, "ab");
    for (int i = 0; i < 24; i++)
        buf_puts(&text, "{% endfor %}");
    render(buf_cstr(&text), &out);
    assert_string_equal(buf_cstr(&out), "render: line 1: the text becomes longer than allowed");
    buf_clear(&text);
    buf_clear(&out);
    for (int i = 0; i <= TEMPLATE_NODES_MAX; i++)
        buf_puts(&text, "{{ a }}");
    render(buf_cstr(&text), &out);
    assert_string_equal(buf_cstr(&out), "parse: line 1: more than 20000 pieces");
}

static void test_target(void **state)
{
    static const char text[] =
        "{{ z }}{{ a }}{% for x in list %}{{ x }}{{ y }}{% endfor %}{% switch s %}{% case "
        "\"1\" %}{{ in_case }}{% case \"2\" %}{% endswitch %}{% switch s %}{% case \"3\" "
        "%}{{ more }}{% endswitch %}";
    _cleanup_(template_freep)
    struct template *t = NULL;
    assert_int_equal(template_parse(text, strlen(text), &t, NULL), 0);
    _cleanup_json_ json_t *target = template_target(t);
    char *dump = json_dumps(target, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(dump,
        "{\"switches\":{\"s\":{\"1\":{\"switches\":{},\"variables\":[\"in_case\"]},"
        "\"2\":{\"switches\":{},\"variables\":[]},\"3\":{\"switches\":{},\"variables\":[\"more\"]}}"
        "},"
        "\"variables\":[\"a\",\"list\",\"y\",\"z\"]}");
    free(dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_bad_tokens),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
