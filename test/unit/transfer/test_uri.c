#include "transfer/uri.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/str.h"
#include "unit.h"

static void test_good(void **state)
{
    static const struct {
        const char *text;
        enum uri_kind kind;
        const char *name, *path;
    } cases[] = {
        {"http://host/a/b.tar.gz", URI_HTTP, "b.tar.gz", NULL},
        {"HTTPS://host:8443/x?y=1&z=2", URI_HTTP, "x?y=1&z=2", NULL},
        {"  http://host/x", URI_HTTP, "x", NULL},
        {"ftp://host/x", URI_FTP, "x", NULL},
        {"ftps://host/x", URI_FTP, "x", NULL},
        {"file:///etc/motd", URI_FILE, "motd", "/etc/motd"},
        {"file://localhost/etc/motd", URI_FILE, "motd", "/etc/motd"},
        {"/etc/motd", URI_FILE, "motd", "/etc/motd"},
        {"/motd", URI_FILE, "motd", "/motd"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct uri u;
        struct error err = ERROR_INIT;
        if (uri_parse(cases[i].text, &u, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.msg);
        assert_int_equal(u.kind, cases[i].kind);
        assert_string_equal(u.name, cases[i].name);
        if (cases[i].path)
            assert_string_equal(u.path, cases[i].path);
        else
            assert_null(u.path);
        uri_done(&u);
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "empty"},
        {"   ", "empty"},
        {"http://host", "host and a path"},
        {"http:///x", "host and a path"},
        {"http://host/", "names no file"},
        {"http://host/a/", "names no file"},
        {"http://host/a/..", "names no file"},
        {"file://etc/motd", "absolute path"},
        {"file:///etc/", "names no file"},
        {"/", "names no file"},
        {"/etc/.", "names no file"},
        {"relative/path", "relative paths are not supported"},
        {"hdfs://host/x", "scheme 'hdfs' is not supported"},
        {"http://host/a'b", "single quote"},
        {"http://host/a\\b", "backslash"},
        {"http://host/a\nb", "control character"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct uri u = {0};
        struct error err = ERROR_INIT;
        assert_int_equal(uri_parse(cases[i].text, &u, &err), -EINVAL);
        assert_null(u.text);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("%s: '%s' lacks '%s'", cases[i].text, err.msg, cases[i].says);
    }
}

static void test_content(void **state)
{
    static const struct {
        const char *name;
        enum uri_content content;
    } cases[] = {{"a.tar", URI_TAR}, {"a.tgz", URI_TAR}, {"a.tar.gz", URI_TAR}, {"a.tbz2", URI_TAR},
        {"a.tar.bz2", URI_TAR}, {"a.txz", URI_TAR}, {"a.tar.xz", URI_TAR}, {"a.zip", URI_ZIP},
        {"a.gz", URI_GZIP}, {"a.jar", URI_PLAIN}, {"a.tar.gz?x", URI_PLAIN}, {"tar", URI_PLAIN},
        {"a.TGZ", URI_PLAIN}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(uri_content_of(cases[i].name), cases[i].content);
}

static void test_display(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"http://user:secret@host/x@y", "http://host/x@y"}, {"/a@b", "/a@b"},
        {"http://host/u@v", "http://host/u@v"}, {"ftp://a@b@host/x", "ftp://host/x"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *shown = uri_display(cases[i].in);
        assert_string_equal(shown, cases[i].out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_display),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
