#ifndef DCOS_BASE_ALLOC_H
#define DCOS_BASE_ALLOC_H

/*
 * Heap allocation that cannot fail.
 *
 * Every size that outsiders influence is bounded by a named limit before it gets here, and every
 * daemon survives `kill -9` at any instant without losing what it acknowledged. Running out of
 * memory is therefore treated as that: one line to stderr, then abort(). Callers never see NULL.
 */

#include <stdlib.h>

#include "base/macro.h"

void *xmalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((alloc_size(2), returns_nonnull));
/* realloc(n * size) with the multiplication checked. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
/* Copies n bytes and adds a NUL. */
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
/* printf to a new string. */
char *xasprintf(const char *fmt, ...) _printf_(1, 2) __attribute__((malloc, returns_nonnull));

#define xnew(type) ((type *)xcalloc(1, sizeof(type)))
#define xnew_array(type, n) ((type *)xcalloc((n), sizeof(type)))

static inline void freep(void *p)
{
    free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

#endif
