#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/jwt.h"
#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "cli/duration.h"
#include "cli/iam.h"
#include "cli/setup.h"

/* ---- URLs ---- */

static void urls(void **state)
{
    static const struct {
        const char *text, *want; /* NULL = refused */
    } table[] = {
        {"dcos.example.com", "https://dcos.example.com"},
        {"DCOS.Example.COM/", "https://dcos.example.com"},
        {"http://HOST:8080//", "http://host:8080"},
        {"https://host/Some/Path/", "https://host/Some/Path"},
        {"https://[::1]:8443", "https://[::1]:8443"},
        {"", NULL},
        {"http://", NULL},
        {"ftp://host", NULL},
        {"http://user@host", NULL},
        {"http://host/?x=1", NULL},
        {"http://host:99999", NULL},
        {"http://ho st", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_free_ char *got = NULL;
        struct error err = ERROR_INIT;
        int r = setup_url(table[i].text, &got, &err);
        if (table[i].want) {
            assert_int_equal(r, 0);
            assert_string_equal(got, table[i].want);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_null(got);
            assert_non_null(strstr(err.msg, "no URL of a cluster"));
        }
    }
}

/* ---- tokens ---- */

static void secret_files(void **state)
{
    char path[] = "/tmp/dcos-unit-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "s3cret\n", 7), 0);
    fd_close(fd);
    static const unsigned open_ones[] = {0644, 0640, 0604, 0601, 0700, 0620};
    for (size_t i = 0; i < ARRAY_SIZE(open_ones); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        struct error err = ERROR_INIT;
        char want[32];
        assert_int_equal(chmod(path, open_ones[i]), 0);
        assert_int_equal(private_file_read(path, &text, &err), -EACCES);
        snprintf(want, sizeof(want), "permissions %04o for '", open_ones[i]);
        assert_memory_equal(err.msg, want, strlen(want));
        assert_int_equal(text.n, 0);
    }
    static const unsigned closed[] = {0600, 0400};
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        assert_int_equal(chmod(path, closed[i]), 0);
        assert_int_equal(private_file_read(path, &text, NULL), 0);
        assert_string_equal(buf_cstr(&text), "s3cret\n");
    }
    unlink(path);
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf none = BUF_INIT;
    assert_int_equal(private_file_read(path, &none, &err), -ENOENT);
}

/* ---- which provider ---- */

static json_t *providers(void)
{
    json_t *all = NULL;
    static const char text[] =
        "{\"users\":{\"authentication-type\":\"dcos-uid-password\",\"client-method\":"
        "\"dcos-usercredential-post-receive-authtoken\"},"
        "\"keys\":{\"authentication-type\":\"dcos-uid-servicekey\",\"client-method\":"
        "\"dcos-servicecredential-post-receive-authtoken\"},"
        "\"ldap\":{\"authentication-type\":\"dcos-uid-password-ldap\",\"client-method\":"
        "\"dcos-credential-post-receive-authtoken\"},"
        "\"web\":{\"authentication-type\":\"oidc-authorization-code-flow\",\"client-method\":"
        "\"browser-prompt-authtoken\"}}";
    assert_int_equal(json_parse(text, sizeof(text) - 1, &all, NULL), 0);
    return all;
}

static void choosing(void **state)
{
    static const struct {
        struct login_flags flags;
        const char *want, *error;
    } table[] = {
        {{.provider = "ldap"}, "ldap", NULL},
        {{.provider = "nosuch"}, NULL, "unknown login provider ID 'nosuch'"},
        {{.username = "u", .password = "p"}, "users", NULL},
        {{.username = "u", .password_file = "p"}, "users", NULL},
        {{.username = "u", .private_key = "k"}, "keys", NULL},
        {{.private_key = "k"}, "keys", NULL},
    };
    _cleanup_json_ json_t *all = providers();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const char *id = NULL;
        struct error err = ERROR_INIT;
        int r = login_choose(all, &table[i].flags, &id, &err);
        if (table[i].want) {
            assert_int_equal(r, 0);
            assert_string_equal(id, table[i].want);
        } else {
            assert_true(r < 0);
            assert_string_equal(err.msg, table[i].error);
        }
    }
    const char *id = NULL;
    struct error err = ERROR_INIT;
    json_object_del(all, "keys");
    const struct login_flags key = {.private_key = "k"};
    assert_int_equal(login_choose(all, &key, &id, &err), -ENOENT);
    assert_string_equal(err.msg, "couldn't determine a login provider");
}

/* ---- the authority ---- */

static void authorities(void **state)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct error err = ERROR_INIT;
    static const char *const bad[] = {"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(authority_describe(str_of(bad[i]), &out, &err), -EBADMSG);
    assert_int_equal(out.n, 0);
    assert_true(
        is_unknown_authority("127.0.0.1:1: certificate: unable to get local issuer certificate"));
    assert_true(is_unknown_authority("certificate: self-signed certificate in certificate chain"));
    assert_false(is_unknown_authority("certificate: certificate has expired"));
    assert_false(is_unknown_authority("certificate: hostname mismatch"));
    assert_false(is_unknown_authority("connection refused"));
}

/* ---- paths and durations ---- */

static void paths(void **state)
{
    static const struct {
        const char *collection, *id, *want;
    } table[] = {
        {"users", "a@b/c", "/users/a%40b%2Fc"},
        {"acls", "dcos:superuser", "/acls/dcos%3Asuperuser"},
        {"acls", "dcos:services:/a/b", "/acls/dcos%3Aservices%3A%252Fa%252Fb"},
        {"acls", "dcos:services:/", "/acls/dcos%3Aservices%3A%252F"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        iam_path(&out, table[i].collection, table[i].id);
        assert_string_equal(buf_cstr(&out), table[i].want);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1 = refused */
    } table[] = {{"0", 0}, {"90s", INT64_C(90000000000)}, {"1h30m", INT64_C(5400000000000)},
        {"1.5h", INT64_C(5400000000000)}, {"250ms", 250000000}, {".5s", 500000000}, {"1us", 1000},
        {"7ns", 7}, {"1s1s", INT64_C(2000000000)}, {"", -1}, {"5", -1}, {"s", -1}, {"-1s", -1},
        {"1d", -1}, {"1.s", INT64_C(1000000000)}, {".s", -1}, {"1 s", -1}, {"10mins", -1},
        {"99999999999999999h", -1}, {"3000000h", -1}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int64_t ns = -1;
        struct error err = ERROR_INIT;
        int r = duration_flag_parse(table[i].text, &ns, &err);
        assert_int_equal(r, table[i].ns < 0 ? -EINVAL : 0);
        assert_int_equal(ns, table[i].ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(urls), cmocka_unit_test(secret_files),
        cmocka_unit_test(choosing), cmocka_unit_test(authorities), cmocka_unit_test(paths),
        cmocka_unit_test(durations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
