#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* Somebody waits under the name that the temporary file will have, to read what comes. */
static void atomic_write_makes_a_file_of_its_own(void **state)
{
    _cleanup_free_ char *path = path_join((char *)*state, "secret");
    _cleanup_free_ char *theirs = xasprintf("%s.tmp.%d", path, (int)getpid());
    _cleanup_free_ char *target = path_join((char *)*state, "target");
    struct error err = ERROR_INIT;
    struct stat st;
    _cleanup_close_ int fd = open(theirs, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(file_write_atomic(path, "secret", 6, 0600, &err), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(symlink(target, theirs), 0);
    assert_int_equal(file_write_atomic(path, "another", 7, 0600, &err), 0);
    assert_false(path_exists(target));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 7);
}

static void clears_what_was_cut_off(void **state)
{
    static const char *const names[] = {"c/x.tmp.123", "c/d/y.json.tmp.7", "c/x.tmp.", "c/.tmp.1",
        "c/x.tmp.1a", "c/x.123", "c/d/e/z.tmp.1"};
    struct error err = ERROR_INIT;
    _cleanup_free_ char *folder = path_join((char *)*state, "c");
    _cleanup_free_ char *deep = path_join(folder, "d/e");
    _cleanup_free_ char *link = path_join(folder, "link.tmp.3");
    assert_int_equal(mkdir_all(deep, 0755, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join((char *)*state, names[i]);
        assert_int_equal(file_write_atomic(path, "x", 1, 0644, &err), 0);
    }
    assert_int_equal(symlink(deep, link), 0);
    assert_int_equal(file_clear_unfinished(folder, 1, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join((char *)*state, names[i]);
        assert_int_equal(path_exists(path), i >= 2);
    }
    assert_true(path_exists(link));
    assert_int_equal(remove_tree(folder, &err), 0);
    assert_int_equal(file_clear_unfinished(folder, 1, &err), 0);
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

static void mkdir_needs_a_name(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(mkdir_all("", 0755, &err), -ENOENT);
    assert_int_equal(mkdir_all("/", 0755, &err), 0);
}

static void read_respects_the_buffer(void **state)
{
    _cleanup_free_ char *path = path_join((char *)*state, "f");
    _cleanup_buf_ struct buf b = BUF_INIT_MAX(3);
    assert_int_equal(file_write_atomic(path, "four", 4, 0600, NULL), 0);
    assert_int_equal(file_read(path, 100, &b, NULL), -EFBIG);
}

/* Deeper than there are descriptors, and longer than any path. */
static void removes_deep_trees(void **state)
{
    enum { DEPTH = 600, FILES = 100 };
    _cleanup_free_ char *top = path_join((char *)*state, "top");
    assert_int_equal(mkdir(top, 0755), 0);
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(fd, "folder", 0755), 0);
        int next = openat(fd, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    assert_int_equal(mkdirat(fd, ".removed-0", 0755), 0);
    close(fd);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = FILES;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct error err = ERROR_INIT;
    int r = remove_tree(top, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(err.msg, "");
    assert_int_equal(r, 0);
    assert_false(path_exists(top));
}

static int child_removes_read_only(const char *dir)
{
    /* Root may do everything: become somebody else. */
    if (geteuid() == 0 && (chmod(dir, 0777) < 0 || setresuid(65534, 65534, 65534) < 0))
        return 77;
    _cleanup_free_ char *mine = path_join(dir, "mine");
    _cleanup_free_ char *sub = path_join(mine, "a/b");
    _cleanup_free_ char *file = path_join(sub, "file");
    if (mkdir_all(sub, 0755, NULL) < 0 || file_write_atomic(file, "x", 1, 0444, NULL) < 0 ||
        chmod(sub, 0555) < 0 || chmod(mine, 0) < 0)
        return 1;
    return remove_tree(mine, NULL) == 0 && !path_exists(mine) ? 0 : 2;
}

static int child_keeps_mounts(const char *dir)
{
    _cleanup_free_ char *kept = path_join(dir, "kept");
    _cleanup_free_ char *file = path_join(kept, "file");
    _cleanup_free_ char *tree = path_join(dir, "tree");
    _cleanup_free_ char *at = path_join(tree, "sub/mount");
    if (mkdir_all(kept, 0755, NULL) < 0 || mkdir_all(at, 0755, NULL) < 0 ||
        file_write_atomic(file, "x", 1, 0644, NULL) < 0)
        return 1;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(kept, at, NULL, MS_BIND, NULL) < 0)
        return 77;
    struct error err = ERROR_INIT;
    if (remove_tree(tree, &err) != -EBUSY || !path_exists(file))
        return 2;
    if (remove_tree(at, &err) != -EBUSY || !path_exists(file))
        return 3;
    return umount(at) == 0 && remove_tree(tree, &err) == 0 && path_exists(file) ? 0 : 4;
}

static void in_child(int (*fn)(const char *dir), const char *dir)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(dir));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* no right to */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void removes_read_only_folders(void **state)
{
    in_child(child_removes_read_only, *state);
}

static void keeps_what_is_mounted(void **state)
{
    in_child(child_keeps_mounts, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(atomic_write_and_read, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(atomic_write_makes_a_file_of_its_own, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(clears_what_was_cut_off, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(trees, make_dir, drop_dir), cmocka_unit_test(joins),
        cmocka_unit_test(mkdir_needs_a_name),
        cmocka_unit_test_setup_teardown(read_respects_the_buffer, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(removes_deep_trees, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(removes_read_only_folders, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(keeps_what_is_mounted, make_dir, drop_dir)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
