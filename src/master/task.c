#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"
#include "wire/codec.h"

/* Task and executor records, compact: what does not change is one block of protobuf bytes. */

void unpack_into(const ProtobufCMessageDescriptor *type, const struct packed *p,
    struct arena *arena, ProtobufCMessage **ret)
{
    int r = wire_unpack(type, arena, p->p, p->n, ret, NULL);
    assert(r >= 0); /* our own bytes */
    (void)r;
}

struct task *core_task_new(struct framework *f, struct agent *a, const Mesos__V1__Task *info,
    struct client *client, struct resources *take_resources)
{
    size_t n = strlen(info->task_id->value) + 1;
    struct task *t = xcalloc(1, sizeof(*t) + n);
    memcpy(t->id, info->task_id->value, n);
    t->framework = f;
    t->client = client;
    t->agent = a;
    t->agent_id = name_ref(a->id);
    list_init(&t->agent_node);
    list_init(&t->place_node);
    resources_move(&t->resources, take_resources);
    resources_shrink(&t->resources);
    t->state = (uint8_t)info->state;
    Mesos__V1__Task fixed = *info;
    fixed.has_state = false;
    fixed.n_statuses = 0;
    fixed.statuses = NULL;
    fixed.has_status_update_state = false;
    fixed.has_status_update_uuid = false;
    /* Rebuilt when somebody looks. */
    fixed.n_resources = 0;
    fixed.resources = NULL;
    fixed.task_id = NULL;
    fixed.framework_id = NULL;
    fixed.agent_id = NULL;
    t->info = packed_new(&fixed.base);
    return t;
}

/* Only the memory: the task must be in no account. */
void core_task_free(struct task *t)
{
    list_remove(&t->agent_node);
    list_remove(&t->place_node);
    for (size_t i = 0; i < t->n_statuses; i++)
        free(t->statuses[i]);
    free(t->statuses);
    free(t->info);
    free(t->kill_policy);
    resources_done(&t->resources);
    name_unref(t->agent_id);
    free(t);
}

void task_add_active(struct master_core *core, struct task *t)
{
    map_put(&t->framework->tasks, t->id, t);
    list_push(&t->agent->tasks, &t->agent_node);
    t->agent->n_tasks++;
    t->place = TASK_ACTIVE;
    t->framework->stats.tasks_active[t->state & 15]++;
    if (!task_state_is_terminal((Mesos__V1__TaskState)t->state)) {
        t->charged = true;
        resources_add(&t->agent->used, &t->resources);
        resources_add(&t->framework->used, &t->resources);
        client_charge(core, t->client, &t->resources, +1);
        inverse_wake(core, t->agent);
    }
    core->change++;
}

void task_release(struct master_core *core, struct task *t)
{
    if (!t->charged)
        return;
    t->charged = false;
    resources_subtract(&t->agent->used, &t->resources);
    resources_subtract(&t->framework->used, &t->resources);
    client_charge(core, t->client, &t->resources, -1);
    agent_give_back(core, t->agent, &t->resources);
}

bool task_add_status(struct task *t, const Mesos__V1__TaskStatus *status)
{
    Mesos__V1__TaskStatus kept = *status;
    kept.has_data = false; /* belongs to the framework, not to the record */
    kept.task_id = NULL;   /* these two are put back when somebody looks */
    kept.agent_id = NULL;
    struct packed *p = packed_new(&kept.base);
    if (t->n_statuses) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        Mesos__V1__TaskStatus *last = task_last_status(t, &arena);
        if (last->state == status->state) {
            free(t->statuses[t->n_statuses - 1]);
            t->statuses[t->n_statuses - 1] = p;
            return false;
        }
    }
    if (t->n_statuses == TASK_STATUSES_MAX) {
        free(t->statuses[0]);
        memmove(t->statuses, t->statuses + 1, (TASK_STATUSES_MAX - 1) * sizeof(*t->statuses));
        t->n_statuses--;
    }
    t->statuses = xreallocarray(t->statuses, t->n_statuses + 1u, sizeof(*t->statuses));
    t->statuses[t->n_statuses++] = p;
    return true;
}

/* Operators are told of new states and of results of checks; what only repeats a state is silent.
 */
static bool is_news(const Mesos__V1__TaskStatus *status, bool new_state)
{
    return new_state ||
           (status->has_reason &&
               (status->reason ==
                       MESOS__V1__TASK_STATUS__REASON__REASON_TASK_CHECK_STATUS_UPDATED ||
                   status->reason ==
                       MESOS__V1__TASK_STATUS__REASON__REASON_TASK_HEALTH_CHECK_STATUS_UPDATED));
}

void task_transition(struct master_core *core, struct task *t, Mesos__V1__TaskState state,
    const Mesos__V1__TaskStatus *status)
{
    bool was_terminal = task_state_is_terminal((Mesos__V1__TaskState)t->state);
    bool new_state = status && task_add_status(t, status);
    /* What has ended stays ended: a late update of an earlier state changes nothing. */
    if (!was_terminal) {
        if (t->place == TASK_ACTIVE) {
            t->framework->stats.tasks_active[t->state & 15]--;
            t->framework->stats.tasks_active[state & 15]++;
        }
        if (task_state_is_terminal(state))
            COUNT_KIND(t->framework->stats.tasks_terminal, state);
        t->state = (uint8_t)state;
        if (task_state_is_terminal(state) && t->place == TASK_ACTIVE)
            task_release(core, t);
    }
    if (status && is_news(status, new_state))
        operator_task_updated(core, t, status);
    core->change++;
}

static void leave_place(struct master_core *core, struct task *t)
{
    struct framework *f = t->framework;
    if (t->place == TASK_ACTIVE) {
        task_release(core, t);
        f->stats.tasks_active[t->state & 15]--;
        map_remove(&f->tasks, t->id);
        list_remove(&t->agent_node);
        t->agent->n_tasks--;
        node_check_drained(core, t->agent);
        t->agent = NULL;
        if (t->executor)
            t->executor->n_tasks--;
        t->executor = NULL;
    } else if (t->place == TASK_UNREACHABLE_PLACE) {
        map_remove(&f->unreachable_by_id, t->id);
        list_remove(&t->place_node);
        f->n_unreachable--;
    }
    t->client = NULL;
    core->change++;
}

void task_complete(struct master_core *core, struct task *t)
{
    struct framework *f = t->framework;
    leave_place(core, t);
    t->place = TASK_COMPLETED;
    list_push(&f->completed, &t->place_node);
    f->n_completed++;
    while (f->n_completed > core->config.max_completed_tasks) {
        struct task *oldest = list_first(&f->completed, struct task, place_node);
        f->n_completed--;
        core_task_free(oldest);
    }
}

void task_make_unreachable(struct master_core *core, struct task *t)
{
    struct framework *f = t->framework;
    leave_place(core, t);
    t->place = TASK_UNREACHABLE_PLACE;
    map_put(&f->unreachable_by_id, t->id, t);
    list_push(&f->unreachable, &t->place_node);
    f->n_unreachable++;
    while (f->n_unreachable > core->config.max_unreachable_tasks) {
        struct task *oldest = list_first(&f->unreachable, struct task, place_node);
        map_remove(&f->unreachable_by_id, oldest->id);
        f->n_unreachable--;
        core_task_free(oldest);
    }
}

void task_send_kill(struct master_core *core, const struct task *t)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__FrameworkID framework_id = MESOS__V1__FRAMEWORK_ID__INIT;
    framework_id.value = t->framework->id->text;
    Mesos__V1__TaskID task_id = MESOS__V1__TASK_ID__INIT;
    task_id.value = (char *)(uintptr_t)t->id;
    Dcos__Internal__KillTask kill = DCOS__INTERNAL__KILL_TASK__INIT;
    kill.framework_id = &framework_id;
    kill.task_id = &task_id;
    if (t->kill_policy) {
        ProtobufCMessage *m;
        unpack_into(&mesos__v1__kill_policy__descriptor, t->kill_policy, &arena, &m);
        kill.kill_policy = (Mesos__V1__KillPolicy *)m;
    }
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.kill_task = &kill;
    send_agent(core, t->agent, &rec);
}

/* ---- reading ---- */

static Mesos__V1__TaskID *task_id_new(const struct task *t, struct arena *arena)
{
    Mesos__V1__TaskID *id = arena_alloc(arena, sizeof(*id));
    mesos__v1__task_id__init(id);
    id->value = arena_strdup(arena, t->id);
    return id;
}

static Mesos__V1__AgentID *agent_id_new(const struct task *t, struct arena *arena)
{
    Mesos__V1__AgentID *id = arena_alloc(arena, sizeof(*id));
    mesos__v1__agent_id__init(id);
    id->value = arena_strdup(arena, t->agent_id->text);
    return id;
}

Mesos__V1__TaskStatus *task_status_at(const struct task *t, size_t i, struct arena *arena)
{
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__task_status__descriptor, t->statuses[i], arena, &m);
    Mesos__V1__TaskStatus *status = (Mesos__V1__TaskStatus *)m;
    status->task_id = task_id_new(t, arena);
    status->agent_id = agent_id_new(t, arena);
    return status;
}

Mesos__V1__TaskStatus *task_last_status(const struct task *t, struct arena *arena)
{
    return t->n_statuses ? task_status_at(t, t->n_statuses - 1u, arena) : NULL;
}

Mesos__V1__Task *task_to_wire(const struct task *t, struct arena *arena)
{
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__task__descriptor, t->info, arena, &m);
    Mesos__V1__Task *task = (Mesos__V1__Task *)m;
    task->task_id = task_id_new(t, arena);
    task->agent_id = agent_id_new(t, arena);
    task->framework_id = arena_alloc(arena, sizeof(*task->framework_id));
    mesos__v1__framework_id__init(task->framework_id);
    task->framework_id->value = arena_strdup(arena, t->framework->id->text);
    task->has_state = true;
    task->state = (Mesos__V1__TaskState)t->state;
    task->resources = resources_to_wire(&t->resources, 0, arena, &task->n_resources);
    task->statuses = arena_new_array(arena, Mesos__V1__TaskStatus *, t->n_statuses + 1u);
    for (size_t i = 0; i < t->n_statuses; i++)
        task->statuses[task->n_statuses++] = task_status_at(t, i, arena);
    if (t->forwarded) {
        task->has_status_update_state = true;
        task->status_update_state = (Mesos__V1__TaskState)t->forwarded_state;
        task->has_status_update_uuid = true;
        task->status_update_uuid.data = arena_memdup(arena, t->uuid, sizeof(t->uuid));
        task->status_update_uuid.len = sizeof(t->uuid);
    }
    return task;
}

/* ---- updates made by the master ---- */

void count_task_state(struct master_core *core, const Mesos__V1__TaskStatus *status)
{
    if ((unsigned)status->state < ARRAY_SIZE(core->stats.task_states))
        core->stats.task_states[status->state]++;
    if (!status->has_reason || !status->has_source)
        return;
    const char *reason = task_reason_name_v0(status->reason);
    const char *source = task_source_name_v0(status->source);
    if (!reason || !source)
        return;
    char key[200];
    snprintf(key, sizeof(key), "%s/%s/%s", task_state_name(status->state), source, reason);
    for (char *p = key; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    struct reason_count *c = map_get(&core->stats.task_reasons, key);
    if (!c) {
        c = xcalloc(1, sizeof(*c) + strlen(key) + 1);
        memcpy(c->key, key, strlen(key) + 1);
        map_put(&core->stats.task_reasons, c->key, c);
    }
    c->n++;
}

void send_master_update(
    struct master_core *core, struct framework *f, const Mesos__V1__TaskStatus *status)
{
    if (status->reason != MESOS__V1__TASK_STATUS__REASON__REASON_RECONCILIATION)
        count_task_state(core, status);
    Mesos__V1__Scheduler__Event__Update update = MESOS__V1__SCHEDULER__EVENT__UPDATE__INIT;
    update.status = (Mesos__V1__TaskStatus *)(uintptr_t)status;
    Mesos__V1__Scheduler__Event e = MESOS__V1__SCHEDULER__EVENT__INIT;
    e.has_type = true;
    e.type = MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE;
    e.update = &update;
    send_event(core, f, &e);
}

/* ---- executors ---- */

struct executor *executor_find(const struct agent *a, const struct framework *f, const char *id)
{
    LIST_FOREACH (e, &a->executors, struct executor, agent_node) {
        if (e->framework == f && streq(e->id, id))
            return e;
    }
    return NULL;
}

struct executor *core_executor_new(struct master_core *core, struct framework *f, struct agent *a,
    const Mesos__V1__ExecutorInfo *info, struct client *client, struct resources *take_resources)
{
    size_t n = strlen(info->executor_id->value) + 1;
    struct executor *e = xcalloc(1, sizeof(*e) + n);
    memcpy(e->id, info->executor_id->value, n);
    e->framework = f;
    e->agent = a;
    e->client = client;
    e->info = packed_new(&info->base);
    resources_move(&e->resources, take_resources);
    resources_shrink(&e->resources);
    list_init(&e->agent_node);
    list_init(&e->framework_node);
    list_push(&a->executors, &e->agent_node);
    list_push(&f->executors, &e->framework_node);
    resources_add(&a->used, &e->resources);
    resources_add(&f->used, &e->resources);
    client_charge(core, client, &e->resources, +1);
    core->change++;
    return e;
}

void executor_remove(struct master_core *core, struct executor *e)
{
    LIST_FOREACH (t, &e->agent->tasks, struct task, agent_node) {
        if (t->executor == e)
            t->executor = NULL;
    }
    list_remove(&e->agent_node);
    list_remove(&e->framework_node);
    resources_subtract(&e->agent->used, &e->resources);
    resources_subtract(&e->framework->used, &e->resources);
    client_charge(core, e->client, &e->resources, -1);
    agent_give_back(core, e->agent, &e->resources);
    resources_done(&e->resources);
    free(e->info);
    free(e);
    core->change++;
}
