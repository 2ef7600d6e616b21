/* Volumes. Persistent and external ones are not served, but what is wrong with them is said. */

#include "base/alloc.h"
#include "base/str.h"
#include "marathon/regex.h"
#include "marathon/validate.h"

static bool any_volume(const json_t *app, const char *key)
{
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(json_at(app, "container"), "volumes"), i, volume)
    {
        if (json_at(volume, key))
            return true;
    }
    return false;
}

bool app_has_persistent_volumes(const json_t *app)
{
    return any_volume(app, "persistent");
}

bool app_has_external_volumes(const json_t *app)
{
    return any_volume(app, "external");
}

static void add_below(
    struct violations *v, const char *path, const char *below, const char *message)
{
    _cleanup_free_ char *whole = xasprintf("%s%s", path, below);
    violation_add(v, whole, "%s", message);
}

static void read_write_only(const json_t *volume, const char *path, struct violations *v)
{
    const char *mode = json_str_at(volume, "mode", NULL);
    if (!mode)
        add_below(v, path, "/mode", "not defined");
    else if (!streq(mode, "RW"))
        add_below(v, path, "/mode", "got RO, expected RW");
}

/* ---- persistent ---- */

static const char *disk_constraint_check(const json_t *c)
{
    size_t n = json_array_size(c);
    const char *field = json_string_value(json_array_get(c, 0));
    const char *op = json_string_value(json_array_get(c, 1));
    const char *value = json_string_value(json_array_get(c, 2));
    if (n < 2 || n > 3)
        return "Each constraint must have either 2 or 3 fields";
    if (!streq(field, "path"))
        return "Unsupported constraint field, expected path";
    if (!streq(op, "LIKE") && !streq(op, "UNLIKE"))
        return "Operator must be one of LIKE, UNLIKE";
    _cleanup_(regex_freep)
    struct regex *re = NULL;
    if (!value || !*value || regex_new(value, &re, NULL) < 0)
        return "Invalid regular expression";
    return NULL;
}

static void validate_persistent(const json_t *volume, const char *path, struct violations *v)
{
    const json_t *p = json_at(volume, "persistent");
    const char *inside = json_str_at(volume, "containerPath", "");
    const char *type = json_str_at(p, "type", json_at(p, "profileName") ? "mount" : "root");
    const json_t *constraints = json_at(p, "constraints");
    int64_t size = json_i64_at(p, "size", 0);
    violation_add(v, path, "persistent volumes are not supported by this version");
    if (strchr(inside, '/'))
        add_below(v, path, "/containerPath", "value must not contain \"/\"");
    if (streq(inside, ".") || streq(inside, ".."))
        add_below(v, path, "/containerPath", "must not be '.' or '..'");
    read_write_only(volume, path, v);
    if (size <= 0)
        add_below(v, path, "/persistent/size", "got 0, expected more than 0");
    if (json_at(p, "maxSize") && !streq(type, "mount"))
        add_below(v, path, "/persistent", "Only mount volumes can have maxSize");
    else if (json_at(p, "maxSize") && json_i64_at(p, "maxSize", 0) <= size)
        add_below(v, path, "/persistent", "Max size must be larger than size");
    if (streq(type, "root") && json_array_size(constraints) > 0)
        add_below(
            v, path, "/persistent/constraints", "Constraints on root volumes are not supported");
    for (size_t i = 0; i < json_array_size(constraints); i++) {
        const char *wrong = disk_constraint_check(json_array_get(constraints, i));
        _cleanup_free_ char *at = xasprintf("/persistent/constraints(%zu)", i);
        if (wrong)
            add_below(v, path, at, wrong);
    }
}

static void validate_resident(const json_t *app, struct violations *v)
{
    const json_t *accepted = json_at(app, "acceptedResourceRoles");
    if (!json_is_string(json_at(app, "unreachableStrategy")))
        violation_add(
            v, "/unreachableStrategy", "unreachableStrategy must be disabled for resident tasks");
    if (accepted && (json_array_size(accepted) != 1 ||
                        !streq(json_string_value(json_array_get(accepted, 0)), "*")))
        violation_add(v, "/acceptedResourceRoles",
            "A resident app must have `acceptedResourceRoles = [\"*\"]`.");
    if (streq(json_str_at(app, "role", "*"), "*"))
        violation_add(v, "/role", "Resident apps cannot have the role *");
}

/* ---- external ---- */

static void validate_dvdi(
    const json_t *app, const json_t *volume, const char *path, struct violations *v)
{
    const json_t *e = json_at(volume, "external"), *options = json_at(e, "options");
    bool docker = streq(json_str_at(json_at(app, "container"), "type", ""), "DOCKER");
    if (!json_at(e, "name"))
        add_below(v, path, "/external/name", "not defined");
    if (!json_str_at(options, "dvdi/driver", NULL))
        add_below(v, path, "/external/options/dvdi/driver", "not defined");
    if (json_i64_at(app, "instances", 1) > 1)
        violation_add(v, "/",
            "Number of instances is limited to 1 when declaring DVDI volumes in app [%s]",
            json_str_at(app, "id", ""));
    if (!docker) {
        read_write_only(volume, path, v);
        return;
    }
    if (json_at(e, "size"))
        add_below(v, path, "/external/size", "must be empty");
    if (json_object_size(options) > 1)
        add_below(v, path, "/external/options", "must only contain dvdi/driver");
}

static void validate_csi(
    const json_t *app, const json_t *volume, const char *path, struct violations *v)
{
    const json_t *e = json_at(volume, "external");
    const char *access = json_str_at(
        json_at(json_at(e, "options"), "capability"), "accessMode", "");
    bool writes = !streq(json_str_at(volume, "mode", "RW"), "RO");
    int64_t n = json_i64_at(app, "instances", 1);
    if (n > 1 && !json_bool_at(e, "shared", false))
        violation_add(v, "/instances",
            "got %lld, expected 1 or less while non-shareable CSI volumes are defined",
            (long long)n);
    if (n > 1 && writes && streq(access, "MULTI_NODE_SINGLE_WRITER"))
        violation_add(v, "/instances",
            "got %lld, expected 1 or less while a multi-node single-writer volume is defined "
            "mounted as read/write",
            (long long)n);
    if (writes && has_suffix(access, "_READER_ONLY"))
        add_below(
            v, path, "/mode", "CSI volume must be mounted readonly with a read-only access mode");
}

static void validate_external(
    const json_t *app, const json_t *volume, const char *path, struct violations *v)
{
    const char *provider = json_str_at(json_at(volume, "external"), "provider", "dvdi");
    violation_add(v, path, FEATURE_MISSING, "external_volumes", "external_volumes");
    if (streq(provider, "dvdi"))
        validate_dvdi(app, volume, path, v);
    else if (streq(provider, "csi"))
        validate_csi(app, volume, path, v);
    else
        add_below(v, path, "/external/provider", "is unknown provider");
}

/* ---- all ---- */

static void validate_volume(
    const json_t *app, const json_t *volume, const char *path, struct violations *v)
{
    const char *secret = json_str_at(volume, "secret", NULL);
    if (json_at(volume, "persistent")) {
        validate_persistent(volume, path, v);
    } else if (json_at(volume, "external")) {
        validate_external(app, volume, path, v);
    } else if (secret) {
        if (!json_at(json_at(app, "secrets"), secret))
            add_below(v, path, "/secret", "volume.secret must refer to an existing secret");
    } else {
        if (!*json_str_at(volume, "hostPath", ""))
            add_below(v, path, "/hostPath", "must not be empty");
        if (!json_at(volume, "mode"))
            add_below(v, path, "/mode", "not defined");
    }
}

void validate_volumes(const json_t *app, struct violations *v)
{
    const json_t *volumes = json_at(json_at(app, "container"), "volumes");
    bool repeated = false;
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        const json_t *volume = json_array_get(volumes, i);
        const char *name = json_str_at(json_at(volume, "external"), "name", NULL);
        _cleanup_free_ char *path = xasprintf("/container/volumes(%zu)", i);
        validate_volume(app, volume, path, v);
        for (size_t k = 0; k < i && name; k++) {
            const json_t *other = json_at(json_array_get(volumes, k), "external");
            repeated = repeated || streq(json_str_at(other, "name", NULL), name);
        }
    }
    if (repeated)
        violation_add(v, "/container/volumes", "Volume names must be unique");
    if (app_has_persistent_volumes(app))
        validate_resident(app, v);
    if (app_has_persistent_volumes(app) || app_has_external_volumes(app)) {
        double over = json_double_at(json_at(app, "upgradeStrategy"), "maximumOverCapacity", 0);
        if (over > 0)
            violation_add(
                v, "/upgradeStrategy/maximumOverCapacity", "got %.1f, expected 0.0", over);
    }
}
