/* What a CommandInfo becomes: arguments, environment, limits. */

#include "executor/executor.h"

#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/vec.h"

extern char **environ;

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const char *const *command_argv(
    const Mesos__V1__CommandInfo *c, struct arena *arena, const char **ret_file)
{
    const char *value = c->value ? c->value : "";
    if (!c->has_shell || c->shell) {
        const char **argv = arena_new_array(arena, const char *, 4);
        argv[0] = "sh";
        argv[1] = "-c";
        argv[2] = value;
        *ret_file = "/bin/sh";
        return argv;
    }
    const char **argv = arena_new_array(arena, const char *, c->n_arguments + 2);
    for (size_t i = 0; i < c->n_arguments; i++)
        argv[i] = c->arguments[i];
    if (c->n_arguments == 0)
        argv[0] = value;
    *ret_file = value;
    return argv;
}

/* The executor's own business, and what would let a task speak in its name. */
static bool is_private(const char *variable)
{
    static const char *const names[] = {"DCOS_STATUS_FILE=", "DCOS_OOM_FILE=", "DCOS_MOUNTS=",
        "MESOS_EXECUTOR_AUTHENTICATION_TOKEN="};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (has_prefix(variable, names[i]))
            return true;
    }
    return false;
}

struct env {
    VEC(const char *) items;
    struct arena *arena;
};

static void env_put(struct env *e, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return;
    size_t n = (size_t)(equals - text) + 1;
    VEC_FOREACH (item, &e->items) {
        if (strncmp(*item, text, n) == 0) {
            *item = text;
            return;
        }
    }
    vec_push(&e->items, text);
}

static void env_set(struct env *e, const char *name, const char *value)
{
    env_put(e, arena_printf(e->arena, "%s=%s", name, value));
}

static void env_add_command(struct env *e, const Mesos__V1__CommandInfo *c)
{
    if (!c || !c->environment)
        return;
    for (size_t i = 0; i < c->environment->n_variables; i++) {
        const Mesos__V1__Environment__Variable *v = c->environment->variables[i];
        if (!v->name || !*v->name || strchr(v->name, '='))
            continue;
        if (v->value) {
            env_set(e, v->name, v->value);
        } else if (v->secret && v->secret->value) {
            const ProtobufCBinaryData *d = &v->secret->value->data;
            env_set(e, v->name, arena_strndup(e->arena, (const char *)d->data, d->len));
        }
    }
}

const char *const *command_env(const struct task *t, const Mesos__V1__CommandInfo *command,
    const Mesos__V1__CommandInfo *on_top, struct arena *arena)
{
    struct env e = {.arena = arena};
    env_put(&e, DEFAULT_PATH);
    for (char **p = environ; *p; p++) {
        if (!is_private(*p))
            env_put(&e, *p);
    }
    const TaskInfo *info = t->info;
    env_set(&e, "MESOS_SANDBOX", t->sandbox);
    env_set(&e, "MESOS_TASK_ID", info->task_id->value);
    const Mesos__V1__ContainerID *id = t->container_id ? t->container_id : t->ex->container_id;
    if (id && id->value)
        env_set(&e, "MESOS_CONTAINER_ID", id->value);
    if (t->ex->o.pod && t->ex->o.agent_ip)
        env_set(&e, "MESOS_CONTAINER_IP", t->ex->o.agent_ip);
    for (size_t i = 0; i < info->n_resources; i++) {
        const Mesos__V1__Resource__AllocationInfo *a = info->resources[i]->allocation_info;
        if (a && a->role) {
            env_set(&e, "MESOS_ALLOCATION_ROLE", a->role);
            break;
        }
    }
    env_add_command(&e, command);
    env_add_command(&e, on_top);
    vec_push(&e.items, NULL);
    const char **out = arena_memdup(arena, e.items.items, e.items.n * sizeof *e.items.items);
    vec_done(&e.items);
    return out;
}

/* By Mesos__V1__RLimitInfo__RLimit__Type. */
static const int rlimit_numbers[] = {-1, RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA,
    RLIMIT_FSIZE, RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_NOFILE,
    RLIMIT_NPROC, RLIMIT_RSS, RLIMIT_RTPRIO, RLIMIT_RTTIME, RLIMIT_SIGPENDING, RLIMIT_STACK};

size_t task_rlimits(const TaskInfo *info, struct arena *arena, const struct spawn_rlimit **ret)
{
    const Mesos__V1__RLimitInfo *all = info->container ? info->container->rlimit_info : NULL;
    if (!all || all->n_rlimits == 0)
        return 0;
    struct spawn_rlimit *out = arena_new_array(arena, struct spawn_rlimit, all->n_rlimits);
    size_t n = 0;
    for (size_t i = 0; i < all->n_rlimits; i++) {
        const Mesos__V1__RLimitInfo__RLimit *l = all->rlimits[i];
        if (!l->has_type || l->type <= 0 || (size_t)l->type >= ARRAY_SIZE(rlimit_numbers))
            continue;
        /* Both or none: no numbers mean no limit. */
        bool both = l->has_soft && l->has_hard;
        out[n++] = (struct spawn_rlimit){.resource = rlimit_numbers[l->type],
            .limit = {both ? l->soft : RLIM_INFINITY, both ? l->hard : RLIM_INFINITY}};
    }
    *ret = out;
    return n;
}
