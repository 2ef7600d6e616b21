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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_config),
        cmocka_unit_test_setup_teardown(test_prepare, host_set_up, host_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
