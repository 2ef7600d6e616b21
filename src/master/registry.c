#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * What the store holds: agents (with the time they became unreachable, and what operators decided
 * about them), those marked gone, frameworks (with the time they were removed), the maintenance
 * schedule, and what quota.c stores. Tasks and executors come back from the agents.
 */

static const char AGENTS[] = "agents/";
static const char FRAMEWORKS[] = "frameworks/";
static const char GONE[] = "gone/";
static const char MAINTENANCE[] = "maintenance/";
static const char SCHEDULE[] = "schedule";

static void fill_node(
    const struct node_state *node, Dcos__Internal__RegistryAgent *rec, struct arena *arena)
{
    rec->drain_info = node_drain_info(node, arena);
    rec->has_deactivated = node->deactivated;
    rec->deactivated = node->deactivated;
}

void registry_put_agent(struct master_core *core, const struct agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryAgent rec = DCOS__INTERNAL__REGISTRY_AGENT__INIT;
    rec.info = a->info;
    rec.version = (char *)(uintptr_t)a->version;
    rec.capabilities = a->capabilities;
    rec.n_capabilities = a->n_capabilities;
    rec.has_registered_us = true;
    rec.registered_us = a->registered_us;
    fill_node(&a->node, &rec, &arena);
    put_mutation(core, AGENTS, a->id->text, &rec.base);
}

void registry_put_lost_agent(struct master_core *core, const struct lost_agent *l)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryAgent rec = DCOS__INTERNAL__REGISTRY_AGENT__INIT;
    rec.has_unreachable_us = true;
    rec.unreachable_us = l->unreachable_us;
    fill_node(&l->node, &rec, &arena);
    put_mutation(core, AGENTS, l->id, &rec.base);
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

void registry_put_gone_agent(struct master_core *core, const struct gone_agent *g)
{
    Dcos__Internal__RegistryGone rec = DCOS__INTERNAL__REGISTRY_GONE__INIT;
    rec.has_gone_us = true;
    rec.gone_us = g->gone_us;
    put_mutation(core, GONE, g->id, &rec.base);
}

void registry_delete_gone_agent(struct master_core *core, const char *id)
{
    put_mutation(core, GONE, id, NULL);
}

void registry_put_maintenance(struct master_core *core)
{
    if (!core->schedule) {
        put_mutation(core, MAINTENANCE, SCHEDULE, NULL);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__RegistryMaintenance rec = DCOS__INTERNAL__REGISTRY_MAINTENANCE__INIT;
    rec.schedule = core->schedule;
    rec.down = arena_new_array(&arena, Mesos__V1__MachineID *, map_size(&core->machines) + 1);
    MAP_FOREACH (e, &core->machines) {
        const struct machine *m = e->value;
        if (m->down)
            rec.down[rec.n_down++] = m->id;
    }
    put_mutation(core, MAINTENANCE, SCHEDULE, &rec.base);
}

struct lost_agent *remember_lost_agent(
    struct master_core *core, const char *id, int64_t since_us, const struct node_state *node)
{
    struct lost_agent *l = xcalloc(1, sizeof(*l) + strlen(id) + 1);
    l->unreachable_us = since_us;
    l->node = *node;
    memcpy(l->id, id, strlen(id) + 1);
    free(map_remove(&core->lost, id));
    map_put(&core->lost, l->id, l);
    return l;
}

struct gone_agent *remember_gone_agent(struct master_core *core, const char *id, int64_t since_us)
{
    struct gone_agent *g = xcalloc(1, sizeof(*g) + strlen(id) + 1);
    g->gone_us = since_us;
    memcpy(g->id, id, strlen(id) + 1);
    free(map_remove(&core->gone, id));
    map_put(&core->gone, g->id, g);
    return g;
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
    struct node_state node;
    node_state_restore(&node, rec->has_deactivated && rec->deactivated, rec->drain_info);
    if (rec->has_unreachable_us) {
        remember_lost_agent(core, id, rec->unreachable_us, &node);
        return 0;
    }
    if (!rec->info)
        return -EBADMSG;
    struct agent *a = core_agent_new(core, id);
    a->node = node;
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
    } else if (has_prefix(key, GONE)) {
        r = wire_unpack(&dcos__internal__registry_gone__descriptor, &arena, value, n, &m, err);
        if (r >= 0)
            remember_gone_agent(
                core, key + strlen(GONE), ((Dcos__Internal__RegistryGone *)m)->gone_us);
    } else if (has_prefix(key, MAINTENANCE) && streq(key + strlen(MAINTENANCE), SCHEDULE)) {
        r = wire_unpack(
            &dcos__internal__registry_maintenance__descriptor, &arena, value, n, &m, err);
        if (r >= 0)
            r = maintenance_restore(core, (Dcos__Internal__RegistryMaintenance *)m);
    }
    if (streq(key, "allocator/quotas"))
        r = quota_restore(core, value, n, err);
    else if (streq(key, "allocator/weights"))
        r = weights_restore(core, value, n, err);
    if (r < 0)
        return error_set(err, r, "registry entry %s cannot be read", key);
    return 0;
}
