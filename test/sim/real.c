/* The shell around the real agent core: its disk, its outputs in order, its link to the master. */

#include "real.h"

#include "holding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTRATION_TIMEOUT (20 * SEC)

struct sim_real *real_new(void)
{
    return xnew(struct sim_real);
}

void real_now(struct world *w, const struct sim_agent *a, struct agent_now *ret)
{
    ret->mono_us = ret->boot_us = w->now - a->booted;
    ret->wall_us = w->now + a->wall_error;
    rng_bytes(&w->rng, ret->entropy, sizeof(ret->entropy));
}

/* ---- disk ---- */

static void disk_apply(struct world *w, struct sim_real *r, struct agent_mutation *m)
{
    struct real_entry *old = map_remove(&r->disk, m->key);
    if (old) {
        free(old->key);
        free(old->value);
        free(old);
    }
    if (!m->value) {
        free(m->key);
        return;
    }
    struct real_entry *e = xnew(struct real_entry);
    *e = (struct real_entry){.key = m->key, .value = m->value, .n = m->n};
    map_put(&r->disk, e->key, e);
}

static void mutation_free(struct agent_mutation *m)
{
    free(m->key);
    free(m->value);
}

static void disk_write(struct world *w, struct sim_real *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct agent_mutation *m = &r->unflushed.items[i].m;
        if (w->options.defect == DEFECT_AGENT_LOST_WRITE && sim_chance(w, 2))
            mutation_free(m);
        else
            disk_apply(w, r, m);
    }
    memmove(r->unflushed.items, r->unflushed.items + n,
        (r->unflushed.n - n) * sizeof(*r->unflushed.items));
    r->unflushed.n -= n;
}

static void flushed(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (a->generation != generation)
        return;
    disk_write(w, a->real, a->real->flushing);
    a->real->flushing = 0;
    real_pump(w, a);
}

/* What was under way may be on the disk, up to any output; the rest is not. */
static void disk_crash(struct world *w, struct sim_real *r)
{
    size_t made = r->flushing ? rng_below(&w->rng, r->flushing + 1) : 0;
    while (made > 0 && made < r->unflushed.n &&
           r->unflushed.items[made - 1].sequence == r->unflushed.items[made].sequence)
        made--; /* the mutations of one output are one transaction */
    disk_write(w, r, made);
    VEC_FOREACH (u, &r->unflushed)
        mutation_free(&u->m);
    vec_clear(&r->unflushed);
    r->flushing = 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct real_entry *const *)a)->key, (*(struct real_entry *const *)b)->key);
}

static bool is_update(const struct real_entry *e)
{
    return has_prefix(e->key, "update/");
}

static void restore(struct world *w, struct sim_agent *a)
{
    struct sim_real *r = a->real;
    VEC(struct real_entry *) all = {0};
    MAP_FOREACH (e, &r->disk)
        vec_push(&all, e->value);
    if (all.n)
        qsort(all.items, all.n, sizeof(*all.items), by_key);
    VEC_FOREACH (e, &all) {
        struct error err = ERROR_INIT;
        if (w->options.defect == DEFECT_AGENT_AMNESIA && is_update(*e) && sim_chance(w, 20))
            continue;
        if (w->options.defect == DEFECT_LOST_HOLDINGS && has_prefix((*e)->key, "resources/"))
            continue;
        if (agent_core_restore(r->core, (*e)->key, (*e)->value, (*e)->n, &err) < 0)
            sim_fail(w, "agent %u cannot restore: %s", a->index, err.msg);
    }
    vec_done(&all);
}

/* ---- link ---- */

static void dial(struct world *w, void *target, unsigned generation);

static void redial(struct world *w, struct sim_agent *a)
{
    sim_after(w, sim_between(w, 10 * MSEC, SEC), dial, a, a->generation);
}

static void refused(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (a->generation != generation || a->conn)
        return;
    struct agent_now now;
    real_now(w, a, &now);
    agent_core_link_down(a->real->core, &now);
    real_pump(w, a);
    redial(w, a);
}

static void dial(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (a->generation != generation || a->conn || !a->real->recovered)
        return;
    a->conn = sim_dial(w, true, a->index);
    if (w->options.defect == DEFECT_AGENT_OLD_EPOCH)
        a->real->core->epoch = 0;
    struct agent_now now;
    real_now(w, a, &now);
    agent_core_link_up(a->real->core, &now);
    real_pump(w, a);
    if (!a->conn)
        sim_after(w, sim_between(w, MSEC, SEC), refused, a, generation);
}

void real_conn_closed(struct world *w, struct sim_agent *a)
{
    if (!a->up)
        return;
    struct agent_now now;
    real_now(w, a, &now);
    agent_core_link_down(a->real->core, &now);
    real_pump(w, a);
    redial(w, a);
}

void real_receive(struct world *w, struct sim_agent *a, const void *p, size_t n)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, p, n, &m, &err) < 0)
        sim_fail(w, "master record does not decode: %s", err.msg);
    const Dcos__Internal__MasterRecord *record = (const Dcos__Internal__MasterRecord *)m;
    if (!record->has_epoch)
        sim_fail(w, "agent %u got a record without epoch", a->index);
    bool old = record->epoch < a->real->obeyed;
    w->refusals += old;
    if (record->refused)
        sim_trace(w, "agent %u is refused: %s", a->index, record->refused->message);
    if (!old && (record->shutdown_agent || (record->refused && record->refused->forget)))
        sim_agent_expelled(w, a);
    if (record->registered && !old) {
        free(a->id);
        a->id = xstrdup(record->registered->agent_id->value);
        sim_agent_known(w, a, record->epoch);
    }
    struct agent_now now;
    real_now(w, a, &now);
    a->real->refusing = old;
    agent_core_master_record(a->real->core, &now, record);
    real_pump(w, a);
    a->real->refusing = false;
}

/* ---- effects ---- */

static void again(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (!a->up && a->generation == generation)
        sim_agent_boot(w, a);
}

/* The process ends; whoever watches it starts another. */
static void leave(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (a->generation != generation)
        return;
    sim_agent_crash(w, a, false);
    sim_after(w, sim_between(w, 10 * MSEC, 5 * SEC), again, a, a->generation);
}

static void hang_up(struct world *w, struct sim_agent *a, const struct agent_effect *e)
{
    if (!a->conn || e->number != a->real->core->link_number)
        return;
    sim_trace(w, "agent %u hangs up: %s", a->index, e->message);
    struct conn *c = a->conn;
    a->conn = NULL;
    a->registered = false;
    sim_break(w, c);
    real_conn_closed(w, a);
}

static struct container *container_of_stream(struct sim_real *r, const struct agent_effect *e)
{
    MAP_FOREACH (entry, &r->containers) {
        struct container *c = entry->value;
        if (c->stream == e->number)
            return c;
    }
    return NULL;
}

/* For the defect: the first answer may get lost, and no second one comes. */
static bool is_operation_update(const struct agent_effect *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    return wire_unpack(&dcos__internal__agent_record__descriptor, &arena, e->bytes.p, e->bytes.n,
               &m, NULL) >= 0 &&
           ((const Dcos__Internal__AgentRecord *)m)->operation_update;
}

struct volume_work {
    struct sim_agent *agent;
    uint64_t number;
    bool fails;
};

static void volume_done(struct world *w, void *target, unsigned generation)
{
    const struct volume_work *v = target;
    struct sim_agent *a = v->agent;
    if (a->generation != generation)
        return;
    struct agent_now now;
    real_now(w, a, &now);
    agent_core_volume_done(a->real->core, &now, v->number, v->fails ? "no luck" : NULL);
    real_pump(w, a);
}

static void volume_work(struct world *w, struct sim_agent *a, const struct agent_effect *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__resource__descriptor, &arena, e->bytes.p, e->bytes.n, &m, NULL) < 0)
        sim_fail(w, "agent %u: a volume does not decode", a->index);
    const char *id = ((const Mesos__V1__Resource *)m)->disk->persistence->id;
    bool create = e->type == AGENT_VOLUME_CREATE;
    sim_trace(w, "agent %u: volume %s is %s", a->index, id, create ? "made" : "removed");
    if (!create)
        holding_removed(w, a, id);
    if (create && w->options.defect == DEFECT_VOLUME_REMOVED)
        holding_remove_later(w, a, id);
    struct volume_work *v = xnew(struct volume_work);
    *v = (struct volume_work){a, e->number, create && w->chaos && sim_chance(w, 3)};
    sim_after_owned(w, sim_between(w, MSEC, 500 * MSEC), volume_done, v, a->generation);
}

static void carry_out(struct world *w, struct sim_agent *a, struct agent_effect *e)
{
    struct sim_real *r = a->real;
    struct container *c;
    switch (e->type) {
    case AGENT_TO_MASTER:
        if (w->options.defect == DEFECT_OPERATION_ONCE && is_operation_update(e) &&
            sim_chance(w, 50))
            break;
        if (a->conn && e->number == r->core->link_number)
            sim_send_bytes(w, a->conn, true, e->bytes.p, e->bytes.n);
        break;
    case AGENT_TO_EXECUTOR:
        c = container_of_stream(r, e);
        if (c)
            executor_send(w, c, e->number, e->bytes.p, e->bytes.n);
        break;
    case AGENT_CLOSE_EXECUTOR:
        c = container_of_stream(r, e);
        if (c)
            executor_send(w, c, e->number, NULL, 0);
        break;
    case AGENT_LAUNCH:
        container_launch(w, a, e);
        break;
    case AGENT_UPDATE_CONTAINER:
        container_limits(w, a, e->container_id);
        break;
    case AGENT_DESTROY:
        if (!e->urgent)
            container_destroy(w, a, e->container_id);
        break;
    case AGENT_EXECUTOR_GONE:
        sim_trace(w, "agent %u: executor %s is history", a->index, e->executor_id);
        break;
    case AGENT_FRAMEWORK_GONE:
        sim_trace(w, "agent %u: framework %s is history", a->index, e->framework_id);
        break;
    case AGENT_VOLUME_CREATE:
    case AGENT_VOLUME_DESTROY:
        volume_work(w, a, e);
        break;
    case AGENT_RECOVERED:
        sim_trace(w, "agent %u has recovered", a->index);
        r->recovered = true;
        sim_after(w, sim_between(w, MSEC, 500 * MSEC), dial, a, a->generation);
        break;
    case AGENT_REGISTERED:
        sim_trace(w, "agent %u is registered as %s", a->index, e->message);
        a->registered = true;
        r->obeyed = MAX(r->obeyed, r->core->epoch);
        break;
    case AGENT_RELINK:
        hang_up(w, a, e);
        break;
    case AGENT_EXIT:
        sim_trace(w, "agent %u leaves: %s", a->index, e->message);
        sim_after(w, 0, leave, a, a->generation);
        break;
    }
}

static void tick(struct world *w, void *target, unsigned generation)
{
    struct sim_agent *a = target;
    if (a->generation != generation || a->real->tick_at > w->now)
        return;
    a->real->tick_at = INT64_MAX;
    struct agent_now now;
    real_now(w, a, &now);
    agent_core_tick(a->real->core, &now);
    real_pump(w, a);
}

/* Outputs are stored in order and carried out in order, each after what it rests on is stored. */
static bool may_carry_out(struct world *w, const struct sim_real *r)
{
    if (!r->pending.n || r->dying)
        return false;
    if (w->options.defect == DEFECT_AGENT_HASTE)
        return true;
    return !r->unflushed.n || r->unflushed.items[0].sequence > r->pending.items[0].sequence;
}

void real_pump(struct world *w, struct sim_agent *a)
{
    struct sim_real *r = a->real;
    for (struct agent_output out; agent_core_take(r->core, &out);) {
        VEC_FOREACH (m, &out.mutations)
            vec_push(&r->unflushed, (struct real_write){.sequence = out.sequence, .m = *m});
        /* Whom it obeyed it must never again obey somebody older than. */
        if (r->refusing && (out.mutations.n || out.effects.n > 1 ||
                               (out.effects.n && out.effects.items[0].type != AGENT_RELINK)))
            sim_fail(w, "agent %u obeys a master of an older epoch", a->index);
        vec_done(&out.mutations);
        /* A lease ends in time whatever the disk does. */
        VEC_FOREACH (e, &out.effects)
            if (e->urgent)
                container_destroy(w, a, e->container_id);
        vec_push(&r->pending, out);
    }
    if (!r->flushing && r->unflushed.n) {
        r->flushing = r->unflushed.n;
        int64_t delay = sim_between(w, 200, 20 * MSEC);
        if (w->chaos && sim_chance(w, 2))
            delay += sim_between(w, 0, 5 * SEC);
        sim_after(w, delay, flushed, a, a->generation);
    }
    /* Carrying out may tell the core something; what comes of that waits for its turn. */
    bool outermost = !r->busy;
    while (outermost && may_carry_out(w, r)) {
        r->busy = true;
        struct agent_output out = r->pending.items[0];
        vec_remove(&r->pending, 0);
        VEC_FOREACH (e, &out.effects) {
            if (r->dying)
                break;
            carry_out(w, a, e);
            /* Between two effects is where a kill hurts most. */
            if (w->chaos && rng_below(&w->rng, 400) == 0) {
                r->dying = true;
                sim_after(w, 0, leave, a, a->generation);
            }
        }
        agent_output_done(&out);
    }
    if (outermost)
        r->busy = false;
    int64_t next = agent_core_next_deadline(r->core);
    if (next != INT64_MAX)
        next += a->booted;
    if (next < r->tick_at) {
        r->tick_at = MAX(next, w->now);
        sim_after(w, r->tick_at - w->now, tick, a, a->generation);
    }
}

/* ---- life ---- */

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

void real_boot(struct world *w, struct sim_agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct sim_real *r = a->real;
    r->agent = a;
    Mesos__V1__AgentInfo *info = MSG(&arena, Mesos__V1__AgentInfo, mesos__v1__agent_info);
    info->hostname = arena_printf(&arena, "agent%u", a->index);
    info->has_port = true;
    info->port = 5051;
    info->resources = arena_new_array(&arena, Mesos__V1__Resource *, 3);
    info->resources[info->n_resources++] = scalar(&arena, "cpus", a->cpus_milli);
    info->resources[info->n_resources++] = scalar(&arena, "mem", a->mem_milli);
    info->resources[info->n_resources++] = scalar(&arena, "disk", a->disk_milli);
    char boot_id[32], ip[16];
    snprintf(ip, sizeof(ip), "10.0.1.%u", a->index);
    snprintf(boot_id, sizeof(boot_id), "boot-%u", r->boots);
    struct agent_core_options options = {
        .info = info,
        .version = "1.0.0",
        .boot_id = boot_id,
        .ip = ip,
        .executor_program = "/bin/dcos-executor",
        .executor_registration_timeout_us = REGISTRATION_TIMEOUT,
    };
    _cleanup_resources_ struct resources revocable = RESOURCES_INIT;
    if (a->revocable_milli) {
        Mesos__V1__Resource *more = scalar(&arena, "cpus", a->revocable_milli);
        more->revocable = MSG(
            &arena, Mesos__V1__Resource__RevocableInfo, mesos__v1__resource__revocable_info);
        (void)resources_from_wire(&more, 1, &revocable, NULL);
        options.oversubscribed = &revocable;
    }
    r->core = agent_core_new(&options);
    r->tick_at = INT64_MAX;
    r->recovered = r->busy = r->dying = false;
    restore(w, a);
    struct agent_now now;
    real_now(w, a, &now);
    struct error err = ERROR_INIT;
    if (agent_core_start(r->core, &now, &err) < 0)
        sim_fail(w, "agent %u cannot start: %s", a->index, err.msg);
    containers_recover(w, a);
    real_pump(w, a);
}

void real_crash(struct world *w, struct sim_agent *a, bool host)
{
    struct sim_real *r = a->real;
    VEC_FOREACH (o, &r->pending)
        agent_output_done(o);
    vec_clear(&r->pending);
    disk_crash(w, r);
    real_write_off(a);
    agent_core_free(r->core);
    r->core = NULL;
    if (host) {
        r->boots++;
        a->booted = w->now;
    }
    containers_orphaned(w, a, host);
}

void real_free(struct world *w, struct sim_agent *a)
{
    struct sim_real *r = a->real;
    if (r->core)
        real_crash(w, a, true);
    containers_free(a);
    MAP_FOREACH (entry, &r->disk) {
        struct real_entry *e = entry->value;
        free(e->key);
        free(e->value);
        free(e);
    }
    map_done(&r->disk);
    vec_done(&r->pending);
    vec_done(&r->unflushed);
    free(r);
}
