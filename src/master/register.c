#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "master/state.h"
#include "wire/codec.h"

/* How an agent comes, and comes back: its identity, then what runs on it. */

/* What the agent told that concerns others, gathered while its report is merged. */
struct merge {
    struct master_core *core;
    struct agent *a;
    const Dcos__Internal__Register *reg;
    struct arena arena;
    bool announce; /* it had been given up: its tasks are reported anew */
    VEC(Mesos__V1__FrameworkID *) removed;
    struct map reported; /* "framework task" -> itself */
};

static Mesos__V1__FrameworkID *framework_id_new(struct arena *arena, const char *value)
{
    Mesos__V1__FrameworkID *id = arena_alloc(arena, sizeof(*id));
    mesos__v1__framework_id__init(id);
    id->value = arena_strdup(arena, value);
    return id;
}

static void send_update_framework(
    struct master_core *core, const struct agent *a, const struct framework *f)
{
    Dcos__Internal__UpdateFramework update = DCOS__INTERNAL__UPDATE_FRAMEWORK__INIT;
    update.framework = f->info;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.update_framework = &update;
    send_agent(core, a, &rec);
}

static void merge_frameworks(struct merge *m)
{
    for (size_t i = 0; i < m->reg->n_frameworks; i++) {
        const Mesos__V1__FrameworkInfo *info = m->reg->frameworks[i];
        if (!info->id || !info->id->value || info->id->value[0] == '\0')
            continue;
        if (map_get(&m->core->removed, info->id->value)) {
            vec_push(&m->removed, framework_id_new(&m->arena, info->id->value));
            continue;
        }
        if (find_framework(m->core, info->id->value) || framework_info_validate(info, NULL) < 0)
            continue;
        struct framework *f = core_framework_new(m->core, info);
        f->recovered = true;
        f->registered_us = f->reregistered_us = m->core->now;
        registry_put_framework(m->core, f, 0);
        framework_wait_failover(m->core, f,
            MAX(framework_failover_timeout_us(f->info),
                m->core->config.agent_reregister_timeout_us));
        operator_framework_added(m->core, f);
    }
}

/* The role that resources are allocated to; what names none belongs to the framework's first. */
static const char *allocation_role(
    const struct framework *f, const struct resources *r, struct arena *arena)
{
    RESOURCES_FOREACH(item, r)
    if (item->kind->allocation_role)
        return item->kind->allocation_role;
    size_t n;
    const char **roles = framework_roles(f->info, arena, &n);
    return n ? roles[0] : "*";
}

static struct client *allocated_resources(struct merge *m, struct framework *f,
    Mesos__V1__Resource *const *list, size_t n, struct resources *ret)
{
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    /* An agent of ours reports what it was given; anything else counts as nothing. */
    (void)resources_from_wire(list, n, &r, NULL);
    const char *role = allocation_role(f, &r, &m->arena);
    struct client *c = client_get(m->core, f, role);
    resources_allocate(&r, role, ret);
    return c;
}

static bool reports_executor(const Dcos__Internal__Register *reg, const struct executor *e)
{
    for (size_t i = 0; i < reg->n_executors; i++) {
        const Mesos__V1__ExecutorInfo *info = reg->executors[i];
        if (info->framework_id && info->framework_id->value && info->executor_id &&
            info->executor_id->value && streq(info->framework_id->value, e->framework->id->text) &&
            streq(info->executor_id->value, e->id))
            return true;
    }
    return false;
}

static void merge_executors(struct merge *m)
{
    /* Those that ended while the agent was away: its word of that was lost. */
    LIST_FOREACH_SAFE (e, &m->a->executors, struct executor, agent_node)
        if (!reports_executor(m->reg, e))
            executor_remove(m->core, e);
    for (size_t i = 0; i < m->reg->n_executors; i++) {
        const Mesos__V1__ExecutorInfo *info = m->reg->executors[i];
        if (!info->framework_id || !info->framework_id->value || !info->executor_id ||
            !info->executor_id->value)
            continue;
        struct framework *f = find_framework(m->core, info->framework_id->value);
        if (!f || executor_find(m->a, f, info->executor_id->value))
            continue;
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        struct client *c = allocated_resources(m, f, info->resources, info->n_resources, &r);
        core_executor_new(m->core, f, m->a, info, c, &r);
    }
}

static void announce_task(struct merge *m, struct task *t)
{
    Mesos__V1__TaskStatus *status = task_status_new(&m->arena, t->id,
        (Mesos__V1__TaskState)t->state, MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
        MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REREGISTERED, "Agent reregistered",
        t->agent_id->text, m->core->now);
    send_master_update(m->core, t->framework, status);
}

static void merge_task(struct merge *m, const Mesos__V1__Task *info)
{
    struct master_core *core = m->core;
    if (!info->framework_id || !info->framework_id->value || !info->task_id ||
        !info->task_id->value || !info->has_state)
        return;
    struct framework *f = find_framework(core, info->framework_id->value);
    if (!f)
        return;
    char *key = arena_printf(&m->arena, "%s %s", f->id->text, info->task_id->value);
    map_put(&m->reported, key, key);
    struct task *known = map_get(&f->tasks, info->task_id->value);
    if (known) {
        if (known->agent == m->a && known->state != info->state)
            task_transition(core, known, info->state, NULL);
        return;
    }
    struct task *away = map_get(&f->unreachable_by_id, info->task_id->value);
    if (away) {
        map_remove(&f->unreachable_by_id, away->id);
        list_remove(&away->place_node);
        f->n_unreachable--;
        core_task_free(away);
    }
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    struct client *c = allocated_resources(m, f, info->resources, info->n_resources, &r);
    struct task *t = core_task_new(f, m->a, info, c, &r);
    for (size_t i = 0; i < info->n_statuses; i++)
        task_add_status(t, info->statuses[i]);
    if (info->executor_id && info->executor_id->value) {
        t->executor = executor_find(m->a, f, info->executor_id->value);
        if (t->executor)
            t->executor->n_tasks++;
    }
    task_add_active(core, t);
    operator_task_added(core, t);
    if (m->announce || away)
        announce_task(m, t);
}

static void merge_update_states(struct merge *m)
{
    for (size_t i = 0; i < m->reg->n_update_states; i++) {
        const Dcos__Internal__TaskUpdateState *u = m->reg->update_states[i];
        if (!u->framework_id || !u->framework_id->value || !u->task_id || !u->task_id->value ||
            !u->has_status_update_state || u->status_update_uuid.len != 16)
            continue;
        struct framework *f = find_framework(m->core, u->framework_id->value);
        struct task *t = f ? map_get(&f->tasks, u->task_id->value) : NULL;
        if (!t || t->agent != m->a)
            continue;
        t->forwarded = true;
        t->forwarded_state = (uint8_t)u->status_update_state;
        memcpy(t->uuid, u->status_update_uuid.data, 16);
    }
}

static void send_registered(struct merge *m)
{
    struct master_core *core = m->core;
    Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
    id.value = m->a->id->text;
    Dcos__Internal__Registered registered = DCOS__INTERNAL__REGISTERED__INIT;
    registered.agent_id = &id;
    registered.master_id = core->master_id;
    registered.has_ping_timeout_us = true;
    registered.ping_timeout_us = core->config.agent_ping_timeout_us *
                                 core->config.max_agent_ping_timeouts;
    registered.has_lease_us = true;
    registered.lease_us = lease_us(core);
    Mesos__V1__DrainInfo *drain = node_drain_info(&m->a->node, &m->arena);
    if (drain)
        registered.drain_config = drain->config;
    registered.removed_frameworks = m->removed.items;
    registered.n_removed_frameworks = m->removed.n;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.registered = &registered;
    send_agent(core, m->a, &rec);
}

/* Tasks the master has there and the agent did not report, and kills that may have been lost. */
static void send_differences(struct merge *m)
{
    struct master_core *core = m->core;
    struct map by_framework = MAP_INIT; /* framework id -> ReconcileTasks */
    LIST_FOREACH_SAFE (t, &m->a->tasks, struct task, agent_node) {
        char *key = arena_printf(&m->arena, "%s %s", t->framework->id->text, t->id);
        if (map_get(&m->reported, key)) {
            if (t->kill_sent)
                task_send_kill(core, t);
            continue;
        }
        if (task_state_is_terminal((Mesos__V1__TaskState)t->state)) {
            /* Its end was acknowledged and the agent forgot it. */
            task_complete(core, t);
            continue;
        }
        Dcos__Internal__ReconcileTasks *rt = map_get(&by_framework, t->framework->id->text);
        if (!rt) {
            rt = arena_alloc(&m->arena, sizeof(*rt));
            dcos__internal__reconcile_tasks__init(rt);
            rt->framework = t->framework->info;
            rt->statuses = arena_new_array(&m->arena, Mesos__V1__TaskStatus *, m->a->n_tasks + 1);
            map_put(&by_framework, t->framework->id->text, rt);
        }
        rt->statuses[rt->n_statuses++] = task_status_new(&m->arena, t->id,
            (Mesos__V1__TaskState)t->state, MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER,
            MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION, NULL, m->a->id->text, core->now);
    }
    MAP_FOREACH (e, &by_framework) {
        Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
        rec.reconcile = e->value;
        send_agent(core, m->a, &rec);
    }
    map_done(&by_framework);
    for (size_t i = 0; i < m->reg->n_frameworks; i++) {
        const Mesos__V1__FrameworkInfo *info = m->reg->frameworks[i];
        struct framework *f = info->id && info->id->value ? find_framework(core, info->id->value)
                                                          : NULL;
        if (f && !wire_equal(&f->info->base, &info->base))
            send_update_framework(core, m->a, f);
    }
}

static bool same_attributes(const Mesos__V1__AgentInfo *a, const Mesos__V1__AgentInfo *b)
{
    if (a->n_attributes != b->n_attributes)
        return false;
    for (size_t i = 0; i < a->n_attributes; i++)
        if (!wire_equal(&a->attributes[i]->base, &b->attributes[i]->base))
            return false;
    return true;
}

/* ---- who may register ---- */

static const char *id_of(const Dcos__Internal__Register *reg)
{
    const Mesos__V1__AgentID *id = reg->agent_info->id;
    return id && id->value ? id->value : "";
}

static const char *ip_of(const Dcos__Internal__Register *reg)
{
    return reg->ip && reg->ip[0] ? reg->ip : reg->agent_info->hostname;
}

/* "1.11.0", "1.11", "2.0.0-dev": the major number must be 1 or more. */
static bool version_fits(const char *version)
{
    struct str rest = str_of(version ? version : ""), part;
    rest.n = strcspn(rest.p, "-+");
    size_t n = 0;
    bool fits = false;
    while (str_split(&rest, '.', &part)) {
        uint32_t number;
        if (++n > 3 || parse_u32(part, &number) < 0)
            return false;
        if (n == 1)
            fits = number >= 1;
    }
    return fits;
}

/* As it will be stored. */
static size_t info_bytes(const Dcos__Internal__Register *reg)
{
    size_t n = protobuf_c_message_get_packed_size(&reg->agent_info->base);
    for (size_t i = 0; i < reg->n_capabilities; i++)
        n += protobuf_c_message_get_packed_size(&reg->capabilities[i]->base) + 2;
    return n + (reg->version ? strlen(reg->version) : 0);
}

/* Why an agent with this description cannot take part, or NULL. */
static const char *check_info(
    const struct master_core *core, const struct link *l, const Dcos__Internal__Register *reg)
{
    const Mesos__V1__AgentInfo *info = reg->agent_info;
    if (l->agent)
        return "The link already has an agent";
    if (!info || !info->hostname || info->hostname[0] == '\0' || strlen(info->hostname) > 255)
        return "The agent has no hostname";
    if (info_bytes(reg) > AGENT_INFO_BYTES_MAX)
        return "The agent's description is too large";
    if (id_of(reg)[0] && id_validate(id_of(reg), NULL) < 0)
        return "The agent's id is malformed";
    if (reg->has_epoch && reg->epoch > core->epoch)
        return "The agent has seen a newer master";
    if (!version_fits(reg->version))
        return "The agent's version is not a number of at least 1.0.0";
    return NULL;
}

/* The rules about places and past lives. */
static bool may_register(
    struct master_core *core, const Dcos__Internal__Register *reg, struct refusal *ret)
{
    const char *id = id_of(reg);
    const struct machine *m = machine_find(core, reg->agent_info->hostname, ip_of(reg));
    if (m && m->down) {
        *ret = (struct refusal){
            .message = "The agent's machine is down for maintenance", .shutdown = true};
        return false;
    }
    if (id[0] && map_get(&core->gone, id)) {
        /* It ends what it runs because of that, and comes again as another agent. */
        *ret = (struct refusal){.message = "Agent has been marked gone", .forget = true};
        return false;
    }
    const struct agent *a = id[0] ? map_get(&core->agents, id) : NULL;
    if (a && a->state == AGENT_REGISTERED &&
        (!streq(a->info->hostname, reg->agent_info->hostname) || !streq(a->ip, ip_of(reg)))) {
        *ret = (struct refusal){.message = "Another host uses the agent's id", .shutdown = true};
        return false;
    }
    return true;
}

/* An agent without id at the address of one that is connected: the answer to its registration was
 * lost, so it gets the same one again. */
static struct agent *find_retry(struct master_core *core, const Dcos__Internal__Register *reg)
{
    char address[sizeof(((struct agent *)NULL)->address)];
    const Mesos__V1__AgentInfo *info = reg->agent_info;
    snprintf(address, sizeof(address), "%s:%d", ip_of(reg), info->has_port ? info->port : 5051);
    struct agent *a = map_get(&core->addresses, address);
    return a && agent_connected(a) && streq(a->info->hostname, info->hostname) ? a : NULL;
}

/* Finds or makes the agent's record. */
static struct agent *identify(
    struct master_core *core, const Dcos__Internal__Register *reg, bool *ret_announce)
{
    const char *id = id_of(reg);
    *ret_announce = false;
    if (id[0] == '\0') {
        core->stats.messages_register_slave++;
        struct agent *a = find_retry(core, reg);
        if (a)
            return a;
        core->stats.slave_registrations++;
        char fresh[128];
        /* Whoever came with an id of their own may have guessed ours. */
        do
            snprintf(fresh, sizeof(fresh), "%s-S%llu", core->master_id,
                (unsigned long long)core->next_agent++);
        while (map_get(&core->agents, fresh) || map_get(&core->lost, fresh) ||
               map_get(&core->gone, fresh));
        a = core_agent_new(core, fresh);
        a->registered_us = core->now;
        return a;
    }
    core->stats.messages_reregister_slave++;
    core->stats.slave_reregistrations++;
    struct agent *a = map_get(&core->agents, id);
    if (a)
        return a;
    a = core_agent_new(core, id);
    a->registered_us = core->now;
    struct lost_agent *lost = map_remove(&core->lost, id);
    if (lost) {
        a->node = lost->node;
        *ret_announce = true;
        free(lost);
    }
    return a;
}

/* The agent's word holds: operations that the master sent and the agent never got are undone. */
static int read_total(const Dcos__Internal__Register *reg, struct resources *ret)
{
    const Mesos__V1__AgentInfo *info = reg->agent_info;
    _cleanup_resources_ struct resources revocable = RESOURCES_INIT;
    int r = reg->n_total ? resources_from_wire(reg->total, reg->n_total, ret, NULL)
                         : resources_from_wire(info->resources, info->n_resources, ret, NULL);
    if (r == 0)
        r = resources_from_wire(reg->oversubscribed, reg->n_oversubscribed, &revocable, NULL);
    resources_add(ret, &revocable);
    return r;
}

bool agent_register(struct master_core *core, struct link *l, const Dcos__Internal__Register *reg,
    struct refusal *ret)
{
    const Mesos__V1__AgentInfo *info = reg->agent_info;
    _cleanup_resources_ struct resources total = RESOURCES_INIT;
    ret->message = check_info(core, l, reg);
    if (ret->message)
        return false;
    if (read_total(reg, &total) < 0) {
        ret->message = "The agent's resources are invalid";
        return false;
    }
    if (!may_register(core, reg, ret))
        return false;
    ret->message = domain_refusal(core, info);
    if (ret->message)
        return false;

    struct merge m = {.core = core, .reg = reg};
    struct agent *a = m.a = identify(core, reg, &m.announce);
    bool was_registered = a->state == AGENT_REGISTERED;
    if (agent_connected(a)) {
        /* The agent dialled again before its old connection was seen to end. */
        uint64_t old = a->link;
        agent_disconnect(core, a);
        close_link(core, old);
    }
    core_timer_stop(core, &a->reregister_timer);
    removal_cancel(core, a);
    bool store = !a->info;
    if (a->info) {
        if (!same_attributes(a->info, info)) {
            filters_clear_agent(core, a);
            inverse_clear_filters(core, a);
        }
        store = !wire_equal(&a->info->base, &info->base) || !streq(a->version, reg->version);
    }
    agent_set_info(a, info, reg->version, reg->capabilities, reg->n_capabilities);
    a->ip = arena_strdup(&a->arena, ip_of(reg));
    a->remote = domain_is_remote(core, info);
    agent_set_address(core, a);
    machine_assign(core, a);
    if (store)
        registry_put_agent(core, a);
    a->link = l->id;
    l->agent = a;
    if (!was_registered) {
        a->state = AGENT_REGISTERED;
        core->n_recovered--;
    }
    if (!was_registered || id_of(reg)[0])
        a->reregistered_us = a->registered_us == core->now ? 0 : core->now;

    merge_frameworks(&m);
    merge_executors(&m);
    for (size_t i = 0; i < reg->n_tasks; i++)
        merge_task(&m, reg->tasks[i]);
    merge_update_states(&m);
    operations_merge(core, a, reg);
    agent_set_total(core, a, &total);
    send_registered(&m);
    send_differences(&m);
    operations_send_differences(core, a, reg);
    agent_start_pings(core, a);
    if (!was_registered)
        operator_agent_added(core, a);
    mark_dirty(core, a);
    inverse_wake(core, a);
    node_resume_draining(core, a, was_registered);
    if (!was_registered)
        allocator_agent_back(core);

    vec_done(&m.removed);
    map_done(&m.reported);
    arena_done(&m.arena);
    return true;
}
