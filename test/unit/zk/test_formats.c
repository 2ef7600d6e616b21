/* Texts and bytes that come from outside: URLs, names of nodes, MasterInfo. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "unit.h"
#include "zk/master_info.h"
#include "zk/member.h"
#include "zk/session.h"

static void test_urls(void **state)
{
    static const struct {
        const char *text, *servers, *path, *auth; /* servers NULL: refused */
    } cases[] = {
        {"zk://h:2181/mesos", "h:2181", "/mesos", NULL},
        {"zk://h/mesos", "h:2181", "/mesos", NULL},
        {"zk://a:1,b:2,c/x/y/", "a:1,b:2,c:2181", "/x/y", NULL},
        {"zk://u:p@h:1/m", "h:1", "/m", "u:p"},
        {"zk://u:p/@:w@h:1/m", "h:1", "/m", "u:p/@:w"},
        {"zk://[::1]:2182/m", "::1:2182", "/m", NULL},
        {"zk://10.0.0.1:2181,10.0.0.2:2181/a.b-c_d", "10.0.0.1:2181,10.0.0.2:2181", "/a.b-c_d",
            NULL},
        {"h:2181/mesos", NULL, NULL, NULL},
        {"zk://", NULL, NULL, NULL},
        {"zk:///mesos", NULL, NULL, NULL},
        {"zk://h:2181", NULL, NULL, NULL},
        {"zk://h:2181/", NULL, NULL, NULL},
        {"zk://h:0/m", NULL, NULL, NULL},
        {"zk://h:65536/m", NULL, NULL, NULL},
        {"zk://h:/m", NULL, NULL, NULL},
        {"zk://h:1,/m", NULL, NULL, NULL},
        {"zk://:1/m", NULL, NULL, NULL},
        {"zk://h h:1/m", NULL, NULL, NULL},
        {"zk://h:1/a//b", NULL, NULL, NULL},
        {"zk://h:1/a/../b", NULL, NULL, NULL},
        {"zk://h:1/./b", NULL, NULL, NULL},
        {"zk://h:1/a b", NULL, NULL, NULL},
        {"zk://u@h:1/m", NULL, NULL, NULL},
        {"zk://:p@h:1/m", NULL, NULL, NULL},
        {"zk://u:@h:1/m", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_zk_url_ struct zk_url u = {0};
        struct error err = ERROR_INIT;
        int r = zk_url_parse(cases[i].text, &u, &err);
        if (!cases[i].servers) {
            if (r != -EINVAL || !err.msg[0])
                fail_msg("%s: %d '%s'", cases[i].text, r, err.msg);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", cases[i].text, err.msg);
        assert_string_equal(u.servers, cases[i].servers);
        assert_string_equal(u.path, cases[i].path);
        assert_true(streq(u.auth, cases[i].auth));
    }
    char longer[64 + ZK_PATH_MAX];
    int n = snprintf(longer, sizeof(longer), "zk://h:1/%0*d", ZK_PATH_MAX, 1);
    struct zk_url u;
    assert_int_equal(zk_url_parse(longer, &u, NULL), -EINVAL);
    longer[n - 1] = '\0';
    assert_int_equal(zk_url_parse(longer, &u, NULL), 0);
    zk_url_done(&u);
}

static void test_password_is_not_shown(void **state)
{
    static const char *const bad[] = {"zk://joe:s3cret@h:x/m", "zk://joe:s3cret@h:1",
        "zk://joe:s3cret@/m", "zk://joe:s3cret@h:1/a//b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct zk_url u;
        struct error err = ERROR_INIT;
        assert_int_equal(zk_url_parse(bad[i], &u, &err), -EINVAL);
        assert_null(strstr(err.msg, "s3cret"));
    }
    _cleanup_free_ char *shown = zk_url_shown("zk://joe:s3cret@h:1,i:2/m");
    assert_string_equal(shown, "zk://xxxxxxxx:xxxxxxxx@h:1,i:2/m");
    _cleanup_free_ char *plain = zk_url_shown("zk://h:1/m");
    assert_string_equal(plain, "zk://h:1/m");
}

static void test_flag_in_a_file(void **state)
{
    char path[] = "/tmp/dcos-test-zk-XXXXXX", url[64];
    _cleanup_close_ int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, " zk://h:1/m \n", 13), 0);
    _cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
    (void)snprintf(url, sizeof(url), "file://%s", path);
    assert_int_equal(zk_flag_load(url, &a, NULL), 0);
    assert_string_equal(a, "zk://h:1/m");
    assert_int_equal(zk_flag_load(path, &b, NULL), 0);
    assert_string_equal(b, "zk://h:1/m");
    assert_int_equal(zk_flag_load("host:5050", &c, NULL), 0);
    assert_string_equal(c, "host:5050");
    char *none = NULL;
    assert_int_equal(zk_flag_load("file://relative", &none, NULL), -EINVAL);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(zk_flag_load(path, &none, NULL), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(zk_flag_load(path, &none, NULL), -ENOENT);
}

static void test_members(void **state)
{
    static const struct {
        const char *name, *label;
        bool good;
        unsigned sequence;
    } cases[] = {
        {"json.info_0000000012", "json.info", true, 12},
        {"info_0000000003", "json.info", true, 3},
        {"0000000004", "json.info", true, 4},
        {"json.info_4294967295", "json.info", true, 4294967295},
        {"json.info_4294967296", "json.info", false, 0},
        {"json.info_000000012", "json.info", false, 0},
        {"json.info0000000012", "json.info", false, 0},
        {"json.info_00000000x2", "json.info", false, 0},
        {"other_0000000012", "json.info", false, 0},
        {"log_replicas", "json.info", false, 0},
        {"", "json.info", false, 0},
        {"member_0000000012", "member", true, 12},
        {"info_0000000012", "member", false, 0},
        {"0000000012", "member", false, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct zk_member m = {0};
        bool good = zk_member_parse(cases[i].name, cases[i].label, &m);
        if (good != cases[i].good || m.sequence != cases[i].sequence)
            fail_msg("%s: %d %u", cases[i].name, good, m.sequence);
    }
}

static void test_leader_among_members(void **state)
{
    static const char *const list[] = {"log_replicas", "json.info_0000000007",
        "json.info_0000000011", "info_0000000005", "a_0000000001", "json.info_0000000009"};
    struct zk_names names = {0};
    assert_null(zk_member_leader(&names, ZK_MASTER_LABEL));
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)
        vec_push(&names, xstrdup(list[i]));
    assert_string_equal(zk_member_leader(&names, ZK_MASTER_LABEL), "info_0000000005");
    assert_string_equal(
        zk_member_before(&names, ZK_MASTER_LABEL, "json.info_0000000011"), "json.info_0000000009");
    assert_string_equal(
        zk_member_before(&names, ZK_MASTER_LABEL, "json.info_0000000007"), "info_0000000005");
    assert_null(zk_member_before(&names, ZK_MASTER_LABEL, "info_0000000005"));
    zk_names_done(&names);
}

static void test_master_info(void **state)
{
    static const char *const capabilities[] = {"AGENT_UPDATE", "QUOTA_V2", NULL};
    struct zk_master m = {.id = "id-1", .ip = "10.1.2.3", .hostname = "m1", .port = 5050}, back;
    _cleanup_buf_ struct buf b = BUF_INIT;
    zk_master_write(&m, "1.11.0", capabilities, &b);
    assert_string_equal(buf_cstr(&b),
        "{\"address\":{\"hostname\":\"m1\",\"ip\":\"10.1.2.3\",\"port\":5050},"
        "\"capabilities\":[{\"type\":\"AGENT_UPDATE\"},{\"type\":\"QUOTA_V2\"}],"
        "\"hostname\":\"m1\",\"id\":\"id-1\",\"ip\":50462986,\"pid\":\"master@10.1.2.3:5050\","
        "\"port\":5050,\"version\":\"1.11.0\"}");
    assert_int_equal(zk_master_read(b.p, b.n, &back, NULL), 0);
    assert_string_equal(back.id, "id-1");
    assert_string_equal(back.ip, "10.1.2.3");
    assert_string_equal(back.hostname, "m1");
    assert_string_equal(back.pid, "master@10.1.2.3:5050");
    assert_int_equal(back.port, 5050);
    assert_true(zk_master_is(&back, "m1", 5050) && zk_master_is(&back, "10.1.2.3", 5050));
    assert_false(zk_master_is(&back, "m1", 5051) || zk_master_is(&back, "m2", 5050));
}

static void test_master_info_forms(void **state)
{
    /* id, ip 10.1.2.3, port 5050, pid; and an address of its own */
    static const char binary[] = "\x0a\x01m\x10\x8a\x82\x88\x18\x18\xba\x27\x22\x01p\x3a\x0b"
                                 "\x0a\x01h\x12\x03::1\x18\xbb\x27";
    static const struct {
        struct str data;
        const char *host; /* NULL: refused */
        unsigned port;
    } cases[] = {
        {STR("{\"ip\":50462986,\"port\":5050,\"id\":\"x\"}"), "10.1.2.3", 5050},
        {STR("{\"hostname\":\"h\",\"port\":1}"), "h", 1},
        {STR("{\"ip\":1,\"port\":1,\"address\":{\"ip\":\"::1\",\"port\":2}}"), "::1", 2},
        {{binary, sizeof(binary) - 1}, "::1", 5051},
        {{binary, 14}, "10.1.2.3", 5050},
        {{binary, 15}, NULL, 0}, /* cut off */
        {STR("{\"port\":5050}"), NULL, 0},
        {STR("{\"hostname\":\"h\"}"), NULL, 0},
        {STR("{\"hostname\":\"h\",\"port\":65536}"), NULL, 0},
        {STR("{\"hostname\":\"h h\",\"port\":1}"), NULL, 0},
        {STR("{\"hostname\":\"h\""), NULL, 0},
        {STR("[]"), NULL, 0},
        {STR(""), NULL, 0},
        {STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct zk_master m;
        struct error err = ERROR_INIT;
        int r = zk_master_read(cases[i].data.p, cases[i].data.n, &m, &err);
        if (!cases[i].host) {
            if (r != -EBADMSG)
                fail_msg("case %zu was taken: %d", i, r);
            continue;
        }
        if (r < 0)
            fail_msg("case %zu: %s", i, err.msg);
        assert_string_equal(zk_master_host(&m), cases[i].host);
        assert_int_equal(m.port, cases[i].port);
    }
}

static void test_servers_file(void **state)
{
    static const struct {
        const char *text, *servers;
    } rows[] = {{"10.0.0.1:2181,10.0.0.2:2181\n", "10.0.0.1:2181,10.0.0.2:2181"},
        {"zk.example:1", "zk.example:1"}, {"", NULL}, {"\n", NULL}, {"10.0.0.1", NULL},
        {"10.0.0.1:0", NULL}, {"10.0.0.1:2181,", NULL}, {"10.0.0.1:2181/x", NULL},
        {"10.0.0.1 :2181", NULL}, {"a/b:2181", NULL}};
    char path[] = "/tmp/dcos-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    fd_close(fd);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        assert_int_equal(
            file_write_atomic(path, rows[i].text, strlen(rows[i].text), 0600, NULL), 0);
        int r = zk_servers_read(path, &text);
        if (rows[i].servers)
            assert_string_equal(buf_cstr(&text), rows[i].servers);
        assert_int_equal(r, rows[i].servers ? 0 : -EBADMSG);
    }
    unlink(path);
    _cleanup_buf_ struct buf none = BUF_INIT;
    assert_int_equal(zk_servers_read(path, &none), -ENOENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_password_is_not_shown),
        cmocka_unit_test(test_flag_in_a_file),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_leader_among_members),
        cmocka_unit_test(test_master_info),
        cmocka_unit_test(test_master_info_forms),
        cmocka_unit_test(test_servers_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
