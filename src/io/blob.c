#include <string.h>

#include "base/alloc.h"
#include "io/stream.h"

struct blob *blob_new(const void *p, size_t n)
{
    struct blob *b = xmalloc(sizeof(*b) + n);
    b->refs = 1;
    b->n = n;
    if (n)
        memcpy(b->p, p, n);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    b->refs++;
    return b;
}

void blob_unref(struct blob *b)
{
    if (b && --b->refs == 0)
        free(b);
}
