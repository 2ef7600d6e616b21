/* Records between the containerizer and its launcher: decoding, and encoding what was decoded. */

#include "base/buf.h"
#include "containerizer/launch_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct launch_record m;
    ptrdiff_t used;
    while ((used = launch_decode(rest, &m)) > 0) {
        _cleanup_buf_ struct buf again = BUF_INIT;
        launch_encode(&m, &again);
        struct launch_record other;
        if (launch_decode(buf_str(&again), &other) != (ptrdiff_t)again.n)
            __builtin_trap();
        launch_record_done(&other);
        launch_record_done(&m);
        rest.p += used;
        rest.n -= (size_t)used;
    }
    return 0;
}
