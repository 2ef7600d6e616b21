#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/environment.h"
#include "agent/host.h"
#include "agent/sandbox.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

/* Sandboxes by name, environments, what the machine has. */

static char g_work[] = "/tmp/dcos-unit-agent-XXXXXX";
static char *g_sandbox;

static void put(const char *folder, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(folder, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(g_work));
    assert_int_equal(
        sandbox_create(g_work, "S1", "F", "e 1", "c1", (uid_t)-1, (gid_t)-1, &g_sandbox, NULL), 0);
    put(g_sandbox, "stdout", "hello");
    put(g_work, "agent.db", "secret");
    _cleanup_free_ char *deep = path_join(g_sandbox, "a", "b");
    assert_int_equal(mkdir_all(deep, 0755, NULL), 0);
    put(deep, "f", "deep");
    _cleanup_free_ char *inside = path_join(g_sandbox, "inside");
    assert_int_equal(symlink("a/b/f", inside), 0);
    _cleanup_free_ char *up = path_join(g_sandbox, "up");
    assert_int_equal(symlink("../../../../../../../../agent.db", up), 0);
    _cleanup_free_ char *absolute = path_join(g_sandbox, "absolute");
    assert_int_equal(symlink("/etc/passwd", absolute), 0);
    _cleanup_free_ char *root = path_join(g_sandbox, "root");
    assert_int_equal(symlink("/", root), 0);
    _cleanup_free_ char *fifo = path_join(g_sandbox, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(g_sandbox);
    return remove_tree(g_work, NULL);
}

static int open_named(const char *format)
{
    _cleanup_free_ char *path = has_prefix(format, "%") ? xasprintf("%s%s", g_work, format + 1)
                                                        : xstrdup(format);
    int fd = sandbox_open(g_work, "S1", str_of(path), NULL);
    if (fd < 0)
        return fd;
    fd_close(fd);
    return 0;
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *path; /* '%' in front: below the work directory */
        int expected;
    } cases[] = {
        {"%/slaves/S1/frameworks/F/executors/e 1/runs/c1/stdout", 0},
        {"%/slaves/S1/frameworks/F/executors/e 1/runs/latest/stdout", 0},
        {"/frameworks/F/executors/e 1/runs/latest/stdout", 0},
        {"/frameworks/F/executors/e 1/runs/c1", 0},
        {"/frameworks/F/executors/e 1/runs/c1/", 0},
        {"/frameworks/F/executors/e 1/runs/c1/inside", 0},
        {"/frameworks/F/executors/e 1/runs/c1//a/./b/f", 0},
        {"/frameworks/F/executors/e 1/runs/c1/a/../stdout", 0}, /* stays inside */
        {"/frameworks/F/executors/e 1/runs/c1/none", -ENOENT},
        {"/frameworks/F/executors/e 1/runs/c2/stdout", -ENOENT},
        {"/frameworks/F/executors/e 1/runs/c1/stdout/x", -ENOENT},
        {"/frameworks/F/executors/e 1/runs/c1/up", -EINVAL},
        {"/frameworks/F/executors/e 1/runs/c1/absolute", -EINVAL},
        {"/frameworks/F/executors/e 1/runs/c1/root/etc/passwd", -EINVAL},
        {"/frameworks/F/executors/e 1/runs/c1/../../../../../../../agent.db", -EINVAL},
        {"/frameworks/F/executors/e 1/runs/..", -ENOENT},
        {"/frameworks/../executors/e 1/runs/c1", -ENOENT},
        {"/frameworks/F/executors/e 1/runs", -ENOENT},
        {"%/agent.db", -ENOENT},
        {"%", -ENOENT},
        {"%/slaves/S1/../../agent.db", -ENOENT},
        {"%x/slaves/S1/frameworks/F/executors/e 1/runs/c1/stdout", -ENOENT},
        {"/etc/passwd", -ENOENT},
        {"etc/passwd", -ENOENT},
        {"", -ENOENT},
        {"/", -ENOENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = open_named(cases[i].path);
        if (r != cases[i].expected)
            fail_msg("%s: %d, expected %d", cases[i].path, r, cases[i].expected);
    }
    /* A pipe that nobody writes must not make anybody wait. */
    assert_int_equal(open_named("/frameworks/F/executors/e 1/runs/c1/fifo"), 0);
}

static void latest_follows_the_newest_run(void **state)
{
    (void)state;
    _cleanup_free_ char *second = NULL;
    assert_int_equal(
        sandbox_create(g_work, "S1", "F", "e2", "r1", (uid_t)-1, (gid_t)-1, &second, NULL), 0);
    free(TAKE_PTR(second));
    assert_int_equal(
        sandbox_create(g_work, "S1", "F", "e2", "r2", (uid_t)-1, (gid_t)-1, &second, NULL), 0);
    put(second, "mark", "");
    assert_int_equal(open_named("/frameworks/F/executors/e2/runs/latest/mark"), 0);
    assert_int_equal(open_named("/frameworks/F/executors/e2/runs/r1/mark"), -ENOENT);
    struct stat st;
    assert_int_equal(stat(second, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    /* A link that points elsewhere is no run. */
    _cleanup_free_ char *latest = xasprintf("%s/../latest", second);
    assert_int_equal(unlink(latest), 0);
    assert_int_equal(symlink("../../..", latest), 0);
    assert_int_equal(open_named("/frameworks/F/executors/e2/runs/latest/x"), -ENOENT);
}

static void environments(void **state)
{
    (void)state;
    struct environment e = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(environment_add_json(&e, "{\"A\":\"1\",\"PATH\":\"/x\"}", &err), 0);
    assert_true(environment_add_json(&e, "{\"A\":1}", &err) < 0);
    assert_true(environment_add_json(&e, "[", &err) < 0);
    struct executor_environment x = {
        .framework_id = "F",
        .executor_id = "e",
        .agent_id = "S1",
        .ip = "10.0.0.2",
        .port = 5051,
        .sandbox = "/s",
        .socket_path = "/r/agent.sock",
        .checkpoint = true,
        .shutdown_grace_us = 5 * USEC_PER_SEC,
        .recovery_timeout_us = 900 * USEC_PER_SEC,
        .subscription_backoff_us = 2 * USEC_PER_SEC,
    };
    environment_executor(&e, &x);
    assert_string_equal(environment_get(&e, "PATH"), "/x");
    assert_string_equal(environment_get(&e, "MESOS_AGENT_ENDPOINT"), "10.0.0.2:5051");
    assert_string_equal(environment_get(&e, "MESOS_SLAVE_PID"), "slave(1)@10.0.0.2:5051");
    assert_string_equal(environment_get(&e, "MESOS_CHECKPOINT"), "1");
    assert_string_equal(environment_get(&e, "MESOS_RECOVERY_TIMEOUT"), "15mins");
    assert_string_equal(environment_get(&e, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), "5secs");
    environment_set(&e, "A", "2");
    environment_set(&e, "", "x");
    environment_set(&e, "B=C", "x");
    const char *const *array = environment_array(&e);
    size_t n = 0, a = 0;
    for (; array[n]; n++)
        a += streq(array[n], "A=2");
    assert_int_equal(a, 1);
    environment_set(&e, "LAST", "1"); /* after the array was asked for */
    array = environment_array(&e);
    assert_string_equal(array[n], "LAST=1");
    assert_null(array[n + 1]);
    environment_done(&e);
}

static void resources(void **state)
{
    (void)state;
    struct resources r = RESOURCES_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(host_resources("cpus:1.5;disk:7", "*", "/", &r, &err), 0);
    assert_int_equal(resources_scalar(&r, "cpus"), 1500);
    assert_int_equal(resources_scalar(&r, "disk"), 7000);
    assert_true(resources_scalar(&r, "mem") > 0);
    assert_true(resources_has(&r, "ports"));
    resources_done(&r);
    r = (struct resources)RESOURCES_INIT;
    assert_int_equal(host_resources("cpus(slave_public):2;ports:[1-2]", "*", "/", &r, &err), 0);
    struct ranges *ports = resources_ranges(&r, "ports");
    assert_int_equal(ranges_count(ports), 2);
    ranges_unref(ports);
    resources_done(&r);
    assert_true(host_resources("cpus:x;", "*", "/", &r, &err) < 0);
    assert_true(host_resources("file:///none/such", "*", "/", &r, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(latest_follows_the_newest_run),
        cmocka_unit_test(environments),
        cmocka_unit_test(resources),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
