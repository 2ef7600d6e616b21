#include "base/map.h"

#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

enum { MAP_MIN_INDEX = 8 };

void map_done(struct map *m)
{
    free(m->entries);
    free(m->index);
    *m = (struct map){0};
}

void map_clear(struct map *m)
{
    map_done(m);
}

static size_t probe_start(const struct map *m, uint64_t hash)
{
    return hash & (m->index_size - 1);
}

/* Finds the index slot of the key; false when absent. */
static bool find(const struct map *m, const char *key, size_t n, uint64_t hash, size_t *ret_slot)
{
    if (!m->index_size)
        return false;
    for (size_t slot = probe_start(m, hash); m->index[slot];
         slot = (slot + 1) & (m->index_size - 1)) {
        const struct map_entry *e = &m->entries[m->index[slot] - 1];
        if (e->key && e->hash == hash && strncmp(e->key, key, n) == 0 && e->key[n] == '\0') {
            *ret_slot = slot;
            return true;
        }
    }
    return false;
}

static void index_add(struct map *m, size_t entry)
{
    size_t slot = probe_start(m, m->entries[entry].hash);
    while (m->index[slot])
        slot = (slot + 1) & (m->index_size - 1);
    m->index[slot] = (uint32_t)(entry + 1);
}

/* Squeezes removed entries out and rebuilds the index with room for one more. */
static void rebuild(struct map *m)
{
    size_t live = 0;
    for (size_t i = 0; i < m->used; i++)
        if (m->entries[i].key)
            m->entries[live++] = m->entries[i];
    m->used = live;
    /* At most half full afterwards: a map that loses and gains entries in turn rebuilds rarely. */
    size_t size = MAP_MIN_INDEX;
    while (size / 2 < live + 1)
        size *= 2;
    if (size != m->index_size) {
        free(m->index);
        m->index = xcalloc(size, sizeof(*m->index));
        m->index_size = size;
    } else {
        memset(m->index, 0, size * sizeof(*m->index));
    }
    m->cap = size * 2 / 3 + 1;
    m->entries = xreallocarray(m->entries, m->cap, sizeof(*m->entries));
    for (size_t i = 0; i < m->used; i++)
        index_add(m, i);
}

void *map_get_n(const struct map *m, const char *key, size_t n)
{
    size_t slot;
    if (!m->n || !find(m, key, n, str_hash(key, n), &slot))
        return NULL;
    return m->entries[m->index[slot] - 1].value;
}

void *map_get(const struct map *m, const char *key)
{
    return map_get_n(m, key, strlen(key));
}

void *map_put(struct map *m, const char *key, void *value)
{
    size_t n = strlen(key), slot;
    uint64_t hash = str_hash(key, n);
    if (find(m, key, n, hash, &slot)) {
        struct map_entry *e = &m->entries[m->index[slot] - 1];
        void *old = e->value;
        e->key = key;
        e->value = value;
        return old;
    }
    if (m->used + 1 > m->cap || m->used + 1 > m->index_size * 2 / 3)
        rebuild(m);
    m->entries[m->used] = (struct map_entry){.key = key, .value = value, .hash = hash};
    index_add(m, m->used);
    m->used++;
    m->n++;
    return NULL;
}

void *map_remove(struct map *m, const char *key)
{
    size_t n = strlen(key), slot;
    if (!find(m, key, n, str_hash(key, n), &slot))
        return NULL;
    struct map_entry *e = &m->entries[m->index[slot] - 1];
    void *old = e->value;
    /* The index slot keeps pointing at the removed entry, so probe chains stay whole until the next
     * rebuild. */
    e->key = NULL;
    e->value = NULL;
    m->n--;
    return old;
}

struct map_entry *map_next(const struct map *m, size_t *pos)
{
    while (*pos < m->used) {
        struct map_entry *e = &m->entries[(*pos)++];
        if (e->key)
            return e;
    }
    return NULL;
}
