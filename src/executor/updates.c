/* Status updates: made once, kept until acknowledged. */

#include "executor/executor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "wire/codec.h"

static bool is_terminal(Mesos__V1__TaskState s)
{
    return s == MESOS__V1__TASK_STATE__TASK_FINISHED || s == MESOS__V1__TASK_STATE__TASK_FAILED ||
           s == MESOS__V1__TASK_STATE__TASK_KILLED || s == MESOS__V1__TASK_STATE__TASK_ERROR;
}

static void fill_container_status(const struct task *t, TaskStatus *s, struct arena *arena)
{
    const struct executor *ex = t->ex;
    Mesos__V1__ContainerStatus *c = arena_new(arena, Mesos__V1__ContainerStatus);
    mesos__v1__container_status__init(c);
    c->container_id = t->container_id ? t->container_id : ex->container_id;
    c->has_executor_pid = true;
    c->executor_pid = (uint32_t)getpid();
    if (ex->o.agent_ip) {
        Mesos__V1__NetworkInfo__IPAddress *ip = arena_new(arena, Mesos__V1__NetworkInfo__IPAddress);
        mesos__v1__network_info__ipaddress__init(ip);
        ip->has_protocol = true;
        ip->protocol = strchr(ex->o.agent_ip, ':') ? MESOS__V1__NETWORK_INFO__PROTOCOL__IPv6
                                                   : MESOS__V1__NETWORK_INFO__PROTOCOL__IPv4;
        ip->ip_address = (char *)(uintptr_t)ex->o.agent_ip;
        Mesos__V1__NetworkInfo *n = arena_new(arena, Mesos__V1__NetworkInfo);
        mesos__v1__network_info__init(n);
        n->ip_addresses = arena_memdup(arena, &ip, sizeof ip);
        n->n_ip_addresses = 1;
        c->network_infos = arena_memdup(arena, &n, sizeof n);
        c->n_network_infos = 1;
    }
    s->container_status = c;
}

static void fill_limitation(TaskStatus *s, int64_t bytes, struct arena *arena)
{
    Mesos__V1__Value__Scalar *scalar = arena_new(arena, Mesos__V1__Value__Scalar);
    mesos__v1__value__scalar__init(scalar);
    scalar->has_value = true;
    scalar->value = (double)(bytes >> 20);
    Mesos__V1__Resource *r = arena_new(arena, Mesos__V1__Resource);
    mesos__v1__resource__init(r);
    r->name = arena_strdup(arena, "mem");
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__SCALAR;
    r->scalar = scalar;
    Mesos__V1__TaskResourceLimitation *l = arena_new(arena, Mesos__V1__TaskResourceLimitation);
    mesos__v1__task_resource_limitation__init(l);
    l->resources = arena_memdup(arena, &r, sizeof r);
    l->n_resources = 1;
    s->limitation = l;
}

void update_send(struct executor *ex, struct task *t, const struct update_text *text)
{
    struct update *u = xnew(struct update);
    random_bytes(u->uuid, sizeof u->uuid);
    uuid_make_v4(u->uuid);
    u->terminal = t && is_terminal(text->state);

    u->task = t;
    if (t)
        t->n_updates++;

    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__ExecutorID executor_id = MESOS__V1__EXECUTOR_ID__INIT;
    executor_id.value = (char *)(uintptr_t)ex->o.executor_id;
    TaskStatus s = MESOS__V1__TASK_STATUS__INIT;
    s.task_id = t ? t->info->task_id : (Mesos__V1__TaskID *)(uintptr_t)text->task_id;
    s.executor_id = &executor_id;
    s.has_state = s.has_source = s.has_timestamp = s.has_uuid = true;
    s.state = text->state;
    s.source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    s.timestamp = (double)clock_realtime_us() / (double)USEC_PER_SEC;
    s.uuid = (ProtobufCBinaryData){sizeof u->uuid, u->uuid};
    s.message = (char *)(uintptr_t)text->message;
    s.has_reason = text->has_reason;
    s.reason = text->reason;
    if (text->mem_limit_bytes > 0)
        fill_limitation(&s, text->mem_limit_bytes, &arena);
    if (t) {
        s.has_healthy = t->has_healthy;
        s.healthy = t->healthy;
        checks_fill(t, &s, &arena);
        fill_container_status(t, &s, &arena);
    }
    wire_pack(&s.base, &u->status);
    list_push(&ex->updates, &u->node);
    log_info("task update task=%s state=%d message=%s", s.task_id->value, (int)text->state,
        text->message ? text->message : "");
    /* An agent that is away has its own limit, the recovery timeout. */
    if (u->terminal && !tasks_live(ex) && ex->link == LINK_SUBSCRIBED)
        timer_start(&ex->ack_limit, TERMINAL_ACK_LIMIT_US);
    link_flush(ex);
}

void update_acknowledged(struct executor *ex, const ProtobufCBinaryData *uuid)
{
    LIST_FOREACH (u, &ex->updates, struct update, node) {
        if (uuid->len != sizeof u->uuid || memcmp(uuid->data, u->uuid, sizeof u->uuid) != 0)
            continue;
        if (ex->update_sent == u)
            ex->update_sent = NULL;
        struct task *t = u->task;
        update_free(u);
        if (t) {
            t->acknowledged = true;
            if (t->over && t->n_updates == 0)
                task_free(t);
        }
        break;
    }
    if (ex->launched && !tasks_live(ex) && list_empty(&ex->updates))
        executor_exit(ex, 0);
}

void update_free(struct update *u)
{
    list_remove(&u->node);
    if (u->task)
        u->task->n_updates--;
    buf_done(&u->status);
    free(u);
}
