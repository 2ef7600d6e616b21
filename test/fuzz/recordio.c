/* Whole or in pieces, the same records come out; and they encode to what decodes to them again. */

#include <assert.h>

#include "base/alloc.h"
#include "http/recordio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_MAX = 4096 };

static bool note(const char *record, size_t n, void *userdata)
{
    recordio_append(userdata, record, n);
    return true;
}

static int decode(const char *p, size_t n, size_t step, struct buf *out)
{
    struct recordio_decoder d;
    int r = 0;
    recordio_decoder_init(&d, RECORD_MAX);
    for (size_t at = 0; at < n && r == 0; at += step) {
        char *piece = xmemdup(p + at, MIN(step, n - at));
        r = recordio_decode(&d, piece, MIN(step, n - at), note, out, NULL);
        free(piece);
        assert(d.pending.n <= RECORD_MAX + 32);
    }
    recordio_decoder_done(&d);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf whole = BUF_INIT;
    _cleanup_buf_ struct buf pieces = BUF_INIT;
    _cleanup_buf_ struct buf again = BUF_INIT;
    if (size < 1)
        return 0;
    const char *p = (const char *)data + 1;
    int a = decode(p, size - 1, size, &whole);
    int b = decode(p, size - 1, 1 + data[0] % 16, &pieces);
    assert(a == b);
    assert(whole.n == pieces.n && (whole.n == 0 || memcmp(whole.p, pieces.p, whole.n) == 0));
    assert(decode(buf_cstr(&whole), whole.n, 7, &again) == 0);
    assert(again.n == whole.n);
    return 0;
}
