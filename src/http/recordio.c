#include "http/recordio.h"

#include <errno.h>
#include <string.h>

enum { LENGTH_DIGITS_MAX = 20 };

void recordio_append(struct buf *out, const void *p, size_t n)
{
    if (!buf_reserve(out, n + LENGTH_DIGITS_MAX + 1))
        return; /* whole or not at all */
    buf_printf(out, "%zu\n", n);
    buf_append(out, p, n);
}

void recordio_decoder_init(struct recordio_decoder *d, size_t max)
{
    *d = (struct recordio_decoder){.max = max};
}

void recordio_decoder_done(struct recordio_decoder *d)
{
    buf_done(&d->pending);
}

static int bad(struct recordio_decoder *d, int code, struct error *err, const char *why)
{
    d->failed = true;
    buf_done(&d->pending);
    return error_set(err, code, "record stream: %s", why);
}

/* Reads "<digits>\n" at p. 1 = whole, with its size in *ret_head and the record's in *ret_n;
 * 0 = more bytes are needed. */
static int read_length(
    struct recordio_decoder *d, struct str in, size_t *ret_head, size_t *ret_n, struct error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '\n') {
            if (i == 0)
                return bad(d, -EBADMSG, err, "empty length");
            *ret_head = i + 1;
            *ret_n = n;
            return 1;
        }
        if (c < '0' || c > '9' || i == LENGTH_DIGITS_MAX)
            return bad(d, -EBADMSG, err, "bad length");
        if (__builtin_mul_overflow(n, (size_t)10, &n) ||
            __builtin_add_overflow(n, (size_t)(c - '0'), &n) || n > d->max)
            return bad(d, -EMSGSIZE, err, "record is too large");
    }
    return 0;
}

int recordio_decode(struct recordio_decoder *d, const char *p, size_t n,
    bool (*fn)(const char *record, size_t n, void *userdata), void *userdata, struct error *err)
{
    if (d->failed)
        return error_set(err, -EBADMSG, "record stream: failed before");
    /* Records that lie whole in the input are handed out in place; only what is left over at the
     * end is kept. */
    struct str in = {p, n};
    while (in.n > 0) {
        struct str whole = in;
        size_t head, size, had = d->pending.n;
        if (had > 0) {
            /* Complete the record that is pending, with no byte more than it needs. */
            int r = read_length(d, buf_str(&d->pending), &head, &size, err);
            if (r < 0)
                return r;
            if (r == 0) {
                /* Not even its length is whole. */
                const char *lf = memchr(in.p, '\n', in.n);
                size_t take = lf ? (size_t)(lf - in.p) + 1 : in.n;
                take = MIN(take, LENGTH_DIGITS_MAX + 1 - had); /* enough to see what is wrong */
                buf_append(&d->pending, in.p, take);
                in = (struct str){in.p + take, in.n - take};
                r = read_length(d, buf_str(&d->pending), &head, &size, err);
                if (r < 0)
                    return r;
                if (r == 0 || head + size > d->pending.n)
                    continue;
            } else {
                size_t take = MIN(head + size - had, in.n);
                buf_append(&d->pending, in.p, take);
                in = (struct str){in.p + take, in.n - take};
                if (d->pending.n < head + size)
                    continue;
            }
            /* The callback may feed nothing more, and may even free the decoder's owner later;
             * the bytes are held here meanwhile. */
            _cleanup_buf_ struct buf record = d->pending;
            d->pending = (struct buf)BUF_INIT;
            if (!fn(record.p + head, size, userdata))
                return 0;
            continue;
        }
        int r = read_length(d, whole, &head, &size, err);
        if (r < 0)
            return r;
        if (r == 0 || head + size > in.n) {
            if (r > 0)
                buf_reserve(&d->pending, MIN(head + size, in.n * 2));
            buf_append(&d->pending, in.p, in.n);
            return 0;
        }
        in = (struct str){in.p + head + size, in.n - head - size};
        if (!fn(whole.p + head, size, userdata))
            return 0;
    }
    return 0;
}
