#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/config.h"

static char *dir;

static int setup(void **state)
{
    char path[] = "/tmp/dcos-unit-XXXXXX";
    assert_non_null(mkdtemp(path));
    dir = xstrdup(path);
    static const char *const names[] = {"DCOS_CONFIG", "DCOS_CLUSTER", "DCOS_URL", "DCOS_ACS_TOKEN",
        "DCOS_TIMEOUT", "DCOS_DCOS_URL", "DCOS_MARATHON_URL"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
    setenv("DCOS_DIR", dir, 1);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(remove_tree(dir, NULL), 0);
    free(dir);
    return 0;
}

static void put(const char *path, const char *text)
{
    _cleanup_free_ char *full = path_join(dir, path);
    _cleanup_free_ char *parent = xstrdup(full);
    *strrchr(parent, '/') = '\0';
    assert_int_equal(mkdir_all(parent, 0755, NULL), 0);
    assert_int_equal(file_write_atomic(full, text, strlen(text), 0600, NULL), 0);
}

static void check(const char *name, const char *want)
{
    struct config c;
    struct error err = ERROR_INIT;
    assert_int_equal(config_load(&c, &err), 0);
    _cleanup_free_ char *value = config_get(&c, name);
    if (want)
        assert_string_equal(value, want);
    else
        assert_null(value);
    config_done(&c);
}

static void check_refused(const char *part)
{
    struct config c;
    struct error err = ERROR_INIT;
    assert_true(config_load(&c, &err) < 0);
    assert_non_null(strstr(err.msg, part));
}

static void choosing(void **state)
{
    check("core.dcos_url", NULL);
    put("dcos.toml", "[core]\ndcos_url = \"http://plain\"\n");
    check("core.dcos_url", "http://plain");
    put("clusters/one/dcos.toml",
        "[cluster]\nname = \"eins\"\n[core]\ndcos_url = \"http://one\"\n");
    check("core.dcos_url", "http://one");
    put("clusters/two/dcos.toml", "[core]\ndcos_url = \"http://two\"\n");
    check_refused("no cluster is attached");
    put("clusters/two/attached", "");
    check("core.dcos_url", "http://two");
    setenv("DCOS_CLUSTER", "eins", 1);
    check("core.dcos_url", "http://one");
    setenv("DCOS_CLUSTER", "one", 1);
    check("core.dcos_url", "http://one");
    setenv("DCOS_CLUSTER", "three", 1);
    check_refused("no match found");
    unsetenv("DCOS_CLUSTER");
    put("clusters/one/attached", "");
    check_refused("multiple clusters are attached");
    _cleanup_free_ char *file = path_join(dir, "dcos.toml");
    setenv("DCOS_CONFIG", file, 1);
    check("core.dcos_url", "http://plain");
    unsetenv("DCOS_CONFIG");
}

static void environment(void **state)
{
    put("dcos.toml", "[core]\ndcos_url = \"http://file\"\ntimeout = 5\n");
    setenv("DCOS_URL", "http://env", 1);
    check("core.dcos_url", "http://env");
    setenv("DCOS_URL", "", 1);
    check("core.dcos_url", "http://file");
    setenv("DCOS_TIMEOUT", "9", 1);
    check("core.timeout", "9");
    setenv("DCOS_MARATHON_URL", "http://m", 1);
    check("marathon.url", "http://m");
    unsetenv("DCOS_URL");
    unsetenv("DCOS_TIMEOUT");
    unsetenv("DCOS_MARATHON_URL");
}

static void changing(void **state)
{
    struct config c;
    struct error err = ERROR_INIT;
    assert_int_equal(config_load(&c, NULL), 0);
    assert_int_equal(config_set(&c, "core.dcos_acs_token", "T", &err), 0);
    assert_int_equal(config_set(&c, "core.timeout", "abc", &err), -EINVAL);
    assert_non_null(strstr(err.msg, "unable to cast \"abc\" of type string to int64"));
    assert_int_equal(config_set(&c, "core.ssl_verify", "/no/such/file", &err), -EINVAL);
    assert_non_null(strstr(err.msg, "stat /no/such/file: no such file or directory"));
    assert_int_equal(config_set(&c, "nodots", "x", &err), -EINVAL);
    assert_int_equal(config_set(&c, "core.dcos_url", "nonsense", &err), -EINVAL);
    check("core.dcos_acs_token", "T");
    /* A token belongs to its cluster. */
    assert_int_equal(config_set(&c, "core.dcos_url", "http://x", &err), 0);
    assert_int_equal(config_set(&c, "core.timeout", "7", &err), 0);
    check("core.dcos_acs_token", NULL);
    check("core.dcos_url", "http://x");
    struct stat st;
    assert_int_equal(stat(c.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(config_unset(&c, "core.timeout", &err), 0);
    assert_int_equal(config_unset(&c, "core.timeout", &err), 0); /* silent, like the original */
    config_done(&c);
    put("dcos.toml", "[core\n");
    check_refused("dcos.toml: line 1:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(choosing, setup, teardown),
        cmocka_unit_test_setup_teardown(environment, setup, teardown),
        cmocka_unit_test_setup_teardown(changing, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
