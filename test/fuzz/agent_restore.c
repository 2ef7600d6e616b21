/* Records of agent.db: whatever is in them, the agent says no or starts; then an executor's exit
 * and the passing of time must not break it either. Input: repeated <kind, length, bytes>. */

#include <stdio.h>

#include "agent/core.h"
#include "base/clock.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Work on the disk is answered at once: every second piece fails. */
static void drain(struct agent_core *core, const struct agent_now *now)
{
    struct agent_output out;
    while (agent_core_take(core, &out)) {
        VEC_FOREACH (e, &out.effects)
            if (e->type == AGENT_VOLUME_CREATE || e->type == AGENT_VOLUME_DESTROY)
                agent_core_volume_done(core, now, e->number, e->number % 2 ? "no" : NULL);
        agent_output_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {"agent/self", "framework/", "executor/", "stream/", "task/",
        "update/", "resources/self", "operation/", "volume/"};
    Mesos__V1__AgentInfo info = MESOS__V1__AGENT_INFO__INIT;
    Mesos__V1__Value__Scalar size_mb = MESOS__V1__VALUE__SCALAR__INIT;
    Mesos__V1__Resource disk = MESOS__V1__RESOURCE__INIT, *resources[] = {&disk};
    size_mb.has_value = true;
    size_mb.value = 1000;
    disk.name = (char *)(uintptr_t) "disk";
    disk.has_type = true;
    disk.type = MESOS__V1__VALUE__TYPE__SCALAR;
    disk.scalar = &size_mb;
    info.n_resources = 1;
    info.resources = resources;
    struct agent_core_options options = {.info = &info, .boot_id = "b"};
    struct agent_core *core = agent_core_new(&options);
    struct agent_now now = {.mono_us = 1, .wall_us = 1};
    unsigned serial = 0;
    bool good = true;
    while (size >= 2 && good) {
        const char *kind = kinds[data[0] % ARRAY_SIZE(kinds)];
        size_t n = MIN((size_t)data[1], size - 2);
        char key[64];
        if (!has_suffix(kind, "/"))
            snprintf(key, sizeof(key), "%s", kind);
        else
            snprintf(key, sizeof(key), "%s%016x", kind, ++serial);
        good = agent_core_restore(core, key, data + 2, n, NULL) >= 0;
        data += 2 + n;
        size -= 2 + n;
    }
    if (good && agent_core_start(core, &now, NULL) >= 0) {
        drain(core, &now);
        agent_core_link_up(core, &now);
        drain(core, &now);
        MAP_FOREACH (entry, &core->containers) {
            struct agent_container_exit exit = {.status = 9};
            agent_core_container_exited(core, &now, entry->key, &exit);
            drain(core, &now);
            break;
        }
        now.mono_us += 3600 * USEC_PER_SEC;
        agent_core_tick(core, &now);
        drain(core, &now);
    }
    agent_core_free(core);
    return 0;
}
