#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/login.h"
#include "base/alloc.h"
#include "base/file.h"

static char g_dir[32];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(g_dir, sizeof(g_dir), "/tmp/test-login-XXXXXX");
    assert_non_null(mkdtemp(g_dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return remove_tree(g_dir, NULL);
}

static char *put(const char *name, const char *text)
{
    char *path = path_join(g_dir, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

static void expect(const struct login *l, const char *want)
{
    _cleanup_buf_ struct buf header = BUF_INIT;
    login_header(l, &header);
    assert_string_equal(buf_cstr(&header), want);
}

static void nothing(void **state)
{
    (void)state;
    expect(NULL, "");
    assert_null(login_principal(NULL));
    struct login *l;
    bool exposed;
    assert_int_equal(login_new(NULL, NULL, &l, &exposed, NULL), 0);
    expect(l, "");
    login_free(l);
}

static void credential(void **state)
{
    (void)state;
    _cleanup_free_ char *path = put("c", "{\"principal\":\"p\",\"secret\":\"s\"}");
    struct login *l;
    bool exposed = true;
    assert_int_equal(login_new(path, NULL, &l, &exposed, NULL), 0);
    assert_false(exposed);
    assert_string_equal(login_principal(l), "p");
    expect(l, "Basic cDpz");
    login_free(l);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(login_new(path, NULL, &l, &exposed, NULL), 0);
    assert_true(exposed);
    login_free(l);
}

static void secret_of_a_principal(void **state)
{
    (void)state;
    _cleanup_free_ char *path = put("s", "s\n");
    struct login *l;
    bool exposed;
    assert_int_equal(login_new_secret("p", path, &l, &exposed, NULL), 0);
    expect(l, "Basic cDpz"); /* the newline that editors leave is none of it */
    login_free(l);
    assert_int_equal(login_new_secret("p:q", path, &l, &exposed, NULL), -EINVAL);
    assert_int_equal(login_new_secret("", path, &l, &exposed, NULL), -EINVAL);
}

static void token_is_read_anew(void **state)
{
    (void)state;
    _cleanup_free_ char *path = put("t", " abc\n");
    struct login *l;
    bool exposed;
    assert_int_equal(login_new(NULL, path, &l, &exposed, NULL), 0);
    assert_null(login_principal(l));
    expect(l, "Bearer abc");
    free(put("t", "def"));
    expect(l, "Bearer def");
    assert_int_equal(remove_tree(path, NULL), 0);
    expect(l, "");
    login_free(l);
}

static void refused(void **state)
{
    (void)state;
    _cleanup_free_ char *path = put("bad", "only-a-name");
    struct login *l = NULL;
    bool exposed;
    struct error err = ERROR_INIT;
    assert_int_equal(login_new(path, path, &l, &exposed, &err), -EINVAL);
    assert_int_equal(login_new("/nonexistent", NULL, &l, &exposed, &err), -ENOENT);
    assert_int_equal(login_new(NULL, "/nonexistent", &l, &exposed, &err), -ENOENT);
    assert_int_equal(login_new(path, NULL, &l, &exposed, &err), -EINVAL);
    assert_null(strstr(err.msg, "only-a-name"));
    assert_null(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing),
        cmocka_unit_test(credential),
        cmocka_unit_test(secret_of_a_principal),
        cmocka_unit_test(token_is_read_anew),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
