#include "pkgpanda/package.h"

#include "host.h"

static void test_pkginfo(void **state)
{
    static const struct {
        const char *text, *wrong; /* NULL = fine */
    } rows[] = {
        {"{}", NULL},
        {"{\"environment\":{\"A\":\"1\"},\"requires\":[\"a\",{\"name\":\"b\",\"variant\":null}],"
         "\"sysctl\":{\"s\":{\"k\":\"v\"}},\"state_directory\":true,\"username\":\"x\",\"group\":"
         "\"y\",\"more\":3}",
            NULL},
        {"{\"environment\":null}", NULL},
        {"[]", "must be an object"},
        {"{", "line 1"},
        {"{\"environment\":[]}", "environment must be an object"},
        {"{\"environment\":{\"A\":1}}", "'A' must be a string"},
        {"{\"environment\":{\"A B\":\"\"}}", "cannot be the name of a variable"},
        {"{\"environment\":{\"A\":\"x\\nPATH=y\"}}", "holds a control character"},
        {"{\"requires\":{}}", "requires must be a list"},
        {"{\"requires\":[{\"name\":\"b\"}]}", "name and variant"},
        {"{\"requires\":[3]}", "name and variant"},
        {"{\"requires\":[\"a--1\"]}", "exact id"},
        {"{\"sysctl\":{\"s\":3}}", "'s' must be an object"},
        {"{\"sysctl\":{\"s\":{\"k\":1}}}", "'k' must be a string"},
        {"{\"state_directory\":\"yes\"}", "true or false"},
        {"{\"username\":[]}", "username must be a string"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_t *info = NULL;
        struct error err = ERROR_INIT;
        int r = pkginfo_parse(rows[i].text, strlen(rows[i].text), &info, &err);
        if ((r == 0) != !rows[i].wrong)
            fail_msg("%s gave %d %s", rows[i].text, r, err.msg);
        if (r < 0 && !strstr(err.msg, rows[i].wrong))
            fail_msg("%s says %s", rows[i].text, err.msg);
        json_decref(info);
    }
}

static void test_load(void **state)
{
    struct host *h = *state;
    struct package *p = NULL;
    struct error err = ERROR_INIT;
    make_package(h, "foo--1", "{\"username\":\"dcos_foo\",\"state_directory\":true}", NULL);
    assert_int_equal(package_load(h->repository, "foo--1", &p, &err), 0);
    assert_string_equal(p->name, "foo");
    assert_string_equal(p->version, "1");
    assert_string_equal(p->username, "dcos_foo");
    assert_true(p->state_directory);
    package_free(p);
    assert_int_equal(package_load(h->repository, "foo--2", &p, &err), -ENOENT);
    assert_string_equal(err.msg, "Package foo--2 not found.");
    assert_int_equal(package_load(h->repository, "foo", &p, &err), -EINVAL);
    make_package(h, "bad--1", "[]", NULL);
    assert_int_equal(package_load(h->repository, "bad--1", &p, &err), -EBADMSG);
}

static void test_sets(void **state)
{
    static const struct {
        const char *a, *b, *wrong;
    } rows[] = {
        {"{}", "{}", NULL},
        {"{\"requires\":[\"b\"]}", "{}", NULL},
        {"{\"requires\":[\"c\"]}", "{}", "requires c variant <default> but that is not in the set"},
        {"{\"requires\":[{\"name\":\"c\",\"variant\":\"v\"}]}", "{}", "requires c variant v"},
        {"{\"group\":\"g\"}", "{}", "has group 'g' but no username"},
        {"{\"username\":\"root\"}", "{}", "Username 'root'"},
        {"{\"username\":\"dcos_a\",\"group\":\"G\"}", "{}", "Group 'G'"},
        {"{\"environment\":{\"PATH\":\"/x\"}}", "{}", "reserved environment variables"},
        {"{\"environment\":{\"V\":\"1\"}}", "{\"environment\":{\"V\":\"1\"}}",
            "V is set by both package a--1 and package b--1"},
        {"{\"sysctl\":{\"s\":{\"k\":\"1\"}}}", "{\"sysctl\":{\"t\":{\"k\":\"1\"}}}", NULL},
        {"{\"sysctl\":{\"s\":{\"k\":\"1\"}}}", "{\"sysctl\":{\"t\":{\"k\":\"2\"}}}",
            "Conflicting sysctl setting k=2 for service t"},
    };
    struct host *h = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_packages_ struct packages set = {0};
        _cleanup_strings_ struct strings ids = {0};
        struct error err = ERROR_INIT;
        make_package(h, "a--1", rows[i].a, NULL);
        make_package(h, "b--1", rows[i].b, NULL);
        strings_add(&ids, "b--1");
        strings_add(&ids, "a--1");
        assert_int_equal(packages_load(h->repository, &ids, &set, &err), 0);
        assert_int_equal(packages_validate(&set, &err), rows[i].wrong ? -EINVAL : 0);
        if (rows[i].wrong && !strstr(err.msg, rows[i].wrong))
            fail_msg("row %zu says %s", i, err.msg);
    }
    make_package(h, "a--2", "{}", NULL);
    struct error err = ERROR_INIT;
    assert_int_equal(activate(h, "a--1 a--2", &err), -EINVAL);
    assert_non_null(strstr(err.msg, "Repeated name a in set of packages a--1, a--2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pkginfo), HOST_TEST(test_load), HOST_TEST(test_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
