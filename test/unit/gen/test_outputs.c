#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/gen-internal.h"
#include "gen/render.h"
#include "world.h"

#define THREE WORLD_BASE "master_list: [10.0.0.9, 10.0.0.10, 10.0.0.8]\n"

static const char *content(const json_t *files, const char *path)
{
    json_t *file;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)files, i, file)
    {
        if (streq(json_str_at(file, "path", ""), path))
            return json_str_at(file, "content", NULL);
    }
    return NULL;
}

static void test_one_master(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE);
    world_must_be_ok(g, "one master");
    assert_string_equal(content(g->config_files, "/etc_master/mesos-master"),
        "MESOS_CLUSTER=demo\nMESOS_WORK_DIR=/var/lib/dcos/mesos/"
        "master\nMESOS_MAX_COMPLETED_FRAMEWORKS=10\n"
        "MESOS_MAX_COMPLETED_TASKS_PER_FRAMEWORK=100\nMESOS_FILTER_GPU_RESOURCES=true\n"
        "MESOS_FAIR_SHARING_EXCLUDED_RESOURCE_NAMES=gpus\n");
    assert_string_equal(content(g->config_files, "/etc_master/bouncer.env"),
        "DCOS_IAM_AUTH_COOKIE_SECURE_FLAG=false\n");
    assert_null(content(g->config_files, "/etc_master/exhibitor"));
    assert_null(content(g->config_files, "/etc/proxy.env"));
    assert_null(content(g->config_files, "/bin/detect_fault_domain"));
    assert_string_equal(gen_value(g, "wanted_package_ids"), "[\"mesos--1\"]");
    assert_string_equal(gen_value(g, "mesos_masters"), "192.0.2.11:5050");
    assert_int_equal(json_array_size(g->list), 3);
    assert_int_equal(json_array_size(g->late_files), 0);
}

static void test_three_masters(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(THREE);
    world_must_be_ok(g, "three masters");
    assert_string_equal(
        gen_value(g, "mesos_masters"), "zk://10.0.0.9:2181,10.0.0.10:2181,10.0.0.8:2181/mesos");
    assert_string_equal(gen_value(g, "master_quorum"), "2");
    assert_string_equal(content(g->config_files, "/etc_master/exhibitor"),
        "EXHIBITOR_BACKEND=STATIC\nEXHIBITOR_STATICENSEMBLE=1:10.0.0.10,2:10.0.0.8,3:10.0.0.9\n"
        "ZOOKEEPER_CLIENT_PORT=2181\n");
    assert_non_null(strstr(content(g->config_files, "/etc_master/marathon"),
        "MARATHON_ZK=zk://10.0.0.9:2181,10.0.0.10:2181,10.0.0.8:2181/marathon\n"));
    assert_non_null(
        strstr(content(g->config_files, "/etc_master/mesos-master"), "MESOS_QUORUM=2\n"));
    assert_non_null(strstr(content(g->config_files, "/etc_master/bouncer.env"),
        "DCOS_IAM_STORE=zk://10.0.0.9:2181,10.0.0.10:2181,10.0.0.8:2181/dcos/iam\n"));
    assert_string_equal(
        gen_value(g, "wanted_package_ids"), "[\"mesos--1\", \"java--2\", \"zookeeper--3\"]");
}

#define BEHIND_LB                                                                                  \
    "bootstrap_url: http://x\ncluster_name: demo\nmaster_discovery: master_http_loadbalancer\n"    \
    "exhibitor_address: lb.example\nnum_masters: 3\n"

static void test_load_balancer(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(
        BEHIND_LB "exhibitor_storage_backend: shared_filesystem\nexhibitor_fs_config_dir: /x\n");
    size_t n;
    world_must_be_ok(g, "load balancer");
    assert_string_equal(
        gen_value(g, "mesos_masters"), "zk://zk-1.zk:2181,zk-2.zk:2181,zk-3.zk:2181/mesos");
    assert_string_equal(content(g->config_files, "/etc/master_list"), "[]");
    assert_string_equal(content(g->config_files, "/etc/exhibitor-client"),
        "EXHIBITOR_FOLLOW=http://lb.example:8181\n");
    assert_non_null(strstr(content(g->config_files, "/pkginfo.json"),
        "\"DCOS_ZOOKEEPER_SERVERS\":\"/run/dcos/zookeeper/servers\"}}"));
    gen_warnings(g, &n);
    assert_int_equal(n, 0);
    gen_free(g);
    /* The installer's list of masters is not the nodes'. */
    g = world_gen(BEHIND_LB "exhibitor_storage_backend: shared_filesystem\n"
                            "exhibitor_fs_config_dir: /x\nmaster_list: [1.1.1.1]\n");
    world_must_be_ok(g, "load balancer and a list");
    assert_string_equal(content(g->config_files, "/etc/master_list"), "[]");
    assert_string_equal(gen_value(g, "follows_zookeeper"), "true");
    gen_free(g);
    g = world_gen(
        "bootstrap_url: http://x\ncluster_name: demo\nmaster_discovery: master_http_loadbalancer\n"
        "exhibitor_address: lb.example\nnum_masters: 1\nexhibitor_storage_backend: "
        "shared_filesystem\nexhibitor_fs_config_dir: /x\n");
    world_must_be_ok(g, "one master");
    assert_string_equal(gen_value(g, "mesos_masters"), "lb.example:5050");
    assert_null(content(g->config_files, "/etc_master/exhibitor"));
    assert_null(content(g->config_files, "/etc/exhibitor-client"));
}

static void test_backends(void **state)
{
    static const struct {
        const char *config, *settings, *credentials;
    } rows[] = {
        {"exhibitor_storage_backend: shared_filesystem\nexhibitor_fs_config_dir: /x y\n",
            "EXHIBITOR_BACKEND=SHARED_FS\nEXHIBITOR_FSCONFIGDIR='/x y'\n", NULL},
        {"exhibitor_storage_backend: zookeeper\nexhibitor_zk_hosts: a:1,b:2\nexhibitor_zk_path: "
         "/z\n",
            "EXHIBITOR_BACKEND=ZK\nEXHIBITOR_ZK_CONNECT=a:1,b:2\nEXHIBITOR_ZK_PATH=/z\n", NULL},
        {"exhibitor_storage_backend: aws_s3\naws_region: r\ns3_bucket: b\ns3_prefix: p/q\n"
         "exhibitor_explicit_keys: true\naws_access_key_id: AK\naws_secret_access_key: SK\n",
            "EXHIBITOR_BACKEND=AWS_S3\nEXHIBITOR_AWS_REGION=r\nEXHIBITOR_S3_BUCKET=b\n"
            "EXHIBITOR_S3_PREFIX=p/q\n",
            "AWS_ACCESS_KEY_ID=AK\nAWS_SECRET_ACCESS_KEY=SK\n"},
        {"exhibitor_storage_backend: aws_s3\naws_region: r\ns3_bucket: b\ns3_prefix: p\n"
         "exhibitor_explicit_keys: false\n",
            "EXHIBITOR_BACKEND=AWS_S3\nEXHIBITOR_AWS_REGION=r\nEXHIBITOR_S3_BUCKET=b\n"
            "EXHIBITOR_S3_PREFIX=p\n",
            NULL},
        {"exhibitor_storage_backend: azure\nexhibitor_azure_account_name: a\n"
         "exhibitor_azure_account_key: SK==\nexhibitor_azure_prefix: p\n",
            "EXHIBITOR_BACKEND=AZURE\nEXHIBITOR_AZURE_ACCOUNT_NAME=a\nEXHIBITOR_AZURE_PREFIX=p\n",
            "EXHIBITOR_AZURE_ACCOUNT_KEY=SK==\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_free_ char *config = xasprintf("%s%s", BEHIND_LB, rows[i].config);
        _cleanup_free_ char *wanted = xasprintf(
            "%sEXHIBITOR_MASTERS=3\nZOOKEEPER_CLIENT_PORT=2181\n", rows[i].settings);
        _cleanup_(gen_freep)
        struct gen *g = world_gen(config);
        world_must_be_ok(g, rows[i].config);
        assert_string_equal(content(g->config_files, "/etc_master/exhibitor"), wanted);
        const char *credentials = content(g->config_files, "/etc_master/exhibitor-credentials");
        if (rows[i].credentials)
            assert_string_equal(credentials, rows[i].credentials);
        else
            assert_null(credentials);
    }
}

static void test_optional_files(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(
        WORLD_ONE "use_proxy: true\nhttp_proxy: http://p:1\nhttps_proxy: http://p:2\n"
                  "no_proxy: [a.example]\nweights: \"a=1,b=2\"\nsuperuser_username: o'hara\n"
                  "superuser_password_hash: $6$s$h\nip6_detect_filename: genconf/public\n"
                  "fault_domain_detect_filename: genconf/public\ndns_search: a b\n"
                  "gpus_are_scarce: false\nmarathon_new_group_enforce_role: ''\n"
                  "dns_forward_zones: {z.example: [1.1.1.1]}\nadminrouter_tls_1_1_enabled: true\n"
                  "cluster_name: two words\n");
    /* The name is there twice; the first counts and the second is told. */
    assert_string_equal(
        world_error(g, "cluster_name")->message, "Is set twice; the first time on line 2.");
    gen_free(g);
    g = world_gen("cluster_name: two words\nbootstrap_url: http://x\nexhibitor_storage_backend: "
                  "static\nmaster_discovery: static\n"
                  "master_list: [192.0.2.11]\nuse_proxy: true\nhttp_proxy: "
                  "http://p:1\nhttps_proxy: http://p:2\n"
                  "no_proxy: [a.example]\nweights: \"a=1,b=2\"\nsuperuser_username: o'hara\n"
                  "superuser_password_hash: $6$s$h\nip6_detect_filename: genconf/public\n"
                  "fault_domain_detect_filename: genconf/public\ndns_search: a b\n"
                  "gpus_are_scarce: false\nmarathon_new_group_enforce_role: ''\n"
                  "dns_forward_zones: {z.example: [1.1.1.1]}\nadminrouter_tls_1_1_enabled: true\n");
    world_must_be_ok(g, "options");
    assert_string_equal(content(g->config_files, "/etc/proxy.env"),
        "http_proxy=http://p:1\nhttps_proxy=http://p:2\n"
        "no_proxy=.mesos,.thisdcos.directory,.dcos.directory,.zk,127.0.0.1,localhost,a.example\n"
        "HTTP_PROXY=http://p:1\nHTTPS_PROXY=http://p:2\n"
        "NO_PROXY=.mesos,.thisdcos.directory,.dcos.directory,.zk,127.0.0.1,localhost,a.example\n");
    assert_string_equal(content(g->config_files, "/etc_master/mesos-master"),
        "MESOS_CLUSTER='two "
        "words'\nMESOS_WORK_DIR=/var/lib/dcos/mesos/master\nMESOS_MAX_COMPLETED_FRAMEWORKS=10\n"
        "MESOS_MAX_COMPLETED_TASKS_PER_FRAMEWORK=100\nMESOS_WEIGHTS=a=1,b=2\nMESOS_FILTER_GPU_"
        "RESOURCES=false\n");
    assert_string_equal(content(g->config_files, "/etc_master/bouncer.env"),
        "DCOS_IAM_AUTH_COOKIE_SECURE_FLAG=false\nDCOS_IAM_SUPERUSER_USERNAME=\"o'hara\"\n");
    assert_string_equal(content(g->config_files, "/etc_master/superuser_password_hash"), "$6$s$h");
    assert_string_equal(
        content(g->config_files, "/etc_master/marathon"), "MARATHON_MASTER=192.0.2.11:5050\n");
    assert_non_null(content(g->config_files, "/bin/detect_ip6"));
    assert_non_null(content(g->config_files, "/bin/detect_fault_domain"));
    assert_string_equal(content(g->config_files, "/etc/dns_search_config"), "SEARCH='a b'\n");
    assert_non_null(strstr(content(g->config_files, "/etc/dcos-net.env"),
        "DCOS_NET_FORWARD_ZONES='{\"z.example\": [\"1.1.1.1\"]}'\n"));
    assert_non_null(strstr(content(g->config_files, "/etc/adminrouter.env"),
        "ADMINROUTER_TLS_PROTOCOLS='TLSv1.1 TLSv1.2 TLSv1.3'\n"));
}

/* Secrets are where only root may read, and nowhere else. */
static void test_secrets(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(
        WORLD_ONE "exhibitor_admin_password: hunter2\nsuperuser_password_hash: $6$hunter2$h\n"
                  "cluster_docker_credentials: {auths: {a: {auth: hunter2}}}\n");
    json_t *file;
    size_t i, seen = 0;
    world_must_be_ok(g, "secrets");
    json_array_foreach(g->config_files, i, file)
    {
        if (!strstr(json_str_at(file, "content", ""), "hunter2"))
            continue;
        seen++;
        assert_string_equal(json_str_at(file, "permissions", ""), "0600");
    }
    assert_int_equal(seen, 3);
    assert_non_null(strstr(content(g->config_files, "/etc/user.config.yaml"),
        "\"exhibitor_admin_password\": \"**HIDDEN**\"\n"));
    char *public = json_dumps(gen_arguments(g), 0);
    assert_null(strstr(public, "hunter2"));
    free(public);
    assert_true(gen_is_secret(g, "exhibitor_admin_password"));
    assert_false(gen_is_secret(g, "cluster_name"));
}

/* Arguments about all others, for templates; those with secrets are secret. */
static void test_built_ins(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE "exhibitor_admin_password: hunter2\n");
    world_must_be_ok(g, "built-ins");
    assert_string_equal(
        gen_value(g, "config_package_names"), "[\"dcos-config\", \"dcos-metadata\"]");
    assert_string_equal(gen_value(g, "template_filenames"),
        "[\"cloud-config.yaml\", \"dcos-config.yaml\", \"dcos-metadata.yaml\", "
        "\"dcos-services.yaml\"]");
    assert_string_equal(
        gen_value(g, "config_yaml"), content(g->config_files, "/etc/user.config.yaml"));
    assert_string_equal(
        gen_value(g, "expanded_config"), content(g->config_files, "/etc/expanded.config.json"));
    assert_non_null(strstr(gen_value(g, "user_arguments"), "\"cluster_name\": \"demo\""));
    assert_non_null(strstr(gen_value(g, "user_arguments"), "**HIDDEN**"));
    static const char *const names[] = {"config_yaml", "expanded_config", "user_arguments"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *full = xasprintf("%s_full", names[i]);
        assert_null(strstr(gen_value(g, names[i]), "hunter2"));
        assert_non_null(strstr(gen_value(g, full), "hunter2"));
        assert_true(gen_is_secret(g, full));
        assert_null(json_at(gen_arguments(g), full));
        assert_non_null(json_at(gen_arguments(g), names[i]));
    }
}

static char *id_of(const char *config, const struct gen_setting *more)
{
    struct gen_setting settings[] = {world_settings[0], world_settings[1], *more};
    struct gen *g = NULL;
    assert_int_equal(gen_new(&(struct gen_input){.config = config,
                                 .config_n = strlen(config),
                                 .settings = settings,
                                 .n_settings = ARRAY_SIZE(settings),
                                 .files = &world_disk},
                         &g, NULL),
        0);
    world_must_be_ok(g, config);
    char *id = xstrdup(gen_value(g, "config_id"));
    gen_free(g);
    return id;
}

static void test_ids(void **state)
{
    static const struct gen_setting none = {"platform", "onprem"},
                                    commit = {"dcos_image_commit", "abc", .fixed = true};
    _cleanup_free_ char *a = id_of(WORLD_ONE, &none), *same = id_of(WORLD_ONE, &none),
                        *other = id_of(WORLD_ONE "gc_delay: 3days\n", &none),
                        *script = id_of(WORLD_ONE "ip_detect_contents: x\n", &none),
                        *without_effect = id_of(WORLD_ONE "telemetry_enabled: false\n", &none),
                        *built = id_of(WORLD_ONE, &commit);
    assert_string_equal(a, same);
    assert_string_not_equal(a, other);
    assert_string_not_equal(a, script);
    assert_string_not_equal(a, without_effect);
    assert_string_not_equal(a, built);
}

static void test_cloud_config(void **state)
{
    _cleanup_(gen_freep)
    struct gen *g = world_gen(WORLD_ONE);
    const json_t *files = json_at(gen_cloud_config(g), "write_files"),
                 *units = json_at(gen_cloud_config(g), "units");
    assert_string_equal(
        content(files, "/etc/mesosphere/setup-flags/repository-url"), "http://192.0.2.1:8080\n");
    _cleanup_free_ char *list = xasprintf("%s\n", gen_value(g, "cluster_package_list_id"));
    assert_string_equal(content(files, "/etc/mesosphere/setup-flags/cluster-package-list"), list);
    assert_int_equal(json_array_size(units), 3);
    assert_non_null(strstr(json_str_at(json_array_get(units, 1), "content", ""),
        " -o /tmp/dcos-bootstrap/bootstrap.tar.xz "
        "http://192.0.2.1:8080/bootstrap/0123.bootstrap.tar.xz\n"));
    /* A unit's percent sign is doubled; blanks are refused. */
    gen_free(g);
    g = world_gen("bootstrap_url: http://x/a%20b\nmaster_list: [1.1.1.1]\ncluster_name: "
                  "x\nexhibitor_storage_backend: static\n"
                  "master_discovery: static\n");
    world_must_be_ok(g, "percent");
    units = json_at(gen_cloud_config(g), "units");
    assert_non_null(strstr(
        json_str_at(json_array_get(units, 1), "content", ""), " http://x/a%%20b/bootstrap/"));
    gen_free(g);
    g = world_gen("bootstrap_url: http://x/a b\nmaster_list: [1.1.1.1]\ncluster_name: "
                  "x\nexhibitor_storage_backend: static\n"
                  "master_discovery: static\n");
    assert_false(gen_ok(g));
    assert_null(gen_cloud_config(g));
    assert_int_equal(gen_generate(g, "/nonexistent", NULL), -EINVAL);
}

static void test_late(void **state)
{
    static const struct gen_setting settings[] = {{"bootstrap_id", "0123", .fixed = true},
        {"provider", "aws", .fixed = true},
        {"cluster_name", "{ \"Ref\" : \"AWS::StackName\" }", .late = true}};
    static const char config[] =
        "bootstrap_url: http://x\nmaster_list: [1.1.1.1]\nexhibitor_storage_backend: static\n"
        "master_discovery: static\n";
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    assert_int_equal(gen_new(&(struct gen_input){.config = config,
                                 .config_n = strlen(config),
                                 .settings = settings,
                                 .n_settings = ARRAY_SIZE(settings),
                                 .files = &world_disk},
                         &g, NULL),
        0);
    world_must_be_ok(g, "late");
    assert_null(content(g->config_files, "/etc_master/mesos-master"));
    assert_non_null(strstr(content(g->late_files, "/etc_master/mesos-master"),
        "MESOS_CLUSTER='LATE_BIND_PLACEHOLDER_START_cluster_name_LATE_BIND_PLACEHOLDER_END'\n"));
    assert_string_equal(content(g->late_files, "/pkginfo.json"), "{}");
    _cleanup_free_ char *late = xasprintf(
        "late_bound_package_id: dcos-provider-%s-aws--setup\n"
        "bound_values: {\"cluster_name\": \"{ \\\"Ref\\\" : \\\"AWS::StackName\\\" }\"}\n",
        gen_value(g, "config_id"));
    assert_string_equal(content(json_at(gen_cloud_config(g), "write_files"),
                            "/etc/mesosphere/setup-flags/late-config.yaml"),
        late);
    assert_string_equal(gen_value(g, "resolvers"), "[\"169.254.169.253\"]");
}

static void test_files(void **state)
{
    static const struct {
        const char *files, *why;
    } table[] = {
        {"{}", "must be a list of files"},
        {"[{\"path\": \"/a\"}]", "file 1 lacks its path or content"},
        {"[{\"path\": \"/a\", \"content\": \"\", \"owner\": \"x\"}]", "/a: unknown member 'owner'"},
        {"[{\"path\": \"/../a\", \"content\": \"\"}]", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_json_ json_t *files = json_loads(table[i].files, 0, NULL), *list = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(render_files(files, &list, &err), -EINVAL);
        if (table[i].why)
            assert_string_equal(err.msg, table[i].why);
    }
    _cleanup_json_ json_t *files = json_loads(
                              "[{\"path\": \"a//b\", \"content\": \"x\"}]", 0, NULL),
                          *list = NULL;
    assert_int_equal(render_files(files, &list, NULL), 0);
    assert_string_equal(json_str_at(json_array_get(list, 0), "path", ""), "/a/b");
    assert_string_equal(json_str_at(json_array_get(list, 0), "permissions", ""), "0644");
}

static void test_merge(void **state)
{
    _cleanup_json_ json_t *a = json_loads("{\"l\": [1], \"m\": {\"x\": 1}}", 0, NULL),
                          *b = json_loads("{\"l\": [2], \"m\": {\"y\": 2}, \"n\": 3}", 0, NULL),
                          *clash = json_loads("{\"m\": {\"x\": 2}}", 0, NULL);
    struct error err = ERROR_INIT;
    assert_int_equal(render_merge(a, b, &err), 0);
    char *text = json_dumps(a, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text, "{\"l\":[1,2],\"m\":{\"x\":1,\"y\":2},\"n\":3}");
    free(text);
    assert_int_equal(render_merge(a, clash, &err), -EINVAL);
    assert_string_equal(err.msg, "'x' is in two templates and cannot be merged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_master),
        cmocka_unit_test(test_three_masters),
        cmocka_unit_test(test_load_balancer),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_optional_files),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_built_ins),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_cloud_config),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
