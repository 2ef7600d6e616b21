#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/credentials.h"
#include "base/alloc.h"
#include "base/file.h"

static void both_forms(void **state)
{
    (void)state;
    static const char *const texts[] = {
        ("{\"credentials\": [{\"principal\": \"a\", \"secret\": \"one\"}, {\"principal\": \"b\", "
         "\"secret\": \"two\"}]}"),
        "a one\nb two\n",
        "  a\t one \r\n\n b two",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(credentials_freep)
        struct credentials *c = NULL;
        struct error err = ERROR_INIT;
        if (credentials_new(texts[i], strlen(texts[i]), &c, &err) < 0)
            fail_msg("%s: %s", texts[i], err.msg);
        assert_int_equal(credentials_count(c), 2);
        assert_true(credentials_match(c, "a", STR("one")));
        assert_true(credentials_match(c, "b", STR("two")));
        assert_false(credentials_match(c, "a", STR("two")));
        assert_false(credentials_match(c, "a", STR("on")));
        assert_false(credentials_match(c, "a", STR("onee")));
        assert_false(credentials_match(c, "a", STR("")));
        assert_false(credentials_match(c, "c", STR("one")));
        assert_false(credentials_match(c, "", STR("")));
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } table[] = {
        {"a", "line 1: expected a principal and a secret"},
        {"a one\nb\n", "line 2"},
        {"a one two", "line 1"},
        {"a one\na two", "line 2: the principal is there already"},
        {"{\"credentials\": 1}", "/credentials: expected an array"},
        {"{\"credentials\": [{\"secret\": \"hush\"}]}", "/credentials/0/principal"},
        {"{\"credentials\": [{\"principal\": \"a\", \"secret\": 5}]}", "/credentials/0/secret"},
        {"{\"credentials\": [{\"principal\": \"a\", \"secret\": hush}]}", "not a JSON object"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct credentials *c = NULL;
        struct error err = ERROR_INIT;
        assert_true(credentials_new(table[i].text, strlen(table[i].text), &c, &err) < 0);
        if (!strstr(err.msg, table[i].error) || strstr(err.msg, "hush"))
            fail_msg("%s: got '%s', expected '%s'", table[i].text, err.msg, table[i].error);
    }
}

static void one(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"principal\": \"p\", \"secret\": \"s:1\"}", "p s:1\n", "p    s:1"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct credential c;
        _cleanup_buf_ struct buf header = BUF_INIT;
        assert_int_equal(credential_parse(texts[i], strlen(texts[i]), &c, NULL), 0);
        assert_string_equal(c.principal, "p");
        assert_string_equal(c.secret, "s:1");
        credential_header(&c, &header);
        assert_string_equal(header.p, "Basic cDpzOjE=");
        credential_done(&c);
    }
    struct credential c;
    assert_int_equal(credential_parse("a b\nc d", 7, &c, NULL), -EINVAL);
    assert_int_equal(credential_parse("a:b c", 5, &c, NULL), -EINVAL);
    assert_int_equal(credential_parse("", 0, &c, NULL), -EINVAL);
}

static void files(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-credentials-XXXXXX";
    assert_non_null(mkdtemp(dir));
    _cleanup_free_ char *path = path_join(dir, "secret");
    assert_int_equal(file_write_atomic(path, "p s", 3, 0600, NULL), 0);
    _cleanup_buf_ struct buf text = BUF_INIT;
    bool exposed = true;
    assert_int_equal(secret_file_read(path, 10, &text, &exposed, NULL), 0);
    assert_false(exposed);
    assert_string_equal(text.p, "p s");
    assert_int_equal(chmod(path, 0604), 0);
    _cleanup_free_ char *url = xasprintf("file://%s", path);
    buf_clear(&text);
    assert_int_equal(secret_file_read(url, 10, &text, &exposed, NULL), 0);
    assert_true(exposed);
    struct error err = ERROR_INIT;
    buf_clear(&text);
    assert_int_equal(secret_file_read(path, 2, &text, &exposed, &err), -EFBIG);
    assert_int_equal(secret_file_read("/nonexistent", 2, &text, &exposed, &err), -ENOENT);
    buf_clear(&text);
    assert_int_equal(flag_text_read(url, 10, &text, NULL), 0);
    assert_string_equal(text.p, "p s");
    buf_clear(&text);
    assert_int_equal(flag_text_read("{}", 10, &text, NULL), 0);
    assert_string_equal(text.p, "{}");
    assert_int_equal(remove_tree(dir, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),
        cmocka_unit_test(refused),
        cmocka_unit_test(one),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
