#include "master/core.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"

void master_config_defaults(struct master_config *c)
{
    *c = (struct master_config){
        .agent_ping_timeout_us = 2 * USEC_PER_SEC,
        .max_agent_ping_timeouts = 4,
        .agent_reregister_timeout_us = 600 * USEC_PER_SEC,
        .recovery_agent_removal_limit = 100,
        .registry_gc_interval_us = 900 * USEC_PER_SEC,
        .registry_max_agent_age_us = 14 * 24 * 3600 * USEC_PER_SEC,
        .registry_max_agent_count = 102400,
        .allocation_interval_us = USEC_PER_SEC,
        .allocation_delay_us = USEC_PER_MSEC,
        .heartbeat_interval_us = 15 * USEC_PER_SEC,
        .max_completed_frameworks = 50,
        .max_completed_tasks = 1000,
        .max_unreachable_tasks = 1000,
        .root_submissions = true,
        .filter_gpu_resources = true,
        .min_allocatable_resources = "cpus:0.01|mem:32",
        .allocator_recovery_timeout_us = 600 * USEC_PER_SEC,
        .recovery_factor_milli = 800,
        .allocator_trace = TRACE_DEFAULT,
        .hostname = "localhost",
        .ip = "127.0.0.1",
        .version = "1.11.0",
        .port = 5050,
    };
}

static void allocate_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    allocate(core);
}

struct master_core *master_core_new(const struct master_config *config)
{
    struct master_core *core = xnew(struct master_core);
    core->config = *config;
    core->hostname = xstrdup(config->hostname);
    core->ip = xstrdup(config->ip);
    core->version = xstrdup(config->version);
    core->config.hostname = core->hostname;
    core->config.ip = core->ip;
    core->config.version = core->version;
    core->mutations_tail = &core->mutations;
    core->effects_tail = &core->effects;
    list_init(&core->completed_frameworks);
    list_init(&core->dirty);
    list_init(&core->fresh_frameworks);
    core->allocate_timer.fn = allocate_due;
    loss_init(core);
    maintenance_init(core);
    inverse_init(core);
    list_init(&core->held);
    core->root.name = xstrdup("");
    settings_init(core);
    return core;
}

void master_core_free(struct master_core *core)
{
    if (!core)
        return;
    shares_rebuild(core); /* later it would meet what is gone */
    MAP_FOREACH (e, &core->frameworks)
        core_framework_free(core, e->value);
    struct framework *f;
    while ((f = list_first(&core->completed_frameworks, struct framework, node))) {
        list_remove(&f->node);
        core_framework_free(core, f);
    }
    MAP_FOREACH (e, &core->agents)
        core_agent_free(core, e->value);
    MAP_FOREACH (e, &core->lost)
        free(e->value);
    MAP_FOREACH (e, &core->gone)
        free(e->value);
    maintenance_done(core);
    MAP_FOREACH (e, &core->removed)
        free(e->value);
    MAP_FOREACH (e, &core->stats.task_reasons)
        free(e->value);
    map_done(&core->frameworks);
    map_done(&core->agents);
    map_done(&core->addresses);
    map_done(&core->lost);
    map_done(&core->gone);
    map_done(&core->removed);
    map_done(&core->offers);
    map_done(&core->operations);
    map_done(&core->stats.task_reasons);
    for (struct link *l; (l = core->all_links);) {
        core->all_links = l->next;
        free(l);
    }
    umap_done(&core->links);
    umap_done(&core->streams);
    umap_done(&core->filters);
    roles_done(core);
    settings_done(core);
    vec_done(&core->free_client_slots);
    vec_done(&core->free_agent_slots);
    heap_done(&core->timers);
    struct master_mutation *m;
    while ((m = master_core_take_mutation(core)))
        free(m);
    struct master_effect *e;
    while ((e = master_core_take_effect(core, UINT64_MAX)))
        free(e);
    for (size_t i = 0; i < core->n_quantities; i++)
        free((char *)(uintptr_t)core->quantity_names[i]);
    free(core->root.name);
    free(core->hostname);
    free(core->ip);
    free(core->version);
    free(core);
}

/* ---- timers ---- */

void core_timer_start(struct master_core *core, struct core_timer *t, int64_t due_us)
{
    if (heap_contains(&t->node))
        heap_remove(&core->timers, &t->node);
    heap_push(&core->timers, &t->node, due_us);
}

void core_timer_stop(struct master_core *core, struct core_timer *t)
{
    heap_remove(&core->timers, &t->node);
}

int64_t master_core_next_deadline(const struct master_core *core)
{
    struct heap_node *n = heap_min(&core->timers);
    return n ? n->key : INT64_MAX;
}

void master_core_tick(struct master_core *core, int64_t now_us)
{
    assert(core->started);
    core->now = MAX(core->now, now_us);
    struct heap_node *n;
    while ((n = heap_min(&core->timers)) && n->key <= core->now) {
        struct core_timer *t = container_of(n, struct core_timer, node);
        heap_remove(&core->timers, n);
        t->fn(core, t, core->now);
    }
}

/* ---- start ---- */

void master_core_start(
    struct master_core *core, uint64_t epoch, const char *master_id, int64_t now_us)
{
    assert(!core->started);
    core->started = true;
    core->now = now_us;
    core->epoch = epoch;
    size_t n = strnlen(master_id, sizeof(core->master_id) - 1);
    memcpy(core->master_id, master_id, n);
    core->master_id[n] = '\0';
    loss_start(core);
    settings_start(core);
    allocator_start(core);
    /* Nobody knows how long a framework has been away: it gets its own time, and no less than the
     * agents get, so that a failover of ours does not cost it its tasks. */
    MAP_FOREACH (e, &core->frameworks) {
        struct framework *f = e->value;
        framework_wait_failover(core, f,
            MAX(framework_failover_timeout_us(f->info), core->config.agent_reregister_timeout_us));
    }
}

/* ---- looking in ---- */

uint64_t master_core_version(const struct master_core *core)
{
    return core->change;
}

void master_core_operator_events(struct master_core *core, bool wanted)
{
    core->operator_events = wanted;
}

uint64_t master_core_operator_events_made(const struct master_core *core)
{
    return core->operator_events_made;
}

static bool view_task(const struct task *t,
    bool (*fn)(const struct master_task_view *task, void *userdata), void *userdata)
{
    struct master_task_view view = {.framework_id = t->framework->id->text,
        .task_id = t->id,
        .agent_id = t->agent_id->text,
        .state = (Mesos__V1__TaskState)t->state};
    return fn(&view, userdata);
}

void master_core_each_task(const struct master_core *core,
    bool (*fn)(const struct master_task_view *task, void *userdata), void *userdata)
{
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        size_t pos = 0;
        struct map_entry *te;
        while ((te = map_next(&f->tasks, &pos)))
            if (!view_task(te->value, fn, userdata))
                return;
        LIST_FOREACH (t, &f->unreachable, struct task, place_node) {
            if (!view_task(t, fn, userdata))
                return;
        }
    }
}

void master_core_each_executor(const struct master_core *core,
    bool (*fn)(const struct master_executor_view *executor, void *userdata), void *userdata)
{
    MAP_FOREACH (entry, &core->frameworks) {
        const struct framework *f = entry->value;
        LIST_FOREACH (e, &f->executors, struct executor, framework_node) {
            struct master_executor_view v = {
                .framework_id = f->id->text, .executor_id = e->id, .agent_id = e->agent->id->text};
            if (!fn(&v, userdata))
                return;
        }
    }
}

void master_core_each_agent(const struct master_core *core,
    bool (*fn)(const struct master_agent_view *agent, void *userdata), void *userdata)
{
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        struct master_agent_view v = {.id = a->id->text,
            .hostname = a->info->hostname,
            .connected = agent_connected(a),
            .recovered = a->state == AGENT_RECOVERED,
            .deactivated = a->node.deactivated,
            .draining = a->node.drain == DRAIN_RUNS,
            .drained = a->node.drain == DRAIN_DONE,
            .n_tasks = a->n_tasks,
            .total = &a->total,
            .available = &a->available};
        LIST_FOREACH (o, &a->offers, struct offer, agent_node)
            v.n_offers++;
        if (!fn(&v, userdata))
            return;
    }
}

void master_core_each_quota(const struct master_core *core,
    bool (*fn)(const struct master_quota_view *quota, void *userdata), void *userdata)
{
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        for (size_t i = 0; role->quota && i < core->n_quantities; i++) {
            int64_t limit = role->quota->limit[i];
            struct master_quota_view v = {.role = role->name,
                .quantity = core->quantity_names[i],
                .guarantee = role->quota->guarantee[i],
                .limit = limit == NO_LIMIT ? INT64_MAX : limit,
                .consumed = role_consumed(role, i)};
            if (!fn(&v, userdata))
                return;
        }
    }
}

void master_core_counts(const struct master_core *core, struct master_counts *ret)
{
    *ret = (struct master_counts){
        .agents_recovered = core->n_recovered, .agents_unreachable = map_size(&core->lost)};
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        if (a->state != AGENT_REGISTERED)
            continue;
        if (agent_connected(a))
            ret->agents_connected++;
        else
            ret->agents_disconnected++;
        if (agent_active(a))
            ret->agents_active++;
    }
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        if (f->connected)
            ret->frameworks_connected++;
        else
            ret->frameworks_disconnected++;
        ret->tasks += map_size(&f->tasks);
    }
    ret->offers = map_size(&core->offers);
}

static void check_agent(const struct master_core *core, const struct agent *a)
{
    _cleanup_resources_ struct resources used = RESOURCES_INIT, offered = RESOURCES_INIT;
    size_t n_tasks = 0;
    LIST_FOREACH (t, &a->tasks, struct task, agent_node) {
        assert(t->agent == a && t->place == TASK_ACTIVE);
        assert(map_get(&t->framework->tasks, t->id) == t);
        assert(t->charged == !task_state_is_terminal((Mesos__V1__TaskState)t->state));
        n_tasks++;
        if (t->charged)
            resources_add(&used, &t->resources);
    }
    assert(n_tasks == a->n_tasks);
    LIST_FOREACH (e, &a->executors, struct executor, agent_node) {
        assert(e->agent == a);
        resources_add(&used, &e->resources);
    }
    LIST_FOREACH (o, &a->offers, struct offer, agent_node) {
        assert(o->agent == a && o->framework->connected && agent_active(a));
        resources_add(&offered, &o->resources);
    }
    assert(resources_equal(&used, &a->used));
    assert(resources_equal(&offered, &a->offered));
    LIST_FOREACH (op, &a->operations, struct operation, agent_node) {
        assert(op->agent == a && map_get(&core->operations, op->key) == op);
        assert(!op->framework || !op->framework->removed);
        assert(
            !op->framework || !op->has_id || map_get(&op->framework->operation_ids, op->id) == op);
    }
    if (a->state != AGENT_REGISTERED)
        return;
    /* A shared volume is available however many use it. */
    _cleanup_resources_ struct resources shared = RESOURCES_INIT, offerable = RESOURCES_INIT;
    resources_filter(&a->total, resource_is_shared, NULL, &shared);
    resources_filter(&a->available, resource_is_shared, NULL, &offerable);
    assert(resources_equal(&shared, &offerable));
    _cleanup_resources_ struct resources sum = RESOURCES_INIT, plain = RESOURCES_INIT;
    resources_add(&sum, &used);
    resources_add(&sum, &offered);
    resources_allocate(&sum, NULL, &plain);
    resources_add(&plain, &a->available);
    assert(resources_contains(&plain, &a->total));
    assert(resources_contains(&a->total, &a->available));
}

/* Of what is in the top-level role or below it; both names as kinds have them. */
static bool is_below(const char *role, const char *top)
{
    size_t n = strlen(top);
    return role && strncmp(role, top, n) == 0 && (role[n] == '\0' || role[n] == '/');
}

static int64_t sum_unreserved(const struct resources *r, const char *top, const char *quantity)
{
    int64_t sum = 0;
    RESOURCES_FOREACH(x, r)
    if (x->kind->type == RESOURCE_SCALAR && !x->kind->n_reservations && !x->kind->revocable &&
        streq(x->kind->name, quantity) && is_below(x->kind->allocation_role, top))
        sum += x->milli;
    return sum;
}

/* What counts against quotas is what is there. */
static void check_role(const struct master_core *core, const struct role *role)
{
    for (size_t i = 0; i < core->n_quantities; i++) {
        int64_t unreserved = 0, reserved = 0;
        MAP_FOREACH (e, &core->frameworks) {
            const struct framework *f = e->value;
            unreserved += sum_unreserved(&f->used, role->name, core->quantity_names[i]);
            unreserved += sum_unreserved(&f->offered, role->name, core->quantity_names[i]);
        }
        MAP_FOREACH (e, &core->agents) {
            const struct agent *a = e->value;
            RESOURCES_FOREACH(x, &a->total)
            if (x->kind->type == RESOURCE_SCALAR && x->kind->n_reservations &&
                streq(x->kind->name, core->quantity_names[i]) &&
                is_below(x->kind->role, role->name))
                reserved += x->milli;
        }
        assert(role->unreserved[i] == unreserved);
        assert(role->reserved[i] == reserved);
    }
}

void master_core_check(const struct master_core *core)
{
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        if (role->top == role)
            check_role(core, role);
    }
    roles_check(core);
    MAP_FOREACH (e, &core->agents)
        check_agent(core, e->value);
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        _cleanup_resources_ struct resources used = RESOURCES_INIT;
        size_t pos = 0;
        uint32_t states[ARRAY_SIZE(f->stats.tasks_active)] = {0};
        struct map_entry *te;
        while ((te = map_next(&f->tasks, &pos))) {
            const struct task *t = te->value;
            states[t->state & 15]++;
            assert(t->framework == f);
            assert(map_get(&f->unreachable_by_id, t->id) == NULL);
            assert(t->agent && map_get(&core->agents, t->agent_id->text) == t->agent);
            if (t->charged)
                resources_add(&used, &t->resources);
        }
        assert(memcmp(states, f->stats.tasks_active, sizeof(states)) == 0);
        LIST_FOREACH (x, &f->executors, struct executor, framework_node)
            resources_add(&used, &x->resources);
        assert(resources_equal(&used, &f->used));
        size_t n = 0;
        LIST_FOREACH (o, &f->offers, struct offer, framework_node) {
            assert(map_get(&core->offers, o->id) == o);
            assert(map_get(&core->agents, o->agent->id->text) == o->agent);
            n++;
        }
        assert(n == f->n_offers);
        assert(f->connected || n == 0);
    }
}
