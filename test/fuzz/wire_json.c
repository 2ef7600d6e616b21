/* JSON that is accepted must come out in a form that is accepted and comes out the same. The first
 * byte chooses the type. */

#include <assert.h>

#include "wire/agent.pb-c.h"
#include "wire/codec.h"
#include "wire/executor.pb-c.h"
#include "wire/master.pb-c.h"
#include "wire/scheduler.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct buf *out, const ProtobufCMessage *m)
{
    struct json_writer w;
    jw_init(&w, out);
    wire_to_json(&w, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &mesos__v1__scheduler__call__descriptor, &mesos__v1__executor__call__descriptor,
        &mesos__v1__master__call__descriptor, &mesos__v1__agent__call__descriptor,
        &mesos__v1__task_info__descriptor};
    if (size < 1)
        return 0;
    const ProtobufCMessageDescriptor *type = types[data[0] % ARRAY_SIZE(types)];
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL, *again = NULL;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, &arena, (const char *)data + 1, size - 1, &m, &err) < 0) {
        assert(err.msg[0]);
        return 0;
    }
    (void)wire_check_required(m, NULL);
    _cleanup_buf_ struct buf first = BUF_INIT;
    _cleanup_buf_ struct buf second = BUF_INIT;
    put(&first, m);
    int r = wire_parse_json(type, &arena, first.p, first.n, &again, &err);
    assert(r == 0);
    put(&second, again);
    assert(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    return 0;
}
