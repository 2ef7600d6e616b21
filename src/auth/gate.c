#include "auth/gate.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "json/json.h"

size_t gate_flags(struct gate_settings *s, const char *credentials, struct flag *out)
{
    const struct flag flags[GATE_FLAGS - TRANSPORT_FLAGS] = {
        {credentials, FLAG_STRING, &s->credentials, NULL, "PATH",
            "names and secrets for HTTP basic: JSON, or lines \"principal secret\""},
        {"http_authenticators", FLAG_STRING, &s->authenticators, NULL, "NAMES",
            "basic, jwt or both with a comma; default: what there are credentials and keys for"},
        {"jwt_secret_key", FLAG_STRING, &s->jwt_secret_key, NULL, "PATH",
            "secret of bearer tokens that are signed with HS256"},
        {"jwt_public_keys", FLAG_STRING, &s->jwt_public_keys, NULL, "PATH",
            "RSA keys of bearer tokens that are signed with RS256: PEM, or a JSON web key set"},
        {"authenticate_http_readonly", FLAG_BOOL, &s->readonly, "false", NULL,
            "endpoints that read ask who calls"},
        {"authenticate_http_readwrite", FLAG_BOOL, &s->readwrite, "false", NULL,
            "endpoints that change something ask who calls"},
        {"acls", FLAG_STRING, &s->acls, NULL, "JSON", "who may do what; JSON or file://PATH"},
        {"iam_url", FLAG_STRING, &s->iam_url, NULL, "URL",
            "identity service: unix:/PATH, http://HOST:PORT or https://HOST:PORT; its tokens are "
            "bearer tokens here"},
        {"iam_token_file", FLAG_STRING, &s->iam_token_file, NULL, "PATH",
            "token to show to it; the unix socket needs none"},
        SERVICE_ACCOUNT_FLAG(&s->service_account),
        {"security_mode", FLAG_STRING, &s->security_mode, "permissive", "MODE",
            "strict: everybody says who they are, and the identity service's permissions "
            "dcos:mesos decide; permissive: they do not"},
        {"firewall_rules", FLAG_STRING, &s->firewall_rules, NULL, "JSON",
            "closed endpoints: {\"disabled_endpoints\":{\"paths\":[...]}}, or file://PATH"},
        {"audit_log", FLAG_STRING, &s->audit_log, NULL, "PATH",
            "file for a line about each call that changes something; SIGHUP opens it anew"},
    };
    memcpy(out, flags, sizeof(flags));
    return ARRAY_SIZE(flags) + transport_flags(&s->transport, out + ARRAY_SIZE(flags));
}

/* ---- opening ---- */

static int read_secret(
    struct gate *g, const char *flag, const char *path, struct buf *out, struct error *err)
{
    bool exposed = false;
    int r = secret_file_read(path, CREDENTIALS_TEXT_MAX, out, &exposed, err);
    if (r < 0)
        return error_prefix(err, r, "--%s", flag);
    if (exposed)
        buf_printf(&g->warnings, "--%s=%s can be read by everybody\n", flag, path);
    return 0;
}

static int open_credentials(struct gate *g, const char *path, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    int r = read_secret(g, "credentials", path, &text, err);
    if (r < 0)
        return r;
    r = credentials_new(buf_cstr(&text), text.n, &g->credentials, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

static int open_secret_key(struct gate *g, const char *path, struct error *err)
{
    int r = read_secret(g, "jwt_secret_key", path, &g->jwt_secret, err);
    if (r < 0)
        return r;
    r = jwt_keys_add_secret(g->keys, buf_cstr(&g->jwt_secret), g->jwt_secret.n, err);
    return r < 0 ? error_prefix(err, r, "--jwt_secret_key") : 0;
}

static int open_public_keys(struct gate *g, const char *path, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = flag_text_read(path, JWT_KEY_TEXT_MAX, &text, err);
    if (r == 0) {
        struct str trimmed = str_trim(buf_str(&text));
        r = trimmed.n && *trimmed.p == '{' ? jwt_keys_set_jwks(g->keys, text.p, text.n, err)
                                           : jwt_keys_add_pem(g->keys, text.p, text.n, err);
    }
    return r < 0 ? error_prefix(err, r, "--jwt_public_keys") : 0;
}

int gate_authenticator(
    const struct gate *g, const char *names, struct authenticator **ret, struct error *err)
{
    bool basic = g->credentials, jwt = jwt_keys_count(g->keys) > 0 || g->follow;
    if (!names)
        names = basic && jwt ? "basic,jwt" : basic ? "basic" : jwt ? "jwt" : NULL;
    if (!names)
        return error_set(err, -EINVAL, "authentication needs credentials or keys");
    const struct authenticator_options options = {.names = names,
        .credentials = g->credentials,
        .keys = g->keys,
        .policy = g->follow ? policy_follow_policy(g->follow) : NULL};
    return authenticator_new(&options, ret, err);
}

static int open_service(
    struct gate *g, const struct gate_settings *s, struct loop *loop, struct error *err)
{
    bool exposed = false;
    if (s->iam_token_file)
        return error_set(err, -EINVAL, "--service_account and --iam_token_file: give one");
    int r = login_new_service(
        loop, s->service_account, g->transport.client, &g->service, &exposed, err);
    if (r < 0)
        return error_prefix(err, r, "--service_account");
    if (exposed)
        buf_printf(
            &g->warnings, "--service_account=%s can be read by everybody\n", s->service_account);
    return 0;
}

static int open_iam(struct gate *g, const struct gate_settings *s, struct loop *loop,
    const char *component, struct error *err)
{
    g->strict = streq(s->security_mode, "strict");
    if (!g->strict && !streq(s->security_mode, "permissive"))
        return error_set(err, -EINVAL, "--security_mode is strict or permissive");
    if (!s->iam_url)
        return g->strict ? error_set(err, -EINVAL, "--security_mode=strict needs --iam_url") : 0;
    if (g->strict && s->acls)
        return error_set(
            err, -EINVAL, "--acls and --security_mode=strict: only one of them can decide");
    const struct policy_follow_options options = {.loop = loop,
        .url = s->iam_url,
        .token_file = s->iam_token_file,
        .login = g->service,
        .tls = g->transport.client,
        .keys = g->keys};
    int r = policy_follow_new(&options, &g->follow, err);
    if (r < 0)
        return error_prefix(err, r, "--iam_url");
    if (!g->strict)
        return 0;
    g->readonly = g->readwrite = true;
    g->authorizer = authorizer_new_policy(
        policy_follow_policy(g->follow), policy_follow_generation(g->follow), component);
    return 0;
}

static int open_acls(struct gate *g, const char *value, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = flag_text_read(value, AUTHORIZER_TEXT_MAX, &text, err);
    if (r == 0)
        r = authorizer_new(buf_cstr(&text), text.n, &g->authorizer, err);
    return r < 0 ? error_prefix(err, r, "--acls") : 0;
}

static struct str without_alias(const struct gate *g, struct str path)
{
    size_t n = strlen(g->alias);
    if (path.n > n && path.p[n] == '/' && str_has_prefix(path, str_of(g->alias)))
        return (struct str){path.p + n, path.n - n};
    return path;
}

static int read_firewall(struct gate *g, const char *text, size_t n, struct error *err)
{
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(text, n, &doc, err);
    if (r < 0)
        return r;
    const json_t *paths = json_at(json_at(doc, "disabled_endpoints"), "paths");
    if (!json_is_array(paths) || json_array_size(paths) > GATE_FIREWALL_MAX)
        return error_set(err, -EINVAL, "/disabled_endpoints/paths: expected at most %d paths",
            GATE_FIREWALL_MAX);
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        if (!path || *path != '/' || strchr(path, '\n'))
            return error_set(err, -EINVAL, "/disabled_endpoints/paths/%zu: expected a path", i);
        struct str plain = without_alias(g, str_of(path));
        buf_append(&g->firewall, plain.p, plain.n);
        buf_putc(&g->firewall, '\n');
    }
    return 0;
}

static int open_firewall(struct gate *g, const char *value, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = flag_text_read(value, AUTHORIZER_TEXT_MAX, &text, err);
    if (r == 0)
        r = read_firewall(g, buf_cstr(&text), text.n, err);
    return r < 0 ? error_prefix(err, r, "--firewall_rules") : 0;
}

static int open_parts(struct gate *g, const struct gate_settings *s, struct loop *loop,
    const char *component, struct error *err)
{
    struct transport_settings transport = s->transport;
    int r = transport_open(&transport, &g->transport, err);
    if (r == 0 && s->credentials)
        r = open_credentials(g, s->credentials, err);
    if (r == 0 && s->jwt_secret_key)
        r = open_secret_key(g, s->jwt_secret_key, err);
    if (r == 0 && s->jwt_public_keys)
        r = open_public_keys(g, s->jwt_public_keys, err);
    if (r == 0 && s->service_account)
        r = open_service(g, s, loop, err);
    if (r == 0)
        r = open_iam(g, s, loop, component, err);
    if (r == 0 && (g->readonly || g->readwrite || s->authenticators)) {
        r = gate_authenticator(g, s->authenticators, &g->http, err);
        if (r < 0)
            error_prefix(err, r, "--http_authenticators");
    }
    if (r == 0 && s->acls)
        r = open_acls(g, s->acls, err);
    if (r == 0 && s->firewall_rules)
        r = open_firewall(g, s->firewall_rules, err);
    if (r == 0 && s->audit_log)
        r = audit_open(s->audit_log, g->program, &g->audit, err);
    return r;
}

int gate_open(struct gate *g, const struct gate_settings *s, struct loop *loop, const char *program,
    const char *alias, const char *component, struct error *err)
{
    *g = (struct gate){.program = program,
        .alias = alias,
        .readonly = s->readonly,
        .readwrite = s->readwrite,
        .keys = jwt_keys_new()};
    int r = open_parts(g, s, loop, component, err);
    if (r < 0)
        gate_close(g);
    return r;
}

void gate_close(struct gate *g)
{
    audit_close(g->audit);
    authorizer_free(g->authorizer);
    authenticator_free(g->http);
    policy_follow_free(g->follow);
    login_free(g->service);
    credentials_free(g->credentials);
    jwt_keys_free(g->keys);
    secret_buf_done(&g->jwt_secret);
    buf_done(&g->firewall);
    buf_done(&g->warnings);
    transport_close(&g->transport);
    *g = (struct gate){0};
}

void gate_log_warnings(const struct gate *g)
{
    struct str rest = buf_str(&g->warnings), warning;
    while (rest.n && str_split(&rest, '\n', &warning))
        if (warning.n)
            log_warn(STR_FMT, STR_ARG(warning));
}

void gate_on_hangup(void *gate, int signum)
{
    const struct gate *g = gate;
    struct error err = ERROR_INIT;
    (void)signum;
    if (g->audit && audit_reopen(g->audit, &err) < 0)
        log_warn("cannot open the audit log anew, going on with the old file error=%s", err.msg);
}

/* ---- requests ---- */

bool gate_passable(const struct gate *g, struct http_request *req)
{
    struct str rest = buf_str(&g->firewall), closed, path = without_alias(g, req->path);
    while (rest.n && str_split(&rest, '\n', &closed)) {
        if (closed.n && str_eq(closed, path)) {
            http_respond_text(req, 403, "Endpoint '" STR_FMT "' is disabled", STR_ARG(req->path));
            return false;
        }
    }
    return true;
}

bool gate_enter(
    const struct gate *g, struct http_request *req, enum gate_kind kind, const char *realm)
{
    bool asks = (kind == GATE_READ && g->readonly) || (kind == GATE_WRITE && g->readwrite);
    return authenticate(asks ? g->http : NULL, req, realm);
}

bool gate_named(struct http_request *req)
{
    const struct auth_subject *who = req->subject;
    if (!who || who->principal || !who->n_claims)
        return true;
    http_respond_text(req, 403, "The request's authenticated principal has no name");
    return false;
}

/* ---- audit ---- */

struct note {
    struct gate *gate;
    const char *action, *object;
    bool changes;
};

static void on_answer(struct http_request *req, int status)
{
    static const struct auth_subject nobody = {0};
    struct note *n = req->answer_userdata;
    req->on_answer = NULL;
    if (!n->changes && status != 401 && status != 403)
        return;
    char from[sizeof(req->peer.host) + 32];
    if (req->peer_is_unix)
        (void)snprintf(from, sizeof(from), "unix:uid=%u", (unsigned)req->peer_cred.uid);
    else
        (void)snprintf(from, sizeof(from), "%s:%u", req->peer.host, req->peer.port);
    const struct audit_entry e = {.time_us = clock_realtime_us(),
        .who = req->subject ? req->subject : &nobody,
        .from = from,
        .action = n->action,
        .object = n->object,
        .status = status};
    int status_now = audit_write(n->gate->audit, &e);
    /* The calls go on: an operator who cannot act on a full disk could not mend it. */
    if (status_now != n->gate->audit_status && status_now < 0)
        log_error("calls are missing in the audit log error=%s", errno_text(status_now));
    else if (status_now != n->gate->audit_status)
        log_info("the audit log is written again");
    n->gate->audit_status = status_now;
}

void gate_note(
    struct gate *g, struct http_request *req, const char *action, const char *object, bool changes)
{
    if (!g->audit)
        return;
    struct note *n = req->answer_userdata;
    if (!n) {
        n = arena_new(&req->arena, struct note);
        req->answer_userdata = n;
        req->on_answer = on_answer;
    }
    n->gate = g;
    n->action = action ? action : n->action;
    n->object = object ? object : n->object;
    n->changes = changes;
}
