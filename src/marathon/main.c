#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "auth/login.h"
#include "auth/transport.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/rng.h"
#include "marathon/shell.h"
#include "process/daemon.h"
#include "zk/url.h"

/* Options and wiring of dcos-marathon. */

struct flags_out {
    const char *zk;
    int64_t zk_session_timeout, zk_timeout, zk_connection_timeout;
    const char *master, *http_address, *hostname, *work_dir, *store, *framework_name, *mesos_role,
        *mesos_user, *ready_file, *accepted, *enforce, *executor, *env_prefix, *bridge,
        *default_network, *webui_url, *logging_level, *features;
    const char *principal, *secret_file, *token_file, *iam_url, *iam_token_file, *service_account;
    struct transport_settings transport;
    uint16_t http_port;
    int64_t failover_s, reconcile_delay, reconcile_interval, scale_delay, scale_interval, decline,
        min_revive, max_per_offer, tokens, token_interval, max_deployments, max_versions, port_min,
        port_max, confirm_timeout, launch_timeout, expunge_delay, expunge_interval, kill_retry;
};

struct running {
    struct shell shell;
    struct transport transport;
    struct login *login;   /* towards the master: one of these two */
    struct login *own;     /* of a secret or a token */
    struct login *service; /* of --service_account */
    const char *ready_file, *ip;
};

static void on_signal(void *userdata, int signum)
{
    struct shell *s = userdata;
    log_info("ending signal=%d", signum);
    s->stopping = true;
    loop_stop(s->loop);
}

static void on_lost(void *userdata)
{
    shell_fail(userdata, "leadership is lost", "another Marathon leads");
}

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    struct running *r = userdata;
    struct shell *s = &r->shell;
    if (status < 0) {
        if (status != -ECANCELED)
            shell_fail(s, "cannot become leader", store_failure(s->store));
        return;
    }
    if (shell_load(s) < 0)
        return;
    scheduler_client_start(s->scheduler);
    log_info("leading epoch=%llu address=%s", (unsigned long long)epoch, s->address);
    daemon_tell_ready(r->ready_file, r->ip, s->info.http_port, NULL);
}

static bool has_feature(const char *features, const char *name)
{
    struct str rest = str_of(features), part;
    while (str_split(&rest, ',', &part))
        if (str_eq_c(str_trim(part), name))
            return true;
    return false;
}

/* Those that are named and not built are refused where an app asks for them. */
static int check_features(const char *features)
{
    static const char *const known[] = {
        "vips", "task_killing", "external_volumes", "secrets", "gpu_resources"};
    struct str rest = str_of(features), part;
    while (str_split(&rest, ',', &part)) {
        bool found = str_trim(part).n == 0;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
            found = found || str_eq_c(str_trim(part), known[i]);
        if (!found) {
            fprintf(stderr, "dcos-marathon: --enable_features: unknown feature " STR_FMT "\n",
                STR_ARG(str_trim(part)));
            return -EINVAL;
        }
    }
    return 0;
}

static int check_options(const struct flags_out *o)
{
    struct error err = ERROR_INIT;
    if (daemon_log_level(o->logging_level, &err) < 0) {
        fprintf(stderr, "dcos-marathon: %s\n", err.msg);
        return -EINVAL;
    }
    if (!o->work_dir && !o->store && !o->zk) {
        fprintf(stderr, "dcos-marathon: --work_dir=PATH or --zk=zk://HOST:PORT,.../PATH says where "
                        "to keep state\n");
        return -EINVAL;
    }
    if (o->zk && o->store) {
        fprintf(stderr, "dcos-marathon: --zk and --store both say where state is kept: give one\n");
        return -EINVAL;
    }
    if (o->port_min < 1 || o->port_max > 65535 || o->port_min >= o->port_max ||
        o->max_per_offer < 1 || o->tokens < 1 || o->token_interval < 1 || o->max_deployments < 1 ||
        o->max_versions < 1 || o->min_revive < 0 || o->decline < 0 || o->failover_s < 0 ||
        o->reconcile_interval < 1 || o->scale_interval < 1 || o->expunge_interval < 1 ||
        o->kill_retry < 1 || o->zk_session_timeout < 1) {
        fprintf(stderr, "dcos-marathon: times and limits must be positive\n");
        return -EINVAL;
    }
    return check_features(o->features);
}

static void fill_options(struct shell *s, const struct flags_out *o)
{
    struct core_options *c = &s->options;
    s->app_options = (struct app_options){o->default_network, o->bridge};
    c->framework_name = o->framework_name;
    c->hostname = o->hostname ? o->hostname : o->http_address;
    c->mesos_role = o->mesos_role;
    c->mesos_user = o->mesos_user;
    c->env_prefix = o->env_prefix;
    c->executor = o->executor;
    c->features = o->features;
    c->task_killing = has_feature(o->features, "task_killing");
    c->app = &s->app_options;
    c->accepted = streq(o->accepted, "unreserved") ? ACCEPTED_UNRESERVED
                  : streq(o->accepted, "reserved") ? ACCEPTED_RESERVED
                                                   : ACCEPTED_ANY;
    c->new_group_enforce_role = streq(o->enforce, "top");
    c->local_port_min = (int32_t)o->port_min;
    c->local_port_max = (int32_t)o->port_max;
    c->max_versions = (int32_t)o->max_versions;
    c->max_running_deployments = (int32_t)o->max_deployments;
    c->max_instances_per_offer = (int32_t)o->max_per_offer;
    c->launch_tokens = (int32_t)o->tokens;
    c->launch_token_interval_us = o->token_interval * USEC_PER_MSEC;
    c->decline_us = o->decline * USEC_PER_MSEC;
    c->min_revive_us = o->min_revive * USEC_PER_MSEC;
    c->failover_timeout_us = o->failover_s * USEC_PER_SEC;
    c->reconcile_delay_us = o->reconcile_delay * USEC_PER_MSEC;
    c->reconcile_interval_us = o->reconcile_interval * USEC_PER_MSEC;
    c->scale_delay_us = o->scale_delay * USEC_PER_MSEC;
    c->scale_interval_us = o->scale_interval * USEC_PER_MSEC;
    c->confirm_timeout_us = o->confirm_timeout * USEC_PER_MSEC;
    c->launch_timeout_us = o->launch_timeout * USEC_PER_MSEC;
    c->expunge_delay_us = o->expunge_delay * USEC_PER_MSEC;
    c->expunge_interval_us = o->expunge_interval * USEC_PER_MSEC;
    c->kill_retry_us = o->kill_retry * USEC_PER_MSEC;
}

/* With --zk state and the election of the leader are below the path, in folders of our own. */
static int open_store(struct shell *s, const struct flags_out *o, struct error *err)
{
    _cleanup_free_ char *url = NULL;
    const struct store_options options = {
        .session_timeout_us = o->zk_session_timeout * USEC_PER_MSEC};
    int r = 0;
    if (o->zk)
        r = zk_flag_load(o->zk, &url, err);
    else
        url = o->store ? xstrdup(o->store) : xasprintf("sqlite:%s/marathon.db", o->work_dir);
    if (r == 0 && o->zk && !zk_is_url(url))
        r = error_set(err, -EINVAL, "expected zk://host:port,.../path");
    if (r == 0)
        r = store_open_with(s->loop, url, &options, &s->store, err);
    return r < 0 ? error_prefix(err, r, o->zk ? "--zk" : "store") : 0;
}

/* TLS, and what to show to the master. */
static int open_security(struct running *r, const struct flags_out *o, struct error *err)
{
    struct transport_settings transport = o->transport;
    bool exposed = false;
    int rc = transport_open(&transport, &r->transport, err);
    if (rc < 0)
        return rc;
    if (o->secret_file && !o->principal)
        return error_set(err, -EINVAL,
            "--mesos_authentication_secret_file needs --mesos_authentication_principal");
    if (o->secret_file && o->token_file)
        return error_set(err, -EINVAL, "either a secret or a token");
    if (o->service_account && o->iam_token_file)
        return error_set(err, -EINVAL, "--service_account and --iam_token_file: give one");
    if (o->secret_file)
        rc = login_new_secret(o->principal, o->secret_file, &r->own, &exposed, err);
    else if (o->token_file)
        rc = login_new(NULL, o->token_file, &r->own, &exposed, err);
    if (rc == 0 && exposed)
        log_warn("the file with what is shown to the master can be read by everybody");
    if (rc == 0 && o->service_account) {
        rc = login_new_service(
            r->shell.loop, o->service_account, r->transport.client, &r->service, &exposed, err);
        if (rc < 0)
            return error_prefix(err, rc, "--service_account");
        if (exposed)
            log_warn("the secret of the service account can be read by everybody");
    }
    r->login = r->own ? r->own : r->service;
    r->shell.options.principal = o->principal ? o->principal : login_principal(r->login);
    r->shell.info.tls = r->transport.server;
    return rc;
}

/* With --iam_url callers of the API show who they are, and its permissions decide. */
static int open_access(struct running *r, const struct flags_out *o, struct error *err)
{
    struct shell *s = &r->shell;
    if (!o->iam_url)
        return 0;
    s->keys = jwt_keys_new();
    const struct policy_follow_options options = {.loop = s->loop,
        .url = o->iam_url,
        .token_file = o->iam_token_file,
        .login = r->service,
        .tls = r->transport.client,
        .keys = s->keys};
    int rc = policy_follow_new(&options, &s->follow, err);
    if (rc < 0)
        return error_prefix(err, rc, "--iam_url");
    const struct authenticator_options tokens = {
        .names = "jwt", .keys = s->keys, .policy = policy_follow_policy(s->follow)};
    return authenticator_new(&tokens, &s->authenticator, err);
}

static int start(struct running *r, const struct flags_out *o, struct error *err)
{
    struct shell *s = &r->shell;
    uint64_t seed;
    int secured = open_security(r, o, err);
    if (secured >= 0)
        secured = open_access(r, o, err);
    if (secured < 0)
        return secured;
    if (o->work_dir) {
        int rc = mkdir_all(o->work_dir, 0755, err);
        if (rc < 0)
            return rc;
    }
    int rc = open_store(s, o, err);
    if (rc < 0)
        return rc;
    store_on_slow(s->store, STORE_SLOW_US, daemon_slow_store, s);
    s->server = http_server_new(s->loop, NULL, server_handle, s);
    rc = http_server_listen(
        s->server, o->http_address, o->http_port, r->transport.server, &s->info.http_port, err);
    if (rc < 0)
        return rc;
    snprintf(s->address, sizeof(s->address), "%s:%u", s->options.hostname, s->info.http_port);
    s->info.version = DCOS_VERSION;
    s->info.address = s->address;
    s->info.master_flag = s->master_shown = zk_url_shown(o->master);
    s->info.zk = s->zk_shown = o->zk ? zk_url_shown(o->zk) : NULL;
    s->info.zk_session_timeout_ms = o->zk_session_timeout;
    s->info.started_us = s->start_real_us;
    s->options.webui_url = o->webui_url
                               ? xstrdup(o->webui_url)
                               : xasprintf("http%s://%s", s->info.tls ? "s" : "", s->address);
    rc = tls_context_new_client(NULL, false, &s->tls, err);
    if (rc < 0)
        return rc;
    s->standby.tls = r->transport.client;
    const struct http_client_options http = {.tls = s->tls};
    s->probes_http = http_client_new(s->loop, &http);
    const struct scheduler_options scheduler = {
        .masters = o->master, .tls = r->transport.client, .login = r->login};
    rc = scheduler_client_new(s->loop, &scheduler, &mesos_handlers, s, &s->scheduler, err);
    if (rc < 0)
        return rc;
    random_bytes(&seed, sizeof(seed));
    s->core = core_new(&s->options, seed);
    store_on_lost(s->store, on_lost, s);
    return store_lead(s->store, s->address, on_leader, r);
}

static void stop(struct shell *s)
{
    s->stopping = true;
    if (s->loaded) {
        timer_stop(&s->timer);
        deferred_cancel(&s->pump);
    }
    timer_stop(&s->heartbeat);
    scheduler_client_free(s->scheduler);
    prober_close(s);
    events_close(s);
    while (!list_empty(&s->held)) {
        struct held *h = list_first(&s->held, struct held, node);
        list_remove(&h->node);
        if (h->item.type == OUT_REPLY)
            server_forget(h->item.context);
        out_item_done(&h->item);
        free(h);
    }
    if (s->core)
        VEC_FOREACH (item, &s->core->out)
            if (item->type == OUT_REPLY)
                server_forget(item->context);
    if (s->server)
        http_server_free(s->server);
    standby_close(s);
    authenticator_free(s->authenticator);
    policy_follow_free(s->follow);
    jwt_keys_free(s->keys);
    if (s->probes_http)
        http_client_free(s->probes_http);
    if (s->store)
        store_close(s->store);
    core_free(s->core);
    tls_context_free(s->tls);
    free(s->master_region);
    free(s->master_shown);
    free(s->zk_shown);
    free((char *)(uintptr_t)s->options.webui_url);
}

int main(int argc, char **argv)
{
    struct flags_out o = {0};
    struct flag flags[] = {
        {"master", FLAG_STRING, &o.master, NULL, "HOST:PORT",
            "the master, several with commas, or zk://host:port,.../path", .required = true},
        {"http_address", FLAG_STRING, &o.http_address, "127.0.0.1", "ADDRESS",
            "address to listen on"},
        {"http_port", FLAG_PORT, &o.http_port, "8080", "PORT", "0 picks a free one"},
        {"hostname", FLAG_STRING, &o.hostname, NULL, "NAME", "name to tell others"},
        {"iam_url", FLAG_STRING, &o.iam_url, NULL, "URL",
            "identity service: unix:/PATH, http://HOST:PORT or https://HOST:PORT; callers of the "
            "API must show its tokens, and its permissions decide"},
        {"iam_token_file", FLAG_STRING, &o.iam_token_file, NULL, "PATH",
            "token to show to it; the unix socket needs none"},
        {"work_dir", FLAG_STRING, &o.work_dir, NULL, "PATH", "folder for state"},
        {"store", FLAG_STRING, &o.store, NULL, "URL", "default sqlite:<work_dir>/marathon.db"},
        {"zk", FLAG_STRING, &o.zk, NULL, "URL",
            "zk://[user:password@]host:port,.../path of several Marathons, which elect a leader "
            "and "
            "keep state there; or file:///path of a file that holds it"},
        {"zk_session_timeout", FLAG_I64, &o.zk_session_timeout, "10000", "MS",
            "after which a silent leader is replaced"},
        {"zk_timeout", FLAG_I64, &o.zk_timeout, "10000", "MS",
            "taken for compatibility; storage is waited for"},
        {"zk_connection_timeout", FLAG_I64, &o.zk_connection_timeout, "10000", "MS",
            "taken for compatibility; ZooKeeper is waited for"},
        {"framework_name", FLAG_STRING, &o.framework_name, "marathon", "NAME", "of the framework"},
        {"mesos_role", FLAG_STRING, &o.mesos_role, "*", "ROLE", "role of services in /"},
        {"mesos_user", FLAG_STRING, &o.mesos_user, NULL, "USER", "default: who runs it"},
        {"failover_timeout", FLAG_I64, &o.failover_s, "604800", "SECONDS",
            "time the master keeps our tasks without us"},
        {"accepted_resource_roles_default_behavior", FLAG_STRING, &o.accepted, "any", "KIND",
            "any, unreserved or reserved"},
        {"new_group_enforce_role", FLAG_STRING, &o.enforce, "off", "KIND", "off or top"},
        {"executor", FLAG_STRING, &o.executor, "//cmd", "PATH", "of apps that name none"},
        {"enable_features", FLAG_STRING, &o.features, "vips,task_killing", "LIST",
            "vips, task_killing, external_volumes, secrets, gpu_resources"},
        {"env_vars_prefix", FLAG_STRING, &o.env_prefix, NULL, "TEXT", "for HOST and PORT*"},
        {"mesos_bridge_name", FLAG_STRING, &o.bridge, "mesos-bridge", "NAME", "bridge network"},
        {"default_network_name", FLAG_STRING, &o.default_network, NULL, "NAME",
            "of container networks without name"},
        {"webui_url", FLAG_STRING, &o.webui_url, NULL, "URL", "shown by the master"},
        {"local_port_min", FLAG_I64, &o.port_min, "10000", "PORT", "first service port"},
        {"local_port_max", FLAG_I64, &o.port_max, "20000", "PORT", "end of service ports"},
        {"max_running_deployments", FLAG_I64, &o.max_deployments, "100", "N", "at once"},
        {"max_instances_per_offer", FLAG_I64, &o.max_per_offer, "5", "N", "launches per offer"},
        {"zk_max_versions", FLAG_I64, &o.max_versions, "50", "N", "versions to keep"},
        {"launch_tokens", FLAG_I64, &o.tokens, "100", "N", "launches before one must run"},
        {"launch_token_refresh_interval", FLAG_I64, &o.token_interval, "30000", "MS",
            "time after which all tokens are back"},
        {"decline_offer_duration", FLAG_I64, &o.decline, "120000", "MS", "for unused offers"},
        {"min_revive_offers_interval", FLAG_I64, &o.min_revive, "1000", "MS", "between revives"},
        {"reconciliation_initial_delay", FLAG_I64, &o.reconcile_delay, "15000", "MS",
            "after subscribing"},
        {"reconciliation_interval", FLAG_I64, &o.reconcile_interval, "600000", "MS", "between"},
        {"scale_apps_initial_delay", FLAG_I64, &o.scale_delay, "15000", "MS", "after start"},
        {"scale_apps_interval", FLAG_I64, &o.scale_interval, "300000", "MS", "between checks"},
        {"task_launch_confirm_timeout", FLAG_I64, &o.confirm_timeout, "300000", "MS",
            "until a launch shows up"},
        {"task_launch_timeout", FLAG_I64, &o.launch_timeout, "300000", "MS", "until a task runs"},
        {"task_lost_expunge_initial_delay", FLAG_I64, &o.expunge_delay, "300000", "MS",
            "after start"},
        {"task_lost_expunge_interval", FLAG_I64, &o.expunge_interval, "30000", "MS",
            "between looks at unreachable tasks"},
        {"kill_retry_timeout", FLAG_I64, &o.kill_retry, "30000", "MS", "unconfirmed kills"},
        {"mesos_authentication_principal", FLAG_STRING, &o.principal, NULL, "NAME",
            "of the framework, shown to the master"},
        {"mesos_authentication_secret_file", FLAG_STRING, &o.secret_file, NULL, "PATH",
            "secret of the principal"},
        {"mesos_authentication_token_file", FLAG_STRING, &o.token_file, NULL, "PATH",
            "bearer token to show instead; read anew for each call"},
        SERVICE_ACCOUNT_FLAG(&o.service_account),
        {"logging_level", FLAG_STRING, &o.logging_level, "info", "LEVEL",
            "error, warn, info or debug"},
        {"ready_file", FLAG_STRING, &o.ready_file, NULL, "PATH",
            "written once Marathon serves: {\"ip\",\"port\",\"pid\"}"},
    };
    static const struct program program = {.name = "dcos-marathon",
        .summary = "Long-running apps: deploys, scales, upgrades and keeps them running.",
        .env_prefix = "MARATHON",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    log_init("dcos-marathon");
    struct flag all[ARRAY_SIZE(flags) + TRANSPORT_FLAGS];
    memcpy(all, flags, sizeof(flags));
    size_t n_flags = ARRAY_SIZE(flags) + transport_flags(&o.transport, all + ARRAY_SIZE(flags));
    int r = flags_parse(&program, all, n_flags, argc, argv, &err);
    if (r < 0) {
        fprintf(stderr, "dcos-marathon: %s\n", err.msg);
        return 2;
    }
    if (r > 0)
        return 0;
    if (check_options(&o) < 0)
        return 2;
    zk_hide_passwords(flags, ARRAY_SIZE(flags));
    const struct passwd *me = getpwuid(geteuid());
    if (!o.mesos_user)
        o.mesos_user = me ? me->pw_name : "root";
    struct running running = {.ready_file = o.ready_file, .ip = o.http_address};
    struct shell *s = &running.shell;
    fill_options(s, &o);
    s->start_real_us = clock_realtime_us();
    s->start_mono_us = clock_monotonic_us();
    s->loop = loop_new();
    list_init(&s->streams);
    list_init(&s->held);
    list_init(&s->probes);
    list_init(&s->probes_waiting);
    timer_init(&s->heartbeat, s->loop, events_heartbeat);
    struct loop_signal *term = loop_signal_new(s->loop, SIGTERM, on_signal, s);
    struct loop_signal *intr = loop_signal_new(s->loop, SIGINT, on_signal, s);
    signal(SIGPIPE, SIG_IGN);
    if (start(&running, &o, &err) < 0) {
        log_error("cannot start error=%s", err.msg);
        s->failure = 1;
    } else {
        log_info("listening address=%s version=%s", s->address, DCOS_VERSION);
        loop_run(s->loop);
    }
    stop(s);
    login_free(running.own);
    login_free(running.service);
    transport_close(&running.transport);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_free(s->loop);
    return s->failure;
}
