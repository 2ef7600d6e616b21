#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/environment.h"
#include "agent/mounts.h"
#include "auth/credentials.h"
#include "agent/sandbox.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "containerizer/fetch_run.h"

/*
 * From "launch this executor" to a running container: the sandbox, what has to be fetched into it,
 * the environment, the containerizer. Each step can fail with a message that becomes that of the
 * task, and each can be given up when the executor is to be destroyed meanwhile.
 */

#define SUBSCRIPTION_BACKOFF_US (2 * USEC_PER_SEC)
enum {
    USER_BUFFER_MAX = 16 * 1024,
    POD_SANDBOX_MODE = 0751,
};

struct launch {
    struct agent *agent;
    char *container_id, *framework_id,
        *executor_id;     /* container_id is the key in agent->launches */
    char *sandbox, *user; /* user to switch to, or NULL */
    uid_t uid;
    gid_t gid;
    struct process *fetcher;
    bool starting; /* with the containerizer */
};

static void launch_free(struct launch *l)
{
    map_remove(&l->agent->launches, l->container_id);
    if (l->fetcher)
        process_abandon(l->fetcher);
    free(l->container_id);
    free(l->framework_id);
    free(l->executor_id);
    free(l->sandbox);
    free(l->user);
    free(l);
}

static void launch_failed(struct launch *l, const char *message)
{
    struct agent *a = l->agent;
    log_warn("executor cannot be started framework=%s executor=%s container=%s: %s",
        l->framework_id, l->executor_id, l->container_id, message);
    struct agent_now now;
    agent_now(&now);
    agent_core_container_failed(a->core, &now, l->container_id, message);
    launch_free(l);
    agent_pump(a);
}

static struct agent_executor *launch_executor(const struct launch *l)
{
    return map_get(&l->agent->core->containers, l->container_id);
}

static void to_limits(
    const struct agent *a, const struct agent_executor *e, struct container_limits *ret)
{
    struct agent_limits limits;
    agent_executor_limits(e, &limits);
    *ret = (struct container_limits){
        .cpus_milli = limits.cpus_milli,
        .cpus_revocable = limits.cpus_revocable && a->settings.revocable_cpu_low_priority,
        .cpu_limit_milli = limits.cpu_limit_milli,
        .mem_bytes = limits.mem_milli * (1024 * 1024) / 1000,
        .mem_limit_bytes = limits.mem_limit_milli > 0
                               ? limits.mem_limit_milli * (1024 * 1024) / 1000
                               : limits.mem_limit_milli,
        .pids_max = MAX(a->settings.container_pids_max, INT64_C(0)),
    };
}

/* ---- the container ---- */

static void started(const struct container_started *s, void *userdata)
{
    struct launch *l = userdata;
    struct agent *a = l->agent;
    if (s->status < 0) {
        if (s->status != -ECANCELED)
            return launch_failed(l, s->error && s->error[0] ? s->error : errno_text(s->status));
        struct agent_now now;
        agent_now(&now);
        struct agent_container_exit exit = {.status = -1};
        agent_core_container_exited(a->core, &now, l->container_id, &exit);
        launch_free(l);
        return agent_pump(a);
    }
    log_info("executor started framework=%s executor=%s container=%s pid=%d", l->framework_id,
        l->executor_id, l->container_id, s->pid);
    struct agent_now now;
    agent_now(&now);
    agent_core_container_started(a->core, &now, l->container_id, s->pid, s->start_time);
    launch_free(l);
    agent_pump(a);
}

static int build_environment(struct launch *l, const struct agent_executor *e,
    const Mesos__V1__ExecutorInfo *info, struct environment *env, struct error *err)
{
    struct agent *a = l->agent;
    if (a->settings.executor_environment) {
        int r = environment_add_json(env, a->settings.executor_environment, err);
        if (r < 0)
            return error_prefix(err, r, "--executor_environment_variables");
    }
    _cleanup_secret_ struct buf token = BUF_INIT;
    agent_executor_token(&a->security, l->framework_id, l->executor_id, l->container_id, &token);
    struct executor_environment x = {
        .token = token.p,
        .framework_id = l->framework_id,
        .executor_id = l->executor_id,
        .agent_id = a->core->id,
        .ip = a->settings.ip,
        .port = a->port,
        .sandbox = l->sandbox,
        .socket_path = a->socket_path,
        .checkpoint = e->framework->checkpoint,
        .shutdown_grace_us = e->shutdown_grace_us,
        .recovery_timeout_us = a->settings.recovery_timeout_us,
        .subscription_backoff_us = SUBSCRIPTION_BACKOFF_US,
    };
    environment_executor(env, &x);
    if (info->command)
        environment_add(env, info->command->environment);
    return 0;
}

/* (uid_t)-1 when no user is switched to. */
static int user_ids(
    const struct agent *a, const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
    *ret_uid = (uid_t)-1;
    *ret_gid = (gid_t)-1;
    if (!a->settings.switch_user || geteuid() != 0 || !name || !name[0])
        return 0;
    char buffer[USER_BUFFER_MAX];
    struct passwd entry, *found = NULL;
    int r = getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
    if (r != 0)
        return error_errno(err, -r, "cannot look up the user '%s'", name);
    if (!found)
        return error_set(err, -ENOENT,
            "There is no user '%s' on this agent; give the task a user that exists, or start the "
            "agent with --no-switch_user",
            name);
    *ret_uid = found->pw_uid;
    *ret_gid = found->pw_gid;
    return 0;
}

/* Volumes of a pod's task: dcos-executor, which shows them to it, learns from links in the pod's
 * sandbox where they are. Nobody but the agent can write there. */
static int link_pod_volumes(struct agent *a, const Mesos__V1__TaskInfo *info, const char *sandbox,
    uid_t uid, gid_t gid, struct error *err)
{
    /* Of a user that is not there the executor tells; here it only names who gets the folder. */
    if (info->command && info->command->user)
        (void)user_ids(a, info->command->user, &uid, &gid, NULL);
    int r = 0;
    for (size_t i = 0; i < info->n_resources && r >= 0; i++) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_mount_list_ struct mount_list mounts = {0};
        r = mounts_of_resources(
            a->work_dir, &info->resources[i], 1, uid, gid, &arena, &mounts, err);
        if (r < 0 || !mounts.items.n)
            continue;
        struct spawn_mount link = {
            .source = mounts.items.items[0].source,
            .target = arena_printf(&arena, POD_VOLUMES_DIR "/%s/%zu", info->task_id->value, i),
        };
        r = spawn_mount(&link, sandbox, false);
        if (r < 0)
            error_errno(err, r, "cannot link the volume '%s'", mounts.items.items[0].target);
    }
    return r < 0 ? r : 0;
}

/* Volumes of tasks of a framework's own executor, which may come while it runs: links in its
 * sandbox. */
static int link_task_volumes(struct agent *a, const struct agent_executor *e, const char *sandbox,
    uid_t uid, gid_t gid, struct error *err)
{
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        _cleanup_mount_list_ struct mount_list mounts = {0};
        ProtobufCMessage *m;
        /* What the executor has not reported yet. It is handed over after this. */
        if (!t->info.n || wire_unpack(&mesos__v1__task_info__descriptor, &arena, t->info.p,
                              t->info.n, &m, NULL) < 0)
            continue;
        const Mesos__V1__TaskInfo *info = (const Mesos__V1__TaskInfo *)m;
        int r;
        if (e->pod) {
            r = link_pod_volumes(a, info, sandbox, uid, gid, err);
            if (r < 0)
                return r;
            continue;
        }
        r = mounts_of_resources(
            a->work_dir, info->resources, info->n_resources, uid, gid, &arena, &mounts, err);
        if (r < 0)
            return r;
        VEC_FOREACH (mount, &mounts.items) {
            r = spawn_mount(mount, sandbox, false);
            if (r == -EOPNOTSUPP)
                return error_set(err, r,
                    "Tasks of an executor can have read-write volumes in its sandbox only, not "
                    "'%s'%s",
                    mount->target, mount->read_only ? " read-only" : "");
            if (r < 0)
                return error_errno(err, r, "cannot link the volume '%s'", mount->target);
        }
    }
    return 0;
}

static int collect_mounts(struct launch *l, const struct agent_executor *e,
    const Mesos__V1__ExecutorInfo *info, struct arena *arena, struct mount_list *ret,
    struct error *err)
{
    struct agent *a = l->agent;
    mounts_of_container(info->container, ret);
    int r = mounts_of_resources(
        a->work_dir, info->resources, info->n_resources, l->uid, l->gid, arena, ret, err);
    if (r < 0)
        return r;
    if (!e->command)
        return link_task_volumes(a, e, l->sandbox, l->uid, l->gid, err);
    LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
        ProtobufCMessage *m;
        if (wire_unpack(&mesos__v1__task__descriptor, arena, t->task.p, t->task.n, &m, NULL) < 0)
            continue;
        const Mesos__V1__Task *task = (const Mesos__V1__Task *)m;
        r = mounts_of_resources(
            a->work_dir, task->resources, task->n_resources, l->uid, l->gid, arena, ret, err);
        if (r < 0)
            return r;
    }
    return 0;
}

typedef VEC(const char *) argument_list;

/* What dcos-executor has to know to fetch and to switch users for tasks that come later. */
static void pod_flags(const struct launch *l, struct arena *arena, argument_list *argv)
{
    const struct agent_settings *s = &l->agent->settings;
    vec_push(argv, "--pod");
    if (s->switch_user && geteuid() == 0)
        vec_push(argv, "--switch_user");
    if (s->cpu_quota)
        vec_push(argv, "--cgroups_enable_cfs");
    if (containerizer_has_cgroups(l->agent->containerizer))
        vec_push(argv, "--cgroups");
    vec_push(argv, arena_printf(arena, "--fetcher_cache_dir=%s", s->fetcher_cache_dir));
    vec_push(argv, arena_printf(arena, "--fetcher_cache_size=%" PRIu64 "B", s->fetcher_cache_size));
    vec_push(
        argv, arena_printf(arena, "--fetcher_stall_timeout=%" PRIi64 "us", s->fetcher_stall_us));
}

static void start_container(struct launch *l)
{
    struct agent *a = l->agent;
    struct agent_executor *e = launch_executor(l);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m, &err) <
        0)
        return launch_failed(l, err.msg);
    const Mesos__V1__ExecutorInfo *info = (const Mesos__V1__ExecutorInfo *)m;
    const Mesos__V1__CommandInfo *command = info->command;
    if (!e->pod && (!command || (!command->value && !command->n_arguments)))
        return launch_failed(l, "The executor has no command to run");
    _cleanup_mount_list_ struct mount_list mounts = {0};
    if (collect_mounts(l, e, info, &arena, &mounts, &err) < 0)
        return launch_failed(l, err.msg);
    struct environment env = {0};
    if (build_environment(l, e, info, &env, &err) < 0) {
        environment_done(&env);
        return launch_failed(l, err.msg);
    }
    argument_list argv = {0};
    if (e->pod) {
        vec_push(&argv, a->core->executor_program);
        pod_flags(l, &arena, &argv);
    } else if (!command->has_shell || command->shell) {
        vec_push(&argv, "/bin/sh");
        vec_push(&argv, "-c");
        vec_push(&argv, command->value);
    } else {
        /* arguments[0] is what the program will see as its name; the value is what is run. */
        vec_push(&argv, command->value ? command->value : command->arguments[0]);
        for (size_t i = 1; i < command->n_arguments; i++)
            vec_push(&argv, command->arguments[i]);
    }
    _cleanup_free_ char *user_flag = l->user ? xasprintf("--user=%s", l->user) : NULL;
    _cleanup_free_ char *folder_flag = xasprintf("--launcher_dir=%s", a->launcher_dir);
    if (agent_executor_ours(e)) {
        vec_push(&argv, folder_flag);
        if (user_flag)
            vec_push(&argv, user_flag);
    }
    vec_push(&argv, NULL);
    struct container_spec spec = {
        .id = l->container_id,
        .argv = argv.items,
        .envp = environment_array(&env),
        .cwd = l->sandbox,
        /* Our executor keeps its rights until it starts the task as the user. */
        .user = agent_executor_ours(e) ? NULL : l->user,
        .stdout_path = "stdout",
        .stderr_path = "stderr",
        .own_namespaces = !agent_executor_ours(e),
        .mounts = mounts.items.items,
        .n_mounts = mounts.items.n,
    };
    to_limits(a, e, &spec.limits);
    int r = containerizer_launch(a->containerizer, &spec, started, l, &err);
    vec_done(&argv);
    environment_done(&env);
    if (r < 0)
        return launch_failed(l, err.msg);
    l->starting = true;
}

/* ---- fetching ---- */

static void fetched(const struct process_result *result, void *userdata)
{
    struct launch *l = userdata;
    l->fetcher = NULL;
    if (result->status == 0) {
        l->agent->fetches_succeeded++;
        struct agent_executor *e = launch_executor(l);
        if (e && e->state == AGENT_EXECUTOR_REGISTERING)
            return start_container(l);
        struct agent_now now;
        agent_now(&now);
        struct agent_container_exit exit = {.status = -1};
        agent_core_container_exited(l->agent->core, &now, l->container_id, &exit);
        struct agent *a = l->agent;
        launch_free(l);
        return agent_pump(a);
    }
    l->agent->fetches_failed++;
    _cleanup_free_ char *message = fetch_failure(result);
    launch_failed(l, message);
}

static int fetch(struct launch *l, const Mesos__V1__CommandInfo *command, struct error *err)
{
    const struct agent *a = l->agent;
    _cleanup_buf_ struct buf uris = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &uris);
    jw_begin_array(&w);
    for (size_t i = 0; i < command->n_uris; i++)
        wire_to_json(&w, &command->uris[i]->base);
    jw_end_array(&w);
    struct fetch_options o = {
        .uris = buf_cstr(&uris),
        .launcher_dir = a->launcher_dir,
        .cache_dir = a->settings.fetcher_cache_dir,
        .sandbox = l->sandbox,
        .user = l->user,
        .uid = l->uid,
        .gid = l->gid,
        .stall_timeout_us = a->settings.fetcher_stall_us,
        .cache_size = a->settings.fetcher_cache_size,
    };
    return fetch_start(a->loop, &o, fetched, l, &l->fetcher, err);
}

/* ---- the start ---- */

/* Whom the executor's sandbox belongs to and, for a switch, whom to run as. */
static int resolve_user(struct launch *l, const char *name, struct error *err)
{
    int r = user_ids(l->agent, name, &l->uid, &l->gid, err);
    if (r >= 0 && l->uid != (uid_t)-1 && l->uid != 0)
        l->user = xstrdup(name);
    return r;
}

static const char *executor_user(
    const struct agent_executor *e, const Mesos__V1__ExecutorInfo *info)
{
    const Mesos__V1__CommandInfo *command = info->command;
    return command && command->user ? command->user : e->framework->user;
}

void agent_launch(struct agent *a, const struct agent_effect *effect)
{
    struct agent_executor *e = map_get(&a->core->containers, effect->container_id);
    /* Ended before it began: the order to destroy it follows. */
    if (!e || e->state != AGENT_EXECUTOR_REGISTERING)
        return;
    struct launch *l = xnew(struct launch);
    l->agent = a;
    l->container_id = xstrdup(effect->container_id);
    l->framework_id = xstrdup(effect->framework_id);
    l->executor_id = xstrdup(effect->executor_id);
    map_put(&a->launches, l->container_id, l);

    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m, &err) <
        0)
        return launch_failed(l, err.msg);
    const Mesos__V1__CommandInfo *command = ((const Mesos__V1__ExecutorInfo *)m)->command;
    if (resolve_user(l, executor_user(e, (const Mesos__V1__ExecutorInfo *)m), &err) < 0 ||
        sandbox_create(a->work_dir, a->core->id, l->framework_id, l->executor_id, l->container_id,
            e->pod ? (uid_t)-1 : l->uid, e->pod ? (gid_t)-1 : l->gid, &l->sandbox, &err) < 0)
        return launch_failed(l, err.msg);
    /* A pod's is the agent's: its tasks, of whatever users, only pass through it. */
    if (e->pod && l->uid != (uid_t)-1 && chmod(l->sandbox, POD_SANDBOX_MODE) < 0)
        return launch_failed(l, errno_text(-errno));
    if (command && command->n_uris) {
        if (fetch(l, command, &err) < 0)
            launch_failed(l, err.msg);
        return;
    }
    start_container(l);
}

/* ---- afterwards ---- */

void agent_destroy(struct agent *a, const char *container_id)
{
    struct launch *l = map_get(&a->launches, container_id);
    if (l && !l->starting) {
        launch_free(l);
    } else if (containerizer_destroy(a->containerizer, container_id) >= 0) {
        return;
    } else {
        a->destroy_errors++;
    }
    struct agent_now now;
    agent_now(&now);
    struct agent_container_exit exit = {.status = -1};
    agent_core_container_exited(a->core, &now, container_id, &exit);
    agent_pump(a);
}

static int update_volumes(struct agent *a, const struct agent_executor *e, struct error *err)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    uid_t uid;
    gid_t gid;
    int r = wire_unpack(
        &mesos__v1__executor_info__descriptor, &arena, e->info.p, e->info.n, &m, err);
    if (r >= 0)
        r = user_ids(a, executor_user(e, (const Mesos__V1__ExecutorInfo *)m), &uid, &gid, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *sandbox = sandbox_path(
        a->work_dir, a->core->id, e->framework->id, e->id, e->container_id);
    r = link_task_volumes(a, e, sandbox, uid, gid, err);
    return r == -ENOENT ? -EIO : r; /* not to be taken for a container that is gone */
}

void agent_update_container(struct agent *a, const char *container_id)
{
    struct agent_executor *e = map_get(&a->core->containers, container_id);
    if (!e || map_get(&a->launches, container_id))
        return;
    struct container_limits limits;
    to_limits(a, e, &limits);
    struct error err = ERROR_INIT;
    int r = containerizer_update(a->containerizer, container_id, &limits, &err);
    if (r >= 0 && !e->command)
        r = update_volumes(a, e, &err);
    if (r >= 0 || r == -ENOENT)
        return;
    struct agent_now now;
    agent_now(&now);
    agent_core_container_update_failed(a->core, &now, container_id, err.msg);
    agent_pump(a);
}

void agent_container_exit(const struct container_exit *e, void *userdata)
{
    struct agent *a = userdata;
    struct agent_container_exit exit = {
        .status = e->status,
        .limited = e->limitation == CONTAINER_LIMITATION_MEMORY,
        .mem_limit_bytes = e->mem_limit_bytes,
        .message = e->message,
    };
    log_info("container ended container=%s status=%d%s", e->id, e->status,
        exit.limited ? " reason=memory" : "");
    struct agent_now now;
    agent_now(&now);
    agent_core_container_exited(a->core, &now, e->id, &exit);
    agent_pump(a);
}

void agent_recover_containers(struct agent *a)
{
    VEC(struct container_recover) items = {0};
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        if (e->state == AGENT_EXECUTOR_TERMINATED)
            continue;
        struct container_recover item = {
            .id = e->container_id, .pid = e->pid, .start_time = e->start_time};
        to_limits(a, e, &item.limits);
        vec_push(&items, item);
    }
    containerizer_recover(a->containerizer, items.items, items.n);
    vec_done(&items);
}

void agent_launch_stop(struct agent *a)
{
    MAP_FOREACH (entry, &a->launches)
        launch_free(entry->value);
    map_done(&a->launches);
}
