/* Which resource messages are acceptable. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "kernel/internal.h"
#include "kernel/role.h"

typedef Mesos__V1__Resource__DiskInfo__Source disk_source;

static int invalid(struct error *err, const Mesos__V1__Resource *r, const char *why)
{
    return error_set(err, -EINVAL, "Invalid resource '%.100s': %s", r->name, why);
}

/* ---- values ---- */

static int validate_scalar(const Mesos__V1__Resource *r, struct error *err)
{
    if (!r->scalar || !r->scalar->has_value || r->ranges || r->set)
        return invalid(err, r, "a SCALAR has a scalar and nothing else");
    double v = r->scalar->value;
    if (!isfinite(v))
        return invalid(err, r, "value is not finite");
    if (v < 0)
        return invalid(err, r, "value is negative");
    if (v > (double)(RESOURCE_MILLI_MAX / 1000))
        return invalid(err, r, "value is too large");
    if (v > 0 && milli_of_double(v) <= 0)
        return invalid(err, r, "value is smaller than 0.001");
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const Mesos__V1__Value__Range *x = *(Mesos__V1__Value__Range *const *)a,
                                  *y = *(Mesos__V1__Value__Range *const *)b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int validate_ranges(const Mesos__V1__Resource *r, struct error *err)
{
    if (!r->ranges || r->scalar || r->set)
        return invalid(err, r, "RANGES have ranges and nothing else");
    size_t n = r->ranges->n_range;
    if (n > RANGES_MAX)
        return invalid(err, r, "too many ranges");
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Value__Range *x = r->ranges->range[i];
        if (!x->has_begin || !x->has_end || x->begin > x->end)
            return invalid(err, r, "a range ends before it begins");
    }
    if (n < 2)
        return 0;
    Mesos__V1__Value__Range **sorted = xmemdup(r->ranges->range, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_begin);
    bool overlap = false;
    for (size_t i = 1; i < n; i++)
        overlap = overlap || sorted[i]->begin <= sorted[i - 1]->end;
    free(sorted);
    return overlap ? invalid(err, r, "ranges overlap") : 0;
}

static int validate_set(const Mesos__V1__Resource *r, struct error *err)
{
    if (!r->set || r->scalar || r->ranges)
        return invalid(err, r, "a SET has a set and nothing else");
    if (r->set->n_item > RESOURCE_SET_MAX)
        return invalid(err, r, "too many items");
    struct resource_set *distinct = set_new(r->set->item, r->set->n_item);
    bool duplicates = (distinct ? distinct->n : 0) != r->set->n_item;
    set_unref(distinct);
    return duplicates ? invalid(err, r, "an item appears twice") : 0;
}

/* ---- disk ---- */

static int validate_disk(const Mesos__V1__Resource *r, struct error *err)
{
    const Mesos__V1__Resource__DiskInfo *disk = r->disk;
    if (!streq(r->name, "disk"))
        return invalid(err, r, "only 'disk' may have disk information");
    const disk_source *source = disk->source;
    if (source) {
        bool path = source->path != NULL, mount = source->mount != NULL;
        if (!source->has_type)
            return invalid(err, r, "disk source lacks its type");
        switch (source->type) {
        case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__PATH:
            if (mount)
                return invalid(err, r, "a PATH disk must not have a mount");
            break;
        case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__MOUNT:
            if (path)
                return invalid(err, r, "a MOUNT disk must not have a path");
            break;
        case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__BLOCK:
        case MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__RAW:
            if (path || mount)
                return invalid(err, r, "a BLOCK or RAW disk has neither path nor mount");
            break;
        default:
            return invalid(err, r, "unsupported type of disk source");
        }
    }
    if (disk->persistence && (!disk->persistence->id || !disk->persistence->id[0]))
        return invalid(err, r, "persistence id is empty");
    if (disk->persistence && r->revocable)
        return invalid(err, r, "a persistent volume cannot be revocable");
    return 0;
}

/* ---- reservations ---- */

static int validate_stack(const Mesos__V1__Resource *r, struct error *err)
{
    if (r->n_reservations > RESERVATIONS_MAX)
        return invalid(err, r, "too many reservations");
    for (size_t i = 0; i < r->n_reservations; i++) {
        const Mesos__V1__Resource__ReservationInfo *x = r->reservations[i];
        if (!x->has_type || x->type == MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__UNKNOWN)
            return invalid(err, r, "a reservation lacks its type");
        bool dynamic = x->type == MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
        if (!dynamic && i > 0)
            return invalid(err, r, "a refined reservation must be DYNAMIC");
        if (dynamic && r->revocable)
            return invalid(err, r, "revocable resources cannot be reserved");
        if (!x->role)
            return invalid(err, r, "a reservation lacks its role");
        struct error why = ERROR_INIT;
        if (role_validate(x->role, &why) < 0)
            return invalid(err, r, why.msg);
        if (streq(x->role, "*"))
            return invalid(err, r, "role '*' cannot be reserved");
        if (i > 0 && !role_is_below(x->role, r->reservations[i - 1]->role))
            return invalid(
                err, r, "the role of a refined reservation must be below the one it refines");
    }
    return 0;
}

static int validate_old_format(const Mesos__V1__Resource *r, struct error *err)
{
    const Mesos__V1__Resource__ReservationInfo *reservation = r->reservation;
    bool reserved = r->role && !streq(r->role, "*");
    if (reservation && (reservation->has_type || reservation->role))
        return invalid(err, r, "in the old format a reservation has no type and no role");
    if (reservation && !reserved && r->n_reservations == 0)
        return invalid(err, r, "role '*' cannot be reserved");
    if (reservation && r->revocable)
        return invalid(err, r, "revocable resources cannot be reserved");
    if (reserved) {
        struct error why = ERROR_INIT;
        if (role_validate(r->role, &why) < 0)
            return invalid(err, r, why.msg);
    }
    if (r->n_reservations == 0 || (!reserved && !reservation))
        return 0;
    /* Both formats at once have to say the same. */
    const Mesos__V1__Resource__ReservationInfo *top = r->reservations[0];
    bool dynamic = top->type == MESOS__V1__RESOURCE__RESERVATION_INFO__TYPE__DYNAMIC;
    if (r->n_reservations > 1 || !streq(r->role, top->role) || dynamic != (reservation != NULL) ||
        (reservation && !streq(reservation->principal, top->principal)))
        return invalid(err, r, "'role' and 'reservation' contradict 'reservations'");
    return 0;
}

int resource_validate(const Mesos__V1__Resource *r, struct error *err)
{
    if (!r->name || !r->name[0])
        return error_set(err, -EINVAL, "Invalid resource: the name is empty");
    if (strlen(r->name) > RESOURCE_NAME_MAX)
        return invalid(err, r, "the name is too long");
    if (!r->has_type)
        return invalid(err, r, "the type is missing");
    int e;
    switch (r->type) {
    case MESOS__V1__VALUE__TYPE__SCALAR:
        e = validate_scalar(r, err);
        break;
    case MESOS__V1__VALUE__TYPE__RANGES:
        e = validate_ranges(r, err);
        break;
    case MESOS__V1__VALUE__TYPE__SET:
        e = validate_set(r, err);
        break;
    default:
        return invalid(err, r, "unsupported type");
    }
    if (e < 0 || (r->disk && (e = validate_disk(r, err)) < 0) || (e = validate_stack(r, err)) < 0 ||
        (e = validate_old_format(r, err)) < 0)
        return e;
    if (r->shared && !(r->disk && r->disk->persistence))
        return invalid(err, r, "only persistent volumes can be shared");
    return 0;
}

int resources_validate(Mesos__V1__Resource *const *list, size_t n, struct error *err)
{
    if (n > RESOURCES_MAX)
        return error_set(err, -EINVAL, "more than %d resources", RESOURCES_MAX);
    for (size_t i = 0; i < n; i++) {
        int r = resource_validate(list[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}
