#include "agent/view.h"

/* Containers of executors and, when asked for, those of the tasks of pods. */

typedef Mesos__V1__Agent__Response__GetContainers GetContainers;
typedef Mesos__V1__Agent__Response__GetContainers__Container Container;

static Container *add(GetContainers *g, struct arena *arena)
{
    Container *c = arena_new(arena, Container);
    mesos__v1__agent__response__get_containers__container__init(c);
    g->containers[g->n_containers++] = c;
    return c;
}

static void add_executor(
    struct agent *a, const struct agent_executor *e, GetContainers *g, struct arena *arena)
{
    Container *c = add(g, arena);
    c->framework_id = arena_new(arena, Mesos__V1__FrameworkID);
    mesos__v1__framework_id__init(c->framework_id);
    c->framework_id->value = e->framework->id;
    c->executor_id = arena_new(arena, Mesos__V1__ExecutorID);
    mesos__v1__executor_id__init(c->executor_id);
    c->executor_id->value = e->id;
    const Mesos__V1__ExecutorInfo *info = view_executor_info(e, arena);
    c->executor_name = info ? info->name : NULL;
    c->container_status = view_container_status(a, e, arena);
    c->container_id = c->container_status->container_id;
    c->resource_statistics = view_statistics(a, e, arena);
}

/* What its executor said of it. It has no statistics of its own. */
static void add_nested(const struct agent_task *t, GetContainers *g, struct arena *arena)
{
    ProtobufCMessage *m;
    if (t->phase != AGENT_TASK_LAUNCHED || !t->status.n ||
        wire_unpack(
            &mesos__v1__task_status__descriptor, arena, t->status.p, t->status.n, &m, NULL) < 0)
        return;
    Mesos__V1__ContainerStatus *status = ((Mesos__V1__TaskStatus *)m)->container_status;
    if (!status || !status->container_id || !status->container_id->parent)
        return;
    Container *c = add(g, arena);
    c->container_id = status->container_id;
    c->container_status = status;
}

GetContainers *view_containers(
    struct agent *a, const struct http_request *req, bool nested, struct arena *arena)
{
    GetContainers *g = arena_new(arena, GetContainers);
    mesos__v1__agent__response__get_containers__init(g);
    size_t most = map_size(&a->core->containers) + a->core->n_tasks;
    g->containers = arena_new_array(arena, Container *, most + 1);
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED || !agent_sees_container(a, req, e))
            continue;
        add_executor(a, e, g, arena);
        if (!nested)
            continue;
        LIST_FOREACH (t, &e->tasks, struct agent_task, node)
            add_nested(t, g, arena);
    }
    return g;
}
