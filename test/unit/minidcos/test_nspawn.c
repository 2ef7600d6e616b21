#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/nspawn/nspawn.h"

static void ids(void **state)
{
    (void)state;
    static const char *const good[] = {"default", "a", "A-1_b.c", "9"};
    static const char *const bad[] = {
        "", "-a", ".a", "a/b", "a b", "..", "_x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(machines_check_id(good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(machines_check_id(bad[i], &err), -EINVAL);
}

static void networks(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "10.1.2.0", "10.1.2.1/24", "10.1.2.0/16", "10.1.256.0/24",
        "10.1.0/24", "1.2.3.4.0/24", "a.1.2.0/24", "-1.1.2.0/24", "10..2.0/24"};
    struct error err = ERROR_INIT;
    uint32_t network = 0;
    assert_int_equal(network_parse("10.1.2.0/24", &network, &err), 0);
    assert_int_equal(network, 10u << 24 | 1u << 16 | 2u << 8);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int r = network_parse(bad[i], &network, &err);
        if (r != -EINVAL)
            fail_msg("%s: %d", bad[i], r);
    }
}

static void make(struct machines *m, const char *home)
{
    machines_init(m, home, "a.b");
    m->network = 172u << 24 | 30u << 16 | 5u << 8;
    m->tree = xstrdup("/cache/tree");
    m->created_us = 77;
    machines_add(m, NODE_MASTER);
    machines_add(m, NODE_AGENT);
    machines_add(m, NODE_AGENT);
    machines_add(m, NODE_PUBLIC_AGENT);
    machines_number(m);
    vec_push(&m->volumes, ((struct volume){.spec = xstrdup("/a:/b:ro"), .roles = 5}));
    vec_push(&m->ports, ((struct port_map){.host = 8443, .node = 443}));
}

static void references(void **state)
{
    (void)state;
    struct machines m;
    struct error err = ERROR_INIT;
    make(&m, "/home");
    assert_string_equal(m.dir, "/home/nspawn/a.b");
    assert_true(strlen(m.bridge) < 16); /* what the kernel takes */
    assert_ptr_equal(machines_node(&m, "agent_1", &err), &m.nodes.items[2]);
    assert_ptr_equal(machines_node(&m, "172.30.5.14", &err), &m.nodes.items[3]);
    assert_ptr_equal(machines_node(&m, "a-b-public-agent-0", &err), &m.nodes.items[3]);
    assert_null(machines_node(&m, "agent_2", &err));
    assert_int_equal(err.code, -ENOENT);
    assert_int_equal(machines_count(&m, NODE_AGENT), 2);
    /* Another folder has other names for the same id. */
    struct machines other;
    machines_init(&other, "/home2", "a.b");
    assert_string_not_equal(m.label, other.label);
    assert_string_not_equal(m.bridge, other.bridge);
    machines_done(&other);
    machines_done(&m);
}

static void storing(void **state)
{
    (void)state;
    char home[] = "/tmp/dcos-unit-XXXXXX";
    assert_non_null(mkdtemp(home));
    struct machines m, back;
    struct error err = ERROR_INIT;
    make(&m, home);
    m.installed = true;
    assert_int_equal(machines_load(home, "a.b", &back, &err), -ENOENT);
    assert_int_equal(mkdir_all(m.dir, 0755, &err), 0);
    assert_int_equal(machines_save(&m, &err), 0);
    assert_int_equal(machines_load(home, "a.b", &back, &err), 0);
    assert_int_equal(back.nodes.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(back.nodes.items[i].name, m.nodes.items[i].name);
        assert_string_equal(back.nodes.items[i].ip, m.nodes.items[i].ip);
    }
    assert_true(back.installed);
    assert_string_equal(back.tree, "/cache/tree");
    assert_string_equal(back.volumes.items[0].spec, "/a:/b:ro");
    assert_int_equal(back.volumes.items[0].roles, 5);
    assert_int_equal(back.ports.items[0].host, 8443);
    machines_done(&back);
    char **found;
    assert_int_equal(machines_ids(home, &found), 1);
    assert_string_equal(found[0], "a.b");
    free(found[0]);
    free(found);
    _cleanup_free_ char *path = machines_path(&m, "machines.json");
    static const char *const broken[] = {"", "{}", "[1]", "{\"format\":1,\"master\":101}",
        "{\"format\":1,\"network\":-1}", "{\"format\":2}", "{\"format\":1"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        assert_int_equal(file_write_atomic(path, broken[i], strlen(broken[i]), 0644, &err), 0);
        if (machines_load(home, "a.b", &back, &err) >= 0)
            fail_msg("taken: %s", broken[i]);
    }
    machines_done(&m);
    assert_int_equal(remove_tree(home, &err), 0);
}

static void config(void **state)
{
    (void)state;
    char home[] = "/tmp/dcos-unit-XXXXXX";
    assert_non_null(mkdtemp(home));
    struct machines m;
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *extra = path_join(home, "extra.yaml");
    static const char MORE[] = "cluster_name: other\nmaster_dns_bindall: false\nx: {y: [1, 2]}\n";
    make(&m, home);
    assert_int_equal(file_write_atomic(extra, MORE, strlen(MORE), 0644, &err), 0);
    assert_int_equal(install_config(&m, extra, &text, &err), 0);
    static const char *const lines[] = {"master_list: [\"172.30.5.11\"]\n",
        "agent_list: [\"172.30.5.12\",\"172.30.5.13\"]\n", "public_agent_list: [\"172.30.5.14\"]\n",
        "cluster_name: \"other\"\n", "master_dns_bindall: \"false\"\n",
        "x: {\"y\":[\"1\",\"2\"]}\n", "superuser_password_hash: \"$6$", "ssh_user: \"root\"\n"};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        if (!strstr(buf_cstr(&text), lines[i]))
            fail_msg("no %s in:\n%s", lines[i], buf_cstr(&text));
    }
    static const char LIST[] = "- a\n";
    assert_int_equal(file_write_atomic(extra, LIST, strlen(LIST), 0644, &err), 0);
    assert_int_equal(install_config(&m, extra, &text, &err), -EINVAL);
    machines_done(&m);
    assert_int_equal(remove_tree(home, &err), 0);
}

static void programs(void **state)
{
    (void)state;
    struct child list[3] = {{.argv = (const char *const[]){"sh", "-c", "echo one; exit 3", NULL}},
        {.argv = (const char *const[]){"/nonexistent/program", NULL}},
        {.argv = (const char *const[]){"sh", "-c", "exec cat /dev/zero >/dev/null", NULL}}};
    children_run(list, 3, 300);
    assert_int_equal(list[0].status, 3);
    assert_string_equal(buf_cstr(&list[0].output), "one\n");
    assert_int_equal(list[1].status, 127);
    assert_non_null(strstr(buf_cstr(&list[1].output), "cannot start"));
    assert_int_equal(list[2].status, -ETIMEDOUT);
    children_done(list, 3);
    struct error err = ERROR_INIT;
    assert_int_equal(
        child_must((const char *const[]){"sh", "-c", "echo a; echo b; exit 1", NULL}, &err), -EIO);
    assert_non_null(strstr(err.msg, "a; b"));
}

static void texts(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT, quoted = BUF_INIT;
    last_lines(STR("1\n2\r\n\n3\n"), 3, &out);
    assert_string_equal(buf_cstr(&out), "2; 3");
    buf_clear(&out);
    last_lines(STR("\n \n"), 3, &out);
    assert_string_equal(buf_cstr(&out), "");
    shell_quote(&quoted, "it's $x");
    assert_string_equal(buf_cstr(&quoted), "'it'\\''s $x'");
}

static void words(void **state)
{
    (void)state;
    static const char PATH[] = "/a b/c:d,e\\f\"g/100%";
    static const struct {
        void (*put)(struct buf *, const char *);
        const char *expected;
    } cases[] = {{overlay_word, "/a b/c\\:d\\,e\\\\f\"g/100%"},
        {bind_word, "/a b/c\\:d,e\\\\f\"g/100%"},
        {ssh_config_word, "\"/a b/c:d,e\\\\f\\\"g/100%%\""}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        cases[i].put(&out, PATH);
        assert_string_equal(buf_cstr(&out), cases[i].expected);
    }
    struct error err = ERROR_INIT;
    assert_int_equal(check_folder(PATH, &err), 0);
    assert_int_equal(check_folder("/a\nb", &err), -EINVAL);
    assert_int_equal(check_folder("/a/${HOME}", &err), -EINVAL);
}

static void volumes(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *source, *target;
        bool read_only;
    } good[] = {{"/a:/b", "/a", "/b", false}, {"/a:/b:ro", "/a", "/b", true},
        {"/a:/b:rw", "/a", "/b", false}, {"/a\\:b c:/d\\\\e:ro", "/a:b c", "/d\\e", true}};
    static const char *const bad[] = {
        "", "/a", "/a:", "/a:b", "a:/b", "/a:/b:x", "/a:/b:ro:rw", "/a\\:/b", "/a:/b\\"};
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct volume v = {0};
        assert_int_equal(volume_parse(good[i].spec, &v, &err), 0);
        assert_string_equal(v.source, good[i].source);
        assert_string_equal(v.target, good[i].target);
        assert_int_equal(v.read_only, good[i].read_only);
        free(v.source);
        free(v.target);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct volume v = {0};
        if (volume_parse(bad[i], &v, &err) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids), cmocka_unit_test(networks),
        cmocka_unit_test(references), cmocka_unit_test(storing), cmocka_unit_test(config),
        cmocka_unit_test(programs), cmocka_unit_test(texts), cmocka_unit_test(words),
        cmocka_unit_test(volumes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
