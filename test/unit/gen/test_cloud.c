#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/cloud.h"
#include "unit.h"

#define URL "https://bucket.example/stable"

static const struct cloud_variant variants[] = {
    {"", "b00", "[\"java--1\", \"one--1\"]"}, {"small", "b01", "[\"one--1\"]"}};

static const char *path_of(const json_t *a)
{
    const char *path = json_str_at(a, "channel_path", NULL);
    return path ? path : json_str_at(a, "reproducible_path", NULL);
}

static const json_t *find(const json_t *list, const char *path)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (streq(path_of(json_array_get(list, i)), path))
            return json_array_get(list, i);
    return NULL;
}

static json_t *make(enum cloud_kind kind, const char *folder, struct error *err)
{
    const struct gen_input none = {0};
    const struct cloud_release release = {.in = &none,
        .variants = variants,
        .n_variants = ARRAY_SIZE(variants),
        .commit = "0123456789abcdef0123456789abcdef01234567",
        .version = "1.2",
        .bootstrap_url = URL,
        .download_url = URL "/x y",
        .folder = folder};
    json_t *list = NULL;
    int r = cloud_artifacts(kind, &release, &list, err);
    if (r < 0)
        fail_msg("%s", err->msg);
    return list;
}

/* Each has one content and one path that no other has, and files are there. */
static void check_list(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_array_get(list, i);
        const char *local = json_str_at(a, "local_path", NULL);
        assert_true(find(list, path_of(a)) == a);
        assert_true(json_str_at(a, "local_content", NULL) != NULL || path_exists(local));
        assert_true((json_str_at(a, "channel_path", NULL) != NULL) == (local == NULL));
    }
}

static void test_artifacts(void **state)
{
    static const char *const aws[] = {"cloudformation/single-master.cloudformation.json",
        "cloudformation/multi-master.cloudformation.json",
        "cloudformation/small.multi-master.cloudformation.json", "aws.html"};
    static const char *const azure[] = {"azure/dcos-1master.azuredeploy.json",
        "azure/dcos-5master.azuredeploy.json", "azure/small.dcos-3master.azuredeploy.json",
        "azure.html"};
    char folder[] = "/tmp/dcos-cloud.XXXXXX";
    struct error err = ERROR_INIT;
    assert_non_null(mkdtemp(folder));
    for (int kind = CLOUD_AWS; kind <= CLOUD_AZURE; kind++) {
        const char *const *names = kind == CLOUD_AWS ? aws : azure;
        _cleanup_json_ json_t *list = make(kind, folder, &err), *again = make(kind, folder, &err);
        check_list(list);
        assert_true(json_equal(list, again));
        for (size_t i = 0; i < ARRAY_SIZE(aws); i++)
            assert_non_null(find(list, names[i]));
        const char *page = json_str_at(find(list, names[3]), "local_content", "");
        assert_non_null(strstr(page, "https%3A%2F%2Fbucket.example%2Fstable%2Fx%20y%2F"));
    }
    assert_int_equal(remove_tree(folder, &err), 0);
}

/* What the template tells hosts to fetch is among the artifacts, with digests. */
static void test_what_is_named_is_there(void **state)
{
    char folder[] = "/tmp/dcos-cloud.XXXXXX";
    struct error err = ERROR_INIT;
    assert_non_null(mkdtemp(folder));
    _cleanup_json_ json_t *list = make(CLOUD_AZURE, folder, &err);
    const char *text = json_str_at(
        find(list, "azure/dcos-1master.azuredeploy.json"), "local_content", "");
    const char *at = strstr(text, "\"packageListId\":\"");
    assert_non_null(at);
    at += strlen("\"packageListId\":\"");
    _cleanup_free_ char *path = xasprintf("package_lists/%.40s.package_list.json", at);
    assert_non_null(find(list, path));
    _cleanup_free_ char *local = path_join(folder, path);
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_json_ json_t *ids = NULL;
    assert_int_equal(file_read(local, 65536, &b, &err), 0);
    assert_int_equal(json_parse(b.p, b.n, &ids, &err), 0);
    assert_int_equal(json_array_size(ids), 3); /* one master needs no Java */
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!strstr(id, "--setup_"))
            continue;
        _cleanup_free_ char *package = xasprintf(
            "packages/%.*s/%s.tar.xz.sha256", (int)(strstr(id, "--") - id), id, id);
        assert_non_null(find(list, package));
    }
    assert_int_equal(remove_tree(folder, &err), 0);
}

static void test_wrong(void **state)
{
    const struct gen_input none = {0};
    const struct cloud_release release = {.in = &none,
        .variants = variants,
        .n_variants = 1,
        .commit = "c",
        .version = "1",
        .bootstrap_url = URL "/",
        .download_url = URL,
        .folder = "/nowhere"};
    struct error err = ERROR_INIT;
    json_t *list = NULL;
    assert_int_equal(cloud_artifacts(CLOUD_AWS, &release, &list, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "bootstrap_url: "));
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_artifacts),
        cmocka_unit_test(test_what_is_named_is_there),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
