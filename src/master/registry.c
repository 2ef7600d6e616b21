#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * What the store holds: agents (with the time they became unreachable) and frameworks (with the
 * time they were removed). Tasks and executors come back from the agents.
 */

static const char AGENTS[] = "agents/";
static const char FRAMEWORKS[] = "frameworks/";

static void put_agent(struct master_core *core, const struct agent *a, int64_t since_us)
{
    Dcos__Internal__RegistryAgent rec = DCOS__INTERNAL__REGISTRY_AGENT__INIT;
    rec.info = a->info;
    rec.version = (char *)(uintptr_t)a->version;
    rec.capabilities = a->capabilities;
    rec.n_capabilities = a->n_capabilities;
    rec.has_registered_us = true;
    rec.registered_us = a->registered_us;
    rec.has_unreachable_us = since_us > 0;
    rec.unreachable_us = since_us;
    put_mutation(core, AGENTS, a->id->text, &rec.base);
}

void registry_put_agent(struct master_core *core, const struct agent *a)
{
    put_agent(core, a, 0);
}

void registry_put_lost_agent(struct master_core *core, const struct agent *a, int64_t since_us)
{
    put_agent(core, a, since_us);
}

void registry_delete_agent(struct master_core *core, const char *id)
{
    put_mutation(core, AGENTS, id, NULL);
}

void registry_put_framework(struct master_core *core, const struct framework *f, int64_t removed_us)
{
    Dcos__Internal__RegistryFramework rec = DCOS__INTERNAL__REGISTRY_FRAMEWORK__INIT;
    rec.info = f->info;
    rec.has_registered_us = true;
    rec.registered_us = f->registered_us;
    rec.has_removed_us = removed_us > 0;
    rec.removed_us = removed_us;
    put_mutation(core, FRAMEWORKS, f->id->text, &rec.base);
}

void remember_lost_agent(struct master_core *core, const char *id, int64_t since_us)
{
    struct lost_agent *l = xcalloc(1, sizeof(*l) + strlen(id) + 1);
    l->unreachable_us = since_us;
    memcpy(l->id, id, strlen(id) + 1);
    free(map_remove(&core->lost, id));
    map_put(&core->lost, l->id, l);
    while (map_size(&core->lost) > UNREACHABLE_AGENTS_MAX) {
        size_t pos = 0;
        struct lost_agent *oldest = map_next(&core->lost, &pos)->value;
        registry_delete_agent(core, oldest->id);
        map_remove(&core->lost, oldest->id);
        free(oldest);
    }
}

void remember_removed_framework(struct master_core *core, const char *id)
{
    if (map_get(&core->removed, id))
        return;
    char *copy = xstrdup(id);
    map_put(&core->removed, copy, copy);
    while (map_size(&core->removed) > REMOVED_FRAMEWORKS_MAX) {
        size_t pos = 0;
        char *oldest = map_next(&core->removed, &pos)->value;
        put_mutation(core, FRAMEWORKS, oldest, NULL);
        map_remove(&core->removed, oldest);
        free(oldest);
    }
}

static int restore_agent(
    struct master_core *core, const char *id, const Dcos__Internal__RegistryAgent *rec)
{
    if (!rec->info)
        return -EBADMSG;
    if (rec->has_unreachable_us) {
        remember_lost_agent(core, id, rec->unreachable_us);
        return 0;
    }
    struct agent *a = core_agent_new(core, id);
    agent_set_info(a, rec->info, rec->version, rec->capabilities, rec->n_capabilities);
    a->registered_us = rec->registered_us;
    return 0;
}

static int restore_framework(
    struct master_core *core, const char *id, const Dcos__Internal__RegistryFramework *rec)
{
    if (rec->has_removed_us) {
        remember_removed_framework(core, id);
        return 0;
    }
    if (!rec->info || !rec->info->id || !streq(rec->info->id->value, id))
        return -EBADMSG;
    struct framework *f = core_framework_new(core, rec->info);
    f->registered_us = rec->registered_us;
    f->reregistered_us = rec->registered_us;
    f->recovered = true;
    return 0;
}

int master_core_restore(
    struct master_core *core, const char *key, const void *value, size_t n, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    int r = 0;
    if (has_prefix(key, AGENTS)) {
        r = wire_unpack(&dcos__internal__registry_agent__descriptor, &arena, value, n, &m, err);
        if (r >= 0)
            r = restore_agent(core, key + strlen(AGENTS), (Dcos__Internal__RegistryAgent *)m);
    } else if (has_prefix(key, FRAMEWORKS)) {
        r = wire_unpack(&dcos__internal__registry_framework__descriptor, &arena, value, n, &m, err);
        if (r >= 0)
            r = restore_framework(
                core, key + strlen(FRAMEWORKS), (Dcos__Internal__RegistryFramework *)m);
    }
    if (r < 0)
        return error_set(err, r, "registry entry %s cannot be read", key);
    return 0;
}
