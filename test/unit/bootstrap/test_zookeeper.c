#include <errno.h>

#include "host.h"

static void test_config(void **state)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    uint32_t id = 0;
    assert_int_equal(zookeeper_config("1:10.0.0.1,2:10.0.0.2,3:10.0.0.3", "10.0.0.2", "/d", 2181,
                         &text, &id, &err),
        0);
    assert_int_equal(id, 2);
    assert_non_null(strstr(text.p, "server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\n"
                                   "server.3=10.0.0.3:2888:3888\n"));
    assert_non_null(strstr(text.p, "dataDir=/d\nclientPort=2181\n"));
    static const char *const bad[] = {
        "1:10.0.0.1", "10.0.0.2", "x:10.0.0.2", "1:", "300:10.0.0.2", "", ":10.0.0.2"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            zookeeper_config(bad[i], "10.0.0.2", "/d", 2181, &text, &id, &err), -EINVAL);
}

static void test_timing(void **state)
{
    _cleanup_buf_ struct buf text = BUF_INIT, slow = BUF_INIT;
    struct error err = ERROR_INIT;
    static const struct {
        const char *name, *value;
    } bad[] = {{"ZOOKEEPER_TICK_TIME", "99"}, {"ZOOKEEPER_TICK_TIME", "2s"},
        {"ZOOKEEPER_SYNC_LIMIT", "1"}, {"ZOOKEEPER_SYNC_LIMIT", "-3"}};
    assert_int_equal(zookeeper_timing(&text, &err), 0);
    assert_non_null(
        strstr(buf_cstr(&text), "tickTime=500\ninitLimit=40\nsyncLimit=4\nmaxSessionTimeout="));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        setenv(bad[i].name, bad[i].value, 1);
        assert_int_equal(zookeeper_timing(&slow, &err), -EINVAL);
        assert_non_null(strstr(err.msg, bad[i].name));
        unsetenv(bad[i].name);
    }
    setenv("ZOOKEEPER_TICK_TIME", "2000", 1);
    setenv("ZOOKEEPER_SYNC_LIMIT", "15", 1);
    assert_int_equal(zookeeper_timing(&slow, &err), 0);
    assert_non_null(strstr(buf_cstr(&slow), "tickTime=2000\ninitLimit=15\nsyncLimit=15\n"));
    unsetenv("ZOOKEEPER_TICK_TIME");
    unsetenv("ZOOKEEPER_SYNC_LIMIT");
}

static void test_passwords(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    static const char file[] = SECRETS_FOLDER "/zk_master_credentials";
    static const char *const bad[] = {"", "x", ":x", "x:", "a:b c", "a:b\nc:d"};
    char *text = NULL;
    assert_int_equal(secrets_zookeeper(&h->n, &text, &err), 0);
    assert_null(text);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        host_write(h, file, bad[i], 0600);
        assert_int_equal(secrets_zookeeper(&h->n, &text, &err), -EINVAL);
    }
    host_write(h, file, "ops:pass:word\n", 0600);
    assert_int_equal(secrets_zookeeper(&h->n, &text, &err), 0);
    assert_string_equal(text, "ops:pass:word");
    _cleanup_free_ char *own = NULL, *id = NULL;
    /* As Python's hmac and hashlib have them. */
    assert_int_equal(secrets_zookeeper_of(text, "dcos_mesos", &own, &err), 0);
    assert_string_equal(own, "dcos_mesos:bh6nVnIri8eiQrClN6kthWq1NG3xjaVI9LDcrZYw3hU");
    assert_int_equal(secrets_zookeeper_id("super:secret", &id, &err), 0);
    assert_string_equal(id, "super:lK75jTNcA+U9vtVEw5vB51mj/w4=");
    free(text);
}

static void test_prepare(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    host_write(h, "/opt/mesosphere/bin/detect_ip", "#!/bin/sh\necho 10.0.0.3\n", 0755);
    setenv("EXHIBITOR_STATICENSEMBLE", "1:10.0.0.1,2:10.0.0.3", 1);
    int r = zookeeper_prepare(&h->n, &err);
    if (r == -ENOENT && geteuid() == 0) {
        assert_non_null(strstr(err.msg, "dcos_exhibitor")); /* root gives files to a user */
        return;
    }
    assert_int_equal(r, 0);
    host_expect(h, "/var/lib/dcos/zookeeper/data/myid", "2\n");
    setenv("ZOOKEEPER_CLIENT_PORT", "99999", 1);
    assert_int_equal(zookeeper_prepare(&h->n, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_config), cmocka_unit_test(test_timing),
        cmocka_unit_test_setup_teardown(test_passwords, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_prepare, host_set_up, host_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
