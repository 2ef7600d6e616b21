#include "master/visible.h"

#include "base/alloc.h"

void view_init(struct view *v, const struct authorizer *authorizer, const struct auth_subject *who)
{
    *v = (struct view){
        .authorizer = authorizer,
        .who = who,
        .frameworks = authorizer_permits_all(authorizer, who, AUTH_VIEW_FRAMEWORK),
        .tasks = authorizer_permits_all(authorizer, who, AUTH_VIEW_TASK),
        .executors = authorizer_permits_all(authorizer, who, AUTH_VIEW_EXECUTOR),
        .roles = authorizer_permits_all(authorizer, who, AUTH_VIEW_ROLE),
        .flags = authorizer_permits(authorizer, who, AUTH_VIEW_FLAGS, NULL),
    };
}

void view_key(const struct view *v, struct buf *out)
{
    static const enum auth_action actions[] = {AUTH_VIEW_FRAMEWORK, AUTH_VIEW_TASK,
        AUTH_VIEW_EXECUTOR, AUTH_VIEW_ROLE, AUTH_VIEW_FLAGS, AUTH_GET_QUOTA,
        AUTH_GET_MAINTENANCE_STATUS, AUTH_GET_MAINTENANCE_SCHEDULE};
    authorizer_same(v->authorizer, v->who, actions, ARRAY_SIZE(actions), out);
}

bool view_framework_user(const struct view *v, const char *user)
{
    return v->frameworks ||
           authorizer_permits(v->authorizer, v->who, AUTH_VIEW_FRAMEWORK, user ? user : "");
}

bool view_task_user(const struct view *v, const char *framework_user, const char *user)
{
    return view_framework_user(v, framework_user) &&
           (v->tasks ||
               authorizer_permits(v->authorizer, v->who, AUTH_VIEW_TASK, user ? user : ""));
}

bool view_framework(const struct view *v, const struct framework *f)
{
    return view_framework_user(v, f->info->user);
}

bool view_task(const struct view *v, const struct task *t)
{
    if (v->tasks)
        return view_framework(v, t->framework);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    return view_task_user(v, t->framework->info->user, task_user(t, &arena));
}

bool view_executor(const struct view *v, const struct executor *e)
{
    if (v->executors)
        return view_framework(v, e->framework);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__executor_info__descriptor, e->info, &arena, &m);
    const Mesos__V1__CommandInfo *command = ((const Mesos__V1__ExecutorInfo *)m)->command;
    const char *user = command && command->user ? command->user : e->framework->info->user;
    return view_framework(v, e->framework) &&
           authorizer_permits(v->authorizer, v->who, AUTH_VIEW_EXECUTOR, user ? user : "");
}

bool view_role(const struct view *v, const char *role)
{
    return v->roles || authorizer_permits(v->authorizer, v->who, AUTH_VIEW_ROLE, role);
}

static bool view_resource(const struct view *v, const Mesos__V1__Resource *r)
{
    if (r->allocation_info && r->allocation_info->role && !view_role(v, r->allocation_info->role))
        return false;
    if (r->n_reservations && r->reservations[r->n_reservations - 1]->role)
        return view_role(v, r->reservations[r->n_reservations - 1]->role);
    return !r->role || streq(r->role, "*") || view_role(v, r->role);
}

size_t view_resources(const struct view *v, Mesos__V1__Resource **list, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (v->roles || view_resource(v, list[i]))
            list[kept++] = list[i];
    return kept;
}

Mesos__V1__AgentInfo *view_agent_info(
    const struct view *v, Mesos__V1__AgentInfo *info, struct arena *arena)
{
    if (v->roles || !info || !info->n_resources)
        return info;
    Mesos__V1__AgentInfo *copy = arena_memdup(arena, info, sizeof(*info));
    copy->resources = arena_memdup(
        arena, info->resources, info->n_resources * sizeof(*info->resources));
    copy->n_resources = view_resources(v, copy->resources, info->n_resources);
    return copy;
}

void view_agent(
    const struct view *v, Mesos__V1__Master__Response__GetAgents__Agent *agent, struct arena *arena)
{
    if (v->roles)
        return;
    agent->agent_info = view_agent_info(v, agent->agent_info, arena);
    agent->n_total_resources = view_resources(v, agent->total_resources, agent->n_total_resources);
    agent->n_allocated_resources = view_resources(
        v, agent->allocated_resources, agent->n_allocated_resources);
    agent->n_offered_resources = view_resources(
        v, agent->offered_resources, agent->n_offered_resources);
}
