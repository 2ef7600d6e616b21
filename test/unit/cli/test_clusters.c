#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/clusters.h"

static char *dir;

static int setup_folder(void **state)
{
    char path[] = "/tmp/dcos-unit-XXXXXX";
    assert_non_null(mkdtemp(path));
    dir = xstrdup(path);
    unsetenv("DCOS_CLUSTER");
    setenv("DCOS_DIR", dir, 1);
    return 0;
}

static int remove_folder(void **state)
{
    assert_int_equal(remove_tree(dir, NULL), 0);
    free(dir);
    return 0;
}

static void put(const char *id, const char *file, const char *text)
{
    _cleanup_free_ char *folder = path_join(dir, "clusters", id);
    _cleanup_free_ char *path = path_join(folder, file);
    assert_int_equal(mkdir_all(folder, 0755, NULL), 0);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static ssize_t find(const char *word, bool prefix)
{
    struct clusters c;
    assert_int_equal(clusters_load(&c, NULL), 0);
    ssize_t i = clusters_find(&c, word, prefix, NULL);
    clusters_done(&c);
    return i;
}

static void finding(void **state)
{
    put("aa-1", "dcos.toml", "[cluster]\nname = \"one\"\n");
    put("aa-2", "dcos.toml", "[cluster]\nname = \"two\"\n");
    put("bb-3", "dcos.toml", "[cluster]\nname = \"two\"\n");
    put("cc", "dcos.toml", "[cluster]\nname = \"aa-1\"\n");
    assert_int_equal(find("one", false), 0);
    assert_int_equal(find("aa-1", false), 0); /* an id comes before a name */
    assert_int_equal(find("two", false), -EEXIST);
    assert_int_equal(find("bb", false), -ENOENT);
    assert_int_equal(find("bb", true), 2);
    assert_int_equal(find("aa", true), -EEXIST);
    assert_int_equal(find("", true), -ENOENT);
    assert_int_equal(find("nosuch", true), -ENOENT);
}

static void opening_makes_an_empty_file(void **state)
{
    struct clusters c;
    struct stat st;
    _cleanup_free_ char *folder = path_join(dir, "clusters", "new");
    _cleanup_free_ char *hidden = path_join(dir, "clusters", ".staging");
    assert_int_equal(mkdir_all(folder, 0755, NULL), 0);
    assert_int_equal(mkdir_all(hidden, 0755, NULL), 0);
    assert_int_equal(clusters_load(&c, NULL), 0);
    assert_int_equal(c.items.n, 1);
    assert_int_equal(stat(c.items.items[0].path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_equal(known_get(&c.items.items[0], "cluster.name", "none"), "none");
    clusters_done(&c);
    put("new", "dcos.toml", "what\n");
    struct error err = ERROR_INIT;
    assert_true(clusters_load(&c, &err) < 0);
    assert_non_null(strstr(err.msg, "clusters/new/dcos.toml"));
}

static bool has_marker(const char *id)
{
    _cleanup_free_ char *path = path_join(dir, "clusters", id, "attached");
    return path_exists(path);
}

static void attach(size_t i)
{
    struct clusters c;
    assert_int_equal(clusters_load(&c, NULL), 0);
    assert_int_equal(clusters_attach(&c, i, NULL), 0);
    clusters_done(&c);
}

static void attaching(void **state)
{
    put("a", "dcos.toml", "");
    put("b", "dcos.toml", "");
    put("c", "dcos.toml", "");
    attach(1);
    assert_true(!has_marker("a") && has_marker("b") && !has_marker("c"));
    attach(1);
    assert_true(has_marker("b"));
    attach(2);
    assert_true(!has_marker("b") && has_marker("c"));
    /* Two markers, from whoever copied a folder. */
    put("a", "attached", "");
    struct clusters c;
    struct error err = ERROR_INIT;
    assert_int_equal(clusters_load(&c, NULL), 0);
    assert_int_equal(clusters_current(&c, &err), -EEXIST);
    assert_non_null(strstr(err.msg, "multiple clusters are attached"));
    clusters_done(&c);
    attach(0);
    assert_true(has_marker("a") && !has_marker("b") && !has_marker("c"));
}

static void ids(void **state)
{
    static const char *const good[] = {"a", "0-9_.Z", "f5b1-77"};
    static const char *const bad[] = {"", ".", "..", ".a", "a/b", "a b", "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(cluster_id_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(cluster_id_valid(bad[i]));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finding), TEST(opening_makes_an_empty_file), TEST(attaching), TEST(ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
