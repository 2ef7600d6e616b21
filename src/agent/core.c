#include "agent/core_internal.h"

#include <assert.h>
#include <errno.h>

/* The core as such: events' time and entropy, outputs, timers, the list of changed records. */

#define REGISTRATION_TIMEOUT_US (60 * USEC_PER_SEC)
#define REREGISTRATION_TIMEOUT_US (2 * USEC_PER_SEC)
#define SHUTDOWN_GRACE_US (5 * USEC_PER_SEC)
#define PING_TIMEOUT_US (75 * USEC_PER_SEC)

void agent_bytes_done(struct agent_bytes *b)
{
    free(b->p);
    *b = (struct agent_bytes){0};
}

void agent_bytes_set(struct agent_bytes *b, const void *p, size_t n)
{
    uint8_t *copy = n ? xmemdup(p, n) : NULL;
    agent_bytes_done(b);
    b->p = copy;
    b->n = n;
}

void agent_bytes_pack(struct agent_bytes *b, const ProtobufCMessage *m)
{
    struct buf out = BUF_INIT;
    wire_pack(m, &out);
    agent_bytes_done(b);
    b->n = out.n;
    b->p = (uint8_t *)buf_steal(&out);
}

struct agent_core *agent_core_new(const struct agent_core_options *o)
{
    struct agent_core *core = xnew(struct agent_core);
    list_init(&core->dirty);
    list_init(&core->completed_frameworks);
    list_init(&core->completed_tasks);
    list_init(&core->record.dirty);
    core->record.kind = AGENT_RECORD_SELF;
    core->next_serial = 1;
    core->next_connection = 1;
    core->next_sequence = 1;
    core->link_timer.kind = AGENT_TIMER_LINK;
    core->recovery_timer.kind = AGENT_TIMER_RECOVERY;
    core->lease_timer.kind = AGENT_TIMER_LEASE;
    list_init(&core->volumes);
    list_init(&core->resources_record.dirty);
    core->resources_record.kind = AGENT_RECORD_RESOURCES;
    core->drain_max_grace_us = -1;
    if (o->oversubscribed)
        resources_copy(&core->oversubscribed, o->oversubscribed);
    agent_bytes_pack(&core->info, &o->info->base);
    core->version = xstrdup(o->version ? o->version : "");
    core->boot_id = xstrdup(o->boot_id ? o->boot_id : "");
    core->ip = o->ip ? xstrdup(o->ip) : NULL;
    core->executor_program = xstrdup(o->executor_program ? o->executor_program : "dcos-executor");
    core->additive = o->additive;
    core->registration_timeout_us = o->executor_registration_timeout_us
                                        ? o->executor_registration_timeout_us
                                        : REGISTRATION_TIMEOUT_US;
    core->reregistration_timeout_us = o->executor_reregistration_timeout_us
                                          ? o->executor_reregistration_timeout_us
                                          : REREGISTRATION_TIMEOUT_US;
    core->shutdown_grace_us = o->executor_shutdown_grace_us ? o->executor_shutdown_grace_us
                                                            : SHUTDOWN_GRACE_US;
    core->ping_timeout_us = PING_TIMEOUT_US;
    return core;
}

void agent_output_done(struct agent_output *o)
{
    VEC_FOREACH (m, &o->mutations) {
        free(m->key);
        free(m->value);
    }
    vec_done(&o->mutations);
    VEC_FOREACH (e, &o->effects) {
        free(e->framework_id);
        free(e->executor_id);
        free(e->container_id);
        free(e->message);
        buf_done(&e->bytes);
    }
    vec_done(&o->effects);
}

void agent_core_free(struct agent_core *core)
{
    if (!core)
        return;
    MAP_FOREACH (s, &core->streams)
        agent_stream_free(core, s->value);
    MAP_FOREACH (f, &core->frameworks) {
        struct agent_framework *framework = f->value;
        MAP_FOREACH (e, &framework->executors)
            agent_executor_free(core, e->value);
        LIST_FOREACH_SAFE (c, &framework->completed, struct agent_executor, node)
            agent_executor_free(core, c);
        agent_framework_free(framework);
    }
    LIST_FOREACH_SAFE (gone, &core->completed_frameworks, struct agent_framework, node) {
        LIST_FOREACH_SAFE (c, &gone->completed, struct agent_executor, node)
            agent_executor_free(core, c);
        agent_framework_free(gone);
    }
    MAP_FOREACH (o, &core->operations)
        agent_operation_free(core, o->value);
    map_done(&core->operations);
    LIST_FOREACH_SAFE (v, &core->volumes, struct agent_volume, node)
        agent_volume_free(v);
    map_done(&core->frameworks);
    map_done(&core->containers);
    map_done(&core->streams);
    heap_done(&core->timers);
    agent_output_done(&core->out);
    agent_bytes_done(&core->info);
    agent_bytes_done(&core->stored_info);
    agent_bytes_done(&core->drain_config);
    resources_done(&core->oversubscribed);
    resources_done(&core->total);
    resources_done(&core->restored);
    free(core->id);
    free(core->version);
    free(core->boot_id);
    free(core->stored_boot_id);
    free(core->ip);
    free(core->executor_program);
    free(core->master_id);
    free(core->leaving_message);
    free(core);
}

/* ---- events ---- */

void agent_core_begin(struct agent_core *core, const struct agent_now *now)
{
    core->now = *now;
    memcpy(core->rng.s, now->entropy, sizeof(core->rng.s));
    core->rng.s[0] |= 1; /* the generator must not stand still on all zeroes */
}

void agent_core_uuid(struct agent_core *core, uint8_t ret[AGENT_UUID_SIZE])
{
    rng_bytes(&core->rng, ret, AGENT_UUID_SIZE);
    uuid_make_v4(ret);
}

/* ---- output ---- */

struct agent_effect *agent_core_effect(struct agent_core *core, enum agent_effect_type type)
{
    vec_push(&core->out.effects, (struct agent_effect){.type = type});
    return &core->out.effects.items[core->out.effects.n - 1];
}

void agent_core_to_master(struct agent_core *core, Dcos__Internal__AgentRecord *record)
{
    if (core->link == AGENT_UNLINKED)
        return;
    struct agent_effect *e = agent_core_effect(core, AGENT_TO_MASTER);
    e->number = core->link_number;
    wire_pack(&record->base, &e->bytes);
}

void agent_core_to_executor(
    struct agent_core *core, struct agent_executor *e, Mesos__V1__Executor__Event *event)
{
    if (!e->connected)
        return;
    event->has_type = true;
    struct agent_effect *out = agent_core_effect(core, AGENT_TO_EXECUTOR);
    out->number = e->connection;
    out->framework_id = xstrdup(e->framework->id);
    out->executor_id = xstrdup(e->id);
    wire_pack(&event->base, &out->bytes);
}

void agent_core_relink(struct agent_core *core, const char *why)
{
    struct agent_effect *e = agent_core_effect(core, AGENT_RELINK);
    e->number = core->link_number;
    e->message = xstrdup(why);
}

bool agent_core_take(struct agent_core *core, struct agent_output *ret)
{
    LIST_FOREACH_SAFE (r, &core->dirty, struct agent_record, dirty) {
        struct buf key = BUF_INIT, value = BUF_INIT;
        agent_record_key(r, &key);
        agent_record_pack(core, r, &value);
        struct agent_mutation m = {.n = value.n};
        m.key = buf_steal(&key);
        m.value = (uint8_t *)buf_steal(&value);
        vec_push(&core->out.mutations, m);
        r->stored = true;
        list_remove(&r->dirty);
    }
    if (!core->out.mutations.n && !core->out.effects.n)
        return false;
    *ret = core->out;
    ret->sequence = core->next_sequence++;
    core->out = (struct agent_output){0};
    return true;
}

/* ---- records ---- */

void agent_record_init(struct agent_core *core, struct agent_record *r, enum agent_record_kind kind)
{
    list_init(&r->dirty);
    r->kind = kind;
    r->serial = core->next_serial++;
}

void agent_record_dirty(struct agent_core *core, struct agent_record *r)
{
    if (list_empty(&r->dirty))
        list_push(&core->dirty, &r->dirty);
}

void agent_record_drop(struct agent_core *core, struct agent_record *r)
{
    list_remove(&r->dirty);
    if (!r->stored)
        return;
    struct buf key = BUF_INIT;
    agent_record_key(r, &key);
    vec_push(&core->out.mutations, (struct agent_mutation){.key = buf_steal(&key)});
    r->stored = false;
}

/* ---- timers ---- */

void agent_core_timer_start(struct agent_core *core, struct agent_timer *t, int64_t delay_us)
{
    heap_remove(&core->timers, &t->node);
    heap_push(&core->timers, &t->node, core->now.mono_us + delay_us);
}

void agent_core_timer_stop(struct agent_core *core, struct agent_timer *t)
{
    heap_remove(&core->timers, &t->node);
}

int64_t agent_core_next_deadline(const struct agent_core *core)
{
    struct heap_node *first = heap_min(&core->timers);
    return first ? first->key : INT64_MAX;
}

void agent_core_tick(struct agent_core *core, const struct agent_now *now)
{
    agent_core_begin(core, now);
    for (;;) {
        struct heap_node *first = heap_min(&core->timers);
        if (!first || first->key > now->mono_us)
            return;
        heap_remove(&core->timers, first);
        struct agent_timer *t = container_of(first, struct agent_timer, node);
        switch (t->kind) {
        case AGENT_TIMER_EXECUTOR:
            agent_executor_timer_fired(core, container_of(t, struct agent_executor, timer));
            break;
        case AGENT_TIMER_STREAM:
            agent_stream_retry(core, container_of(t, struct agent_stream, timer));
            break;
        case AGENT_TIMER_LINK:
            agent_core_relink(core, "the master has been silent for too long");
            break;
        case AGENT_TIMER_RECOVERY:
            agent_core_recovery_timeout(core);
            break;
        case AGENT_TIMER_OPERATION:
            agent_operation_retry(core, container_of(t, struct agent_operation, timer));
            break;
        case AGENT_TIMER_LEASE:
            agent_lease_check(core);
            break;
        }
    }
}

/* ---- look-ups ---- */

struct agent_executor *agent_core_executor(
    const struct agent_core *core, const char *framework_id, const char *executor_id)
{
    const struct agent_framework *f = framework_id ? map_get(&core->frameworks, framework_id)
                                                   : NULL;
    return f && executor_id ? map_get(&f->executors, executor_id) : NULL;
}

bool agent_state_terminal(Mesos__V1__TaskState s)
{
    switch (s) {
    case TASK_STATE(FINISHED):
    case TASK_STATE(FAILED):
    case TASK_STATE(KILLED):
    case TASK_STATE(ERROR):
    case TASK_STATE(LOST):
    case TASK_STATE(DROPPED):
    case TASK_STATE(GONE):
    case TASK_STATE(GONE_BY_OPERATOR):
        return true;
    default:
        return false;
    }
}

const char *agent_executor_state_name(enum agent_executor_state s)
{
    static const char *const names[] = {"REGISTERING", "RUNNING", "TERMINATING", "TERMINATED"};
    assert((size_t)s < ARRAY_SIZE(names));
    return names[s];
}
