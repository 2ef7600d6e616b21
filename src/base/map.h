#ifndef DCOS_BASE_MAP_H
#define DCOS_BASE_MAP_H

/*
 * Hash map from NUL-terminated strings to pointers, iterated in insertion order.
 *
 * Keys are borrowed: each must stay unchanged and alive as long as its entry, which is natural when
 * the value holds its own name. Iteration order is the order of insertion (replacing a value keeps
 * the place), so code that walks a map is deterministic although the hash is keyed at random. A
 * zero-initialised struct is empty.
 */

#include "base/macro.h"

struct map_entry {
    const char *key; /* NULL marks a removed entry */
    void *value;
    uint64_t hash;
};

struct map {
    struct map_entry *entries; /* insertion order, with removed ones in between */
    uint32_t *index;           /* open addressing; 0 = empty, else entry number + 1 */
    size_t n;                  /* live entries */
    size_t used;               /* live and removed entries */
    size_t cap;                /* of entries */
    size_t index_size;         /* power of two */
};

#define MAP_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

void map_done(struct map *m); /* frees the map, not keys or values */
void map_clear(struct map *m);
void *map_get(const struct map *m, const char *key); /* NULL when absent */
void *map_get_n(const struct map *m, const char *key, size_t n);
/* Returns the value that was replaced, or NULL. The new key pointer is kept. */
void *map_put(struct map *m, const char *key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, const char *key);

static inline size_t map_size(const struct map *m)
{
    return m->n;
}

/* Advances *pos over the entries; NULL at the end. Start with *pos = 0. */
struct map_entry *map_next(const struct map *m, size_t *pos);

/* `e` is a struct map_entry *. The body may remove any entry but must not add one. */
#define MAP_FOREACH(e, m)                                                                          \
    for (size_t e##_pos = 0, e##_once = 1; e##_once; e##_once = 0)                                 \
        for (struct map_entry *e = map_next((m), &e##_pos); e; e = map_next((m), &e##_pos))

#endif
