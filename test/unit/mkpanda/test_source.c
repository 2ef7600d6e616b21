#include "mkpanda/source.h"

#include "../pkgpanda/host.h"
#include "pkgpanda/hash.h"

static char *show(const char *folder, bool modes)
{
    json_t *files = NULL;
    struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    if (hash_folder(folder, modes, &files, &err) < 0)
        fail_msg("%s", err.msg);
    json_dump(files, &text);
    json_decref(files);
    return buf_steal(&text);
}

#define EMPTY "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static void test_hash_folder(void **state)
{
    struct host *h = *state;
    _cleanup_free_ char *one = path_join(h->top, "one");
    _cleanup_free_ char *nested = path_join(one, "b/c/d");
    _cleanup_free_ char *link = path_join(one, "link");
    assert_int_equal(mkdir(one, 0755), 0);
    _cleanup_free_ char *none = show(one, false);
    assert_string_equal(none, "{}");
    put(one, "a", "", 0755);
    put(one, "b/x", "", 0644);
    assert_int_equal(mkdir_all(nested, 0755, NULL), 0);
    _cleanup_free_ char *all = show(one, false);
    assert_string_equal(all, "{\"a\":\"" EMPTY "\",\"b/c/d\":\"\",\"b/x\":\"" EMPTY "\"}");
    assert_int_equal(symlink("a", link), 0);
    _cleanup_free_ char *modes = show(one, true);
    assert_string_equal(modes,
        "{\"a\":\"program:" EMPTY "\",\"b/c/d\":\"\",\"b/x\":\"" EMPTY "\",\"link\":\"link:a\"}");
}

static void test_local(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    struct source s = {.name = "s", .kind = SOURCE_LOCAL, .rel_path = "../code"};
    _cleanup_free_ char *package = path_join(h->top, "package");
    _cleanup_free_ char *cache = path_join(h->top, "cache");
    _cleanup_free_ char *to = path_join(h->top, "to");
    _cleanup_json_ json_t *before = NULL, *after = NULL;
    assert_int_equal(mkdir(package, 0755), 0);
    assert_int_equal(mkdir(to, 0755), 0);
    assert_int_equal(source_identity(&s, package, &before, &err), -ENOENT);
    put(h->top, "code/d/f", "1", 0755);
    assert_int_equal(source_identity(&s, package, &before, &err), 0);
    assert_int_equal(source_checkout(&s, package, cache, to, &err), 0);
    assert_text(to, "d/f", "1");
    put(h->top, "code/d/f", "2", 0755);
    assert_int_equal(source_identity(&s, package, &after, &err), 0);
    assert_false(json_equal(before, after));
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {HOST_TEST(test_hash_folder), HOST_TEST(test_local)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
