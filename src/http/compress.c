#include <zlib.h>

#include "http/server-internal.h"

enum { GZIP_WINDOW = 15 + 16, GZIP_LEVEL = 1, GZIP_MEM = 8, EXPAND_STEP = 16 * 1024 };

bool gzip_compress(const void *p, size_t n, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEM, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t bound = deflateBound(&z, n);
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)buf_reserve(out, bound);
    z.avail_out = (uInt)bound;
    bool ok = z.next_out && deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out < n;
    if (ok)
        buf_commit(out, z.total_out);
    deflateEnd(&z);
    return ok;
}

int gzip_expand(const void *p, size_t n, size_t max, struct buf *out)
{
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return 400;
    z.next_in = (Bytef *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    int status = 400;
    for (;;) {
        z.next_out = (Bytef *)buf_reserve(out, EXPAND_STEP);
        z.avail_out = EXPAND_STEP;
        int r = inflate(&z, Z_NO_FLUSH);
        buf_commit(out, EXPAND_STEP - z.avail_out);
        if (out->n > max) {
            status = 413;
            break;
        }
        if (r == Z_STREAM_END) {
            status = z.avail_in == 0 ? 0 : 400; /* nothing may follow */
            break;
        }
        if (r != Z_OK || (z.avail_in == 0 && z.avail_out > 0))
            break; /* bad, or cut short */
    }
    inflateEnd(&z);
    return status;
}
