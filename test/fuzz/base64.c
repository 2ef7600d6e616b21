/* Whatever decodes must encode to the same text again. */

#include <assert.h>

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf raw = BUF_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (base64_decode(&raw, (struct str){(const char *)data, size}) == 0) {
        base64_encode(&text, raw.p, raw.n);
        assert(text.n == size && (size == 0 || memcmp(text.p, data, size) == 0));
    }
    return 0;
}
