/*
 * A model of a framework: wants so many tasks, accepts and declines, acknowledges, kills,
 * reconciles, dies and comes back with its id. What it writes down before it acts survives its
 * crashes, as a good framework's database does.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "holding.h"
#include "kernel/resources.h"
#include "wire/codec.h"
#include "world.h"

static const int64_t CPUS = 200, MEM = 64000; /* thousandths, of one task */
static const int64_t EXECUTOR_CPUS = 100, EXECUTOR_MEM = 32000, EXECUTOR_DISK = 1000;

static void maintain(struct world *w, void *target, unsigned generation);

static void call_init(struct sim_scheduler *s, struct arena *arena,
    Mesos__V1__Scheduler__Call *call, Mesos__V1__Scheduler__Call__Type type)
{
    mesos__v1__scheduler__call__init(call);
    call->has_type = true;
    call->type = type;
    if (s->framework_id) {
        call->framework_id = MSG(arena, Mesos__V1__FrameworkID, mesos__v1__framework_id);
        call->framework_id->value = s->framework_id;
    }
}

#define CAPABILITY(name) MESOS__V1__FRAMEWORK_INFO__CAPABILITY__TYPE__##name

static void add_capability(Mesos__V1__FrameworkInfo *info, struct arena *arena,
    Mesos__V1__FrameworkInfo__Capability__Type type)
{
    Mesos__V1__FrameworkInfo__Capability *c = MSG(
        arena, Mesos__V1__FrameworkInfo__Capability, mesos__v1__framework_info__capability);
    c->has_type = true;
    c->type = type;
    info->capabilities[info->n_capabilities++] = c;
}

static void dial(struct world *w, void *target, unsigned generation)
{
    struct sim_scheduler *s = target;
    if (!s->up || s->generation != generation || s->conn)
        return;
    s->conn = sim_dial(w, false, s->index);
    if (!s->conn) {
        sim_after(w, sim_between(w, 100 * MSEC, 2 * SEC), dial, s, generation);
        return;
    }
    s->subscribed = false;
    s->last_heard = w->now;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE);
    call.subscribe = MSG(
        &arena, Mesos__V1__Scheduler__Call__Subscribe, mesos__v1__scheduler__call__subscribe);
    Mesos__V1__FrameworkInfo *info = MSG(
        &arena, Mesos__V1__FrameworkInfo, mesos__v1__framework_info);
    info->user = arena_strdup(&arena, "root");
    info->name = arena_printf(&arena, "scheduler%u", s->index);
    info->id = call.framework_id;
    info->has_failover_timeout = true;
    info->failover_timeout = (double)sim_between(w, 60, 62); /* changes from time to time */
    info->has_checkpoint = true;
    info->checkpoint = true;
    info->principal = arena_strdup(&arena, "p");
    info->capabilities = arena_new_array(&arena, Mesos__V1__FrameworkInfo__Capability *, 5);
    if (s->partition_aware)
        add_capability(info, &arena, CAPABILITY(PARTITION_AWARE));
    if (s->revocable)
        add_capability(info, &arena, CAPABILITY(REVOCABLE_RESOURCES));
    if (s->reserves) {
        add_capability(info, &arena, CAPABILITY(MULTI_ROLE));
        add_capability(info, &arena, CAPABILITY(RESERVATION_REFINEMENT));
        add_capability(info, &arena, CAPABILITY(SHARED_RESOURCES));
        info->roles = arena_new_array(&arena, char *, 2);
        info->roles[info->n_roles++] = arena_printf(&arena, "s%u", s->index);
        if (s->n_roles > 1)
            info->roles[info->n_roles++] = arena_printf(&arena, "top/s%u", s->index);
    }
    call.subscribe->framework_info = info;
    sim_send(w, s->conn, true, &call.base);
}

static void redial(struct world *w, struct sim_scheduler *s)
{
    s->subscribed = false;
    s->conn = NULL;
    if (s->up)
        sim_after(w, sim_between(w, 10 * MSEC, SEC), dial, s, s->generation);
}

static void start_over(struct world *w, struct sim_scheduler *s)
{
    sim_trace(w, "scheduler %u starts a new life", s->index);
    MAP_FOREACH (e, &s->tasks) {
        struct sched_task *t = e->value;
        free(t->id);
        free(t->agent_id);
        free(t);
    }
    map_done(&s->tasks);
    operations_clear(s);
    free(s->framework_id);
    s->framework_id = NULL;
    s->past_lives++;
}

void sim_scheduler_boot(struct world *w, struct sim_scheduler *s)
{
    sim_trace(w, "scheduler %u starts", s->index);
    s->up = true;
    s->generation++;
    s->conn = NULL;
    sim_after(w, sim_between(w, MSEC, 500 * MSEC), dial, s, s->generation);
    sim_after(w, 5 * SEC, maintain, s, s->generation);
}

void sim_scheduler_crash(struct world *w, struct sim_scheduler *s)
{
    sim_trace(w, "scheduler %u is killed", s->index);
    s->up = false;
    s->subscribed = false;
    s->generation++;
    if (s->conn) {
        sim_break(w, s->conn);
        s->conn = NULL;
    }
}

void sim_scheduler_conn_closed(struct world *w, struct sim_scheduler *s)
{
    redial(w, s);
}

void sim_scheduler_refused(struct world *w, struct sim_scheduler *s, int status)
{
    struct conn *c = s->conn;
    redial(w, s);
    sim_break(w, c);
}

static unsigned live_tasks(const struct sim_scheduler *s)
{
    unsigned n = 0;
    MAP_FOREACH (e, &s->tasks) {
        const struct sched_task *t = e->value;
        n += !t->done && !t->lost && !t->kill_wanted;
    }
    return n;
}

static Mesos__V1__Resource *scalar(struct arena *arena, const char *name, int64_t milli)
{
    Mesos__V1__Resource *r = MSG(arena, Mesos__V1__Resource, mesos__v1__resource);
    r->name = arena_strdup(arena, name);
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = MSG(arena, Mesos__V1__Value__Scalar, mesos__v1__value__scalar);
    r->scalar->has_value = true;
    r->scalar->value = (double)milli / 1000;
    return r;
}

static struct sim_agent *agent_of(struct world *w, const Mesos__V1__Offer *o)
{
    for (unsigned i = 0; i < w->n_agents; i++)
        if (w->agents[i].id && streq(w->agents[i].id, o->agent_id->value))
            return &w->agents[i];
    return NULL;
}

/* Only real agents know executors other than the default one, and an executor belongs to one role.
 */
static bool own_executor(const struct sim_scheduler *s, const struct sim_agent *a)
{
    return a && a->real && s->own_executor && !s->reserves;
}

static Mesos__V1__CommandInfo *command_info(struct arena *arena, const char *text)
{
    Mesos__V1__CommandInfo *c = MSG(arena, Mesos__V1__CommandInfo, mesos__v1__command_info);
    c->value = arena_strdup(arena, text);
    return c;
}

/* One on each agent, for any number of tasks. */
static Mesos__V1__ExecutorInfo *executor_info(struct sim_scheduler *s, struct arena *arena)
{
    Mesos__V1__ExecutorInfo *e = MSG(arena, Mesos__V1__ExecutorInfo, mesos__v1__executor_info);
    e->executor_id = MSG(arena, Mesos__V1__ExecutorID, mesos__v1__executor_id);
    e->executor_id->value = arena_printf(arena, "x%u", s->index);
    e->command = command_info(arena, "my-executor");
    e->n_resources = 2;
    e->resources = arena_new_array(arena, Mesos__V1__Resource *, 2);
    e->resources[0] = scalar(arena, "cpus", EXECUTOR_CPUS);
    e->resources[1] = scalar(arena, "mem", EXECUTOR_MEM);
    return e;
}

/* Some on each agent, for task groups that come one after the other or together. */
static Mesos__V1__ExecutorInfo *pod_info(
    struct world *w, struct sim_scheduler *s, struct arena *arena)
{
    Mesos__V1__ExecutorInfo *e = executor_info(s, arena);
    e->executor_id->value = arena_printf(arena, "p%u-%d", s->index, (int)sim_between(w, 1, 3));
    e->command = NULL;
    e->has_type = true;
    e->type = MESOS__V1__EXECUTOR_INFO__TYPE__DEFAULT;
    Mesos__V1__Resource **resources = arena_new_array(arena, Mesos__V1__Resource *, 3);
    resources[0] = e->resources[0];
    resources[1] = e->resources[1];
    resources[2] = scalar(arena, "disk", EXECUTOR_DISK);
    e->resources = resources;
    e->n_resources = 3;
    return e;
}

/* So much out of the pool, what is reserved first; NULL when no item has it. */
static Mesos__V1__Resource *take(
    struct resources *pool, const char *name, int64_t milli, struct arena *arena)
{
    for (int reserved = 1; reserved >= 0; reserved--) {
        RESOURCES_FOREACH(r, pool)
        {
            if (r->kind->type != RESOURCE_SCALAR || !streq(r->kind->name, name) ||
                (r->kind->n_reservations > 0) != reserved || r->milli < milli)
                continue;
            Mesos__V1__Resource *m = resource_kind_to_wire(r->kind, arena);
            m->scalar = scalar(arena, name, milli)->scalar;
            struct resource part = resource_copy(r);
            part.milli = milli;
            resources_subtract_one(pool, &part);
            resource_done(&part);
            return m;
        }
    }
    return NULL;
}

static void drop_revocable(struct resources *pool)
{
    struct resources rest = RESOURCES_INIT;
    resources_filter(pool, resource_is_nonrevocable, NULL, &rest);
    resources_done(pool);
    resources_move(pool, &rest);
}

/* A volume of the pool, perhaps. */
static Mesos__V1__Resource *take_volume(
    struct world *w, struct resources *pool, struct arena *arena)
{
    RESOURCES_FOREACH(r, pool)
    {
        if (!r->kind->persistence_id || sim_chance(w, 50))
            continue;
        Mesos__V1__Resource *m = resource_kind_to_wire(r->kind, arena);
        m->scalar = scalar(arena, "disk", r->milli)->scalar;
        /* What is shared stays for others. */
        if (!r->kind->shared) {
            struct resource whole = resource_copy(r);
            resources_subtract_one(pool, &whole);
            resource_done(&whole);
        }
        return m;
    }
    return NULL;
}

static Mesos__V1__TaskInfo *new_task(struct world *w, struct sim_scheduler *s,
    const struct sim_agent *a, const Mesos__V1__Offer *o, struct resources *pool, bool group,
    struct arena *arena)
{
    Mesos__V1__Resource *cpus = take(pool, "cpus", CPUS, arena),
                        *mem = cpus ? take(pool, "mem", MEM, arena) : NULL;
    if (!mem)
        return NULL;
    struct sched_task *t = xnew(struct sched_task);
    t->id = xasprintf("s%u-%u-t%u", s->index, s->past_lives, s->next_task++);
    t->state = MESOS__V1__TASK_STATE__TASK_STAGING;
    t->launched = true;
    t->agent_id = xstrdup(o->agent_id->value);
    map_put(&s->tasks, t->id, t);
    Mesos__V1__TaskInfo *info = MSG(arena, Mesos__V1__TaskInfo, mesos__v1__task_info);
    info->name = arena_strdup(arena, "task");
    info->task_id = MSG(arena, Mesos__V1__TaskID, mesos__v1__task_id);
    info->task_id->value = t->id;
    info->agent_id = o->agent_id;
    if (!group && own_executor(s, a) && sim_chance(w, 60))
        info->executor = executor_info(s, arena);
    else
        info->command = command_info(arena, "sleep 1000");
    if (w->lease && info->command && sim_chance(w, 40)) {
        t->fenced = true;
        info->labels = MSG(arena, Mesos__V1__Labels, mesos__v1__labels);
        Mesos__V1__Label *label = MSG(arena, Mesos__V1__Label, mesos__v1__label);
        label->key = arena_strdup(
            arena, w->options.defect == DEFECT_NO_FENCING ? "other" : "DCOS_FENCING");
        label->value = arena_strdup(arena, "true");
        info->labels->n_labels = 1;
        info->labels->labels = arena_new_array(arena, Mesos__V1__Label *, 1);
        info->labels->labels[0] = label;
    }
    info->resources = arena_new_array(arena, Mesos__V1__Resource *, 3);
    info->resources[info->n_resources++] = cpus;
    info->resources[info->n_resources++] = mem;
    Mesos__V1__Resource *volume = s->reserves ? take_volume(w, pool, arena) : NULL;
    if (volume)
        info->resources[info->n_resources++] = volume;
    if (!s->reserves)
        for (size_t i = 0; i < info->n_resources; i++)
            info->resources[i]->allocation_info = NULL;
    return info;
}

/* The tasks of a LAUNCH as a group. Their name says how many they are. */
static void make_group(
    struct world *w, struct sim_scheduler *s, Mesos__V1__Offer__Operation *op, struct arena *arena)
{
    const Mesos__V1__Offer__Operation__Launch *launch = op->launch;
    Mesos__V1__Offer__Operation__LaunchGroup *g = MSG(
        arena, Mesos__V1__Offer__Operation__LaunchGroup, mesos__v1__offer__operation__launch_group);
    g->executor = pod_info(w, s, arena);
    g->executor->framework_id = MSG(arena, Mesos__V1__FrameworkID, mesos__v1__framework_id);
    g->executor->framework_id->value = s->framework_id;
    g->task_group = MSG(arena, Mesos__V1__TaskGroupInfo, mesos__v1__task_group_info);
    g->task_group->tasks = launch->task_infos;
    g->task_group->n_tasks = launch->n_task_infos;
    for (size_t i = 0; i < launch->n_task_infos; i++)
        launch->task_infos[i]->name = arena_printf(arena, "%zu together", launch->n_task_infos);
    op->type = MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH_GROUP;
    op->launch = NULL;
    op->launch_group = g;
}

static Mesos__V1__Offer__Operation *launch(struct world *w, struct sim_scheduler *s,
    const struct sim_agent *a, const Mesos__V1__Offer *o, struct resources *pool, bool relies,
    struct arena *arena)
{
    unsigned have = live_tasks(s);
    Mesos__V1__Offer__Operation *op = MSG(
        arena, Mesos__V1__Offer__Operation, mesos__v1__offer__operation);
    op->has_type = true;
    op->type = MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH;
    op->launch = MSG(
        arena, Mesos__V1__Offer__Operation__Launch, mesos__v1__offer__operation__launch);
    op->launch->task_infos = arena_new_array(arena, Mesos__V1__TaskInfo *, 6);
    if (own_executor(s, a)) {
        /* It is the same everywhere, so of what every agent has. */
        drop_revocable(pool);
        if (!take(pool, "cpus", EXECUTOR_CPUS, arena) || !take(pool, "mem", EXECUTOR_MEM, arena))
            return NULL;
    }
    bool group = own_executor(s, a) && sim_chance(w, 40) &&
                 take(pool, "disk", EXECUTOR_DISK, arena);
    while (have + op->launch->n_task_infos < s->wanted && op->launch->n_task_infos < 6) {
        Mesos__V1__TaskInfo *t = new_task(w, s, a, o, pool, group, arena);
        if (!t)
            break;
        op->launch->task_infos[op->launch->n_task_infos++] = t;
        ((struct sched_task *)map_get(&s->tasks, t->task_id->value))->relies = relies;
    }
    if (!op->launch->n_task_infos)
        return NULL;
    sim_trace(w, "scheduler %u: launches %zu on %s", s->index, op->launch->n_task_infos,
        o->agent_id->value);
    if (group)
        make_group(w, s, op, arena);
    return op;
}

static void answer_offer(struct world *w, struct sim_scheduler *s, Mesos__V1__Offer *o)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources pool = RESOURCES_INIT;
    Mesos__V1__Scheduler__Call call;
    Mesos__V1__Filters *filters = MSG(&arena, Mesos__V1__Filters, mesos__v1__filters);
    filters->has_refuse_seconds = true;
    filters->refuse_seconds = (double)sim_between(w, 0, 10);
    struct error err = ERROR_INIT;
    if (resources_from_wire(o->resources, o->n_resources, &pool, &err) < 0)
        sim_fail(w, "scheduler %u: an offer is malformed: %s", s->index, err.msg);
    if (resources_empty(&pool))
        sim_fail(w, "scheduler %u: an empty offer", s->index);
    struct sim_agent *a = agent_of(w, o);
    Mesos__V1__Offer__Operation *ops[2];
    size_t n = 0;
    if (!sim_chance(w, 10)) {
        ops[n] = operation_for(w, s, a, o, &pool, &arena);
        n += ops[n] != NULL;
        ops[n] = launch(w, s, a, o, &pool, n > 0, &arena);
        n += ops[n] != NULL;
    }
    if (!n) {
        call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE);
        call.decline = MSG(
            &arena, Mesos__V1__Scheduler__Call__Decline, mesos__v1__scheduler__call__decline);
        call.decline->n_offer_ids = 1;
        call.decline->offer_ids = &o->id;
        call.decline->filters = filters;
        sim_send(w, s->conn, true, &call.base);
        return;
    }
    call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT);
    call.accept = MSG(
        &arena, Mesos__V1__Scheduler__Call__Accept, mesos__v1__scheduler__call__accept);
    call.accept->n_offer_ids = 1;
    call.accept->offer_ids = &o->id;
    call.accept->filters = filters;
    call.accept->n_operations = n;
    call.accept->operations = ops;
    sim_send(w, s->conn, true, &call.base);
}

static void answer_inverse_offers(struct world *w, struct sim_scheduler *s,
    const Mesos__V1__Scheduler__Event__InverseOffers *offers)
{
    if (!offers->n_inverse_offers || sim_chance(w, 20))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    Mesos__V1__OfferID **ids = arena_new_array(
        &arena, Mesos__V1__OfferID *, offers->n_inverse_offers);
    for (size_t i = 0; i < offers->n_inverse_offers; i++)
        ids[i] = offers->inverse_offers[i]->id;
    if (sim_chance(w, 50)) {
        call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT_INVERSE_OFFERS);
        call.accept_inverse_offers = MSG(&arena, Mesos__V1__Scheduler__Call__AcceptInverseOffers,
            mesos__v1__scheduler__call__accept_inverse_offers);
        call.accept_inverse_offers->inverse_offer_ids = ids;
        call.accept_inverse_offers->n_inverse_offer_ids = offers->n_inverse_offers;
    } else {
        call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE_INVERSE_OFFERS);
        call.decline_inverse_offers = MSG(&arena, Mesos__V1__Scheduler__Call__DeclineInverseOffers,
            mesos__v1__scheduler__call__decline_inverse_offers);
        call.decline_inverse_offers->inverse_offer_ids = ids;
        call.decline_inverse_offers->n_inverse_offer_ids = offers->n_inverse_offers;
    }
    sim_send(w, s->conn, true, &call.base);
}

static void kill_task(struct world *w, struct sim_scheduler *s, const char *task_id)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__KILL);
    call.kill = MSG(&arena, Mesos__V1__Scheduler__Call__Kill, mesos__v1__scheduler__call__kill);
    call.kill->task_id = MSG(&arena, Mesos__V1__TaskID, mesos__v1__task_id);
    call.kill->task_id->value = arena_strdup(&arena, task_id);
    sim_send(w, s->conn, true, &call.base);
}

static void reconcile_all(struct world *w, struct sim_scheduler *s)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE);
    call.reconcile = MSG(
        &arena, Mesos__V1__Scheduler__Call__Reconcile, mesos__v1__scheduler__call__reconcile);
    if (sim_chance(w, 70)) {
        call.reconcile->tasks = arena_new_array(
            &arena, Mesos__V1__Scheduler__Call__Reconcile__Task *, map_size(&s->tasks) + 1);
        MAP_FOREACH (e, &s->tasks) {
            const struct sched_task *t = e->value;
            if (t->done)
                continue;
            Mesos__V1__Scheduler__Call__Reconcile__Task *task = MSG(&arena,
                Mesos__V1__Scheduler__Call__Reconcile__Task,
                mesos__v1__scheduler__call__reconcile__task);
            task->task_id = MSG(&arena, Mesos__V1__TaskID, mesos__v1__task_id);
            task->task_id->value = t->id;
            task->agent_id = MSG(&arena, Mesos__V1__AgentID, mesos__v1__agent_id);
            task->agent_id->value = t->agent_id;
            call.reconcile->tasks[call.reconcile->n_tasks++] = task;
        }
        if (!call.reconcile->n_tasks)
            return;
    }
    sim_send(w, s->conn, true, &call.base);
}

/* What it is told must be on the master's disk by then. */
static void check_framework_stored(struct world *w, const struct sim_scheduler *s)
{
    if (!store_had(w, "frameworks/", s->framework_id))
        sim_fail(w, "scheduler %u is told that it is %s, which no disk holds", s->index,
            s->framework_id);
}

static void simple_call(
    struct world *w, struct sim_scheduler *s, Mesos__V1__Scheduler__Call__Type type)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    call_init(s, &arena, &call, type);
    sim_send(w, s->conn, true, &call.base);
}

/* Every few seconds: watch the stream, kill what is too much, ask what became of the rest. */
static void maintain(struct world *w, void *target, unsigned generation)
{
    struct sim_scheduler *s = target;
    if (!s->up || s->generation != generation)
        return;
    if (s->conn && w->now - s->last_heard > 50 * SEC) {
        struct conn *c = s->conn;
        redial(w, s);
        sim_break(w, c);
    } else if (s->conn && s->subscribed) {
        if (w->chaos && sim_chance(w, 1) && sim_chance(w, 40)) {
            sim_trace(w, "scheduler %u: teardown", s->index);
            struct conn *c = s->conn;
            simple_call(w, s, MESOS__V1__SCHEDULER__CALL__TYPE__TEARDOWN);
            start_over(w, s);
            /* The stream is closed by the master; a new one begins meanwhile. */
            c->peer_knows = true;
            redial(w, s);
        } else {
            unsigned have = live_tasks(s);
            MAP_FOREACH (e, &s->tasks) {
                struct sched_task *t = e->value;
                if (!t->done && !t->kill_wanted && !t->lost && have > s->wanted) {
                    t->kill_wanted = true;
                    have--;
                }
                if (t->kill_wanted && !t->done)
                    kill_task(w, s, t->id);
            }
            if (sim_chance(w, 40))
                reconcile_all(w, s);
            if (s->reserves && sim_chance(w, 40))
                operations_reconcile(w, s);
            if (have < s->wanted && sim_chance(w, 30))
                simple_call(w, s, MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE);
            else if (have >= s->wanted && sim_chance(w, 10))
                simple_call(w, s, MESOS__V1__SCHEDULER__CALL__TYPE__SUPPRESS);
        }
    }
    sim_after(w, 5 * SEC, maintain, s, generation);
}

static void acknowledge(struct world *w, struct sim_scheduler *s, const Mesos__V1__TaskStatus *st)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    call_init(s, &arena, &call, MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE);
    call.acknowledge = MSG(
        &arena, Mesos__V1__Scheduler__Call__Acknowledge, mesos__v1__scheduler__call__acknowledge);
    call.acknowledge->agent_id = st->agent_id;
    call.acknowledge->task_id = st->task_id;
    call.acknowledge->has_uuid = true;
    call.acknowledge->uuid = st->uuid;
    sim_send(w, s->conn, true, &call.base);
}

static void update(struct world *w, struct sim_scheduler *s, const Mesos__V1__TaskStatus *st)
{
    struct sched_task *t = map_get(&s->tasks, st->task_id->value);
    sim_trace(w, "scheduler %u: %s is %d%s", s->index, st->task_id->value, st->state,
        st->has_uuid ? "" : " says the master");
    if (!t)
        sim_fail(w, "scheduler %u: update for a task of somebody else: %s", s->index,
            st->task_id->value);
    if (!s->partition_aware && (st->state == MESOS__V1__TASK_STATE__TASK_UNREACHABLE ||
                                   st->state == MESOS__V1__TASK_STATE__TASK_DROPPED ||
                                   st->state == MESOS__V1__TASK_STATE__TASK_GONE ||
                                   st->state == MESOS__V1__TASK_STATE__TASK_UNKNOWN))
        sim_fail(w, "scheduler %u is not partition aware and got state %d", s->index, st->state);
    if (st->has_uuid) {
        ledger_seen(w, s->framework_id, t->id, &st->uuid);
        bool repeated = memcmp(t->last_uuid, st->uuid.data, 16) == 0;
        if (t->done && !repeated)
            sim_fail(w, "scheduler %u: %s had ended and been acknowledged, now a new update: %d",
                s->index, t->id, st->state);
        memcpy(t->last_uuid, st->uuid.data, 16);
        t->state = st->state;
        if (sim_state_ended(st->state))
            t->done = true;
        else if (t->lost)
            t->kill_wanted = true; /* it was replaced meanwhile */
        acknowledge(w, s, st);
        return;
    }
    if (t->done)
        return;
    if (t->fenced && st->reason == MESOS__V1__TASK_STATUS__REASON__REASON_AGENT_REMOVED &&
        st->message && streq(st->message, "Agent is unreachable")) {
        _cleanup_free_ char *key = xasprintf("%s/%s", s->framework_id, t->id);
        if (sim_runs_unfenced(w, key))
            sim_fail(w, "scheduler %u: %s is given up and runs", s->index, t->id);
    }
    switch (st->state) {
    case MESOS__V1__TASK_STATE__TASK_ERROR:
        /* The operation that it relied on failed before it. */
        if (t->relies) {
            t->done = true;
            break;
        }
        sim_fail(w, "scheduler %u: %s is invalid: %s", s->index, t->id, st->message);
    case MESOS__V1__TASK_STATE__TASK_UNREACHABLE:
    case MESOS__V1__TASK_STATE__TASK_LOST:
    case MESOS__V1__TASK_STATE__TASK_DROPPED:
    case MESOS__V1__TASK_STATE__TASK_GONE:
    case MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR:
    case MESOS__V1__TASK_STATE__TASK_UNKNOWN:
        t->lost = true;
        t->state = st->state;
        break;
    default:
        if (t->lost && !sim_state_ended(st->state))
            t->kill_wanted = true;
        t->state = st->state;
        break;
    }
}

void sim_scheduler_receive(struct world *w, struct sim_scheduler *s, const void *p, size_t n)
{
    if (n == 0) {
        s->conn->broken = true;
        s->conn->peer_knows = true;
        redial(w, s);
        return;
    }
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &arena, p, n, &m, &err) < 0)
        sim_fail(w, "event does not decode: %s", err.msg);
    const Mesos__V1__Scheduler__Event *e = (const Mesos__V1__Scheduler__Event *)m;
    s->last_heard = w->now;
    if (!s->subscribed && e->type != MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED &&
        e->type != MESOS__V1__SCHEDULER__EVENT__TYPE__ERROR)
        sim_fail(w, "scheduler %u: event %d before SUBSCRIBED", s->index, e->type);
    switch (e->type) {
    case MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED:
        s->subscribed = true;
        if (s->framework_id && !streq(s->framework_id, e->subscribed->framework_id->value))
            sim_fail(w, "scheduler %u is %s and was subscribed as %s", s->index, s->framework_id,
                e->subscribed->framework_id->value);
        if (!s->framework_id)
            s->framework_id = xstrdup(e->subscribed->framework_id->value);
        sim_trace(w, "scheduler %u is subscribed as %s", s->index, s->framework_id);
        check_framework_stored(w, s);
        reconcile_all(w, s);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS:
        for (size_t i = 0; i < e->offers->n_offers; i++)
            answer_offer(w, s, e->offers->offers[i]);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE_OPERATION_STATUS:
        operation_status(w, s, e->update_operation_status->status);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__INVERSE_OFFERS:
        answer_inverse_offers(w, s, e->inverse_offers);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE:
        update(w, s, e->update->status);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__ERROR:
        sim_trace(w, "scheduler %u: error %s", s->index, e->error->message);
        /* "Framework has been removed": only a new life helps; failing over is told to the old
         * stream. */
        if (strstr(e->error->message, "removed"))
            start_over(w, s);
        break;
    default:
        break;
    }
}

void sim_scheduler_free(struct sim_scheduler *s)
{
    MAP_FOREACH (e, &s->tasks) {
        struct sched_task *t = e->value;
        free(t->id);
        free(t->agent_id);
        free(t);
    }
    map_done(&s->tasks);
    operations_clear(s);
    free(s->framework_id);
}
