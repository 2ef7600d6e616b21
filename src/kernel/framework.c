#include "kernel/framework.h"

#include <errno.h>
#include <math.h>

#include "base/clock.h"
#include "base/map.h"
#include "kernel/ids.h"
#include "kernel/role.h"

/* A Duration is nanoseconds in 64 bits. */
#define DURATION_SECS_MAX ((double)INT64_MAX / 1e9)

uint32_t framework_capabilities(const Mesos__V1__FrameworkInfo *info)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < info->n_capabilities; i++) {
        const Mesos__V1__FrameworkInfo__Capability *c = info->capabilities[i];
        if (c->has_type && (int)c->type > 0 && (int)c->type < 32)
            bits |= UINT32_C(1) << c->type;
    }
    return bits;
}

const char **framework_roles(
    const Mesos__V1__FrameworkInfo *info, struct arena *arena, size_t *ret_n)
{
    bool multi = framework_capabilities(info) & FRAMEWORK_MULTI_ROLE;
    size_t n = multi ? info->n_roles : 1;
    const char **roles = arena_new_array(arena, const char *, n);
    if (multi)
        for (size_t i = 0; i < n; i++)
            roles[i] = info->roles[i];
    else
        roles[0] = info->role ? info->role : "*";
    *ret_n = n;
    return roles;
}

bool framework_has_role(const Mesos__V1__FrameworkInfo *info, const char *role)
{
    if (!(framework_capabilities(info) & FRAMEWORK_MULTI_ROLE))
        return streq(info->role ? info->role : "*", role);
    for (size_t i = 0; i < info->n_roles; i++)
        if (streq(info->roles[i], role))
            return true;
    return false;
}

int64_t framework_failover_timeout_us(const Mesos__V1__FrameworkInfo *info)
{
    double secs = info->has_failover_timeout ? info->failover_timeout : 0.0;
    if (!(secs > 0))
        return 0;
    return secs >= DURATION_SECS_MAX ? INT64_MAX / 1000 : (int64_t)(secs * (double)USEC_PER_SEC);
}

/* ---- validation ---- */

static int validate_roles(const Mesos__V1__FrameworkInfo *info, struct error *err)
{
    bool multi = framework_capabilities(info) & FRAMEWORK_MULTI_ROLE;
    bool has_role = info->role && info->role != mesos__v1__framework_info__role__default_value;
    if (multi && has_role)
        return error_set(
            err, -EINVAL, "'FrameworkInfo.role' must not be set by a MULTI_ROLE framework");
    if (!multi && info->n_roles > 0)
        return error_set(err, -EINVAL,
            "'FrameworkInfo.roles' must not be set without the MULTI_ROLE capability");
    if (info->n_roles > FRAMEWORK_ROLES_MAX)
        return error_set(err, -EINVAL, "more than %d roles", FRAMEWORK_ROLES_MAX);
    if (has_role)
        return role_validate(info->role, err);
    struct map seen = MAP_INIT;
    int r = 0;
    for (size_t i = 0; r == 0 && i < info->n_roles; i++) {
        if (map_put(&seen, info->roles[i], info->roles[i]))
            r = error_set(
                err, -EINVAL, "'FrameworkInfo.roles' contains '%.200s' twice", info->roles[i]);
        else
            r = role_validate(info->roles[i], err);
    }
    map_done(&seen);
    return r;
}

static int validate_offer_filter(
    const char *role, const Mesos__V1__OfferFilters *filters, struct error *err)
{
    if (!filters || !filters->min_allocatable_resources)
        return 0;
    const Mesos__V1__OfferFilters__MinAllocatableResources *min =
        filters->min_allocatable_resources;
    for (size_t i = 0; i < min->n_quantities; i++) {
        const Mesos__V1__OfferFilters__ResourceQuantities *set = min->quantities[i];
        if (set->n_quantities == 0)
            return error_set(err, -EINVAL,
                "Invalid offer filters for role '%.200s': resource quantities must not be empty",
                role);
        for (size_t k = 0; k < set->n_quantities; k++) {
            const Mesos__V1__Value__Scalar *v = set->quantities[k]->value;
            double x = v ? v->value : (double)NAN;
            int class = fpclassify(x);
            if ((class != FP_NORMAL && class != FP_ZERO) || x < 0)
                return error_set(err, -EINVAL,
                    "Invalid offer filters for role '%.200s': quantity of '%.100s' must be finite "
                    "and not negative",
                    role, set->quantities[k]->key ? set->quantities[k]->key : "");
        }
    }
    return 0;
}

int framework_info_validate(const Mesos__V1__FrameworkInfo *info, struct error *err)
{
    if (protobuf_c_message_get_packed_size(&info->base) > FRAMEWORK_INFO_BYTES_MAX)
        return error_set(
            err, -EINVAL, "'FrameworkInfo' is larger than %d bytes", FRAMEWORK_INFO_BYTES_MAX);
    int r = validate_roles(info, err);
    if (r < 0)
        return r;
    if (info->id && info->id->value && info->id->value[0] &&
        (r = id_validate(info->id->value, err)) < 0)
        return error_prefix(err, r, "Framework ID '%.255s' is invalid", info->id->value);
    for (size_t i = 0; i < info->n_offer_filters; i++) {
        const char *role = info->offer_filters[i]->key ? info->offer_filters[i]->key : "";
        if ((r = validate_offer_filter(role, info->offer_filters[i]->value, err)) < 0)
            return r;
    }
    double timeout = info->has_failover_timeout ? info->failover_timeout : 0.0;
    if (!(fabs(timeout) < DURATION_SECS_MAX))
        return error_set(
            err, -EINVAL, "'FrameworkInfo.failover_timeout' is not a representable duration");
    return 0;
}

int framework_validate_suppressed(
    const Mesos__V1__FrameworkInfo *info, char *const *roles, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        int r = role_validate(roles[i], err);
        if (r < 0)
            return error_prefix(err, r, "Suppressed role is invalid");
        if (!framework_has_role(info, roles[i]))
            return error_set(err, -EINVAL,
                "Suppressed role '%.200s' is not among the roles of the framework", roles[i]);
    }
    return 0;
}

static const char *constraint_problem(const Mesos__V1__Scheduler__AttributeConstraint *c)
{
    const Mesos__V1__Scheduler__AttributeConstraint__Selector *s = c->selector;
    const Mesos__V1__Scheduler__AttributeConstraint__Predicate *p = c->predicate;
    if (!s || (!s->attribute_name && !s->has_pseudoattribute_type))
        return "an attribute constraint has no selector";
    if (s->has_pseudoattribute_type &&
        s->pseudoattribute_type ==
            MESOS__V1__SCHEDULER__ATTRIBUTE_CONSTRAINT__SELECTOR__PSEUDOATTRIBUTE_TYPE__UNKNOWN)
        return "an attribute constraint selects an unknown pseudo attribute";
    if (!p)
        return "an attribute constraint has no predicate";
    int n = !!p->exists + !!p->not_exists + !!p->text_equals + !!p->text_not_equals +
            !!p->text_matches + !!p->text_not_matches;
    return n == 1 ? NULL : "an attribute constraint must have exactly one predicate";
}

int framework_validate_constraints(const Mesos__V1__FrameworkInfo *info,
    const Mesos__V1__Scheduler__OfferConstraints *constraints, struct error *err)
{
    for (size_t i = 0; i < constraints->n_role_constraints; i++) {
        const char *role = constraints->role_constraints[i]->key;
        const Mesos__V1__Scheduler__OfferConstraints__RoleConstraints *c =
            constraints->role_constraints[i]->value;
        const char *why = NULL;
        if (!role || !framework_has_role(info, role))
            why = "the framework is not subscribed to the role";
        else if (!c || c->n_groups == 0)
            why = "there is no group of constraints";
        for (size_t g = 0; !why && g < c->n_groups; g++) {
            if (c->groups[g]->n_attribute_constraints == 0)
                why = "a group of constraints is empty";
            for (size_t k = 0; !why && k < c->groups[g]->n_attribute_constraints; k++)
                why = constraint_problem(c->groups[g]->attribute_constraints[k]);
        }
        if (why)
            return error_set(err, -EINVAL, "Offer constraints for role '%.200s' are invalid: %s",
                role ? role : "", why);
    }
    return 0;
}

int framework_validate_update(
    const Mesos__V1__FrameworkInfo *old, const Mesos__V1__FrameworkInfo *info, struct error *err)
{
    if (!streq(old->principal, info->principal))
        return error_set(err, -EINVAL, "Changing 'FrameworkInfo.principal' is not allowed");
    if (!streq(old->user, info->user))
        return error_set(err, -EINVAL, "Changing 'FrameworkInfo.user' is not allowed");
    if (!(old->has_checkpoint && old->checkpoint) != !(info->has_checkpoint && info->checkpoint))
        return error_set(err, -EINVAL, "Changing 'FrameworkInfo.checkpoint' is not allowed");
    return 0;
}
