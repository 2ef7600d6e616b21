#include "mkpanda/buildinfo.h"

#include "mkpanda/store.h"
#include "unit.h"

#define HEX "0123456789abcdef0123456789abcdef01234567"

static void test_buildinfo(void **state)
{
    static const struct {
        const char *text, *wrong; /* NULL = fine */
    } rows[] = {
        {"", NULL},
        {" \n", NULL},
        {"{}", NULL},
        {"{\"requires\":[\"a\",{\"name\":\"b\",\"variant\":\"v\"}],\"single_source\":{\"kind\":"
         "\"url_extract\",\"url\":\"http://x/y.tar.gz\",\"sha1\":\"" HEX "\"},"
         "\"username\":\"dcos_x\",\"group\":\"g\",\"state_directory\":true,\"build_script\":"
         "\"make\","
         "\"docker\":\"x\",\"environment\":{\"A\":\"b\"},\"sysctl\":{\"s\":{\"k\":\"v\"}}}",
            NULL},
        {"{\"sources\":{\"a\":{\"kind\":\"git\",\"git\":\"u\",\"ref\":\"" HEX
         "\",\"ref_origin\":\"main\"},\"b\":{\"kind\":\"local\",\"rel_path\":\"../x\"},\"c\":{"
         "\"kind\":\"git_local\",\"rel_path\":\".\"}}}",
            NULL},
        {"[]", "must be an object"},
        {"{", "line 1"},
        {"{\"foo\":1,\"bar\":2}", "unknown keys: foo, bar"},
        {"{\"name\":\"x\"}", "'name' is set by the builder"},
        {"{\"build\":\"x\"}", "'build' is set by the builder"},
        {"{\"version_extra\":\"x\"}", "unknown keys: version_extra"},
        {"{\"sources\":{},\"single_source\":{}}", "exclude each other"},
        {"{\"sources\":[]}", "sources must be an object"},
        {"{\"single_source\":3}", "must be an object with a kind"},
        {"{\"single_source\":{\"kind\":\"svn\"}}", "unknown kind 'svn'"},
        {"{\"single_source\":{\"kind\":\"url\",\"url\":\"x\"}}", "needs 'sha1'"},
        {"{\"single_source\":{\"kind\":\"url\",\"url\":\"x\",\"sha1\":\"abc\"}}", "40 hex digits"},
        {"{\"single_source\":{\"kind\":\"url\",\"url\":\"x\",\"sha1\":\"" HEX "\",\"a\":1}}",
            "unknown key 'a'"},
        {"{\"single_source\":{\"kind\":\"git\",\"git\":\"x\",\"ref\":\"main\",\"ref_origin\":\"m\"}"
         "}",
            "whole commit"},
        {"{\"single_source\":{\"kind\":\"git\",\"git\":\"--upload-pack=x\",\"ref\":\"" HEX
         "\",\"ref_origin\":\"m\"}}",
            "begin with '-'"},
        {"{\"single_source\":{\"kind\":\"local\",\"rel_path\":\"/etc\"}}", "must be relative"},
        {"{\"sources\":{\"../x\":{\"kind\":\"local\",\"rel_path\":\".\"}}}", "is not allowed"},
        {"{\"build_script\":\"../x\"}", "a file in the package's folder"},
        {"{\"build_script\":1}", "must be strings"},
        {"{\"requires\":[\"a--1\"]}", "exact id"},
        {"{\"username\":\"root\"}", "is not allowed"},
        {"{\"state_directory\":1}", "true or false"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buildinfo *b = NULL;
        struct error err = ERROR_INIT;
        int r = buildinfo_parse("foo", "", rows[i].text, strlen(rows[i].text), &b, &err);
        if ((r == 0) != !rows[i].wrong)
            fail_msg("%s gave %d %s", rows[i].text, r, err.msg);
        if (r < 0 && !strstr(err.msg, rows[i].wrong))
            fail_msg("%s says %s", rows[i].text, err.msg);
        if (b)
            buildinfo_free(b);
    }
}

static void test_treeinfo(void **state)
{
    static const struct {
        const char *text, *wrong;
    } rows[] = {
        {"{}", NULL},
        {"{\"exclude\":[\"a\"],\"variants\":{\"b\":\"v\",\"c\":null},\"core_package_list\":[\"b\"],"
         "\"bootstrap_package_list\":[]}",
            NULL},
        {"[]", "must be an object"},
        {"{\"other\":1}", "unknown key 'other'"},
        {"{\"exclude\":\"a\"}", "exclude must be a list"},
        {"{\"core_package_list\":[\"a--1!\"]}", "core_package_list must be a list"},
        {"{\"exclude\":[\"a\"],\"bootstrap_package_list\":[\"a\"]}", "which is excluded"},
        {"{\"variants\":[]}", "variants must be an object"},
        {"{\"variants\":{\"a\":1}}", "'a' must be a string"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct treeinfo t;
        struct error err = ERROR_INIT;
        int r = treeinfo_parse(rows[i].text, strlen(rows[i].text), &t, &err);
        if ((r == 0) != !rows[i].wrong)
            fail_msg("%s gave %d %s", rows[i].text, r, err.msg);
        if (r < 0 && !strstr(err.msg, rows[i].wrong))
            fail_msg("%s says %s", rows[i].text, err.msg);
        if (r == 0)
            treeinfo_done(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buildinfo), cmocka_unit_test(test_treeinfo)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
