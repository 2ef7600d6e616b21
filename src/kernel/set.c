#include "kernel/internal.h"

#include <stdlib.h>

#include "base/alloc.h"

/* The strings lie behind the pointers, in the same allocation. */
static struct resource_set *build(const char *const *items, size_t n)
{
    if (n == 0)
        return NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += strlen(items[i]) + 1;
    struct resource_set *a = xmalloc(sizeof(*a) + n * sizeof(a->items[0]) + bytes);
    a->refs = 1;
    a->n = (uint32_t)n;
    char *to = (char *)&a->items[n];
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(items[i]) + 1;
        memcpy(to, items[i], size);
        a->items[i] = to;
        to += size;
    }
    return a;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct resource_set *set_new(char *const *items, size_t n)
{
    if (n == 0)
        return NULL;
    const char **sorted = xmemdup(items, n * sizeof(*items));
    qsort(sorted, n, sizeof(*sorted), compare);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !streq(sorted[kept - 1], sorted[i]))
            sorted[kept++] = sorted[i];
    struct resource_set *a = build(sorted, kept);
    free(sorted);
    return a;
}

struct resource_set *set_ref(const struct resource_set *a)
{
    struct resource_set *shared = (struct resource_set *)(uintptr_t)a;
    if (shared)
        shared->refs++;
    return shared;
}

void set_unref(struct resource_set *a)
{
    if (a && --a->refs == 0)
        free(a);
}

/* Merges two sorted lists: what only `a` has, and what b has too or only as asked. */
static struct resource_set *merge(
    const struct resource_set *a, const struct resource_set *b, bool keep_b)
{
    size_t n = 0, i = 0, k = 0;
    const char **list = xnew_array(const char *, (size_t)a->n + b->n);
    while (i < a->n || k < b->n) {
        int order = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->items[i], b->items[k]);
        if (order < 0 || (order == 0 && keep_b))
            list[n++] = a->items[i];
        else if (order > 0 && keep_b)
            list[n++] = b->items[k];
        i += order <= 0;
        k += order >= 0;
    }
    struct resource_set *merged = build(list, n);
    free(list);
    return merged;
}

struct resource_set *set_union(const struct resource_set *a, const struct resource_set *b)
{
    return a && b ? merge(a, b, true) : set_ref(a ? a : b);
}

struct resource_set *set_difference(const struct resource_set *a, const struct resource_set *b)
{
    return a && b ? merge(a, b, false) : set_ref(a);
}

bool set_contains(const struct resource_set *a, const struct resource_set *b)
{
    size_t i = 0;
    for (size_t k = 0; b && k < b->n; k++) {
        while (a && i < a->n && strcmp(a->items[i], b->items[k]) < 0)
            i++;
        if (!a || i == a->n || !streq(a->items[i], b->items[k]))
            return false;
    }
    return true;
}

bool set_equal(const struct resource_set *a, const struct resource_set *b)
{
    if (!a || !b)
        return a == b;
    return a->n == b->n && set_contains(a, b);
}

void resource_set_format(const struct resource_set *set, struct buf *out)
{
    buf_putc(out, '{');
    for (size_t i = 0; set && i < set->n; i++)
        buf_printf(out, "%s%s", i > 0 ? ", " : "", set->items[i]);
    buf_putc(out, '}');
}
