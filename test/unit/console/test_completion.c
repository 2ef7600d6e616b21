#include "unit.h"
#include <string.h>

#include "console/completion.h"

static const struct option_spec options[] = {{"name", 'n', OPTION_STRING, "a name"},
    {"secret", 0, OPTION_BOOL, "not told", .hidden = true}, {"yes", 0, OPTION_BOOL, "no question"}};
static const struct command *const children[] = {
    COMMAND(.name = "add-one", .options = options, .n_options = 3, .max_args = 1,
        .words = "prog names"),
    COMMAND(.name = "hidden", .hidden = true),
};
static const struct command root = {.name = "prog", .children = children, .n_children = 2};

static void script(void **state)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    command_completion(&root, &out);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "_prog_add_one() {\n"));
    assert_non_null(strstr(text, "        --name|-n)\n"));
    assert_non_null(strstr(text, "-*) _dcos_words \"--name --yes --help\" ;;"));
    assert_non_null(strstr(text, "*) _dcos_words \"$(prog names 2>/dev/null)\" ;;"));
    assert_non_null(strstr(text, "*) _dcos_words \"add-one\" ;;"));
    assert_non_null(strstr(text, "complete -o default -F _prog_complete prog\n"));
    assert_null(strstr(text, "hidden"));
    assert_null(strstr(text, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(script)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
