#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"
#include "wire/codec.h"

/* Agents: their records, links, pings, and how they leave. register.c has how they come. */

static void ping_due(struct master_core *core, struct core_timer *t, int64_t now_us);
static void reregister_due(struct master_core *core, struct core_timer *t, int64_t now_us);

struct agent *core_agent_new(struct master_core *core, const char *id)
{
    struct agent *a = xnew(struct agent);
    a->id = name_new(id);
    a->slot = core->free_agent_slots.n ? vec_pop(&core->free_agent_slots) : ++core->n_agent_slots;
    a->state = AGENT_RECOVERED;
    core->n_recovered++;
    list_init(&a->tasks);
    list_init(&a->executors);
    list_init(&a->offers);
    list_init(&a->filters);
    list_init(&a->operations);
    list_init(&a->dirty);
    list_init(&a->removal_node);
    list_init(&a->machine_node);
    list_init(&a->inverse_offers);
    list_init(&a->inverse_answers);
    list_init(&a->inverse_node);
    node_timers_init(a);
    list_init(&a->held);
    a->ping_timer.fn = ping_due;
    a->reregister_timer.fn = reregister_due;
    map_put(&core->agents, a->id->text, a);
    return a;
}

void core_agent_free(struct master_core *core, struct agent *a)
{
    filters_clear_agent(core, a);
    inverse_forget_agent(core, a);
    struct operation *op;
    while ((op = list_first(&a->operations, struct operation, agent_node)))
        core_operation_free(core, op);
    core_timer_stop(core, &a->ping_timer);
    core_timer_stop(core, &a->reregister_timer);
    core_timer_stop(core, &a->drain_timer);
    list_remove(&a->dirty);
    list_remove(&a->removal_node);
    list_remove(&a->machine_node);
    list_remove(&a->inverse_node);
    list_remove(&a->held);
    agent_uncount(core, a);
    resources_done(&a->run_shared);
    resources_done(&a->total);
    resources_done(&a->available);
    resources_done(&a->used);
    resources_done(&a->offered);
    arena_done(&a->arena);
    vec_push(&core->free_agent_slots, a->slot);
    name_unref(a->id);
    free(a);
}

void agent_set_info(struct agent *a, const Mesos__V1__AgentInfo *info, const char *version,
    Mesos__V1__AgentInfo__Capability *const *capabilities, size_t n_capabilities)
{
    struct arena arena = ARENA_INIT;
    a->info = (Mesos__V1__AgentInfo *)wire_clone(&info->base, &arena);
    if (!a->info->id) {
        a->info->id = arena_alloc(&arena, sizeof(*a->info->id));
        mesos__v1__agent_id__init(a->info->id);
    }
    a->info->id->value = arena_strdup(&arena, a->id->text);
    a->version = arena_strdup(&arena, version ? version : "");
    a->ip = a->ip ? arena_strdup(&arena, a->ip) : NULL;
    a->capabilities = arena_new_array(
        &arena, Mesos__V1__AgentInfo__Capability *, n_capabilities + 1);
    a->n_capabilities = n_capabilities;
    for (size_t i = 0; i < n_capabilities; i++)
        a->capabilities[i] = (Mesos__V1__AgentInfo__Capability *)wire_clone(
            &capabilities[i]->base, &arena);
    a->capability_bits = agent_capability_bits(capabilities, n_capabilities);
    a->has_limits = a->capability_bits & AGENT_HAS_TASK_RESOURCE_LIMITS;
    arena_done(&a->arena);
    a->arena = arena;
}

void agent_find_available(struct agent *a)
{
    _cleanup_resources_ struct resources taken = RESOURCES_INIT, plain = RESOURCES_INIT;
    resources_copy(&taken, &a->used);
    resources_add(&taken, &a->offered);
    resources_allocate(&taken, NULL, &plain);
    resources_assign(&a->available, &a->total);
    RESOURCES_FOREACH(item, &plain)
    if (!item->kind->shared)
        resources_subtract_one(&a->available, item);
}

void agent_set_total(struct master_core *core, struct agent *a, const struct resources *total)
{
    totals_change(core, &a->total, -1);
    /* Agents have resources, they do not allocate them: what is allocated could never be taken out
     * of what is available. */
    resources_done(&a->total);
    resources_allocate(total, NULL, &a->total);
    totals_change(core, &a->total, +1);
    a->has_gpus = resources_scalar(&a->total, "gpus") > 0;
    agent_find_available(a);
    _cleanup_resources_ struct resources plain = RESOURCES_INIT;
    resources_allocate(&a->used, NULL, &plain);
    a->beyond = !resources_contains(&a->total, &plain);
    agent_recount(core, a);
    mark_dirty(core, a);
    core->change++;
}

void agent_set_address(struct master_core *core, struct agent *a)
{
    char address[sizeof(a->address)];
    snprintf(address, sizeof(address), "%s:%d", a->ip, a->info->has_port ? a->info->port : 5051);
    struct agent *other = map_get(&core->addresses, address);
    if (other == a)
        return;
    if (map_get(&core->addresses, a->address) == a)
        map_remove(&core->addresses, a->address);
    if (other && !agent_connected(other)) {
        core->stats.slave_removals_registered++;
        agent_remove(core, other);
    }
    memcpy(a->address, address, sizeof(address));
    map_remove(&core->addresses, a->address);
    map_put(&core->addresses, a->address, a);
}

/* ---- pings ---- */

void agent_start_pings(struct master_core *core, struct agent *a)
{
    a->missed_pings = 0;
    ping_due(core, &a->ping_timer, core->now);
}

/* Goes on while the agent has no link: an agent that is away answers no pings either. The next one
 * is sent only when the last was answered (see Ping in internal.proto). */
static void ping_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct agent *a = container_of(t, struct agent, ping_timer);
    core_timer_start(core, t, now_us + core->config.agent_ping_timeout_us);
    if (a->missed_pings >= core->config.max_agent_ping_timeouts) {
        removal_schedule(core, a); /* may be its end */
        return;
    }
    if (a->missed_pings++ > 0)
        return;
    Dcos__Internal__Ping ping = DCOS__INTERNAL__PING__INIT;
    ping.has_sequence = true;
    ping.sequence = ++a->ping_sequence;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.ping = &ping;
    send_agent(core, a, &rec);
}

void agent_wait_reregister(struct master_core *core, struct agent *a)
{
    core_timer_start(
        core, &a->reregister_timer, core->now + core->config.agent_reregister_timeout_us);
}

static void reregister_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct agent *a = container_of(t, struct agent, reregister_timer);
    if (agent_connected(a))
        return;
    removal_schedule(core, a);
}

/* ---- leaving ---- */

static void rescind_offers(struct master_core *core, struct agent *a)
{
    struct offer *o;
    while ((o = list_first(&a->offers, struct offer, agent_node)))
        offer_discard(core, o, true);
}

void agent_withdraw(struct master_core *core, struct agent *a)
{
    rescind_offers(core, a);
    inverse_rescind_agent(core, a);
}

static void remove_executors(struct master_core *core, struct agent *a)
{
    struct executor *e;
    while ((e = list_first(&a->executors, struct executor, agent_node)))
        executor_remove(core, e);
}

/* Ends a task that will not be heard of again, and tells its framework. */
static void lose_task_as(struct master_core *core, struct task *t, Mesos__V1__TaskState state,
    Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    if (!task_state_is_terminal((Mesos__V1__TaskState)t->state)) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__TaskStatus *status = task_status_new(&arena, t->id, state,
            MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER, (int)reason, message, t->agent_id->text,
            core->now);
        task_transition(core, t, status->state, status);
        send_master_update(core, t->framework, status);
    }
    task_complete(core, t);
}

static void lose_task(struct master_core *core, struct task *t,
    Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    lose_task_as(core, t, MESOS__V1__TASK_STATE__TASK_LOST, reason, message);
}

void agent_disconnect(struct master_core *core, struct agent *a)
{
    struct link *l = umap_get(&core->links, a->link);
    if (l)
        l->agent = NULL;
    agent_withdraw(core, a);
    a->link = 0;
    agent_offerable_changed(core, a);
    core->change++;
    /* A framework that does not checkpoint loses what ran there: the agent ends those executors
     * when it restarts, and nobody would report them. */
    LIST_FOREACH_SAFE (t, &a->tasks, struct task, agent_node) {
        if (!t->framework->info->checkpoint)
            lose_task(core, t, MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_DISCONNECTED,
                "Agent disconnected");
    }
    agent_wait_reregister(core, a);
}

/* Takes it out of everything; tasks and executors must be gone. */
static void agent_drop(struct master_core *core, struct agent *a)
{
    if (agent_connected(a)) {
        struct link *l = umap_get(&core->links, a->link);
        if (l)
            l->agent = NULL;
        if (!l || !l->refused)
            close_link(core, a->link);
        a->link = 0;
    }
    if (a->state == AGENT_REGISTERED)
        totals_change(core, &a->total, -1);
    else
        core->n_recovered--;
    map_remove(&core->agents, a->id->text);
    if (map_get(&core->addresses, a->address) == a)
        map_remove(&core->addresses, a->address);
    core->change++;
    core_agent_free(core, a);
}

void broadcast_agent_failure(struct master_core *core, const char *agent_id)
{
    Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
    id.value = (char *)(uintptr_t)agent_id;
    Mesos__V1__Scheduler__Event__Failure failure = MESOS__V1__SCHEDULER__EVENT__FAILURE__INIT;
    failure.agent_id = &id;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__FAILURE;
    e.failure = &failure;
    MAP_FOREACH (entry, &core->frameworks)
        send_event(core, entry->value, &e);
}

static void make_task_unreachable(struct master_core *core, struct task *t)
{
    if (task_state_is_terminal((Mesos__V1__TaskState)t->state)) {
        task_complete(core, t);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskStatus *status = task_status_new(&arena, t->id,
        task_state_for(MESOS__V1__TASK_STATE__TASK_UNREACHABLE, t->framework->capabilities),
        MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
        MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED, "Agent is unreachable",
        t->agent_id->text, core->now);
    Mesos__V1__TimeInfo since = MESOS__V1__TIME_INFO__INIT;
    since.has_nanoseconds = true;
    since.nanoseconds = core->now * NSEC_PER_USEC;
    status->unreachable_time = &since;
    task_transition(core, t, status->state, status);
    send_master_update(core, t->framework, status);
    task_make_unreachable(core, t);
}

void agent_mark_unreachable(struct master_core *core, struct agent *a)
{
    core->stats.slave_removals++;
    registry_put_lost_agent(core, remember_lost_agent(core, a->id->text, core->now, &a->node));
    agent_withdraw(core, a);
    struct task *t;
    while ((t = list_first(&a->tasks, struct task, agent_node)))
        make_task_unreachable(core, t);
    operations_lose(
        core, a, MESOS__V1__OPERATION_STATE__OPERATION_UNREACHABLE, "Agent is unreachable");
    remove_executors(core, a);
    broadcast_agent_failure(core, a->id->text);
    operator_agent_removed(core, a->id->text);
    agent_drop(core, a);
}

void agent_remove(struct master_core *core, struct agent *a)
{
    core->stats.slave_removals++;
    registry_delete_agent(core, a->id->text);
    agent_withdraw(core, a);
    struct task *t;
    while ((t = list_first(&a->tasks, struct task, agent_node)))
        lose_task(
            core, t, MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED, "Agent was removed");
    operations_lose(
        core, a, MESOS__V1__OPERATION_STATE__OPERATION_GONE_BY_OPERATOR, "Agent was removed");
    remove_executors(core, a);
    broadcast_agent_failure(core, a->id->text);
    operator_agent_removed(core, a->id->text);
    agent_drop(core, a);
}

/* Ends a task on an agent that is gone. Frameworks that do not know the state were told that the
 * task is lost when its agent became unreachable. */
static void task_gone(struct master_core *core, struct task *t)
{
    bool aware = framework_is(t->framework, FRAMEWORK_PARTITION_AWARE);
    lose_task_as(core, t,
        task_state_for(MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR, t->framework->capabilities),
        aware ? MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED_BY_OPERATOR
              : MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED,
        "Agent has been marked gone");
}

void agent_mark_gone(struct master_core *core, struct agent *a)
{
    core->stats.slave_removals++;
    registry_put_gone_agent(core, remember_gone_agent(core, a->id->text, core->now));
    registry_delete_agent(core, a->id->text);
    agent_withdraw(core, a);
    struct task *t;
    while ((t = list_first(&a->tasks, struct task, agent_node)))
        task_gone(core, t);
    operations_lose(core, a, MESOS__V1__OPERATION_STATE__OPERATION_GONE_BY_OPERATOR,
        "Agent has been marked gone");
    remove_executors(core, a);
    broadcast_agent_failure(core, a->id->text);
    operator_agent_removed(core, a->id->text);
    struct link *l = agent_connected(a) ? umap_get(&core->links, a->link) : NULL;
    if (l) {
        send_shutdown_agent(core, l->id, "Agent has been marked gone");
        link_refuse(core, l, "Agent has been marked gone", true);
    }
    agent_drop(core, a);
}

void lost_agent_mark_gone(struct master_core *core, struct lost_agent *lost)
{
    registry_put_gone_agent(core, remember_gone_agent(core, lost->id, core->now));
    registry_delete_agent(core, lost->id);
    MAP_FOREACH (e, &core->frameworks) {
        struct framework *f = e->value;
        LIST_FOREACH_SAFE (t, &f->unreachable, struct task, place_node) {
            if (streq(t->agent_id->text, lost->id))
                task_gone(core, t);
        }
    }
    map_remove(&core->lost, lost->id);
    free(lost);
    core->change++;
}

/* ---- records from links ---- */

void send_shutdown_agent(struct master_core *core, uint64_t link, const char *message)
{
    Dcos__Internal__ShutdownAgent shutdown = DCOS__INTERNAL__SHUTDOWN_AGENT__INIT;
    shutdown.message = (char *)(uintptr_t)message;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.shutdown_agent = &shutdown;
    send_link(core, link, &rec);
}

void link_refuse(struct master_core *core, struct link *l, const char *message, bool forget)
{
    Dcos__Internal__Refused refused = DCOS__INTERNAL__REFUSED__INIT;
    refused.message = (char *)(uintptr_t)message;
    refused.has_forget = forget;
    refused.forget = forget;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.refused = &refused;
    send_link(core, l->id, &rec);
    close_link(core, l->id);
    l->refused = true;
}

static void refuse(struct master_core *core, struct link *l, const char *message)
{
    link_refuse(core, l, message, false);
}

static void greet(struct master_core *core, struct link *l, const Dcos__Internal__Hello *hello)
{
    if (hello->major != LINK_MAJOR) {
        refuse(core, l, "The link's major version is not the master's");
        return;
    }
    l->greeted = true;
    Dcos__Internal__Hello answer = DCOS__INTERNAL__HELLO__INIT;
    answer.has_major = answer.has_minor = true;
    answer.major = LINK_MAJOR;
    answer.minor = LINK_MINOR;
    answer.build = core->version;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.hello = &answer;
    send_link(core, l->id, &rec);
}

static void to_framework(
    struct master_core *core, struct agent *a, const Dcos__Internal__FrameworkMessage *m)
{
    core->stats.messages_executor_to_framework++;
    struct framework *f = m->framework_id && m->framework_id->value
                              ? find_framework(core, m->framework_id->value)
                              : NULL;
    if (!f || !f->connected || !m->executor_id) {
        core->stats.invalid_to_framework++;
        return;
    }
    core->stats.valid_to_framework++;
    Mesos__V1__AgentID agent_id = MESOS__V1__AGENT_ID__INIT;
    agent_id.value = a->id->text;
    Mesos__V1__Scheduler__Event__Message message = MESOS__V1__SCHEDULER__EVENT__MESSAGE__INIT;
    message.agent_id = &agent_id;
    message.executor_id = m->executor_id;
    message.has_data = true;
    message.data = m->data;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__MESSAGE;
    e.message = &message;
    send_event(core, f, &e);
}

static void update_resources(
    struct master_core *core, struct agent *a, const Dcos__Internal__UpdateResources *m)
{
    core->stats.messages_update_slave++;
    _cleanup_resources_ struct resources total = RESOURCES_INIT, revocable = RESOURCES_INIT;
    if (resources_from_wire(m->total, m->n_total, &total, NULL) < 0 ||
        resources_from_wire(m->oversubscribed, m->n_oversubscribed, &revocable, NULL) < 0)
        return;
    if (m->n_total)
        operations_put_on_top(a, &total);
    else
        resources_filter(&a->total, resource_is_nonrevocable, NULL, &total);
    if (!m->has_has_oversubscribed || !m->has_oversubscribed)
        resources_filter(&a->total, resource_is_revocable, NULL, &revocable);
    resources_add(&total, &revocable);
    if (resources_equal(&total, &a->total))
        return;
    rescind_offers(core, a);
    agent_set_total(core, a, &total);
}

void master_core_agent_record(
    struct master_core *core, uint64_t link, const Dcos__Internal__AgentRecord *rec, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    struct link *l = umap_get(&core->links, link);
    if (!l) {
        l = xnew(struct link);
        l->id = link;
        l->next = core->all_links;
        if (l->next)
            l->next->prev = l;
        core->all_links = l;
        umap_put(&core->links, link, l);
    }
    if (l->refused)
        return;
    if (rec->hello) {
        greet(core, l, rec->hello);
        return;
    }
    if (!l->greeted) {
        refuse(core, l, "The first record must be hello");
        return;
    }
    if (rec->register_) {
        struct refusal why = {0};
        if (agent_register(core, l, rec->register_, &why))
            return;
        if (why.shutdown)
            send_shutdown_agent(core, l->id, why.message);
        link_refuse(core, l, why.message, why.forget);
        return;
    }
    struct agent *a = l->agent;
    if (!a) {
        refuse(core, l, "The agent is not registered on this link");
        return;
    }
    if (rec->update) {
        handle_status_update(core, a, rec->update);
    } else if (rec->executor_exited) {
        handle_executor_exited(core, a, rec->executor_exited);
    } else if (rec->message) {
        to_framework(core, a, rec->message);
    } else if (rec->pong) {
        a->missed_pings = 0;
        removal_cancel(core, a);
    } else if (rec->unregister) {
        core->stats.messages_unregister_slave++;
        core->stats.slave_removals_unregistered++;
        agent_remove(core, a);
    } else if (rec->resources) {
        update_resources(core, a, rec->resources);
    } else if (rec->operation_update) {
        handle_operation_update(core, a, rec->operation_update);
    }
}

void master_core_agent_closed(struct master_core *core, uint64_t link, int64_t now_us)
{
    core->now = MAX(core->now, now_us);
    struct link *l = umap_remove(&core->links, link);
    if (!l)
        return;
    if (l->agent)
        agent_disconnect(core, l->agent);
    if (l->prev)
        l->prev->next = l->next;
    else
        core->all_links = l->next;
    if (l->next)
        l->next->prev = l->prev;
    free(l);
}
