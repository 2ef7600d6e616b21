#ifndef DCOS_AUTH_AUTHORIZER_H
#define DCOS_AUTH_AUTHORIZER_H

/*
 * Who may do what.
 *
 * A subject is who calls, an action what they want, an object what it is done to: a role, a user, a
 * principal, a path, depending on the action. Names and numbers of the actions are those of Mesos'
 * authorizer interface.
 */

#include <stdbool.h>
#include <stddef.h>

/* One claim of a token. */
struct auth_claim {
    const char *name, *value;
};

/* Who calls. Text belongs to whoever made it, usually the arena of a request. */
struct auth_subject {
    const char *principal; /* NULL: nobody, or known by claims only */
    const struct auth_claim *claims;
    size_t n_claims;
};

enum auth_action {
    AUTH_REGISTER_FRAMEWORK = 1,       /* object: role */
    AUTH_RUN_TASK = 2,                 /* user */
    AUTH_TEARDOWN_FRAMEWORK = 3,       /* principal of the framework */
    AUTH_RESERVE_RESOURCES = 4,        /* role */
    AUTH_UNRESERVE_RESOURCES = 5,      /* principal of who reserved */
    AUTH_CREATE_VOLUME = 6,            /* role */
    AUTH_DESTROY_VOLUME = 7,           /* principal of who created */
    AUTH_GET_ENDPOINT = 8,             /* path */
    AUTH_VIEW_ROLE = 9,                /* role */
    AUTH_UPDATE_WEIGHT = 10,           /* role */
    AUTH_GET_QUOTA = 11,               /* role */
    AUTH_UPDATE_QUOTA = 12,            /* role */
    AUTH_VIEW_FRAMEWORK = 13,          /* user */
    AUTH_VIEW_TASK = 14,               /* user */
    AUTH_VIEW_EXECUTOR = 15,           /* user */
    AUTH_ACCESS_SANDBOX = 16,          /* user */
    AUTH_ACCESS_MESOS_LOG = 17,        /* any */
    AUTH_VIEW_FLAGS = 18,              /* any */
    AUTH_LAUNCH_NESTED_CONTAINER = 19, /* user */
    AUTH_KILL_NESTED_CONTAINER = 20,
    AUTH_WAIT_NESTED_CONTAINER = 21,
    AUTH_LAUNCH_NESTED_CONTAINER_SESSION = 22,
    AUTH_ATTACH_CONTAINER_INPUT = 23,
    AUTH_ATTACH_CONTAINER_OUTPUT = 24,
    AUTH_VIEW_CONTAINER = 25, /* user */
    AUTH_SET_LOG_LEVEL = 26,  /* any */
    AUTH_REMOVE_NESTED_CONTAINER = 27,
    AUTH_REGISTER_AGENT = 28,              /* any */
    AUTH_UPDATE_MAINTENANCE_SCHEDULE = 29, /* any, as all about machines */
    AUTH_GET_MAINTENANCE_SCHEDULE = 30,
    AUTH_START_MAINTENANCE = 31,
    AUTH_STOP_MAINTENANCE = 32,
    AUTH_GET_MAINTENANCE_STATUS = 33,
    AUTH_MARK_AGENT_GONE = 34, /* any */
    AUTH_LAUNCH_STANDALONE_CONTAINER = 35,
    AUTH_KILL_STANDALONE_CONTAINER = 36,
    AUTH_WAIT_STANDALONE_CONTAINER = 37,
    AUTH_REMOVE_STANDALONE_CONTAINER = 38,
    AUTH_MODIFY_RESOURCE_PROVIDER_CONFIG = 39,
    AUTH_VIEW_STANDALONE_CONTAINER = 40,
    AUTH_PRUNE_IMAGES = 41,
    AUTH_RESIZE_VOLUME = 42, /* role */
    AUTH_CREATE_BLOCK_DISK = 43,
    AUTH_DESTROY_BLOCK_DISK = 44,
    AUTH_CREATE_MOUNT_DISK = 45,
    AUTH_DESTROY_MOUNT_DISK = 46,
    AUTH_VIEW_RESOURCE_PROVIDER = 47,
    AUTH_MARK_RESOURCE_PROVIDER_GONE = 48,
    AUTH_DESTROY_RAW_DISK = 49,
    AUTH_UPDATE_QUOTA_WITH_CONFIG = 50, /* role */
    AUTH_DRAIN_AGENT = 51,              /* any */
    AUTH_DEACTIVATE_AGENT = 52,         /* any */
    AUTH_REACTIVATE_AGENT = 53,         /* any */
    AUTH_ACTIONS
};

struct authorizer;

/* `object` NULL: any object. A NULL authorizer permits everything. */
bool authorizer_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object);

#endif
