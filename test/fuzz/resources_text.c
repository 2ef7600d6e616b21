/* Resources that parse must survive the wire form and give back what is taken out of them. */

#include <assert.h>

#include "kernel/attributes.h"
#include "kernel/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct resources r = RESOURCES_INIT, twice = RESOURCES_INIT, back = RESOURCES_INIT;
    struct error err = ERROR_INIT;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    if (resources_parse(text, "dev", &r, &err) == 0) {
        size_t n;
        Mesos__V1__Resource **list = resources_to_wire(&r, size & 1, &arena, &n);
        int e = resources_from_wire(list, n, &back, &err);
        assert(e == 0 && resources_equal(&back, &r));
        resources_copy(&twice, &r);
        resources_add(&twice, &r);
        assert(resources_contains(&twice, &r));
        resources_subtract(&twice, &r);
        resources_subtract(&twice, &r);
        assert(resources_empty(&twice));
        _cleanup_buf_ struct buf out = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &out);
        resources_write_state(&w, &r);
    } else {
        assert(err.msg[0] && r.n == 0);
    }
    resources_done(&r);
    resources_done(&back);
    resources_done(&twice);
    assert(resource_kinds_in_use() == 0);

    Mesos__V1__Attribute **attributes;
    size_t n;
    if (attributes_parse(text, &arena, &attributes, &n, &err) == 0) {
        int e = attributes_validate(attributes, n, &err);
        assert(e == 0);
    }
    return 0;
}
