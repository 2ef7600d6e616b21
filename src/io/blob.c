#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "io/stream.h"

struct blob *blob_new(const void *p, size_t n)
{
    struct blob *b = xmalloc(sizeof(*b) + n);
    *b = (struct blob){.refs = 1, .n = n};
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
    if (!b || --b->refs > 0)
        return;
    if (b->mapped)
        munmap(b, b->mapped);
    else
        free(b);
}

void blob_begin(struct buf *b)
{
    const struct blob head = {.refs = 1};
    assert(b->n == 0 && b->max == 0);
    static_assert(offsetof(struct blob, p) == BLOB_HEAD, "the bytes follow the head at once");
    buf_append(b, &head, sizeof(head));
}

struct blob *blob_end(struct buf *b)
{
    assert(b->n >= BLOB_HEAD);
    size_t n = b->n - BLOB_HEAD;
    /* From the allocator, so aligned for a blob. What growth left over goes back. */
    struct blob *ret = xrealloc(buf_steal(b), BLOB_HEAD + n + 1);
    ret->n = n;
    return ret;
}
