#include "transfer/tree.h"

#include "sandbox.h"

static void test_clean_path(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"a", "a"}, {"a/b", "a/b"}, {"./a//b/./c/", "a/b/c"}, {".", ""}, {"", ""},
        {"..a/b..", "..a/b.."}, {"/a", NULL}, {"..", NULL}, {"a/..", NULL}, {"a/../b", NULL},
        {"./../b", NULL}, {"//a", NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *path = NULL;
        int r = tree_clean_path(cases[i].in, &path, NULL);
        assert_int_equal(r, cases[i].out ? 0 : -EINVAL);
        if (cases[i].out)
            assert_string_equal(path, cases[i].out);
    }
    char deep[2 * (TREE_DEPTH_MAX + 1) + 1], *path = NULL;
    for (size_t i = 0; i < sizeof(deep) - 1; i++)
        deep[i] = i % 2 ? '/' : 'a';
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(tree_clean_path(deep, &path, NULL), -EINVAL);
    assert_int_equal(tree_clean_path(deep + 2, &path, NULL), 0);
    free(path);
}

static void test_create(void **state)
{
    struct sandbox *s = *state;
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    assert_int_equal(tree_create(s->fd, "a/b/file", &f, NULL), 0);
    assert_int_equal(write(f.fd, "hello", 5), 5);
    assert_int_equal(faccessat(s->fd, "a/b/file", F_OK, 0), -1); /* not there before it is whole */
    assert_int_equal(tree_finish(&f, 0755, NULL), 0);
    assert_file(s, "a/b/file", "hello");
    assert_int_equal(mode_of(s, "a/b/file") & 07777, 0755);
    _cleanup_free_ char *folder = path_join(s->path, "a/b");
    assert_int_equal(count_entries(folder), 1);

    struct tree_file given_up = TREE_FILE_INIT;
    assert_int_equal(tree_create(s->fd, "a/b/other", &given_up, NULL), 0);
    assert_int_equal(count_entries(folder), 2);
    tree_file_done(&given_up);
    assert_int_equal(count_entries(folder), 1);
}

static void test_links_are_not_followed(void **state)
{
    struct sandbox *s = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(symlinkat("..", s->fd, "up"), 0);
    assert_int_equal(symlinkat("../outside", s->fd, "out"), 0);
    struct tree_file f = TREE_FILE_INIT;
    assert_int_equal(tree_create(s->fd, "up/file", &f, &err), -ENOTDIR);
    assert_non_null(strstr(err.msg, "'up' is in the way"));
    assert_int_equal(tree_make_directory(s->fd, "up", 0700, NULL), -ENOTDIR);
    assert_int_equal(tree_make_directory(s->fd, "up/folder", 0700, NULL), -ENOTDIR);
    /* A link in the last place is replaced, not written through. */
    assert_int_equal(tree_create(s->fd, "out", &f, NULL), 0);
    assert_int_equal(tree_finish(&f, 0644, NULL), 0);
    tree_file_done(&f);
    assert_true(S_ISREG(mode_of(s, "out")));
    assert_int_equal(count_entries(s->outer), 1);
}

static void test_directories(void **state)
{
    struct sandbox *s = *state;
    assert_int_equal(tree_make_directory(s->fd, "x/y", 06500, NULL), 0);
    assert_int_equal(mode_of(s, "x/y") & 07777, 0700);
    assert_int_equal(tree_make_directory(s->fd, "", 0, NULL), 0);
    assert_int_equal(mode_of(s, ".") & 07777, 0755);
    write_file(s->path, "plain", "");
    assert_int_equal(tree_make_directory(s->fd, "plain/z", 0755, NULL), -ENOTDIR);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_path),
        cmocka_unit_test_setup_teardown(test_create, sandbox_set_up, sandbox_tear_down),
        cmocka_unit_test_setup_teardown(
            test_links_are_not_followed, sandbox_set_up, sandbox_tear_down),
        cmocka_unit_test_setup_teardown(test_directories, sandbox_set_up, sandbox_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
