#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "containerizer/mounts.h"

struct world {
    char root[64];
    char *sandbox, *volume, *file;
};

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    snprintf(w->root, sizeof w->root, "/tmp/dcos-mounts-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    w->sandbox = path_join(w->root, "sandbox");
    w->volume = path_join(w->root, "volume");
    w->file = path_join(w->volume, "file");
    assert_int_equal(mkdir(w->sandbox, 0755), 0);
    assert_int_equal(mkdir(w->volume, 0755), 0);
    assert_int_equal(file_write_atomic(w->file, "data", 4, 0644, NULL), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(remove_tree(w->root, NULL), 0);
    free(w->sandbox);
    free(w->volume);
    free(w->file);
    free(w);
    return 0;
}

static void text_round_trip(void **state)
{
    (void)state;
    const struct spawn_mount mounts[] = {
        {"/a b", "c", false}, {"d", "/e/f", true}, {"/g", "h\\n", false}};
    struct buf text = BUF_INIT;
    spawn_mounts_format(mounts, ARRAY_SIZE(mounts), &text);
    _cleanup_free_ char *copy = xstrdup(buf_cstr(&text));
    buf_done(&text);
    struct spawn_mount *got;
    size_t n;
    assert_int_equal(spawn_mounts_parse(copy, &got, &n), 0);
    assert_int_equal(n, ARRAY_SIZE(mounts));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(got[i].source, mounts[i].source);
        assert_string_equal(got[i].target, mounts[i].target);
        assert_int_equal(got[i].read_only, mounts[i].read_only);
    }
    free(got);
    static const char *const bad[] = {"rw\ta\tb", "rw\ta\n", "xx\ta\tb\n", "rw\t\tb\n", "rw\ta\t\n",
        "rw\ta\n\tb\n", "\n", "rw\ta\tb\tc\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_free_ char *line = xstrdup(bad[i]);
        struct spawn_mount *none = NULL;
        assert_int_equal(spawn_mounts_parse(line, &none, &n), -EBADMSG);
    }
    assert_false(spawn_mount_path_valid(""));
    assert_false(spawn_mount_path_valid("a\nb"));
    assert_true(spawn_mount_path_valid("a b"));
}

static char *linked(const struct world *w, const char *path)
{
    static char text[SPAWN_PATH_MAX];
    _cleanup_free_ char *full = path_join(w->sandbox, path);
    ssize_t n = readlink(full, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    return text;
}

static void links_without_namespaces(void **state)
{
    struct world *w = *state;
    const struct spawn_mount plain = {w->volume, "a/b/data", false};
    assert_int_equal(spawn_mount(&plain, w->sandbox, false), 0);
    assert_string_equal(linked(w, "a/b/data"), w->volume);
    assert_int_equal(spawn_mount(&plain, w->sandbox, false), 0); /* again */
    const struct spawn_mount other = {w->root, "a/b/data", false};
    assert_int_equal(spawn_mount(&other, w->sandbox, false), -EEXIST);
    const struct spawn_mount own = {"inner/folder", "there", false};
    assert_int_equal(spawn_mount(&own, w->sandbox, false), 0);
    _cleanup_free_ char *folder = path_join(w->sandbox, "inner", "folder");
    assert_string_equal(linked(w, "there"), folder);
    assert_true(path_exists(folder));
    const struct spawn_mount read_only = {w->volume, "ro", true};
    assert_int_equal(spawn_mount(&read_only, w->sandbox, false), -EOPNOTSUPP);
    const struct spawn_mount absolute = {w->volume, "/mnt", false};
    assert_int_equal(spawn_mount(&absolute, w->sandbox, false), -EOPNOTSUPP);
    const struct spawn_mount missing = {"/nowhere/at/all", "x", false};
    assert_int_equal(spawn_mount(&missing, w->sandbox, false), -ENOENT);
}

static void no_link_leads_out(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *trap = path_join(w->sandbox, "trap");
    _cleanup_free_ char *file_trap = path_join(w->sandbox, "file-trap");
    assert_int_equal(symlink(w->root, trap), 0);
    assert_int_equal(symlink("/etc/passwd", file_trap), 0);
    static const char *const targets[] = {"trap/x", "../x", "a/../../x", ".", "/"};
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
        for (int namespaces = 0; namespaces < 2; namespaces++) {
            if (namespaces && targets[i][0] == '/')
                continue;
            const struct spawn_mount m = {w->volume, targets[i], false};
            assert_true(spawn_mount(&m, w->sandbox, namespaces) < 0);
            const struct spawn_mount from = {targets[i], "ok", false};
            if (targets[i][0] != '/')
                assert_true(spawn_mount(&from, w->sandbox, namespaces) < 0);
        }
    const struct spawn_mount onto = {w->file, "file-trap", false};
    assert_int_equal(spawn_mount(&onto, w->sandbox, true), -ELOOP);
    _cleanup_free_ char *outside = path_join(w->root, "x");
    assert_false(path_exists(outside));
}

/* In a namespace of its own; the status says which step failed. */
static int mounted(const struct world *w)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return 77;
    const struct spawn_mount rw = {w->volume, "deep/data", false}, ro = {w->volume, "ro", true},
                             file = {w->file, "one", false};
    if (spawn_mount(&rw, w->sandbox, true) < 0)
        return 1;
    if (spawn_mount(&ro, w->sandbox, true) < 0)
        return 2;
    if (spawn_mount(&file, w->sandbox, true) < 0)
        return 3;
    if (chdir(w->sandbox) < 0 || access("deep/data/file", R_OK) < 0)
        return 4;
    int fd = open("deep/data/new", O_CREAT | O_WRONLY, 0644);
    if (fd < 0)
        return 5;
    close(fd);
    if (access("ro/new", R_OK) < 0 || open("ro/other", O_CREAT | O_WRONLY, 0644) >= 0 ||
        errno != EROFS)
        return 6;
    struct buf text = BUF_INIT;
    if (file_read("one", 16, &text, NULL) < 0 || !streq(buf_cstr(&text), "data"))
        return 7;
    buf_done(&text);
    const struct spawn_mount absolute = {w->volume, "/mnt", true};
    if (spawn_mount(&absolute, w->sandbox, true) < 0 || access("/mnt/file", R_OK) < 0)
        return 8;
    return 0;
}

static void mounts_in_a_namespace(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    if (pid == 0)
        _exit(mounted(w));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    /* The volume got it, the host's sandbox shows nothing. */
    _cleanup_free_ char *in_volume = path_join(w->volume, "new");
    _cleanup_free_ char *in_sandbox = path_join(w->sandbox, "deep", "data", "new");
    assert_true(path_exists(in_volume));
    assert_false(path_exists(in_sandbox));
}

/* Tasks of a pod that share a folder are started at once. */
static void folders_made_by_several(void **state)
{
    enum { CHILDREN = 8, ROUNDS = 40 };
    struct world *w = *state;
    for (int round = 0; round < ROUNDS; round++) {
        int gate[2];
        pid_t children[CHILDREN];
        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0) {
                char source[64], target[64], byte;
                snprintf(source, sizeof source, "shared%d/deep/er", round);
                snprintf(target, sizeof target, "task%d-%d/there", round, i);
                const struct spawn_mount m = {.source = source, .target = target};
                close(gate[1]);
                (void)!read(gate[0], &byte, 1); /* until all are let go */
                _exit(spawn_mount(&m, w->sandbox, false) == 0 ? 0 : 1);
            }
        }
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < CHILDREN; i++) {
            int status;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_round_trip),
        cmocka_unit_test_setup_teardown(links_without_namespaces, setup, teardown),
        cmocka_unit_test_setup_teardown(no_link_leads_out, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_made_by_several, setup, teardown),
        cmocka_unit_test_setup_teardown(mounts_in_a_namespace, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
