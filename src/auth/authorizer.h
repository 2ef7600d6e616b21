#ifndef DCOS_AUTH_AUTHORIZER_H
#define DCOS_AUTH_AUTHORIZER_H

/*
 * Who may do what.
 *
 * A subject is who calls, an action what they want, an object what it is done to: a role, a user, a
 * principal, a path, depending on the action. Names and numbers of the actions are those of Mesos'
 * authorizer interface.
 */

#include "base/buf.h"
#include "base/error.h"

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
    /* Ours: rules of their own in the file, one action with two objects in Mesos' interface. 19 and
     * 22 ask for the user of the parent, these for the user of the command. */
    AUTH_LAUNCH_NESTED_CONTAINER_AS = 54,
    AUTH_LAUNCH_NESTED_CONTAINER_SESSION_AS = 55,
    AUTH_ACTIONS
};

/*
 * Rules from the document of the flag --acls, as Mesos' local authorizer reads it:
 *
 *     {"permissive": false,
 *      "view_tasks": [{"principals": {"values": ["ops"]}, "users": {"type": "ANY"}}, ...], ...}
 *
 * The rules of an action are tried in order. The first that fits both subject and object decides;
 * where none fits, `permissive` does (true unless given). ANY and NONE fit everybody and
 * everything, ANY permits and NONE refuses; values fit who or what they name. Who has no principal,
 * and an object that is not known, fit only ANY and NONE. Among roles "a/%" names all below a.
 *
 * Differences: a key that is not one of the format is an error here, since a misspelt rule would
 * silently not be one.
 */
struct authorizer; /* immutable once made */

enum {
    AUTHORIZER_TEXT_MAX = 1024 * 1024,
    AUTHORIZER_VALUES_MAX = 10000, /* of one rule, and rules of one action */
};

/* -EBADMSG or -EINVAL with where and why: "/view_tasks/0/users: ...". */
int authorizer_new(const char *text, size_t n, struct authorizer **ret, struct error *err);
/* Name of the i-th list of rules that a document can have, and of its objects; NULL at the end. */
const char *authorizer_acl(size_t i, const char **ret_object_key);

/*
 * The identity service's permissions instead of rules in a file: each action is one of create,
 * read, update, delete on a resource id below "dcos:mesos:<component>:", which the object narrows
 * ("dcos:mesos:master:framework:role:dev"); colons in objects are written "%3A". Who is not a user
 * of the service may do nothing, superusers everything. The answers change when the policy does;
 * `generation` counts its changes. Both, and the text, must outlive the authorizer.
 */
struct policy;
struct authorizer *authorizer_new_policy(
    const struct policy *policy, const uint64_t *generation, const char *component);
/* What an action asks for, of an authorizer of this kind. False: such an action is never permitted.
 */
bool authorizer_rid(const struct authorizer *a, enum auth_action action, const char *object,
    struct buf *out, unsigned *ret_action);
void authorizer_free(struct authorizer *a);
DEFINE_CLEANUP(struct authorizer *, authorizer_free)

/* `object` NULL: any object. A NULL authorizer permits everything. Pure: the same answer each time.
 */
bool authorizer_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object);
/* Whether the subject may do it to every object there can be. */
bool authorizer_permits_all(
    const struct authorizer *a, const struct auth_subject *who, enum auth_action action);
/* Appends text that is the same for subjects who are permitted the same in all of the actions: what
 * one of them is shown can be shown to the other. Nothing for a NULL authorizer. */
void authorizer_same(const struct authorizer *a, const struct auth_subject *who,
    const enum auth_action *actions, size_t n, struct buf *out);

#endif
