#include <errno.h>

#include "host.h"

static const char PORTS[] =
    "[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":1,\"end\":9}]}}]";

static void test_none(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char *text = NULL;
    assert_int_equal(
        disks_resources(&h->n, PORTS, "/dev/sda / ext4 rw 0 0\n", "/", "*", &text, &err), 0);
    assert_null(text);
}

static void test_volumes(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char *text = NULL, *again = NULL;
    _cleanup_json_ json_t *list = NULL;
    _cleanup_free_ char *volume = node_path(&h->n, "/dcos/volume3");
    assert_int_equal(mkdir_all(volume, 0755, NULL), 0);
    static const char mounts[] =
        "/dev/sdb /dcos/volume3 xfs rw 0 0\n/dev/sdc /dcos/volumes ext4 rw 0 0\n"
        "/dev/sdd /dcos/volumeX ext4 rw 0 0\n";
    assert_int_equal(disks_resources(&h->n, PORTS, mounts, "/", "slave_public", &text, &err), 0);
    assert_int_equal(json_parse(text, strlen(text), &list, &err), 0);
    /* The work folder's disk, the volume, and what was given. */
    assert_int_equal(json_array_size(list), 3);
    const json_t *mount = json_array_get(list, 1);
    assert_string_equal(json_str_at(mount, "role", ""), "slave_public");
    const json_t *source = json_at(json_at(mount, "disk"), "source");
    assert_string_equal(json_str_at(source, "type", ""), "MOUNT");
    assert_string_equal(json_str_at(json_at(source, "mount"), "root", ""), "/dcos/volume3");
    assert_true(json_i64_at(json_at(mount, "scalar"), "value", 0) > 0);
    assert_string_equal(json_str_at(json_array_get(list, 2), "name", ""), "ports");
    /* It stays so when the volume is gone, and with other ports. */
    assert_int_equal(disks_resources(&h->n, PORTS, "", "/", "slave_public", &again, &err), 0);
    assert_string_equal(text, again);
    free(text);
    free(again);
}

static void test_operators_file(void **state)
{
    struct host *h = *state;
    struct error err = ERROR_INIT;
    char *text = NULL;
    static const char path[] = "/var/lib/dcos/mesos-resources";
    host_write(h, path, "MESOS_RESOURCES='[{\"name\":\"ports\"},{\"name\":\"gpus\"}]'\n", 0644);
    assert_int_equal(disks_resources(&h->n, PORTS, "", "/", "*", &text, &err), 0);
    assert_string_equal(text, "[{\"name\":\"ports\"},{\"name\":\"gpus\"}]");
    free(text);
    host_write(h, path, "MESOS_RESOURCES={}\n", 0644);
    assert_int_equal(disks_resources(&h->n, PORTS, "", "/", "*", &text, &err), -EINVAL);
    host_write(h, path, "something else\n", 0644);
    assert_int_equal(disks_resources(&h->n, PORTS, "", "/", "*", &text, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "mesos-resources"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_volumes, host_set_up, host_tear_down),
        cmocka_unit_test_setup_teardown(test_operators_file, host_set_up, host_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
