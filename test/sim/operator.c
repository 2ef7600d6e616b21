/*
 * A model of an operator: drains, deactivates and reactivates agents, marks them gone, schedules
 * maintenance, starts and stops it. It remembers what it was told is done; every master that can
 * know must agree, over failovers too. What was asked for and not answered may be so or not.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "holding.h"
#include "master/core.h"
#include "wire/codec.h"
#include "world.h"

static const int64_t PATIENCE = 20 * SEC;

enum known { UNKNOWN, NO, YES };

struct node_fact {
    unsigned index; /* of the agent that goes by the id */
    enum known deactivated, draining;
    bool mark_gone, gone;
    uint64_t epoch, gone_epoch; /* of the master that said so */
    char id[];
};

struct machine_fact {
    enum known down;
    uint64_t epoch;
};

struct quota_fact {
    enum known known;
    int64_t guarantee, limit; /* of cpus; no quota: 0 and INT64_MAX */
    uint64_t epoch;
};

/* Quotas are of top-level roles: one of each scheduler, and one that all share. */
enum { ROLES_MAX = 5 };

struct sim_operator {
    bool active;
    struct quota_fact quotas[ROLES_MAX];
    unsigned request; /* the one under way, 0 = none */
    unsigned requests;
    struct map nodes; /* id -> struct node_fact */
    struct machine_fact *machines;
};

enum action {
    DRAIN,
    DRAIN_AND_GO,
    DEACTIVATE,
    REACTIVATE,
    MARK_GONE,
    SCHEDULE, /* from here on not of an agent */
    DOWN,
    UP,
    QUOTA,
    WEIGHT,
    OPERATE, /* something with resources: no more than asked for when it is answered */
    ACTIONS,
};

struct request {
    struct sim_master *m;
    unsigned number;
    enum action action;
    unsigned index;    /* of the agent */
    unsigned machines; /* bits, of SCHEDULE */
    unsigned role;     /* of QUOTA and WEIGHT */
    struct quota_fact quota, quota_before;
    bool force;
    struct machine_fact machine_before;
    char id[64];
    struct node_fact before; /* without its id; last, since it ends with one */
};

static struct node_fact *node_fact(struct world *w, const char *id, unsigned index)
{
    struct node_fact *f = map_get(&w->operator_->nodes, id);
    if (!f) {
        f = xcalloc(1, sizeof(*f) + strlen(id) + 1);
        memcpy(f->id, id, strlen(id) + 1);
        f->index = index;
        map_put(&w->operator_->nodes, f->id, f);
    }
    return f;
}

/* ---- asking ---- */

static Mesos__V1__MachineID *machine(struct arena *arena, unsigned index)
{
    Mesos__V1__MachineID *m = MSG(arena, Mesos__V1__MachineID, mesos__v1__machine_id);
    m->hostname = arena_printf(arena, "agent%u", index);
    m->ip = arena_printf(arena, "10.0.1.%u", index);
    return m;
}

static int update_schedule(struct world *w, struct sim_master *m, unsigned machines)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    Mesos__V1__Maintenance__Schedule schedule = MESOS__V1__MAINTENANCE__SCHEDULE__INIT;
    Mesos__V1__Maintenance__Window window = MESOS__V1__MAINTENANCE__WINDOW__INIT;
    Mesos__V1__Maintenance__Window *windows[] = {&window};
    Mesos__V1__Unavailability when = MESOS__V1__UNAVAILABILITY__INIT;
    Mesos__V1__TimeInfo start = MESOS__V1__TIME_INFO__INIT;
    start.has_nanoseconds = true;
    start.nanoseconds = w->now * 1000;
    when.start = &start;
    window.unavailability = &when;
    window.machine_ids = arena_new_array(&arena, Mesos__V1__MachineID *, w->n_agents);
    for (unsigned i = 0; i < w->n_agents; i++)
        if (machines & 1U << i)
            window.machine_ids[window.n_machine_ids++] = machine(&arena, i);
    schedule.windows = windows;
    schedule.n_windows = window.n_machine_ids ? 1 : 0;
    return master_core_update_schedule(m->core, &schedule, sim_master_now(w, m), &err);
}

static const char *role_name(const struct world *w, unsigned role, struct arena *arena)
{
    return role < w->n_schedulers ? arena_printf(arena, "s%u", role) : "top";
}

static int update_quota(struct world *w, const struct request *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    Mesos__V1__Quota__QuotaConfig config = MESOS__V1__QUOTA__QUOTA_CONFIG__INIT;
    Mesos__V1__Quota__QuotaConfig *configs[] = {&config};
    Mesos__V1__Quota__QuotaConfig__GuaranteesEntry guarantee =
        MESOS__V1__QUOTA__QUOTA_CONFIG__GUARANTEES_ENTRY__INIT;
    Mesos__V1__Quota__QuotaConfig__GuaranteesEntry *guarantees[] = {&guarantee};
    Mesos__V1__Quota__QuotaConfig__LimitsEntry limit =
        MESOS__V1__QUOTA__QUOTA_CONFIG__LIMITS_ENTRY__INIT;
    Mesos__V1__Quota__QuotaConfig__LimitsEntry *limits[] = {&limit};
    Mesos__V1__Value__Scalar g = MESOS__V1__VALUE__SCALAR__INIT, l = g;
    g.has_value = l.has_value = true;
    g.value = (double)r->quota.guarantee / 1000;
    l.value = (double)r->quota.limit / 1000;
    config.role = (char *)(uintptr_t)role_name(w, r->role, &arena);
    if (r->quota.limit != INT64_MAX) {
        guarantee.key = limit.key = (char *)(uintptr_t) "cpus";
        guarantee.value = &g;
        limit.value = &l;
        config.guarantees = guarantees;
        config.limits = limits;
        config.n_guarantees = config.n_limits = 1;
    }
    int status = quota_check(r->m->core, configs, 1, r->force, &err);
    if (w->options.defect == DEFECT_NO_LIMIT)
        l.value += 1;
    if (status >= 0)
        master_core_update_quota(r->m->core, configs, 1, sim_master_now(w, r->m));
    return status;
}

static int update_weight(struct world *w, const struct request *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    Mesos__V1__WeightInfo weight = MESOS__V1__WEIGHT_INFO__INIT;
    Mesos__V1__WeightInfo *weights[] = {&weight};
    weight.role = (char *)(uintptr_t)role_name(w, r->role, &arena);
    weight.has_weight = true;
    weight.weight = (double)(1 + r->machines);
    int status = weights_check(r->m->core, weights, 1, &err);
    if (status >= 0)
        master_core_update_weights(r->m->core, weights, 1, sim_master_now(w, r->m));
    return status;
}

static int carry_out(struct world *w, const struct request *r)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    struct sim_master *m = r->m;
    struct master_core *core = m->core;
    int64_t now = sim_master_now(w, m);
    Mesos__V1__MachineID *id = machine(&arena, r->index);
    switch (r->action) {
    case DRAIN:
        return master_core_drain_agent(core, r->id, -1, false, now, &err);
    case DRAIN_AND_GO:
        return master_core_drain_agent(core, r->id, 1000000000, true, now, &err);
    case DEACTIVATE:
        return master_core_deactivate_agent(core, r->id, now, &err);
    case REACTIVATE:
        return master_core_reactivate_agent(core, r->id, now, &err);
    case MARK_GONE:
        return master_core_mark_agent_gone(core, r->id, now, &err);
    case SCHEDULE:
        return update_schedule(w, m, r->machines);
    case DOWN:
        return master_core_start_maintenance(core, &id, 1, now, &err);
    case UP:
        return master_core_stop_maintenance(core, &id, 1, now, &err);
    case QUOTA:
        return update_quota(w, r);
    case WEIGHT:
        return update_weight(w, r);
    case OPERATE:
        return operator_operate(w, m, &w->agents[r->index]);
    case ACTIONS:
        break;
    }
    return 0;
}

static void answered(struct world *w, struct sim_master *m, void *target)
{
    const struct request *r = target;
    struct sim_operator *o = w->operator_;
    if (r->number != o->request)
        return;
    o->request = 0;
    sim_trace(w, "operator: %d of agent %u (%s) is done", r->action, r->index, r->id);
    struct node_fact *f = r->id[0] ? node_fact(w, r->id, r->index) : NULL;
    struct machine_fact *machine = &o->machines[r->index];
    switch (r->action) {
    case DRAIN:
    case DRAIN_AND_GO:
        f->deactivated = f->draining = YES;
        f->mark_gone = r->action == DRAIN_AND_GO;
        f->epoch = m->epoch;
        break;
    case DEACTIVATE:
        f->deactivated = YES;
        f->epoch = m->epoch;
        break;
    case REACTIVATE:
        f->deactivated = f->draining = NO;
        f->epoch = m->epoch;
        break;
    case MARK_GONE:
        f->gone = true;
        f->gone_epoch = m->epoch;
        break;
    case DOWN:
        machine->down = YES;
        machine->epoch = m->epoch;
        break;
    case UP:
        machine->down = NO;
        machine->epoch = m->epoch;
        break;
    case QUOTA:
        o->quotas[r->role] = r->quota;
        o->quotas[r->role].known = YES;
        o->quotas[r->role].epoch = m->epoch;
        break;
    case SCHEDULE:
    case WEIGHT:
    case OPERATE:
    case ACTIONS:
        break;
    }
}

/* Nothing changed by it. */
static void refused(struct world *w, const struct request *r)
{
    struct sim_operator *o = w->operator_;
    if (r->number != o->request)
        return;
    o->request = 0;
    sim_trace(w, "operator: %d of agent %u (%s) is refused", r->action, r->index, r->id);
    if (r->action == QUOTA)
        o->quotas[r->role] = r->quota_before;
    if (r->action == DOWN || r->action == UP)
        o->machines[r->index] = r->machine_before;
    if (r->id[0]) {
        struct node_fact *f = node_fact(w, r->id, r->index);
        f->deactivated = r->before.deactivated;
        f->draining = r->before.draining;
        f->mark_gone = r->before.mark_gone;
    }
}

static void arrives(struct world *w, void *target, unsigned generation)
{
    const struct request *r = target;
    if (!r->m->core)
        return;
    sim_trace(w, "operator: %d of agent %u (%s)", r->action, r->index, r->id);
    if (carry_out(w, r) < 0) {
        refused(w, r);
        sim_master_pump(w, r->m);
        return;
    }
    sim_master_promise(w, r->m, answered, xmemdup(r, sizeof(*r)));
}

static void forget_machine(struct world *w, unsigned index)
{
    MAP_FOREACH (e, &w->operator_->nodes) {
        struct node_fact *f = e->value;
        /* An agent of a machine that was down is as new, except when it is gone. */
        if (f->index == index)
            f->deactivated = f->draining = UNKNOWN;
    }
}

static void give_up(struct world *w, void *target, unsigned number)
{
    if (w->operator_->request == number)
        w->operator_->request = 0;
}

static void ask(struct world *w, struct sim_master *m, enum action action, unsigned index)
{
    struct sim_operator *o = w->operator_;
    const struct sim_agent *a = &w->agents[index];
    struct request *r = xnew(struct request);
    *r = (struct request){.m = m,
        .action = action,
        .index = index,
        .machine_before = o->machines[index],
        .machines = (unsigned)rng_below(&w->rng, 1U << w->n_agents),
        .role = (unsigned)rng_below(&w->rng, w->n_schedulers + 1),
        .force = sim_chance(w, 50)};
    r->quota.limit = sim_chance(w, 30) ? INT64_MAX : sim_between(w, 0, 60) * 100;
    if (r->quota.limit != INT64_MAX && sim_chance(w, 50))
        r->quota.guarantee = MIN(r->quota.limit, sim_between(w, 0, 20) * 100);
    r->quota_before = o->quotas[r->role];
    if (action < SCHEDULE) {
        if (!a->id) {
            free(r);
            return;
        }
        snprintf(r->id, sizeof(r->id), "%s", a->id);
        struct node_fact *f = node_fact(w, r->id, index);
        r->before = *f;
        if (action != MARK_GONE)
            f->deactivated = f->draining = UNKNOWN;
    } else if (action == DOWN || action == UP) {
        o->machines[index].down = UNKNOWN;
        if (action == DOWN)
            forget_machine(w, index);
    } else if (action == QUOTA) {
        o->quotas[r->role].known = UNKNOWN;
    }
    r->number = o->request = ++o->requests;
    int64_t delay = sim_between(w, MSEC, 50 * MSEC);
    if (sim_chance(w, 3))
        delay += sim_between(w, 0, 10 * SEC);
    sim_after_master(w, m, delay, arrives, r);
    sim_after(w, PATIENCE, give_up, NULL, o->request);
}

static void act(struct world *w, void *target, unsigned unused)
{
    struct sim_operator *o = w->operator_;
    if (!w->chaos)
        return;
    struct sim_master *m = sim_detect(w);
    unsigned index = (unsigned)rng_below(&w->rng, w->n_agents);
    enum action action = (enum action)rng_below(&w->rng, ACTIONS);
    /* Agents that are gone take their tasks along: not all the time. */
    bool skip = (action == MARK_GONE || action == DRAIN_AND_GO || action == DOWN) &&
                sim_chance(w, 50);
    if (!o->request && m && m->core && !skip)
        ask(w, m, action, index);
    sim_after(w, sim_between(w, SEC, 15 * SEC), act, NULL, 0);
}

void operator_start(struct world *w)
{
    w->operator_ = xnew(struct sim_operator);
    w->operator_->machines = xnew_array(struct machine_fact, w->n_agents);
    w->operator_->active = sim_chance(w, 50);
    if (w->operator_->active)
        sim_after(w, sim_between(w, SEC, 10 * SEC), act, NULL, 0);
}

void operator_free(struct world *w)
{
    MAP_FOREACH (e, &w->operator_->nodes)
        free(e->value);
    map_done(&w->operator_->nodes);
    free(w->operator_->machines);
    free(w->operator_);
}

/* ---- checking ---- */

struct look {
    struct world *w;
    const struct sim_master *m;
    bool settled;
};

static unsigned index_of(const char *hostname)
{
    return (unsigned)(hostname[strlen("agent")] - '0');
}

static bool check_node(const struct master_agent_view *v, void *userdata)
{
    const struct look *look = userdata;
    struct world *w = look->w;
    const struct machine_fact *machine = &w->operator_->machines[index_of(v->hostname)];
    const struct node_fact *f = map_get(&w->operator_->nodes, v->id);
    uint64_t epoch = look->m->epoch;
    /* One that did not come back yet may be anywhere. */
    if (machine->down == YES && machine->epoch <= epoch && !v->recovered)
        sim_fail(w, "agent %s is there although its machine is down", v->id);
    if (!f)
        return true;
    if (f->gone && f->gone_epoch <= epoch)
        sim_fail(w, "agent %s is there although it is gone", v->id);
    if (f->epoch > epoch)
        return true;
    if ((f->deactivated == YES && !v->deactivated) || (f->deactivated == NO && v->deactivated))
        sim_fail(w, "agent %s is %s for master %u, the operator was told the opposite", v->id,
            v->deactivated ? "deactivated" : "active", look->m->index);
    if (f->draining == YES && !v->draining && !v->drained)
        sim_fail(w, "agent %s does not drain for master %u, the operator was told so", v->id,
            look->m->index);
    if (v->deactivated && v->n_offers)
        sim_fail(w, "agent %s is deactivated and offered", v->id);
    if (!look->settled || f->draining != YES)
        return true;
    if (f->mark_gone)
        sim_fail(w, "agent %s should be gone, since it is drained", v->id);
    if (!v->drained || v->n_tasks)
        sim_fail(w, "agent %s is not drained, it has %zu tasks", v->id, v->n_tasks);
    return true;
}

struct quota_look {
    struct world *w;
    const struct sim_master *m;
    const char *role;
    int64_t guarantee, limit;
    int64_t offered; /* by a new offer */
};

static bool find_quota(const struct master_quota_view *v, void *userdata)
{
    struct quota_look *look = userdata;
    if (!streq(v->role, look->role) || !streq(v->quantity, "cpus"))
        return true;
    look->guarantee = v->guarantee;
    look->limit = v->limit;
    if (look->offered > 0 && v->consumed > v->limit)
        sim_fail(look->w,
            "master %u offers cpus to role %s, which has %" PRIi64 " then, its limit is %" PRIi64,
            look->m->index, v->role, v->consumed, v->limit);
    return false;
}

static void check_quotas(struct world *w, const struct sim_master *m)
{
    for (unsigned i = 0; i <= w->n_schedulers; i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        const struct quota_fact *f = &w->operator_->quotas[i];
        if (f->known != YES || f->epoch > m->epoch)
            continue;
        struct quota_look look = {
            .w = w, .m = m, .role = role_name(w, i, &arena), .limit = INT64_MAX};
        master_core_each_quota(m->core, find_quota, &look);
        if (look.limit != f->limit || look.guarantee != f->guarantee)
            sim_fail(w,
                "role %s has quota %" PRIi64 " to %" PRIi64 " for master %u, the operator was told "
                "%" PRIi64 " to %" PRIi64,
                look.role, look.guarantee, look.limit, m->index, f->guarantee, f->limit);
    }
}

void operator_offers(
    struct world *w, const struct sim_master *m, const Mesos__V1__Scheduler__Event__Offers *offers)
{
    for (size_t i = 0; i < offers->n_offers; i++) {
        const Mesos__V1__Offer *o = offers->offers[i];
        if (!o->allocation_info)
            continue;
        char role[64];
        snprintf(role, sizeof(role), "%s", o->allocation_info->role);
        if (strchr(role, '/'))
            *strchr(role, '/') = '\0';
        struct quota_look look = {.w = w, .m = m, .role = role};
        for (size_t k = 0; k < o->n_resources; k++) {
            const Mesos__V1__Resource *r = o->resources[k];
            if (streq(r->name, "cpus") && !r->n_reservations && !r->revocable)
                look.offered += (int64_t)(r->scalar->value * 1000 + 0.5);
        }
        master_core_each_quota(m->core, find_quota, &look);
    }
}

void operator_check(struct world *w, const struct sim_master *m)
{
    if (!w->operator_->active)
        return;
    struct look look = {w, m, false};
    master_core_each_agent(m->core, check_node, &look);
    check_quotas(w, m);
}

void operator_agent_known(struct world *w, const struct sim_agent *a, uint64_t epoch)
{
    const struct node_fact *f = map_get(&w->operator_->nodes, a->id);
    if (f && f->gone && f->gone_epoch < epoch)
        sim_fail(w, "agent %u is told that it is %s, which is gone", a->index, a->id);
}

static void no_task(const struct sim_task_view *t, void *userdata)
{
    struct look *look = userdata;
    if (t->alive)
        sim_fail(look->w, "%s runs where nothing should", t->key);
}

struct names {
    VEC(char *) items;
};

static bool collect_deactivated(const struct master_agent_view *v, void *userdata)
{
    struct names *n = userdata;
    if (v->deactivated)
        vec_push(&n->items, xstrdup(v->id));
    return true;
}

static void take_back(struct world *w, struct sim_master *m)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    Mesos__V1__Maintenance__ClusterStatus *status = master_core_maintenance_status(m->core, &arena);
    if (status->n_down_machines && master_core_stop_maintenance(m->core, status->down_machines,
                                       status->n_down_machines, sim_master_now(w, m), &err) < 0)
        sim_fail(w, "machines cannot be brought up: %s", err.msg);
    if (update_schedule(w, m, 0) < 0)
        sim_fail(w, "the schedule cannot be emptied");
    struct names names = {0};
    master_core_each_agent(m->core, collect_deactivated, &names);
    VEC_FOREACH (id, &names.items) {
        if (master_core_reactivate_agent(m->core, *id, sim_master_now(w, m), &err) < 0)
            sim_fail(w, "agent %s cannot be reactivated: %s", *id, err.msg);
        free(*id);
    }
    vec_done(&names.items);
    MAP_FOREACH (e, &w->operator_->nodes) {
        struct node_fact *f = e->value;
        f->deactivated = f->draining = UNKNOWN;
    }
    for (unsigned i = 0; i <= w->n_schedulers; i++) {
        struct request r = {.m = m, .role = i, .quota = {.limit = INT64_MAX}, .force = true};
        if (update_quota(w, &r) < 0)
            sim_fail(w, "a quota cannot be taken away");
        w->operator_->quotas[i].known = UNKNOWN;
    }
    for (unsigned i = 0; i < w->n_agents; i++)
        w->operator_->machines[i].down = UNKNOWN;
    sim_master_pump(w, m);
}

void operator_settled(struct world *w)
{
    struct sim_master *m = sim_leader(w);
    if (!w->operator_->active)
        return;
    if (!m || !m->core)
        sim_fail(w, "nobody leads");
    struct look look = {w, m, true};
    master_core_each_agent(m->core, check_node, &look);
    for (unsigned i = 0; i < w->n_agents; i++) {
        const struct sim_agent *a = &w->agents[i];
        const struct node_fact *f = a->id ? map_get(&w->operator_->nodes, a->id) : NULL;
        if (w->operator_->machines[i].down == YES || (f && f->draining == YES))
            sim_agent_each_task(a, no_task, &look);
    }
    take_back(w, m);
}
