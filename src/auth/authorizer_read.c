/* The document of --acls to rules by action. */

#include <errno.h>

#include "auth/authorizer-internal.h"
#include "base/alloc.h"
#include "json/json.h"

enum object_kind {
    NAMES,       /* any text */
    ROLES,       /* roles, and "a/%" */
    PATHS,       /* those of the list below */
    ALL_OR_NONE, /* the local authorizer knows no single objects */
};

/* The endpoints whose path is asked for (AUTH_GET_ENDPOINT). */
static const char *const guarded_paths[] = {"/containers", "/containerizer/debug", "/files/debug",
    "/logging/toggle", "/metrics/snapshot", "/monitor/statistics"};

static const struct acl {
    const char *key, *object_key;
    enum object_kind kind;
    enum auth_action action, also; /* also: governed by the same rules; 0 = none */
} acls[] = {
    {"register_frameworks", "roles", ROLES, AUTH_REGISTER_FRAMEWORK},
    {"run_tasks", "users", NAMES, AUTH_RUN_TASK},
    {"teardown_frameworks", "framework_principals", NAMES, AUTH_TEARDOWN_FRAMEWORK},
    {"reserve_resources", "roles", ROLES, AUTH_RESERVE_RESOURCES},
    {"unreserve_resources", "reserver_principals", NAMES, AUTH_UNRESERVE_RESOURCES},
    {"create_volumes", "roles", ROLES, AUTH_CREATE_VOLUME},
    {"destroy_volumes", "creator_principals", NAMES, AUTH_DESTROY_VOLUME},
    {"resize_volumes", "roles", ROLES, AUTH_RESIZE_VOLUME},
    {"create_block_disks", "roles", ROLES, AUTH_CREATE_BLOCK_DISK},
    {"destroy_block_disks", "roles", ROLES, AUTH_DESTROY_BLOCK_DISK},
    {"create_mount_disks", "roles", ROLES, AUTH_CREATE_MOUNT_DISK},
    {"destroy_mount_disks", "roles", ROLES, AUTH_DESTROY_MOUNT_DISK},
    {"destroy_raw_disks", "roles", ROLES, AUTH_DESTROY_RAW_DISK},
    {"get_quotas", "roles", ROLES, AUTH_GET_QUOTA},
    {"update_quotas", "roles", ROLES, AUTH_UPDATE_QUOTA, AUTH_UPDATE_QUOTA_WITH_CONFIG},
    {"update_weights", "roles", ROLES, AUTH_UPDATE_WEIGHT},
    {"view_roles", "roles", ROLES, AUTH_VIEW_ROLE},
    {"get_endpoints", "paths", PATHS, AUTH_GET_ENDPOINT},
    {"view_frameworks", "users", NAMES, AUTH_VIEW_FRAMEWORK},
    {"view_tasks", "users", NAMES, AUTH_VIEW_TASK},
    {"view_executors", "users", NAMES, AUTH_VIEW_EXECUTOR},
    {"access_sandboxes", "users", NAMES, AUTH_ACCESS_SANDBOX},
    {"access_mesos_logs", "logs", ALL_OR_NONE, AUTH_ACCESS_MESOS_LOG},
    {"view_flags", "flags", ALL_OR_NONE, AUTH_VIEW_FLAGS},
    {"set_log_level", "level", ALL_OR_NONE, AUTH_SET_LOG_LEVEL},
    {"register_agents", "agents", ALL_OR_NONE, AUTH_REGISTER_AGENT},
    {"mark_agents_gone", "agents", ALL_OR_NONE, AUTH_MARK_AGENT_GONE},
    {"drain_agents", "agents", ALL_OR_NONE, AUTH_DRAIN_AGENT},
    {"deactivate_agents", "agents", ALL_OR_NONE, AUTH_DEACTIVATE_AGENT},
    {"reactivate_agents", "agents", ALL_OR_NONE, AUTH_REACTIVATE_AGENT},
    {"update_maintenance_schedules", "machines", ALL_OR_NONE, AUTH_UPDATE_MAINTENANCE_SCHEDULE},
    {"get_maintenance_schedules", "machines", ALL_OR_NONE, AUTH_GET_MAINTENANCE_SCHEDULE},
    {"start_maintenances", "machines", ALL_OR_NONE, AUTH_START_MAINTENANCE},
    {"stop_maintenances", "machines", ALL_OR_NONE, AUTH_STOP_MAINTENANCE},
    {"get_maintenance_statuses", "machines", ALL_OR_NONE, AUTH_GET_MAINTENANCE_STATUS},
    {"modify_resource_provider_configs", "resource_providers", ALL_OR_NONE,
        AUTH_MODIFY_RESOURCE_PROVIDER_CONFIG},
    {"mark_resource_providers_gone", "resource_providers", ALL_OR_NONE,
        AUTH_MARK_RESOURCE_PROVIDER_GONE},
    {"view_resource_providers", "resource_providers", ALL_OR_NONE, AUTH_VIEW_RESOURCE_PROVIDER},
    {"prune_images", "images", ALL_OR_NONE, AUTH_PRUNE_IMAGES},
    {"launch_nested_containers_under_parent_with_user", "users", NAMES,
        AUTH_LAUNCH_NESTED_CONTAINER},
    {"launch_nested_containers_as_user", "users", NAMES, AUTH_LAUNCH_NESTED_CONTAINER_AS},
    {"launch_nested_container_sessions_under_parent_with_user", "users", NAMES,
        AUTH_LAUNCH_NESTED_CONTAINER_SESSION},
    {"launch_nested_container_sessions_as_user", "users", NAMES,
        AUTH_LAUNCH_NESTED_CONTAINER_SESSION_AS},
    {"kill_nested_containers", "users", NAMES, AUTH_KILL_NESTED_CONTAINER},
    {"wait_nested_containers", "users", NAMES, AUTH_WAIT_NESTED_CONTAINER},
    {"remove_nested_containers", "users", NAMES, AUTH_REMOVE_NESTED_CONTAINER},
    {"attach_containers_input", "users", NAMES, AUTH_ATTACH_CONTAINER_INPUT},
    {"attach_containers_output", "users", NAMES, AUTH_ATTACH_CONTAINER_OUTPUT},
    {"view_containers", "users", NAMES, AUTH_VIEW_CONTAINER},
    {"launch_standalone_containers", "users", NAMES, AUTH_LAUNCH_STANDALONE_CONTAINER},
    {"kill_standalone_containers", "users", NAMES, AUTH_KILL_STANDALONE_CONTAINER},
    {"wait_standalone_containers", "users", NAMES, AUTH_WAIT_STANDALONE_CONTAINER},
    {"remove_standalone_containers", "users", NAMES, AUTH_REMOVE_STANDALONE_CONTAINER},
    {"view_standalone_containers", "users", NAMES, AUTH_VIEW_STANDALONE_CONTAINER},
};

const char *authorizer_acl(size_t i, const char **ret_object_key)
{
    if (i >= ARRAY_SIZE(acls))
        return NULL;
    *ret_object_key = acls[i].object_key;
    return acls[i].key;
}

static const struct acl *find_acl(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(acls); i++)
        if (streq(acls[i].key, key))
            return &acls[i];
    return NULL;
}

static bool guarded(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(guarded_paths); i++)
        if (streq(guarded_paths[i], path))
            return true;
    return false;
}

static int read_values(struct authorizer *a, const json_t *values, const char *path,
    enum object_kind kind, struct auth_entity *e, struct error *err)
{
    size_t n = json_array_size(values);
    if (n > AUTHORIZER_VALUES_MAX)
        return error_set(err, -EINVAL, "%s/values: more than %d", path, AUTHORIZER_VALUES_MAX);
    e->values = arena_new_array(&a->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(values, i);
        if (!json_is_string(v))
            return error_set(err, -EINVAL, "%s/values/%zu: expected a string", path, i);
        const char *text = json_string_value(v);
        if (kind == PATHS && !guarded(text))
            return error_set(err, -EINVAL, "%s/values/%zu: Path: '%s' is not an authorizable path",
                path, i, text);
        e->values[e->n++] = arena_strdup(&a->arena, text);
    }
    return 0;
}

static int read_entity(struct authorizer *a, const json_t *value, const char *path,
    enum object_kind kind, struct auth_entity *e, struct error *err)
{
    struct {
        const char *type;
        const json_t *values;
    } in = {0};
    static const struct json_field fields[] = {
        {"type", JSON_FIELD_STRING, offsetof(typeof(in), type)},
        {"values", JSON_FIELD_ARRAY, offsetof(typeof(in), values)},
    };
    int r = json_read_object(value, path, fields, ARRAY_SIZE(fields), 0, &in, &a->arena, err);
    if (r < 0)
        return r;
    if (!in.type || streq(in.type, "SOME"))
        e->type = ENTITY_SOME;
    else if (streq(in.type, "ANY"))
        e->type = ENTITY_ANY;
    else if (streq(in.type, "NONE"))
        e->type = ENTITY_NONE;
    else
        return error_set(err, -EINVAL, "%s/type: expected SOME, ANY or NONE", path);
    if (e->type == ENTITY_SOME && kind == ALL_OR_NONE)
        return error_set(err, -EINVAL, "%s: type must be either NONE or ANY", path);
    if (e->type != ENTITY_SOME || !in.values)
        return 0;
    return read_values(a, in.values, path, kind, e, err);
}

static int read_rule(struct authorizer *a, const json_t *value, const char *path,
    const struct acl *acl, struct auth_rule *rule, struct error *err)
{
    struct {
        const json_t *principals, *objects;
    } in = {0};
    const struct json_field fields[] = {
        {"principals", JSON_FIELD_OBJECT, offsetof(typeof(in), principals), .required = true},
        {acl->object_key, JSON_FIELD_OBJECT, offsetof(typeof(in), objects), .required = true},
    };
    int r = json_read_object(value, path, fields, ARRAY_SIZE(fields), 0, &in, &a->arena, err);
    if (r < 0)
        return r;
    const char *at = arena_printf(&a->arena, "%s/principals", path);
    r = read_entity(a, in.principals, at, NAMES, &rule->principals, err);
    if (r < 0)
        return r;
    at = arena_printf(&a->arena, "%s/%s", path, acl->object_key);
    return read_entity(a, in.objects, at, acl->kind, &rule->objects, err);
}

static int read_acl(struct authorizer *a, const char *key, const json_t *rules, struct error *err)
{
    const struct acl *acl = find_acl(key);
    if (!acl)
        return error_set(err, -EINVAL, "/%.100s: there is no such ACL", key);
    if (!json_is_array(rules))
        return error_set(err, -EINVAL, "/%s: expected an array", key);
    size_t n = json_array_size(rules);
    if (n > AUTHORIZER_VALUES_MAX)
        return error_set(err, -EINVAL, "/%s: more than %d rules", key, AUTHORIZER_VALUES_MAX);
    struct auth_rule *items = arena_new_array(&a->arena, struct auth_rule, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *path = arena_printf(&a->arena, "/%s/%zu", key, i);
        int r = read_rule(a, json_array_get(rules, i), path, acl, &items[i], err);
        if (r < 0)
            return r;
    }
    a->actions[acl->action].items = items;
    a->actions[acl->action].n = n;
    a->actions[acl->action].roles = acl->kind == ROLES;
    if (acl->also)
        a->actions[acl->also] = a->actions[acl->action];
    return 0;
}

int authorizer_new(const char *text, size_t n, struct authorizer **ret, struct error *err)
{
    if (n > AUTHORIZER_TEXT_MAX)
        return error_set(err, -EINVAL, "more than %d bytes", AUTHORIZER_TEXT_MAX);
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(text, n, &doc, err);
    if (r < 0)
        return r;
    if (!json_is_object(doc))
        return error_set(err, -EINVAL, "/: expected an object");
    _cleanup_(authorizer_freep)
    struct authorizer *a = xnew(struct authorizer);
    a->permissive = true;
    const char *key;
    json_t *value;
    json_object_foreach(doc, key, value)
    {
        if (streq(key, "permissive")) {
            if (!json_is_boolean(value))
                return error_set(err, -EINVAL, "/permissive: expected true or false");
            a->permissive = json_is_true(value);
            continue;
        }
        r = read_acl(a, key, value, err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(a);
    return 0;
}
