#ifndef DCOS_AUTH_AUTHORIZER_INTERNAL_H
#define DCOS_AUTH_AUTHORIZER_INTERNAL_H

#include "auth/authorizer.h"
#include "auth/policy.h"
#include "base/arena.h"

struct auth_entity {
    enum { ENTITY_SOME, ENTITY_ANY, ENTITY_NONE } type;
    const char **values; /* SOME */
    size_t n;
};

struct auth_rule {
    struct auth_entity principals, objects;
};

struct authorizer {
    struct arena arena;
    bool permissive;
    struct {
        const struct auth_rule *items;
        size_t n;
        bool roles; /* "a/%" among the objects means what is below a */
    } actions[AUTH_ACTIONS];
    const struct policy *policy; /* decides instead, of the identity service; or NULL */
    const uint64_t *generation;
    const char *component; /* "master" or "agent" */
};

bool authorizer_policy_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object);

#endif
