#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"
#include "wire/codec.h"

/* Frameworks: subscription, fail-over, disconnection, removal. */

static void failover_due(struct master_core *core, struct core_timer *t, int64_t now_us);
static void heartbeat_due(struct master_core *core, struct core_timer *t, int64_t now_us);

/* ---- the record ---- */

static void set_min_quantities(struct master_core *core, struct client *c)
{
    if (c->n_min)
        core->n_custom_min--;
    for (size_t i = 0; i < c->n_min; i++)
        free(c->min[i].items);
    free(c->min);
    c->min = NULL;
    c->n_min = 0;
    const Mesos__V1__FrameworkInfo *info = c->framework->info;
    for (size_t i = 0; i < info->n_offer_filters; i++) {
        const Mesos__V1__FrameworkInfo__OfferFiltersEntry *e = info->offer_filters[i];
        if (!streq(e->key, c->role->name) || !e->value || !e->value->min_allocatable_resources)
            continue;
        const Mesos__V1__OfferFilters__MinAllocatableResources *m =
            e->value->min_allocatable_resources;
        c->min = xnew_array(struct min_quantities, m->n_quantities + 1);
        c->n_min = m->n_quantities;
        for (size_t j = 0; j < m->n_quantities; j++) {
            const Mesos__V1__OfferFilters__ResourceQuantities *q = m->quantities[j];
            c->min[j].items = xnew_array(struct min_quantity, q->n_quantities + 1);
            c->min[j].n = q->n_quantities;
            for (size_t k = 0; k < q->n_quantities; k++) {
                c->min[j].items[k].name = q->quantities[k]->key;
                c->min[j].items[k].milli = q->quantities[k]->value
                                               ? llround(q->quantities[k]->value->value * 1000)
                                               : 0;
            }
        }
        break;
    }
    if (c->n_min)
        core->n_custom_min++;
}

static void take_info(struct framework *f, const Mesos__V1__FrameworkInfo *info)
{
    struct arena arena = ARENA_INIT;
    Mesos__V1__FrameworkInfo *copy = (Mesos__V1__FrameworkInfo *)wire_clone(&info->base, &arena);
    if (!copy->id) {
        copy->id = arena_alloc(&arena, sizeof(*copy->id));
        mesos__v1__framework_id__init(copy->id);
    }
    copy->id->value = arena_strdup(&arena, f->id->text);
    f->info = copy;
    arena_done(&f->arena);
    f->arena = arena;
    free(f->packed_info);
    f->packed_info = packed_new(&copy->base);
    f->capabilities = framework_capabilities(copy);
}

/* Clients for the subscribed roles; others stay as long as something is allocated to them. */
static void sync_clients(struct master_core *core, struct framework *f)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    const char **roles = framework_roles(f->info, &arena, &n);
    struct map wanted = MAP_INIT;
    for (size_t i = 0; i < n; i++)
        map_put(&wanted, roles[i], f);
    MAP_FOREACH (e, &f->clients) {
        struct client *c = e->value;
        if (!c->subscribed || map_get(&wanted, c->role->name))
            continue;
        c->subscribed = false;
        filters_clear_client(core, c);
        LIST_FOREACH_SAFE (o, &f->offers, struct offer, framework_node) {
            if (o->client == c)
                offer_discard(core, o, true);
        }
        client_refresh(core, c);
    }
    for (size_t i = 0; i < n; i++)
        client_get(core, f, roles[i])->subscribed = true;
    MAP_FOREACH (e, &f->clients) {
        set_min_quantities(core, e->value);
        client_refresh(core, e->value);
    }
    map_done(&wanted);
}

struct framework *core_framework_new(struct master_core *core, const Mesos__V1__FrameworkInfo *info)
{
    struct framework *f = xnew(struct framework);
    f->id = name_new(info->id->value);
    list_init(&f->unreachable);
    list_init(&f->completed);
    list_init(&f->executors);
    list_init(&f->offers);
    list_init(&f->inverse_offers);
    list_init(&f->inverse_answers);
    list_init(&f->operations);
    list_init(&f->node);
    list_init(&f->fresh);
    list_init(&f->fresh_node);
    f->failover_timer.fn = failover_due;
    f->heartbeat_timer.fn = heartbeat_due;
    take_info(f, info);
    map_put(&core->frameworks, f->id->text, f);
    sync_clients(core, f);
    core->change++;
    return f;
}

static void free_tasks(struct list *tasks)
{
    struct task *t;
    while ((t = list_first(tasks, struct task, place_node))) {
        list_remove(&t->place_node);
        core_task_free(t);
    }
}

/* For memory alone: nothing is sent, nothing given back. */
void core_framework_free(struct master_core *core, struct framework *f)
{
    core_timer_stop(core, &f->failover_timer);
    core_timer_stop(core, &f->heartbeat_timer);
    MAP_FOREACH (e, &f->tasks)
        core_task_free(e->value);
    free_tasks(&f->unreachable);
    free_tasks(&f->completed);
    inverse_forget_framework(core, f);
    struct offer *o;
    while ((o = list_first(&f->offers, struct offer, framework_node))) {
        struct resources gone = RESOURCES_INIT;
        offer_consume(core, o, &gone);
        resources_done(&gone);
    }
    struct executor *x;
    while ((x = list_first(&f->executors, struct executor, framework_node)))
        executor_remove(core, x);
    LIST_FOREACH_SAFE (op, &f->operations, struct operation, framework_node)
        operation_detach(op);
    map_done(&f->operation_ids);
    MAP_FOREACH (e, &f->clients)
        core_client_free(core, e->value);
    map_done(&f->clients);
    map_done(&f->tasks);
    map_done(&f->unreachable_by_id);
    resources_done(&f->used);
    resources_done(&f->offered);
    list_remove(&f->fresh_node);
    free(f->packed_info);
    arena_done(&f->arena);
    framework_set_constraints(f, NULL);
    name_unref(f->id);
    free(f);
}

/* Only those that have something of it: others hear of it with its next task. */
static void tell_agents(struct master_core *core, const struct framework *f)
{
    Dcos__Internal__UpdateFramework update = DCOS__INTERNAL__UPDATE_FRAMEWORK__INIT;
    update.framework = f->info;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.update_framework = &update;
    struct map told = MAP_INIT;
    MAP_FOREACH (e, &f->tasks) {
        struct agent *a = ((struct task *)e->value)->agent;
        if (!map_put(&told, a->id->text, a))
            send_agent(core, a, &rec);
    }
    LIST_FOREACH (x, &f->executors, struct executor, framework_node) {
        if (!map_put(&told, x->agent->id->text, x->agent))
            send_agent(core, x->agent, &rec);
    }
    map_done(&told);
}

bool framework_update_info(
    struct master_core *core, struct framework *f, const Mesos__V1__FrameworkInfo *info)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    /* User and checkpoint stay what they were. */
    Mesos__V1__FrameworkInfo next = *info;
    next.user = f->info->user;
    next.has_checkpoint = f->info->has_checkpoint;
    next.checkpoint = f->info->checkpoint;
    if (!next.principal)
        next.principal = f->info->principal;
    Mesos__V1__FrameworkInfo *copy = (Mesos__V1__FrameworkInfo *)wire_clone(&next.base, &arena);
    if (wire_equal(&copy->base, &f->info->base))
        return false;
    take_info(f, copy);
    sync_clients(core, f);
    core->change++;
    registry_put_framework(core, f, 0);
    tell_agents(core, f);
    return true;
}

void framework_set_suppressed(
    struct master_core *core, struct framework *f, char *const *roles, size_t n)
{
    MAP_FOREACH (e, &f->clients) {
        struct client *c = e->value;
        c->suppressed = false;
        for (size_t i = 0; i < n; i++)
            if (streq(roles[i], c->role->name))
                c->suppressed = true;
        client_refresh(core, c);
    }
}

/* ---- subscribing ---- */

static void heartbeat_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct framework *f = container_of(t, struct framework, heartbeat_timer);
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__HEARTBEAT;
    send_event(core, f, &e);
    core_timer_start(core, t, now_us + core->config.heartbeat_interval_us);
}

static void send_subscribed(struct master_core *core, struct framework *f)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    id.value = f->id->text;
    Mesos__V1__MasterInfo info;
    master_info_init(core, &arena, &info);
    /* Quotas are the operators' business, and clients in use refuse the whole event for a name that
     * they do not know (the JSON codec of mesos-go). */
    size_t n = 0;
    for (size_t i = 0; i < info.n_capabilities; i++)
        if (info.capabilities[i]->type != MESOS__V1__MASTER_INFO__CAPABILITY__TYPE__QUOTA_V2)
            info.capabilities[n++] = info.capabilities[i];
    info.n_capabilities = n;
    Mesos__V1__Scheduler__Event__Subscribed subscribed =
        MESOS__V1__SCHEDULER__EVENT__SUBSCRIBED__INIT;
    subscribed.framework_id = &id;
    subscribed.has_heartbeat_interval_seconds = true;
    subscribed.heartbeat_interval_seconds = (double)core->config.heartbeat_interval_us /
                                            (double)USEC_PER_SEC;
    subscribed.master_info = &info;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED;
    e.subscribed = &subscribed;
    send_event(core, f, &e);
    heartbeat_due(core, &f->heartbeat_timer, core->now);
}

int check_allowed_roles(
    struct master_core *core, const Mesos__V1__FrameworkInfo *info, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    const char **roles = framework_roles(info, &arena, &n);
    for (size_t i = 0; i < n; i++)
        if (!role_is_allowed(core, roles[i]))
            return error_set(
                err, -EINVAL, "Role '%s' is not present in the master's --roles", roles[i]);
    return 0;
}

static int check_subscribe(struct master_core *core, const Mesos__V1__Scheduler__Call *call,
    const char *id, struct error *err)
{
    const Mesos__V1__Scheduler__Call__Subscribe *sub = call->subscribe;
    const Mesos__V1__FrameworkInfo *info = sub->framework_info;
    int r = framework_info_validate(info, err);
    if (r < 0)
        return r;
    r = check_allowed_roles(core, info, err);
    if (r < 0)
        return r;
    if (!core->config.root_submissions && streq(info->user, "root"))
        return error_set(err, -EINVAL,
            "User 'root' is not allowed to run frameworks without --root_submissions set");
    if (id && map_get(&core->removed, id))
        return error_set(err, -EINVAL, "Framework has been removed");
    r = framework_validate_suppressed(info, sub->suppressed_roles, sub->n_suppressed_roles, err);
    if (r < 0)
        return r;
    if (sub->offer_constraints) {
        r = constraints_validate(info, sub->offer_constraints, err);
        if (r < 0)
            return r;
    }
    r = framework_authorize(core, info, err);
    if (r < 0)
        return r;
    struct framework *known = id ? find_framework(core, id) : NULL;
    if (known && !streq(known->info->principal ? known->info->principal : "",
                     info->principal ? info->principal : ""))
        return error_set(err, -EINVAL, "Changing framework's principal is not allowed.");
    return 0;
}

static void take_over_stream(struct master_core *core, struct framework *f)
{
    /* Offers of the old subscription are void; nobody is told, the new one never saw them. */
    struct offer *o;
    while ((o = list_first(&f->offers, struct offer, framework_node)))
        offer_discard(core, o, false);
    inverse_discard_framework(core, f);
    umap_remove(&core->streams, f->stream);
    send_error(core, f->stream, "Framework failed over");
    f->connected = false;
}

void master_core_subscribe(struct master_core *core, uint64_t stream, const char *stream_id,
    const Mesos__V1__Scheduler__Call *call, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    core->stats.calls[MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE]++;
    const Mesos__V1__Scheduler__Call__Subscribe *sub = call->subscribe;
    const char *id = call->framework_id && call->framework_id->value && call->framework_id->value[0]
                         ? call->framework_id->value
                         : NULL;
    struct error err = ERROR_INIT;
    if (check_subscribe(core, call, id, &err) < 0) {
        send_error(core, stream, err.msg);
        return;
    }
    struct framework *f = id ? find_framework(core, id) : NULL;
    bool fresh = !f;
    if (fresh) {
        char made[128];
        Mesos__V1__FrameworkID new_id = MESOS__V1__FRAMEWORK_ID__INIT;
        if (id) {
            new_id.value = (char *)(uintptr_t)id;
        } else {
            /* Whoever came with an id of their own may have guessed ours. */
            do
                snprintf(made, sizeof(made), "%s-%04llu", core->master_id,
                    (unsigned long long)core->next_framework++);
            while (map_get(&core->frameworks, made) || map_get(&core->removed, made));
            new_id.value = made;
        }
        Mesos__V1__FrameworkInfo info = *sub->framework_info;
        info.id = &new_id;
        f = core_framework_new(core, &info);
        f->registered_us = core->now;
        registry_put_framework(core, f, 0);
    } else {
        if (f->connected)
            take_over_stream(core, f);
        framework_update_info(core, f, sub->framework_info);
    }
    COUNT_KIND(f->stats.calls, call->type);
    f->reregistered_us = core->now;
    f->recovered = false;
    f->connected = true;
    f->stream = stream;
    snprintf(f->stream_id, sizeof(f->stream_id), "%s", stream_id);
    umap_put(&core->streams, stream, f);
    core_timer_stop(core, &f->failover_timer);
    framework_set_constraints(f, sub->offer_constraints);
    framework_set_suppressed(core, f, sub->suppressed_roles, sub->n_suppressed_roles);
    core->change++;
    send_subscribed(core, f);
    if (fresh)
        operator_framework_added(core, f);
    else
        operator_framework_updated(core, f);
    mark_all_dirty(core);
    inverse_wake_all(core);
}

/* ---- going ---- */

void framework_wait_failover(struct master_core *core, struct framework *f, int64_t delay_us)
{
    int64_t due;
    if (__builtin_add_overflow(core->now, delay_us, &due))
        due = INT64_MAX - 1;
    core_timer_start(core, &f->failover_timer, due);
}

static void failover_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct framework *f = container_of(t, struct framework, failover_timer);
    if (!f->connected)
        framework_remove(core, f);
}

/* Deactivated in every role, its offers back, its filters forgotten. */
static void deactivate(struct master_core *core, struct framework *f)
{
    core_timer_stop(core, &f->heartbeat_timer);
    umap_remove(&core->streams, f->stream);
    f->connected = false;
    f->stream = 0;
    f->stream_id[0] = '\0';
    struct offer *o;
    while ((o = list_first(&f->offers, struct offer, framework_node)))
        offer_discard(core, o, false);
    inverse_discard_framework(core, f);
    MAP_FOREACH (e, &f->clients) {
        filters_clear_client(core, e->value);
        client_refresh(core, e->value);
    }
    core->change++;
}

void framework_disconnect(struct master_core *core, struct framework *f)
{
    deactivate(core, f);
    int64_t timeout = framework_failover_timeout_us(f->info);
    if (timeout <= 0)
        framework_remove(core, f);
    else
        framework_wait_failover(core, f, timeout);
}

void master_core_scheduler_closed(struct master_core *core, uint64_t stream, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    struct framework *f = umap_get(&core->streams, stream);
    if (f)
        framework_disconnect(core, f);
}

static void end_tasks(struct master_core *core, struct framework *f)
{
    MAP_FOREACH (e, &f->tasks) {
        struct task *t = e->value;
        if (!task_state_is_terminal((Mesos__V1__TaskState)t->state)) {
            _cleanup_arena_ struct arena arena = ARENA_INIT;
            Mesos__V1__TaskStatus *status = task_status_new(&arena, t->id,
                MESOS__V1__TASK_STATE__TASK_KILLED, MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
                MESOS__V1__TASK_STATUS__REASON__REASON_FRAMEWORK_REMOVED, "Framework removed",
                t->agent_id->text, core->now);
            task_transition(core, t, status->state, status);
            count_task_state(core, status);
        }
        task_complete(core, t);
    }
    /* Where they are nobody knows; their agents are told when they come back. */
    struct task *t;
    while ((t = list_first(&f->unreachable, struct task, place_node)))
        task_complete(core, t);
}

void framework_remove(struct master_core *core, struct framework *f)
{
    uint64_t stream = f->stream;
    if (f->connected)
        deactivate(core, f);
    inverse_forget_framework(core, f);
    core_timer_stop(core, &f->failover_timer);
    registry_put_framework(core, f, core->now);
    remember_removed_framework(core, f->id->text);

    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    id.value = f->id->text;
    Dcos__Internal__ShutdownFramework shutdown = DCOS__INTERNAL__SHUTDOWN_FRAMEWORK__INIT;
    shutdown.framework_id = &id;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.shutdown_framework = &shutdown;
    MAP_FOREACH (e, &core->agents)
        send_agent(core, e->value, &rec);

    end_tasks(core, f);
    struct executor *x;
    while ((x = list_first(&f->executors, struct executor, framework_node)))
        executor_remove(core, x);
    operations_orphan(core, f);
    if (stream)
        close_stream(core, stream);
    f->unregistered_us = core->now;
    f->removed = true;
    f->recovered = false;
    operator_framework_removed(core, f);

    /* What remains is a record for the operator endpoints. */
    MAP_FOREACH (e, &f->clients)
        core_client_free(core, e->value);
    map_clear(&f->clients);
    map_remove(&core->frameworks, f->id->text);
    list_push(&core->completed_frameworks, &f->node);
    core->n_completed_frameworks++;
    while (core->n_completed_frameworks > core->config.max_completed_frameworks) {
        struct framework *oldest = list_first(&core->completed_frameworks, struct framework, node);
        list_remove(&oldest->node);
        core->n_completed_frameworks--;
        core_framework_free(core, oldest);
    }
    core->change++;
}

int master_core_teardown(
    struct master_core *core, const char *framework_id, int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    struct framework *f = find_framework(core, framework_id);
    if (!f)
        return error_set(err, -ENOENT, "No framework found with ID %s", framework_id);
    framework_remove(core, f);
    return 0;
}
