#include "process/compat_flags.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "io/process.h"

enum { DISCOVERY_OUTPUT_MAX = 4096 };
static const int64_t DISCOVERY_TIMEOUT_US = 60 * USEC_PER_SEC;

static const char *const both[] = {"advertise_ip", "advertise_port", "authenticators", "hooks",
    "hostname_lookup", "logbufsecs", "memory_profiling", "modules", "modules_dir", "quiet"};

static const char *const of_master[] = {"authentication_v0_timeout", "log_auto_initialize",
    "max_executors_per_agent", "offer_constraints_re2_max_mem",
    "offer_constraints_re2_max_program_size", "registry_fetch_timeout", "registry_store_timeout",
    "registry_strict", "webui_dir"};

static const char *const of_agent[] = {"allowed_devices", "appc_simple_discovery_uri_prefix",
    "appc_store_dir", "authenticatee", "authentication_backoff_factor",
    "authentication_timeout_max", "authentication_timeout_min", "bounding_capabilities",
    "cgroups_cpu_enable_pids_and_tids_count", "cgroups_destroy_timeout", "cgroups_hierarchy",
    "cgroups_limit_swap", "cgroups_net_cls_primary_handle", "cgroups_net_cls_secondary_handles",
    "container_disk_watch_interval", "container_logger", "containerizers", "csi_plugin_config_dir",
    "default_container_dns", "default_container_info", "default_container_shm_size",
    "disallow_sharing_agent_ipc_namespace", "disallow_sharing_agent_pid_namespace", "docker",
    "docker_config", "docker_ignore_runtime", "docker_kill_orphans", "docker_mesos_image",
    "docker_registry", "docker_remove_delay", "docker_socket", "docker_stop_timeout",
    "docker_store_dir", "docker_volume_checkpoint_dir", "docker_volume_chown",
    "effective_capabilities", "enforce_container_disk_quota", "enforce_container_ports",
    "executor_reregistration_retry_interval", "frameworks_home",
    "gc_non_executor_container_sandboxes", "host_path_volume_force_creation",
    "http_command_executor", "http_executor_domain_sockets", "http_heartbeat_interval",
    "image_gc_config", "image_providers", "image_provisioner_backend", "isolation", "launcher",
    "max_completed_executors_per_framework", "network_cni_config_dir", "network_cni_metrics",
    "network_cni_plugins_dir", "network_cni_root_dir_persist", "oversubscribed_resources_interval",
    "perf_duration", "perf_events", "perf_interval", "qos_controller",
    "qos_correction_interval_min", "resource_estimator", "resource_provider_config_dir",
    "sandbox_directory", "seccomp_config_dir", "seccomp_profile_name", "secret_resolver", "strict",
    "systemd_enable_support", "systemd_runtime_directory", "volume_gid_range",
    "xfs_kill_containers", "xfs_project_range"};

/* Those of which one value only is what we do. */
static const struct choice {
    const char *name;
    const char *taken; /* with commas; NULL: none */
    const char *instead;
} choices[] = {
    {"allocator", "hierarchical,HierarchicalDRF", "--role_sorter and --framework_sorter choose"},
    {"authorizers", "local", "rules are given with --acls"},
    {"master_contender", NULL, "--zk=zk://... elects"},
    {"master_detector", NULL, "--master=zk://... finds the leader"},
    {"recover", "reconnect", "to end what runs, remove <work_dir> while the agent is stopped"},
    {"registry", "replicated_log", "--store=sqlite:PATH keeps it in a file"},
};

static const struct choice *choice_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
        if (streq(choices[i].name, name))
            return &choices[i];
    return NULL;
}

static size_t add(const char *const *names, size_t n, struct flag *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (struct flag){.name = names[i], .type = FLAG_WITHOUT_EFFECT};
    return n;
}

size_t compat_flags(enum compat_daemon daemon, struct flag *out)
{
    static const char *const master_choices[] = {
        "allocator", "authorizers", "master_contender", "master_detector", "registry"};
    static const char *const agent_choices[] = {"authorizers", "master_detector", "recover"};
    _Static_assert(ARRAY_SIZE(both) + ARRAY_SIZE(of_agent) + 3 <= COMPAT_FLAGS_MAX, "too many");
    _Static_assert(ARRAY_SIZE(both) + ARRAY_SIZE(of_master) + 5 <= COMPAT_FLAGS_MAX, "too many");
    size_t n = add(both, ARRAY_SIZE(both), out);
    if (daemon == COMPAT_MASTER) {
        n += add(of_master, ARRAY_SIZE(of_master), out + n);
        n += add(master_choices, ARRAY_SIZE(master_choices), out + n);
    } else {
        n += add(of_agent, ARRAY_SIZE(of_agent), out + n);
        n += add(agent_choices, ARRAY_SIZE(agent_choices), out + n);
    }
    return n;
}

static bool is_taken(const struct choice *c, const char *value)
{
    struct str rest = str_of(c->taken ? c->taken : ""), part;
    while (str_split(&rest, ',', &part))
        if (str_eq(part, str_of(value)))
            return true;
    return false;
}

static const char *value_of(const struct flag *flags, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (streq(flags[i].name, name))
            return flags[i].value_text;
    return NULL;
}

int compat_flags_check(const struct flag *flags, size_t n, const char *ip, struct error *err)
{
    const char *advertised = value_of(flags, n, "advertise_ip");
    if (advertised && !streq(advertised, ip))
        return error_set(err, -EINVAL,
            "--advertise_ip=%.64s is not served: give the address that others see as --ip",
            advertised);
    for (size_t i = 0; i < n; i++) {
        const struct flag *f = &flags[i];
        const struct choice *c = f->type == FLAG_WITHOUT_EFFECT ? choice_of(f->name) : NULL;
        if (c && f->value_text && !is_taken(c, f->value_text))
            return error_set(
                err, -EINVAL, "--%s=%.64s is not served: %s", f->name, f->value_text, c->instead);
    }
    return 0;
}

void compat_flags_log(const struct flag *flags, size_t n)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        if (flags[i].type == FLAG_WITHOUT_EFFECT && flags[i].value_text)
            buf_printf(&names, "%s%s", names.n ? "," : "", flags[i].name);
    if (names.n)
        log_warn("flags without effect here, see docs/compatibility.md flags=%s", buf_cstr(&names));
}

struct discovery {
    char **ret_ip;
    struct error *err;
    int result;
};

static void discovered(const struct process_result *p, void *userdata)
{
    struct discovery *d = userdata;
    struct str rest = p->out, word = str_of("");
    while (!word.n && str_split(&rest, '\n', &word))
        word = str_trim(word);
    ptrdiff_t space = str_index(word, ' ');
    if (space >= 0)
        word.n = (size_t)space;
    char *address = word.n ? xstrndup(word.p, word.n) : xstrdup("");
    unsigned char binary[sizeof(struct in6_addr)];
    if (p->timed_out)
        d->result = error_set(d->err, -EINVAL, "--ip_discovery_command did not end");
    else if (p->status != 0)
        d->result = error_set(d->err, -EINVAL, "--ip_discovery_command ended with %s %d",
            WIFSIGNALED(p->status) ? "signal" : "status",
            WIFSIGNALED(p->status) ? WTERMSIG(p->status) : WEXITSTATUS(p->status));
    else if (inet_pton(AF_INET, address, binary) != 1 && inet_pton(AF_INET6, address, binary) != 1)
        d->result = error_set(d->err, -EINVAL, "--ip_discovery_command printed no numeric address");
    else
        *d->ret_ip = TAKE_PTR(address);
    free(address);
}

int compat_discover_ip(const char *command, char **ret_ip, struct error *err)
{
    struct loop *l = loop_new();
    struct discovery d = {.ret_ip = ret_ip, .err = err};
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    const struct process_options options = {.argv = argv,
        .capture_max = DISCOVERY_OUTPUT_MAX,
        .timeout_us = DISCOVERY_TIMEOUT_US,
        .own_group = true};
    struct process *process;
    int r = process_start(l, &options, discovered, &d, &process, err);
    if (r >= 0) {
        loop_run(l);
        r = d.result;
    }
    loop_free(l);
    return r;
}
