/*
 * Task groups. Every task of a group is a nested container: a folder below the pod's sandbox, a pid
 * and a mount namespace, when asked for control groups of its own. The tasks of a group begin
 * together; when one of them fails or is killed the others of its group are killed, when one
 * finishes they go on. Groups that came in other events have nothing to do with each other.
 */

#include "executor/executor.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "containerizer/fetch_run.h"
#include "wire/codec.h"

void pod_give_up(struct task *t)
{
    if (t->fetcher)
        process_abandon(TAKE_PTR(t->fetcher));
    task_never_started(t);
}

void pod_task_over(struct task *t)
{
    if (t->final_state == MESOS__V1__TASK_STATE__TASK_FINISHED)
        return;
    LIST_FOREACH (other, &t->ex->tasks, struct task, node) {
        if (other->group != t->group || other->over || other->kill.state != KILL_IDLE)
            continue;
        log_info("killing a task because another of its group ended task=%s other=%s",
            other->info->task_id->value, t->info->task_id->value);
        task_kill(other, task_grace_us(other, NULL));
    }
}

/* ---- the way to a running task ---- */

static void launch_failed(struct task *t, const char *message)
{
    task_fail(t, message, MESOS__V1__TASK_STATUS__REASON__REASON_CONTAINER_LAUNCH_FAILED);
}

static void run(struct task *t)
{
    struct error err = ERROR_INIT;
    if (pod_mounts_make(t, &err) < 0 || pod_groups_make(t, &err) < 0)
        launch_failed(t, err.msg);
    else
        task_start(t);
}

static void fetched(const struct process_result *result, void *userdata)
{
    struct task *t = userdata;
    t->fetcher = NULL;
    if (result->status == 0) {
        run(t);
        return;
    }
    _cleanup_free_ char *message = fetch_failure(result);
    launch_failed(t, message);
}

/* Whom to run as. NULL in t->user when that is who we are. */
static int resolve_user(struct task *t, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
    const struct executor_options *o = &t->ex->o;
    const char *name = t->info->command->user ? t->info->command->user : o->user;
    *ret_uid = geteuid();
    *ret_gid = getegid();
    if (!o->switch_user || !name || !*name)
        return 0;
    const struct passwd *pw = getpwnam(name);
    if (!pw)
        return error_set(err, -ENOENT,
            "There is no user '%s' on this agent; give the task a user that exists, or start the "
            "agent with --no-switch_user",
            name);
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    if (pw->pw_uid != geteuid())
        t->user = name;
    return 0;
}

static int fetch(struct task *t, uid_t uid, gid_t gid, struct error *err)
{
    const struct executor_options *o = &t->ex->o;
    const Mesos__V1__CommandInfo *command = t->info->command;
    _cleanup_buf_ struct buf uris = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &uris);
    jw_begin_array(&w);
    for (size_t i = 0; i < command->n_uris; i++)
        wire_to_json(&w, &command->uris[i]->base);
    jw_end_array(&w);
    struct fetch_options f = {
        .uris = buf_cstr(&uris),
        .launcher_dir = o->launcher_dir,
        .cache_dir = o->fetcher_cache_dir,
        .sandbox = t->sandbox,
        .user = t->user,
        .uid = uid,
        .gid = gid,
        .stall_timeout_us = o->fetcher_stall_us,
        .cache_size = o->fetcher_cache_size,
    };
    return fetch_start(t->ex->loop, &f, fetched, t, &t->fetcher, err);
}

static void set_container_id(struct task *t, const char *id)
{
    Mesos__V1__ContainerID *c = arena_new(&t->arena, Mesos__V1__ContainerID);
    mesos__v1__container_id__init(c);
    c->value = arena_strdup(&t->arena, id);
    if (t->ex->container_id)
        c->parent = (Mesos__V1__ContainerID *)wire_clone(&t->ex->container_id->base, &t->arena);
    t->container_id = c;
}

static void prepare(struct task *t)
{
    struct error err = ERROR_INIT;
    uid_t uid;
    gid_t gid;
    if (!t->info->command) {
        task_fail(
            t, "The task has no command", MESOS__V1__TASK_STATUS__REASON__REASON_TASK_INVALID);
        return;
    }
    int r = resolve_user(t, &uid, &gid, &err);
    if (r == 0)
        r = pod_sandbox_make(t, t->container_id->value, uid, gid, &err);
    if (r == 0 && t->info->command->n_uris) {
        r = fetch(t, uid, gid, &err);
        if (r == 0)
            return;
    }
    if (r < 0)
        launch_failed(t, err.msg);
    else
        run(t);
}

void pod_launch_group(struct executor *ex, const Mesos__V1__TaskGroupInfo *group)
{
    for (size_t i = 0; i < group->n_tasks; i++) {
        const TaskInfo *info = group->tasks[i];
        if (!info->task_id || !info->task_id->value || task_find(ex, info->task_id->value)) {
            log_warn("a task group names no task, or one that is here already, ignoring");
            return;
        }
    }
    if (ex->shutting_down) {
        log_warn("a task group came while the executor shuts down, ignoring");
        return;
    }
    uint64_t number = ++ex->n_groups;
    for (size_t i = 0; i < group->n_tasks; i++) {
        struct task *t = task_new(ex, group->tasks[i]);
        t->group = number;
        char id[UUID_TEXT_SIZE];
        uuid_random_text(id);
        set_container_id(t, id);
    }
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        if (t->group == number)
            update_send(
                ex, t, &(struct update_text){.state = MESOS__V1__TASK_STATE__TASK_STARTING});
    /* One that fails takes those along that have not begun. */
    LIST_FOREACH (t, &ex->tasks, struct task, node)
        if (t->group == number && !t->over)
            prepare(t);
}
