#include <errno.h>

#include "host.h"

static void test_telling(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(node_tell(&h->n, "A", "1 2", &err), 0);
    assert_int_equal(node_tell(&h->n, "B", "{\"x\":1}", &err), 0);
    assert_int_equal(node_tell(&h->n, "C", "it's", &err), -EINVAL);
    assert_int_equal(node_tell(&h->n, "C", "a\nb", &err), -EINVAL);
    assert_int_equal(node_told(&h->n, &err), 0);
    host_expect(h, "/run/dcos/env/dcos-marathon", "A='1 2'\nB='{\"x\":1}'\n");
}

static void test_address(void **state)
{
    static const struct {
        const char *script, *ip;
        int result;
    } rows[] = {
        {"#!/bin/sh\necho 192.0.2.7\n", "192.0.2.7"},
        {"#!/bin/sh\necho fd00::1\n", "fd00::1"},
        {"#!/bin/sh\necho here\n", NULL, -EINVAL},
        {"#!/bin/sh\nexit 3\n", NULL, -EIO},
        {"#!/bin/sh\n", NULL, -EINVAL},
    };
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char *ip = NULL;
    assert_int_equal(node_detect_ip(&h->n, &ip, &err), -ENOENT);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        host_write(h, "/opt/mesosphere/bin/detect_ip", rows[i].script, 0755);
        assert_int_equal(node_detect_ip(&h->n, &ip, &err), rows[i].result);
        if (rows[i].result == 0) {
            assert_string_equal(ip, rows[i].ip);
            free(ip);
        }
    }
}

static void test_domain(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char *domain = NULL;
    assert_int_equal(node_detect_domain(&h->n, &domain, &err), 0);
    assert_null(domain);
    host_write(h, "/opt/mesosphere/bin/detect_fault_domain",
        "#!/bin/sh\necho '{\"fault_domain\":\n {\"region\": {\"name\": \"r\"}}}'\n", 0755);
    assert_int_equal(node_detect_domain(&h->n, &domain, &err), 0);
    assert_string_equal(domain, "{\"fault_domain\":{\"region\":{\"name\":\"r\"}}}");
    free(domain);
    host_write(h, "/opt/mesosphere/bin/detect_fault_domain", "#!/bin/sh\necho '{'\n", 0755);
    assert_int_equal(node_detect_domain(&h->n, &domain, &err), -EBADMSG);
}

static void test_kernel(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    static const char config[] = "/opt/mesosphere/etc/dcos-service-configuration.json";
    assert_int_equal(kernel_settings(&h->n, &err), 0);
    host_write(h, config,
        "{\"sysctl\":{\"dcos-marathon\":{\"vm.a_b\":\"7\",\"no.such\":\"1\"},\"x\":{\"vm.a_b\":"
        "\"9\"}}}",
        0644);
    host_write(h, "/proc/sys/vm/a_b", "1", 0644);
    assert_int_equal(kernel_settings(&h->n, &err), 0);
    host_expect(h, "/proc/sys/vm/a_b", "7");
    host_write(h, config, "{\"sysctl\":{\"dcos-marathon\":{\"../../x\":\"7\"}}}", 0644);
    assert_int_equal(kernel_settings(&h->n, &err), -EINVAL);
}

static void test_time(void **state)
{
    struct error err = ERROR_INIT;
    unsetenv("ENABLE_CHECK_TIME");
    assert_int_equal(kernel_check_time(&err), 0);
    setenv("ENABLE_CHECK_TIME", "false", 1);
    assert_int_equal(kernel_check_time(&err), 0);
    setenv("ENABLE_CHECK_TIME", "perhaps", 1);
    assert_int_equal(kernel_check_time(&err), -EINVAL);
    unsetenv("ENABLE_CHECK_TIME");
}

static void test_cluster_id(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    assert_true(cluster_id_valid("01234567-89ab-cdef-0123-456789abcdef"));
    assert_false(cluster_id_valid("01234567-89ab-cdef-0123-456789abcdeg"));
    assert_false(cluster_id_valid("0123456789abcdef"));
    host_write(h, "/etc/mesosphere/roles/master", "", 0644);
    assert_int_equal(cluster_id(&h->n, &err), 0);
    _cleanup_free_ char *first = node_text(&h->n, CLUSTER_ID_FILE);
    assert_true(cluster_id_valid(first));
    assert_int_equal(cluster_id(&h->n, &err), 0);
    _cleanup_free_ char *second = node_text(&h->n, CLUSTER_ID_FILE);
    assert_string_equal(first, second);
}

static void test_agent_without_masters(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    assert_int_equal(cluster_id(&h->n, &err), -ENOENT);
    host_write(h, "/opt/mesosphere/etc/master_list", "[]", 0644);
    assert_int_equal(cluster_id(&h->n, &err), -ENOENT);
    host_write(h, "/opt/mesosphere/etc/master_list", "{}", 0644);
    assert_int_equal(cluster_id(&h->n, &err), -EINVAL);
    /* What is known already is enough. */
    host_write(h, CLUSTER_ID_FILE, "01234567-89ab-cdef-0123-456789abcdef\n", 0644);
    assert_int_equal(cluster_id(&h->n, &err), 0);
}

static mode_t mode_of(struct host *h, const char *path)
{
    struct stat st;
    _cleanup_free_ char *full = node_path(&h->n, path);
    assert_int_equal(stat(full, &st), 0);
    return st.st_mode & 07777;
}

/* A user who owns what is above may put a link in a folder's place: root must not follow it. */
static void test_folder_of_user(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    _cleanup_free_ char *link = node_path(&h->n, "/var/data");
    host_write(h, "/etc/secret/file", "x", 0600);
    assert_int_equal(node_folder(&h->n, "/var", "nobody", 0750, &err), 0);
    assert_int_equal(mode_of(h, "/var"), 0750);
    assert_int_equal(symlink("../etc/secret", link), 0);
    assert_int_equal(node_folder(&h->n, "/var/data", "nobody", 0777, &err), -ENOTDIR);
    assert_int_equal(mode_of(h, "/etc/secret"), 0755);
    /* The operator's own link is fine. */
    assert_int_equal(node_folder(&h->n, "/var/data", NULL, 0700, &err), 0);
    assert_int_equal(mode_of(h, "/etc/secret"), 0700);
}

static void test_become(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    if (geteuid() != 0)
        skip();
    host_write(h, "/etc/secret/file", "x", 0644);
    assert_int_equal(node_become("no_such_user", &err), -ENOENT);
    assert_int_equal(node_become("nobody", &err), 0);
    assert_int_equal(node_file(&h->n, "/etc/secret/file", "y", "nobody", 0644, &err), -EACCES);
    assert_int_equal(node_root(&err), 0);
    host_expect(h, "/etc/secret/file", "x");
    assert_int_equal(node_file(&h->n, "/etc/secret/file", "y", NULL, 0644, &err), 0);
    host_expect(h, "/etc/secret/file", "y");
}

/* Managers of networks leave our interfaces alone, where there are such. */
static void test_interfaces(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    struct stat before, after;
    h->n.service = "dcos-net";
    host_write(h, "/opt/mesosphere/bin/detect_ip", "#!/bin/sh\necho 192.0.2.1\n", 0755);
    host_write(h, "/opt/mesosphere/etc/dcos.network", "[Match]\nName=spartan", 0644);
    host_write(h, "/opt/mesosphere/etc/dcos-unmanaged.conf", "[keyfile]", 0644);
    host_write(h, "/etc/NetworkManager/conf.d/other.conf", "", 0644);
    assert_int_equal(service_prepare(&h->n, &err), 0);
    _cleanup_free_ char *networkd = node_path(&h->n, "/etc/systemd/network/dcos.network");
    assert_false(path_exists(networkd)); /* none here */
    host_expect(h, "/etc/NetworkManager/conf.d/dcos-unmanaged.conf", "[keyfile]\n");
    host_write(h, "/etc/systemd/network/dcos.network", "[Match]\nName=old\n", 0644);
    assert_int_equal(service_prepare(&h->n, &err), 0);
    host_expect(h, "/etc/systemd/network/dcos.network", "[Match]\nName=spartan\n");
    assert_int_equal(stat(networkd, &before), 0);
    assert_int_equal(service_prepare(&h->n, &err), 0);
    assert_int_equal(stat(networkd, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void test_unknown(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    h->n.service = "dcos-nothing";
    assert_int_equal(service_prepare(&h->n, &err), -ENOENT);
    for (const char *const *name = service_names(); *name; name++)
        assert_true(has_prefix(*name, "dcos-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_telling, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_address, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_domain, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_kernel, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_time, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_cluster_id, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_agent_without_masters, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_folder_of_user, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_interfaces, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_become, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_unknown, host_set_up, host_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
