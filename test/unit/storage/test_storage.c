#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "storage/storage.h"
#include "unit.h"

struct place {
    char top[64];
    struct storage *s;
};

static int set_up(void **state)
{
    struct place *p = xnew(struct place);
    struct error err = ERROR_INIT;
    snprintf(p->top, sizeof(p->top), "/tmp/dcos-test-storage-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    _cleanup_json_ json_t *options = json_object();
    json_object_set_new(options, "kind", json_string("local_path"));
    json_object_set_new(options, "path", json_string(p->top));
    assert_int_equal(storage_open("here", options, &p->s, &err), 0);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    storage_free(p->s);
    assert_int_equal(remove_tree(p->top, NULL), 0);
    free(p);
    return 0;
}

static void put(struct storage *s, const char *path, const char *text)
{
    struct error err = ERROR_INIT;
    const struct storage_content c = {.bytes = text, .n = strlen(text)};
    if (storage_put(s, path, &c, &err) < 0)
        fail_msg("%s", err.msg);
}

static void test_paths(void **state)
{
    static const char *const good[] = {"", "a", "a/b--c_1.tar.xz", "a b", "..a"};
    static const char *const bad[] = {"/a", "a/", "a//b", ".", "a/../b", "..", "a\nb"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(storage_path_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(storage_path_valid(bad[i]));
}

static void test_local(void **state)
{
    struct place *p = *state;
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_strings_ struct strings names = {0};
    _cleanup_free_ char *file = path_join(p->top, "../dcos-test-storage.local");
    put(p->s, "a/b/one", "1");
    put(p->s, "a/two", "22");
    assert_int_equal(storage_exists(p->s, "a/two", &err), 1);
    assert_int_equal(storage_exists(p->s, "a", &err), 0);
    assert_int_equal(storage_exists(p->s, "a/two/three", &err), 0);
    assert_int_equal(storage_copy(p->s, "a/two", "c/deep/three", &err), 0);
    assert_int_equal(storage_copy(p->s, "nothing", "x", &err), -ENOENT);
    assert_int_equal(storage_fetch(p->s, "c/deep/three", &text, &err), 0);
    assert_string_equal(buf_cstr(&text), "22");
    assert_int_equal(storage_fetch(p->s, "a", &text, &err), -ENOENT);
    assert_int_equal(storage_fetch(p->s, "a/none", &text, &err), -ENOENT);
    assert_int_equal(storage_download(p->s, "a/two", file, &err), 0);
    const struct storage_content again = {.local_path = file};
    assert_int_equal(storage_put(p->s, "a/b/one", &again, &err), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(storage_put(p->s, "a/b/one", &again, &err), -ENOENT);
    buf_clear(&text);
    assert_int_equal(storage_fetch(p->s, "a/b/one", &text, &err), 0);
    assert_string_equal(buf_cstr(&text), "22");
    assert_int_equal(storage_list(p->s, "a", &names, &err), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.items[0], "a/b/one");
    assert_string_equal(names.items[1], "a/two");
    assert_int_equal(storage_remove_recursive(p->s, "a", &err), 0);
    assert_int_equal(storage_remove_recursive(p->s, "a", &err), 0);
    assert_int_equal(storage_exists(p->s, "a/two", &err), 0);
    assert_int_equal(storage_exists(p->s, "c/deep/three", &err), 1);
}

static void test_refusals(void **state)
{
    struct place *p = *state;
    struct error err = ERROR_INIT;
    const struct storage_content c = {.bytes = "x", .n = 1};
    assert_int_equal(storage_put(p->s, "../x", &c, &err), -EINVAL);
    assert_int_equal(storage_put(p->s, "", &c, &err), -EINVAL);
    assert_int_equal(storage_remove_recursive(p->s, "", &err), -EINVAL);
    put(p->s, "a", "1");
    p->s->read_only = true;
    assert_int_equal(storage_put(p->s, "x", &c, &err), -EROFS);
    assert_int_equal(storage_copy(p->s, "a", "x", &err), -EROFS);
    assert_int_equal(storage_remove_recursive(p->s, "a", &err), -EROFS);
    assert_int_equal(storage_exists(p->s, "a", &err), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths),
        cmocka_unit_test_setup_teardown(test_local, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
