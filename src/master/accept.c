#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "master/accept.h"
#include "wire/codec.h"

/*
 * ACCEPT: the offers of one agent and role become one pool, operations take from it in order, what
 * is left goes back under the call's filter.
 */

typedef Mesos__V1__Offer__Operation Operation;

/* ---- refusals ---- */

static void refuse_task(struct master_core *core, struct framework *f, const char *task_id,
    const char *agent_id, Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason,
    const char *message)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Mesos__V1__TaskStatus *status = task_status_new(&arena, task_id ? task_id : "", state,
        MESOS__V1__TASK_STATUS__SOURCE__SOURCE_MASTER, (int)reason, message, agent_id, core->now);
    send_master_update(core, f, status);
}

struct task_list {
    Mesos__V1__TaskInfo **items;
    size_t n;
};

static struct task_list tasks_of(const Operation *op)
{
    if (op->type == MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH && op->launch)
        return (struct task_list){op->launch->task_infos, op->launch->n_task_infos};
    if (op->type == MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH_GROUP && op->launch_group &&
        op->launch_group->task_group)
        return (struct task_list){
            op->launch_group->task_group->tasks, op->launch_group->task_group->n_tasks};
    return (struct task_list){0};
}

static bool is_launch(const Operation *op)
{
    return op->type == MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH ||
           op->type == MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH_GROUP;
}

static void refuse_tasks(struct master_core *core, struct framework *f, const Operation *op,
    Mesos__V1__TaskState state, Mesos__V1__TaskStatus__Reason reason, const char *message)
{
    struct task_list tasks = tasks_of(op);
    for (size_t i = 0; i < tasks.n; i++)
        refuse_task(core, f, tasks.items[i]->task_id ? tasks.items[i]->task_id->value : NULL,
            tasks.items[i]->agent_id ? tasks.items[i]->agent_id->value : NULL, state, reason,
            message);
}

static void refuse_all(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Accept *accept, const char *message)
{
    for (size_t i = 0; i < accept->n_offer_ids; i++) {
        struct offer *o = accept->offer_ids[i]->value
                              ? map_get(&core->offers, accept->offer_ids[i]->value)
                              : NULL;
        if (o)
            offer_discard(core, o, false);
    }
    Mesos__V1__TaskState state = task_state_for(
        MESOS__V1__TASK_STATE__TASK_DROPPED, f->capabilities);
    for (size_t i = 0; i < accept->n_operations; i++) {
        const Operation *op = accept->operations[i];
        if (is_launch(op))
            refuse_tasks(
                core, f, op, state, MESOS__V1__TASK_STATUS__REASON__REASON_INVALID_OFFERS, message);
        else
            refuse_operation(core, f, op, message);
    }
}

/* ---- the offers ---- */

static int check_offers(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__Accept *accept, struct error *err)
{
    if (accept->n_offer_ids == 0)
        return error_set(err, -EINVAL, "No offers specified");
    struct map seen = MAP_INIT;
    int r = 0;
    for (size_t i = 0; i < accept->n_offer_ids && r == 0; i++) {
        char *id = accept->offer_ids[i]->value;
        if (!id)
            r = error_set(err, -EINVAL, "Offer id is missing");
        else if (map_put(&seen, id, id))
            r = error_set(err, -EINVAL, "Duplicate offer %s in offer list", id);
    }
    map_done(&seen);
    const struct offer *first = NULL;
    for (size_t i = 0; i < accept->n_offer_ids && r == 0; i++) {
        const char *id = accept->offer_ids[i]->value;
        const struct offer *o = map_get(&core->offers, id);
        if (!o)
            r = error_set(err, -EINVAL, "Offer %s is no longer valid", id);
        else if (o->framework != f)
            r = error_set(err, -EINVAL,
                "Offer %s has invalid framework %s while framework %s is expected", id,
                o->framework->id->text, f->id->text);
        else if (first && o->client != first->client)
            r = error_set(err, -EINVAL,
                "Aggregated offers must be allocated to the same role. Offer %s uses role '%s' "
                "but another is using role '%s'",
                id, o->client->role->name, first->client->role->name);
        else if (first && o->agent != first->agent)
            r = error_set(err, -EINVAL,
                "Aggregated offers must belong to one single agent. Offer %s uses agent %s and "
                "another uses agent %s",
                id, o->agent->id->text, first->agent->id->text);
        first = first ? first : o;
    }
    return r;
}

/* ---- the pool ---- */

static bool has_shared(const struct resources *r)
{
    RESOURCES_FOREACH(x, r)
    if (x->kind->shared)
        return true;
    return false;
}

bool pool_contains(const struct pool *p, const struct resources *r)
{
    if (!has_shared(r))
        return resources_contains(&p->left, r);
    _cleanup_resources_ struct resources own = RESOURCES_INIT;
    RESOURCES_FOREACH(x, r)
    if (x->kind->shared && !resources_contains_one(&p->left, x))
        return false;
    resources_filter(r, resource_is_not_shared, NULL, &own);
    return resources_contains(&p->left, &own);
}

void pool_take(struct pool *p, const struct resources *r)
{
    RESOURCES_FOREACH(x, r)
    if (!x->kind->shared)
        resources_subtract_one(&p->left, x);
}

static void pool_add_offer(struct pool *p, struct offer *o)
{
    p->client = o->client;
    p->agent = o->agent;
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    offer_consume(p->core, o, &r);
    RESOURCES_FOREACH(x, &r)
    if (!x->kind->shared || !resources_contains_one(&p->left, x))
        resources_add_one(&p->left, x);
}

/* What operations made was not declined: it goes back without a filter. */
static void give_back_made(struct pool *p)
{
    _cleanup_resources_ struct resources made = RESOURCES_INIT;
    resources_copy(&made, &p->left);
    resources_subtract(&made, &p->before);
    resources_subtract(&p->left, &made);
    resources_add(&made, &p->later);
    agent_give_back(p->core, p->agent, &made);
}

/* ---- launching ---- */

static void upgrade_task(struct pool *p, Mesos__V1__TaskInfo *task, bool fill_framework_id)
{
    const char *role = p->client->role->name;
    resources_wire_upgrade(task->resources, task->n_resources, role, &p->arena);
    if (task->executor) {
        resources_wire_upgrade(
            task->executor->resources, task->executor->n_resources, role, &p->arena);
        if (fill_framework_id && !task->executor->framework_id)
            task->executor->framework_id = p->f->info->id;
    }
    task_infer_health_check_type(task);
}

static int check_unique(const struct framework *f, const char *task_id, struct error *err)
{
    if (map_get(&f->tasks, task_id) || map_get(&f->unreachable_by_id, task_id))
        return error_set(err, -EINVAL, "Task has duplicate ID: %s", task_id);
    return 0;
}

/* An executor of the same id that runs there must be the same. */
static int check_executor(
    const struct pool *p, const Mesos__V1__ExecutorInfo *info, struct error *err)
{
    const struct executor *known = executor_find(p->agent, p->f, info->executor_id->value);
    if (!known)
        return 0;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__executor_info__descriptor, known->info, &arena, &m);
    if (wire_equal(m, &info->base))
        return 0;
    return error_set(err, -EINVAL,
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID %s",
        info->executor_id->value);
}

/* Resources of a task or executor in allocated form. */
static int take_resources(struct pool *p, Mesos__V1__Resource *const *list, size_t n,
    struct resources *ret, struct error *err)
{
    _cleanup_resources_ struct resources r = RESOURCES_INIT;
    int status = resources_from_wire(list, n, &r, err);
    if (status < 0)
        return status;
    resources_move(ret, &r);
    return 0;
}

static int check_fits(
    const struct pool *p, const struct resources *total, const char *what, struct error *err)
{
    if (pool_contains(p, total))
        return 0;
    _cleanup_buf_ struct buf a = BUF_INIT_MAX(256), b = BUF_INIT_MAX(256);
    resources_format(total, &a);
    resources_format(&p->left, &b);
    return error_set(err, -EINVAL, "%s uses more resources %s than available %s", what,
        buf_cstr(&a), buf_cstr(&b));
}

static void record_task(struct pool *p, const Mesos__V1__TaskInfo *info,
    const Mesos__V1__ExecutorInfo *executor_info, struct executor *executor,
    struct resources *resources)
{
    Mesos__V1__Task task = MESOS__V1__TASK__INIT;
    task.name = info->name;
    task.task_id = info->task_id;
    task.framework_id = p->f->info->id;
    task.agent_id = p->agent->info->id;
    if (executor_info)
        task.executor_id = executor_info->executor_id;
    task.has_state = true;
    task.state = MESOS__V1__TASK_STATE__TASK_STAGING;
    task.labels = info->labels;
    task.discovery = info->discovery;
    task.container = info->container;
    task.health_check = info->health_check;
    task.kill_policy = info->kill_policy;
    const Mesos__V1__CommandInfo *command = info->command   ? info->command
                                            : executor_info ? executor_info->command
                                                            : NULL;
    task.user = command && command->user ? command->user : p->f->info->user;
    /* Limits of both messages are maps of the same entries. */
    task.n_limits = info->n_limits;
    task.limits = arena_new_array(&p->arena, Mesos__V1__Task__LimitsEntry *, info->n_limits + 1);
    for (size_t i = 0; i < info->n_limits; i++) {
        task.limits[i] = arena_alloc(&p->arena, sizeof(*task.limits[i]));
        mesos__v1__task__limits_entry__init(task.limits[i]);
        task.limits[i]->key = info->limits[i]->key;
        task.limits[i]->value = info->limits[i]->value;
    }
    struct task *t = core_task_new(p->f, p->agent, &task, p->client, resources);
    t->executor = executor;
    if (executor)
        executor->n_tasks++;
    task_add_active(p->core, t);
    operator_task_added(p->core, t);
}

/* With --no-root_submissions neither a task nor its executor may ask for root. That the framework's
 * own user is another is checked when it subscribes. */
static int check_root(
    const struct pool *p, const Mesos__V1__CommandInfo *command, struct error *err)
{
    if (p->core->config.root_submissions || !command || !command->user ||
        !streq(command->user, "root"))
        return 0;
    return error_set(err, -EINVAL, "User 'root' is not allowed without --root_submissions set");
}

static bool launch_task(struct pool *p, Mesos__V1__TaskInfo *info, struct error *err)
{
    upgrade_task(p, info, true);
    const struct task_context ctx = {.framework_id = p->f->id->text,
        .agent_id = p->agent->id->text,
        .framework_capabilities = p->f->capabilities,
        .agent_has_limits = p->agent->has_limits};
    _cleanup_resources_ struct resources r = RESOURCES_INIT, er = RESOURCES_INIT,
                                         total = RESOURCES_INIT;
    if (!info->task_id || task_validate(info, &ctx, err) < 0 ||
        check_unique(p->f, info->task_id->value, err) < 0 ||
        check_root(p, info->command, err) < 0 ||
        (info->executor && check_root(p, info->executor->command, err) < 0))
        return false;
    if (take_resources(p, info->resources, info->n_resources, &r, err) < 0)
        return false;
    struct executor *executor = NULL;
    bool new_executor = false;
    if (info->executor) {
        if (check_executor(p, info->executor, err) < 0)
            return false;
        executor = executor_find(p->agent, p->f, info->executor->executor_id->value);
        new_executor = !executor;
        if (new_executor &&
            take_resources(p, info->executor->resources, info->executor->n_resources, &er, err) < 0)
            return false;
    }
    resources_copy(&total, &r);
    resources_add(&total, &er);
    if (check_fits(p, &total, "Task", err) < 0)
        return false;

    pool_take(p, &total);
    if (new_executor)
        executor = core_executor_new(p->core, p->f, p->agent, info->executor, p->client, &er);
    Dcos__Internal__RunTask run = DCOS__INTERNAL__RUN_TASK__INIT;
    run.framework = p->f->info;
    run.task = info;
    run.has_launch_executor = info->executor != NULL;
    run.launch_executor = new_executor;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.run_task = &run;
    record_task(p, info, info->executor, executor, &r);
    send_agent(p->core, p->agent, &rec);
    return true;
}

/* One malformed resource spoils the whole operation. */
static int check_syntax(const Operation *op, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < op->launch->n_task_infos && r == 0; i++) {
        const Mesos__V1__TaskInfo *info = op->launch->task_infos[i];
        r = resources_validate(info->resources, info->n_resources, err);
        if (r == 0 && info->executor)
            r = resources_validate(info->executor->resources, info->executor->n_resources, err);
    }
    return r;
}

static void launch(struct pool *p, const Operation *op)
{
    struct error syntax = ERROR_INIT;
    if (check_syntax(op, &syntax) < 0) {
        refuse_tasks(p->core, p->f, op, MESOS__V1__TASK_STATE__TASK_ERROR,
            MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID, syntax.msg);
        return;
    }
    for (size_t i = 0; i < op->launch->n_task_infos; i++) {
        Mesos__V1__TaskInfo *info = op->launch->task_infos[i];
        struct error err = ERROR_INIT;
        if (task_authorize(p->core, p->f, info, &err) < 0)
            refuse_task(p->core, p->f, info->task_id ? info->task_id->value : NULL,
                p->agent->id->text, MESOS__V1__TASK_STATE__TASK_ERROR,
                MESOS__V1__TASK_STATUS__REASON__REASON_TASK_UNAUTHORIZED, err.msg);
        else if (!launch_task(p, info, &err))
            refuse_task(p->core, p->f, info->task_id ? info->task_id->value : NULL,
                p->agent->id->text, MESOS__V1__TASK_STATE__TASK_ERROR,
                MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID, err.msg);
    }
}

static int check_group(struct pool *p, Mesos__V1__ExecutorInfo *executor,
    Mesos__V1__TaskGroupInfo *group, struct resources *executor_resources, struct error *err)
{
    const struct task_context ctx = {.framework_id = p->f->id->text,
        .agent_id = p->agent->id->text,
        .framework_capabilities = p->f->capabilities,
        .agent_has_limits = p->agent->has_limits};
    int r = task_group_validate(group, executor, &ctx, err);
    if (r < 0)
        return r;
    r = check_executor(p, executor, err);
    if (r < 0)
        return r;
    r = check_root(p, executor->command, err);
    if (r < 0)
        return r;
    _cleanup_resources_ struct resources total = RESOURCES_INIT;
    if (!executor_find(p->agent, p->f, executor->executor_id->value)) {
        r = take_resources(p, executor->resources, executor->n_resources, executor_resources, err);
        if (r < 0)
            return r;
        resources_add(&total, executor_resources);
    }
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < group->n_tasks && r >= 0; i++) {
        Mesos__V1__TaskInfo *task = group->tasks[i];
        _cleanup_resources_ struct resources one = RESOURCES_INIT;
        r = check_unique(p->f, task->task_id->value, err);
        if (r >= 0)
            r = check_root(p, task->command, err);
        if (r >= 0 && map_put(&seen, task->task_id->value, task))
            r = error_set(err, -EINVAL, "Task has duplicate ID: %s", task->task_id->value);
        if (r >= 0)
            r = take_resources(p, task->resources, task->n_resources, &one, err);
        resources_add(&total, &one);
    }
    map_done(&seen);
    return r < 0 ? r : check_fits(p, &total, "Task group", err);
}

static void launch_group(struct pool *p, const Operation *op)
{
    Mesos__V1__ExecutorInfo *executor = op->launch_group->executor;
    Mesos__V1__TaskGroupInfo *group = op->launch_group->task_group;
    struct error err = ERROR_INIT;
    resources_wire_upgrade(
        executor->resources, executor->n_resources, p->client->role->name, &p->arena);
    for (size_t i = 0; i < group->n_tasks; i++) {
        upgrade_task(p, group->tasks[i], false);
        if (!group->tasks[i]->executor)
            group->tasks[i]->executor = executor;
    }
    for (size_t i = 0; i < group->n_tasks; i++) {
        if (task_authorize(p->core, p->f, group->tasks[i], &err) == 0)
            continue;
        refuse_tasks(p->core, p->f, op, MESOS__V1__TASK_STATE__TASK_ERROR,
            MESOS__V1__TASK_STATUS__REASON__REASON_TASK_GROUP_UNAUTHORIZED, err.msg);
        return;
    }
    _cleanup_resources_ struct resources er = RESOURCES_INIT;
    if (check_group(p, executor, group, &er, &err) < 0) {
        refuse_tasks(p->core, p->f, op, MESOS__V1__TASK_STATE__TASK_ERROR,
            MESOS__V1__TASK_STATUS__REASON__REASON_TASK_GROUP_INVALID, err.msg);
        return;
    }
    struct executor *e = executor_find(p->agent, p->f, executor->executor_id->value);
    bool new_executor = !e;
    if (new_executor) {
        pool_take(p, &er);
        e = core_executor_new(p->core, p->f, p->agent, executor, p->client, &er);
    }
    for (size_t i = 0; i < group->n_tasks; i++) {
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        (void)take_resources(
            p, group->tasks[i]->resources, group->tasks[i]->n_resources, &r, NULL); /* checked */
        pool_take(p, &r);
        record_task(p, group->tasks[i], executor, e, &r);
    }
    Dcos__Internal__RunTaskGroup run = DCOS__INTERNAL__RUN_TASK_GROUP__INIT;
    run.framework = p->f->info;
    run.executor = executor;
    run.has_launch_executor = true;
    run.launch_executor = new_executor;
    run.group = group;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.run_task_group = &run;
    send_agent(p->core, p->agent, &rec);
}

static void apply(struct pool *p, Operation *op)
{
    switch (op->type) {
    case MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH:
        if (op->id)
            refuse_tasks(p->core, p->f, op, MESOS__V1__TASK_STATE__TASK_ERROR,
                MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID,
                "Operation ID should not be set for LAUNCH");
        else if (op->launch)
            launch(p, op);
        break;
    case MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH_GROUP:
        if (op->id || !op->launch_group || !op->launch_group->executor ||
            !op->launch_group->executor->executor_id)
            refuse_tasks(p->core, p->f, op, MESOS__V1__TASK_STATE__TASK_ERROR,
                MESOS__V1__TASK_STATUS__REASON__REASON_TASK_GROUP_INVALID,
                op->id ? "Operation ID should not be set for LAUNCH_GROUP"
                       : "Expecting 'launch_group.executor' to be present");
        else if (op->launch_group->task_group)
            launch_group(p, op);
        break;
    case MESOS__V1__OFFER__OPERATION__TYPE__UNKNOWN:
        break;
    default:
        accept_operation(p, op);
        break;
    }
}

void handle_accept(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Accept *accept)
{
    struct error err = ERROR_INIT;
    if (check_offers(core, f, accept, &err) < 0) {
        refuse_all(core, f, accept, err.msg);
        return;
    }
    struct pool p = {.core = core, .f = f};
    for (size_t i = 0; i < accept->n_offer_ids; i++)
        pool_add_offer(&p, map_get(&core->offers, accept->offer_ids[i]->value));
    f->stats.offers_accepted += accept->n_offer_ids;
    for (size_t i = 0; i < accept->n_operations; i++) {
        COUNT_KIND(f->stats.operations, accept->operations[i]->type);
        apply(&p, accept->operations[i]);
    }
    int64_t duration = filters_duration_us(accept->filters);
    if (accept->n_operations == 0 || duration > 0)
        duration = MAX(duration, core->config.allocation_interval_us);
    if (p.changed)
        give_back_made(&p);
    filter_add(core, p.client, p.agent, &p.left, duration);
    agent_give_back(core, p.agent, &p.left);
    resources_done(&p.left);
    resources_done(&p.later);
    resources_done(&p.before);
    arena_done(&p.arena);
}
