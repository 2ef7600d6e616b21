#include "marathon/validate.h"

#include "base/alloc.h"
#include "base/parse.h"
#include "base/str.h"
#include "marathon/app_schema.h"
#include "marathon/normalize.h"
#include "marathon/path.h"
#include "marathon/regex.h"

size_t app_port_count(const json_t *app)
{
    if (app_network_mode(app) == NETWORK_HOST)
        return json_array_size(json_at(app, "portDefinitions"));
    return json_array_size(json_at(json_at(app, "container"), "portMappings"));
}

const char *role_check(const char *role)
{
    if (*role == '\0' || streq(role, ".") || streq(role, ".."))
        return "is not a valid role name";
    if (*role == '-')
        return "must not start with '-'";
    for (const char *p = role; *p; p++)
        if (strchr("\t\n\v\f\r /\x7f", *p))
            return "must not contain blanks, control characters or slashes";
    return NULL;
}

static bool is_value_ok(const char *s)
{
    for (; *s; s++) {
        bool word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || strchr("_/.-", *s);
        if (!word)
            return false;
    }
    return true;
}

const char *constraint_check(const json_t *c)
{
    size_t n = json_array_size(c);
    if (n < 2 || n > 3)
        return "Each constraint must have either 2 or 3 fields";
    const char *field = json_string_value(json_array_get(c, 0));
    const char *op = json_string_value(json_array_get(c, 1));
    const char *value = n == 3 ? json_string_value(json_array_get(c, 2)) : NULL;
    if (!field || !*field)
        return "missing field for constraint declaration";
    bool known = false;
    for (size_t i = 0; constraint_operators[i] && op; i++)
        known = known || streq(op, constraint_operators[i]);
    if (!known)
        return "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, "
               "UNLIKE or IS";
    int64_t number;
    bool integer = value && parse_i64(str_of(value), &number) == 0;
    if (streq(op, "UNIQUE") && value && *value)
        return "UNIQUE does not accept a value";
    if (streq(op, "GROUP_BY") && value && *value && !integer && !streq(value, "inf"))
        return "GROUP BY must define an integer value or else no value at all";
    if (streq(op, "MAX_PER") && !integer)
        return "MAX_PER requires an integer value";
    if (streq(op, "LIKE") || streq(op, "UNLIKE")) {
        if (!value || !*value)
            return "LIKE and UNLIKE require a non-empty, regular expression value";
        _cleanup_(regex_freep)
        struct regex *re = NULL;
        if (regex_new(value, &re, NULL) < 0)
            return "is not a valid regular expression";
    }
    if (streq(op, "IS") && (!value || !is_value_ok(value)))
        return "IS only supports Mesos text and float values (see "
               "https://mesos.apache.org/documentation/latest/attributes-resources/)";
    return NULL;
}

static void validate_command(const json_t *app, struct violations *v)
{
    const char *cmd = json_str_at(app, "cmd", NULL);
    bool args = json_array_size(json_at(app, "args")) > 0;
    const json_t *docker = json_at(json_at(app, "container"), "docker");
    if (cmd && strlen(cmd) <= 1)
        violation_add(v, "/cmd", "must not be an empty string");
    bool image = json_str_at(docker, "image", NULL) != NULL;
    if ((cmd && args) || (!cmd && !args && !image))
        violation_add(v, "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
}

static void validate_constraints(const json_t *app, struct violations *v)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_at(app, "constraints"), i, c)
    {
        const char *wrong = constraint_check(c);
        _cleanup_free_ char *path = xasprintf("/constraints(%zu)", i);
        if (wrong)
            violation_add(v, path, "%s", wrong);
    }
}

static void validate_roles(
    const json_t *app, const struct validate_options *options, struct violations *v)
{
    const char *role = json_str_at(app, "role", "*");
    const char *wrong = role_check(role);
    if (wrong)
        violation_add(v, "/role", "%s", wrong);
    bool known = !options || !options->roles;
    _cleanup_buf_ struct buf list = BUF_INIT;
    for (size_t i = 0; !known && options->roles[i]; i++) {
        buf_printf(&list, "%s%s", i ? ", " : "", options->roles[i]);
        if (streq(role, options->roles[i])) {
            known = true;
            break;
        }
    }
    if (!known && !wrong)
        violation_add(v, "/role", "got %s, expected one of: [%s]", role, buf_cstr(&list));
    size_t i;
    json_t *r;
    json_array_foreach(json_at(app, "acceptedResourceRoles"), i, r)
    {
        const char *text = json_string_value(r);
        if (!streq(text, "*") && !streq(text, role)) {
            violation_add(v, "/acceptedResourceRoles",
                "acceptedResourceRoles can only contain * and %s", role);
            break;
        }
    }
}

static void validate_limits(const json_t *app, struct violations *v)
{
    static const char *const names[] = {"cpus", "mem"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const json_t *limit = json_at(json_at(app, "resourceLimits"), names[i]);
        double request = json_double_at(app, names[i], 0);
        _cleanup_free_ char *path = xasprintf("/resourceLimits/%s", names[i]);
        if (!json_is_number(limit) || json_number_value(limit) >= request)
            continue;
        _cleanup_buf_ struct buf text = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &text);
        jw_double(&w, request);
        violation_add(v, path,
            "resource limit must be greater than or equal to requested resource (%s)",
            buf_cstr(&text));
    }
}

static void validate_env(const json_t *app, struct violations *v)
{
    const char *key;
    json_t *value;
    bool secrets = false;
    json_object_foreach((json_t *)(uintptr_t)json_at(app, "env"), key, value)
    {
        if (*key == '\0')
            violation_add(v, "/env()", "must not be empty");
        if (!json_is_object(value))
            continue;
        secrets = true;
        const char *name = json_str_at(value, "secret", "");
        _cleanup_free_ char *path = xasprintf("/env/%s/secret", key);
        if (!json_at(json_at(app, "secrets"), name))
            violation_add(v, path, "references an undefined secret");
    }
    if (secrets)
        violation_add(v, "/env",
            "use of secret-references in the environment requires the "
            "secrets feature to be enabled");
    if (json_object_size(json_at(app, "secrets")) > 0)
        violation_add(v, "/secrets", FEATURE_MISSING, "secrets", "secrets");
    json_object_foreach((json_t *)(uintptr_t)json_at(app, "secrets"), key, value)
    {
        _cleanup_free_ char *path = xasprintf("/secrets/%s/source", key);
        if (*key == '\0')
            violation_add(v, "/secrets()", "must not be empty");
        if (!*json_str_at(value, "source", ""))
            violation_add(v, path, "must not be empty");
    }
}

bool app_is_single_instance(const json_t *app)
{
    return streq(json_str_at(json_at(app, "labels"), "MARATHON_SINGLE_INSTANCE_APP", ""), "true");
}

static void validate_labels(const json_t *app, struct violations *v)
{
    const json_t *labels = json_at(app, "labels");
    const json_t *upgrade = json_at(app, "upgradeStrategy");
    if (app_is_single_instance(app)) {
        if (json_i64_at(app, "instances", 1) > 1)
            violation_add(v, "/instances", "Single instance app may only have one instance");
        static const char *const both[] = {"minimumHealthCapacity", "maximumOverCapacity"};
        for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
            double got = json_double_at(upgrade, both[i], 0);
            _cleanup_free_ char *path = xasprintf("/upgradeStrategy/%s", both[i]);
            if (got > 0)
                violation_add(v, path, "got %.1f, expected 0.0", got);
        }
    }
    const char *api = json_str_at(labels, "DCOS_MIGRATION_API_VERSION", NULL);
    if (!api)
        return;
    if (!streq(api, "v1"))
        violation_add(v, "/labels", "got %s, expected v1", api);
    if (!*json_str_at(labels, "DCOS_PACKAGE_FRAMEWORK_NAME", "") ||
        !*json_str_at(labels, "DCOS_MIGRATION_API_PATH", ""))
        violation_add(v, "/labels",
            "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using "
            "DCOS_MIGRATION_API_VERSION");
}

static void validate_fetch(const json_t *app, struct violations *v)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_at(app, "fetch"), i, f)
    {
        const char *uri = json_str_at(f, "uri", "");
        bool bad = *uri == '\0';
        for (const char *p = uri; *p; p++)
            bad = bad || (unsigned char)*p <= ' ' || strchr("<>\"{}|\\^`", *p);
        _cleanup_free_ char *path = xasprintf("/fetch(%zu)/uri", i);
        if (bad)
            violation_add(v, path, "URI has invalid syntax.");
    }
}

void app_validate(const json_t *app, const struct validate_options *options, struct violations *v)
{
    const char *wrong = path_check(json_str_at(app, "id", ""));
    if (wrong)
        violation_add(v, "/id", "%s", wrong);
    size_t i;
    json_t *d;
    json_array_foreach(json_at(app, "dependencies"), i, d)
    {
        const char *id = json_string_value(d);
        _cleanup_free_ char *path = xasprintf("/dependencies(%zu)", i);
        if (!path_is_root(id) && (wrong = path_check(id)))
            violation_add(v, path, "%s", wrong);
    }
    validate_command(app, v);
    validate_constraints(app, v);
    validate_roles(app, options, v);
    validate_limits(app, v);
    validate_env(app, v);
    validate_labels(app, v);
    validate_fetch(app, v);
    validate_container(app, v);
    validate_checks(app, v);
    if (json_i64_at(app, "gpus", 0) > 0) {
        violation_add(v, "/gpus", FEATURE_MISSING, "gpu_resources", "gpu_resources");
        if (streq(json_str_at(json_at(app, "container"), "type", ""), "DOCKER"))
            violation_add(v, "/gpus", "GPU resources only work with the Mesos containerizer");
    }
    const json_t *unreachable = json_at(app, "unreachableStrategy");
    int64_t inactive = json_i64_at(unreachable, "inactiveAfterSeconds", 0);
    int64_t expunge = json_i64_at(unreachable, "expungeAfterSeconds", 0);
    if (inactive > expunge)
        violation_add(v, "/unreachableStrategy/inactiveAfterSeconds",
            "inactiveAfterSeconds (%lld) must be less or equal to expungeAfterSeconds, which is "
            "%lld",
            (long long)inactive, (long long)expunge);
}
