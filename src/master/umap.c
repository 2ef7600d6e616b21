#include "master/umap.h"

#include <assert.h>

#include "base/alloc.h"

/* Linear probing; removal shifts the following run back, so there are no tombstones. */

static size_t place(const struct umap *m, uint64_t key)
{
    key ^= key >> 32;
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(key >> 20) & (m->size - 1);
}

void umap_done(struct umap *m)
{
    free(m->slots);
    *m = (struct umap){0};
}

void *umap_get(const struct umap *m, uint64_t key)
{
    if (m->n == 0)
        return NULL;
    for (size_t i = place(m, key); m->slots[i].key; i = (i + 1) & (m->size - 1))
        if (m->slots[i].key == key)
            return m->slots[i].value;
    return NULL;
}

static void grow(struct umap *m)
{
    struct umap bigger = {.size = m->size ? m->size * 2 : 16};
    bigger.slots = xnew_array(struct umap_slot, bigger.size);
    for (size_t i = 0; i < m->size; i++)
        if (m->slots[i].key)
            umap_put(&bigger, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = bigger;
}

void umap_put(struct umap *m, uint64_t key, void *value)
{
    assert(key != 0 && value);
    if (m->n * 4 >= m->size * 3)
        grow(m);
    size_t i = place(m, key);
    while (m->slots[i].key && m->slots[i].key != key)
        i = (i + 1) & (m->size - 1);
    if (!m->slots[i].key)
        m->n++;
    m->slots[i] = (struct umap_slot){key, value};
}

void *umap_remove(struct umap *m, uint64_t key)
{
    if (m->n == 0)
        return NULL;
    size_t mask = m->size - 1;
    size_t i = place(m, key);
    while (m->slots[i].key && m->slots[i].key != key)
        i = (i + 1) & mask;
    if (!m->slots[i].key)
        return NULL;
    void *value = m->slots[i].value;
    for (size_t j = (i + 1) & mask; m->slots[j].key; j = (j + 1) & mask) {
        size_t home = place(m, m->slots[j].key);
        /* Movable when its home is not cyclically inside (i, j]. */
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (struct umap_slot){0};
    m->n--;
    return value;
}
