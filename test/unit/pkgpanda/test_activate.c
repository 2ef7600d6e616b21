#include "pkgpanda/install.h"

#include "host.h"

static void assert_link(const char *base, const char *path, const char *target)
{
    char got[4096];
    _cleanup_free_ char *full = path_join(base, path);
    ssize_t n = readlink(full, got, sizeof(got) - 1);
    if (n < 0)
        fail_msg("%s is no link", full);
    got[n] = '\0';
    assert_string_equal(got, target);
}

static void test_tree(void **state)
{
    struct host *h = *state;
    put(h->config, "roles/master", "", 0644);
    make_package(h, "a--1",
        "{\"environment\":{\"A\":\"x y\"},\"state_directory\":true,"
        "\"sysctl\":{\"dcos-a\":{\"k\":\"1\"},\"other\":{\"l\":\"2\"}}}",
        "bin/a=a", "etc/d/one=1", "etc_master/d/two=2", "etc_slave/d/three=3",
        "dcos.target.wants_master/dcos-a.service=unit", "private/x=x", "buildinfo.full.json={}",
        NULL);
    make_package(h, "b--1", "{}", "bin/b=b", "etc/d/four=4", NULL);
    must_activate(h, "b--1 a--1");
    assert_active(h, "a--1, b--1");
    assert_text(h->root, "bin/a", "a");
    assert_text(h->root, "etc/d/two", "2");
    assert_text(h->root, "etc/d/four", "4");
    assert_false(is_there(h->root, "etc/d/three"));
    assert_text(h->root, "active/a/private/x", "x");
    assert_true(is_there(h->root, "include"));
    _cleanup_free_ char *package = path_join(h->repository, "a--1");
    assert_link(h->root, "active/a", package);
    _cleanup_free_ char *unit = path_join(h->units, "dcos-a.service");
    assert_link(h->units, "dcos.target.wants/dcos-a.service", unit);
    assert_text(h->units, "dcos-a.service", "unit");
    assert_text(h->root, "etc/dcos-service-configuration.json",
        "{\n  \"sysctl\":{\n    \"dcos-a\":{\n      \"k\":\"1\"\n    }\n  }\n}");
    assert_text(h->root, "active.buildinfo.full.json", "{\n  \"a\":{},\n  \"b\":null\n}");
    _cleanup_free_ char *environment = xasprintf(
        "# Pkgpanda provided environment variables\nLD_LIBRARY_PATH=%s/lib\n"
        "PATH=%s/bin:/usr/bin:/bin:/sbin\n\n# package: a--1\nA=x y\n\n# package: b--1\n\n",
        h->root, h->root);
    assert_text(h->root, "environment", environment);
    _cleanup_free_ char *export = text_of(h->root, "environment.export");
    assert_non_null(strstr(export, "export A='x y'\n"));
    assert_true(is_there(h->state, "a"));
    assert_false(is_there(h->state, "b"));
    assert_false(is_there(h->root, "install_progress"));
    assert_false(is_there(h->root, "active.new"));
}

static void test_refused(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    make_package(
        h, "ok--1", "{}", "bin/x=1", "lib/d/f=1", "dcos.target.wants/ok.service=unit", NULL);
    make_package(h, "same--1", "{}", "bin/x=2", NULL);
    make_package(h, "folder--1", "{}", "bin/x/y=2", NULL);
    make_package(h, "target--1", "{}", "dcos.target.wants/dcos-setup.service=2", NULL);
    make_package(h, "sysctl--1", "{\"sysctl\":{\"s\":{\"k\":\"v\"}}}", NULL);
    /* A link to a folder is not a folder: nothing may get into another package through it. */
    make_package(h, "through--1", "{}", NULL);
    _cleanup_free_ char *lib = path_join(h->repository, "through--1/lib");
    _cleanup_free_ char *link = path_join(lib, "d");
    assert_int_equal(mkdir(lib, 0755), 0);
    assert_int_equal(symlink("/tmp", link), 0);
    must_activate(h, "ok--1");
    static const struct {
        const char *set, *says;
    } rows[] = {{"ok--1 same--1", "both bin of package ok--1 and bin of package same--1"},
        {"ok--1 folder--1", "Cannot link bin/x"}, {"folder--1 ok--1", "Cannot link bin/x"},
        {"ok--1 target--1", "reserved unit dcos-setup.service"}, {"ok--1 sysctl--1", "no service"},
        {"ok--1 through--1", "Cannot link lib/d"},
        {"ok--1 absent--1", "Package absent--1 not found."}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(activate(h, rows[i].set, &err) < 0);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("%s says %s", rows[i].set, err.msg);
        /* What was in force stays so, and nothing lies about. */
        assert_active(h, "ok--1");
        assert_text(h->root, "bin/x", "1");
        assert_text(h->units, "ok.service", "unit");
        assert_false(is_there(h->root, "bin.new"));
        assert_false(is_there(h->units, "ok.service.unit.new"));
    }
}

static void test_swap_and_rollback(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    make_package(h, "a--1", "{}", "bin/a=1", "dcos.target.wants/one.service=1", NULL);
    make_package(h, "a--2", "{}", "bin/a=2", "dcos.target.wants/two.service=2", NULL);
    make_package(h, "b--1", "{}", NULL);
    assert_int_equal(install_rollback(&h->in, &err), -ENOENT);
    must_activate(h, "a--1 b--1");
    assert_int_equal(install_rollback(&h->in, &err), -ENOENT);
    assert_int_equal(install_swap_package(&h->in, "a--2", &err), 0);
    assert_active(h, "a--2, b--1");
    assert_text(h->root, "bin/a", "2");
    assert_text(h->root, "bin.old/a", "1");
    assert_text(h->units, "two.service", "2");
    assert_false(is_there(h->units, "one.service"));
    assert_int_equal(install_swap_package(&h->in, "c--1", &err), -ENOENT);
    assert_int_equal(install_rollback(&h->in, &err), 0);
    assert_active(h, "a--1, b--1");
    assert_text(h->root, "bin/a", "1");
    assert_text(h->units, "one.service", "1");
    assert_false(is_there(h->units, "two.service"));
    assert_int_equal(install_rollback(&h->in, &err), 0);
    assert_active(h, "a--2, b--1");
    assert_int_equal(repository_remove(h->repository, "a--1", &err), 0);
    assert_int_equal(install_rollback(&h->in, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "a--1"));
    assert_active(h, "a--2, b--1");
}

static void test_setup(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *remote = path_join(h->top, "remote");
    _cleanup_free_ char *url = xasprintf("file://%s\n", remote);
    make_package(h, "boot--1", "{}", "bin/boot=1", "dcos.target.wants/boot.service=1", NULL);
    make_package(h, "more--1", "{}", NULL);
    must_activate(h, "boot--1");
    put(h->root, "bootstrap", "", 0644);
    put(h->config, "setup-flags/repository-url", url, 0644);
    put(h->config, "setup-flags/cluster-package-list", "abc\n", 0644);
    put(remote, "package_lists/abc.package_list.json", "[\"more--1\", \"boot--1\"]", 0644);
    put(h->config, "setup-flags/late-config.yaml",
        "late_bound_package_id: dcos-provider-x-aws--setup\nbound_values: {region: north}\n", 0644);
    put(remote, "packages/dcos-provider-x-aws/dcos-provider-x-aws--setup.dcos_config",
        "package:\n- {path: /pkginfo.json, content: \"{}\"}\n- {path: /etc/region, content: "
        "LATE_BIND_PLACEHOLDER_START_region_LATE_BIND_PLACEHOLDER_END}\n",
        0644);
    for (unsigned again = 0; again < 2; again++) {
        if (install_setup(&h->in, &err) < 0)
            fail_msg("%s", err.msg);
        assert_active(h, "boot--1, dcos-provider-x-aws--setup, more--1");
        assert_text(h->root, "etc/region", "north");
        assert_text(h->units, "dcos.target", "[Install]\nWantedBy=multi-user.target\n");
        assert_false(is_there(h->root, "bootstrap"));
        put(h->root, "bootstrap", "", 0644);
    }
    assert_true(is_there(h->root, "bin.old"));
    put(h->config, "setup-flags/active.json", "[\"boot--1\"]", 0644);
    assert_int_equal(install_setup(&h->in, &err), 0);
    assert_active(h, "boot--1, dcos-provider-x-aws--setup");
    put(h->config, "setup-packages/x", "", 0644);
    assert_int_equal(install_setup(&h->in, &err), -EINVAL);
}

static void test_uninstall(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    make_package(h, "a--1", "{\"state_directory\":true}", "dcos.target.wants/a.service=1", NULL);
    must_activate(h, "a--1");
    put(h->units, "other.service", "not ours", 0644);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(install_uninstall(&h->in, &err), 0);
        assert_false(is_there(h->top, "root"));
        assert_false(is_there(h->units, "a.service"));
        assert_false(is_there(h->units, "dcos.target.wants"));
        assert_text(h->units, "other.service", "not ours");
        assert_true(is_there(h->state, "a"));
        assert_true(is_there(h->top, "config"));
    }
    struct install slash = h->in;
    slash.root = "//";
    assert_int_equal(install_uninstall(&slash, &err), -EINVAL);
}

static void test_broken_past(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_strings_ struct strings ids = {0};
    assert_int_equal(install_active(&h->in, &ids, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "Has this host been bootstrapped?"));
    put(h->root, "active.old/x", "", 0644);
    assert_int_equal(install_active(&h->in, &ids, &err), -EUCLEAN);
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {HOST_TEST(test_tree), HOST_TEST(test_refused),
        HOST_TEST(test_swap_and_rollback), HOST_TEST(test_setup), HOST_TEST(test_uninstall),
        HOST_TEST(test_broken_past)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
