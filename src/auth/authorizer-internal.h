#ifndef DCOS_AUTH_AUTHORIZER_INTERNAL_H
#define DCOS_AUTH_AUTHORIZER_INTERNAL_H

#include "auth/authorizer.h"
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
};

#endif
