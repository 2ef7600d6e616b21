/* Whole or in pieces, the same events come out. */

#include <assert.h>

#include "base/alloc.h"
#include "http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENT_MAX = 4096 };

static void note(const char *event, const char *id, struct str data, void *userdata)
{
    assert(*event && data.n <= EVENT_MAX);
    sse_append(userdata, event, id, data);
}

static int decode(const char *p, size_t n, size_t step, struct buf *out)
{
    struct sse_decoder d;
    int r = 0;
    sse_decoder_init(&d, EVENT_MAX);
    for (size_t at = 0; at < n && r == 0; at += step) {
        char *piece = xmemdup(p + at, MIN(step, n - at));
        r = sse_decode(&d, piece, MIN(step, n - at), note, out);
        free(piece);
    }
    sse_decoder_done(&d);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf whole = BUF_INIT;
    _cleanup_buf_ struct buf pieces = BUF_INIT;
    if (size < 1)
        return 0;
    const char *p = (const char *)data + 1;
    int a = decode(p, size - 1, size, &whole);
    int b = decode(p, size - 1, 1 + data[0] % 16, &pieces);
    if (a == 0 && b == 0)
        assert(whole.n == pieces.n && (whole.n == 0 || memcmp(whole.p, pieces.p, whole.n) == 0));
    return 0;
}
