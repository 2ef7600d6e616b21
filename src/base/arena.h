#ifndef DCOS_BASE_ARENA_H
#define DCOS_BASE_ARENA_H

/* Memory that dies together: a request, a decoded message. A zero-initialised struct is empty. */

#include "base/macro.h"
#include "base/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t used;  /* in the head chunk */
    size_t total; /* bytes handed out, for limits and statistics */
};

#define ARENA_INIT                                                                                 \
    {                                                                                              \
        0                                                                                          \
    }

void arena_done(struct arena *a); /* frees everything; the arena is empty again */
/* Aligned for any type; never NULL; not zeroed. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* n * size with the multiplication checked. */
void *arena_zalloc_array(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull));
void *arena_memdup(struct arena *a, const void *p, size_t n) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);

#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_new_array(a, type, n) ((type *)arena_zalloc_array((a), (n), sizeof(type)))
#define _cleanup_arena_ _cleanup_(arena_done)

#endif
