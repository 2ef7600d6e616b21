#include "unit.h"

#include <stdio.h>

#include "net/vip.h"
#include "build.h"

struct world {
    struct net_core *core;
    struct vips *vips;
};

static struct world world_new(void)
{
    struct world w = {.core = core_new()};
    w.vips = vips_new(net_core_names_rw(w.core));
    net_core_on_task(w.core, vips_on_task, w.vips);
    event(w.core, SNAPSHOT(AGENT, FRAMEWORK, ""));
    return w;
}

static void world_done(struct world *w)
{
    net_core_forget(w->core);
    assert_int_equal(map_size(vips_all(w->vips)), 0);
    assert_int_equal(map_size(vips_names(w->vips)), 0);
    vips_free(w->vips);
    net_core_free(w->core);
}

/* "ip:port=serving/idle/unreachable ..." */
static const char *shown(const struct world *w, const char *key)
{
    static char text[512];
    const struct vip *v = map_get(vips_all(w->vips), key);
    size_t at = 0;
    text[0] = '\0';
    if (!v)
        return "absent";
    VEC_FOREACH (b, &v->backends) {
        char ip[ADDRESS_TEXT];
        address_text(&b->ip, ip);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s:%u=%u/%u/%u", at ? " " : "", ip,
            b->port, b->serving, b->idle, b->unreachable);
    }
    return text;
}

#define PORT(number, protocol, labels)                                                             \
    ",\"discovery\":{\"visibility\":\"FRAMEWORK\",\"ports\":{\"ports\":[{\"number\":" number       \
    ",\"name\":\"web\","                                                                           \
    "\"protocol\":\"" protocol "\",\"labels\":{\"labels\":[" labels "]}}]}}"
#define LABEL(key, value) "{\"key\":\"" key "\",\"value\":\"" value "\"}"
#define KEY "tcp/mygroupmyapp.marathon:80"
#define APP(id, state, number, more)                                                               \
    TASK(id, "app", state, PORT(number, "tcp", LABEL("VIP_0", "/mygroup/myapp:80")) more)

static void hash(void **state)
{
    /* As a running Erlang gives them. */
    static const struct {
        const char *text;
        uint32_t whole, range;
    } rows[] = {
        {"mygroupmyapp.marathon", 96898959, 13013060},
        {"a.marathon", 55567053, 5235528},
        {"", 13708901, 13708909},
        {"abcdefghijkl", 15432855, 15432895},
        {"abcdefghijk.m", 13978720, 13978824},
        {"a-long-name.with.dots.in.it.marathon-user", 131410684, 13970299},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(phash2(rows[i].text, strlen(rows[i].text), 1u << 27), rows[i].whole);
        assert_int_equal(phash2(rows[i].text, strlen(rows[i].text), 16777215), rows[i].range);
    }
}

static void labels(void **state)
{
    static const struct {
        const char *value, *key;
    } rows[] = {
        {"/mygroup/myapp:80", "tcp/mygroupmyapp.marathon:80"},
        {"My.App:1", "tcp/my.app.marathon:1"},
        {"1.2.3.4:65535", "tcp/1.2.3.4:65535"},
        {"a:b:7", "tcp/ab.marathon:7"},
        {"x", NULL},
        {":80", NULL},
        {"/:80", NULL},
        {"x:0", NULL},
        {"x:65536", NULL},
        {"x:", NULL},
        {"x:8x", NULL},
        {"::1:80", NULL}, /* the backend is IPv4 */
        {"[fd01:c::1]:80", NULL},
        {"[1.2.3.4]:80", "tcp/1.2.3.4.marathon:80"}, /* no address, so a name */
        {"0.0.0.0:80", NULL},
        {":::80", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w = world_new();
        char json[2048];
        snprintf(json, sizeof(json),
            ADDED(TASK("t", "app", "TASK_RUNNING", PORT("10101", "tcp", LABEL("VIP_0", "%s")))),
            rows[i].value);
        event(w.core, json);
        assert_int_equal(map_size(vips_all(w.vips)), rows[i].key ? 1 : 0);
        if (rows[i].key)
            assert_string_equal(shown(&w, rows[i].key), "192.0.2.21:10101=1/0/0");
        world_done(&w);
    }
}

static void keys(void **state)
{
    struct world w = world_new();
    (void)state;
    event(w.core, ADDED(TASK("t", "app", "TASK_RUNNING",
                      PORT("53", "udp",
                          LABEL("vip9", "a:1") "," LABEL("VIP", "b:2") "," LABEL(
                              "Vip_0", "c:3") "," LABEL("other", "d:4")))));
    assert_string_equal(shown(&w, "udp/a.marathon:1"), "192.0.2.21:53=1/0/0");
    assert_string_equal(shown(&w, "udp/b.marathon:2"), "192.0.2.21:53=1/0/0");
    assert_int_equal(map_size(vips_all(w.vips)), 2);
    event(
        w.core, ADDED(TASK("s", "app", "TASK_RUNNING", PORT("53", "sctp", LABEL("VIP_0", "e:1")))));
    assert_int_equal(map_size(vips_all(w.vips)), 2);
    /* By label of the task, for a port by its place. */
    event(w.core,
        ADDED(TASK("l", "app", "TASK_RUNNING",
            ",\"resources\":[{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{"
            "\"begin\":7,\"end\":8}]}}],\"labels\":{\"labels\":[" LABEL("VIP_PORT1",
                "tcp://n:5") "," LABEL("vip_port0", "UDP://1.2.3.4:6") "," LABEL("VIP_PORT2",
                "tcp://n:7") "," LABEL("VIP_PORT0", "n:8") "]}")));
    assert_string_equal(shown(&w, "tcp/n.marathon:5"), "192.0.2.21:8=1/0/0");
    assert_string_equal(shown(&w, "udp/1.2.3.4:6"), "192.0.2.21:7=1/0/0");
    assert_int_equal(map_size(vips_all(w.vips)), 4);
    world_done(&w);
}

static void states(void **state)
{
    struct world w = world_new();
    struct vip_target t[4];
    (void)state;
    event(w.core, ADDED(APP("a", "TASK_STAGING", "1", "")));
    assert_string_equal(shown(&w, KEY), "absent");
    event(w.core, UPDATE("a", "TASK_RUNNING", ""));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:1=1/0/0");
    event(w.core, UPDATE("a", "TASK_RUNNING", ",\"healthy\":false"));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:1=0/1/0");
    assert_int_equal(vip_targets(map_get(vips_all(w.vips), KEY), t, 4), 0);
    event(w.core, UPDATE("a", "TASK_RUNNING", ",\"healthy\":true"));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:1=1/0/0");
    event(w.core, UPDATE("a", "TASK_KILLING", ""));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:1=0/1/0");
    event(w.core, UPDATE("a", "TASK_KILLED", ""));
    assert_string_equal(shown(&w, KEY), "absent");
    /* A check that has not passed yet. */
    event(w.core, ADDED(APP("b", "TASK_RUNNING", "2", ",\"health_check\":{\"type\":\"TCP\"}")));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:2=0/1/0");
    event(w.core, UPDATE("b", "TASK_RUNNING", ",\"healthy\":true"));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:2=1/0/0");
    /* Away: kept when nobody else serves. */
    event(w.core, UPDATE("b", "TASK_UNREACHABLE", ""));
    assert_string_equal(shown(&w, KEY), "192.0.2.21:2=0/0/1");
    assert_int_equal(vip_targets(map_get(vips_all(w.vips), KEY), t, 4), 1);
    event(w.core, ADDED(APP("c", "TASK_RUNNING", "3", "")));
    assert_int_equal(vip_targets(map_get(vips_all(w.vips), KEY), t, 4), 1);
    assert_int_equal(t[0].port, 3);
    /* Its agent's loss does not take the address from a task. */
    event(w.core,
        "{\"type\":\"AGENT_REMOVED\",\"agent_removed\":{\"agent_id\":{\"value\":\"20-S0\"}}}");
    assert_string_equal(shown(&w, KEY), "192.0.2.21:2=0/0/1 192.0.2.21:3=1/0/0");
    world_done(&w);
}

static void backends(void **state)
{
#define CONTAINER_IP                                                                               \
    ",\"statuses\":[{\"task_id\":{\"value\":\"t\"},\"state\":\"TASK_RUNNING\",\"container_"        \
    "status\":{\"network_infos\":[{\"ip_addresses\":[{\"ip_address\":\"9.0.1.2\"},{\"ip_"          \
    "address\":\"fd01::1\"}]}]}}]"
#define MAPPING                                                                                    \
    ",\"container\":{\"type\":\"MESOS\",\"network_infos\":[{\"port_mappings\":[{\"host_port\":"    \
    "31000,\"container_port\":80,\"protocol\":\"tcp\"}]}]}"
    static const struct {
        const char *number, *scope, *more, *want;
    } rows[] = {
        {"10101", "host", "", "192.0.2.21:10101=1/0/0"},
        {"10101", "container", "", "192.0.2.21:10101=1/0/0"}, /* it has no address of its own */
        {"80", "container", CONTAINER_IP, "9.0.1.2:80=1/0/0"},
        {"31005", "host", CONTAINER_IP, "192.0.2.21:31005=1/0/0"},
        {"80", "container", CONTAINER_IP MAPPING, "192.0.2.21:31000=1/0/0"},
        {"31000", "host", CONTAINER_IP MAPPING, "192.0.2.21:31000=1/0/0"},
        {"81", "container", CONTAINER_IP MAPPING, "9.0.1.2:81=1/0/0"},
        {"0", "container", CONTAINER_IP, "absent"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world w = world_new();
        char json[4096];
        snprintf(json, sizeof(json),
            ADDED(TASK("t", "app", "TASK_RUNNING",
                PORT("%s", "tcp",
                    LABEL("VIP_0", "/mygroup/myapp:80") "," LABEL("network-scope", "%s")) "%s")),
            rows[i].number, rows[i].scope, rows[i].more);
        event(w.core, json);
        assert_string_equal(shown(&w, KEY), rows[i].want);
        world_done(&w);
    }
}

static void named(void **state)
{
    struct world w = world_new();
    char ip[ADDRESS_TEXT];
    (void)state;
    event(w.core, ADDED(APP("a", "TASK_RUNNING", "1", "")));
    const struct vip *v = map_get(vips_all(w.vips), KEY);
    address_text(&v->ip, ip);
    assert_string_equal(ip, "11.198.144.68"); /* VIP_BASE + 13013060 */
    const struct name *name = names_get(
        net_core_names(w.core), STR("mygroupmyapp.marathon.l4lb.thisdcos.directory"));
    assert_non_null(name);
    assert_memory_equal(name->records.items[0].ip, v->ip.bytes, 4);
    /* Another port of the same name has its address, and keeps it. */
    event(w.core, ADDED(TASK("b", "app", "TASK_RUNNING",
                      PORT("2", "tcp", LABEL("VIP_0", "/mygroup/myapp:81")))));
    v = map_get(vips_all(w.vips), "tcp/mygroupmyapp.marathon:81");
    address_text(&v->ip, ip);
    assert_string_equal(ip, "11.198.144.68");
    event(w.core, UPDATE("a", "TASK_FINISHED", ""));
    assert_string_equal(shown(&w, KEY), "absent");
    assert_non_null(
        names_get(net_core_names(w.core), STR("mygroupmyapp.marathon.l4lb.thisdcos.directory")));
    event(w.core, UPDATE("b", "TASK_FINISHED", ""));
    assert_null(
        names_get(net_core_names(w.core), STR("mygroupmyapp.marathon.l4lb.thisdcos.directory")));
    world_done(&w);
}

#define KEY6 "tcp6/mygroupmyapp.marathon:80"
#define BOTH(id, number, label)                                                                    \
    TASK(id, "app", "TASK_RUNNING", PORT(number, "tcp", LABEL("VIP_0", label)) CONTAINER_IP)

/* A container with addresses of both families: two virtual addresses of one name. */
static void six(void **state)
{
    struct world w = world_new();
    struct vip_changes c;
    _cleanup_buf_ struct buf out = BUF_INIT;
    char ip[ADDRESS_TEXT];
    (void)state;
    event(w.core, ADDED(BOTH("a", "8080", "/mygroup/myapp:80")));
    assert_string_equal(shown(&w, KEY), "9.0.1.2:8080=1/0/0");
    assert_string_equal(shown(&w, KEY6), "fd01::1:8080=1/0/0");
    const struct vip *four = map_get(vips_all(w.vips), KEY), *v = map_get(vips_all(w.vips), KEY6);
    address_text(&v->ip, ip);
    assert_string_equal(ip, "fd01:c::5e7a:7cf2:9bb5:1952");
    assert_ptr_equal(vip_twin(w.vips, v), four);
    assert_ptr_equal(vip_twin(w.vips, four), v);
    const struct name *name = names_get(
        net_core_names(w.core), STR("mygroupmyapp.marathon.l4lb.thisdcos.directory"));
    assert_int_equal(name->records.n, 2);
    assert_int_equal(name->records.items[1].type, DNS_AAAA);
    assert_memory_equal(name->records.items[1].ip, v->ip.bytes, 16);
    vips_take(w.vips, &c);
    nft_text_changes(&c, &out);
    vip_changes_done(&c);
    assert_non_null(
        strstr(buf_cstr(&out), "vips6 { tcp . fd01:c::5e7a:7cf2:9bb5:1952 . 80 : goto"));
    assert_non_null(strstr(buf_cstr(&out), "dnat ip6 to [fd01::1]:8080"));
    /* By address, with and without brackets: the same one, and IPv6 backends only. */
    event(w.core, ADDED(BOTH("b", "1", "[fd01:c::1]:81")));
    event(w.core, ADDED(BOTH("c", "2", "fd01:c:0::1:81")));
    assert_string_equal(shown(&w, "tcp6/fd01:c::1:81"), "fd01::1:1=1/0/0 fd01::1:2=1/0/0");
    assert_int_equal(map_size(vips_all(w.vips)), 3);
    assert_null(vip_twin(w.vips, map_get(vips_all(w.vips), "tcp6/fd01:c::1:81")));
    /* It ends in both. */
    event(w.core, UPDATE("a", "TASK_FAILED", ""));
    assert_string_equal(shown(&w, KEY), "absent");
    assert_string_equal(shown(&w, KEY6), "absent");
    vips_take(w.vips, &c);
    assert_int_equal(c.cuts.n, 2);
    buf_clear(&out);
    nft_text_changes(&c, &out);
    vip_changes_done(&c);
    assert_non_null(strstr(buf_cstr(&out),
        "delete element inet dcos_l4lb vips6 { tcp . fd01:c::5e7a:7cf2:9bb5:1952 . 80 }"));
    assert_null(
        names_get(net_core_names(w.core), STR("mygroupmyapp.marathon.l4lb.thisdcos.directory")));
    world_done(&w);
}

static void places(void **state)
{
    static const struct {
        const char *ip, *next;
    } rows[] = {
        {"11.0.0.0", "11.0.0.1"},
        {"11.255.255.255", "11.0.0.0"},
        {"fd01:c::", "fd01:c::1"},
        {"fd01:c::1:ffff:ffff", "fd01:c::2:0:0"},
        {"fd01:c::ffff:ffff:ffff:ffff", "fd01:c::"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct address a;
        char text[ADDRESS_TEXT];
        assert_int_equal(address_parse(rows[i].ip, &a), 0);
        vip_next(&a);
        address_text(&a, text);
        assert_string_equal(text, rows[i].next);
    }
}

static void event_name(struct world *w, unsigned i, const char *kind)
{
    char json[2048];
    if (*kind == 'a')
        snprintf(json, sizeof(json),
            ADDED(
                TASK("n%u", "app", "TASK_RUNNING", PORT("10101", "tcp", LABEL("VIP_0", "n%u:80")))),
            i, i);
    else
        snprintf(json, sizeof(json), UPDATE("n%u", "TASK_FINISHED", ""), i);
    event(w->core, json);
}

/* Whatever the order in which names come and go, those that are there have the same addresses.
 * 20000 names in 16 million places meet often enough. */
static void same_everywhere(void **state)
{
    enum { N = 20000 };
    size_t displaced = 0;
    (void)state;
    struct world a = world_new(), b = world_new();
    for (unsigned i = 0; i < N; i++)
        event_name(&a, i, "add");
    for (unsigned i = N; i-- > 0;)
        event_name(&b, i, "add");
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = round; i < N; i += round + 1) {
            char key[64], name[64];
            snprintf(key, sizeof(key), "tcp/n%u.marathon:80", i);
            snprintf(name, sizeof(name), "n%u.marathon", i);
            const struct vip *va = map_get(vips_all(a.vips), key),
                             *vb = map_get(vips_all(b.vips), key);
            assert_true(address_eq(&va->ip, &vb->ip));
            assert_true(address_eq(&va->ip, &va->name->ip));
            if (round == 0 &&
                dns_u32(va->ip.bytes) != VIP_BASE + phash2(name, strlen(name), VIP_LAST - VIP_BASE))
                displaced++;
        }
        /* Then every other one goes, in two orders. */
        for (unsigned i = 0; round == 0 && i < N; i += 2)
            event_name(&a, i, "drop");
        for (unsigned i = N; round == 0 && i-- > 0;)
            if (i % 2 == 0)
                event_name(&b, i, "drop");
    }
    assert_true(displaced > 0);
    world_done(&a);
    world_done(&b);
}

static void text(void **state)
{
    struct world w = world_new();
    struct vip_changes c;
    _cleanup_buf_ struct buf out = BUF_INIT;
    (void)state;
    event(w.core, ADDED(APP("a", "TASK_RUNNING", "1", "")));
    event(w.core, ADDED(APP("b", "TASK_RUNNING", "2", "")));
    assert_true(vips_changed(w.vips));
    vips_take(w.vips, &c);
    assert_false(vips_changed(w.vips));
    nft_text_changes(&c, &out);
    assert_non_null(
        strstr(buf_cstr(&out), "numgen inc mod 2 map { 0 : 192.0.2.21 . 1, 1 : 192.0.2.21 . 2 }"));
    vip_changes_done(&c);
    event(w.core, UPDATE("a", "TASK_FAILED", ""));
    vips_take(w.vips, &c);
    assert_int_equal(c.cuts.n, 1);
    assert_int_equal(c.cuts.items[0].backend_port, 1);
    buf_clear(&out);
    nft_text_changes(&c, &out);
    assert_non_null(strstr(buf_cstr(&out), "dnat ip to 192.0.2.21:2\n"));
    vip_changes_done(&c);
    event(w.core, UPDATE("b", "TASK_RUNNING", ",\"healthy\":false"));
    vips_take(w.vips, &c);
    assert_int_equal(c.cuts.n, 0); /* connections that there are live on */
    buf_clear(&out);
    nft_text_changes(&c, &out);
    assert_null(strstr(buf_cstr(&out), "dnat"));
    vip_changes_done(&c);
    event(w.core, UPDATE("b", "TASK_FAILED", ""));
    vips_take(w.vips, &c);
    assert_int_equal(c.gone.n, 1);
    assert_int_equal(c.changed.n, 0);
    vip_changes_done(&c);
    vips_take(w.vips, &c);
    buf_clear(&out);
    nft_text_changes(&c, &out);
    assert_int_equal(out.n, 0);
    vip_changes_done(&c);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash),
        cmocka_unit_test(labels),
        cmocka_unit_test(keys),
        cmocka_unit_test(states),
        cmocka_unit_test(backends),
        cmocka_unit_test(named),
        cmocka_unit_test(six),
        cmocka_unit_test(places),
        cmocka_unit_test(same_everywhere),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
