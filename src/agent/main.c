#include "agent/agent.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/gc.h"
#include "agent/host.h"
#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "kernel/attributes.h"
#include "process/daemon.h"
#include "zk/url.h"

/* dcos-agent: flags and wiring. */

enum { WORK_DIR_MODE = 0755 };

static const struct program program = {
    .name = "dcos-agent",
    .summary = "Runs the containers of one machine for a master.",
    .env_prefix = "MESOS",
    .version = DCOS_VERSION,
};

static size_t define_flags(struct agent_settings *s, struct flag *out)
{
    const struct flag flags[] = {
        {"master", FLAG_STRING, &s->master, NULL, "HOST:PORT",
            "master, or several with commas; zk://host:port,.../path; or file:///path of either",
            .required = true},
        {"ip", FLAG_STRING, &s->ip, "127.0.0.1", "ADDRESS",
            "address to serve on and to be found at"},
        {"ip_discovery_command", FLAG_STRING, &s->ip_discovery_command, NULL, "COMMAND",
            "prints that address; used instead of --ip"},
        {"port", FLAG_PORT, &s->port, "5051", "PORT", "port to serve on; 0 picks one"},
        {"hostname", FLAG_STRING, &s->hostname, NULL, "NAME",
            "name shown to others (default: --ip)"},
        {"work_dir", FLAG_STRING, &s->work_dir, NULL, "DIR", "sandboxes and agent.db",
            .required = true},
        {"runtime_dir", FLAG_STRING, &s->runtime_dir, NULL, "DIR",
            "state of containers that are alive (default: <work_dir>/run)"},
        {"launcher_dir", FLAG_STRING, &s->launcher_dir, NULL, "DIR",
            "folder of dcos-launcher, dcos-executor and dcos-fetcher (default: that of this "
            "program)"},
        {"resources", FLAG_STRING, &s->resources, NULL, "TEXT",
            "such as \"cpus:2;mem:1024;ports:[31000-32000]\", JSON, or file://PATH; what is not "
            "named is detected"},
        {"oversubscribed_resources", FLAG_STRING, &s->oversubscribed_resources, NULL, "TEXT",
            "offered on top of --resources as revocable, such as \"cpus:2\""},
        {"revocable_cpu_low_priority", FLAG_BOOL, &s->revocable_cpu_low_priority, "true", NULL,
            "containers with revocable cpus get the processor only when others leave it"},
        {"domain", FLAG_STRING, &s->domain, NULL, "JSON",
            "fault domain of this machine, or file://PATH"},
        {"default_role", FLAG_STRING, &s->default_role, "*", "ROLE",
            "role of resources without one"},
        {"attributes", FLAG_STRING, &s->attributes, NULL, "TEXT",
            "such as \"rack:a;public_ip:true\""},
        {"cgroups_root", FLAG_STRING, &s->cgroups_root, NULL, "NAME",
            "control group that containers get theirs in"},
        {"cgroups_enable_cfs", FLAG_BOOL, &s->cpu_quota, "false", NULL,
            "hold containers to the cpus they asked for"},
        {"container_pids_max", FLAG_I64, &s->container_pids_max, "8192", "N",
            "processes and threads that one container may have; 0 = no limit"},
        {"switch_user", FLAG_BOOL, &s->switch_user, "true", NULL,
            "run tasks as the user of their framework or command"},
        {"executor_registration_timeout", FLAG_DURATION, &s->executor_registration_timeout_us,
            "1mins", "DURATION", "for a started executor to subscribe"},
        {"executor_reregistration_timeout", FLAG_DURATION, &s->executor_reregistration_timeout_us,
            "2secs", "DURATION", "for executors to come back after a restart of the agent"},
        {"executor_shutdown_grace_period", FLAG_DURATION, &s->executor_shutdown_grace_us, "5secs",
            "DURATION", "between asking an executor to end and killing it"},
        {"executor_environment_variables", FLAG_STRING, &s->executor_environment, NULL, "JSON",
            "variables for all executors"},
        {"recovery_timeout", FLAG_DURATION, &s->recovery_timeout_us, "15mins", "DURATION",
            "how long executors wait for a lost agent"},
        {"reconfiguration_policy", FLAG_STRING, &s->reconfiguration_policy, "equal", "POLICY",
            "\"equal\", or \"additive\": resources, attributes and a domain may be added"},
        {"zk_session_timeout", FLAG_DURATION, &s->zk_session_timeout_us, "10secs", "DURATION",
            "time without ZooKeeper after which no leader is known"},
        {"registration_backoff_factor", FLAG_DURATION, &s->registration_backoff_us, "1secs",
            "DURATION", "longest pause between attempts to reach the master"},
        {"fetcher_cache_dir", FLAG_STRING, &s->fetcher_cache_dir, NULL, "DIR",
            "downloads kept (default: <work_dir>/fetch)"},
        {"fetcher_cache_size", FLAG_BYTES, &s->fetcher_cache_size, "2GB", "SIZE",
            "bytes of downloads kept for each user"},
        {"fetcher_stall_timeout", FLAG_DURATION, &s->fetcher_stall_us, "1mins", "DURATION",
            "a download without progress for so long has failed"},
        {"gc_delay", FLAG_DURATION, &s->gc_delay_us, "1weeks", "DURATION",
            "how long sandboxes of ended executors stay"},
        {"gc_disk_headroom", FLAG_DOUBLE, &s->gc_headroom, "0.1", "SHARE",
            "share of the disk that collecting aims to keep free"},
        {"disk_watch_interval", FLAG_DURATION, &s->disk_watch_us, "1mins", "DURATION",
            "between looks at the disk's usage"},
        {"logging_level", FLAG_STRING, &s->logging_level, "INFO", "LEVEL",
            "ERROR, WARNING, INFO or DEBUG"},
        {"log_dir", FLAG_STRING, &s->log_dir, NULL, "PATH",
            "folder where the log is written too, as dcos-agent.log"},
        {"external_log_file", FLAG_STRING, &s->external_log_file, NULL, "PATH",
            "file that another program writes the log to; served as /slave/log"},
        {"ready_file", FLAG_STRING, &s->ready_file, NULL, "PATH", "written once the agent serves"},
    };
    _Static_assert(ARRAY_SIZE(flags) + AGENT_SECURITY_FLAGS + COMPAT_FLAGS_MAX <= AGENT_FLAGS_MAX,
        "too many flags");
    memcpy(out, flags, sizeof(flags));
    size_t n = ARRAY_SIZE(flags) + agent_security_flags(&s->security, out + ARRAY_SIZE(flags));
    return n + compat_flags(COMPAT_AGENT, out + n);
}

static int absolute(const char *path, char **ret, struct error *err)
{
    int r = mkdir_all(path, WORK_DIR_MODE, err);
    if (r < 0)
        return error_prefix(err, r, "cannot create %s", path);
    char *full = realpath(path, NULL);
    if (!full)
        return error_errno(err, -errno, "%s", path);
    *ret = full;
    return 0;
}

static int own_folder(char **ret, struct error *err)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n < 0)
        return error_errno(err, -errno, "cannot find this program's folder; give --launcher_dir");
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    *ret = xstrdup(path[0] ? path : "/");
    return 0;
}

static int prepare_folders(struct agent *a, struct error *err)
{
    struct agent_settings *s = &a->settings;
    int r = absolute(s->work_dir, &a->work_dir, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *run = path_join(a->work_dir, "run");
    r = absolute(s->runtime_dir ? s->runtime_dir : run, &a->runtime_dir, err);
    if (r < 0)
        return r;
    a->socket_path = path_join(a->runtime_dir, "agent.sock");
    if (s->launcher_dir) {
        a->launcher_dir = realpath(s->launcher_dir, NULL);
        if (!a->launcher_dir)
            return error_errno(err, -errno, "--launcher_dir=%s", s->launcher_dir);
        return 0;
    }
    return own_folder(&a->launcher_dir, err);
}

/* ---- the core's options ---- */

static int make_core(struct agent *a, struct error *err)
{
    struct agent_settings *s = &a->settings;
    bool additive = streq(s->reconfiguration_policy, "additive");
    if (!additive && !streq(s->reconfiguration_policy, "equal"))
        return error_set(err, -EINVAL, "--reconfiguration_policy is \"equal\" or \"additive\"");
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_resources_ struct resources resources = RESOURCES_INIT;
    int r = host_resources(s->resources, s->default_role, a->work_dir, &resources, err);
    if (r < 0)
        return r;
    _cleanup_resources_ struct resources oversubscribed = RESOURCES_INIT;
    Mesos__V1__AgentInfo info = MESOS__V1__AGENT_INFO__INIT;
    r = host_oversubscribed(s->oversubscribed_resources, &oversubscribed, err);
    if (r >= 0)
        r = host_domain(s->domain, &arena, &info.domain, err);
    if (r < 0)
        return r;
    info.hostname = a->hostname;
    info.has_port = true;
    info.port = a->port;
    info.resources = resources_to_wire(&resources, 0, &arena, &info.n_resources);
    struct buf text = BUF_INIT;
    resources_format(&resources, &text);
    log_info("resources of this agent: %s", buf_cstr(&text));
    buf_done(&text);
    if (s->attributes) {
        r = attributes_parse(
            str_of(s->attributes), &arena, &info.attributes, &info.n_attributes, err);
        if (r < 0)
            return error_prefix(err, r, "--attributes");
    }
    struct buf boot_id = BUF_INIT;
    host_boot_id(&boot_id);
    _cleanup_free_ char *executor = path_join(a->launcher_dir, "dcos-executor");
    struct agent_core_options options = {
        .info = &info,
        .version = DCOS_MESOS_VERSION,
        .boot_id = buf_cstr(&boot_id),
        .ip = s->ip,
        .executor_program = executor,
        .additive = additive,
        .oversubscribed = &oversubscribed,
        .executor_registration_timeout_us = s->executor_registration_timeout_us,
        .executor_reregistration_timeout_us = s->executor_reregistration_timeout_us,
        .executor_shutdown_grace_us = s->executor_shutdown_grace_us,
    };
    a->core = agent_core_new(&options);
    buf_done(&boot_id);
    return 0;
}

static int make_containerizer(struct agent *a, struct error *err)
{
    _cleanup_free_ char *launcher = path_join(a->launcher_dir, "dcos-launcher");
    struct containerizer_options options = {
        .runtime_dir = a->runtime_dir,
        .cgroups_root = a->settings.cgroups_root,
        .launcher_path = launcher,
        .cpu_quota = a->settings.cpu_quota,
        .on_exit = agent_container_exit,
        .userdata = a,
    };
    return containerizer_new(a->loop, &options, &a->containerizer, err);
}

/* ---- signals ---- */

static void stop(void *userdata, int signum)
{
    struct agent *a = userdata;
    log_info("signal %d: ending; executors and their tasks go on", signum);
    a->stopping = true;
    loop_stop(a->loop);
}

static void unregister(void *userdata, int signum)
{
    struct agent *a = userdata;
    log_info("signal %d: unregistering and ending all tasks", signum);
    struct agent_now now;
    agent_now(&now);
    agent_core_unregister(a->core, &now, "unregistered by signal");
    agent_pump(a);
}

/* ---- life ---- */

static int start(struct agent *a, struct error *err)
{
    struct agent_settings *s = &a->settings;
    a->hostname = xstrdup(s->hostname ? s->hostname : s->ip);
    a->start_wall_us = clock_realtime_us();
    int r = prepare_folders(a, err);
    if (r < 0)
        return r;
    if (!s->fetcher_cache_dir)
        s->fetcher_cache_dir = path_join(a->work_dir, "fetch");
    _cleanup_free_ char *url = xasprintf("sqlite:%s/agent.db", a->work_dir);
    r = store_open(a->loop, url, &a->store, err);
    if (r < 0)
        return error_prefix(err, r, "cannot open %s", url);
    store_on_slow(a->store, STORE_SLOW_US, daemon_slow_store, a);
    r = make_containerizer(a, err);
    if (r < 0)
        return r;
    r = agent_security_open(&a->security, &s->security, a->loop, err);
    if (r < 0)
        return r;
    gate_log_warnings(&a->security.gate);
    const struct http_client_options client = {.tls = a->security.gate.transport.client};
    a->client = http_client_new(a->loop, &client);
    r = agent_process_start(a, err);
    if (r < 0)
        return r;
    r = agent_http_start(a, err);
    if (r < 0)
        return r;
    r = make_core(a, err);
    if (r < 0)
        return r;
    r = agent_shell_start(a, err);
    if (r < 0)
        return r;
    agent_gc_start(a);
    daemon_tell_ready(s->ready_file, s->ip, a->port, NULL);
    return 0;
}

static void finish(struct agent *a)
{
    agent_link_stop(a);
    agent_conn_stop(a);
    if (a->server)
        http_server_free(a->server);
    agent_process_stop(a);
    if (a->client)
        http_client_free(a->client);
    if (a->collectables.next)
        agent_gc_stop(a);
    if (a->pending.next)
        agent_shell_stop(a);
    agent_launch_stop(a);
    if (a->containerizer)
        containerizer_free(a->containerizer);
    if (a->store)
        store_close(a->store);
    agent_core_free(a->core);
    agent_security_close(&a->security);
    free(a->work_dir);
    free(a->runtime_dir);
    free(a->launcher_dir);
    free(a->socket_path);
    free(a->hostname);
}

int main(int argc, char **argv)
{
    static struct agent agent;
    static struct flag flags[AGENT_FLAGS_MAX];
    struct agent *a = &agent;
    struct error err = ERROR_INIT;
    log_init(program.name);
    a->flags = flags;
    a->n_flags = define_flags(&a->settings, flags);
    int r = flags_parse(&program, flags, a->n_flags, argc, argv, &err);
    if (r > 0)
        return EXIT_SUCCESS;
    if (r >= 0 && a->settings.ip_discovery_command)
        r = compat_discover_ip(a->settings.ip_discovery_command, &a->discovered_ip, &err);
    if (a->discovered_ip)
        a->settings.ip = a->discovered_ip;
    if (r >= 0)
        r = compat_flags_check(flags, a->n_flags, a->settings.ip, &err);
    if (r >= 0)
        r = daemon_log_level(a->settings.logging_level, &err);
    if (r < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILURE;
    }
    zk_hide_passwords(flags, a->n_flags);
    compat_flags_log(flags, a->n_flags);
    umask(022);
    a->loop = loop_new();
    struct loop_signal *signals[] = {
        loop_signal_new(a->loop, SIGTERM, stop, a),
        loop_signal_new(a->loop, SIGINT, stop, a),
        loop_signal_new(a->loop, SIGHUP, gate_on_hangup, &a->security.gate),
        NULL,
    };
    r = start(a, &err);
    if (r < 0) {
        log_error("%s", err.msg);
        a->exit_code = EXIT_FAILURE;
    } else {
        signals[ARRAY_SIZE(signals) - 1] = loop_signal_new(a->loop, SIGUSR1, unregister, a);
        log_info("serving address=%s:%u hostname=%s work_dir=%s", a->settings.ip, a->port,
            a->hostname, a->work_dir);
        loop_run(a->loop);
    }
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        if (signals[i])
            loop_signal_free(signals[i]);
    finish(a);
    loop_free(a->loop);
    free(a->discovered_ip);
    return a->exit_code;
}
