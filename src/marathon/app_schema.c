#include "marathon/app_schema.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"
#include "marathon/path.h"

#define FIELDS(table) .fields = (table), .n_fields = ARRAY_SIZE(table)

const char *const constraint_operators[] = {
    "UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "MAX_PER", "UNLIKE", "IS", NULL};

static bool match_executor(const char *s)
{
    if (*s == '\0' || streq(s, "//cmd"))
        return true;
    size_t n = strlen(s);
    return !(s[0] == '/' && s[1] == '\0') && s[n - 1] != '/' && !strstr(s, "//");
}

static bool match_network_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > 63)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool word = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
                    (s[i] >= 'A' && s[i] <= 'Z');
        if (!word && !((s[i] == '-' || s[i] == '_') && i > 0 && i + 1 < n))
            return false;
    }
    return true;
}

static json_t *read_env_value(const json_t *in, const char *path, struct violations *v)
{
    const char *secret = json_str_at(in, "secret", NULL);
    if (json_is_string(in))
        return json_string(json_string_value(in));
    if (secret && *secret)
        return json_pack("{s:s}", "secret", secret);
    violation_add(v, path, "error.expected.jsstring");
    return NULL;
}

static json_t *read_constraint(const json_t *in, const char *path, struct violations *v)
{
    size_t n = json_array_size(in);
    if (!json_is_array(in)) {
        violation_add(v, path, "error.expected.jsarray");
        return NULL;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(in, i));
        _cleanup_free_ char *below = xasprintf("%s(%zu)", path, i);
        if (!text) {
            violation_add(v, below, "error.expected.jsstring");
            text = "";
        }
        if (i == 1) {
            _cleanup_free_ char *upper = xstrdup(text);
            for (char *p = upper; *p; p++)
                *p = (char)toupper((unsigned char)*p);
            json_array_append_new(out, json_string(upper));
        } else {
            json_array_append_new(out, json_string(text));
        }
    }
    return out;
}

static json_t *read_limit(const json_t *in, const char *path, struct violations *v)
{
    if (json_is_number(in) && json_number_value(in) >= 0)
        return json_real(json_number_value(in));
    if (streq(json_string_value(in), "unlimited"))
        return json_string("unlimited");
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(in, &text);
    violation_add(v, path,
        "'%.100s' is an invalid resource limit. It must be 'unlimited' or a number",
        json_is_string(in) ? json_string_value(in) : buf_cstr(&text));
    return NULL;
}

static json_t *read_timestamp(const json_t *in, const char *path, struct violations *v)
{
    int64_t us;
    const char *text = json_string_value(in);
    if (!text) {
        violation_add(v, path, "error.expected.jsstring");
        return NULL;
    }
    if (time_parse_rfc3339(str_of(text), &us) < 0) {
        violation_add(v, path, "error.expected.date.isoformat");
        return NULL;
    }
    char out[TIME_TEXT_SIZE];
    time_format_rfc3339(us, out);
    return json_string(out);
}

static const struct schema t_string = {.kind = SCHEMA_STRING};
static const struct schema t_text = {.kind = SCHEMA_STRING, .min_length = 1};
static const struct schema t_uri = {.kind = SCHEMA_STRING, .max_length = 1024};
static const struct schema t_path = {.kind = SCHEMA_STRING, .min_length = 1, .match = path_text_ok};
static const struct schema t_group_id = {.kind = SCHEMA_STRING, .match = path_text_ok};
static const struct schema t_name = {.kind = SCHEMA_STRING, .match = schema_match_name};
static const struct schema t_network_name = {.kind = SCHEMA_STRING, .match = match_network_name};
static const struct schema t_bool = {.kind = SCHEMA_BOOL};
static const struct schema t_count = {.kind = SCHEMA_INT, .has_min = true};
static const struct schema t_amount = {.kind = SCHEMA_NUMBER, .has_min = true};
static const struct schema t_cpus = {.kind = SCHEMA_NUMBER, .has_min = true, .min = 0.001};
static const struct schema t_factor = {.kind = SCHEMA_NUMBER, .has_min = true, .min = 1};
static const struct schema t_fraction = {
    .kind = SCHEMA_NUMBER, .has_min = true, .has_max = true, .max = 1};
static const struct schema t_port = {
    .kind = SCHEMA_INT, .has_min = true, .has_max = true, .max = 65535};
static const struct schema t_strings = {.kind = SCHEMA_ARRAY, .items = &t_string};
static const struct schema t_uris = {.kind = SCHEMA_ARRAY, .items = &t_uri};
static const struct schema t_ports = {.kind = SCHEMA_ARRAY, .items = &t_port};
static const struct schema t_paths = {.kind = SCHEMA_ARRAY, .items = &t_path};
static const struct schema t_roles = {.kind = SCHEMA_ARRAY, .items = &t_text, .min_length = 1};
static const struct schema t_labels = {.kind = SCHEMA_MAP, .items = &t_string};
static const struct schema t_timestamp = {.kind = SCHEMA_CUSTOM, .custom = read_timestamp};
static const struct schema t_env_value = {.kind = SCHEMA_CUSTOM, .custom = read_env_value};
static const struct schema t_env = {.kind = SCHEMA_MAP, .items = &t_env_value};
static const struct schema t_constraint = {.kind = SCHEMA_CUSTOM, .custom = read_constraint};
static const struct schema t_constraints = {.kind = SCHEMA_ARRAY, .items = &t_constraint};

static const char *const protocols[] = {"tcp", "udp", "udp,tcp", NULL};
static json_t *read_protocol(const json_t *in, const char *path, struct violations *v)
{
    const char *text = json_string_value(in);
    if (!text) {
        violation_add(v, path, "error.expected.jsstring");
        return NULL;
    }
    if (streq(text, "tcp,udp"))
        return json_string("udp,tcp");
    for (size_t i = 0; protocols[i]; i++)
        if (streq(text, protocols[i]))
            return json_string(text);
    violation_add(v, path, "error.unknown.enum.literal");
    return NULL;
}
static const struct schema t_protocol = {.kind = SCHEMA_CUSTOM, .custom = read_protocol};

static const struct schema_field port_definition_fields[] = {
    {"port", &t_port, false, "0"},
    {"protocol", &t_protocol, false, "\"tcp\""},
    {"name", &t_name},
    {"labels", &t_labels},
};
static const struct schema t_port_definition = {
    .kind = SCHEMA_OBJECT, FIELDS(port_definition_fields)};
static const struct schema t_port_definitions = {.kind = SCHEMA_ARRAY, .items = &t_port_definition};

static const struct schema t_network_names = {.kind = SCHEMA_ARRAY, .items = &t_network_name};
static const struct schema_field port_mapping_fields[] = {
    {"containerPort", &t_port, false, "0"},
    {"hostPort", &t_port},
    {"labels", &t_labels, false, "{}"},
    {"name", &t_name},
    {"protocol", &t_protocol, false, "\"tcp\""},
    {"servicePort", &t_port, false, "0"},
    {"networkNames", &t_network_names},
};
static const struct schema t_port_mapping = {.kind = SCHEMA_OBJECT, FIELDS(port_mapping_fields)};
static const struct schema t_port_mappings = {.kind = SCHEMA_ARRAY, .items = &t_port_mapping};

static const char *const docker_networks[] = {"BRIDGE", "HOST", "NONE", "USER", NULL};
static const struct schema t_docker_network = {
    .kind = SCHEMA_ENUM, .enums = docker_networks, .enum_any_case = true};
static const struct schema_field parameter_fields[] = {
    {"key", &t_text, true}, {"value", &t_string, true}};
static const struct schema t_parameter = {.kind = SCHEMA_OBJECT, FIELDS(parameter_fields)};
static const struct schema t_parameters = {.kind = SCHEMA_ARRAY, .items = &t_parameter};
static const struct schema_field secret_fields[] = {{"secret", &t_text, true}};
static const struct schema t_secret_ref = {.kind = SCHEMA_OBJECT, FIELDS(secret_fields)};
static const struct schema_field credential_fields[] = {
    {"principal", &t_string}, {"secret", &t_string}};
static const struct schema t_credential = {.kind = SCHEMA_OBJECT, FIELDS(credential_fields)};
static const struct schema_field docker_fields[] = {
    {"image", &t_text, true},
    {"forcePullImage", &t_bool, false, "false"},
    {"privileged", &t_bool, false, "false"},
    {"parameters", &t_parameters, false, "[]"},
    {"pullConfig", &t_secret_ref},
    {"credential", &t_credential},
    {"network", &t_docker_network},
    {"portMappings", &t_port_mappings},
};
static const struct schema t_docker = {.kind = SCHEMA_OBJECT, FIELDS(docker_fields)};

static const struct schema_field seccomp_fields[] = {
    {"profileName", &t_text}, {"unconfined", &t_bool, false, "false"}};
static const struct schema t_seccomp = {.kind = SCHEMA_OBJECT, FIELDS(seccomp_fields)};
static const char *const ipc_modes[] = {"PRIVATE", "SHARE_PARENT", NULL};
static const struct schema t_ipc_mode = {.kind = SCHEMA_ENUM, .enums = ipc_modes};
static const struct schema_field ipc_fields[] = {
    {"mode", &t_ipc_mode, true}, {"shmSize", &t_count}};
static const struct schema t_ipc = {.kind = SCHEMA_OBJECT, FIELDS(ipc_fields)};
static const struct schema_field linux_fields[] = {{"seccomp", &t_seccomp}, {"ipcInfo", &t_ipc}};
static const struct schema t_linux = {.kind = SCHEMA_OBJECT, FIELDS(linux_fields)};

static const char *const modes[] = {"RO", "RW", NULL};
static const struct schema t_mode = {.kind = SCHEMA_ENUM, .enums = modes};
/* Options of volume drivers mean nothing here. */
static json_t *read_object_as_is(const json_t *in, const char *path, struct violations *v)
{
    if (json_is_object(in))
        return json_deep_copy(in);
    violation_add(v, path, "error.expected.jsobject");
    return NULL;
}
static const struct schema t_opaque = {.kind = SCHEMA_CUSTOM, .custom = read_object_as_is};
static const char *const disk_types[] = {"root", "path", "mount", NULL};
static const struct schema t_disk_type = {.kind = SCHEMA_ENUM, .enums = disk_types};
static const struct schema_field persistent_fields[] = {
    {"type", &t_disk_type},
    {"size", &t_count, true},
    {"maxSize", &t_count},
    {"profileName", &t_text},
    {"constraints", &t_constraints, false, "[]"},
};
static const struct schema t_persistent = {.kind = SCHEMA_OBJECT, FIELDS(persistent_fields)};
static const struct schema_field external_fields[] = {
    {"size", &t_count},
    {"name", &t_text},
    {"provider", &t_text, false, "\"dvdi\""},
    {"options", &t_opaque, false, "{}"},
    {"shared", &t_bool, false, "false"},
};
static const struct schema t_external = {.kind = SCHEMA_OBJECT, FIELDS(external_fields)};
static const struct schema_field volume_fields[] = {
    {"containerPath", &t_text, true},
    {"hostPath", &t_string},
    {"mode", &t_mode},
    {"persistent", &t_persistent},
    {"external", &t_external},
    {"secret", &t_string},
};
static const struct schema t_volume = {.kind = SCHEMA_OBJECT, FIELDS(volume_fields)};
static const struct schema t_volumes = {.kind = SCHEMA_ARRAY, .items = &t_volume};

static const char *const container_types[] = {"MESOS", "DOCKER", NULL};
static const struct schema t_container_type = {.kind = SCHEMA_ENUM, .enums = container_types};
static const struct schema_field container_fields[] = {
    {"type", &t_container_type, false, "\"DOCKER\""},
    {"docker", &t_docker},
    {"linuxInfo", &t_linux},
    {"volumes", &t_volumes, false, "[]"},
    {"portMappings", &t_port_mappings},
};
static const struct schema t_container = {.kind = SCHEMA_OBJECT, FIELDS(container_fields)};

static const struct schema_field fetch_fields[] = {
    {"uri", &t_uri, true},
    {"extract", &t_bool, false, "true"},
    {"executable", &t_bool, false, "false"},
    {"cache", &t_bool, false, "false"},
    {"destPath", &t_string},
};
static const struct schema t_fetch = {.kind = SCHEMA_OBJECT, FIELDS(fetch_fields)};
static const struct schema t_fetches = {.kind = SCHEMA_ARRAY, .items = &t_fetch};

static const char *const health_protocols[] = {
    "HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP", NULL};
static const struct schema t_health_protocol = {.kind = SCHEMA_ENUM, .enums = health_protocols};
static const char *const ip_protocols[] = {"IPv4", "IPv6", NULL};
static const struct schema t_ip_protocol = {.kind = SCHEMA_ENUM, .enums = ip_protocols};
static const struct schema_field command_fields[] = {{"value", &t_text, true}};
static const struct schema t_command = {.kind = SCHEMA_OBJECT, FIELDS(command_fields)};
static const struct schema_field health_fields[] = {
    {"protocol", &t_health_protocol, false, "\"HTTP\""},
    {"path", &t_string},
    {"command", &t_command},
    {"portIndex", &t_count},
    {"port", &t_port},
    {"ipProtocol", &t_ip_protocol, false, "\"IPv4\""},
    {"ignoreHttp1xx", &t_bool},
    {"gracePeriodSeconds", &t_count, false, "300"},
    {"intervalSeconds", &t_count, false, "60"},
    {"timeoutSeconds", &t_count, false, "20"},
    {"maxConsecutiveFailures", &t_count, false, "3"},
    {"delaySeconds", &t_count, false, "15"},
};
static const struct schema t_health = {.kind = SCHEMA_OBJECT, FIELDS(health_fields)};
static const struct schema t_healths = {.kind = SCHEMA_ARRAY, .items = &t_health};

static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
static const struct schema t_scheme = {
    .kind = SCHEMA_ENUM, .enums = schemes, .enum_any_case = true};
static const struct schema_field check_http_fields[] = {{"portIndex", &t_count}, {"port", &t_port},
    {"path", &t_string}, {"scheme", &t_scheme, false, "\"HTTP\""}};
static const struct schema t_check_http = {.kind = SCHEMA_OBJECT, FIELDS(check_http_fields)};
static const struct schema_field check_tcp_fields[] = {{"portIndex", &t_count}, {"port", &t_port}};
static const struct schema t_check_tcp = {.kind = SCHEMA_OBJECT, FIELDS(check_tcp_fields)};
static const struct schema_field check_command_fields[] = {
    {"shell", &t_text}, {"argv", &t_strings}};
static const struct schema t_check_command = {.kind = SCHEMA_OBJECT, FIELDS(check_command_fields)};
static const struct schema_field check_exec_fields[] = {{"command", &t_check_command, true}};
static const struct schema t_check_exec = {.kind = SCHEMA_OBJECT, FIELDS(check_exec_fields)};
static const struct schema_field check_fields[] = {
    {"http", &t_check_http},
    {"tcp", &t_check_tcp},
    {"exec", &t_check_exec},
    {"intervalSeconds", &t_count, false, "60"},
    {"timeoutSeconds", &t_count, false, "20"},
    {"delaySeconds", &t_count, false, "15"},
};
static const struct schema t_check = {.kind = SCHEMA_OBJECT, FIELDS(check_fields)};

static const struct schema t_status_code = {
    .kind = SCHEMA_INT, .has_min = true, .min = 100, .has_max = true, .max = 999};
static const struct schema t_status_codes = {
    .kind = SCHEMA_ARRAY, .items = &t_status_code, .min_length = 1};
static const struct schema t_readiness_protocol = {.kind = SCHEMA_ENUM, .enums = schemes};
static const struct schema_field readiness_fields[] = {
    {"name", &t_text, false, "\"readinessCheck\""},
    {"protocol", &t_readiness_protocol, false, "\"HTTP\""},
    {"path", &t_text, false, "\"/\""},
    {"portName", &t_name, false, "\"http-api\""},
    {"intervalSeconds", &t_count, false, "30"},
    {"timeoutSeconds", &t_count, false, "10"},
    {"httpStatusCodesForReady", &t_status_codes, false, "[200]"},
    {"preserveLastResponse", &t_bool, false, "false"},
};
static const struct schema t_readiness = {.kind = SCHEMA_OBJECT, FIELDS(readiness_fields)};
static const struct schema t_readinesses = {
    .kind = SCHEMA_ARRAY, .items = &t_readiness, .max_length = 1};

static const char *const network_modes[] = {"container", "container/bridge", "host", NULL};
static const struct schema t_network_mode = {
    .kind = SCHEMA_ENUM, .enums = network_modes, .enum_any_case = true};
static const struct schema_field network_fields[] = {
    {"name", &t_network_name},
    {"mode", &t_network_mode, false, "\"container\""},
    {"labels", &t_labels},
};
static const struct schema t_network = {.kind = SCHEMA_OBJECT, FIELDS(network_fields)};
static const struct schema t_networks = {.kind = SCHEMA_ARRAY, .items = &t_network};

static const struct schema_field discovery_port_fields[] = {{"number", &t_port, true},
    {"name", &t_name, true}, {"protocol", &t_protocol, false, "\"tcp\""}, {"labels", &t_labels}};
static const struct schema t_discovery_port = {
    .kind = SCHEMA_OBJECT, FIELDS(discovery_port_fields)};
static const struct schema t_discovery_ports = {.kind = SCHEMA_ARRAY, .items = &t_discovery_port};
static const struct schema_field discovery_fields[] = {{"ports", &t_discovery_ports, false, "[]"}};
static const struct schema t_discovery = {.kind = SCHEMA_OBJECT, FIELDS(discovery_fields)};
static const struct schema_field ip_address_fields[] = {
    {"networkName", &t_network_name},
    {"labels", &t_labels},
    {"groups", &t_strings},
    {"discovery", &t_discovery},
};
static const struct schema t_ip_address = {.kind = SCHEMA_OBJECT, FIELDS(ip_address_fields)};

static const struct schema t_exec_cpus = {.kind = SCHEMA_NUMBER, .has_min = true, .min = 0.1};
static const struct schema t_exec_mem = {.kind = SCHEMA_NUMBER, .has_min = true, .min = 32};
static const struct schema t_exec_disk = {.kind = SCHEMA_NUMBER, .has_min = true, .min = 10};
static const struct schema_field executor_fields[] = {{"cpus", &t_exec_cpus, false, "0.1"},
    {"mem", &t_exec_mem, false, "32.0"}, {"disk", &t_exec_disk, false, "10.0"}};
static const struct schema t_executor_resources = {.kind = SCHEMA_OBJECT, FIELDS(executor_fields)};
static const struct schema t_limit = {.kind = SCHEMA_CUSTOM, .custom = read_limit};
static const struct schema_field limit_fields[] = {{"cpus", &t_limit}, {"mem", &t_limit}};
static const struct schema t_limits = {.kind = SCHEMA_OBJECT, FIELDS(limit_fields)};
static const struct schema t_executor = {.kind = SCHEMA_STRING, .match = match_executor};

static const struct schema_field secret_def_fields[] = {{"source", &t_string, true}};
static const struct schema t_secret_def = {.kind = SCHEMA_OBJECT, FIELDS(secret_def_fields)};
static const struct schema t_secrets = {.kind = SCHEMA_MAP, .items = &t_secret_def};

static const struct schema_field upgrade_fields[] = {
    {"maximumOverCapacity", &t_fraction, true}, {"minimumHealthCapacity", &t_fraction, true}};
static const struct schema t_upgrade = {.kind = SCHEMA_OBJECT, FIELDS(upgrade_fields)};

static const struct schema_field unreachable_fields[] = {
    {"inactiveAfterSeconds", &t_count, false, "0"}, {"expungeAfterSeconds", &t_count, false, "0"}};
static const struct schema t_unreachable_enabled = {
    .kind = SCHEMA_OBJECT, FIELDS(unreachable_fields)};
static json_t *read_unreachable(const json_t *in, const char *path, struct violations *v)
{
    if (!json_is_string(in))
        return schema_read(&t_unreachable_enabled, in, path, v);
    if (str_ieq_c(str_of(json_string_value(in)), "disabled"))
        return json_string("disabled");
    violation_add(v, path, "error.expected.unreachableStrategy");
    return NULL;
}
static const struct schema t_unreachable = {.kind = SCHEMA_CUSTOM, .custom = read_unreachable};
static const char *const kill_selections[] = {"YOUNGEST_FIRST", "OLDEST_FIRST", NULL};
static const struct schema t_kill_selection = {.kind = SCHEMA_ENUM, .enums = kill_selections};
static const char *const lost_behaviors[] = {"WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT", NULL};
static const struct schema t_lost_behavior = {.kind = SCHEMA_ENUM, .enums = lost_behaviors};
static const struct schema_field residency_fields[] = {
    {"relaunchEscalationTimeoutSeconds", &t_count, false, "3600"},
    {"taskLostBehavior", &t_lost_behavior, false, "\"WAIT_FOREVER\""}};
static const struct schema t_residency = {.kind = SCHEMA_OBJECT, FIELDS(residency_fields)};
static const struct schema_field version_info_fields[] = {
    {"lastScalingAt", &t_timestamp}, {"lastConfigChangeAt", &t_timestamp}};
static const struct schema t_version_info = {.kind = SCHEMA_OBJECT, FIELDS(version_info_fields)};

#define APP_FIELDS                                                                                 \
    {"cmd", &t_text}, {"args", &t_strings}, {"instances", &t_count}, {"cpus", &t_cpus},            \
        {"mem", &t_amount}, {"disk", &t_amount}, {"gpus", &t_count}, {"executor", &t_executor},    \
        {"executorResources", &t_executor_resources}, {"resourceLimits", &t_limits},               \
        {"user", &t_string}, {"env", &t_env}, {"labels", &t_labels},                               \
        {"constraints", &t_constraints}, {"acceptedResourceRoles", &t_roles}, {"role", &t_text},   \
        {"backoffSeconds", &t_count}, {"backoffFactor", &t_factor},                                \
        {"maxLaunchDelaySeconds", &t_count}, {"container", &t_container},                          \
        {"dependencies", &t_paths}, {"fetch", &t_fetches}, {"healthChecks", &t_healths},           \
        {"check", &t_check}, {"readinessChecks", &t_readinesses}, {"networks", &t_networks},       \
        {"portDefinitions", &t_port_definitions}, {"requirePorts", &t_bool},                       \
        {"secrets", &t_secrets}, {"taskKillGracePeriodSeconds", &t_count},                         \
        {"upgradeStrategy", &t_upgrade}, {"unreachableStrategy", &t_unreachable},                  \
        {"killSelection", &t_kill_selection}, {"residency", &t_residency}, {"tty", &t_bool},       \
        {"version", &t_timestamp}, {"versionInfo", &t_version_info}, {"uris", &t_uris},            \
        {"ports", &t_ports},                                                                       \
    {                                                                                              \
        "ipAddress", &t_ip_address                                                                 \
    }

static const struct schema_field app_fields[] = {{"id", &t_path, true}, APP_FIELDS};
static const struct schema_field app_update_fields[] = {{"id", &t_path}, APP_FIELDS};
const struct schema schema_app = {.kind = SCHEMA_OBJECT, FIELDS(app_fields)};
const struct schema schema_app_update = {.kind = SCHEMA_OBJECT, FIELDS(app_update_fields)};

static const struct schema t_apps = {.kind = SCHEMA_ARRAY, .items = &schema_app};
static const struct schema t_groups = {.kind = SCHEMA_ARRAY, .items = &schema_group_update};
static const struct schema_field group_fields[] = {
    {"id", &t_group_id},
    {"apps", &t_apps},
    {"groups", &t_groups},
    {"dependencies", &t_paths},
    {"scaleBy", &t_amount},
    {"version", &t_timestamp},
    {"enforceRole", &t_bool},
};
const struct schema schema_group_update = {.kind = SCHEMA_OBJECT, FIELDS(group_fields)};
