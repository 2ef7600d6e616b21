#include "kernel/ranges.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parse.h"

static struct ranges *alloc_ranges(size_t n)
{
    struct ranges *a = xmalloc(sizeof(*a) + n * sizeof(a->r[0]));
    a->refs = 1;
    a->n = 0;
    return a;
}

/* Appends, joining with the last one; ranges come sorted by begin. */
static void push(struct ranges *a, struct range r)
{
    struct range *last = a->n > 0 ? &a->r[a->n - 1] : NULL;
    if (last && (r.begin <= last->end || r.begin - 1 == last->end))
        last->end = MAX(last->end, r.end);
    else
        a->r[a->n++] = r;
}

/* Gives back what joining left over; the empty set is NULL. */
static struct ranges *finish(struct ranges *a, size_t allocated)
{
    if (a->n == 0) {
        free(a);
        return NULL;
    }
    return a->n == allocated ? a : xrealloc(a, sizeof(*a) + a->n * sizeof(a->r[0]));
}

static int by_begin(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

struct ranges *ranges_new(const struct range *r, size_t n)
{
    if (n == 0)
        return NULL;
    struct ranges *a = alloc_ranges(n);
    if (n > 1) {
        struct range *sorted = xmemdup(r, n * sizeof(*r));
        qsort(sorted, n, sizeof(*sorted), by_begin);
        for (size_t i = 0; i < n; i++)
            push(a, sorted[i]);
        free(sorted);
    } else {
        push(a, *r);
    }
    return finish(a, n);
}

struct ranges *ranges_ref(const struct ranges *a)
{
    struct ranges *shared = (struct ranges *)(uintptr_t)a;
    if (shared)
        shared->refs++;
    return shared;
}

void ranges_unref(struct ranges *a)
{
    if (a && --a->refs == 0)
        free(a);
}

struct ranges *ranges_union(const struct ranges *a, const struct ranges *b)
{
    if (!a || !b)
        return ranges_ref(a ? a : b);
    size_t n = (size_t)a->n + b->n, i = 0, k = 0;
    struct ranges *u = alloc_ranges(n);
    while (i < a->n || k < b->n) {
        bool first = k == b->n || (i < a->n && a->r[i].begin <= b->r[k].begin);
        push(u, first ? a->r[i++] : b->r[k++]);
    }
    return finish(u, n);
}

struct ranges *ranges_difference(const struct ranges *a, const struct ranges *b)
{
    if (!a || !b || !ranges_overlap(a, b))
        return ranges_ref(a);
    size_t n = (size_t)a->n + b->n;
    struct ranges *d = alloc_ranges(n);
    size_t k = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct range rest = a->r[i];
        bool gone = false;
        while (k < b->n && b->r[k].end < rest.begin)
            k++;
        for (size_t j = k; !gone && j < b->n && b->r[j].begin <= rest.end; j++) {
            if (b->r[j].begin > rest.begin)
                d->r[d->n++] = (struct range){rest.begin, b->r[j].begin - 1};
            gone = b->r[j].end >= rest.end;
            if (!gone)
                rest.begin = b->r[j].end + 1;
        }
        if (!gone)
            d->r[d->n++] = rest;
    }
    return finish(d, n);
}

struct ranges *ranges_intersection(const struct ranges *a, const struct ranges *b)
{
    if (!a || !b)
        return NULL;
    size_t n = (size_t)a->n + b->n, i = 0, k = 0;
    struct ranges *x = alloc_ranges(n);
    while (i < a->n && k < b->n) {
        uint64_t begin = MAX(a->r[i].begin, b->r[k].begin), end = MIN(a->r[i].end, b->r[k].end);
        if (begin <= end)
            x->r[x->n++] = (struct range){begin, end};
        if (a->r[i].end < b->r[k].end)
            i++;
        else
            k++;
    }
    return finish(x, n);
}

/* The last range that begins at or before v, or NULL. */
static const struct range *at_or_before(const struct ranges *a, uint64_t v)
{
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (a->r[mid].begin <= v)
            low = mid + 1;
        else
            high = mid;
    }
    return low > 0 ? &a->r[low - 1] : NULL;
}

bool ranges_contains(const struct ranges *a, const struct ranges *b)
{
    if (!b)
        return true;
    if (!a)
        return false;
    for (size_t i = 0; i < b->n; i++) {
        const struct range *r = at_or_before(a, b->r[i].begin);
        if (!r || r->end < b->r[i].end)
            return false;
    }
    return true;
}

bool ranges_contains_value(const struct ranges *a, uint64_t v)
{
    const struct range *r = a ? at_or_before(a, v) : NULL;
    return r && r->end >= v;
}

bool ranges_equal(const struct ranges *a, const struct ranges *b)
{
    if (a == b)
        return true;
    return a && b && a->n == b->n && memcmp(a->r, b->r, a->n * sizeof(a->r[0])) == 0;
}

bool ranges_overlap(const struct ranges *a, const struct ranges *b)
{
    for (size_t i = 0, k = 0; a && b && i < a->n && k < b->n;) {
        if (a->r[i].end < b->r[k].begin)
            i++;
        else if (b->r[k].end < a->r[i].begin)
            k++;
        else
            return true;
    }
    return false;
}

uint64_t ranges_count(const struct ranges *a)
{
    uint64_t count = 0;
    for (size_t i = 0; a && i < a->n; i++) {
        uint64_t width = a->r[i].end - a->r[i].begin;
        if (__builtin_add_overflow(width, UINT64_C(1), &width) ||
            __builtin_add_overflow(count, width, &count))
            return UINT64_MAX;
    }
    return count;
}

int ranges_parse(struct str text, struct ranges **ret, struct error *err)
{
    text = str_trim(text);
    if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
        return error_set(err, -EINVAL, "ranges are written [1-5, 8-9]");
    struct str rest = str_trim((struct str){text.p + 1, text.n - 2}), part;
    struct range *list = NULL;
    size_t n = 0;
    int r = 0;
    while (r == 0 && rest.n + n > 0 && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        ptrdiff_t dash = str_index(part, '-');
        struct range x;
        if (n == RANGES_MAX) {
            r = error_set(err, -EINVAL, "more than %d ranges", RANGES_MAX);
        } else if (dash < 0 ||
                   parse_u64(str_trim((struct str){part.p, (size_t)dash}), &x.begin) < 0 ||
                   parse_u64(str_trim((struct str){part.p + dash + 1, part.n - (size_t)dash - 1}),
                       &x.end) < 0) {
            r = error_set(err, -EINVAL, "'" STR_FMT "' is not a range like 1-5", STR_ARG(part));
        } else if (x.begin > x.end) {
            r = error_set(err, -EINVAL, "range '" STR_FMT "' ends before it begins", STR_ARG(part));
        } else {
            if ((n & (n - 1)) == 0)
                list = xreallocarray(list, n ? n * 2 : 1, sizeof(*list));
            list[n++] = x;
        }
    }
    if (r == 0 && n > 1) {
        qsort(list, n, sizeof(*list), by_begin);
        for (size_t i = 1; r == 0 && i < n; i++)
            if (list[i].begin <= list[i - 1].end)
                r = error_set(err, -EINVAL, "ranges overlap at %" PRIu64, list[i].begin);
    }
    if (r == 0)
        *ret = ranges_new(list, n);
    free(list);
    return r;
}

void ranges_format(const struct ranges *a, struct buf *out)
{
    buf_putc(out, '[');
    for (size_t i = 0; a && i < a->n; i++)
        buf_printf(out, "%s%" PRIu64 "-%" PRIu64, i > 0 ? ", " : "", a->r[i].begin, a->r[i].end);
    buf_putc(out, ']');
}
