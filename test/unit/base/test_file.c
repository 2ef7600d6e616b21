#include "unit.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/test-file-XXXXXX");
    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    int r = remove_tree(*state, NULL);
    free(*state);
    return r;
}

static void atomic_write_and_read(void **state)
{
    _cleanup_free_ char *path = path_join((char *)*state, "/f");
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(file_write_atomic(path, "one", 3, 0600, &err), 0);
    assert_int_equal(file_write_atomic(path, "three", 5, 0600, &err), 0);
    assert_int_equal(file_read(path, 100, &b, &err), 0);
    assert_string_equal(buf_cstr(&b), "three");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_read(path, 4, &b, &err), -EFBIG);
    assert_int_equal(file_read("/nonexistent/file", 4, &b, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/file"));
}

static void trees(void **state)
{
    _cleanup_free_ char *deep = path_join((char *)*state, "a", "b/c");
    _cleanup_free_ char *link = path_join((char *)*state, "a/link");
    _cleanup_free_ char *outside = path_join((char *)*state, "outside");
    _cleanup_free_ char *a = path_join((char *)*state, "a");
    _cleanup_free_ char *file = path_join(outside, "keep");
    struct error err = ERROR_INIT;
    assert_int_equal(mkdir_all(deep, 0755, &err), 0);
    assert_int_equal(mkdir_all(deep, 0755, &err), 0);
    assert_int_equal(mkdir_all(outside, 0755, &err), 0);
    assert_int_equal(file_write_atomic(file, "x", 1, 0644, &err), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(mkdir_all(file, 0755, &err), -ENOTDIR);
    assert_int_equal(remove_tree(a, &err), 0);
    assert_false(path_exists(a));
    assert_true(path_exists(file)); /* the link was removed, not followed */
    assert_int_equal(remove_tree(a, &err), 0);
}

static void joins(void **state)
{
    (void)state;
    _cleanup_free_ char *p = path_join("/a/", "/b", "c/");
    assert_string_equal(p, "/a/b/c/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(atomic_write_and_read, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(trees, make_dir, drop_dir), cmocka_unit_test(joins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
