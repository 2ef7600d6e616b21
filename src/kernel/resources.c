#include "kernel/resources.h"

#include "base/alloc.h"
#include "kernel/internal.h"

/* ---- values ---- */

bool value_is_empty(const struct resource *r)
{
    switch (r->kind->type) {
    case RESOURCE_SCALAR:
        return r->milli <= 0;
    case RESOURCE_RANGES:
        return !r->ranges;
    default:
        return !r->set;
    }
}

static void value_done(struct resource *r)
{
    if (r->kind->type == RESOURCE_RANGES)
        ranges_unref(r->ranges);
    else if (r->kind->type == RESOURCE_SET)
        set_unref(r->set);
}

static bool value_equal(const struct resource *a, const struct resource *b)
{
    switch (a->kind->type) {
    case RESOURCE_SCALAR:
        return a->milli == b->milli;
    case RESOURCE_RANGES:
        return ranges_equal(a->ranges, b->ranges);
    default:
        return set_equal(a->set, b->set);
    }
}

static bool value_contains(const struct resource *a, const struct resource *b)
{
    switch (a->kind->type) {
    case RESOURCE_SCALAR:
        return a->milli >= b->milli;
    case RESOURCE_RANGES:
        return ranges_contains(a->ranges, b->ranges);
    default:
        return set_contains(a->set, b->set);
    }
}

static void value_add(struct resource *a, const struct resource *b)
{
    switch (a->kind->type) {
    case RESOURCE_SCALAR:
        if (__builtin_add_overflow(a->milli, b->milli, &a->milli))
            a->milli = INT64_MAX;
        break;
    case RESOURCE_RANGES: {
        struct ranges *sum = ranges_union(a->ranges, b->ranges);
        ranges_unref(a->ranges);
        a->ranges = sum;
        break;
    }
    default: {
        struct resource_set *sum = set_union(a->set, b->set);
        set_unref(a->set);
        a->set = sum;
    }
    }
}

static void value_subtract(struct resource *a, const struct resource *b)
{
    switch (a->kind->type) {
    case RESOURCE_SCALAR:
        a->milli -= MIN(a->milli, b->milli);
        break;
    case RESOURCE_RANGES: {
        struct ranges *rest = ranges_difference(a->ranges, b->ranges);
        ranges_unref(a->ranges);
        a->ranges = rest;
        break;
    }
    default: {
        struct resource_set *rest = set_difference(a->set, b->set);
        set_unref(a->set);
        a->set = rest;
    }
    }
}

/* ---- single resources ---- */

struct resource resource_make_scalar(const char *name, int64_t milli, const char *allocation_role)
{
    return (struct resource){
        .kind = kind_plain(name, RESOURCE_SCALAR, false, allocation_role), .milli = milli};
}

struct resource resource_make_ranges(
    const char *name, const struct ranges *ranges, const char *allocation_role)
{
    return (struct resource){.kind = kind_plain(name, RESOURCE_RANGES, false, allocation_role),
        .ranges = ranges_ref(ranges)};
}

struct resource resource_copy(const struct resource *r)
{
    struct resource copy = *r;
    resource_kind_ref(r->kind);
    if (r->kind->type == RESOURCE_RANGES)
        ranges_ref(r->ranges);
    else if (r->kind->type == RESOURCE_SET)
        set_ref(r->set);
    return copy;
}

void resource_done(struct resource *r)
{
    if (!r->kind)
        return;
    value_done(r);
    resource_kind_unref(r->kind);
    *r = (struct resource){0};
}

static const struct resource_kind *identity(const struct resource_kind *k)
{
    return k->identity ? k->identity : k;
}

bool resource_equal(const struct resource *a, const struct resource *b)
{
    return identity(a->kind) == identity(b->kind) && value_equal(a, b);
}

/* ---- collections ---- */

void resources_done(struct resources *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        resource_done(&r->items[i]);
    free(r->items);
    *r = (struct resources){0};
}

void resources_copy(struct resources *to, const struct resources *from)
{
    *to = (struct resources){0};
    if (from->n == 0)
        return;
    to->items = xnew_array(struct resource, from->n);
    to->n = to->cap = from->n;
    for (uint32_t i = 0; i < from->n; i++)
        to->items[i] = resource_copy(&from->items[i]);
}

void resources_move(struct resources *to, struct resources *from)
{
    *to = *from;
    *from = (struct resources){0};
}

void resources_assign(struct resources *to, const struct resources *from)
{
    struct resources copy;
    resources_copy(&copy, from);
    resources_done(to);
    *to = copy;
}

void resources_shrink(struct resources *r)
{
    if (r->cap == r->n)
        return;
    if (r->n == 0) {
        free(r->items);
        r->items = NULL;
    } else {
        r->items = xreallocarray(r->items, r->n, sizeof(*r->items));
    }
    r->cap = r->n;
}

static bool counted(const struct resource *r)
{
    return r->kind->unique || r->kind->shared;
}

static struct resource *find_kind(const struct resources *r, const struct resource_kind *kind)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->items[i].kind == kind)
            return &r->items[i];
    return NULL;
}

/* The last one equal to `x`, so that taking it out leaves the order of the others' first. */
static struct resource *find_equal(const struct resources *r, const struct resource *x)
{
    for (uint32_t i = r->n; i-- > 0;)
        if (resource_equal(&r->items[i], x))
            return &r->items[i];
    return NULL;
}

static uint32_t count_equal(const struct resources *r, const struct resource *x)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++)
        n += resource_equal(&r->items[i], x);
    return n;
}

static void remove_at(struct resources *r, struct resource *item)
{
    resource_done(item);
    size_t after = (size_t)(r->items + r->n - (item + 1));
    memmove(item, item + 1, after * sizeof(*item));
    r->n--;
}

void resources_take(struct resources *a, struct resource item)
{
    if (value_is_empty(&item)) {
        resource_done(&item);
        return;
    }
    struct resource *same = counted(&item) ? NULL : find_kind(a, item.kind);
    if (same) {
        value_add(same, &item);
        resource_done(&item);
        return;
    }
    if (a->n == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 4;
        a->items = xreallocarray(a->items, a->cap, sizeof(*a->items));
    }
    a->items[a->n++] = item;
}

void resources_add_one(struct resources *a, const struct resource *b)
{
    struct resource *same = counted(b) ? NULL : find_kind(a, b->kind);
    if (same)
        value_add(same, b);
    else
        resources_take(a, resource_copy(b));
}

void resources_add(struct resources *a, const struct resources *b)
{
    /* By index and count of before: `a` and `b` may be the same. */
    uint32_t n = b->n;
    for (uint32_t i = 0; i < n; i++) {
        struct resource item = resource_copy(&b->items[i]);
        resources_take(a, item);
    }
}

void resources_subtract_one(struct resources *a, const struct resource *b)
{
    if (counted(b)) {
        struct resource *same = find_equal(a, b);
        if (same)
            remove_at(a, same);
        return;
    }
    struct resource *same = find_kind(a, b->kind);
    if (!same)
        return;
    value_subtract(same, b);
    if (value_is_empty(same))
        remove_at(a, same);
}

void resources_subtract(struct resources *a, const struct resources *b)
{
    if (a == b) {
        resources_done(a);
        return;
    }
    for (uint32_t i = 0; i < b->n && a->n > 0; i++)
        resources_subtract_one(a, &b->items[i]);
}

bool resources_contains_one(const struct resources *a, const struct resource *b)
{
    if (value_is_empty(b))
        return true;
    if (counted(b))
        return find_equal(a, b) != NULL;
    const struct resource *same = find_kind(a, b->kind);
    return same && value_contains(same, b);
}

bool resources_contains(const struct resources *a, const struct resources *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct resource *x = &b->items[i];
        if (!resources_contains_one(a, x) || (counted(x) && count_equal(a, x) < count_equal(b, x)))
            return false;
    }
    return true;
}

bool resources_equal(const struct resources *a, const struct resources *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (count_equal(a, &a->items[i]) != count_equal(b, &a->items[i]))
            return false;
    return true;
}

/* ---- sums ---- */

/* Of a shared resource only the first copy counts. */
static bool is_repeat(const struct resources *r, uint32_t i)
{
    if (!r->items[i].kind->shared)
        return false;
    for (uint32_t k = 0; k < i; k++)
        if (resource_equal(&r->items[k], &r->items[i]))
            return true;
    return false;
}

static int64_t sum(const struct resources *r, const char *name, int revocable)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct resource *x = &r->items[i];
        if (x->kind->type != RESOURCE_SCALAR || !streq(x->kind->name, name) ||
            (revocable >= 0 && x->kind->revocable != revocable) || is_repeat(r, i))
            continue;
        if (__builtin_add_overflow(total, x->milli, &total))
            return INT64_MAX;
    }
    return total;
}

int64_t resources_scalar(const struct resources *r, const char *name)
{
    return sum(r, name, -1);
}

int64_t resources_scalar_if(const struct resources *r, const char *name, bool revocable)
{
    return sum(r, name, revocable);
}

struct ranges *resources_ranges(const struct resources *r, const char *name)
{
    struct ranges *total = NULL;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct resource *x = &r->items[i];
        if (x->kind->type != RESOURCE_RANGES || !streq(x->kind->name, name))
            continue;
        struct ranges *more = ranges_union(total, x->ranges);
        ranges_unref(total);
        total = more;
    }
    return total;
}

bool resources_has(const struct resources *r, const char *name)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (streq(r->items[i].kind->name, name))
            return true;
    return false;
}

void resources_to_quantities(const struct resources *r, struct resources *ret)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (is_repeat(r, i))
            continue;
        struct resource item = resource_copy(&r->items[i]);
        const struct resource_kind *kind = item.kind;
        item.kind = kind_plain(kind->name, (enum resource_type)kind->type, false, NULL);
        resource_kind_unref(kind);
        resources_take(ret, item);
    }
}
