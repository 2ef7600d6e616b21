#include "auth/authorizer-internal.h"

#include "base/alloc.h"
#include "base/str.h"

void authorizer_free(struct authorizer *a)
{
    if (!a)
        return;
    arena_done(&a->arena);
    free(a);
}

static bool value_names(const char *value, const char *what, bool roles)
{
    size_t n = strlen(value);
    if (roles && n >= 2 && streq(value + n - 2, "/%")) /* strictly below */
        return strncmp(value, what, n - 1) == 0 && what[n - 1];
    return streq(value, what);
}

static bool fits(const struct auth_entity *e, const char *what, bool roles)
{
    if (e->type != ENTITY_SOME)
        return true;
    for (size_t i = 0; what && i < e->n; i++)
        if (value_names(e->values[i], what, roles))
            return true;
    return false;
}

bool authorizer_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object)
{
    if (!a)
        return true;
    if (a->policy)
        return authorizer_policy_permits(a, who, action, object);
    const struct auth_rule *rules = a->actions[action].items;
    bool roles = a->actions[action].roles;
    for (size_t i = 0; i < a->actions[action].n; i++) {
        if (fits(&rules[i].principals, who->principal, false) &&
            fits(&rules[i].objects, object, roles))
            return rules[i].principals.type != ENTITY_NONE && rules[i].objects.type != ENTITY_NONE;
    }
    return a->permissive;
}

bool authorizer_permits_all(
    const struct authorizer *a, const struct auth_subject *who, enum auth_action action)
{
    if (!a)
        return true;
    if (a->policy)
        return authorizer_policy_permits(a, who, action, NULL);
    const struct auth_rule *rules = a->actions[action].items;
    for (size_t i = 0; i < a->actions[action].n; i++) {
        if (!fits(&rules[i].principals, who->principal, false))
            continue;
        bool permits = rules[i].principals.type != ENTITY_NONE &&
                       rules[i].objects.type != ENTITY_NONE;
        if (!permits)
            return false;
        if (rules[i].objects.type == ENTITY_ANY)
            return true;
    }
    return a->permissive;
}

void authorizer_same(const struct authorizer *a, const struct auth_subject *who,
    const enum auth_action *actions, size_t n, struct buf *out)
{
    if (a && a->policy) {
        buf_printf(out, "%llu:%s", (unsigned long long)*a->generation,
            who->principal ? who->principal : "");
        return;
    }
    /* Which rules are about the subject says all: objects are matched alike for everybody. */
    for (size_t i = 0; a && i < n; i++) {
        const struct auth_rule *rules = a->actions[actions[i]].items;
        for (size_t k = 0; k < a->actions[actions[i]].n; k++) {
            if (rules[k].principals.type == ENTITY_SOME &&
                fits(&rules[k].principals, who->principal, false))
                buf_printf(out, "%zx.", k);
        }
        buf_putc(out, ';');
    }
}
