#include "unit.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "console/command.h"

/* What the last run saw, as text. */
static char seen[512];

static int record(const struct invocation *inv, struct error *err)
{
    struct buf b = BUF_INIT;
    const char *const *list;
    size_t n = option_list(inv, "field", &list);
    buf_printf(&b, "%s force=%d name=%s n=%lld", inv->path, option_bool(inv, "force"),
        option_text(inv, "name") ?: "-", (long long)option_i64(inv, "count", -7));
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, " field=%s", list[i]);
    for (size_t i = 0; i < inv->n_args; i++)
        buf_printf(&b, " [%s]", inv->args[i]);
    snprintf(seen, sizeof(seen), "%s", buf_cstr(&b));
    buf_done(&b);
    return 0;
}

static int refuse(const struct invocation *inv, struct error *err)
{
    return error_set(err, -EINVAL, "no way");
}

static int seven(const struct invocation *inv, struct error *err)
{
    return 7;
}

static const struct option_spec options[] = {
    {"count", 'n', OPTION_I64, "a count"},
    {"field", 0, OPTION_LIST, "fields"},
    {"force", 'f', OPTION_BOOL, "by force"},
    {"name", 'm', OPTION_STRING, "a name"},
    {"secret", 0, OPTION_BOOL, "not shown", .hidden = true},
};
static const struct command *const inner[] = {
    COMMAND(.name = "add", .arguments = "<x>", .summary = "Adds", .options = options,
        .n_options = ARRAY_SIZE(options), .min_args = 1, .max_args = 2, .run = record),
    COMMAND(.name = "bad", .summary = "Fails", .run = refuse),
    COMMAND(.name = "seven", .summary = "Gives 7", .hidden = true, .run = seven),
};
static const struct command *const outer[] = {
    COMMAND(.name = "app", .summary = "Apps", .children = inner, .n_children = 3),
    COMMAND(.name = "soft", .summary = "Soft", .children = inner, .n_children = 3, .lenient = true),
    COMMAND(.name = "self", .summary = "Self", .children = inner, .n_children = 3,
        .options = options, .n_options = ARRAY_SIZE(options), .run = record),
    COMMAND(.name = "exec", .summary = "Exec", .options = options, .n_options = ARRAY_SIZE(options),
        .max_args = 9, .first_ends = true, .run = record),
};
static const struct command root = {
    .name = "prog", .children = outer, .n_children = 4, .lenient = true};

/* Runs a command line with stdout and stderr caught. */
static int run(const char *line, struct buf *out)
{
    char *argv[32];
    int argc = 0;
    struct str rest = str_of(line), word;
    while (str_split(&rest, ' ', &word)) {
        if (word.n)
            argv[argc++] = str_dup(word);
    }
    fflush(stdout);
    fflush(stderr);
    FILE *f = tmpfile();
    int saved_out = dup(1), saved_err = dup(2);
    dup2(fileno(f), 1);
    dup2(fileno(f), 2);
    seen[0] = '\0';
    int code = command_main(&root, NULL, argc, argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    rewind(f);
    buf_clear(out);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        buf_append(out, chunk, n);
    fclose(f);
    return code;
}

static void parsing(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT;
    static const struct {
        const char *line, *want;
    } good[] = {
        {"app add x", "prog app add force=0 name=- n=-7 [x]"},
        {"app add x --force --name=a --count 3", "prog app add force=1 name=a n=3 [x]"},
        {"app add -fn5 x -m b", "prog app add force=1 name=b n=5 [x]"},
        {"app add --force=false --name a --name b x", "prog app add force=0 name=b n=-7 [x]"},
        {"app add --field=1 x --field 2", "prog app add force=0 name=- n=-7 field=1 field=2 [x]"},
        {"app add -- --force -x", "prog app add force=0 name=- n=-7 [--force] [-x]"},
        {"app add --count=-1 -", "prog app add force=0 name=- n=-1 [-]"},
        {"exec --force ls -l --name", "prog exec force=1 name=- n=-7 [ls] [-l] [--name]"},
        {"self --force", "prog self force=1 name=- n=-7"},
        {"self", "prog self force=0 name=- n=-7"},
        {"self add y", "prog self add force=0 name=- n=-7 [y]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(run(good[i].line, &out), 0);
        assert_string_equal(seen, good[i].want);
        assert_int_equal(out.n, 0);
    }
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"app add", "Error: requires at least 1 arg(s), only received 0"},
        {"app add a b c", "Error: accepts at most 2 arg(s), received 3"},
        {"app add x --nope", "Error: unknown flag: --nope"},
        {"app add x -z", "Error: unknown shorthand flag: 'z' in -z"},
        {"app add x --name", "Error: flag needs an argument: --name"},
        {"app add x -m", "Error: flag needs an argument: 'm' in -m"},
        {"app add x --count=1x", "Error: invalid argument \"1x\" for \"--count\""},
        {"app add x --force=2", "Error: invalid argument \"2\" for \"--force\""},
        {"app bad", "Error: no way\n"},
        {"app nosuch", "\nError: unknown command nosuch\n"},
        {"self nosuch", "\nError: unknown command nosuch\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(run(bad[i].line, &out), 1);
        assert_non_null(strstr(buf_cstr(&out), bad[i].part));
        assert_string_equal(seen, "");
    }
    assert_int_equal(run("app seven", &out), 7);
    assert_int_equal(out.n, 0);
}

static void helping(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT;
    assert_int_equal(run("app add --help", &out), 0);
    assert_string_equal(buf_cstr(&out), "Adds\n\nUsage:\n    prog app add <x> [flags]\n\nOptions:\n"
                                        "    -n, --count\n        a count\n"
                                        "    --field\n        fields\n"
                                        "    -f, --force\n        by force\n"
                                        "    -h, --help\n        help for add\n"
                                        "    -m, --name\n        a name\n");
    static const char *const group[] = {"app", "app --help", "app -h", "help app"};
    for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
        assert_int_equal(run(group[i], &out), 0);
        assert_string_equal(buf_cstr(&out),
            "Apps\n\nUsage:\n    prog app [command]\n\nCommands:\n"
            "    add\n        Adds\n    bad\n        Fails\n\nOptions:\n"
            "    -h, --help\n        help for app\n\n"
            "Use \"prog app [command] --help\" for more information about a command.\n");
    }
    assert_int_equal(run("", &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "    help\n        Help about any command\n"));
    assert_int_equal(run("nosuch", &out), 0);
    assert_int_equal(run("soft nosuch", &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "Soft\n\nUsage:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parsing), cmocka_unit_test(helping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
