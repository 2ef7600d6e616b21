#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/credentials.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "master/election.h"
#include "master/node_options.h"
#include "master/shell.h"
#include "process/daemon.h"
#include "process/compat_flags.h"
#include "zk/url.h"

/* Options and wiring of dcos-master. */

/* What clients see as the version of Mesos; dotted integers only, some parse it as such. */
static const char MESOS_VERSION[] = "1.11.0";

enum {
    RESTORE_PAGE = 1000,
    FLAG_TEXT_MAX = 1024 * 1024
}; /* bytes of a flag's value that is a file */

struct options {
    const char *ip, *hostname, *cluster, *ready_file, *logging_level;
    struct election_options election;
    uint16_t port;
    const char *log_dir, *external_log_file;
    bool framework_metrics;
    int64_t operators_max;
    int64_t ping_timeout, max_ping_timeouts, reregister_timeout, allocation_interval, offer_timeout,
        max_completed_frameworks, max_completed_tasks, max_unreachable_tasks, gc_interval,
        max_agent_age, max_agent_count;
    const char *removal_rate, *removal_limit;
    int64_t removal_interval; /* of the rate */
    unsigned removal_percent; /* of the limit */
    struct buf domain_text;   /* of a file, or as given */
    bool root_submissions, filter_gpu_resources;
    struct master_security_settings security;
    const char *role_sorter, *framework_sorter;
    double recovery_factor;
    const char *ip_discovery_command;
    char *discovered_ip;
    int64_t allocator_trace;
    const char *whitelist, *rate_limits;
    struct master_config allocator; /* the texts */
};

static void on_timer(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, timer);
    if (!shell_ready(s) || !store_confirm(s->store))
        return;
    shell_tick(s);
    if (master_core_failure(s->core)) {
        log_error("cannot go on error=%s", master_core_failure(s->core));
        s->failure = 1;
        loop_stop(s->loop);
        return;
    }
    shell_wake(s);
}

static void on_signal(void *userdata, int signum)
{
    struct shell *s = userdata;
    log_info("ending signal=%d", signum);
    loop_stop(s->loop);
}

static void on_lost(void *userdata)
{
    struct shell *s = userdata;
    log_error("leadership is lost, ending: %s", store_failure(s->store));
    s->failure = 1;
    loop_stop(s->loop);
}

/* ---- recovery ---- */

struct restore {
    struct shell *shell;
    char last[STORE_KEY_MAX + 1];
    size_t n;
    int failed;
};

static bool restore_entry(const struct store_entry *e, void *userdata)
{
    struct restore *r = userdata;
    struct error err = ERROR_INIT;
    r->failed = master_core_restore(r->shell->core, e->key, e->value.p, e->value.n, &err);
    if (r->failed < 0) {
        log_error("cannot recover error=%s", err.msg);
        return false;
    }
    snprintf(r->last, sizeof(r->last), "%s", e->key);
    r->n++;
    shell_registry_size(r->shell, e->key, e->value.n, false);
    return true;
}

static int restore_all(struct shell *s)
{
    struct restore r = {.shell = s};
    for (;;) {
        struct error err = ERROR_INIT;
        ssize_t n = store_list(
            s->store, "", r.last[0] ? r.last : NULL, RESTORE_PAGE, restore_entry, &r, &err);
        if (n < 0) {
            log_error("cannot read the store error=%s", err.msg);
            return (int)n;
        }
        if (r.failed < 0)
            return r.failed;
        if (n == 0)
            break;
    }
    log_info("recovered entries=%zu", r.n);
    return 0;
}

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    struct shell *s = userdata;
    if (status < 0) {
        if (status != -ECANCELED) {
            log_error("cannot become leader error=%s", store_failure(s->store));
            s->failure = 1;
            loop_stop(s->loop);
        }
        return;
    }
    s->leading = true;
    s->elected_us = shell_now(s);
    int64_t began = clock_monotonic_us();
    if (restore_all(s) < 0) {
        s->failure = 1;
        loop_stop(s->loop);
        return;
    }
    metric_timer_add(&s->fetch_ms, clock_monotonic_us() - began);
    master_core_start(s->core, epoch, s->master_id, shell_now(s));
    s->recovered = true;
    log_info("leading epoch=%llu id=%s address=%s:%u", (unsigned long long)epoch, s->master_id,
        s->ip, s->port);
    shell_wake(s);
    shell_write_ready(s);
}

void shell_write_ready(struct shell *s)
{
    daemon_tell_ready(s->ready_file, s->ip, s->port, NULL);
    s->ready_file = NULL;
}

/* A standby serves redirects; it is ready without leading. */
static void on_standby(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, standby_timer);
    if (!s->leading)
        log_info("another master leads, standing by");
    shell_write_ready(s);
}

/* ---- HTTP ---- */

static bool path_is(struct str path, const char *want)
{
    if (str_has_prefix(path, STR("/master/"))) {
        path.p += sizeof("/master") - 1;
        path.n -= sizeof("/master") - 1;
    }
    return str_eq_c(path, want);
}

static void handle(struct http_request *req, void *userdata)
{
    struct shell *s = userdata;
    if (!gate_passable(&s->security.gate, req))
        return;
    if (s->leading && !store_confirm(s->store)) {
        http_respond_text(req, 503, "No leader elected");
        return;
    }
    if (path_is(req->path, "/api/v1/scheduler"))
        scheduler_http_handle(req, userdata);
    else if (str_eq_c(req->path, "/api/internal/agent"))
        agent_link_handle(req, userdata);
    else if (path_is(req->path, "/api/v1"))
        operator_api_handle(req, userdata);
    else
        operator_http_handle(req, userdata);
}

/* ---- start ---- */

static int check_sorter(const char *flag, const char *value)
{
    if (streq(value, "drf") || streq(value, "random"))
        return 0;
    fprintf(stderr, "dcos-master: --%s must be drf or random\n", flag);
    return -EINVAL;
}

static int check_allocator(struct options *o)
{
    struct error err = ERROR_INIT;
    if (o->allocator.domain) {
        if (flag_text_read(o->allocator.domain, FLAG_TEXT_MAX, &o->domain_text, &err) < 0) {
            fprintf(stderr, "dcos-master: --domain: %s\n", err.msg);
            return -EINVAL;
        }
        o->allocator.domain = buf_cstr(&o->domain_text);
    }
    if (check_sorter("role_sorter", o->role_sorter) < 0 ||
        check_sorter("framework_sorter", o->framework_sorter) < 0)
        return -EINVAL;
    if (o->recovery_factor < 0 || o->recovery_factor > 1 || o->allocator_trace < 0 ||
        o->allocator.allocator_recovery_timeout_us < 0) {
        fprintf(stderr, "dcos-master: --allocator_agent_recovery_factor is a number from 0 to 1, "
                        "the other settings of the allocator must not be negative\n");
        return -EINVAL;
    }
    if (master_config_check(&o->allocator, &err) < 0) {
        fprintf(stderr, "dcos-master: %s\n", err.msg);
        return -EINVAL;
    }
    return 0;
}

static int parse_options(struct options *o, struct flag *flags, size_t n, int argc, char **argv)
{
    static const struct program program = {.name = "dcos-master",
        .summary = "Cluster kernel: agents, offers, tasks, operator API.",
        .env_prefix = "MESOS",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    int r = flags_parse(&program, flags, n, argc, argv, &err);
    if (r == 0 && o->ip_discovery_command)
        r = compat_discover_ip(o->ip_discovery_command, &o->discovered_ip, &err);
    if (o->discovered_ip)
        o->ip = o->discovered_ip;
    if (r == 0)
        r = compat_flags_check(flags, n, o->ip, &err);
    if (r == 0)
        r = daemon_log_level(o->logging_level, &err);
    if (r < 0) {
        fprintf(stderr, "dcos-master: %s\n", err.msg);
        return r;
    }
    if (r > 0)
        return r;
    if (!o->election.work_dir && !o->election.store && !o->election.zk) {
        fprintf(stderr, "dcos-master: --work_dir=PATH or --zk=zk://HOST:PORT,.../PATH says where "
                        "to keep state\n");
        return -EINVAL;
    }
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, o->ip, &v4) != 1 && inet_pton(AF_INET6, o->ip, &v6) != 1) {
        fprintf(stderr, "dcos-master: --ip must be a numeric address\n");
        return -EINVAL;
    }
    if (o->ping_timeout <= 0 || o->max_ping_timeouts <= 0 || o->reregister_timeout <= 0 ||
        o->allocation_interval <= 0 || o->offer_timeout < 0 || o->max_completed_frameworks < 0 ||
        o->max_completed_tasks < 0 || o->max_unreachable_tasks < 0 || o->gc_interval <= 0 ||
        o->max_agent_age <= 0 || o->max_agent_count < 0 || o->operators_max <= 0) {
        fprintf(stderr, "dcos-master: times and limits must be positive\n");
        return -EINVAL;
    }
    if ((o->removal_rate && removal_rate_parse(o->removal_rate, &o->removal_interval, &err) < 0) ||
        percent_parse(o->removal_limit, &o->removal_percent, &err) < 0) {
        fprintf(stderr, "dcos-master: %s\n", err.msg);
        return -EINVAL;
    }
    return check_allocator(o);
}

static void make_core(struct shell *s, const struct options *o)
{
    struct master_config c;
    master_config_defaults(&c);
    c.min_allocatable_resources = o->allocator.min_allocatable_resources;
    c.fair_sharing_excluded = o->allocator.fair_sharing_excluded;
    c.weights = o->allocator.weights;
    c.roles = o->allocator.roles;
    c.domain = o->allocator.domain;
    c.require_agent_domain = o->allocator.require_agent_domain;
    c.allocator_recovery_timeout_us = o->allocator.allocator_recovery_timeout_us;
    c.role_sorter_random = streq(o->role_sorter, "random");
    c.framework_sorter_random = streq(o->framework_sorter, "random");
    c.recovery_factor_milli = (int64_t)(o->recovery_factor * 1000 + 0.5);
    c.allocator_trace = (size_t)o->allocator_trace;
    c.agent_ping_timeout_us = o->ping_timeout;
    c.max_agent_ping_timeouts = (unsigned)o->max_ping_timeouts;
    c.agent_reregister_timeout_us = o->reregister_timeout;
    c.agent_removal_interval_us = o->removal_interval;
    c.recovery_agent_removal_limit = o->removal_percent;
    c.registry_gc_interval_us = o->gc_interval;
    c.registry_max_agent_age_us = o->max_agent_age;
    c.registry_max_agent_count = (size_t)o->max_agent_count;
    c.allocation_interval_us = o->allocation_interval;
    c.offer_timeout_us = o->offer_timeout;
    c.max_completed_frameworks = (size_t)o->max_completed_frameworks;
    c.max_completed_tasks = (size_t)o->max_completed_tasks;
    c.max_unreachable_tasks = (size_t)o->max_unreachable_tasks;
    c.root_submissions = o->root_submissions;
    c.filter_gpu_resources = o->filter_gpu_resources;
    c.authorizer = s->authorizer;
    c.hostname = s->hostname;
    c.ip = s->ip;
    c.port = s->port;
    c.version = MESOS_VERSION;
    s->core = master_core_new(&c);
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    master_core_seed(s->core, seed);
}

static int open_security(struct shell *s, const struct options *o, struct error *err)
{
    int r = master_security_open(&s->security, &o->security, s->loop, err);
    if (r < 0)
        return r;
    s->authorizer = s->security.gate.authorizer;
    gate_log_warnings(&s->security.gate);
    return 0;
}

static int open_rates(struct shell *s, const struct options *o, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = o->rate_limits ? flag_text_read(o->rate_limits, FLAG_TEXT_MAX, &text, err) : 0;
    if (r < 0)
        return error_prefix(err, r, "--rate_limits");
    return rate_limits_new(
        s->loop, o->rate_limits ? buf_cstr(&text) : NULL, scheduler_http_go, s, &s->rates, err);
}

static int start(struct shell *s, const struct options *o, struct error *err)
{
    uuid_random_text(s->master_id);
    s->start_real_us = clock_realtime_us();
    s->start_mono_us = clock_monotonic_us();
    s->start_us = s->start_real_us;
    snprintf(s->ip, sizeof(s->ip), "%s", o->ip);
    snprintf(s->hostname, sizeof(s->hostname), "%s", o->hostname ? o->hostname : o->ip);
    int r = operator_process_start(s, o->log_dir, o->external_log_file, err);
    if (r < 0)
        return r;
    r = open_security(s, o, err);
    if (r < 0)
        return r;
    r = election_open(s, &o->election, err);
    if (r < 0)
        return r;
    store_on_slow(s->store, STORE_SLOW_US, daemon_slow_store, s);
    /* Agents report everything that runs on them in one record, and peers may read slowly. */
    const struct http_server_options http = {.stream_buffer_max = 2 * PEER_QUEUE_MAX};
    s->server = http_server_new(s->loop, &http, handle, s);
    r = http_server_listen(
        s->server, o->ip, o->port, s->security.gate.transport.server, &s->port, err);
    if (r < 0)
        return r;
    make_core(s, o);
    r = whitelist_start(s, o->whitelist, err);
    if (r == 0)
        r = open_rates(s, o, err);
    if (r < 0)
        return r;
    store_on_lost(s->store, on_lost, s);
    r = election_stand(s, on_leader);
    if (r < 0)
        return error_set(err, r, "cannot stand for leadership");
    timer_start(&s->standby_timer, 2 * USEC_PER_SEC);
    return 0;
}

static void stop(struct shell *s)
{
    /* Connections that end now are no news for the core. */
    struct master_core *core = s->core;
    s->core = NULL;
    timer_stop(&s->timer);
    timer_stop(&s->standby_timer);
    timer_stop(&s->operator_heartbeat);
    deferred_cancel(&s->wake);
    if (s->server)
        http_server_free(s->server);
    shell_forget_promises(s);
    operator_process_stop(s);
    rate_limits_free(s->rates);
    whitelist_stop(s);
    documents_free(s->documents);
    election_free(s);
    if (s->store)
        store_close(s->store);
    master_core_free(core);
    master_security_close(&s->security);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct flag flags[] = {
        {"ip", FLAG_STRING, &o.ip, "127.0.0.1", "ADDRESS", "address to listen on"},
        {"ip_discovery_command", FLAG_STRING, &o.ip_discovery_command, NULL, "COMMAND",
            "prints that address; used instead of --ip"},
        {"port", FLAG_PORT, &o.port, "5050", "PORT", "port to listen on; 0 picks a free one"},
        {"hostname", FLAG_STRING, &o.hostname, NULL, "NAME",
            "name to tell others; default: the ip"},
        {"work_dir", FLAG_STRING, &o.election.work_dir, NULL, "PATH", "folder for state"},
        {"zk", FLAG_STRING, &o.election.zk, NULL, "URL",
            "zk://[user:password@]host:port,.../path of several masters, which elect a leader and "
            "keep state there; or file:///path of a file that holds it"},
        {"zk_session_timeout", FLAG_DURATION, &o.election.session_timeout_us, "10secs", "DURATION",
            "time after which a silent leader is replaced"},
        {"quorum", FLAG_I64, &o.election.quorum, NULL, "N",
            "taken for compatibility; ZooKeeper has its own"},
        {"store", FLAG_STRING, &o.election.store, NULL, "URL",
            "where state is kept; default sqlite:<work_dir>/master.db, or as --zk says"},
        {"cluster", FLAG_STRING, &o.cluster, NULL, "NAME", "name of the cluster, for people"},
        {"agent_ping_timeout", FLAG_DURATION, &o.ping_timeout, "2secs", "DURATION",
            "time an agent has to answer a ping"},
        {"max_agent_ping_timeouts", FLAG_I64, &o.max_ping_timeouts, "4", "N",
            "missed pings after which an agent is unreachable"},
        {"agent_removal_rate_limit", FLAG_STRING, &o.removal_rate, NULL, "N/DURATION",
            "how many agents may become unreachable in what time; unset: no limit"},
        {"recovery_agent_removal_limit", FLAG_STRING, &o.removal_limit, "100%", "PERCENT",
            "share of the known agents that may be missing after a fail-over; with more the master "
            "ends"},
        {"registry_gc_interval", FLAG_DURATION, &o.gc_interval, "15mins", "DURATION",
            "how often old unreachable and gone agents are forgotten"},
        {"registry_max_agent_age", FLAG_DURATION, &o.max_agent_age, "2weeks", "DURATION",
            "how long unreachable and gone agents are known"},
        {"registry_max_agent_count", FLAG_I64, &o.max_agent_count, "102400", "N",
            "how many unreachable and how many gone agents are known"},
        {"agent_reregister_timeout", FLAG_DURATION, &o.reregister_timeout, "10mins", "DURATION",
            "time known agents have to come back after a fail-over of the master"},
        {"allocation_interval", FLAG_DURATION, &o.allocation_interval, "1secs", "DURATION",
            "shortest time a declined offer stays away from who declined it"},
        {"offer_timeout", FLAG_DURATION, &o.offer_timeout, NULL, "DURATION",
            "time after which unused offers are taken back; unset: never"},
        {"max_completed_frameworks", FLAG_I64, &o.max_completed_frameworks, "50", "N",
            "removed frameworks to remember"},
        {"max_completed_tasks_per_framework", FLAG_I64, &o.max_completed_tasks, "1000", "N",
            "ended tasks to remember per framework"},
        {"max_unreachable_tasks_per_framework", FLAG_I64, &o.max_unreachable_tasks, "1000", "N",
            "unreachable tasks to remember per framework"},
        {"root_submissions", FLAG_BOOL, &o.root_submissions, "true", NULL,
            "let frameworks run as root"},
        {"filter_gpu_resources", FLAG_BOOL, &o.filter_gpu_resources, "true", NULL,
            "keep agents with GPUs for frameworks that know them"},
        {"max_operator_event_stream_subscribers", FLAG_I64, &o.operators_max, "1000", "N",
            "operators that follow events; one more ends the oldest one's stream"},
        {"role_sorter", FLAG_STRING, &o.role_sorter, "drf", "NAME",
            "whose turn it is among roles: drf (dominant-resource fairness) or random"},
        {"framework_sorter", FLAG_STRING, &o.framework_sorter, "drf", "NAME",
            "the same among the frameworks of a role"},
        {"min_allocatable_resources", FLAG_STRING, &o.allocator.min_allocatable_resources,
            "cpus:0.01|mem:32", "SETS", "what an offer must have: one of the sets, whole"},
        {"fair_sharing_excluded_resource_names", FLAG_STRING, &o.allocator.fair_sharing_excluded,
            NULL, "NAMES", "resources that do not count for fairness"},
        {"weights", FLAG_STRING, &o.allocator.weights, NULL, "ROLE=WEIGHT,...",
            "weights of roles, as long as none were set at run time"},
        {"roles", FLAG_STRING, &o.allocator.roles, NULL, "ROLE,...",
            "the roles that may be used; default: any"},
        {"domain", FLAG_STRING, &o.allocator.domain, NULL, "JSON",
            "fault domain of the master, as DomainInfo, or file://PATH"},
        {"require_agent_domain", FLAG_BOOL, &o.allocator.require_agent_domain, "false", NULL,
            "refuse agents without a fault domain"},
        {"allocator_recovery_timeout", FLAG_DURATION, &o.allocator.allocator_recovery_timeout_us,
            "10mins", "DURATION", "longest wait for agents after a fail-over, with quotas set"},
        {"allocator_agent_recovery_factor", FLAG_DOUBLE, &o.recovery_factor, "0.8", "FRACTION",
            "part of the known agents that must be back before offers are made, with quotas set"},
        {"whitelist", FLAG_STRING, &o.whitelist, NULL, "FILE",
            "hosts whose agents are offered, one a line, read every 5 seconds; default: all"},
        {"rate_limits", FLAG_STRING, &o.rate_limits, NULL, "JSON",
            "how often frameworks may call, by principal; JSON or a file with it"},
        {"allocator_trace", FLAG_I64, &o.allocator_trace, "8192", "N",
            "decisions of the allocator to remember for /allocator/trace; 0: none"},
        {"publish_per_framework_metrics", FLAG_BOOL, &o.framework_metrics, "true", NULL,
            "tell metrics of each framework"},
        {"log_dir", FLAG_STRING, &o.log_dir, NULL, "PATH",
            "folder where the log is written too, as dcos-master.log"},
        {"external_log_file", FLAG_STRING, &o.external_log_file, NULL, "PATH",
            "file that another program writes the log to; served as /master/log"},
        {"logging_level", FLAG_STRING, &o.logging_level, "INFO", "LEVEL",
            "error, warning, info or debug"},
        {"ready_file", FLAG_STRING, &o.ready_file, NULL, "PATH",
            "written once the master serves: {\"ip\",\"port\",\"pid\"}"},
    };
    log_init("dcos-master");
    struct flag all[ARRAY_SIZE(flags) + MASTER_SECURITY_FLAGS + COMPAT_FLAGS_MAX];
    memcpy(all, flags, sizeof(flags));
    size_t n_flags = ARRAY_SIZE(flags) +
                     master_security_flags(&o.security, all + ARRAY_SIZE(flags));
    n_flags += compat_flags(COMPAT_MASTER, all + n_flags);
    int r = parse_options(&o, all, n_flags, argc, argv);
    if (r != 0)
        return r > 0 ? 0 : 2;
    zk_hide_passwords(all, n_flags);
    compat_flags_log(all, n_flags);

    struct shell s = {.flags = all,
        .n_flags = n_flags,
        .cluster = o.cluster,
        .version = MESOS_VERSION,
        .framework_metrics = o.framework_metrics,
        .operators_max = (size_t)o.operators_max,
        .ready_file = o.ready_file};
    s.loop = loop_new();
    list_init(&s.dirty);
    list_init(&s.operators);
    list_init(&s.promises);
    deferred_init(&s.wake, shell_pump);
    s.documents = documents_new(&s);
    timer_init(&s.timer, s.loop, on_timer);
    timer_init(&s.standby_timer, s.loop, on_standby);
    timer_init(&s.whitelist_timer, s.loop, NULL);
    timer_init(&s.operator_heartbeat, s.loop, operator_stream_heartbeat);
    struct loop_signal *term = loop_signal_new(s.loop, SIGTERM, on_signal, &s);
    struct loop_signal *intr = loop_signal_new(s.loop, SIGINT, on_signal, &s);
    struct loop_signal *hangup = loop_signal_new(s.loop, SIGHUP, gate_on_hangup, &s.security.gate);
    signal(SIGPIPE, SIG_IGN);

    struct error err = ERROR_INIT;
    if (start(&s, &o, &err) < 0) {
        log_error("cannot start error=%s", err.msg);
        s.failure = 1;
    } else {
        log_info("listening address=%s:%u version=%s", s.ip, s.port, DCOS_VERSION);
        loop_run(s.loop);
    }
    stop(&s);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_signal_free(hangup);
    loop_free(s.loop);
    umap_done(&s.peers);
    buf_done(&o.domain_text);
    free(o.discovered_ip);
    return s.failure;
}
