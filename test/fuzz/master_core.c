/* A master with an agent and a framework is fed lines of JSON: "a{record}" from the agent,
 * "c{call}" from the scheduler, "s" steps time. Whatever arrives, what must always hold holds. */

#include <stdlib.h>

#include "master/core.h"
#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 60 };

static void pump(struct master_core *core)
{
    struct master_mutation *m;
    while ((m = master_core_take_mutation(core)))
        free(m);
    struct master_effect *e;
    while ((e = master_core_take_effect(core, UINT64_MAX)))
        free(e);
    master_core_check(core);
}

static void agent_line(struct master_core *core, struct str line, int64_t now)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_parse_json(
            &dcos__internal__agent_record__descriptor, &arena, line.p, line.n, &m, NULL) == 0)
        master_core_agent_record(core, 1, (const Dcos__Internal__AgentRecord *)m, now);
}

static void call_line(struct master_core *core, struct str line, int64_t now)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_parse_json(&mesos__v1__scheduler__call__descriptor, &arena, line.p, line.n, &m, NULL) <
            0 ||
        wire_check_required(m, NULL) < 0)
        return;
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)m;
    if (master_call_validate(call, &err) < 0)
        return;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE)
        master_core_subscribe(core, 2, "s", call, now);
    else
        (void)master_core_call(core, "s", call, now, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct master_config config;
    master_config_defaults(&config);
    struct master_core *core = master_core_new(&config);
    int64_t now = INT64_C(1700000000000000);
    master_core_start(core, 1, "M", now);
    agent_line(core, STR("{\"hello\":{\"major\":1}}"), now);
    struct str rest = {(const char *)data, size}, line;
    bool subscribed = false;
    for (unsigned n = 0; n < LINES_MAX && str_split(&rest, '\n', &line); n++) {
        if (line.n == 0)
            continue;
        struct str body = {line.p + 1, line.n - 1};
        if (line.p[0] == 'a') {
            agent_line(core, body, now);
        } else if (line.p[0] == 'c') {
            /* One stream: a second subscription would need another. */
            bool sub = body.n > 20 && memmem(body.p, body.n, "SUBSCRIBE", 9);
            if (!sub || !subscribed)
                call_line(core, body, now);
            subscribed |= sub;
        } else if (line.p[0] == 's') {
            now += line.n * 10000000;
            master_core_tick(core, now);
        } else if (line.p[0] == 'x') {
            master_core_agent_closed(core, 1, now);
        }
        pump(core);
        now += 2000;
        master_core_tick(core, now);
        pump(core);
    }
    master_core_scheduler_closed(core, 2, now);
    pump(core);
    master_core_free(core);
    return 0;
}
