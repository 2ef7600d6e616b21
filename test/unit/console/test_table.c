#include "unit.h"

#include "console/table.h"

static void widths(void **state)
{
    (void)state;
    assert_int_equal(text_width(STR("abc")), 3);
    assert_int_equal(text_width(STR("\xc3\xa9")), 1);     /* e acute */
    assert_int_equal(text_width(STR("e\xcc\x81")), 1);    /* combining */
    assert_int_equal(text_width(STR("\xe4\xb8\xad")), 2); /* wide */
    assert_int_equal(text_width(STR("\xff\xc3")), 2);     /* not UTF-8 */
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool number;
    } cases[] = {{"0", true}, {"12.5", true}, {"1,234", true}, {"1,234,567.25", true}, {"", false},
        {"-1", false}, {"1.", false}, {".5", false}, {"1,23", false}, {",123", false},
        {"1234,567", false}, {"1.2.3", false}, {"2/3", false}, {"1e5", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(text_is_number(str_of(cases[i].text)), cases[i].number);
}

/* The shape of a real `dcos cluster list`. */
static void layout(void **state)
{
    (void)state;
    static const char *const headers[] = {"", "name", "id", "status", "version", "url"};
    struct table t;
    table_init(&t, headers, 6);
    static const char *const row[] = {
        "*", "mycl", "cid-1", "AVAILABLE", "2.2.0", "http://127.0.0.1:18080"};
    for (size_t i = 0; i < 6; i++)
        table_cell(&t, row[i]);
    _cleanup_buf_ struct buf out = BUF_INIT;
    table_print(&t, &out);
    assert_string_equal(buf_cstr(&out),
        "     NAME   ID     STATUS    VERSION           URL            \n"
        "  *  mycl  cid-1  AVAILABLE  2.2.0    http://127.0.0.1:18080  \n");
    table_done(&t);
}

static void cells(void **state)
{
    (void)state;
    static const char *const headers[] = {"id", "n"};
    struct table t;
    table_init(&t, headers, 2);
    table_cell(&t, "b\nbb");
    table_cell_f(&t, "%d", 7);
    table_cell(&t, "a\x1b[31m\xc2\x9b");
    table_cell(&t, "1,000");
    table_cell(&t, NULL);
    table_cell(&t, "x");
    table_sort(&t, 0);
    assert_int_equal(table_rows(&t), 3);
    _cleanup_buf_ struct buf out = BUF_INIT;
    table_print(&t, &out);
    assert_string_equal(buf_cstr(&out), "     ID       N    \n"
                                        "            x      \n"
                                        "  a?[31m??  1,000  \n"
                                        "  b             7  \n"
                                        "  bb               \n");
    buf_clear(&out);
    t.left_only = true;
    table_print(&t, &out);
    assert_non_null(strstr(buf_cstr(&out), "  b         7      \n"));
    table_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(widths), cmocka_unit_test(numbers),
        cmocka_unit_test(layout), cmocka_unit_test(cells)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
