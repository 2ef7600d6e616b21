/* Resources as messages, in both formats. */

#include <errno.h>
#include <math.h>

#include "kernel/internal.h"
#include "wire/codec.h"

#define RESERVATION Mesos__V1__Resource__ReservationInfo
#define STATIC_TYPE MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__STATIC
#define DYNAMIC_TYPE MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC

int64_t milli_of_double(double x)
{
    return llround(x * 1000.0);
}

double double_of_milli(int64_t milli)
{
    return (double)(milli / 1000) + (double)(milli % 1000) / 1000.0;
}

static bool role_is_set(const Mesos__V1__Resource *r)
{
    return r->role && !streq(r->role, "*");
}

void wire_to_stack(Mesos__V1__Resource *r, struct arena *arena)
{
    if (r->n_reservations == 0 && role_is_set(r)) {
        RESERVATION *entry = arena_alloc(arena, sizeof(*entry));
        mesos__v1__resource__reservation_info__init(entry);
        entry->has_type = true;
        entry->type = r->reservation ? DYNAMIC_TYPE : STATIC_TYPE;
        entry->role = r->role;
        if (r->reservation) {
            entry->principal = r->reservation->principal;
            entry->labels = r->reservation->labels;
        }
        r->reservations = arena_new_array(arena, RESERVATION *, 1);
        r->reservations[0] = entry;
        r->n_reservations = 1;
    }
    r->role = mesos__v1__resource__role__default_value;
    r->reservation = NULL;
}

static void wire_to_role(Mesos__V1__Resource *r, struct arena *arena)
{
    if (r->n_reservations > 1)
        return;
    if (r->n_reservations == 0) {
        /* Said, not left out: old readers expect it. */
        if (!role_is_set(r))
            r->role = arena_strdup(arena, "*");
        return;
    }
    const RESERVATION *top = r->reservations[0];
    if (top->type == DYNAMIC_TYPE) {
        r->reservation = arena_alloc(arena, sizeof(*r->reservation));
        mesos__v1__resource__reservation_info__init(r->reservation);
        r->reservation->principal = top->principal;
        r->reservation->labels = top->labels;
    }
    r->role = top->role;
    r->n_reservations = 0;
    r->reservations = NULL;
}

void resources_wire_upgrade(
    Mesos__V1__Resource **list, size_t n, const char *allocation_role, struct arena *arena)
{
    for (size_t i = 0; i < n; i++) {
        wire_to_stack(list[i], arena);
        Mesos__V1__Resource__AllocationInfo *info = list[i]->allocation_info;
        if (!allocation_role || (info && info->role))
            continue;
        info = arena_alloc(arena, sizeof(*info));
        mesos__v1__resource__allocation_info__init(info);
        info->role = arena_strdup(arena, allocation_role);
        list[i]->allocation_info = info;
    }
}

void resources_wire_downgrade(Mesos__V1__Resource **list, size_t n, struct arena *arena)
{
    for (size_t i = 0; i < n; i++)
        wire_to_role(list[i], arena);
}

/* ---- in ---- */

struct resource resource_from_valid(const Mesos__V1__Resource *r)
{
    struct resource item = {.kind = kind_of_wire(r)};
    if (item.kind->type == RESOURCE_SCALAR) {
        item.milli = milli_of_double(r->scalar->value);
    } else if (item.kind->type == RESOURCE_SET) {
        item.set = set_new(r->set->item, r->set->n_item);
    } else if (r->ranges->n_range == 1) {
        struct range one = {r->ranges->range[0]->begin, r->ranges->range[0]->end};
        item.ranges = ranges_new(&one, 1);
    } else {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        struct range *list = arena_new_array(&arena, struct range, r->ranges->n_range);
        for (size_t i = 0; i < r->ranges->n_range; i++)
            list[i] = (struct range){r->ranges->range[i]->begin, r->ranges->range[i]->end};
        item.ranges = ranges_new(list, r->ranges->n_range);
    }
    return item;
}

int resources_from_wire(
    Mesos__V1__Resource *const *list, size_t n, struct resources *ret, struct error *err)
{
    int r = resources_validate(list, n, err);
    if (r < 0)
        return r;
    struct resources all = RESOURCES_INIT;
    for (size_t i = 0; i < n; i++)
        resources_take(&all, resource_from_valid(list[i]));
    resources_shrink(&all);
    resources_move(ret, &all);
    return 0;
}

/* ---- out ---- */

static void put_value(Mesos__V1__Resource *m, const struct resource *r, struct arena *arena)
{
    if (r->kind->type == RESOURCE_SCALAR) {
        m->scalar = arena_alloc(arena, sizeof(*m->scalar));
        mesos__v1__value__scalar__init(m->scalar);
        m->scalar->has_value = true;
        m->scalar->value = double_of_milli(r->milli);
    } else if (r->kind->type == RESOURCE_RANGES) {
        uint32_t n = r->ranges ? r->ranges->n : 0;
        m->ranges = arena_alloc(arena, sizeof(*m->ranges));
        mesos__v1__value__ranges__init(m->ranges);
        m->ranges->n_range = n;
        m->ranges->range = arena_new_array(arena, Mesos__V1__Value__Range *, n);
        Mesos__V1__Value__Range *all = arena_new_array(arena, Mesos__V1__Value__Range, n);
        for (uint32_t i = 0; i < n; i++) {
            mesos__v1__value__range__init(&all[i]);
            all[i].has_begin = all[i].has_end = true;
            all[i].begin = r->ranges->r[i].begin;
            all[i].end = r->ranges->r[i].end;
            m->ranges->range[i] = &all[i];
        }
    } else {
        uint32_t n = r->set ? r->set->n : 0;
        m->set = arena_alloc(arena, sizeof(*m->set));
        mesos__v1__value__set__init(m->set);
        m->set->n_item = n;
        m->set->item = arena_new_array(arena, char *, n);
        for (uint32_t i = 0; i < n; i++)
            m->set->item[i] = arena_strdup(arena, r->set->items[i]);
    }
}

static bool said_before(const struct resources *r, uint32_t i)
{
    for (uint32_t k = 0; r->items[i].kind->shared && k < i; k++)
        if (resource_equal(&r->items[k], &r->items[i]))
            return true;
    return false;
}

Mesos__V1__Resource **resources_to_wire(
    const struct resources *r, unsigned flags, struct arena *arena, size_t *ret_n)
{
    *ret_n = 0;
    if (r->n == 0)
        return NULL;
    Mesos__V1__Resource **list = arena_new_array(arena, Mesos__V1__Resource *, r->n);
    for (uint32_t i = 0; i < r->n; i++) {
        if (said_before(r, i))
            continue;
        Mesos__V1__Resource *m = resource_kind_to_wire(r->items[i].kind, arena);
        put_value(m, &r->items[i], arena);
        if (flags & RESOURCES_OLD_FORMAT)
            wire_to_role(m, arena);
        if (flags & RESOURCES_NO_ALLOCATION)
            m->allocation_info = NULL;
        list[(*ret_n)++] = m;
    }
    return list;
}
