#include "auth/authorizer-internal.h"

#include "base/alloc.h"
#include "base/str.h"

/*
 * Actions in the words of the identity service: which resource of "dcos:mesos:master:" or
 * "dcos:mesos:agent:", and which of create, read, update and delete.
 */

static const struct rule {
    const char *rid;   /* narrowed by the object, where there is one */
    unsigned action;   /* POLICY_CREATE, ... */
    bool object;       /* the object narrows it */
    const char *broad; /* permits it too, for all objects; or NULL */
} rules[AUTH_ACTIONS] = {
    [AUTH_REGISTER_FRAMEWORK] = {"framework:role", POLICY_CREATE, true, NULL},
    [AUTH_RUN_TASK] = {"task:user", POLICY_CREATE, true, NULL},
    [AUTH_TEARDOWN_FRAMEWORK] = {"framework:principal", POLICY_DELETE, true, NULL},
    [AUTH_RESERVE_RESOURCES] = {"reservation:role", POLICY_CREATE, true, NULL},
    [AUTH_UNRESERVE_RESOURCES] = {"reservation:principal", POLICY_DELETE, true, NULL},
    [AUTH_CREATE_VOLUME] = {"volume:role", POLICY_CREATE, true, NULL},
    [AUTH_DESTROY_VOLUME] = {"volume:principal", POLICY_DELETE, true, NULL},
    [AUTH_RESIZE_VOLUME] = {"volume:role", POLICY_CREATE, true, NULL},
    [AUTH_GET_ENDPOINT] = {"endpoint:path", POLICY_READ, true, NULL},
    [AUTH_VIEW_ROLE] = {"framework:role", POLICY_READ, true, "weight:role"},
    [AUTH_UPDATE_WEIGHT] = {"weight:role", POLICY_UPDATE, true, NULL},
    [AUTH_GET_QUOTA] = {"quota:role", POLICY_READ, true, NULL},
    [AUTH_UPDATE_QUOTA] = {"quota:role", POLICY_UPDATE, true, NULL},
    [AUTH_UPDATE_QUOTA_WITH_CONFIG] = {"quota:role", POLICY_UPDATE, true, NULL},
    /* What runs is told apart by its user; the ids of applications permit all of it. */
    [AUTH_VIEW_FRAMEWORK] = {"framework:user", POLICY_READ, true, "framework:role"},
    [AUTH_VIEW_TASK] = {"task:user", POLICY_READ, true, "task:app_id"},
    [AUTH_VIEW_EXECUTOR] = {"executor:user", POLICY_READ, true, "executor:app_id"},
    [AUTH_ACCESS_SANDBOX] = {"sandbox:user", POLICY_READ, true, "sandbox:app_id"},
    [AUTH_VIEW_CONTAINER] = {"container:user", POLICY_READ, true, "container:app_id"},
    [AUTH_ACCESS_MESOS_LOG] = {"log", POLICY_READ, false, NULL},
    [AUTH_SET_LOG_LEVEL] = {"log", POLICY_UPDATE, false, NULL},
    [AUTH_VIEW_FLAGS] = {"flags", POLICY_READ, false, NULL},
    [AUTH_LAUNCH_NESTED_CONTAINER] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    [AUTH_KILL_NESTED_CONTAINER] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    [AUTH_WAIT_NESTED_CONTAINER] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    [AUTH_REMOVE_NESTED_CONTAINER] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    [AUTH_ATTACH_CONTAINER_INPUT] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    [AUTH_ATTACH_CONTAINER_OUTPUT] = {"container:user", POLICY_UPDATE, true, "container:app_id"},
    /* First the container, then the user that the command runs as. */
    [AUTH_LAUNCH_NESTED_CONTAINER_SESSION] = {"nested_container_session:app_id", POLICY_CREATE,
        false, NULL},
    [AUTH_LAUNCH_NESTED_CONTAINER_SESSION_AS] = {"nested_container_session:user", POLICY_CREATE,
        true, NULL},
    [AUTH_LAUNCH_NESTED_CONTAINER_AS] = {"nested_container:user", POLICY_CREATE, true, NULL},
    [AUTH_REGISTER_AGENT] = {"agent", POLICY_CREATE, false, NULL},
    [AUTH_UPDATE_MAINTENANCE_SCHEDULE] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_GET_MAINTENANCE_SCHEDULE] = {"agent", POLICY_READ, false, NULL},
    [AUTH_START_MAINTENANCE] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_STOP_MAINTENANCE] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_GET_MAINTENANCE_STATUS] = {"agent", POLICY_READ, false, NULL},
    [AUTH_MARK_AGENT_GONE] = {"agent", POLICY_DELETE, false, NULL},
    [AUTH_DRAIN_AGENT] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_DEACTIVATE_AGENT] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_REACTIVATE_AGENT] = {"agent", POLICY_UPDATE, false, NULL},
    [AUTH_LAUNCH_STANDALONE_CONTAINER] = {"standalone_container", POLICY_CREATE, false, NULL},
    [AUTH_KILL_STANDALONE_CONTAINER] = {"standalone_container", POLICY_UPDATE, false, NULL},
    [AUTH_WAIT_STANDALONE_CONTAINER] = {"standalone_container", POLICY_READ, false, NULL},
    [AUTH_VIEW_STANDALONE_CONTAINER] = {"standalone_container", POLICY_READ, false, NULL},
    [AUTH_REMOVE_STANDALONE_CONTAINER] = {"standalone_container", POLICY_DELETE, false, NULL},
    [AUTH_MODIFY_RESOURCE_PROVIDER_CONFIG] = {"resource_provider_config", POLICY_UPDATE, false,
        NULL},
    [AUTH_VIEW_RESOURCE_PROVIDER] = {"resource_provider", POLICY_READ, false, NULL},
    [AUTH_MARK_RESOURCE_PROVIDER_GONE] = {"resource_provider", POLICY_DELETE, false, NULL},
    [AUTH_PRUNE_IMAGES] = {"image", POLICY_DELETE, false, NULL},
    [AUTH_CREATE_BLOCK_DISK] = {"block_disk", POLICY_CREATE, false, NULL},
    [AUTH_DESTROY_BLOCK_DISK] = {"block_disk", POLICY_DELETE, false, NULL},
    [AUTH_CREATE_MOUNT_DISK] = {"mount_disk", POLICY_CREATE, false, NULL},
    [AUTH_DESTROY_MOUNT_DISK] = {"mount_disk", POLICY_DELETE, false, NULL},
    [AUTH_DESTROY_RAW_DISK] = {"raw_disk", POLICY_DELETE, false, NULL},
};

struct authorizer *authorizer_new_policy(
    const struct policy *policy, const uint64_t *generation, const char *component)
{
    struct authorizer *a = xnew(struct authorizer);
    a->policy = policy;
    a->generation = generation;
    a->component = component;
    return a;
}

/* A colon in an object would make it look like something below another one. */
static void append_object(struct buf *out, const char *object)
{
    buf_putc(out, ':');
    for (const char *c = object; *c; c++) {
        if (*c == ':' || *c == '%')
            buf_printf(out, "%%%02X", (unsigned char)*c);
        else
            buf_putc(out, *c);
    }
}

bool authorizer_rid(const struct authorizer *a, enum auth_action action, const char *object,
    struct buf *out, unsigned *ret_action)
{
    const struct rule *r = &rules[action];
    if (!r->rid)
        return false;
    buf_printf(out, "dcos:mesos:%s:%s", a->component, r->rid);
    if (r->object && object && *object)
        append_object(out, object);
    *ret_action = r->action;
    return true;
}

bool authorizer_policy_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object)
{
    _cleanup_buf_ struct buf rid = BUF_INIT;
    unsigned bit;
    if (!who->principal || !authorizer_rid(a, action, object, &rid, &bit))
        return false;
    if (policy_allows(a->policy, who->principal, buf_cstr(&rid), bit))
        return true;
    if (!rules[action].broad)
        return false;
    buf_clear(&rid);
    buf_printf(&rid, "dcos:mesos:%s:%s", a->component, rules[action].broad);
    return policy_allows(a->policy, who->principal, buf_cstr(&rid), bit);
}
