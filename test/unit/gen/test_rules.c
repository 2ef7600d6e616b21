#include "gen/rules.h"
#include "world.h"

/* Documents with a shape of their own: overlays and checks. */

static void expect(
    const struct gen_type *type, const char *name, const char *value, const char *why)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    struct graph_call call = {
        .name = name, .in = &value, .arena = &arena, .parameter = type->parameter};
    int r = type->check(&call, &err);
    if (r == 0 && why)
        fail_msg("%s: is taken", value);
    if (r < 0 && !why)
        fail_msg("%s: %s", value, err.msg);
    if (why && !streq(err.msg, why))
        fail_msg("%s\n  got      %s\n  expected %s", value, err.msg, why);
}

#define OVERLAY(x)                                                                                 \
    "{\"vtep_subnet\":\"44.128.0.0/20\",\"vtep_subnet6\":\"fd01:a::/"                              \
    "64\",\"vtep_mac_oui\":\"70:B3:D5:00:00:00\"" x "}"

static void test_overlay(void **state)
{
    static const struct {
        const char *value, *why;
    } table[] = {
        {OVERLAY(",\"overlays\":[{\"name\":\"dcos\",\"subnet\":\"9.0.0.0/8\",\"prefix\":24}]"),
            NULL},
        {OVERLAY(",\"vtep_mtu\":552,\"overlays\":[{\"name\":\"a\",\"subnet6\":\"fd::/"
                 "8\",\"enabled\":false}]"),
            NULL},
        {OVERLAY(""), "Missing `overlays` in the overlay configuration"},
        {"{\"overlays\":[1]}", "Missing `vtep_mac_oui` in the overlay configuration"},
        {"{\"overlays\":[1],\"vtep_mac_oui\":\"x\"}",
            "Missing `vtep_subnet` in the overlay configuration"},
        {"{\"overlays\":[1],\"vtep_mac_oui\":\"x\",\"vtep_subnet\":\"x\"}",
            "Missing `vtep_subnet6` in the overlay configuration"},
        {OVERLAY(",\"overlays\":[]"),
            "`overlays` must be a list with at least one overlay network"},
        {OVERLAY(",\"overlays\":{}"),
            "`overlays` must be a list with at least one overlay network"},
        {OVERLAY(",\"overlays\":[1]"), "Each overlay must be a dictionary"},
        {OVERLAY(",\"vtep_mtu\":551,\"overlays\":[1]"),
            "Incorrect value for `vtep_mtu`: must be above or equal to 552"},
        {OVERLAY(",\"overlays\":[{\"name\":\"fourteen_chars\",\"subnet\":\"9.0.0.0/8\"}]"),
            "Overlay network name cannot exceed 13 characters: 'fourteen_chars'"},
        {OVERLAY(",\"overlays\":[{\"name\":\"a\"}]"),
            "Missing `subnet` or `subnet6` in overlay network 'a'"},
        {OVERLAY(",\"overlays\":[{\"name\":\"a\",\"subnet\":\"fd::/8\"}]"),
            "Overlay network 'a': Incorrect value for `subnet`: `fd::/8`. Only IPv4 subnets are "
            "allowed"},
        {OVERLAY(",\"overlays\":[{\"name\":\"a\",\"subnet6\":\"9.0.0.0/8\"}]"),
            "Overlay network 'a': Incorrect value for `subnet6`: `9.0.0.0/8`. Only IPv6 subnets "
            "are allowed"},
        {OVERLAY(",\"overlays\":[{\"name\":\"a\",\"subnet\":\"9.0.0.0/8\",\"enabled\":\"yes\"}]"),
            "Invalid value of `enabled` in overlay network 'a': must be true or false"},
        {"[]", "Must be a JSON dictionary, got list"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        expect(&type_overlay, "dcos_overlay_network", table[i].value, table[i].why);
}

#define CHECK "{\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1s\"}"
#define NODE(checks, rest) "{\"node_checks\":{\"checks\":{" checks "}" rest "}}"
#define WITH(fields) NODE("\"a\":{" fields "}", ",\"poststart\":[\"a\"]")

static void test_checks(void **state)
{
    static const struct {
        const char *value, *why;
    } table[] = {
        {"{}", NULL},
        {"{\"cluster_checks\":{\"a\":" CHECK "}}", NULL},
        {"{\"cluster_checks\":{}}", NULL},
        {NODE("\"a\":" CHECK, ",\"prestart\":[\"a\"]"), NULL},
        {NODE("\"a\":" CHECK ",\"b\":" CHECK, ",\"prestart\":[\"a\"],\"poststart\":[\"a\",\"b\"]"),
            NULL},
        {"{\"check_env\":{\"PATH\":\"/x\"}}", NULL},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1.5m\",\"roles\":[\"master\","
              "\"agent\"]"),
            NULL},
        {"[]", "Must be a JSON dictionary, got list"},
        {"{\"x\":1}", "custom_checks: unknown key 'x'"},
        {"{\"cluster_checks\":[]}", "`cluster_checks` must be a dictionary"},
        {"{\"cluster_checks\":{\"a\":1}}", "Check 'a' must be a dictionary"},
        {"{\"cluster_checks\":{\"\":" CHECK "}}",
            "Check names must be a non-empty string with no white space: ''"},
        {"{\"cluster_checks\":{\"a b\":" CHECK "}}",
            "Check names must be a non-empty string with no white space: 'a b'"},
        {"{\"cluster_checks\":{\"a\":{\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1s\","
         "\"roles\":[]}}}",
            "Check 'a': unknown key 'roles'"},
        {"{\"node_checks\":1}", "`node_checks` must be a dictionary"},
        {"{\"node_checks\":{\"prestart\":[]}}", "`node_checks` must have `checks`"},
        {NODE("\"a\":" CHECK, ""),
            "`node_checks` must have at least one of `prestart` and `poststart`"},
        {NODE("\"a\":" CHECK, ",\"x\":1"), "node_checks: unknown key 'x'"},
        {NODE("\"a\":" CHECK, ",\"prestart\":1"), "`prestart` must be a list"},
        {NODE("\"a\":" CHECK, ",\"prestart\":[1]"), "`prestart` must be a list of names"},
        {NODE("\"a\":" CHECK, ",\"prestart\":[\"a\",\"b\"]"),
            "`prestart` names the check 'b', which is not defined"},
        {NODE("\"a\":" CHECK ",\"b\":" CHECK, ",\"prestart\":[\"a\"]"),
            "Check 'b' is in neither `prestart` nor `poststart`"},
        {WITH("\"cmd\":[\"c\"],\"timeout\":\"1s\""), "Check 'a': `description` must be text"},
        {WITH("\"description\":1,\"cmd\":[\"c\"],\"timeout\":\"1s\""),
            "Check 'a': `description` must be text"},
        {WITH("\"description\":\"d\",\"timeout\":\"1s\""),
            "Check 'a': `cmd` must be a list of texts that is not empty"},
        {WITH("\"description\":\"d\",\"cmd\":[],\"timeout\":\"1s\""),
            "Check 'a': `cmd` must be a list of texts that is not empty"},
        {WITH("\"description\":\"d\",\"cmd\":[1],\"timeout\":\"1s\""),
            "Check 'a': `cmd` must be a list of texts that is not empty"},
        {WITH("\"description\":\"d\",\"cmd\":\"c\",\"timeout\":\"1s\""),
            "Check 'a': `cmd` must be a list of texts that is not empty"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"]"),
            "Check 'a': `timeout` must be a number with ns, us, ms, s, m or h"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1\""),
            "Check 'a': `timeout` must be a number with ns, us, ms, s, m or h"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"s\""),
            "Check 'a': `timeout` must be a number with ns, us, ms, s, m or h"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":1"),
            "Check 'a': `timeout` must be a number with ns, us, ms, s, m or h"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1s\",\"x\":1"),
            "Check 'a': unknown key 'x'"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1s\",\"roles\":1"),
            "Check 'a': `roles` must be a list"},
        {WITH("\"description\":\"d\",\"cmd\":[\"c\"],\"timeout\":\"1s\",\"roles\":[\"slave\"]"),
            "Check 'a': roles are 'master' and 'agent', not 'slave'"},
        {"{\"check_env\":{\"PATH\":1}}", "`check_env`: 'PATH' must be text"},
        {"{\"check_env\":[]}", "`check_env` must be a dictionary"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        expect(&type_custom_checks, "custom_checks", table[i].value, table[i].why);
    expect(&type_custom_checks, "custom_checks", "{\"cluster_checks\":{\"xz\":" CHECK "}}",
        "Custom check names conflict with builtin checks. Reserved check names: components_master, "
        "components_agent, xz, "
        "tar, curl, ip_detect_script, mesos_master_replog_synchronized, "
        "mesos_agent_registered_with_masters, "
        "journald_dir_permissions, zookeeper_serving, clock_sync");
}

/* Custom checks stand before the built-in ones; what is made passes its own rule. */
static void test_check_config(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE
        "check_time: false\ncustom_checks: {cluster_checks: {c: {description: d, cmd: [x], "
        "timeout: 1s}}, node_checks: {checks: "
        "{mine: {description: d, cmd: [x], timeout: 1s}}, prestart: [mine], poststart: [mine]}}\n");
    world_must_be_ok(g, "checks");
    _cleanup_json_ json_t *json = json_loads(gen_value(g, "check_config"), 0, NULL);
    const json_t *node = json_at(json, "node_checks"), *post = json_at(node, "poststart");
    assert_string_equal(json_string_value(json_array_get(post, 0)), "mine");
    assert_non_null(json_at(json_at(node, "checks"), "components_master"));
    assert_null(json_at(json_at(node, "checks"), "clock_sync"));
    assert_null(json_at(json_at(node, "checks"), "zookeeper_serving"));
    assert_string_equal(json_str_at(json_at(json, "check_env"), "PATH", ""),
        "/opt/mesosphere/bin:/usr/bin:/bin:/sbin");
    assert_int_equal(json_array_size(json_at(node, "prestart")), 1);
    gen_free(g);
    g = world_gen(WORLD_BASE "master_list: [1.1.1.1, 1.1.1.2, 1.1.1.3]\n");
    assert_non_null(strstr(gen_value(g, "check_config"), "\"zookeeper_serving\""));
    assert_non_null(strstr(gen_value(g, "check_config"), "\"clock_sync\""));
}

static void test_fault_domain_needs_a_script(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE "fault_domain_enabled: true\n");
    const struct gen_problem *p = world_error(g, "fault_domain_enabled");
    assert_non_null(p);
    assert_string_equal(p->message, "fault_domain_enabled needs a script: "
                                    "fault_domain_detect_filename names none that is there");
    gen_free(g);
    g = world_gen(
        WORLD_ONE "fault_domain_enabled: true\nfault_domain_detect_filename: genconf/public\n");
    world_must_be_ok(g, "a script");
}

static void test_calculators(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE
        "enable_ipv6: false\ndcos_l4lb_enable_ipv6: false\ncluster_docker_credentials: {a: "
        "b}\nmesos_log_retention_mb: 1024\n"
        "dns_bind_ip_blacklist: [10.0.0.1]\nenable_gpu_isolation: false\noauth_enabled: false\n");
    world_must_be_ok(g, "calculators");
    assert_string_equal(gen_value(g, "mesos_log_retention_count"), "21");
    assert_string_equal(gen_value(g, "mesos_log_directory_max_files"), "46");
    assert_string_equal(
        gen_value(g, "cluster_docker_credentials_path"), "/opt/mesosphere/etc/docker_credentials");
    assert_string_equal(gen_value(g, "dns_bind_ip_blacklist_text"), "198.51.100.4,10.0.0.1");
    assert_string_equal(gen_value(g, "adminrouter_auth_enabled"), "false");
    assert_null(strstr(gen_value(g, "mesos_isolation"), "gpu/nvidia"));
    assert_non_null(
        strstr(gen_value(g, "dcos_overlay_network_final"), "\"prefix6\": 80, \"enabled\": false}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_check_config),
        cmocka_unit_test(test_fault_domain_needs_a_script),
        cmocka_unit_test(test_calculators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
