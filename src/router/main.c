#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/parse.h"
#include "io/stream.h"
#include "json/writer.h"
#include "process/daemon.h"
#include "router/router.h"

/* Options and wiring of dcos-router. */

#define RETRY_MIN_US (100 * USEC_PER_MSEC)
#define RETRY_MAX_US (5 * USEC_PER_SEC)

/* ---- what parts share ---- */

void retry_init(struct retry *r, struct router *router, void (*fn)(struct timer *t))
{
    timer_init(&r->timer, router->loop, fn);
    r->pause_us = 0;
    r->told = false;
}

void retry_later(struct retry *r)
{
    r->pause_us = r->pause_us < RETRY_MIN_US ? RETRY_MIN_US : MIN(r->pause_us * 2, RETRY_MAX_US);
    timer_start(&r->timer, r->pause_us);
}

void retry_worked(struct retry *r)
{
    r->pause_us = 0;
    r->told = false;
}

int host_port_parse(struct str text, struct host_port *ret)
{
    struct host_port out = {0};
    if (str_has_prefix(text, STR("http://")) || str_has_prefix(text, STR("https://"))) {
        out.tls = text.p[4] == 's';
        const size_t n = out.tls ? 8 : 7;
        text = (struct str){text.p + n, text.n - n};
    }
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':' && text.p[colon - 1] != ']')
        colon--;
    struct str host = {text.p, colon ? colon - 1 : 0};
    if (colon == 0 || text.p[colon - 1] == ']') {
        /* Without a port: that of the scheme. */
        host = text;
        out.port = out.tls ? 443 : 80;
    } else if (parse_port((struct str){text.p + colon, text.n - colon}, &out.port) < 0 ||
               !out.port) {
        return -EINVAL;
    }
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    if (!host.n || host.n >= sizeof(out.host))
        return -EINVAL;
    memcpy(out.host, host.p, host.n);
    *ret = out;
    return 0;
}

static void publish(struct deferred *d)
{
    struct router *r = container_of(d, struct router, publish);
    struct table_builder b = {0};
    uint32_t bits = 0;
    struct error err = ERROR_INIT;
    if (r->mesos)
        mesos_follower_add(r->mesos, &b, &bits);
    if (r->marathon)
        marathon_follower_add(r->marathon, &b, &bits);
    if (table_publish(r->tables, TABLE_ROUTES, bits, &b, &err) < 0)
        log_error("routes are not published, the last ones stay error=%s", err.msg);
    table_builder_done(&b);
    /* A master's or Marathon's whole state takes ten times the memory of what is kept of it. */
    if (r->read_much)
        malloc_trim(0);
    r->read_much = false;
}

void router_routes_changed(struct router *r)
{
    loop_defer(r->loop, &r->publish);
}

void router_ready(struct router *r)
{
    const struct router_options *o = &r->options;
    log_info("serving address=%s:%u", o->ip, o->port ? o->port : o->tls_port);
    daemon_tell_ready(r->ready_file, o->ip, o->port ? o->port : o->tls_port, NULL);
}

/* ---- files that nginx serves ---- */

struct flags_out {
    struct router_options o;
    const char *role, *cluster_id_file, *ca_dir, *tls_names, *dcos_version;
    const char *buildinfo_file, *token_file, *credential_file, *service_account, *ready_file,
        *logging_level;
    bool cache_open;
};

static int write_text(const struct router_options *o, const char *name, const char *text, size_t n,
    mode_t mode, struct error *err)
{
    _cleanup_free_ char *path = path_join(o->run_dir, name);
    int r = file_write_atomic(path, text, n, mode, err);
    return r;
}

static int write_documents(struct router_options *o, const struct flags_out *f, struct error *err)
{
    _cleanup_buf_ struct buf metadata = BUF_INIT, version = BUF_INIT, info = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &metadata);
    jw_begin_object(&w);
    jw_field_string(&w, "PUBLIC_IPV4", o->host_ip ? o->host_ip : o->ip);
    if (o->cluster_id)
        jw_field_string(&w, "CLUSTER_ID", o->cluster_id);
    jw_end_object(&w);
    buf_putc(&metadata, '\n');
    jw_init(&w, &version);
    jw_begin_object(&w);
    jw_field_string(&w, "version", f->dcos_version);
    jw_field_string(&w, "dcos-image-commit", DCOS_VERSION);
    jw_field_string(&w, "bootstrap-id", DCOS_VERSION);
    jw_field_string(&w, "dcos-variant", "open");
    jw_end_object(&w);
    buf_putc(&version, '\n');
    if (f->buildinfo_file) {
        int r = file_read(f->buildinfo_file, 16 * 1024 * 1024, &info, err);
        if (r < 0)
            return error_prefix(err, r, "--buildinfo_file");
    } else {
        jw_init(&w, &info);
        jw_begin_object(&w);
        jw_key(&w, "dcos-router");
        jw_begin_object(&w);
        jw_field_string(&w, "version", DCOS_VERSION);
        jw_end_object(&w);
        jw_end_object(&w);
        buf_putc(&info, '\n');
    }
    const struct {
        const char *name, *text;
        size_t n;
    } files[] = {
        {"documents/metadata", metadata.p, metadata.n},
        {"documents/dcos-metadata/dcos-version.json", version.p, version.n},
        {"documents/pkgpanda/active.buildinfo.full.json", info.p, info.n},
        {"pages/401.html", page_unauthorized, strlen(page_unauthorized)},
        {"pages/403.html", page_forbidden, strlen(page_forbidden)},
        {"ui/index.html", page_landing, strlen(page_landing)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int r = write_text(o, files[i].name, files[i].text, files[i].n, 0644, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_folders(const struct router_options *o, struct error *err)
{
    static const char *const folders[] = {
        "", "tables", "tmp", "documents/dcos-metadata", "documents/pkgpanda", "pages", "ui"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = path_join(o->run_dir, folders[i]);
        int r = mkdir_all(path, 0755, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- certificate ---- */

enum { RENEW_DAYS = 400, NAMES_MAX = 16 };

static bool still_young(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 &&
           (clock_realtime_us() / USEC_PER_SEC - st.st_mtime) < (int64_t)RENEW_DAYS * 86400;
}

static int make_certificate(struct router_options *o, const struct flags_out *f, struct error *err)
{
    if (!f->ca_dir)
        return 0;
    if (!o->ca_cert)
        o->ca_cert = path_join(f->ca_dir, "dcos-ca.crt");
    if (!o->tls_port || o->tls_cert)
        return 0;
    char *cert = path_join(o->run_dir, "tls.crt"), *key = path_join(o->run_dir, "tls.key");
    o->tls_cert = cert;
    o->tls_key = key;
    struct ca *ca = NULL;
    int r = ca_open(f->ca_dir, &ca, err);
    if (r < 0)
        return error_prefix(err, r, "--ca_dir");
    if (still_young(cert) && path_exists(key) && ca_signed(ca, cert)) {
        ca_close(ca);
        return 0;
    }
    const char *names[NAMES_MAX] = {"localhost", "127.0.0.1", "master.mesos", "leader.mesos"};
    size_t n = 4;
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) == 0 && *host)
        names[n++] = host;
    if (!streq(o->ip, "0.0.0.0") && !streq(o->ip, "::") && !streq(o->ip, "127.0.0.1"))
        names[n++] = o->ip;
    if (o->host_ip && !streq(o->host_ip, o->ip) && !streq(o->host_ip, "127.0.0.1"))
        names[n++] = o->host_ip;
    _cleanup_free_ char *more = f->tls_names ? xstrdup(f->tls_names) : NULL;
    char *save = more;
    while (save && *save && n < NAMES_MAX) {
        char *comma = strchr(save, ',');
        if (comma)
            *comma = '\0';
        names[n++] = save;
        save = comma ? comma + 1 : NULL;
    }
    const struct ca_request request = {
        .name = "dcos-router", .alternatives = names, .n_alternatives = n};
    r = ca_issue(ca, &request, cert, key, err);
    ca_close(ca);
    return r < 0 ? error_prefix(err, r, "router's certificate") : 0;
}

/* ---- start ---- */

static void on_signal(void *userdata, int signum)
{
    struct router *r = userdata;
    if (signum == SIGHUP) {
        log_info("writing the configuration again");
        child_reload(r->child);
        return;
    }
    log_info("ending signal=%d", signum);
    child_end(r->child);
}

/* Who the workers run as, and the group that may read tables. */
static int64_t find_group(struct router_options *o)
{
    if (geteuid() != 0) {
        o->user = o->group = NULL;
        return -1;
    }
    const struct passwd *user = getpwnam(o->user);
    if (!o->group)
        o->group = getgrnam("dcos_adminrouter") ? "dcos_adminrouter" : NULL;
    const struct group *group = o->group ? getgrnam(o->group)
                                : user   ? getgrgid(user->pw_gid)
                                         : NULL;
    if (!o->group && group)
        o->group = xstrdup(group->gr_name);
    return group ? (int64_t)group->gr_gid : -1;
}

static int start(struct router *r, struct flags_out *f, struct error *err)
{
    struct router_options *o = &r->options;
    bool exposed = false;
    const int64_t gid = find_group(o);
    int status = make_folders(o, err);
    if (status == 0)
        status = write_documents(o, f, err);
    if (status == 0)
        status = make_certificate(o, f, err);
    if (status == 0 && o->upstream_ca)
        status = tls_context_new_client(o->upstream_ca, true, &r->tls, err);
    const struct login_files files = {f->credential_file, f->token_file, f->service_account};
    if (status == 0)
        status = login_open(r->loop, &files, r->tls, &r->login, &exposed, err);
    if (status < 0)
        return status;
    if (exposed)
        log_warn("others can read the file with the router's secret");
    const struct http_client_options http = {.tls = r->tls};
    r->http = http_client_new(r->loop, &http);
    _cleanup_free_ char *tables = path_join(o->run_dir, "tables");
    status = table_writer_new(tables, gid, &r->tables, err);
    if (status < 0)
        return status;
    r->resolver = resolver_new(r);
    if (o->backends[BACKEND_IAM] || o->iam_socket)
        r->policy = policy_follower_new(r);
    if (o->master)
        status = mesos_follower_new(r, &r->mesos, err);
    if (status == 0 && o->marathon)
        status = marathon_follower_new(r, &r->marathon, err);
    if (status < 0)
        return status;
    router_routes_changed(r);
    r->child = child_new(r);
    return 0;
}

static void stop(struct router *r)
{
    deferred_cancel(&r->publish);
    child_free(r->child);
    marathon_follower_free(r->marathon);
    mesos_follower_free(r->mesos);
    policy_follower_free(r->policy);
    resolver_free(r->resolver);
    if (r->http)
        http_client_free(r->http);
    login_free(r->login);
    tls_context_free(r->tls);
    table_writer_free(r->tables);
}

/* ---- options ---- */

static char *first_line(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!path || file_read(path, 4096, &text, NULL) < 0)
        return NULL;
    struct str rest = buf_str(&text), line;
    if (!str_split(&rest, '\n', &line) || !str_trim(line).n)
        return NULL;
    return str_dup(str_trim(line));
}

/* Beside the program in a build folder, or where it is installed. */
static const char *default_module(void)
{
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
        char *near = path_join(self, "nginx/ngx_http_dcos_module.so");
        if (path_exists(near))
            return near;
        free(near);
    }
    return ROUTER_MODULE;
}

static int complete(struct flags_out *f, struct error *err)
{
    struct router_options *o = &f->o;
    o->agent = streq(f->role, "agent");
    if (!o->agent && !streq(f->role, "master"))
        return error_set(err, -EINVAL, "--role is master or agent");
    if (!o->run_dir || *o->run_dir != '/')
        return error_set(err, -EINVAL, "--run_dir=PATH, absolute, is where nginx's files go");
    if (!o->port && !o->tls_port)
        return error_set(err, -EINVAL, "--port or --tls_port must be one that clients can know");
    if (o->tls_port && !f->ca_dir && (!o->tls_cert || !o->tls_key))
        return error_set(err, -EINVAL,
            "--tls_port wants --tls_cert and --tls_key, or --ca_dir to issue them from");
    if (!o->tls_cert != !o->tls_key)
        return error_set(err, -EINVAL, "--tls_cert and --tls_key belong together");
    if (o->upstream_ca && !o->upstream_name)
        return error_set(
            err, -EINVAL, "--upstream_ca wants --upstream_name, a name in the certificates");
    if (o->workers < 0 || o->workers > 1024 || o->worker_connections < 64)
        return error_set(err, -EINVAL, "--workers is 0 to 1024, --worker_connections at least 64");
    for (int b = BACKEND_NONE + 1; b < BACKENDS; b++) {
        struct host_port at;
        const char *text = o->backends[b];
        if (text && !has_prefix(text, "unix:/") && host_port_parse(str_of(text), &at) < 0)
            return error_set(
                err, -EINVAL, "--%s is HOST:PORT or unix:/path", backend_name((enum backend)b));
    }
    o->cache_needs_auth = !f->cache_open;
    o->cluster_id = first_line(f->cluster_id_file);
    if (!o->nginx_module)
        o->nginx_module = default_module();
    if (!o->ui_dir)
        o->ui_dir = path_join(o->run_dir, "ui");
    return 0;
}

static int parse(struct flags_out *f, struct flag *flags, size_t n, int argc, char **argv)
{
    static const struct program program = {.name = "dcos-router",
        .summary = "Front door: nginx with a module that decides who, whether and where to.",
        .env_prefix = "ADMINROUTER",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    int r = flags_parse(&program, flags, n, argc, argv, &err);
    if (r == 0)
        r = daemon_log_level(f->logging_level, &err);
    if (r == 0)
        r = complete(f, &err);
    if (r < 0)
        fprintf(stderr, "dcos-router: %s\n", err.msg);
    return r;
}

int main(int argc, char **argv)
{
    struct flags_out f = {0};
    struct router_options *o = &f.o;
    struct flag flags[] = {
        {"role", FLAG_STRING, &f.role, "master", "ROLE", "master or agent: which routes there are"},
        {"ip", FLAG_STRING, &o->ip, "0.0.0.0", "ADDRESS", "address to listen on"},
        {"port", FLAG_PORT, &o->port, "80", "PORT", "for HTTP; 0: none. Agents: 61001"},
        {"tls_port", FLAG_PORT, &o->tls_port, "0", "PORT", "for HTTPS, 443 as a rule; 0: none"},
        {"ca_dir", FLAG_STRING, &f.ca_dir, NULL, "PATH",
            "folder of the cluster's authority: a certificate is issued from it, and it is shown "
            "at "
            "/ca/dcos-ca.crt"},
        {"tls_cert", FLAG_STRING, &o->tls_cert, NULL, "PATH",
            "certificate (PEM), in place of an issued one"},
        {"tls_key", FLAG_STRING, &o->tls_key, NULL, "PATH", "its key"},
        {"tls_names", FLAG_STRING, &f.tls_names, NULL, "NAMES",
            "more names and addresses for the issued certificate, with commas"},
        {"ca_cert", FLAG_STRING, &o->ca_cert, NULL, "PATH", "shown at /ca/dcos-ca.crt"},
        {"tls_protocols", FLAG_STRING, &o->tls_protocols, "TLSv1.2 TLSv1.3", "LIST", "as in nginx"},
        {"tls_ciphers", FLAG_STRING, &o->tls_ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!MD5",
            "LIST", "as OpenSSL takes them"},
        {"run_dir", FLAG_STRING, &o->run_dir, NULL, "PATH",
            "absolute folder for nginx.conf, tables and temporary files"},
        {"nginx", FLAG_STRING, &o->nginx, "nginx", "PROGRAM", "nginx"},
        {"nginx_module", FLAG_STRING, &o->nginx_module, NULL, "PATH", "our module for it"},
        {"nginx_log_level", FLAG_STRING, &o->log_level, "warn", "LEVEL",
            "of <run_dir>/error.log; info tells why tokens are refused"},
        {"access_log", FLAG_STRING, &o->access_log, NULL, "PATH", "one line for each request"},
        {"user", FLAG_STRING, &o->user, "nobody", "NAME", "that nginx's workers run as"},
        {"group", FLAG_STRING, &o->group, NULL, "NAME",
            "their group; default dcos_adminrouter where it exists, else the user's"},
        {"workers", FLAG_I64, &o->workers, "0", "N", "of nginx; 0: one for each processor"},
        {"worker_connections", FLAG_I64, &o->worker_connections, "4096", "N", "for each worker"},
        {"detached", FLAG_BOOL, &o->detached, "false", NULL,
            "nginx is started by somebody else, with <run_dir>/nginx.conf"},
        {"master", FLAG_STRING, &o->master, NULL, "HOST:PORT",
            "the master, several with commas, or zk://host:port,.../path"},
        {"marathon", FLAG_STRING, &o->marathon, NULL, "HOST:PORT", "Marathon of this node"},
        {"iam", FLAG_STRING, &o->backends[BACKEND_IAM], "127.0.0.1:8101", "HOST:PORT", "dcos-iam"},
        {"iam_socket", FLAG_STRING, &o->iam_socket, NULL, "PATH",
            "its unix socket, to follow users and permissions without a token"},
        {"token_file", FLAG_STRING, &f.token_file, NULL, "PATH",
            "token of the router's own, shown to master, Marathon and dcos-iam"},
        {"credential", FLAG_STRING, &f.credential_file, NULL, "PATH",
            "credential, shown to the master"},
        SERVICE_ACCOUNT_FLAG(&f.service_account),
        {"cosmos", FLAG_STRING, &o->backends[BACKEND_COSMOS], NULL, "HOST:PORT", "packages"},
        {"mesos_dns", FLAG_STRING, &o->backends[BACKEND_NAMES], NULL, "HOST:PORT",
            "names over HTTP (8123)"},
        {"net", FLAG_STRING, &o->backends[BACKEND_NET], NULL, "HOST:PORT", "dcos-net (62080)"},
        {"diagnostics", FLAG_STRING, &o->backends[BACKEND_DIAGNOSTICS], NULL, "ADDRESS",
            "HOST:PORT or unix:/path"},
        {"checks", FLAG_STRING, &o->backends[BACKEND_CHECKS], NULL, "ADDRESS",
            "HOST:PORT or unix:/path"},
        {"log", FLAG_STRING, &o->backends[BACKEND_LOG], NULL, "ADDRESS", "dcos-log"},
        {"metrics", FLAG_STRING, &o->backends[BACKEND_METRICS], NULL, "ADDRESS", "dcos-metrics"},
        {"pkgpanda", FLAG_STRING, &o->backends[BACKEND_PKGPANDA], NULL, "ADDRESS",
            "packages of the node"},
        {"ui_update", FLAG_STRING, &o->backends[BACKEND_UI_UPDATE], NULL, "ADDRESS",
            "versions of the console"},
        {"exhibitor", FLAG_STRING, &o->backends[BACKEND_EXHIBITOR], NULL, "ADDRESS",
            "ZooKeeper's status"},
        {"upstream_tls", FLAG_BOOL, &o->mesos_tls, "false", NULL, "masters and agents speak TLS"},
        {"upstream_ca", FLAG_STRING, &o->upstream_ca, NULL, "PATH",
            "authority that signed the certificates of masters, agents and every backend that is "
            "named with https://; they are verified"},
        {"upstream_name", FLAG_STRING, &o->upstream_name, NULL, "NAME",
            "name that is in all of them"},
        {"agent_router_port", FLAG_PORT, &o->agent_router_port, "61001", "PORT",
            "of the routers on agents"},
        {"leader_router_port", FLAG_PORT, &o->leader_router_port, "80", "PORT",
            "of the routers on masters"},
        {"host_ip", FLAG_STRING, &o->host_ip, NULL, "ADDRESS", "this node's, told at /metadata"},
        {"cluster_id_file", FLAG_STRING, &f.cluster_id_file, NULL, "PATH",
            "file with the cluster's id"},
        {"activate_auth_module", FLAG_STRING, &o->auth, "true", "WORD",
            "exactly \"false\" serves everything to everybody"},
        {"permissions", FLAG_BOOL, &o->permissions, "true", NULL,
            "ask for permissions (dcos:adminrouter:...) too; off: any valid token will do"},
        {"www_authenticate", FLAG_STRING, &o->challenge, "acsjwt", "TEXT",
            "in answers 401: acsjwt (passwords and service accounts) or oauthjwt"},
        {"open_cache", FLAG_BOOL, &f.cache_open, "false", NULL,
            "/cache/master and all of an agent's routes need no token, as in DC/OS"},
        {"frame_options", FLAG_STRING, &o->frame_options, "DENY", "TEXT",
            "X-Frame-Options of the console"},
        {"ui_dir", FLAG_STRING, &o->ui_dir, NULL, "PATH",
            "files of the console; default a landing page"},
        {"buildinfo_file", FLAG_STRING, &f.buildinfo_file, NULL, "PATH",
            "shown as /pkgpanda/active.buildinfo.full.json"},
        {"dcos_version", FLAG_STRING, &f.dcos_version, "2.2.0", "VERSION",
            "of DC/OS whose interfaces are served: clients compare it"},
        {"oauth_auth_redirector", FLAG_STRING, &o->oauth_redirector, NULL, "URL",
            "where /login leads"},
        {"oauth_client_id", FLAG_STRING, &o->oauth_client_id, NULL, "ID", "shown there"},
        {"header_timeout", FLAG_DURATION, &o->header_timeout_us, "20secs", "DURATION",
            "for a request's head to arrive"},
        {"stale_limit", FLAG_DURATION, &o->stale_limit_us, "3days", "DURATION",
            "Marathon's services are forgotten when it was away for so long"},
        {"logging_level", FLAG_STRING, &f.logging_level, "INFO", "LEVEL",
            "error, warning, info or debug"},
        {"ready_file", FLAG_STRING, &f.ready_file, NULL, "PATH",
            "written once it serves: {\"ip\",\"port\",\"pid\"}"},
    };
    log_init("dcos-router");
    int parsed = parse(&f, flags, ARRAY_SIZE(flags), argc, argv);
    if (parsed != 0)
        return parsed > 0 ? 0 : 2;
    umask(0022);
    struct router r = {.options = f.o, .ready_file = f.ready_file};
    r.loop = loop_new();
    deferred_init(&r.publish, publish);
    struct loop_signal *signals[] = {loop_signal_new(r.loop, SIGTERM, on_signal, &r),
        loop_signal_new(r.loop, SIGINT, on_signal, &r),
        loop_signal_new(r.loop, SIGHUP, on_signal, &r)};
    struct error err = ERROR_INIT;
    if (start(&r, &f, &err) < 0) {
        log_error("cannot start error=%s", err.msg);
        r.failure = 1;
    } else if (!r.failure) {
        loop_run(r.loop);
    }
    stop(&r);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        loop_signal_free(signals[i]);
    loop_free(r.loop);
    return r.failure;
}
