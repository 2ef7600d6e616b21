#include "base/map.h"
#include "base/vec.h"
#include "gen/params.h"
#include "gen/render.h"
#include "world.h"

/* The table of the reference (dcos-distribution.md, 2.4), row by row: kind, default, what is taken,
 * what is not and how that is said. */

#define LB                                                                                         \
    "\nmaster_discovery: master_http_loadbalancer\nexhibitor_storage_backend: "                    \
    "zookeeper\nexhibitor_zk_hosts: a:1\nexhibitor_zk_path: /z\n"
#define TF(v) "Must be one of 'true', 'false'. Got '" v "'."

enum kind { R, D, M, O };

struct row {
    const char *name;
    enum kind kind;
    const char *value; /* D, M: in the smallest configuration; NULL: not needed there */
    const char *good;  /* YAML */
    const char *bad;   /* YAML */
    const char *message;
    const char *with; /* further lines that it needs */
};

#define S3_WITH                                                                                    \
    "exhibitor_storage_backend: aws_s3\naws_region: r\ns3_bucket: b\ns3_prefix: p\n"               \
    "exhibitor_explicit_keys: true\naws_access_key_id: i\n"
#define PROXY_WITH "use_proxy: true\nhttp_proxy: h\nhttps_proxy: h\n"
#define BOOL(n, v)                                                                                 \
    {                                                                                              \
        n, D, v, "false", "maybe", TF("maybe")                                                     \
    }
#define BOOL_T(n)                                                                                  \
    {                                                                                              \
        n, D, "true", "true", "maybe", TF("maybe")                                                 \
    }
#define FIXED(n, v)                                                                                \
    {                                                                                              \
        n, M, v, NULL, "x",                                                                        \
            n " must be calculated, but was explicitly set in the configuration. Remove it from "  \
              "the "                                                                               \
              "configuration."                                                                     \
    }
#define FREE(n, v)                                                                                 \
    {                                                                                              \
        n, D, v, "something", "\"a\\nb\"", "Must be one line of text, without control characters"  \
    }
#define FILLED(n, v)                                                                               \
    {                                                                                              \
        n, D, v, "something", "''", "Must be set, but is empty"                                    \
    }
#define PATH(n, v)                                                                                 \
    {                                                                                              \
        n, D, v, "/x", "x/y", "Must be an absolute filesystem path starting with /. Got 'x/y'."    \
    }
#define MTU(n, v)                                                                                  \
    {                                                                                              \
        n, D, v, "552", "551", "Must be above or equal to 552"                                     \
    }
#define INTEGER(n, v)                                                                              \
    {                                                                                              \
        n, D, v, "7", "many", "Must be an integer but got a str: many"                             \
    }
#define NOT_EMPTY_R(n, with)                                                                       \
    {                                                                                              \
        n, R, NULL, "x", "''", "Must be set, but is empty", with                                   \
    }

static const struct row rows[] = {
    /* cluster identity and discovery */
    {"cluster_name", R, NULL, "x", "''", "Must be set, but is empty"},
    {"bootstrap_url", R, NULL, "file:///x", "x",
        "Should be a url (http://example.com/bar or file:///path/to/local/cache)"},
    {"bootstrap_url", R, NULL, "http://x", "http://x/", "Must not end in a '/'"},
    {"master_discovery", R, NULL, "static", "dns",
        "Must be one of 'static', 'master_http_loadbalancer'. Got 'dns'."},
    {"master_list", R, NULL, "[1.2.3.4]", "x",
        "Must be a JSON formatted list, but couldn't be parsed the given value `x` as one because "
        "of: line 1 column 1: invalid token near 'x'"},
    {"master_list", R, NULL, "[1.2.3.4]", "{a: b}", "Must be a JSON list, got dict"},
    {"master_list", R, NULL, "[1.2.3.4]", "[1.2.3.4, 1.2.3.4]",
        "List cannot contain duplicates: 1.2.3.4 appears 2 times"},
    {"master_list", R, NULL, "[1.2.3.4]", "[1.2.3, a, 5]",
        "Invalid IPv4 addresses in list: 1.2.3, a, 5"},
    {"num_masters", M, "1", NULL, "1",
        "num_masters must be calculated, but was explicitly set in the configuration. Remove it "
        "from the configuration."},
    {"num_masters", R, NULL, "5", "2", "Must have 1, 3, 5, 7, or 9 masters. Found 2.",
        LB "exhibitor_address: a\n"},
    {"exhibitor_address", R, NULL, "10.0.0.5", "''", "Must be set, but is empty",
        LB "num_masters: 1\n"},
    FREE("master_external_loadbalancer", ""),
    FIXED("has_master_external_loadbalancer", "false"),
    {"exhibitor_storage_backend", R, NULL, "static", "etcd",
        "Must be one of 'static', 'zookeeper', 'aws_s3', 'azure', 'shared_filesystem', "
        "'agent_only_group_no_exhibitor'. Got 'etcd'."},
    {"exhibitor_zk_hosts", R, NULL, "a:2181", "zk://a:2181",
        "Must be of the form `host:port,host:port', not start with zk://",
        "exhibitor_storage_backend: zookeeper\nexhibitor_zk_path: /x\n"},
    {"exhibitor_zk_path", R, NULL, "/x", "x", "Must be of the form /path/to/znode",
        "exhibitor_storage_backend: zookeeper\nexhibitor_zk_hosts: a\n"},
    NOT_EMPTY_R("exhibitor_fs_config_dir", "exhibitor_storage_backend: shared_filesystem\n"),
    NOT_EMPTY_R("aws_region", S3_WITH),
    NOT_EMPTY_R("s3_bucket", S3_WITH),
    {"s3_prefix", R, NULL, "a/b", "a/", "Must not end in a '/'", S3_WITH},
    {"exhibitor_explicit_keys", R, NULL, "false", "maybe", TF("maybe"), S3_WITH},
    NOT_EMPTY_R("aws_access_key_id", S3_WITH),
    {"aws_secret_access_key", D, "", "x", "\"a\\nb\"",
        "Must be one line of text. The value is secret and not shown.", S3_WITH},
    NOT_EMPTY_R("exhibitor_azure_account_name",
        "exhibitor_storage_backend: azure\nexhibitor_azure_prefix: p\n"),
    NOT_EMPTY_R("exhibitor_azure_prefix",
        "exhibitor_storage_backend: azure\nexhibitor_azure_account_name: p\n"),
    {"exhibitor_azure_account_key", D, "", "x", "\"a\\nb\"",
        "Must be one line of text. The value is secret and not shown.",
        "exhibitor_storage_backend: azure\nexhibitor_azure_account_name: "
        "p\nexhibitor_azure_prefix: p\n"},
    {"exhibitor_admin_password", D, "", "x", "\"a\\nb\"",
        "Must be one line of text. The value is secret and not shown."},
    FIXED("exhibitor_admin_password_enabled", "false"),
    BOOL("exhibitor_tls_enabled", "false"),
    BOOL("exhibitor_tls_required", "false"),
    {"exhibitor_bootstrap_ca_url", D, "", "https://x", "http://x", "Only https:// is allowed"},
    {"exhibitor_bootstrap_ca_url", D, "", "https://x", "x", "failed to determine protocol"},
    {"exhibitor_bootstrap_ca_url", D, "", "https://x", "https://x/", "Must not end in a '/'"},
    {"zk_client_port", D, "2181", "2182", "0", "Must be between 1 and 65535 inclusive"},
    FILLED("platform", "onprem"),
    FIXED("provider", "onprem"),
    {"bootstrap_variant", D, "", "small", "a b", "'a b' is not the name of a variant"},
    {"bootstrap_tmp_dir", D, "tmp", "var/tmp", "/tmp",
        "Must be an absolute path without leading slash"},
    {"bootstrap_tmp_dir", D, "tmp", "var/tmp", "''", "Must not be empty"},
    FIXED("bootstrap_id", "0123"),
    FIXED("package_ids", "[\"mesos--1\", \"java--2\", \"zookeeper--3\"]"),
    {"channel_name", O, NULL, "testing/master", "x", "Must be more than 1 character"},
    {"channel_name", O, NULL, "testing/master", "/x", "Must not start with a '/'"},
    {"channel_name", O, NULL, "testing/master", "x/", "Must not end in a '/'"},
    {"os_type", O, NULL, "el7", "debian", "Must be one of 'coreos', 'el7'. Got 'debian'."},
    FIXED("dcos_version", DCOS_VERSION),
    FIXED("dcos_variant", "open"),
    FIXED("dcos_image_commit", "unknown"),
    {"license_key_contents", D, "", "x"},
    FIXED("licensing_enabled", "false"),
    FIXED("custom_auth", "false"),
    {"custom_auth_json", R},

    /* detection scripts and checks */
    {"ip_detect_filename", D, "genconf/ip-detect", "genconf/public", "''",
        "Must be set, but is empty"},
    {"ip_detect_contents", D, "#!/bin/sh\necho 10.0.0.1\n", "x"},
    {"ip_detect_public_filename", D, "", "genconf/public"},
    {"ip6_detect_filename", D, "", "genconf/public"},
    {"fault_domain_detect_filename", D, "genconf/fault-domain-detect", "genconf/public"},
    BOOL("fault_domain_enabled", "false"),
    BOOL_T("check_time"),
    {"check_config", D, NULL, "{}", "[]", "Must be a JSON dictionary, got list"},
    {"custom_checks", D, "{}", "{}", "{a: {}}", "custom_checks: unknown key 'a'"},
    FIXED("custom_check_bins_dir", "genconf/check_bins/"),
    FILLED("check_search_path", "/opt/mesosphere/bin:/usr/bin:/bin:/sbin"),
    FIXED("check_ld_library_path", "/opt/mesosphere/lib"),
    PATH("diagnostics_bundles_dir", "/var/lib/dcos/dcos-diagnostics/diag-bundles"),

    /* networking and DNS */
    {"resolvers", D, "[\"8.8.8.8\", \"8.8.4.4\"]", "[1.1.1.1, '9.9.9.9:53']", "[1.1.1.1, 1.1.1.1]",
        "List cannot contain duplicates: 1.1.1.1 appears 2 times"},
    {"resolvers", D, "[\"8.8.8.8\", \"8.8.4.4\"]", "[]", "[x]", "Invalid IPv4 address: x"},
    {"resolvers", D, "[\"8.8.8.8\", \"8.8.4.4\"]", "[]", "['1.1.1.1:0']",
        "Invalid port: 0. Must be between 1 and 65535 inclusive"},
    {"resolvers", D, "[\"8.8.8.8\", \"8.8.4.4\"]", "[]", "['1.1.1.1:65536']",
        "Invalid port: 65536. Must be between 1 and 65535 inclusive"},
    {"resolvers", D, "[\"8.8.8.8\", \"8.8.4.4\"]", "[198.51.100.4]",
        "[198.51.100.2, '198.51.100.3:53']", "Spartan addresses found: 198.51.100.2, 198.51.100.3"},
    {"dns_search", D, "", "a.example b.example", "a.example,b.example", "Commas are not allowed"},
    {"dns_search", D, "", "x", "\"a\\nb\"", "Newlines are not allowed"},
    {"dns_search", D, "", "a b c d e f", "a b c d e f g", "Must contain no more than 6 domains"},
    {"dns_bind_ip_blacklist", D, "[]", "[10.0.0.1]", "[x]", "Invalid IPv4 addresses in list: x"},
    {"dns_bind_ip_reserved", D, "[\"198.51.100.4\"]", "[10.0.0.1]", "[x]",
        "Invalid IPv4 addresses in list: x"},
    {"dns_forward_zones", D, "{}", "{a.example: [1.1.1.1, '1.1.1.1:54']}", "{a.example: [x]}",
        "Invalid \"dns_forward_zones\": a.example: Invalid IPv4 address: x"},
    {"dns_forward_zones", D, "{}", "{a.example: []}", "{a.example: x}",
        "Invalid \"dns_forward_zones\": a.example: must be a list of addresses, got str"},
    {"dns_forward_zones", D, "{}", "{a.example: []}", "[x]",
        "Invalid \"dns_forward_zones\": Must be a JSON dictionary, got list"},
    BOOL_T("master_dns_bindall"),
    BOOL_T("mesos_dns_set_truncate_bit"),
    {"mesos_dns_ip_sources", D, "[\"host\", \"netinfo\"]", "[host]", "{}",
        "Must be a JSON list, got dict"},
    BOOL_T("enable_ipv6"),
    BOOL("enable_mesos_ipv6_discovery", "false"),
    BOOL_T("enable_lb"),
    BOOL_T("dcos_l4lb_enable_ipset"),
    BOOL_T("dcos_l4lb_enable_ipv6"),
    {"enable_ipv6", D, "true", "true", "false",
        "dcos_l4lb_enable_ipv6 must be false when enable_ipv6 is false"},
    {"dcos_l4lb_min_named_ip", D, "11.0.0.0", "11.0.0.1", "x", "Invalid IPv4 address: x"},
    {"dcos_l4lb_max_named_ip", D, "11.255.255.255", "11.0.0.1", "x", "Invalid IPv4 address: x"},
    {"dcos_l4lb_min_named_ip6", D, "fd01:c::", "'::1'", "11.0.0.0",
        "Invalid IPv6 address: 11.0.0.0"},
    {"dcos_l4lb_max_named_ip6", D, "fd01:c::ffff:ffff:ffff:ffff", "'::1'", "x",
        "Invalid IPv6 address: x"},
    FIXED("dcos_l4lb_forward_metrics", "false"),
    BOOL_T("dcos_net_rest_enable"),
    BOOL_T("dcos_net_watchdog"),
    BOOL("dcos_net_cluster_identity", "false"),
    {"dcos_net_push_ops_timeout", D, "1000", "50", "49", "Must be between 50 and 120000 inclusive"},
    {"dcos_net_push_ops_timeout", D, "1000", "120000", "120001",
        "Must be between 50 and 120000 inclusive"},
    BOOL_T("dcos_overlay_enable"),
    MTU("dcos_overlay_mtu", "1420"),
    {"dcos_overlay_config_attempts", D, "4", "0", "11", "Must be between 0 and 10 inclusive"},
    {"dcos_overlay_network", D, NULL,
        "{vtep_subnet: 1.0.0.0/8, vtep_subnet6: 'a::/64', vtep_mac_oui: x, overlays: [{name: dcos, "
        "subnet: 2.0.0.0/8}]}",
        "{}", "Missing `overlays` in the overlay configuration"},
    {"dcos_overlay_network_default_name", D, "dcos", "dcos6", "other",
        "Default overlay network name does not reference a defined overlay network: other"},
    FILLED("dcos_overlay_network6_default_name", "dcos6"),
    FILLED("dcos_ucr_default_bridge_network_name", "mesos-bridge"),
    {"dcos_ucr_default_bridge_subnet", D, "172.31.254.0/24", "10.0.0.0/8", "10.0.0.1/8",
        "Incorrect value for `dcos_ucr_default_bridge_subnet`: `10.0.0.1/8`. Only IPv4 subnets are "
        "allowed"},
    FREE("dcos_cni_data_dir", "/var/run/dcos/cni/networks"),
    BOOL_T("calico_enabled"),
    BOOL_T("calico_vxlan_enabled"),
    {"calico_network_cidr", D, "172.29.0.0/16", "10.0.0.0/8", "fd01::/64",
        "Incorrect value for `calico_network_cidr`: `fd01::/64`. Only IPv4 subnets are allowed"},
    {"calico_network_cidr", D, "172.29.0.0/16", "10.0.0.0/8", "9.8.0.0/16",
        "The calico network CIDR `9.8.0.0/16` overlaps with the subnet `9.0.0.0/8` of the overlay "
        "network 'dcos'"},
    MTU("calico_ipinip_mtu", "1480"),
    MTU("calico_veth_mtu", "1500"),
    MTU("calico_vxlan_mtu", "1450"),
    {"calico_vxlan_port", D, "64000", "4789", "1024", "Must be between 1025 and 65535 inclusive"},
    {"calico_vxlan_vni", D, "4096", "16777215", "16777216",
        "Must be between 1 and 16777215 inclusive"},
    {"calico_vxlan_vni", D, "4096", "1023", "1024",
        "Must not be 1024, which is the VNI of the DC/OS overlay"},
    BOOL("use_proxy", "false"),
    NOT_EMPTY_R("http_proxy", PROXY_WITH),
    NOT_EMPTY_R("https_proxy", PROXY_WITH),
    {"no_proxy", D, "", "[a, b]", "{}", "Must be a JSON list, got dict", PROXY_WITH},

    /* mesos, marathon, metronome, containers */
    PATH("mesos_master_work_dir", "/var/lib/dcos/mesos/master"),
    PATH("mesos_agent_work_dir", "/var/lib/mesos/slave"),
    FIXED("mesos_master_log_file", "/var/lib/dcos/mesos/log/mesos-master.log"),
    FIXED("mesos_agent_log_file", "/var/log/mesos/mesos-agent.log"),
    FIXED("mesos_master_port", "5050"),
    FIXED("mesos_agent_port", "5051"),
    FIXED("marathon_port", "8080"),
    FIXED("metronome_port", "9000"),
    FIXED("mesos_dns_port", "8123"),
    FIXED("exhibitor_port", "8181"),
    {"mesos_log_retention_mb", D, "4000", "1024", "1023", "Must be above or equal to 1024"},
    INTEGER("mesos_logrotate_file_size_mb", "2"),
    {"mesos_container_log_sink", D, "fluentbit+logrotate", "journald", "syslog",
        "Must be one of 'fluentbit', 'journald', 'logrotate', 'fluentbit+logrotate', "
        "'journald+logrotate'. Got 'syslog'."},
    INTEGER("mesos_max_completed_frameworks", "10"),
    INTEGER("mesos_max_completed_tasks_per_framework", "100"),
    {"mesos_recovery_timeout", D, "24hrs", "1.5weeks", "1.2.3hrs",
        "Error parsing value: '1.2.3hrs'. Must be a number and one of ns, us, ms, secs, mins, hrs, "
        "days, weeks"},
    {"mesos_recovery_timeout", D, "24hrs", "0ns", "10",
        "Error parsing value: '10'. Must be a number and one of ns, us, ms, secs, mins, hrs, days, "
        "weeks"},
    {"mesos_recovery_timeout", D, "24hrs", "30000weeks", "31000weeks",
        "Value 31000weeks is too large"},
    BOOL_T("mesos_cgroups_enable_cfs"),
    FREE("mesos_http_executor_domain_sockets", "true"),
    BOOL_T("log_offers"),
    BOOL_T("mesos_seccomp_enabled"),
    FREE("mesos_seccomp_profile_name", "default.json"),
    BOOL("mesos_docker_volume_chown", "false"),
    BOOL("mesos_disallow_sharing_agent_ipc_namespace", "false"),
    BOOL("mesos_cni_root_dir_persist", "false"),
    {"mesos_default_container_shm_size", D, "", "64MB", "64",
        "Error parsing value: '64'. Must be an integer and one of B, KB, MB, GB, TB"},
    {"mesos_default_container_shm_size", D, "", "''", "1.5GB",
        "Error parsing value: '1.5GB'. Must be an integer and one of B, KB, MB, GB, TB"},
    BOOL_T("enable_gpu_isolation"),
    BOOL_T("gpus_are_scarce"),
    {"metronome_gpu_scheduling_behavior", D, "restricted", "''", "x",
        "Must be one of 'restricted', 'unrestricted', ''. Got 'x'."},
    {"marathon_gpu_scheduling_behavior", D, "restricted", "unrestricted", "x",
        "Must be one of 'restricted', 'unrestricted', ''. Got 'x'."},
    {"marathon_new_group_enforce_role", D, "top", "\"off\"", "x",
        "Must be one of 'top', 'off', ''. Got 'x'."},
    FREE("marathon_java_args", ""),
    FREE("weights", ""),
    FREE("docker_remove_delay", "1hrs"),
    FREE("docker_stop_timeout", "20secs"),
    FREE("gc_delay", "2days"),
    BOOL_T("enable_docker_gc"),
    BOOL("dcos_remove_dockercfg_enable", "false"),
    {"cluster_docker_credentials", D, "{}", "{auths: {}}", "[]",
        "Must be a mapping. The value is secret and not shown."},
    BOOL("cluster_docker_credentials_dcos_owned", "false"),
    BOOL("cluster_docker_credentials_write_to_etc", "false"),
    BOOL("cluster_docker_credentials_enabled", "false"),
    FIXED("cluster_docker_credentials_path", "/etc/mesosphere/docker_credentials"),
    FREE("cluster_docker_registry_url", ""),
    {"rexray_config_preset", D, "", "aws", "gce", "Must be one of '', 'aws'. Got 'gce'."},
    {"rexray_config", D, NULL, "{}", "[]", "Must be a JSON dictionary, got list"},
    BOOL_T("enable_mesos_input_plugin"),
    FIXED("master_quorum", "1"),
    FIXED("mesos_isolation", NULL),

    /* router, login, console */
    BOOL("adminrouter_tls_1_0_enabled", "false"),
    BOOL("adminrouter_tls_1_1_enabled", "false"),
    {"adminrouter_tls_1_2_enabled", D, "true", "true", "maybe", TF("maybe")},
    {"adminrouter_tls_1_2_enabled", D, "true", "true", "false",
        "At least one of adminrouter_tls_1_0_enabled, adminrouter_tls_1_1_enabled and "
        "adminrouter_tls_1_2_enabled must be set to true."},
    FREE("adminrouter_tls_cipher_suite", ""),
    {"adminrouter_x_frame_options", D, "DENY", "allow-from https://x", "ALLOW-FROM",
        "X-Frame-Options must be set to one of DENY, SAMEORIGIN, ALLOW-FROM. Got 'ALLOW-FROM'."},
    {"adminrouter_x_frame_options", D, "DENY", "SameOrigin", "x",
        "X-Frame-Options must be set to one of DENY, SAMEORIGIN, ALLOW-FROM. Got 'x'."},
    {"adminrouter_grpc_proxy_port", D, "12379", "1", "65536",
        "Must be between 1 and 65535 inclusive"},
    BOOL_T("adminrouter_auth_enabled"),
    BOOL_T("oauth_enabled"),
    BOOL_T("oauth_available"),
    BOOL_T("telemetry_enabled"),
    FREE("oauth_issuer_url", "https://dcos.auth0.com/"),
    FREE("oauth_client_id", "3yF5TOSzdlI45Q1xspxzeoGBe9fNxm9m"),
    FREE("oauth_auth_redirector", "https://auth.dcos.io"),
    FREE("oauth_auth_host", "https://dcos.auth0.com"),
    BOOL("auth_cookie_secure_flag", "false"),
    {"superuser_service_account_uid", D, "", "''", "x",
        "superuser_service_account_uid and superuser_service_account_public_key must both be "
        "given, or neither"},
    {"superuser_service_account_public_key", D, "", "''", "x",
        "Must be an RSA public key, PEM encoded (BEGIN PUBLIC KEY)"},
    FREE("intercom_enabled", "true"),
    FREE("ui_tracking", "true"),
    FREE("ui_update_enabled", "true"),
    BOOL("ui_banner", "false"),
    {"ui_banner_background_color", D, "#1E232F", "'#000000'", "red",
        "Must be a color like #1E232F. Got 'red'."},
    {"ui_banner_foreground_color", D, "#FFFFFF", "'#abcdef'", "'#abcde'",
        "Must be a color like #1E232F. Got '#abcde'."},
    FREE("ui_banner_header_title", "null"),
    FREE("ui_banner_header_content", "null"),
    FREE("ui_banner_footer_content", "null"),
    FREE("ui_banner_image_path", "null"),
    FREE("ui_banner_dismissible", "null"),
    FIXED("ui_branding", "false"),
    FIXED("ui_external_links", "false"),
    FIXED("ui_networking", "false"),
    FIXED("ui_organization", "false"),

    /* installer only */
    {"agent_list", D, "[]", "[1.1.1.1]", "[x]", "Invalid IPv4 addresses in list: x"},
    {"agent_list", D, "[]", "[]", "[192.0.2.11]",
        "master_list and agent_list must not both have 192.0.2.11"},
    {"public_agent_list", D, "[]", "[1.1.1.1]", "[x]", "Invalid IPv4 addresses in list: x"},
    {"public_agent_list", D, "[]", "[]", "[1.1.1.1, 192.0.2.11]",
        "master_list and public_agent_list must not both have 192.0.2.11"},
    {"public_agent_list", D, "[]", "[]", "[1.1.1.1]",
        "agent_list and public_agent_list must not both have 1.1.1.1", "agent_list: [1.1.1.1]\n"},
    FILLED("ssh_user", "centos"),
    {"ssh_port", D, "22", "32000", "32001", "Must be between 1 and 32000 inclusive"},
    {"ssh_port", D, "22", "1", "ssh", "Must be an integer but got a str: ssh"},
    FILLED("ssh_key_path", "genconf/ssh_key"),
    {"ssh_parallelism", D, "20", "100", "0", "Must be between 1 and 100 inclusive"},
    {"process_timeout", D, "120", "10000", "x", "Must be an integer but got a str: x"},
    FREE("extra_ssh_options", ""),
    FREE("log_directory", "genconf/logs"),
    {"customer_key", D, "", "x"},
    {"aws_template_storage_bucket", O, NULL, "x"},
    {"aws_template_storage_bucket_path", O, NULL, "x", "x/", "Must not end in a '/'"},
    {"aws_template_storage_region_name", O, NULL, "x"},
    {"aws_template_storage_access_key_id", O, NULL, "x"},
    {"aws_template_storage_secret_access_key", O, NULL, "x"},
    BOOL_T("aws_template_storage_bucket_path_autocreate"),
    BOOL_T("aws_template_upload"),

    /* enterprise names */
    {"security", O, NULL, "strict", "x",
        "Must be one of 'disabled', 'permissive', 'strict'. Got 'x'."},
    {"superuser_username", O, NULL, "admin", "''", "Must be set, but is empty"},
    {"superuser_password_hash", O, NULL, "$6$salt$hash", "hunter2",
        "Must be a sha512-crypt hash. The value is secret and not shown."},
    {"bouncer_expiration_auth_token_days", O, NULL, "5", "0", "Must be above or equal to 1"},
    {"ca_certificate_path", O, NULL, "x"},
    {"ca_certificate_key_path", O, NULL, "x"},
    {"ca_certificate_chain_path", O, NULL, "x"},
    {"external_certificate_path", O, NULL, "x"},
    {"external_certificate_key_path", O, NULL, "x"},
    {"external_certificate_servernames", O, NULL, "x"},
    {"zk_super_credentials", O, NULL, "x"},
    {"zk_master_credentials", O, NULL, "x"},
    {"zk_agent_credentials", O, NULL, "x"},
    {"iam_ldap_sync_interval", O, NULL, "x"},
    {"permissions_cache_ttl_seconds", O, NULL, "x"},
    {"dcos_audit_logging", O, NULL, "x"},
    {"adminrouter_auth_cache_enabled", O, NULL, "x"},
    {"feature_dcos_storage_enabled", O, NULL, "x"},
    {"cosmos_config", O, NULL, "{}", "[]", "Must be a JSON dictionary, got list"},
};

/* The base with the row's further lines, without those that the row sets itself; later lines win.
 */
static struct gen *with(const struct row *row, const char *value)
{
    _cleanup_buf_ struct buf all = BUF_INIT, kept = BUF_INIT;
    _cleanup_(map_done)
    struct map last = MAP_INIT;
    struct str rest, line;
    VEC(char *) names = {0};
    size_t number = 1;
    bool lb = row->with && strstr(row->with, "loadbalancer");
    buf_puts(&all, lb ? WORLD_BASE : WORLD_ONE);
    buf_printf(&all, "%s", row->with ? row->with : "");
    if (value)
        buf_printf(&all, "%s: %s\n", row->name, value);
    rest = buf_str(&all);
    for (; str_split(&rest, '\n', &line); number++) {
        char *name = xstrndup(line.p, (size_t)MAX(str_index(line, ':'), (ptrdiff_t)0));
        vec_push(&names, name);
        map_put(&last, name, (void *)(uintptr_t)number);
    }
    rest = buf_str(&all);
    for (size_t i = 1; str_split(&rest, '\n', &line); i++) {
        if ((uintptr_t)map_get(&last, names.items[i - 1]) == i && line.n &&
            (value || !streq(names.items[i - 1], row->name)))
            buf_printf(&kept, STR_FMT "\n", STR_ARG(line));
    }
    VEC_FOREACH (n, &names) {
        free(*n);
    }
    vec_done(&names);
    return world_gen(buf_cstr(&kept));
}

static void check_kind(const struct row *row)
{
    _cleanup_(gen_freep)
    struct gen *g = with(row, NULL);
    const struct gen_problem *p = world_error(g, row->name);
    _cleanup_free_ char *must = xasprintf("Must set %s, no way to calculate value.", row->name);
    if (row->kind == R && streq(row->name, "custom_auth_json")) {
        assert_null(p); /* custom_auth cannot be true */
    } else if (row->kind == R) {
        if (!p || !streq(p->message, must))
            fail_msg("%s: it may be left out", row->name);
    } else if (p) {
        fail_msg("%s without a value: %s", row->name, p->message);
    }
    if (row->value && !streq(gen_value(g, row->name), row->value))
        fail_msg("%s: is %s, not %s", row->name, gen_value(g, row->name), row->value);
    if (row->kind == O && gen_value(g, row->name))
        fail_msg("%s: has a default", row->name);
}

static void check_row(const struct row *row)
{
    const struct param *p = param_find(row->name, NULL);
    if (!p)
        fail_msg("%s: not in the tables", row->name);
    check_kind(row);
    if (row->good) {
        _cleanup_(gen_freep)
        struct gen *g = with(row, row->good);
        const struct gen_problem *problem = world_error(g, row->name);
        if (problem)
            fail_msg("%s: %s: %s", row->name, row->good, problem->message);
        assert_non_null(gen_value(g, row->name));
    }
    if (row->bad) {
        _cleanup_(gen_freep)
        struct gen *g = with(row, row->bad);
        const struct gen_problem *problem = world_error(g, row->name);
        if (!problem)
            fail_msg("%s: %s is taken", row->name, row->bad);
        if (!streq(problem->message, row->message))
            fail_msg("%s: %s\n  got      %s\n  expected %s", row->name, row->bad, problem->message,
                row->message);
        if (problem->line == 0)
            fail_msg("%s: %s: no line", row->name, row->bad);
    }
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_row(&rows[i]);
}

/* Whatever may be set has a row above. */
static void test_all_have_rows(void **state)
{
    /* Worked out of others, tested with what they are for. */
    static const char *const others[] = {"ip_detect_public_contents", "ip6_detect_contents",
        "fault_domain_detect_contents", "custom_check_bins", "no_proxy_final",
        "mesos_log_retention_count", "mesos_log_directory_max_files"};
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n && param_tables[i]->area != AREA_DERIVED; k++) {
            const char *name = param_tables[i]->params[k].name;
            bool found = false;
            for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
                found |= streq(rows[j].name, name);
            for (size_t j = 0; j < ARRAY_SIZE(others); j++)
                found |= streq(others[j], name);
            if (!found)
                fail_msg("%s has no row in this test", name);
        }
    }
}

/* The first row of a name has what people are told; templates mention nothing that is not there. */
static void test_tables(void **state)
{
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            const struct param *p = &param_tables[i]->params[k];
            bool first = param_find(p->name, NULL) == p;
            if (first != (p->help != NULL) || first != (p->type != NULL))
                fail_msg("%s: only the first row has a type and help", p->name);
        }
    }
    _cleanup_json_ json_t *names = render_arguments();
    json_t *name;
    size_t i;
    assert_true(json_array_size(names) > 40);
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        if (!param_find(text, NULL) && !streq(text, "cluster_package_list_id"))
            fail_msg("templates mention %s, which is in no table", text);
    }
}

static void test_nearest(void **state)
{
    assert_string_equal(param_nearest("ssh_prot"), "ssh_port");
    assert_string_equal(param_nearest("master_lst"), "master_list");
    assert_string_equal(param_nearest("mesos_recovery_timeuot"), "mesos_recovery_timeout");
    assert_null(param_nearest("something_else_altogether"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_all_have_rows),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
