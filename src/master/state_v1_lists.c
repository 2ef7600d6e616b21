#include <string.h>

#include "base/alloc.h"
#include "master/shell.h"
#include "master/state_json.h"

/*
 * The large answers of the v1 API. A list is written object by object, so that memory for one
 * object is enough in JSON, and for the answer's own bytes in protobuf. In JSON the lists are shown
 * even when they are empty.
 */

/* Where objects go. */
struct sink {
    struct json_writer *w;
    struct buf *packed; /* instead: protobuf, each object as a field */
    unsigned field;
    struct buf scratch;
};

static void put_varint(struct buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_putc(b, (char)(v | 0x80));
        v >>= 7;
    }
    buf_putc(b, (char)v);
}

static void put_bytes(struct buf *b, unsigned field, const struct buf *bytes)
{
    enum { LENGTH_DELIMITED = 2 };
    put_varint(b, (uint64_t)field << 3 | LENGTH_DELIMITED);
    put_varint(b, bytes->n);
    buf_append(b, bytes->p, bytes->n);
}

static void put(struct sink *to, const ProtobufCMessage *m)
{
    if (to->w) {
        wire_to_json(to->w, m);
        return;
    }
    buf_clear(&to->scratch);
    wire_pack(m, &to->scratch);
    put_bytes(to->packed, to->field, &to->scratch);
}

/* ---- the objects ---- */

static void put_task(const struct operator_call *c, struct sink *to, const struct task *t)
{
    if (!view_task(&c->view, t))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    put(to, &task_to_wire(t, &arena)->base);
}

static void each_active_task(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->frameworks) {
        const struct framework *f = e->value;
        size_t pos = 0;
        struct map_entry *te;
        while ((te = map_next(&f->tasks, &pos)))
            put_task(c, to, te->value);
    }
}

static void each_unreachable_task(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->frameworks) {
        const struct framework *f = e->value;
        LIST_FOREACH (t, &f->unreachable, struct task, place_node)
            put_task(c, to, t);
    }
}

static void each_completed_task(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->frameworks) {
        const struct framework *f = e->value;
        LIST_FOREACH (t, &f->completed, struct task, place_node)
            put_task(c, to, t);
    }
    LIST_FOREACH (f, &c->s->core->completed_frameworks, struct framework, node)
        LIST_FOREACH (t, &f->completed, struct task, place_node)
            put_task(c, to, t);
}

static void each_executor(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->frameworks) {
        const struct framework *f = e->value;
        LIST_FOREACH (x, &f->executors, struct executor, framework_node) {
            if (!view_executor(&c->view, x))
                continue;
            _cleanup_arena_ struct arena arena = ARENA_INIT;
            Mesos__V1__Master__Response__GetExecutors__Executor w =
                MESOS__V1__MASTER__RESPONSE__GET_EXECUTORS__EXECUTOR__INIT;
            ProtobufCMessage *m;
            unpack_into(&mesos__v1__executor_info__descriptor, x->info, &arena, &m);
            w.executor_info = (Mesos__V1__ExecutorInfo *)m;
            w.agent_id = x->agent->info->id;
            put(to, &w.base);
        }
    }
}

static void put_framework(const struct operator_call *c, struct sink *to, const struct framework *f)
{
    if (!view_framework(&c->view, f))
        return;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    put(to, &framework_to_wire(f, &arena)->base);
}

static void each_framework(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->frameworks)
        put_framework(c, to, e->value);
}

static void each_completed_framework(const struct operator_call *c, struct sink *to)
{
    LIST_FOREACH (f, &c->s->core->completed_frameworks, struct framework, node)
        put_framework(c, to, f);
}

static void each_agent(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->agents) {
        const struct agent *a = e->value;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (a->state != AGENT_REGISTERED)
            continue;
        Mesos__V1__Master__Response__GetAgents__Agent *w = agent_to_wire(a, &arena);
        view_agent(&c->view, w, &arena);
        put(to, &w->base);
    }
}

static void each_recovered_agent(const struct operator_call *c, struct sink *to)
{
    MAP_FOREACH (e, &c->s->core->agents) {
        const struct agent *a = e->value;
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        if (a->state != AGENT_REGISTERED)
            put(to, &view_agent_info(&c->view, a->info, &arena)->base);
    }
}

/* ---- the answers ---- */

typedef void (*each)(const struct operator_call *c, struct sink *to);

static const struct part {
    Mesos__V1__Master__Call__Type call;
    Mesos__V1__Master__Response__Type response;
    const char *name; /* of the field in Response and in GetState */
    const ProtobufCMessageDescriptor *type;
    struct {
        const char *name;
        each each;
    } lists[3];
} parts[] = {
    {MESOS__V1__MASTER__CALL__TYPE__GET_TASKS, MESOS__V1__MASTER__RESPONSE__TYPE__GET_TASKS,
        "get_tasks", &mesos__v1__master__response__get_tasks__descriptor,
        {{"tasks", each_active_task}, {"unreachable_tasks", each_unreachable_task},
            {"completed_tasks", each_completed_task}}},
    {MESOS__V1__MASTER__CALL__TYPE__GET_EXECUTORS, MESOS__V1__MASTER__RESPONSE__TYPE__GET_EXECUTORS,
        "get_executors", &mesos__v1__master__response__get_executors__descriptor,
        {{"executors", each_executor}}},
    {MESOS__V1__MASTER__CALL__TYPE__GET_FRAMEWORKS,
        MESOS__V1__MASTER__RESPONSE__TYPE__GET_FRAMEWORKS, "get_frameworks",
        &mesos__v1__master__response__get_frameworks__descriptor,
        {{"frameworks", each_framework}, {"completed_frameworks", each_completed_framework}}},
    {MESOS__V1__MASTER__CALL__TYPE__GET_AGENTS, MESOS__V1__MASTER__RESPONSE__TYPE__GET_AGENTS,
        "get_agents", &mesos__v1__master__response__get_agents__descriptor,
        {{"agents", each_agent}, {"recovered_agents", each_recovered_agent}}},
};

static unsigned field_number(const ProtobufCMessageDescriptor *type, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, name)->id;
}

static void write_part(const struct operator_call *c, const struct part *p, struct json_writer *w)
{
    struct sink to = {.w = w};
    jw_key(w, p->name);
    jw_begin_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(p->lists) && p->lists[i].each; i++) {
        jw_key(w, p->lists[i].name);
        jw_begin_array(w);
        p->lists[i].each(c, &to);
        jw_end_array(w);
    }
    jw_end_object(w);
}

/* As a field of a message of type `in`. */
static void pack_part(const struct operator_call *c, const struct part *p,
    const ProtobufCMessageDescriptor *in, struct buf *out)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct sink to = {.packed = &body};
    for (size_t i = 0; i < ARRAY_SIZE(p->lists) && p->lists[i].each; i++) {
        to.field = field_number(p->type, p->lists[i].name);
        p->lists[i].each(c, &to);
    }
    put_bytes(out, field_number(in, p->name), &body);
    buf_done(&to.scratch);
}

static void write_state_v1(const struct operator_call *c, struct json_writer *w)
{
    jw_key(w, "get_state");
    jw_begin_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        write_part(c, &parts[i], w);
    jw_end_object(w);
}

static void pack_state_v1(
    const struct operator_call *c, const ProtobufCMessageDescriptor *in, struct buf *out)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        pack_part(c, &parts[i], &mesos__v1__master__response__get_state__descriptor, &body);
    put_bytes(out, field_number(in, "get_state"), &body);
}

static const struct part *find_part(Mesos__V1__Master__Call__Type type)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (parts[i].call == type)
            return &parts[i];
    return NULL;
}

bool is_list_call(Mesos__V1__Master__Call__Type type)
{
    return type == MESOS__V1__MASTER__CALL__TYPE__GET_STATE || find_part(type);
}

void write_list_response(
    const struct operator_call *c, Mesos__V1__Master__Call__Type type, struct json_writer *w)
{
    const struct part *p = find_part(type);
    Mesos__V1__Master__Response head = MESOS__V1__MASTER__RESPONSE__INIT;
    head.has_type = true;
    head.type = p ? p->response : MESOS__V1__MASTER__RESPONSE__TYPE__GET_STATE;
    if (c->json) {
        jw_begin_object(w);
        jw_field_string(w, "type",
            protobuf_c_enum_descriptor_get_value(
                &mesos__v1__master__response__type__descriptor, (int)head.type)
                ->name);
        if (p)
            write_part(c, p, w);
        else
            write_state_v1(c, w);
        jw_end_object(w);
        return;
    }
    wire_pack(&head.base, w->out);
    if (p)
        pack_part(c, p, &mesos__v1__master__response__descriptor, w->out);
    else
        pack_state_v1(c, &mesos__v1__master__response__descriptor, w->out);
}

void write_subscribed(const struct operator_call *c, double heartbeat_s, struct json_writer *w)
{
    if (c->json) {
        jw_begin_object(w);
        jw_field_string(w, "type", "SUBSCRIBED");
        jw_key(w, "subscribed");
        jw_begin_object(w);
        write_state_v1(c, w);
        jw_field_double(w, "heartbeat_interval_seconds", heartbeat_s);
        jw_end_object(w);
        jw_end_object(w);
        return;
    }
    Mesos__V1__Master__Event head = MESOS__V1__MASTER__EVENT__INIT;
    head.has_type = true;
    head.type = MESOS__V1__MASTER__EVENT__TYPE__SUBSCRIBED;
    Mesos__V1__Master__Event__Subscribed interval = MESOS__V1__MASTER__EVENT__SUBSCRIBED__INIT;
    interval.has_heartbeat_interval_seconds = true;
    interval.heartbeat_interval_seconds = heartbeat_s;
    _cleanup_buf_ struct buf body = BUF_INIT;
    pack_state_v1(c, &mesos__v1__master__event__subscribed__descriptor, &body);
    wire_pack(&interval.base, &body);
    wire_pack(&head.base, w->out);
    put_bytes(w->out, field_number(&mesos__v1__master__event__descriptor, "subscribed"), &body);
}
