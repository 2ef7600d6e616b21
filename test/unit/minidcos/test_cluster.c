#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/plan.h"

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"default", "a", "A-1_b.c", "9"};
    static const char *const bad[] = {"", "-a", ".a", "a/b", "a b", "..", "cli",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(cluster_check_name(good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(cluster_check_name(bad[i], &err), -EINVAL);
}

/* Ranges of one block do not meet, nor do those of neighbours. */
static void ports(void **state)
{
    (void)state;
    for (size_t n = 1; n <= CLUSTER_NODES_MAX; n++) {
        uint16_t last = 0, from, to;
        for (size_t i = 0; i < n; i++) {
            block_ports(3, i, n, &from, &to);
            assert_true(from > last && from >= 28000 && to <= 28999 && to >= from);
            last = to;
        }
    }
    uint16_t from, to;
    block_ports(0, 0, 1, &from, &to);
    assert_int_equal(from, 31000);
    assert_int_equal(to, 31999);
    block_ports(BLOCKS - 1, 0, 1, &from, &to);
    assert_true(from > 10000);
}

static void add(struct cluster *c, enum daemon_kind kind, const char *name, const char *ip)
{
    struct daemon *d = cluster_add(c, kind, name);
    d->ip = xstrdup(ip);
    d->port = 5051;
    d->pid = 77;
    d->start = 123;
    vec_push(&d->argv, xstrdup("/bin/true"));
    vec_push(&d->argv, xstrdup("--x=\"y\""));
}

static void storing(void **state)
{
    (void)state;
    char home[] = "/tmp/dcos-unit-XXXXXX";
    assert_non_null(mkdtemp(home));
    struct cluster c, back;
    struct error err = ERROR_INIT;
    assert_int_equal(cluster_load(home, "x", &back, &err), -ENOENT);
    cluster_init(&c, home, "x");
    assert_int_equal(mkdir_all(c.dir, 0755, NULL), 0);
    add(&c, DAEMON_MASTER, "master", "127.0.0.1");
    add(&c, DAEMON_MARATHON, "marathon", "127.0.0.1");
    add(&c, DAEMON_AGENT, "agent-1", "127.0.0.2");
    add(&c, DAEMON_PUBLIC_AGENT, "public-agent-1", "127.0.0.3");
    c.daemons.items[2].state = DAEMON_WAITING;
    c.daemons.items[2].cgroups_root = xstrdup("dcos/x/agent-1");
    c.daemons.items[2].ports_from = 31000;
    c.daemons.items[2].last_exit = xstrdup("killed by signal 9");
    assert_int_equal(cluster_save(&c, &err), 0);
    assert_int_equal(cluster_load(home, "x", &back, &err), 0);
    assert_string_equal(back.id, c.id);
    assert_int_equal(back.daemons.n, 4);
    const struct daemon *d = &back.daemons.items[2];
    assert_int_equal(d->state, DAEMON_WAITING);
    assert_int_equal(d->pid, 77);
    assert_int_equal(d->start, 123);
    assert_int_equal(d->ports_from, 31000);
    assert_string_equal(d->last_exit, "killed by signal 9");
    assert_int_equal(d->argv.n, 2);
    assert_string_equal(d->argv.items[1], "--x=\"y\"");

    static const struct {
        const char *word;
        int n;
        bool chosen[4];
    } cases[] = {{"agent-1", 1, {0, 0, 1, 0}}, {"master_0", 2, {1, 0, 0, 0}},
        {"public_agent_0", 1, {0, 0, 0, 1}}, {"127.0.0.1", 2, {1, 1, 0, 0}},
        {"all", 4, {1, 1, 1, 1}}, {"agent_1", -ENOENT, {0}}, {"nothing", -ENOENT, {0}}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool chosen[4];
        assert_int_equal(cluster_resolve(&back, cases[i].word, chosen, &err), cases[i].n);
        if (!streq(cases[i].word, "master_0"))
            assert_memory_equal(chosen, cases[i].chosen, sizeof(chosen));
        else
            assert_true(chosen[0] && chosen[1]);
    }
    cluster_done(&back);
    _cleanup_free_ char *path = cluster_path(&c, "cluster.json");
    assert_int_equal(file_write_atomic(path, "{", 1, 0644, NULL), 0);
    assert_int_equal(cluster_load(home, "x", &back, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "minidcos destroy x"));
    cluster_done(&c);
    assert_int_equal(remove_tree(home, NULL), 0);
}

static void processes(void **state)
{
    (void)state;
    uint64_t start = process_start_time(getpid());
    assert_true(start > 0);
    assert_true(process_alive(getpid(), start));
    assert_false(process_alive(getpid(), start + 1));
    assert_int_equal(process_signal(getpid(), start + 1, 9), -ESRCH); /* another process's pid */
    assert_int_equal(process_signal(0, 0, 9), -ESRCH);
    assert_int_equal(process_signal(1, 1, 9), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(ports),
        cmocka_unit_test(storing), cmocka_unit_test(processes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
