#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/* What leaves the core: mutations for the store, effects for peers. */

struct packed *packed_new(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    struct packed *p = xmalloc(sizeof(*p) + n);
    p->n = (uint32_t)n;
    protobuf_c_message_pack(m, p->p);
    return p;
}

struct name *name_new(const char *text)
{
    size_t n = strlen(text) + 1;
    struct name *name = xmalloc(sizeof(*name) + n);
    name->refs = 1;
    memcpy(name->text, text, n);
    return name;
}

struct name *name_ref(struct name *n)
{
    n->refs++;
    return n;
}

void name_unref(struct name *n)
{
    if (n && --n->refs == 0)
        free(n);
}

void put_mutation(
    struct master_core *core, const char *prefix, const char *id, const ProtobufCMessage *m)
{
    size_t n = m ? protobuf_c_message_get_packed_size(m) : 0;
    size_t key_n = strlen(prefix) + strlen(id) + 1;
    struct master_mutation *mutation = xcalloc(1, sizeof(*mutation) + n + key_n);
    uint8_t *value = (uint8_t *)(mutation + 1);
    mutation->value = value;
    mutation->n = n;
    mutation->remove = !m;
    if (m)
        protobuf_c_message_pack(m, value);
    mutation->key = (char *)value + n;
    memcpy(mutation->key, prefix, strlen(prefix));
    memcpy(mutation->key + strlen(prefix), id, strlen(id) + 1);
    mutation->number = ++core->last_mutation;
    *core->mutations_tail = mutation;
    core->mutations_tail = &mutation->next;
    core->change++;
}

uint64_t master_core_last_mutation(const struct master_core *core)
{
    return core->last_mutation;
}

struct master_mutation *master_core_take_mutation(struct master_core *core)
{
    struct master_mutation *m = core->mutations;
    if (!m)
        return NULL;
    core->mutations = m->next;
    if (!core->mutations)
        core->mutations_tail = &core->mutations;
    m->next = NULL;
    return m;
}

/* With room for `more` bytes behind the message. */
static struct master_effect *put_effect_with(struct master_core *core, enum master_effect_type type,
    uint64_t peer, const ProtobufCMessage *m, size_t more)
{
    size_t n = m ? protobuf_c_message_get_packed_size(m) : 0;
    struct master_effect *e = xmalloc(sizeof(*e) + n + more);
    *e = (struct master_effect){.after = core->last_mutation, .type = type, .peer = peer, .n = n};
    if (m)
        protobuf_c_message_pack(m, e->data);
    *core->effects_tail = e;
    core->effects_tail = &e->next;
    return e;
}

static void put_effect(struct master_core *core, enum master_effect_type type, uint64_t peer,
    const ProtobufCMessage *m)
{
    (void)put_effect_with(core, type, peer, m, 0);
}

struct master_effect *master_core_take_effect(struct master_core *core, uint64_t durable)
{
    struct master_effect *e = core->effects;
    if (!e || e->after > durable)
        return NULL;
    core->effects = e->next;
    if (!core->effects)
        core->effects_tail = &core->effects;
    e->next = NULL;
    return e;
}

void send_link(struct master_core *core, uint64_t link, Dcos__Internal__MasterRecord *rec)
{
    rec->has_epoch = true;
    rec->epoch = core->epoch;
    put_effect(core, EFFECT_AGENT_SEND, link, &rec->base);
}

void send_agent(struct master_core *core, const struct agent *a, Dcos__Internal__MasterRecord *rec)
{
    if (agent_connected(a))
        send_link(core, a->link, rec);
}

void close_link(struct master_core *core, uint64_t link)
{
    put_effect(core, EFFECT_AGENT_CLOSE, link, NULL);
}

void send_stream(struct master_core *core, uint64_t stream, const Mesos__V1__Scheduler__Event *e)
{
    put_effect(core, EFFECT_SCHEDULER_SEND, stream, &e->base);
}

void send_event(struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Event *e)
{
    if (!f->connected)
        return;
    COUNT_KIND(f->stats.events, e->type);
    send_stream(core, f->stream, e);
}

void close_stream(struct master_core *core, uint64_t stream)
{
    put_effect(core, EFFECT_SCHEDULER_CLOSE, stream, NULL);
}

void send_error(struct master_core *core, uint64_t stream, const char *message)
{
    Mesos__V1__Scheduler__Event__Error error = MESOS__V1__SCHEDULER__EVENT__ERROR__INIT;
    error.message = (char *)(uintptr_t)message;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__ERROR;
    e.error = &error;
    send_stream(core, stream, &e);
    close_stream(core, stream);
}

void send_operator_event(struct master_core *core, const Mesos__V1__Master__Event *e)
{
    core->operator_events_made++;
    put_effect(core, EFFECT_OPERATOR_EVENT, 0, &e->base);
}

static const char *append_text(struct master_effect *e, size_t *used, const char *text)
{
    if (!text)
        return NULL;
    char *to = (char *)e->data + e->n + *used;
    size_t n = strlen(text) + 1;
    memcpy(to, text, n);
    *used += n;
    return to;
}

void send_operator_event_of(struct master_core *core, const Mesos__V1__Master__Event *event,
    const struct framework *f, const struct task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char *framework_user = f->info->user ? f->info->user : "";
    const char *user = t ? task_user(t, &arena) : NULL;
    core->operator_events_made++;
    struct master_effect *e = put_effect_with(core, EFFECT_OPERATOR_EVENT, 0, &event->base,
        strlen(framework_user) + 1 + (user ? strlen(user) + 1 : 0));
    size_t used = 0;
    e->framework_user = append_text(e, &used, framework_user);
    e->task_user = append_text(e, &used, user);
}
