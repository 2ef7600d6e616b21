#include "unit.h"

#include <stdio.h>

#include "build.h"

/* Everything below a suffix as text, sorted as it came. */
static void shown(struct net_core *c, const char *name, char out[256])
{
    const struct name *n = names_get(net_core_names(c), str_of(name));
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; n && i < n->records.n; i++) {
        const struct record *r = &n->records.items[i];
        char ip[ADDRESS_TEXT];
        struct address a = {.v6 = r->type == DNS_AAAA};
        if (r->type == DNS_SRV) {
            at += (size_t)snprintf(
                out + at, 256 - at, "%s%s:%u", at ? " " : "", r->target, r->port);
            continue;
        }
        memcpy(a.bytes, r->ip, 16);
        address_text(&a, ip);
        at += (size_t)snprintf(out + at, 256 - at, "%s%s", at ? " " : "", ip);
    }
}

#define HAS(c, name, want)                                                                         \
    do {                                                                                           \
        char text[256];                                                                            \
        shown((c), (name), text);                                                                  \
        if (strcmp(text, (want)) != 0)                                                             \
            fail_msg("%s: \"%s\" is not \"%s\"", (name), text, (want));                            \
    } while (0)

#define PORTS                                                                                      \
    ",\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":"   \
    "10101,\"end\":10101}]}}]"
#define DISCOVERY                                                                                  \
    ",\"discovery\":{\"visibility\":\"FRAMEWORK\",\"name\":\"app.group\",\"ports\":{\"ports\":[{"  \
    "\"number\":10101,"                                                                            \
    "\"name\":\"web\",\"protocol\":\"tcp\"}]}}"
#define EXAMPLE(state) TASK("group_app.instance-1._app.1", "app.group", state, PORTS DISCOVERY)

/* The example of mesos-dns' table: every name, and none besides. */
static void example(void **state)
{
    static const char *const forms[] = {"app-group", "app.group"};
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    size_t before;
    (void)state;
    event(c, SNAPSHOT(AGENT, FRAMEWORK, ""));
    before = net_core_names(c)->n_records;
    event(c, ADDED(EXAMPLE("TASK_STAGING")));
    assert_int_equal(net_core_names(c)->n_records, before);
    event(c, UPDATE("group_app.instance-1._app.1", "TASK_RUNNING", ""));
    for (size_t i = 0; i < 2; i++) {
        char name[400], canonical[256], target[300];
        const char *t = forms[i];
        snprintf(canonical, sizeof(canonical), "%s-jakaj-s0.marathon", t);
#define AT(fmt, ...) (snprintf(name, sizeof(name), fmt, __VA_ARGS__), name)
        HAS(c, AT("%s.marathon.mesos", t), "192.0.2.21");
        HAS(c, AT("%s.marathon.slave.mesos", t), "192.0.2.21");
        HAS(c, AT("%s.mesos", canonical), "192.0.2.21");
        HAS(c, AT("%s.slave.mesos", canonical), "192.0.2.21");
        snprintf(target, sizeof(target), "%s.slave.mesos:10101", canonical);
        HAS(c, AT("_%s._tcp.marathon.slave.mesos", t), target);
        HAS(c, AT("_%s._udp.marathon.slave.mesos", t), target);
        snprintf(target, sizeof(target), "%s.mesos:10101", canonical);
        HAS(c, AT("_%s._tcp.marathon.mesos", t), target);
        HAS(c, AT("_%s._udp.marathon.mesos", t), "");
        HAS(c, AT("_web._%s._tcp.marathon.mesos", t), target);
        HAS(c, AT("%s.marathon.agentip.dcos.thisdcos.directory", t), i ? "" : "192.0.2.21");
        HAS(c, AT("%s.marathon.containerip.dcos.thisdcos.directory", t), "");
        HAS(c, AT("%s.marathon.autoip.dcos.thisdcos.directory", t), i ? "" : "192.0.2.21");
    }
    assert_int_equal(net_core_names(c)->n_records, before + 2 * 8 + 3);
    event(c, UPDATE("group_app.instance-1._app.1", "TASK_FINISHED", ""));
    assert_int_equal(net_core_names(c)->n_records, before);
}

/* Without a name of its own in DiscoveryInfo: by the task's name, mangled only, for both protocols.
 */
static void no_discovery(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, SNAPSHOT(AGENT, FRAMEWORK, TASK("t1", "My_Task", "TASK_RUNNING", PORTS)));
    char h[6], target[128];
    name_hash(STR("t1"), 5, h);
    snprintf(target, sizeof(target), "my-task-%s-s0.marathon.slave.mesos:10101", h);
    HAS(c, "my-task.marathon.mesos", "192.0.2.21");
    HAS(c, "_my-task._tcp.marathon.mesos", target);
    HAS(c, "_my-task._udp.marathon.mesos", target);
    HAS(c, "_my-task._tcp.marathon.slave.mesos", target);
    HAS(c, "my_task.marathon.mesos", "");
}

static void addresses(void **state)
{
#define IPS                                                                                        \
    ",\"container_status\":{\"network_infos\":[{\"ip_addresses\":[{\"ip_address\":\"9.0.1.2\"},"   \
    "{\"protocol\":\"IPv6\",\"ip_address\":\"fd01:b::2\"}]}]}"
#define MAPPED                                                                                     \
    ",\"container\":{\"type\":\"MESOS\",\"network_infos\":[{\"name\":\"b\",\"port_mappings\":[{"   \
    "\"host_port\":10101,"                                                                         \
    "\"container_port\":80}]}]}"
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, SNAPSHOT(AGENT, FRAMEWORK, ""));
    event(c, ADDED(TASK("a", "plain", "TASK_STAGING", "")));
    event(c, ADDED(TASK("b", "mapped", "TASK_STAGING", MAPPED)));
    event(c, UPDATE("a", "TASK_RUNNING", IPS));
    event(c, UPDATE("b", "TASK_RUNNING", IPS));
    HAS(c, "plain.marathon.containerip.dcos.thisdcos.directory", "9.0.1.2 fd01:b::2");
    HAS(c, "plain.marathon.autoip.dcos.thisdcos.directory", "9.0.1.2 fd01:b::2");
    HAS(c, "plain.marathon.agentip.dcos.thisdcos.directory", "192.0.2.21");
    HAS(c, "mapped.marathon.containerip.dcos.thisdcos.directory", "9.0.1.2 fd01:b::2");
    HAS(c, "mapped.marathon.autoip.dcos.thisdcos.directory", "192.0.2.21");
    HAS(c, "plain.marathon.mesos", "192.0.2.21"); /* sources: host first */
    event(c, UPDATE("a", "TASK_KILLING", ""));
    HAS(c, "plain.marathon.agentip.dcos.thisdcos.directory", "");
    HAS(c, "plain.marathon.mesos", "");
}

/* Two tasks of one name: each counts. */
static void counted(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, SNAPSHOT(AGENT, FRAMEWORK,
                 TASK("a", "x", "TASK_RUNNING", "") "," TASK("b", "x", "TASK_RUNNING", "")));
    HAS(c, "x.marathon.mesos", "192.0.2.21");
    event(c, UPDATE("a", "TASK_FAILED", ""));
    HAS(c, "x.marathon.mesos", "192.0.2.21");
    event(c, UPDATE("b", "TASK_UNREACHABLE", ""));
    HAS(c, "x.marathon.mesos", "");
    event(c, UPDATE("b", "TASK_RUNNING", ""));
    HAS(c, "x.marathon.mesos", "192.0.2.21");
    event(c, "{\"type\":\"AGENT_REMOVED\",\"agent_removed\":{\"agent_id\":{\"value\":\"20-S0\"}}}");
    HAS(c, "x.marathon.mesos", "");
    HAS(c, "slave.mesos", "");
    event(c, "{\"type\":\"AGENT_ADDED\",\"agent_added\":{\"agent\":" AGENT "}}");
    HAS(c, "x.marathon.mesos", "192.0.2.21");
}

/* A new snapshot: what is in it stays, the rest goes. */
static void again(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, SNAPSHOT(AGENT, FRAMEWORK,
                 TASK("a", "x", "TASK_RUNNING", "") "," TASK("b", "y", "TASK_RUNNING", "")));
    event(c, SNAPSHOT(AGENT, FRAMEWORK, TASK("b", "y", "TASK_RUNNING", "")));
    HAS(c, "x.marathon.mesos", "");
    HAS(c, "y.marathon.mesos", "192.0.2.21");
    event(c, SNAPSHOT("", "", ""));
    HAS(c, "y.marathon.mesos", "");
    HAS(c, "marathon.mesos", "");
    assert_int_equal(map_size(net_core_tasks(c)), 0);
}

#define RECOVERED(agents, frameworks)                                                              \
    "{\"type\":\"SUBSCRIBED\",\"subscribed\":{\"get_state\":{\"get_agents\":{\"recovered_"         \
    "agents\":[" agents "]},\"get_frameworks\":{\"frameworks\":[" frameworks "]}}}}"
#define AGENT_INFO "{\"id\":{\"value\":\"20-S0\"},\"hostname\":\"node-a\",\"port\":5051}"
#define AGENT_ADDED "{\"type\":\"AGENT_ADDED\",\"agent_added\":{\"agent\":" AGENT "}}"
#define AGENT_REMOVED                                                                              \
    "{\"type\":\"AGENT_REMOVED\",\"agent_removed\":{\"agent_id\":{\"value\":\"20-S0\"}}}"

/* A master that has just begun to lead has not heard of its agents: what was known of them stands,
 * until they come back with fewer tasks, or are given up. */
static void a_new_master(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        _cleanup_(net_core_freep)
        struct net_core *c = core_new();
        event(c, SNAPSHOT(AGENT, FRAMEWORK,
                     TASK("a", "x", "TASK_RUNNING", "") "," TASK("b", "y", "TASK_RUNNING", "")));
        for (int again = 0; again < 2; again++) {
            event(c, RECOVERED(AGENT_INFO, FRAMEWORK));
            HAS(c, "x.marathon.mesos", "192.0.2.21");
            HAS(c, "y.marathon.mesos", "192.0.2.21");
            HAS(c, "slave.mesos", "192.0.2.21");
        }
        if (gone) {
            event(c, AGENT_REMOVED);
            assert_int_equal(map_size(net_core_tasks(c)), 0);
            HAS(c, "y.marathon.mesos", "");
            HAS(c, "slave.mesos", "");
            continue;
        }
        event(c, ADDED(TASK("b", "y", "TASK_RUNNING", "")));
        HAS(c, "x.marathon.mesos", "192.0.2.21");
        event(c, AGENT_ADDED);
        HAS(c, "x.marathon.mesos", "");
        HAS(c, "y.marathon.mesos", "192.0.2.21");
        event(c, RECOVERED(AGENT_INFO, FRAMEWORK));
        event(c, SNAPSHOT(AGENT, FRAMEWORK, TASK("b", "y", "TASK_RUNNING", "")));
        HAS(c, "y.marathon.mesos", "192.0.2.21");
        /* It is not waited for any more. */
        event(c, AGENT_ADDED);
        HAS(c, "y.marathon.mesos", "192.0.2.21");
        event(c, SNAPSHOT(AGENT, FRAMEWORK, ""));
        HAS(c, "y.marathon.mesos", "");
    }
}

/* An agent that was not known before is not there until it comes back. */
static void a_new_master_of_a_new_daemon(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, RECOVERED(AGENT_INFO, FRAMEWORK));
    assert_true(net_core_loaded(c));
    HAS(c, "slave.mesos", "");
    event(c, ADDED(TASK("b", "y", "TASK_RUNNING", "")));
    event(c, AGENT_ADDED);
    HAS(c, "slave.mesos", "192.0.2.21");
    HAS(c, "y.marathon.mesos", "192.0.2.21");
}

static void masters(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct address a;
    (void)state;
    HAS(c, "master.mesos", "192.0.2.1 192.0.2.2");
    HAS(c, "leader.mesos", "");
    assert_int_equal(address_parse("192.0.2.2", &a), 0);
    net_core_leader(c, &a, 5050);
    HAS(c, "leader.mesos", "192.0.2.2");
    HAS(c, "leader.dcos.thisdcos.directory", "192.0.2.2");
    HAS(c, "master0.mesos", "192.0.2.1");
    HAS(c, "master1.mesos", "192.0.2.2");
    HAS(c, "_leader._tcp.mesos", "leader.mesos:5050");
    HAS(c, "_leader._udp.mesos", "leader.mesos:5050");
    static const char *const zk[] = {
        "192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.1"};
    for (size_t i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "zk-%zu.zk", i + 1);
        HAS(c, name, zk[i]);
    }
    HAS(c, "zk-6.zk", "");
    assert_int_equal(address_parse("192.0.2.3", &a), 0);
    net_core_leader(c, &a, 5055);
    HAS(c, "leader.mesos", "192.0.2.3");
    HAS(c, "master2.mesos", "192.0.2.3");
    HAS(c, "_leader._tcp.mesos", "leader.mesos:5055");
    net_core_leader(c, NULL, 0); /* the last one is kept */
    HAS(c, "leader.mesos", "192.0.2.3");
    /* Others, told in any order; who leads is one of them even when it is not listed. */
    struct address list[2];
    assert_int_equal(address_parse("192.0.2.9", &list[0]), 0);
    assert_int_equal(address_parse("192.0.2.7", &list[1]), 0);
    net_core_masters(c, list, 2);
    HAS(c, "master.mesos", "192.0.2.3 192.0.2.7 192.0.2.9");
    HAS(c, "master0.mesos", "192.0.2.7");
    HAS(c, "master1.mesos", "192.0.2.9");
    HAS(c, "zk-1.zk", "192.0.2.7");
    uint64_t version = net_core_names(c)->version;
    net_core_masters(c, (struct address[]){list[1], list[0]}, 2);
    assert_int_equal(net_core_names(c)->version, version); /* the same: nothing changed */
    net_core_masters(c, list, 1);
    HAS(c, "master.mesos", "192.0.2.3 192.0.2.9");
    HAS(c, "master2.mesos", "");
    event(c, SNAPSHOT(AGENT, FRAMEWORK, ""));
    HAS(c, "slave.mesos", "192.0.2.21");
    HAS(c, "_slave._tcp.mesos", "slave.mesos:5052");
    HAS(c, "marathon.mesos", "192.0.2.5");
    HAS(c, "ready.spartan", "127.0.0.1");
    HAS(c, "thisnode.thisdcos.directory", "192.0.2.9");
}

static void hosts_by_name(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct address a;
    (void)state;
    event(c, "{\"type\":\"FRAMEWORK_ADDED\",\"framework_added\":{\"framework\":{\"framework_info\":"
             "{\"id\":{"
             "\"value\":\"f1\"},\"name\":\"m\",\"user\":\"root\",\"hostname\":\"some.host\"}}}}");
    assert_string_equal(net_core_unresolved(c), "some.host");
    assert_int_equal(address_parse("192.0.2.77", &a), 0);
    net_core_resolved(c, "some.host", &a);
    assert_null(net_core_unresolved(c));
    HAS(c, "m.mesos", "192.0.2.77");
    event(c, "{\"type\":\"FRAMEWORK_REMOVED\",\"framework_removed\":{\"framework_info\":{\"id\":{"
             "\"value\":"
             "\"f1\"},\"name\":\"m\",\"user\":\"root\"}}}");
    HAS(c, "m.mesos", "");
}

static void malformed(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    (void)state;
    event(c, "{}");
    event(c, "{\"type\":\"TASK_ADDED\"}");
    event(c, "{\"type\":\"TASK_ADDED\",\"task_added\":{\"task\":{\"name\":\"x\"}}}");
    event(c, "{\"type\":\"TASK_UPDATED\",\"task_updated\":{}}");
    event(c, "{\"type\":\"AGENT_ADDED\",\"agent_added\":{\"agent\":{\"pid\":\"slave(1)@\"}}}");
    event(c, "{\"type\":\"SUBSCRIBED\"}");
    event(c, SNAPSHOT(AGENT, FRAMEWORK, TASK("a", "///", "TASK_RUNNING", "")));
    assert_int_equal(map_size(net_core_tasks(c)), 1);
}

static void aliases(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(net_core_alias(c, "x.mine.thisdcos.directory", "a.b", &err), 0);
    assert_true(net_core_alias(c, "x.l4lb.thisdcos.directory", "a.b", &err) < 0);
    assert_true(net_core_alias(c, "x.mesos", "a.b", &err) < 0);
    assert_true(net_core_alias(c, "a.dcos.thisdcos.directory", "a.b", &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example),
        cmocka_unit_test(no_discovery),
        cmocka_unit_test(addresses),
        cmocka_unit_test(counted),
        cmocka_unit_test(again),
        cmocka_unit_test(a_new_master),
        cmocka_unit_test(a_new_master_of_a_new_daemon),
        cmocka_unit_test(masters),
        cmocka_unit_test(hosts_by_name),
        cmocka_unit_test(malformed),
        cmocka_unit_test(aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
