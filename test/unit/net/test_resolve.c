#include "unit.h"

#include <stdio.h>

#include "build.h"

struct asked {
    uint8_t out[DNS_MESSAGE_MAX];
    size_t n;
    enum resolved how;
    const struct forward_zone *zone;
    unsigned rcode, counts[3];
    bool truncated, authoritative;
};

static uint8_t g_query[600];

static void ask(const struct resolver *r, const char *name, uint16_t type, uint16_t id, size_t edns,
    struct asked *a)
{
    size_t n = DNS_HEAD;
    struct dns_query q;
    memset(g_query, 0, DNS_HEAD);
    dns_set_u16(g_query, id);
    g_query[2] = 1;
    g_query[5] = 1;
    assert_true(dns_name_write(str_of(name), g_query, sizeof(g_query), &n));
    dns_set_u16(g_query + n, type);
    dns_set_u16(g_query + n + 2, DNS_CLASS_IN);
    n += 4;
    if (edns) {
        g_query[11] = 1;
        memset(g_query + n, 0, 11);
        dns_set_u16(g_query + n + 1, DNS_OPT);
        dns_set_u16(g_query + n + 3, (unsigned)edns);
        n += 11;
    }
    a->zone = NULL;
    a->how = resolve(r, g_query, n, true, true, &q, a->out, DNS_MESSAGE_MAX, &a->n, &a->zone);
    if (a->how != RESOLVED_ANSWER)
        return;
    a->rcode = a->out[3] & 15;
    a->truncated = a->out[2] & 2;
    a->authoritative = a->out[2] & 4;
    for (size_t i = 0; i < 3; i++)
        a->counts[i] = dns_u16(a->out + 6 + 2 * i);
}

/* The first record after the question: owner, TTL, and its data as text. */
static void first(const struct asked *a, size_t skip, char out[512])
{
    char name[NAME_TEXT_MAX];
    size_t pos = DNS_HEAD, n;
    assert_int_equal(dns_name_read(a->out, a->n, &pos, name, &n), 0);
    pos += 4;
    for (;;) {
        assert_int_equal(dns_name_read(a->out, a->n, &pos, name, &n), 0);
        unsigned type = dns_u16(a->out + pos), size = dns_u16(a->out + pos + 8);
        uint32_t ttl = dns_u32(a->out + pos + 4);
        pos += 10;
        if (skip-- > 0) {
            pos += size;
            continue;
        }
        char data[NAME_TEXT_MAX] = "";
        size_t at = pos + (type == DNS_SRV ? 6 : 0), data_n;
        if (type == DNS_A)
            snprintf(data, sizeof(data), "%u.%u.%u.%u", a->out[pos], a->out[pos + 1],
                a->out[pos + 2], a->out[pos + 3]);
        else if (type == DNS_SRV || type == DNS_NS || type == DNS_SOA || type == DNS_CNAME)
            assert_int_equal(dns_name_read(a->out, a->n, &at, data, &data_n), 0);
        snprintf(out, 512, "%.200s %u %u %.200s", name, type, ttl, data);
        return;
    }
}

static struct resolver resolver_of(const struct net_core *c)
{
    struct resolver r = {.core = c, .mesos_ttl = 60, .crypto_id = "abc"};
    return r;
}

#define FIRST(a, want)                                                                             \
    do {                                                                                           \
        char text[512];                                                                            \
        first((a), 0, text);                                                                       \
        assert_string_equal(text, (want));                                                         \
    } while (0)

static void zones(void **state)
{
    static const struct {
        const char *name;
        uint16_t type;
        unsigned rcode, answers, authority;
        const char *first;
    } rows[] = {
        {"ready.spartan", DNS_A, 0, 1, 0, "ready.spartan 1 5 127.0.0.1"},
        {"READY.Spartan", DNS_A, 0, 1, 0, "ready.spartan 1 5 127.0.0.1"},
        {"localhost", DNS_A, 0, 1, 0, "localhost 1 5 127.0.0.1"},
        {"zk-5.zk", DNS_A, 0, 1, 0, "zk-5.zk 1 5 192.0.2.1"},
        {"zk-6.zk", DNS_A, 3, 0, 1, "zk 6 5 ns.spartan"},
        {"spartan", DNS_SOA, 0, 1, 0, "spartan 6 5 ns.spartan"},
        {"spartan", DNS_NS, 0, 1, 0, "spartan 2 3600 ns.spartan"},
        {"spartan", DNS_A, 0, 0, 1, "spartan 6 5 ns.spartan"},
        {"ready.spartan", DNS_AAAA, 0, 0, 1, "spartan 6 5 ns.spartan"},
        {"master.dcos.thisdcos.directory", DNS_A, 0, 2, 0,
            "master.dcos.thisdcos.directory 1 5 192.0.2.1"},
        {"master.dcos.thisdcos.global", DNS_A, 0, 2, 0,
            "master.dcos.thisdcos.global 1 5 192.0.2.1"},
        {"master.dcos.abc.dcos.directory", DNS_A, 0, 2, 0,
            "master.dcos.abc.dcos.directory 1 5 192.0.2.1"},
        {"thisnode.thisdcos.directory", DNS_A, 0, 1, 0,
            "thisnode.thisdcos.directory 1 5 192.0.2.9"},
        {"x.marathon.mesos", DNS_A, 0, 1, 0, "x.marathon.mesos 1 60 192.0.2.21"},
        {"x.*.marathon.*.mesos", DNS_A, 0, 1, 0, "x.*.marathon.*.mesos 1 60 192.0.2.21"},
        {"x.marathon.mesos.thisdcos.directory", DNS_A, 0, 1, 0,
            "x.marathon.mesos.thisdcos.directory 1 5 192.0.2.21"},
        {"_x._tcp.marathon.mesos.thisdcos.global", DNS_SRV, 0, 1, 0, NULL},
        {"nope.marathon.mesos", DNS_A, 3, 0, 1, "mesos 6 60 ns1.mesos"},
        {"x.marathon.mesos", DNS_SRV, 0, 0, 1, "mesos 6 60 ns1.mesos"},
        {"nope.marathon.mesos", DNS_SRV, 0, 0, 0, NULL},
        {"mesos", DNS_SOA, 0, 0, 1, "mesos 6 60 ns1.mesos"},
        {"mesos", DNS_NS, 0, 0, 1, "mesos 2 60 ns1.mesos"},
        {"nope.mesos", DNS_NS, 0, 0, 0, NULL},
        {"a.other.thisdcos.directory", DNS_A, 5, 0, 0, NULL},
        {"a.mine.thisdcos.directory", DNS_A, 0, 1, 0, "a.mine.thisdcos.directory 5 5 example.com"},
        {"b.mine.thisdcos.directory", DNS_A, 3, 0, 1, "mine.thisdcos.directory 6 5 ns.spartan"},
        {"x.marathon.mesos", DNS_ANY, 5, 0, 0, NULL},
        {"mesos", DNS_AXFR, 5, 0, 0, NULL},
        {"1.2.0.192.in-addr.arpa", DNS_PTR, 5, 0, 0, NULL},
    };
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct resolver r = resolver_of(c);
    static struct asked a;
    struct error err = ERROR_INIT;
    (void)state;
    ask(&r, "x.marathon.mesos", DNS_A, 0, 0, &a);
    assert_int_equal(a.rcode, DNS_SERVFAIL); /* nothing is known yet */
    ask(&r, "ready.spartan", DNS_A, 0, 0, &a);
    assert_int_equal(a.rcode, DNS_NOERROR);
    event(c, SNAPSHOT(AGENT, FRAMEWORK,
                 TASK("a", "x", "TASK_RUNNING",
                     ",\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{"
                     "\"range\":[{\"begin\":7,\"end\":7}]}}]")));
    assert_int_equal(net_core_alias(c, "a.mine.thisdcos.directory", "example.com", &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ask(&r, rows[i].name, rows[i].type, 0, 0, &a);
        if (a.how != RESOLVED_ANSWER || a.rcode != rows[i].rcode ||
            a.counts[0] != rows[i].answers || a.counts[1] != rows[i].authority)
            fail_msg("%s %u: rcode %u answers %u authority %u", rows[i].name, rows[i].type, a.rcode,
                a.counts[0], a.counts[1]);
        if (rows[i].first)
            FIRST(&a, rows[i].first);
    }
    /* Targets in the form in which was asked, with their addresses. */
    ask(&r, "_x._tcp.marathon.mesos.thisdcos.global", DNS_SRV, 0, 0, &a);
    char text[512];
    first(&a, 0, text);
    assert_non_null(strstr(text, "s0.marathon.slave.mesos.thisdcos.global"));
    assert_int_equal(a.counts[2], 1);
    first(&a, 1, text);
    assert_non_null(strstr(text, " 1 5 192.0.2.21"));
}

static void forwarding(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct resolver r = resolver_of(c);
    struct forward_zone all = {.name = (char *)(uintptr_t) ""},
                        one = {.name = (char *)(uintptr_t) "example.com"};
    static struct asked a;
    (void)state;
    vec_push(&r.zones, &all);
    vec_push(&r.zones, &one);
    ask(&r, "a.example.com", DNS_A, 0, 0, &a);
    assert_int_equal(a.how, RESOLVED_FORWARD);
    assert_ptr_equal(a.zone, &one);
    ask(&r, "aexample.com", DNS_A, 0, 0, &a);
    assert_ptr_equal(a.zone, &all);
    ask(&r, "thisdcos.directory", DNS_A, 0, 0, &a);
    assert_ptr_equal(a.zone, &all);
    ask(&r, "x.spartan", DNS_A, 0, 0, &a);
    assert_int_equal(a.how, RESOLVED_ANSWER);
    vec_done(&r.zones);
}

static void many(void **state)
{
    _cleanup_(net_core_freep)
    struct net_core *c = core_new();
    struct resolver r = resolver_of(c);
    static struct asked a;
    char json[512], text[512], other[512];
    (void)state;
    event(c, SNAPSHOT("", FRAMEWORK, ""));
    for (unsigned i = 0; i < 100; i++) {
        snprintf(json, sizeof(json),
            "{\"type\":\"AGENT_ADDED\",\"agent_added\":{\"agent\":{\"agent_info\":{\"id\":{"
            "\"value\":\"S%u\"},\"hostname\":\"h\"},"
            "\"pid\":\"slave(1)@10.0.0.%u:5051\"}}}",
            i, i);
        event(c, json);
    }
    ask(&r, "slave.mesos", DNS_A, 3, 0, &a);
    assert_true(a.truncated && a.n <= DNS_UDP_MIN);
    ask(&r, "slave.mesos", DNS_A, 3, 4096, &a);
    assert_false(a.truncated);
    assert_int_equal(a.counts[0], 100);
    assert_int_equal(a.counts[2], 1); /* OPT */
    first(&a, 0, text);
    r.rotate = ROTATE_ROUND_ROBIN;
    ask(&r, "slave.mesos", DNS_A, 203, 4096, &a);
    assert_int_equal(a.counts[0], 100);
    first(&a, 0, other);
    assert_string_equal(other, "slave.mesos 1 60 10.0.0.3");
    r.rotate = ROTATE_NONE;
    ask(&r, "slave.mesos", DNS_A, 203, 4096, &a);
    first(&a, 0, other);
    assert_string_equal(other, "slave.mesos 1 60 10.0.0.0");
    ask(&r, "slave.mesos", DNS_A, 0, 60000, &a); /* not more than our own limit */
    assert_true(a.n <= DNS_UDP_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones),
        cmocka_unit_test(forwarding),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
