#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * Why offers were made and not made: a ring of what the last allocation cycles decided.
 *
 * A cycle over many agents and many clients decides more than anybody wants to keep, so a cycle
 * records at most a quarter of the ring of refusals, counts those beyond, and counts every decision
 * per client.
 */

const char *trace_result_name(enum trace_result r)
{
    static const char *const names[TRACE_RESULTS] = {
        [TRACE_OFFERED] = "OFFERED",
        [TRACE_FILTERED] = "FILTERED",
        [TRACE_CONSTRAINTS] = "OFFER_CONSTRAINTS",
        [TRACE_QUOTA_LIMIT] = "QUOTA_LIMIT",
        [TRACE_HEADROOM] = "QUOTA_HEADROOM",
        [TRACE_NO_GPU] = "NO_GPU_RESOURCES_CAPABILITY",
        [TRACE_NO_REGION] = "REMOTE_REGION",
        [TRACE_NO_ROLES] = "AGENT_NOT_MULTI_ROLE",
        [TRACE_NO_HIERARCHY] = "AGENT_NOT_HIERARCHICAL_ROLE",
        [TRACE_TOO_LITTLE] = "LESS_THAN_MINIMUM",
        [TRACE_RESERVED] = "RESERVED_FOR_OTHERS",
        [TRACE_CAPABILITY] = "NO_CAPABILITY",
        [TRACE_SUPPRESSED] = "SUPPRESSED",
        [TRACE_DISCONNECTED] = "FRAMEWORK_DISCONNECTED",
        [TRACE_NOTHING_LEFT] = "NOTHING_LEFT",
        [TRACE_AGENT_AWAY] = "AGENT_DISCONNECTED",
        [TRACE_DEACTIVATED] = "AGENT_DEACTIVATED",
        [TRACE_NOT_WHITELISTED] = "AGENT_NOT_WHITELISTED",
        [TRACE_PAUSED] = "RECOVERING",
        [TRACE_AVAILABLE] = "AVAILABLE",
    };
    return names[r];
}

void trace_init(struct trace *t, size_t size)
{
    t->size = MIN(size, (size_t)TRACE_MAX);
    if (t->size)
        t->entries = xnew_array(struct trace_entry, t->size);
}

static void forget(struct trace_entry *e)
{
    name_unref(e->agent);
    name_unref(e->framework);
    name_unref(e->role);
}

void trace_done(struct trace *t)
{
    for (size_t i = 0; i < t->size; i++)
        forget(&t->entries[i]);
    free(t->entries);
}

void trace_begin(struct master_core *core, size_t n_agents)
{
    struct trace *t = &core->trace;
    t->room = t->size / 4;
    t->current = &t->cycles[core->stats.allocation_runs % TRACE_CYCLES];
    *t->current = (struct trace_cycle){
        .number = core->stats.allocation_runs, .at_us = core->now, .agents = (uint32_t)n_agents};
}

static void count(struct master_core *core, struct client *c, enum trace_result result)
{
    uint64_t cycle = core->stats.allocation_runs;
    if (!c->results)
        c->results = xnew_array(uint32_t, TRACE_RESULTS);
    if (c->cycle != cycle) {
        memset(c->results, 0, TRACE_RESULTS * sizeof(*c->results));
        c->cycle = cycle;
    }
    c->results[result]++;
}

static struct trace_entry *add(struct master_core *core)
{
    struct trace *t = &core->trace;
    struct trace_entry *e = &t->entries[t->next];
    t->next = t->next + 1 == t->size ? 0 : t->next + 1;
    forget(e);
    return e;
}

static int64_t *amount_of(struct trace_entry *e, const struct resource *r)
{
    static const char *const names[] = {"cpus", "mem", "disk", "gpus"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (streq(r->kind->name, names[i]))
            return &e->amounts[i];
    return NULL;
}

void trace_offer(struct master_core *core, struct client *c, const struct agent *a,
    const struct resources *r, enum allocation_stage stage)
{
    struct trace *t = &core->trace;
    if (!t->size)
        return;
    t->current->offers++;
    count(core, c, TRACE_OFFERED);
    struct trace_entry *e = add(core);
    *e = (struct trace_entry){.cycle = core->stats.allocation_runs,
        .agent = name_ref(a->id),
        .framework = name_ref(c->framework->id),
        .role = name_ref(c->role->id),
        .result = TRACE_OFFERED,
        .stage = (uint8_t)stage,
        .quantity = -1};
    RESOURCES_FOREACH(item, r)
    {
        int64_t *amount = item->kind->type == RESOURCE_SCALAR ? amount_of(e, item) : NULL;
        if (amount)
            *amount += item->milli;
    }
}

void trace_refusal(struct master_core *core, struct client *c, struct role *role,
    const struct agent *a, enum trace_result result, enum allocation_stage stage, int quantity,
    int64_t until_us)
{
    struct trace *t = &core->trace;
    if (!t->size)
        return;
    t->current->kept_back++;
    if (c)
        count(core, c, result);
    if (t->room == 0) {
        t->current->unrecorded++;
        return;
    }
    t->room--;
    *add(core) = (struct trace_entry){.cycle = core->stats.allocation_runs,
        .agent = name_ref(a->id),
        .framework = c ? name_ref(c->framework->id) : NULL,
        .role = role ? name_ref(role->id) : NULL,
        .until_us = until_us,
        .result = (uint8_t)result,
        .stage = (uint8_t)stage,
        .quantity = (int8_t)quantity};
}
