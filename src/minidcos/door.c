#include "minidcos/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/rsa.h"
#include "base/clock.h"
#include "base/file.h"
#include "console/request.h"
#include "io/stream.h"
#include "minidcos/secure.h"

const char SUPERUSER[] = "bootstrapuser";

enum {
    IAM_PORT = 8101,
    NET_PORT = 62080,
    ROUTER_PORT = 443,
    DNS_PORT = 61053,
    MESOS_DNS_PORT = 8123,
    UUID_FILE_MAX = 64,
};

static const char ADDRESS[] = "127.0.0.1";

/* ---- daemons ---- */

/* Takes over `program`. */
static void add(
    struct cluster *c, enum daemon_kind kind, char *program, const char *name, uint16_t port)
{
    struct daemon *d = cluster_add(c, kind, name);
    d->ip = xstrdup(ADDRESS);
    d->port = port;
    vec_push(&d->argv, program);
}

static const char *find_nginx(void)
{
    static const char *const paths[] = {
        "/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

/* The router's module for nginx in a build tree; NULL where the router is installed and knows it.
 */
static char *built_module(const char *router)
{
    _cleanup_free_ char *folder = xstrdup(router);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    char *module = path_join(folder, "nginx", "ngx_http_dcos_module.so");
    if (access(module, R_OK) == 0)
        return module;
    free(module);
    return NULL;
}

int door_plan(struct cluster *c, const struct plan_options *o, struct error *err)
{
    char *program;
    int r = find_program(o->bin_dir, "dcos-iam", &program, err);
    if (r < 0)
        return r;
    add(c, DAEMON_IAM, program, "iam", IAM_PORT);
    r = find_program(o->bin_dir, "dcos-net", &program, err);
    if (r < 0)
        return r;
    add(c, DAEMON_NET, program, "net", NET_PORT);
    r = find_program(o->bin_dir, "dcos-router", &program, err);
    if (r < 0)
        return r;
    /* Without nginx, or in a build with sanitizers, which has no module for it, the cluster has no
     * router; door_print() tells. */
    _cleanup_free_ char *module = built_module(program);
    if (find_nginx() && (module || !strstr(program, "/src/router/")))
        add(c, DAEMON_ROUTER, program, "router", ROUTER_PORT);
    else
        free(program);
    return 0;
}

/* Value of a flag that was given already, or NULL. */
static const char *flag_of(const struct daemon *d, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 1; d && i < d->argv.n; i++) {
        const char *arg = d->argv.items[i];
        if (has_prefix(arg, "--") && strncmp(arg + 2, name, n) == 0 && arg[2 + n] == '=')
            return arg + 3 + n;
    }
    return NULL;
}

static void put_port(struct daemon *d, const char *flag, uint16_t usual, bool any)
{
    uint16_t port = usual;
    if (any || port_check(ADDRESS, usual, flag, NULL) < 0)
        (void)port_pick(ADDRESS, &port, NULL); /* else the daemon tells */
    put_arg(d, "--%s=%u", flag, port);
}

static void iam_flags(struct cluster *c, struct daemon *d)
{
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--port=%u", d->port);
    put_arg(d, "--socket=%s/run/iam.sock", c->dir);
    put_arg(d, "--superuser_username=%s", SUPERUSER);
    put_arg(d, "--superuser_password_file=%s/secrets/superuser.password", c->dir);
    put_arg(d, "--cluster_id_file=%s/cluster-id", c->dir);
    put_arg(d, "--audit_log=%s/logs/iam.audit", c->dir);
    put_arg(d, "--work_dir=%s", d->work_dir);
}

static void net_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    bool any = d->port != NET_PORT;
    uint16_t dns = DNS_PORT;
    if (any || port_check(ADDRESS, dns, "names", NULL) < 0)
        (void)port_pick(ADDRESS, &dns, NULL);
    put_arg(d, "--master=%s", masters);
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--http_ip=%s", d->ip);
    put_arg(d, "--port=%u", d->port);
    put_arg(d, "--dns_listen=%s:%u", ADDRESS, dns);
    put_port(d, "mesos_dns_port", MESOS_DNS_PORT, any);
    /* There is one table of them in this machine's kernel, for all clusters, and it would stay. */
    put_arg(d, "--vips=false");
}

/* Whether somebody else, such as nginx's workers, can get to files below a folder. */
static bool is_reachable(const char *folder)
{
    _cleanup_free_ char *path = xstrdup(folder);
    for (char *slash; *path; *slash = '\0') {
        struct stat st;
        if (stat(path, &st) < 0 || !(st.st_mode & S_IXOTH))
            return false;
        slash = strrchr(path, '/');
        if (!slash)
            break;
    }
    return true;
}

static void router_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM), *net = cluster_first(c, DAEMON_NET);
    const struct daemon *marathon = cluster_first(c, DAEMON_MARATHON);
    put_arg(d, "--role=master");
    put_arg(d, "--ip=%s", d->ip);
    put_arg(d, "--port=0");
    put_arg(d, "--tls_port=%u", d->port);
    put_arg(d, "--host_ip=%s", ADDRESS);
    put_arg(d, "--ca_dir=%s/ca", c->dir);
    put_arg(d, "--run_dir=%s", d->work_dir);
    put_arg(d, "--workers=1");
    put_arg(d, "--nginx=%s", find_nginx() ?: "nginx");
    _cleanup_free_ char *module = built_module(d->argv.items[0]);
    if (module)
        put_arg(d, "--nginx_module=%s", module);
    put_arg(d, "--master=%s", masters);
    const char *scheme = c->secure ? "https://" : "";
    put_arg(d, "--marathon=%s%s:%u", scheme, marathon->ip, marathon->port);
    put_arg(d, "--iam=%s%s:%u", scheme, iam->ip, iam->port);
    if (!c->secure) /* else its service account follows the policy */
        put_arg(d, "--iam_socket=%s/run/iam.sock", c->dir);
    put_arg(d, "--cluster_id_file=%s/cluster-id", c->dir);
    if (net) {
        put_arg(d, "--net=%s:%u", net->ip, net->port);
        put_arg(d, "--mesos_dns=%s:%s", ADDRESS, flag_of(net, "mesos_dns_port") ?: "8123");
    }
    if (geteuid() == 0 && !is_reachable(c->home)) {
        put_arg(d, "--user=root"); /* nobody else gets to its files */
        put_arg(d, "--group=root");
    }
}

void door_flags(struct cluster *c, struct daemon *d, const char *masters)
{
    if (d->kind == DAEMON_IAM)
        iam_flags(c, d);
    else if (d->kind == DAEMON_NET)
        net_flags(c, d, masters);
    else
        router_flags(c, d, masters);
    if (c->secure)
        secure_flags(c, d);
    put_arg(d, "--ready_file=%s", d->ready_file);
}

/* ---- files ---- */

static int make_id(const struct cluster *c, struct error *err)
{
    _cleanup_buf_ struct buf id = BUF_INIT;
    _cleanup_free_ char *path = cluster_path(c, "cluster-id");
    int r = file_read("/proc/sys/kernel/random/uuid", UUID_FILE_MAX, &id, err);
    return r < 0 ? r : file_write_atomic(path, id.p, id.n, 0644, err);
}

int door_create(const struct cluster *c, struct error *err)
{
    if (!cluster_first(c, DAEMON_IAM))
        return 0;
    _cleanup_free_ char *secrets = cluster_path(c, "secrets");
    _cleanup_free_ char *password = cluster_path(c, "secrets/superuser.password");
    _cleanup_free_ char *ca = cluster_path(c, "ca");
    _cleanup_free_ char *name = xasprintf("DC/OS %.50s", c->name);
    int r = mkdir_all(secrets, 0700, err);
    if (r == 0)
        r = secret_create(password, err);
    if (r == 0 && !c->secure) /* which has made it */
        r = ca_create(ca, name, err);
    return r == 0 ? make_id(c, err) : r;
}

/* ---- trying it ---- */

enum { PROBE_TIMEOUT_S = 5, PASSWORD_FILE_MAX = 4096 };

/* The token, or NULL; *refused when the password is not that of the file any more. */
static char *log_in(const struct cluster *c, struct requester *http, const char *url, bool *refused)
{
    _cleanup_free_ char *file = cluster_path(c, "secrets/superuser.password");
    _cleanup_free_ char *login = xasprintf("%s/acs/api/v1/auth/login", url);
    _cleanup_secret_ struct buf password = BUF_INIT;
    _cleanup_secret_ struct buf body = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    struct reply reply = {0};
    char *token = NULL;
    if (file_read(file, PASSWORD_FILE_MAX, &password, NULL) < 0)
        return NULL;
    /* It is base64url: nothing in it needs an escape. */
    struct str secret = str_trim(buf_str(&password));
    buf_printf(&body, "{\"uid\":\"%s\",\"password\":\"" STR_FMT "\"}", SUPERUSER, STR_ARG(secret));
    const struct request req = {.method = "POST", .url = login, .body = body.p, .body_n = body.n};
    if (requester_send(http, &req, &reply, NULL) == 0 && reply.status == 200 &&
        json_parse(buf_cstr(&reply.body), reply.body.n, &json, NULL) == 0 &&
        json_str_at(json, "token", NULL))
        token = xstrdup(json_str_at(json, "token", NULL));
    *refused = reply.status == 401 || reply.status == 429;
    reply_done(&reply);
    return token;
}

bool door_serves(struct cluster *c, struct door_probe *p)
{
    const struct daemon *router = cluster_first(c, DAEMON_ROUTER);
    if (!router)
        return true;
    _cleanup_free_ char *ca = cluster_path(c, "ca/dcos-ca.crt");
    _cleanup_free_ char *url = cluster_url(c, router);
    _cleanup_free_ char *page = xasprintf("%s/mesos/state-summary", url);
    struct reply reply = {0};
    if (!p->tls && tls_context_new_client(ca, true, &p->tls, NULL) < 0)
        return false;
    if (!p->http)
        p->http = requester_new(&(struct requester_options){
            .tls = p->tls, .timeout_us = PROBE_TIMEOUT_S * USEC_PER_SEC});
    bool refused = false;
    if (!p->token)
        p->token = log_in(c, p->http, url, &refused);
    if (refused)
        return true; /* somebody changed the password: the door works, and is not for us */
    bool good = p->token &&
                requester_send(p->http, &(struct request){.url = page, .token = p->token}, &reply,
                    NULL) == 0 &&
                reply.status == 200;
    reply_done(&reply);
    return good;
}

void door_probe_done(struct door_probe *p)
{
    requester_free(p->http);
    if (p->tls)
        tls_context_free(p->tls);
    rsa_wipe(p->token);
    *p = (struct door_probe){0};
}

void door_print(struct cluster *c)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM);
    const struct daemon *router = cluster_first(c, DAEMON_ROUTER);
    if (!iam)
        return;
    _cleanup_free_ char *url = cluster_url(c, router ? router : iam);
    printf("%s: %s\n",
        router ? "front door"
               : "identity service (there is no router: nginx or its module is missing)",
        url);
    printf("login: %s, the password is in %s/secrets/superuser.password\n", SUPERUSER, c->dir);
}
