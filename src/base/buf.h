#ifndef DCOS_BASE_BUF_H
#define DCOS_BASE_BUF_H

/*
 * The one growable byte buffer.
 *
 * `p` is always NUL-terminated at p[n] once anything was appended; before that `p` may be NULL, and
 * buf_cstr() gives "" instead. A buffer with a limit (`max` > 0) refuses to grow past it: the
 * append is dropped whole and `overflow` stays set until buf_clear(), so that a series of appends
 * needs one check at its end. A zero-initialised struct is an empty buffer without a limit.
 */

#include <stdarg.h>
#include <string.h>

#include "base/macro.h"
#include "base/str.h"

struct buf {
    char *p;
    size_t n;
    size_t cap;
    size_t max; /* bytes, 0 = no limit */
    bool overflow;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
#define BUF_INIT_MAX(limit)                                                                        \
    {                                                                                              \
        .max = (limit)                                                                             \
    }

void buf_done(struct buf *b);  /* frees the contents; the struct is an empty buffer again */
void buf_clear(struct buf *b); /* empties, keeps the memory */
/* Makes room for n more bytes and returns where to write them, or NULL at the limit. */
char *buf_reserve(struct buf *b, size_t n);
/* Counts n bytes written after buf_reserve. */
static inline void buf_commit(struct buf *b, size_t n)
{
    b->n += n;
    b->p[b->n] = '\0';
}
void buf_append_slow(struct buf *b, const void *p, size_t n); /* part of buf_append */
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Hands the NUL-terminated memory to the caller; the buffer is empty afterwards. Never NULL. */
char *buf_steal(struct buf *b);

/* Documents are made of millions of small pieces: what fits is copied in place. */
static inline void buf_append(struct buf *b, const void *p, size_t n)
{
    if (!b->p || b->cap - b->n <= n || b->overflow || b->max) {
        buf_append_slow(b, p, n);
        return;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    buf_commit(b, n);
}

static inline void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static inline void buf_putc(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

static inline const char *buf_cstr(const struct buf *b)
{
    return b->p ? b->p : "";
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

#define _cleanup_buf_ _cleanup_(buf_done)

#endif
