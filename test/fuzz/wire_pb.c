/* Bytes that decode must encode to bytes that decode to the same message, and survive JSON. The
 * first byte chooses the type. */

#include <assert.h>

#include "wire/agent.pb-c.h"
#include "wire/codec.h"
#include "wire/executor.pb-c.h"
#include "wire/internal.pb-c.h"
#include "wire/master.pb-c.h"
#include "wire/scheduler.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &mesos__v1__scheduler__call__descriptor, &mesos__v1__executor__call__descriptor,
        &mesos__v1__master__call__descriptor, &mesos__v1__agent__call__descriptor,
        &dcos__internal__agent_record__descriptor, &dcos__internal__master_record__descriptor,
        &mesos__v1__agent__process_io__descriptor};
    if (size < 1)
        return 0;
    const ProtobufCMessageDescriptor *type = types[data[0] % ARRAY_SIZE(types)];
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL, *again = NULL;
    if (wire_unpack(type, &arena, data + 1, size - 1, &m, NULL) < 0)
        return 0;
    (void)wire_check_required(m, NULL);
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    wire_pack(m, &bytes);
    int r = wire_unpack(type, &arena, bytes.p, bytes.n, &again, NULL);
    assert(r == 0);
    assert(wire_equal(m, again) && wire_equal(m, wire_clone(m, &arena)));
    _cleanup_buf_ struct buf json = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &json);
    wire_to_json(&w, m);
    return 0;
}
