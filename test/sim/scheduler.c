/*
 * A model of a framework: wants so many tasks, accepts and declines, acknowledges, kills,
 * reconciles, dies and comes back with its id. What it writes down before it acts survives its
 * crashes, as a good framework's database does.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/codec.h"
#include "world.h"

static const int64_t CPUS = 200, MEM = 64000; /* thousandths, of one task */
static const int64_t EXECUTOR_CPUS = 100, EXECUTOR_MEM = 32000;

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
    if (s->partition_aware) {
        info->n_capabilities = 1;
        info->capabilities = arena_new_array(&arena, Mesos__V1__FrameworkInfo__Capability *, 1);
        info->capabilities[0] = MSG(
            &arena, Mesos__V1__FrameworkInfo__Capability, mesos__v1__framework_info__capability);
        info->capabilities[0]->has_type = true;
        info->capabilities[0]->type = MESOS__V1__FRAMEWORK_INFO__CAPABILITY__TYPE__PARTITION_AWARE;
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

static int64_t offered(const Mesos__V1__Offer *o, const char *name)
{
    double sum = 0;
    for (size_t i = 0; i < o->n_resources; i++)
        if (streq(o->resources[i]->name, name) && o->resources[i]->scalar)
            sum += o->resources[i]->scalar->value;
    return (int64_t)(sum * 1000 + 0.5);
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

/* Only real agents know executors other than the default one. */
static bool own_executor(struct world *w, const struct sim_scheduler *s, const Mesos__V1__Offer *o)
{
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        if (a->real && a->id && streq(a->id, o->agent_id->value))
            return s->own_executor;
    }
    return false;
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

static Mesos__V1__TaskInfo *new_task(
    struct world *w, struct sim_scheduler *s, struct arena *arena, const Mesos__V1__Offer *o)
{
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
    if (own_executor(w, s, o) && sim_chance(w, 60))
        info->executor = executor_info(s, arena);
    else
        info->command = command_info(arena, "sleep 1000");
    info->n_resources = 2;
    info->resources = arena_new_array(arena, Mesos__V1__Resource *, 2);
    info->resources[0] = scalar(arena, "cpus", CPUS);
    info->resources[1] = scalar(arena, "mem", MEM);
    return info;
}

static void answer_offer(struct world *w, struct sim_scheduler *s, Mesos__V1__Offer *o)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__Scheduler__Call call;
    Mesos__V1__Filters *filters = MSG(&arena, Mesos__V1__Filters, mesos__v1__filters);
    filters->has_refuse_seconds = true;
    filters->refuse_seconds = (double)sim_between(w, 0, 10);
    int64_t cpus = offered(o, "cpus"), mem = offered(o, "mem");
    if (cpus <= 0 && mem <= 0)
        sim_fail(w, "scheduler %u: an empty offer", s->index);
    if (own_executor(w, s, o)) {
        cpus -= EXECUTOR_CPUS;
        mem -= EXECUTOR_MEM;
    }
    unsigned have = live_tasks(s), fit = 0;
    while (have + fit < s->wanted && (fit + 1) * CPUS <= cpus && (fit + 1) * MEM <= mem && fit < 6)
        fit++;
    if (!fit || sim_chance(w, 10)) {
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
    Mesos__V1__Offer__Operation *op = MSG(
        &arena, Mesos__V1__Offer__Operation, mesos__v1__offer__operation);
    op->has_type = true;
    op->type = MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH;
    op->launch = MSG(
        &arena, Mesos__V1__Offer__Operation__Launch, mesos__v1__offer__operation__launch);
    op->launch->task_infos = arena_new_array(&arena, Mesos__V1__TaskInfo *, fit);
    for (unsigned i = 0; i < fit; i++)
        op->launch->task_infos[op->launch->n_task_infos++] = new_task(w, s, &arena, o);
    call.accept->n_operations = 1;
    call.accept->operations = &op;
    sim_trace(w, "scheduler %u: launches %u on %s", s->index, fit, o->agent_id->value);
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
    switch (st->state) {
    case MESOS__V1__TASK_STATE__TASK_ERROR:
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
    free(s->framework_id);
}
