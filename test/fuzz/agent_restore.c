/* Records of agent.db: whatever is in them, the agent says no or starts; then an executor's exit
 * and the passing of time must not break it either. Input: repeated <kind, length, bytes>. */

#include <stdio.h>

#include "agent/core.h"
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct agent_core *core)
{
    struct agent_output out;
    while (agent_core_take(core, &out))
        agent_output_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {
        "agent/self", "framework/", "executor/", "stream/", "task/", "update/"};
    Mesos__V1__AgentInfo info = MESOS__V1__AGENT_INFO__INIT;
    struct agent_core_options options = {.info = &info, .boot_id = "b"};
    struct agent_core *core = agent_core_new(&options);
    struct agent_now now = {.mono_us = 1, .wall_us = 1};
    unsigned serial = 0;
    bool good = true;
    while (size >= 2 && good) {
        const char *kind = kinds[data[0] % ARRAY_SIZE(kinds)];
        size_t n = MIN((size_t)data[1], size - 2);
        char key[64];
        if (data[0] % ARRAY_SIZE(kinds) == 0)
            snprintf(key, sizeof(key), "%s", kind);
        else
            snprintf(key, sizeof(key), "%s%016x", kind, ++serial);
        good = agent_core_restore(core, key, data + 2, n, NULL) >= 0;
        data += 2 + n;
        size -= 2 + n;
    }
    if (good && agent_core_start(core, &now, NULL) >= 0) {
        drain(core);
        agent_core_link_up(core, &now);
        drain(core);
        MAP_FOREACH (entry, &core->containers) {
            struct agent_container_exit exit = {.status = 9};
            agent_core_container_exited(core, &now, entry->key, &exit);
            drain(core);
            break;
        }
        now.mono_us += 3600 * USEC_PER_SEC;
        agent_core_tick(core, &now);
        drain(core);
    }
    agent_core_free(core);
    return 0;
}
