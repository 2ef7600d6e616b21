#include <errno.h>
#include <stdlib.h>

#include "release/release.h"
#include "unit.h"

static int read_text(const char *text, struct release_config *c, struct error *err)
{
    return release_config_read(text, strlen(text), c, err);
}

static void test_good(void **state)
{
    struct release_config c = {0};
    struct error err = ERROR_INIT;
    setenv("DCOS_TEST_PLACE", "/tmp", 1);
    int r = read_text(
        "storage:\n"
        "  here:\n    kind: local_path\n    path: $DCOS_TEST_PLACE\n    read_only: true\n"
        "  web:\n    kind: http_read\n    url: http://192.0.2.1/$$x/\n"
        "options:\n  preferred: web\n  cloudformation_s3_url: https://x\n",
        &c, &err);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.storages[0]->url, "file:///tmp/");
    assert_true(c.storages[0]->read_only);
    assert_true(c.storages[1]->read_only);
    assert_string_equal(c.preferred->url, "http://192.0.2.1/$$x/");
    assert_string_equal(c.cloudformation_s3_url, "https://x");
    release_config_done(&c);
}

static void test_bad(void **state)
{
    static const char *const rows[][2] = {
        {"", "storage is missing"},
        {"storage: {}\n", "options.preferred"},
        {"storage:\n  a:\n    kind: floppy\n", "kind is one of"},
        {"storage:\n  a:\n    kind: local_path\n", "path is missing"},
        {"storage:\n  a:\n    kind: local_path\n    path: /tmp/\n", "no slash at its end"},
        {"storage:\n  a:\n    kind: local_path\n    path: /tmp\n    colour: red\n", "colour"},
        {"storage:\n  a:\n    kind: http_read\n    url: http://x\n", "ends with a slash"},
        {"storage:\n  a:\n    kind: aws_s3\n    bucket: b\n", "download_url is missing"},
        {"storage:\n  a:\n    kind: aws_s3\n    bucket: b\n    download_url: http://x/\n"
         "    object_prefix: /p\n    access_key_id: k\n    secret_access_key: s\n",
            "object_prefix"},
        {"storage:\n  a:\n    kind: aws_s3\n    bucket: b\n    download_url: http://x/\n"
         "    access_key_id: k\n",
            "belong together"},
        {"storage:\n  a:\n    kind: azure_block_blob\n    account_name: a\n    account_key: '!'\n"
         "    container: c\n    download_url: http://x/\n",
            "base64"},
        {"storage:\n  a:\n    kind: local_path\n    path: /tmp\noptions:\n  preferred: a\n"
         "  cloudformation_s3_url: https://x/\n",
            "cloudformation_s3_url"},
        {"more: 1\n", "more"},
        {"storage:\n  a:\n    kind: local_path\n    path: /tmp\noptions:\n  preferred: b\n",
            "options.preferred"},
        {"storage:\n  a: 1\n", "storage a is no map"},
    };
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct release_config c = {0};
        struct error err = ERROR_INIT;
        if (read_text(rows[i][0], &c, &err) >= 0)
            fail_msg("passed: %s", rows[i][0]);
        if (!strstr(err.msg, rows[i][1]))
            fail_msg("'%s' is not in '%s'", rows[i][1], err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
