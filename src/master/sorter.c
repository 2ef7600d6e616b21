#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * Orders of fairness, kept up to date by steps: a member whose share changed moves to its new
 * place, found by binary search. Random orders keep no order; whose turn it is, is drawn.
 */

static int compare_keys(int64_t dominant, uint64_t count, const char *name, const struct share *b)
{
    if (dominant != b->dominant)
        return dominant < b->dominant ? -1 : 1;
    if (count != b->count)
        return count < b->count ? -1 : 1;
    return strcmp(name, b->name);
}

/* First index in [low, high) whose item is not less. */
static size_t lower_bound(const struct order *o, size_t low, size_t high, int64_t dominant,
    uint64_t count, const char *name)
{
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_keys(dominant, count, name, o->items[mid]) > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t place_of(const struct order *o, const struct share *s)
{
    size_t i = o->random ? s->at : lower_bound(o, 0, o->n, s->dominant, s->count, s->name);
    assert(i < o->n && o->items[i] == s);
    return i;
}

/* Takes the place out; what is on its shorter side moves. Who comes next is at the front, so this
 * costs next to nothing. */
static void close_gap(struct order *o, size_t i)
{
    o->n--;
    if (i < o->n - i) {
        memmove(o->items + 1, o->items, i * sizeof(struct share *));
        o->items++;
    } else {
        memmove(o->items + i, o->items + i + 1, (o->n - i) * sizeof(struct share *));
    }
}

/* Room for one more behind the last; with as much again to spare, so that moving everything back to
 * the beginning of the memory is rare. */
static void make_room(struct order *o)
{
    size_t head = (size_t)(o->items - o->base);
    if (head + o->n < o->cap)
        return;
    if (o->cap < 2 * (o->n + 1)) {
        size_t cap = 4 * (o->n + 1);
        struct share **base = xnew_array(struct share *, cap);
        if (o->n)
            memcpy(base, o->items, o->n * sizeof(struct share *));
        free(o->base);
        o->base = base;
        o->cap = cap;
    } else {
        memmove(o->base, o->items, o->n * sizeof(struct share *));
    }
    o->items = o->base;
}

static void open_gap(struct order *o, size_t i)
{
    if (i < o->n - i && o->items > o->base) {
        o->items--;
        memmove(o->items, o->items + 1, i * sizeof(struct share *));
    } else {
        make_room(o);
        memmove(o->items + i + 1, o->items + i, (o->n - i) * sizeof(struct share *));
    }
    o->n++;
}

void order_insert(struct order *o, struct share *s)
{
    size_t i = o->random ? o->n : lower_bound(o, 0, o->n, s->dominant, s->count, s->name);
    open_gap(o, i);
    o->items[i] = s;
    s->at = (uint32_t)i;
}

void order_remove(struct order *o, struct share *s)
{
    size_t i = place_of(o, s);
    if (o->random) {
        o->items[i] = o->items[--o->n];
        o->items[i]->at = (uint32_t)i;
    } else {
        close_gap(o, i);
    }
}

void order_done(struct order *o)
{
    free(o->base);
    *o = (struct order){.random = o->random};
}

void order_update(struct order *o, struct share *s, int64_t dominant, uint64_t count)
{
    size_t i = place_of(o, s);
    bool up = compare_keys(dominant, count, s->name, s) > 0;
    s->dominant = dominant;
    s->count = count;
    if (o->random)
        return;
    size_t to = up ? lower_bound(o, i + 1, o->n, dominant, count, s->name) - 1
                   : lower_bound(o, 0, i, dominant, count, s->name);
    size_t between = up ? to - i : i - to;
    if (MIN(i, o->n - i) + MIN(to, o->n - to) < between) {
        close_gap(o, i);
        open_gap(o, to);
    } else if (up) {
        memmove(o->items + i, o->items + i + 1, between * sizeof(struct share *));
    } else {
        memmove(o->items + to + 1, o->items + to, between * sizeof(struct share *));
    }
    o->items[to] = s;
}

int64_t share_dominant(const struct master_core *core, const struct share *s)
{
    int64_t max = 0;
    for (size_t i = 0; i < core->n_quantities; i++) {
        if (core->totals[i] <= 0 || s->quantities[i] <= 0 || core->excluded[i])
            continue;
        int64_t share = (int64_t)(((__int128)s->quantities[i] << 30) / core->totals[i]);
        max = MAX(max, share);
    }
    return s->weight == WEIGHT_ONE ? max : (int64_t)((__int128)max * WEIGHT_ONE / s->weight);
}

static int by_share(const void *a, const void *b)
{
    const struct share *x = *(struct share *const *)a, *y = *(struct share *const *)b;
    return compare_keys(x->dominant, x->count, x->name, y);
}

void order_rebuild(struct order *o)
{
    if (!o->random && o->n > 1)
        qsort(o->items, o->n, sizeof(*o->items), by_share);
}

struct share *order_pick(struct master_core *core, struct order *o, size_t i)
{
    if (!o->random || o->n - i < 2)
        return o->items[i];
    /* Those already drawn are in front. */
    int64_t sum = 0;
    bool equal = true;
    for (size_t k = i; k < o->n && equal; k++)
        equal = o->items[k]->weight == WEIGHT_ONE;
    size_t k = i;
    if (equal) {
        k += rng_below(&core->rng, o->n - i);
    } else {
        for (size_t j = i; j < o->n; j++)
            sum += o->items[j]->weight;
        int64_t ticket = (int64_t)rng_below(&core->rng, (uint64_t)sum);
        while ((ticket -= o->items[k]->weight) >= 0)
            k++;
    }
    struct share *s = o->items[k];
    o->items[k] = o->items[i];
    o->items[k]->at = (uint32_t)k;
    o->items[i] = s;
    s->at = (uint32_t)i;
    return s;
}
