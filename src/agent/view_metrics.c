#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/gc.h"
#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

/* Metrics under the reference's names, and statistics of containers. */

enum { CACHE_DEPTH = 2, CACHE_ENTRIES = 10000 };

struct out {
    void (*fn)(const char *name, double value, void *userdata);
    void *userdata;
};

static void emit(const struct out *o, const char *name, double value)
{
    o->fn(name, value, o->userdata);
}

static void emit_resources(struct agent *a, const struct out *o)
{
    static const char *const names[] = {"cpus", "gpus", "mem", "disk"};
    struct resources used = RESOURCES_INIT;
    view_allocated(a, &used);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        double have = (double)resources_scalar(&a->core->total, names[i]) / 1000;
        double taken = (double)resources_scalar_if(&used, names[i], false) / 1000;
        double lent = (double)resources_scalar(&a->core->oversubscribed, names[i]) / 1000;
        double borrowed = (double)resources_scalar_if(&used, names[i], true) / 1000;
        char name[64];
        snprintf(name, sizeof(name), "slave/%s_total", names[i]);
        emit(o, name, have);
        snprintf(name, sizeof(name), "slave/%s_used", names[i]);
        emit(o, name, taken);
        snprintf(name, sizeof(name), "slave/%s_percent", names[i]);
        emit(o, name, have > 0 ? taken / have : 0);
        snprintf(name, sizeof(name), "slave/%s_revocable_total", names[i]);
        emit(o, name, lent);
        snprintf(name, sizeof(name), "slave/%s_revocable_used", names[i]);
        emit(o, name, borrowed);
        snprintf(name, sizeof(name), "slave/%s_revocable_percent", names[i]);
        emit(o, name, lent > 0 ? borrowed / lent : 0);
    }
    resources_done(&used);
}

static void emit_counts(struct agent *a, const struct out *o)
{
    size_t executors[4] = {0}, staging = 0, starting = 0, running = 0, killing = 0;
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        executors[e->state]++;
        LIST_FOREACH (t, &e->tasks, struct agent_task, node) {
            staging += t->state == TASK_STATE(STAGING);
            starting += t->state == TASK_STATE(STARTING);
            running += t->state == TASK_STATE(RUNNING);
            killing += t->state == TASK_STATE(KILLING);
        }
    }
    const struct agent_counters *c = &a->core->counters;
    emit(o, "slave/frameworks_active", (double)map_size(&a->core->frameworks));
    emit(o, "slave/executors_registering", (double)executors[AGENT_EXECUTOR_REGISTERING]);
    emit(o, "slave/executors_running", (double)executors[AGENT_EXECUTOR_RUNNING]);
    emit(o, "slave/executors_terminating", (double)executors[AGENT_EXECUTOR_TERMINATING]);
    emit(o, "slave/executors_terminated", (double)c->executors_terminated);
    emit(o, "slave/executors_preempted", 0);
    emit(o, "slave/container_launch_errors", (double)c->launch_errors);
    emit(o, "slave/tasks_staging", (double)staging);
    emit(o, "slave/tasks_starting", (double)starting);
    emit(o, "slave/tasks_running", (double)running);
    emit(o, "slave/tasks_killing", (double)killing);
    emit(o, "slave/tasks_finished", (double)c->tasks_finished);
    emit(o, "slave/tasks_failed", (double)c->tasks_failed);
    emit(o, "slave/tasks_killed", (double)c->tasks_killed);
    emit(o, "slave/tasks_lost", (double)c->tasks_lost);
    emit(o, "slave/tasks_gone", (double)c->tasks_gone);
    emit(o, "slave/valid_status_updates", (double)c->valid_updates);
    emit(o, "slave/invalid_status_updates", (double)c->invalid_updates);
    emit(o, "slave/valid_framework_messages", (double)c->valid_messages);
    emit(o, "slave/invalid_framework_messages", (double)c->invalid_messages);
}

/* Of what this agent does not have, those that are there with every containerizer. */
static void emit_absent(const struct out *o)
{
    static const char *const names[] = {
        "containerizer/mesos/filesystem/containers_new_rootfs",
        "containerizer/mesos/provisioner/remove_container_errors",
        "resource_provider_manager/subscribed",
        "resource_provider_manager/events/subscribe",
        "resource_provider_manager/events/disconnect",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        emit(o, names[i], 0);
}

/* Bytes of the files below the folder; `left` bounds the look. */
static uint64_t cache_used(const char *path, unsigned depth, unsigned *left)
{
    uint64_t n = 0;
    DIR *dir = opendir(path);
    const struct dirent *d;
    while (dir && *left > 0 && (d = readdir(dir))) {
        struct stat st;
        if (d->d_name[0] == '.' || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        --*left;
        if (S_ISREG(st.st_mode)) {
            n += (uint64_t)st.st_size;
        } else if (S_ISDIR(st.st_mode) && depth > 0) {
            _cleanup_free_ char *below = path_join(path, d->d_name);
            n += cache_used(below, depth - 1, left);
        }
    }
    if (dir)
        closedir(dir);
    return n;
}

void view_metrics(
    struct agent *a, void (*fn)(const char *name, double value, void *userdata), void *userdata)
{
    struct out o = {.fn = fn, .userdata = userdata};
    emit(&o, "slave/uptime_secs",
        (double)(clock_realtime_us() - a->start_wall_us) / (double)USEC_PER_SEC);
    emit(&o, "slave/registered", a->core->link == AGENT_REGISTERED_LINK);
    emit(&o, "slave/recovery_errors", 0);
    if (a->recovery_us >= 0)
        emit(&o, "slave/recovery_time_secs", (double)a->recovery_us / (double)USEC_PER_SEC);
    emit(&o, "slave/executor_directory_max_allowed_age_secs",
        (double)a->gc_max_age_us / (double)USEC_PER_SEC);
    emit_counts(a, &o);
    emit_resources(a, &o);
    emit(&o, "containerizer/mesos/container_destroy_errors", (double)a->destroy_errors);
    emit_absent(&o);
    emit(
        &o, "containerizer/fetcher/cache_size_total_bytes", (double)a->settings.fetcher_cache_size);
    emit(&o, "containerizer/fetcher/cache_size_used_bytes",
        (double)cache_used(a->settings.fetcher_cache_dir, CACHE_DEPTH, &(unsigned){CACHE_ENTRIES}));
    emit(&o, "containerizer/fetcher/task_fetches_succeeded", (double)a->fetches_succeeded);
    emit(&o, "containerizer/fetcher/task_fetches_failed", (double)a->fetches_failed);
    emit(&o, "gc/path_removals_succeeded", (double)a->gc_succeeded);
    emit(&o, "gc/path_removals_failed", (double)a->gc_failed);
    emit(&o, "gc/path_removals_pending", (double)agent_gc_pending(a));
    struct store_stats stats;
    store_stats(a->store, &stats);
    emit(&o, "slave/store/commits", (double)stats.commits);
    emit(&o, "slave/store/flushes", (double)stats.flushes);
    emit(&o, "slave/store/max_flush_ms", (double)stats.max_flush_us / (double)USEC_PER_MSEC);
    metrics_put_system(fn, userdata);
}

/* ---- containers ---- */

Mesos__V1__ResourceStatistics *view_statistics(
    struct agent *a, const struct agent_executor *e, struct arena *arena)
{
    struct container_usage u;
    if (containerizer_usage(a->containerizer, e->container_id, &u) < 0)
        return NULL;
    Mesos__V1__ResourceStatistics *s = arena_new(arena, Mesos__V1__ResourceStatistics);
    mesos__v1__resource_statistics__init(s);
    s->has_timestamp = true;
    s->timestamp = (double)u.timestamp_us / (double)USEC_PER_SEC;
#define FILL(field, value, scale)                                                                  \
    do {                                                                                           \
        if ((value) >= 0) {                                                                        \
            s->has_##field = true;                                                                 \
            s->field = (typeof(s->field))((double)(value) / (scale));                              \
        }                                                                                          \
    } while (0)
    FILL(processes, u.processes, 1.0);
    FILL(threads, u.threads, 1.0);
    FILL(cpus_user_time_secs, u.cpus_user_time_us, 1e6);
    FILL(cpus_system_time_secs, u.cpus_system_time_us, 1e6);
    FILL(cpus_limit, u.cpus_limit_milli, 1e3);
    FILL(cpus_soft_limit, u.cpus_soft_limit_milli, 1e3);
    FILL(cpus_nr_periods, u.cpus_nr_periods, 1.0);
    FILL(cpus_nr_throttled, u.cpus_nr_throttled, 1.0);
    FILL(cpus_throttled_time_secs, u.cpus_throttled_time_us, 1e6);
    FILL(mem_total_bytes, u.mem_total_bytes, 1.0);
    FILL(mem_rss_bytes, u.mem_rss_bytes, 1.0);
    FILL(mem_limit_bytes, u.mem_limit_bytes, 1.0);
    FILL(mem_soft_limit_bytes, u.mem_soft_limit_bytes, 1.0);
    FILL(mem_file_bytes, u.mem_file_bytes, 1.0);
    FILL(mem_anon_bytes, u.mem_anon_bytes, 1.0);
    FILL(mem_cache_bytes, u.mem_cache_bytes, 1.0);
    FILL(mem_mapped_file_bytes, u.mem_mapped_file_bytes, 1.0);
    FILL(mem_swap_bytes, u.mem_swap_bytes, 1.0);
    FILL(mem_unevictable_bytes, u.mem_unevictable_bytes, 1.0);
#undef FILL
    if (s->has_cpus_soft_limit) {
        /* As it was asked for: shares of the control group are coarser. */
        _cleanup_resources_ struct resources asked = RESOURCES_INIT;
        view_executor_resources(e, &asked, arena);
        s->cpus_soft_limit = (double)resources_scalar(&asked, "cpus") / 1000;
    }
    return s;
}

Mesos__V1__ContainerStatus *view_container_status(
    struct agent *a, const struct agent_executor *e, struct arena *arena)
{
    Mesos__V1__ContainerStatus *s = arena_new(arena, Mesos__V1__ContainerStatus);
    mesos__v1__container_status__init(s);
    s->container_id = arena_new(arena, Mesos__V1__ContainerID);
    mesos__v1__container_id__init(s->container_id);
    s->container_id->value = e->container_id;
    pid_t pid = containerizer_pid(a->containerizer, e->container_id);
    if (pid > 0) {
        s->has_executor_pid = true;
        s->executor_pid = (uint32_t)pid;
    }
    Mesos__V1__NetworkInfo *network = arena_new(arena, Mesos__V1__NetworkInfo);
    mesos__v1__network_info__init(network);
    Mesos__V1__NetworkInfo__IPAddress *address = arena_new(
        arena, Mesos__V1__NetworkInfo__IPAddress);
    mesos__v1__network_info__ipaddress__init(address);
    address->has_protocol = true;
    address->protocol = strchr(a->settings.ip, ':') ? MESOS__V1__NETWORK_INFO__PROTOCOL__IPv6
                                                    : MESOS__V1__NETWORK_INFO__PROTOCOL__IPv4;
    address->ip_address = arena_strdup(arena, a->settings.ip);
    network->n_ip_addresses = 1;
    network->ip_addresses = arena_new_array(arena, Mesos__V1__NetworkInfo__IPAddress *, 1);
    network->ip_addresses[0] = address;
    s->n_network_infos = 1;
    s->network_infos = arena_new_array(arena, Mesos__V1__NetworkInfo *, 1);
    s->network_infos[0] = network;
    return s;
}
