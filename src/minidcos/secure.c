#include "minidcos/secure.h"

#include <stdio.h>

#include "auth/authorizer.h"
#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/jwt.h"
#include "base/clock.h"
#include "base/file.h"
#include "io/stream.h"
#include "json/writer.h"
#include "minidcos/plan.h"

enum { TOKEN_DAYS = 3650, DAY_S = 86400 };
static const char AGENT[] = "dcos_agent", MARATHON[] = "dcos_marathon", OPERATOR[] = "operator";
/* In every certificate, so that nginx can verify all of them by one name. */
static const char COMMON_NAME[] = "localhost";

/* ---- flags ---- */

static void put(struct daemon *d, const struct cluster *c, const char *flag, const char *path)
{
    vec_push(
        &d->argv, path ? xasprintf("--%s=%s/%s", flag, c->dir, path) : xasprintf("--%s", flag));
}

static void put_audit(struct daemon *d, const struct cluster *c)
{
    vec_push(&d->argv, xasprintf("--audit_log=%s/logs/%s.audit", c->dir, d->name));
}

/* Who may do what stands in files. */
static void put_realms(struct daemon *d, const struct cluster *c)
{
    put(d, c, "jwt_public_keys", "secrets/token.pub");
    put(d, c, "acls", "secrets/acls.json");
    put(d, c, "authenticate_http_readonly", NULL);
    put(d, c, "authenticate_http_readwrite", NULL);
}

static void put_by_files(const struct cluster *c, struct daemon *d)
{
    switch (d->kind) {
    case DAEMON_MASTER:
        put(d, c, "credentials", "secrets/credentials");
        put(d, c, "authenticate_http_frameworks", NULL);
        put(d, c, "authenticate_agents", NULL);
        put_realms(d, c);
        break;
    case DAEMON_MARATHON:
        put_arg(d, "--mesos_authentication_principal=%s", MARATHON);
        put(d, c, "mesos_authentication_secret_file", "secrets/marathon.secret");
        break;
    default:
        put(d, c, "credential", "secrets/agent.credential");
        put_realms(d, c);
    }
}

bool secure_by_iam(const struct cluster *c)
{
    return c->secure && cluster_first(c, DAEMON_IAM);
}

static void put_by_iam(const struct cluster *c, struct daemon *d)
{
    const struct daemon *iam = cluster_first(c, DAEMON_IAM);
    if (d->kind == DAEMON_IAM) {
        put(d, c, "initial_accounts", "secrets/accounts.json");
        put(d, c, "auth_cookie_secure_flag", NULL);
        return;
    }
    put_arg(d, "--service_account=%s/secrets/%s.json", c->dir, account_of(d->kind));
    switch (d->kind) {
    case DAEMON_NET:
        put(d, c, "ca_file", "ca/dcos-ca.crt");
        break;
    case DAEMON_ROUTER:
        put(d, c, "upstream_tls", NULL);
        put(d, c, "upstream_ca", "ca/dcos-ca.crt");
        put_arg(d, "--upstream_name=%s", COMMON_NAME);
        break;
    case DAEMON_MARATHON:
        put_arg(d, "--iam_url=https://%s:%u", iam->ip, iam->port);
        break;
    default:
        put_arg(d, "--iam_url=https://%s:%u", iam->ip, iam->port);
        put_arg(d, "--security_mode=strict");
    }
}

/* ZooKeeper, dcos-net and what the router needs for itself are not among them. */
static bool has_certificate(const struct daemon *d)
{
    return d->kind != DAEMON_ZOOKEEPER && d->kind != DAEMON_NET && d->kind != DAEMON_ROUTER;
}

void secure_flags(const struct cluster *c, struct daemon *d)
{
    if (has_certificate(d)) {
        put_arg(d, "--ssl_cert_file=%s/tls/%s.crt", c->dir, d->name);
        put_arg(d, "--ssl_key_file=%s/tls/%s.key", c->dir, d->name);
        put(d, c, "ssl_ca_file", "ca/dcos-ca.crt");
    }
    if (secure_by_iam(c))
        put_by_iam(c, d);
    else
        put_by_files(c, d);
    bool agent = d->kind == DAEMON_AGENT || d->kind == DAEMON_PUBLIC_AGENT;
    if (agent) {
        put(d, c, "jwt_secret_key", "secrets/executor.key");
        put(d, c, "authenticate_http_executors", NULL);
    }
    if (agent || d->kind == DAEMON_MASTER)
        put_audit(d, c);
}

/* ---- files ---- */

static int write_file(
    const struct cluster *c, const char *name, const struct buf *text, struct error *err)
{
    _cleanup_free_ char *path = cluster_path(c, name);
    return file_write_atomic(path, text->p, text->n, 0600, err);
}

static int make_certificates(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *folder = cluster_path(c, "ca");
    _cleanup_free_ char *name = xasprintf("DC/OS %.50s", c->name);
    struct ca *ca = NULL;
    int r = ca_create(folder, name, err);
    if (r == 0)
        r = ca_open(folder, &ca, err);
    for (size_t i = 0; r == 0 && i < c->daemons.n; i++) {
        const struct daemon *d = &c->daemons.items[i];
        _cleanup_free_ char *cert = xasprintf("%s/tls/%s.crt", c->dir, d->name);
        _cleanup_free_ char *key = xasprintf("%s/tls/%s.key", c->dir, d->name);
        const char *const names[] = {d->ip, "127.0.0.1", COMMON_NAME};
        if (!has_certificate(d))
            continue;
        const struct ca_request request = {
            .name = d->name, .alternatives = names, .n_alternatives = ARRAY_SIZE(names)};
        r = ca_issue(ca, &request, cert, key, err);
    }
    ca_close(ca);
    return r;
}

static void put_credential(struct json_writer *w, const char *principal, const struct buf *secret)
{
    jw_begin_object(w);
    jw_field_string(w, "principal", principal);
    jw_field_string(w, "secret", buf_cstr(secret));
    jw_end_object(w);
}

static int make_secret(
    const struct cluster *c, const char *name, struct buf *ret, struct error *err)
{
    _cleanup_free_ char *path = cluster_path(c, name);
    int r = secret_create(path, err);
    return r == 0 && ret ? file_read(path, SECRET_FILE_MAX, ret, err) : r;
}

static int make_credentials(const struct cluster *c, struct error *err)
{
    _cleanup_secret_ struct buf agent = BUF_INIT;
    _cleanup_secret_ struct buf marathon = BUF_INIT;
    _cleanup_secret_ struct buf one = BUF_INIT;
    _cleanup_secret_ struct buf all = BUF_INIT;
    int r = make_secret(c, "secrets/agent.credential", &agent, err);
    if (r == 0)
        r = make_secret(c, "secrets/marathon.secret", &marathon, err);
    if (r < 0)
        return r;
    struct json_writer w;
    jw_init(&w, &one);
    put_credential(&w, AGENT, &agent);
    r = write_file(c, "secrets/agent.credential", &one, err);
    jw_init(&w, &all);
    jw_begin_object(&w);
    jw_key(&w, "credentials");
    jw_begin_array(&w);
    put_credential(&w, AGENT, &agent);
    put_credential(&w, MARATHON, &marathon);
    jw_end_array(&w);
    jw_end_object(&w);
    return r == 0 ? write_file(c, "secrets/credentials", &all, err) : r;
}

/* What Marathon does; everything else is the operator's. */
static bool is_for_marathon(const char *acl)
{
    static const char *const acls[] = {"register_frameworks", "run_tasks", "reserve_resources",
        "unreserve_resources", "create_volumes", "destroy_volumes", "resize_volumes"};
    for (size_t i = 0; i < ARRAY_SIZE(acls); i++)
        if (streq(acls[i], acl))
            return true;
    return false;
}

static int make_acls(const struct cluster *c, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 2;
    jw_begin_object(&w);
    jw_field_bool(&w, "permissive", false);
    const char *key, *object_key;
    for (size_t i = 0; (key = authorizer_acl(i, &object_key)); i++) {
        jw_key(&w, key);
        jw_begin_array(&w);
        jw_begin_object(&w);
        jw_key(&w, "principals");
        jw_begin_object(&w);
        jw_key(&w, "values");
        jw_begin_array(&w);
        jw_string(&w, OPERATOR);
        if (is_for_marathon(key))
            jw_string(&w, MARATHON);
        if (streq(key, "register_agents"))
            jw_string(&w, AGENT);
        jw_end_array(&w);
        jw_end_object(&w);
        jw_key(&w, object_key);
        jw_begin_object(&w);
        jw_field_string(&w, "type", "ANY");
        jw_end_object(&w);
        jw_end_object(&w);
        jw_end_array(&w);
    }
    jw_end_object(&w);
    return write_file(c, "secrets/acls.json", &text, err);
}

static int make_token(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *private_path = cluster_path(c, "secrets/token.key");
    _cleanup_free_ char *public_path = cluster_path(c, "secrets/token.pub");
    _cleanup_secret_ struct buf key = BUF_INIT;
    _cleanup_secret_ struct buf token = BUF_INIT;
    char claims[128];
    int r = token_keys_create(private_path, public_path, err);
    if (r == 0)
        r = file_read(private_path, SECRET_FILE_MAX, &key, err);
    if (r < 0)
        return r;
    (void)snprintf(claims, sizeof(claims), "{\"uid\":\"%s\",\"exp\":%lld}", OPERATOR,
        (long long)(clock_realtime_us() / USEC_PER_SEC + (int64_t)TOKEN_DAYS * DAY_S));
    r = jwt_make_rs256(buf_str(&key), NULL, str_of(claims), &token, err);
    return r == 0 ? write_file(c, "secrets/operator.token", &token, err) : r;
}

int secure_create(const struct cluster *c, struct error *err)
{
    _cleanup_free_ char *tls = cluster_path(c, "tls");
    _cleanup_free_ char *secrets = cluster_path(c, "secrets");
    int r = mkdir_all(tls, 0755, err);
    if (r == 0)
        r = mkdir_all(secrets, 0700, err);
    if (r == 0)
        r = make_certificates(c, err);
    if (r == 0)
        r = make_secret(c, "secrets/executor.key", NULL, err);
    if (r < 0 || secure_by_iam(c))
        return r < 0 ? r : accounts_create(c, err);
    r = make_credentials(c, err);
    if (r == 0)
        r = make_acls(c, err);
    if (r == 0)
        r = make_token(c, err);
    return r;
}

/* ---- talking to it ---- */

int secure_client(const struct cluster *c, struct tls_context **ret, struct error *err)
{
    *ret = NULL;
    if (!c->secure)
        return 0;
    _cleanup_free_ char *authority = cluster_path(c, "ca/dcos-ca.crt");
    return tls_context_new_client(authority, true, ret, err);
}

int secure_token(const struct cluster *c, struct requester *http, char **ret, struct error *err)
{
    *ret = NULL;
    if (!c->secure)
        return 0;
    if (secure_by_iam(c))
        return accounts_log_in(c, http, ret, err);
    _cleanup_free_ char *path = cluster_path(c, "secrets/operator.token");
    _cleanup_secret_ struct buf token = BUF_INIT;
    int r = file_read(path, JWT_TEXT_MAX, &token, err);
    if (r == 0)
        *ret = xstrndup(token.p, token.n);
    return r;
}
