#ifndef DCOS_BASE_VEC_H
#define DCOS_BASE_VEC_H

/* Typed growable arrays. `VEC(int) v = {0}; vec_push(&v, 3); v.items[0]; vec_done(&v);` */

#include <string.h>

#include "base/alloc.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, cap;                                                                             \
    }

#define vec_push(v, ...)                                                                           \
    do {                                                                                           \
        if ((v)->n == (v)->cap) {                                                                  \
            (v)->cap = (v)->cap ? (v)->cap * 2 : 4;                                                \
            (v)->items = xreallocarray((v)->items, (v)->cap, sizeof(*(v)->items));                 \
        }                                                                                          \
        (v)->items[(v)->n++] = (__VA_ARGS__);                                                      \
    } while (0)

#define vec_pop(v) ((v)->items[--(v)->n])

/* Keeps order. */
#define vec_remove(v, index)                                                                       \
    do {                                                                                           \
        size_t vec_i = (index);                                                                    \
        (v)->n--;                                                                                  \
        memmove(                                                                                   \
            (v)->items + vec_i, (v)->items + vec_i + 1, ((v)->n - vec_i) * sizeof(*(v)->items));   \
    } while (0)

#define vec_clear(v) ((v)->n = 0)

#define vec_done(v)                                                                                \
    do {                                                                                           \
        free((v)->items);                                                                          \
        (v)->items = NULL;                                                                         \
        (v)->n = (v)->cap = 0;                                                                     \
    } while (0)

/* `var` is a pointer to each element. The vector must not grow meanwhile. */
#define VEC_FOREACH(var, v)                                                                        \
    for (typeof(&*(v)->items) var = (v)->items; var && var < (v)->items + (v)->n; var++)

#endif
