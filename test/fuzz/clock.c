/* Times and durations: never crash, and a parsed duration formats to one that parses to the same.
 */

#include <assert.h>

#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    int64_t us, again;
    char out[DURATION_TEXT_SIZE];
    (void)time_parse_rfc3339(text, &us);
    if (duration_parse(text, &us) == 0 && us > -(INT64_C(1) << 50) && us < INT64_C(1) << 50) {
        duration_format(us, out);
        assert(duration_parse(str_of(out), &again) == 0 && again == us);
    }
    return 0;
}
