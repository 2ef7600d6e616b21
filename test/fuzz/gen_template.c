/* Templates: what is parsed can be rendered, and says what it needs. */

#include <assert.h>

#include "gen/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char values[] =
        "{\"a\":\"1\",\"b\":\"x y\",\"l\":[\"p\",\"q\"],\"t\":\"[\\\"r\\\"]\"}";
    _cleanup_json_ json_t *arguments = NULL;
    _cleanup_(template_freep)
    struct template *t = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct error err = ERROR_INIT;
    if (template_parse((const char *)data, size, &t, &err) < 0) {
        assert(err.msg[0]);
        return 0;
    }
    _cleanup_json_ json_t *target = template_target(t);
    assert(
        json_is_array(json_at(target, "variables")) && json_is_object(json_at(target, "switches")));
    assert(json_parse(values, sizeof(values) - 1, &arguments, NULL) == 0);
    if (template_render(t, arguments, NULL, 0, &out, &err) < 0)
        assert(err.msg[0]);
    return 0;
}
