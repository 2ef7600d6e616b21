#include "base/buf.h"

#include <stdio.h>

#include "base/alloc.h"

enum { BUF_MIN_CAP = 64 };

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->overflow = false;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t need;
    if (b->overflow || __builtin_add_overflow(b->n, n, &need) || need == SIZE_MAX ||
        (b->max && need > b->max)) {
        b->overflow = true;
        return NULL;
    }
    if (need + 1 > b->cap) {
        size_t cap = MAX(b->cap + b->cap / 2, (size_t)BUF_MIN_CAP);
        cap = MAX(cap, need + 1);
        b->p = xrealloc(b->p, cap);
        b->cap = cap;
        /* Whoever reserves may fail before writing: the text that is there stays terminated. */
        b->p[b->n] = '\0';
    }
    return b->p + b->n;
}

void buf_append_slow(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, p, n);
    buf_commit(b, n);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    if (n >= 0 && (size_t)n < sizeof(small)) {
        buf_append(b, small, (size_t)n);
    } else if (n >= 0) {
        char *to = buf_reserve(b, (size_t)n);
        if (to) {
            vsnprintf(to, (size_t)n + 1, fmt, again);
            buf_commit(b, (size_t)n);
        }
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
    if (n == 0)
        return;
    b->n -= n;
    memmove(b->p, b->p + n, b->n);
    b->p[b->n] = '\0';
}

char *buf_steal(struct buf *b)
{
    char *p = b->p ? b->p : xstrdup("");
    *b = (struct buf){.max = b->max};
    return p;
}
