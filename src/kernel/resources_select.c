/* Parts of collections, and collections of another kind. */

#include <errno.h>

#include "kernel/internal.h"
#include "kernel/role.h"
#include "wire/codec.h"

void resources_filter(
    const struct resources *r, resource_predicate keep, const void *userdata, struct resources *ret)
{
    RESOURCES_FOREACH(x, r)
    if (keep(x, userdata))
        resources_take(ret, resource_copy(x));
}

bool resource_is_unreserved(const struct resource *r, const void *unused)
{
    return r->kind->n_reservations == 0;
}

bool resource_is_reserved(const struct resource *r, const void *unused)
{
    return r->kind->n_reservations > 0;
}

bool resource_is_reserved_to(const struct resource *r, const void *role)
{
    return r->kind->n_reservations > 0 && streq(r->kind->role, role);
}

bool resource_is_allocatable_to(const struct resource *r, const void *role)
{
    return r->kind->n_reservations == 0 || streq(r->kind->role, role) ||
           role_is_below(role, r->kind->role);
}

bool resource_is_allocated_to(const struct resource *r, const void *role)
{
    return r->kind->allocation_role && streq(r->kind->allocation_role, role);
}

bool resource_is_revocable(const struct resource *r, const void *unused)
{
    return r->kind->revocable;
}

bool resource_is_nonrevocable(const struct resource *r, const void *unused)
{
    return !r->kind->revocable;
}

bool resource_is_persistent_volume(const struct resource *r, const void *unused)
{
    return r->kind->persistence_id != NULL;
}

bool resource_is_shared(const struct resource *r, const void *unused)
{
    return r->kind->shared;
}

bool resource_is_not_shared(const struct resource *r, const void *unused)
{
    return !r->kind->shared;
}

bool resource_is_named(const struct resource *r, const void *name)
{
    return streq(r->kind->name, name);
}

bool resource_has_refined_reservation(const struct resource *r, const void *unused)
{
    return r->kind->n_reservations > 1 ||
           (r->kind->n_reservations == 1 && strchr(r->kind->role, '/') != NULL);
}

/* ---- other kinds ---- */

/* Takes over both references. */
static void take_as(
    struct resources *to, const struct resource *r, const struct resource_kind *kind)
{
    struct resource item = resource_copy(r);
    resource_kind_unref(item.kind);
    item.kind = kind;
    resources_take(to, item);
}

void resources_allocate(const struct resources *r, const char *role, struct resources *ret)
{
    RESOURCES_FOREACH(x, r)
    take_as(ret, x, kind_with_allocation(x->kind, role));
}

void resources_to_unreserved(const struct resources *r, struct resources *ret)
{
    RESOURCES_FOREACH(x, r)
    {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (x->kind->n_reservations == 0) {
            resources_take(ret, resource_copy(x));
            continue;
        }
        Mesos__V1__Resource *m = resource_kind_to_wire(x->kind, &arena);
        m->n_reservations = 0;
        take_as(ret, x, kind_of_wire(m));
    }
}

int resources_pop_reservation(const struct resources *r, struct resources *ret, struct error *err)
{
    RESOURCES_FOREACH(x, r)
    if (x->kind->n_reservations == 0)
        return error_set(err, -EINVAL, "'%s' is not reserved", x->kind->name);
    RESOURCES_FOREACH(x, r)
    {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__Resource *m = resource_kind_to_wire(x->kind, &arena);
        m->n_reservations--;
        take_as(ret, x, kind_of_wire(m));
    }
    return 0;
}

int resources_push_reservation(const struct resources *r,
    const Mesos__V1__Resource__ReservationInfo *reservation, struct resources *ret,
    struct error *err)
{
    struct resources changed = RESOURCES_INIT;
    RESOURCES_FOREACH(x, r)
    {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct resources one = {.items = (struct resource *)(uintptr_t)x, .n = 1};
        size_t n;
        Mesos__V1__Resource *m = resources_to_wire(&one, 0, &arena, &n)[0];
        Mesos__V1__Resource__ReservationInfo **stack = arena_new_array(
            &arena, Mesos__V1__Resource__ReservationInfo *, m->n_reservations + 1);
        if (m->n_reservations)
            memcpy(stack, m->reservations, m->n_reservations * sizeof(*stack));
        stack[m->n_reservations++] = (Mesos__V1__Resource__ReservationInfo *)wire_clone(
            &reservation->base, &arena);
        m->reservations = stack;
        int e = resource_validate(m, err);
        if (e < 0) {
            resources_done(&changed);
            return e;
        }
        take_as(&changed, x, kind_of_wire(m));
    }
    resources_move(ret, &changed);
    return 0;
}

void resources_without_persistence(const struct resources *r, struct resources *ret)
{
    RESOURCES_FOREACH(x, r)
    {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (!x->kind->persistence_id) {
            resources_take(ret, resource_copy(x));
            continue;
        }
        Mesos__V1__Resource *m = resource_kind_to_wire(x->kind, &arena);
        m->disk->persistence = NULL;
        m->disk->volume = NULL;
        if (!m->disk->source)
            m->disk = NULL;
        m->shared = NULL;
        take_as(ret, x, kind_of_wire(m));
    }
}
