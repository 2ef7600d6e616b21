#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "iam/oidc.h"

/*
 * Login at a provider: authorization code flow with state, nonce and PKCE (RFC 6749, 7636, OpenID
 * Connect Core 3.1). The state is bound to the browser by a cookie. The e-mail address, which the
 * provider must have verified, is the user's id here. Who is not known is refused, but for the very
 * first user of a cluster.
 */

#define DISCOVERY_LIFE_US (3600 * USEC_PER_SEC)
/* Whoever sends tokens that do not verify must not make us ask the provider each time. */
#define KEYS_PAUSE_US (1 * USEC_PER_SEC)
#define PENDING_LIFE_US (600 * USEC_PER_SEC)
enum { DOCUMENT_MAX = 256 * 1024, TARGET_MAX = 2048 };
static const char STATE_COOKIE[] = "dcos-acs-oidc-state";
static const char SHOW_TOKEN[] = "dcos:authenticationresponse:html";

struct flow {
    struct iam_call *c; /* its request is referenced */
    struct oidc_provider *p;
    void (*next)(struct flow *f); /* once the provider's documents are there */
    struct oidc_pending *pending; /* of a callback */
    char *code;
    char *id_token;
    bool refreshed; /* its keys were asked for anew for this login */
    void (*on_answer)(struct flow *f, json_t *document);
};

static void pending_free(struct oidc_pending *p)
{
    if (!p)
        return;
    free(p->provider_id);
    free(p->target);
    OPENSSL_cleanse(p, sizeof(*p));
    free(p);
}

void oidc_done(struct iam *s)
{
    MAP_FOREACH (e, &s->pending)
        pending_free(e->value);
    map_done(&s->pending);
    MAP_FOREACH (e, &s->providers)
        oidc_provider_unref(e->value);
    map_done(&s->providers);
}

static struct flow *flow_new(
    struct iam_call *c, struct oidc_provider *p, void (*next)(struct flow *f))
{
    struct flow *f = xnew(struct flow);
    f->c = c;
    f->p = p;
    p->refs++;
    f->next = next;
    http_request_ref(c->req);
    return f;
}

static void flow_end(struct flow *f)
{
    oidc_provider_unref(f->p);
    pending_free(f->pending);
    free(f->code);
    free(f->id_token);
    http_request_unref(f->c->req);
    free(f);
}

static void flow_fail(struct flow *f, int status, const char *code, const char *text)
{
    log_warn("login at a provider failed provider=%s reason=%s", f->p->id, text);
    call_refuse(f->c, status, code, "%s", text);
    flow_end(f);
}

/* ---- talking to the provider ---- */

static void answered(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct flow *f = userdata;
    if (f->c->iam->stopping) {
        flow_end(f);
        return;
    }
    json_t *document = NULL;
    if (status == 0 && res->status == 200)
        (void)json_parse(res->body.p, res->body.n, &document, NULL);
    if (!json_is_object(document)) {
        json_decref(document);
        char text[256];
        if (status < 0)
            snprintf(text, sizeof(text), "The identity provider cannot be reached: %s", error);
        else
            snprintf(text, sizeof(text), "The identity provider answered with status %d%s",
                res->status, res->status == 200 ? " and no JSON object" : "");
        flow_fail(f, 502, "ERR_PROVIDER", text);
        return;
    }
    f->on_answer(f, document);
    json_decref(document);
}

/* `form` NULL: GET. */
static void ask(struct flow *f, const char *url, const struct buf *form,
    void (*on_answer)(struct flow *f, json_t *document))
{
    struct http_url u;
    if (http_url_parse(str_of(url), &u, NULL) < 0) {
        flow_fail(f, 502, "ERR_PROVIDER", "The identity provider names an address that is no URL");
        return;
    }
    f->on_answer = on_answer;
    struct arena *arena = &f->c->req->arena;
    struct http_header headers[3] = {{STR("Accept"), STR("application/json")}};
    size_t n = 1;
    if (form) {
        headers[n++] = (struct http_header){
            STR("Content-Type"), STR("application/x-www-form-urlencoded")};
        _cleanup_buf_ struct buf pair = BUF_INIT, basic = BUF_INIT;
        http_escape(&pair, str_of(json_str_at(f->p->document, "client_id", "")));
        buf_putc(&pair, ':');
        http_escape(&pair, str_of(json_str_at(f->p->document, "client_secret", "")));
        buf_puts(&basic, "Basic ");
        base64_encode(&basic, pair.p, pair.n);
        headers[n++] = (struct http_header){
            STR("Authorization"), str_of(arena_strdup(arena, buf_cstr(&basic)))};
    }
    const struct http_call_options options = {
        .method = form ? "POST" : "GET",
        .host = arena_strndup(arena, u.host.p, u.host.n),
        .port = u.port,
        .tls = u.tls,
        .target = arena_strndup(arena, u.target.p, u.target.n),
        .headers = headers,
        .n_headers = n,
        .body = form ? form->p : NULL,
        .body_n = form ? form->n : 0,
        .collect_max = DOCUMENT_MAX,
    };
    http_call_start(f->p->client, &options, &(struct http_call_handlers){.on_done = answered}, f);
}

static void got_keys(struct flow *f, json_t *document)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(document, &text);
    struct jwt_keys *keys = jwt_keys_new();
    struct error err = ERROR_INIT;
    if (jwt_keys_set_jwks(keys, text.p, text.n, &err) < 0) {
        jwt_keys_free(keys);
        flow_fail(f, 502, "ERR_PROVIDER", "The identity provider's keys cannot be read");
        return;
    }
    jwt_keys_free(f->p->keys);
    f->p->keys = keys;
    f->p->discovered_us = clock_monotonic_us();
    f->next(f);
}

static void got_configuration(struct flow *f, json_t *document)
{
    struct oidc_provider *p = f->p;
    const char *issuer = json_str_at(document, "issuer", "");
    const char *authorization = json_str_at(document, "authorization_endpoint", NULL);
    const char *token = json_str_at(document, "token_endpoint", NULL);
    const char *jwks = json_str_at(document, "jwks_uri", NULL);
    if (!streq(issuer, oidc_issuer(p)) || !authorization || !token || !jwks) {
        flow_fail(f, 502, "ERR_PROVIDER",
            "The identity provider's configuration names another issuer or lacks an endpoint");
        return;
    }
    free(p->authorization_endpoint);
    free(p->token_endpoint);
    free(p->jwks_uri);
    p->authorization_endpoint = xstrdup(authorization);
    p->token_endpoint = xstrdup(token);
    p->jwks_uri = xstrdup(jwks);
    ask(f, p->jwks_uri, NULL, got_keys);
}

/* Has the provider's documents, then goes on with f->next. */
static void discover(struct flow *f)
{
    struct oidc_provider *p = f->p;
    if (p->keys && clock_monotonic_us() - p->discovered_us < DISCOVERY_LIFE_US) {
        f->next(f);
        return;
    }
    const char *issuer = oidc_issuer(p);
    size_t n = strlen(issuer);
    while (n > 0 && issuer[n - 1] == '/')
        n--;
    ask(f, arena_printf(&f->c->req->arena, "%.*s/.well-known/openid-configuration", (int)n, issuer),
        NULL, got_configuration);
}

/* ---- beginning ---- */

static void random_name(char ret[44])
{
    uint8_t bytes[32];
    random_bytes(bytes, sizeof(bytes));
    _cleanup_buf_ struct buf text = BUF_INIT;
    base64url_encode(&text, bytes, sizeof(bytes));
    snprintf(ret, 44, "%s", buf_cstr(&text));
}

static void drop_pending(struct iam *s)
{
    int64_t now = clock_monotonic_us();
    MAP_FOREACH (e, &s->pending) {
        struct oidc_pending *p = e->value;
        if (p->expires_us > now && map_size(&s->pending) < OIDC_PENDING_MAX)
            break;
        map_remove(&s->pending, p->state);
        pending_free(p);
    }
}

static void append_param(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s%s=", out->n && memchr(out->p, '?', out->n) ? "&" : "?", name);
    http_escape(out, str_of(value));
}

static const char *redirect_uri(struct flow *f)
{
    const char *base = json_str_at(f->p->document, "base_url", "");
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    return arena_printf(&f->c->req->arena, "%.*s/acs/api/v1/auth/oidc/callback", (int)n, base);
}

static void send_away(struct flow *f)
{
    struct iam *s = f->c->iam;
    drop_pending(s);
    struct oidc_pending *p = xnew(struct oidc_pending);
    struct str target = http_request_param(f->c->req, "target");
    p->expires_us = clock_monotonic_us() + PENDING_LIFE_US;
    p->provider_id = xstrdup(f->p->id);
    p->target = xstrndup(target.n ? target.p : "/", target.n ? target.n : 1);
    random_name(p->state);
    random_name(p->nonce);
    random_name(p->verifier);
    map_put(&s->pending, p->state, p);

    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_Digest(p->verifier, strlen(p->verifier), digest, &n, EVP_sha256(), NULL);
    _cleanup_buf_ struct buf challenge = BUF_INIT, url = BUF_INIT;
    base64url_encode(&challenge, digest, n);
    buf_puts(&url, f->p->authorization_endpoint);
    append_param(&url, "response_type", "code");
    append_param(&url, "client_id", json_str_at(f->p->document, "client_id", ""));
    append_param(&url, "redirect_uri", redirect_uri(f));
    append_param(&url, "scope", "openid email");
    append_param(&url, "state", p->state);
    append_param(&url, "nonce", p->nonce);
    append_param(&url, "code_challenge", buf_cstr(&challenge));
    append_param(&url, "code_challenge_method", "S256");
    http_set_header_f(f->c->req, "Set-Cookie",
        "%s=%s; Path=/acs/api/v1/auth/oidc; Max-Age=%d; HttpOnly; SameSite=Lax%s", STATE_COOKIE,
        p->state, (int)(PENDING_LIFE_US / USEC_PER_SEC),
        s->options.cookie_secure ? "; Secure" : "");
    http_set_header(f->c->req, "Location", buf_cstr(&url));
    http_set_header(f->c->req, "Cache-Control", "no-store");
    http_respond(f->c->req, 302, NULL, NULL, 0);
    flow_end(f);
}

/* Only a path of this cluster, or the page that shows the token: nobody is sent elsewhere. */
static bool target_ok(struct str target)
{
    if (!target.n || str_eq_c(target, SHOW_TOKEN))
        return true;
    if (target.p[0] != '/' || target.n > TARGET_MAX)
        return false;
    if (target.n > 1 && (target.p[1] == '/' || target.p[1] == '\\'))
        return false;
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.p[i] < 0x21 || target.p[i] == 0x7f || target.p[i] == '\\')
            return false;
    return true;
}

void oidc_login(struct iam_call *c)
{
    struct str id = http_request_param(c->req, "oidc-provider");
    struct oidc_provider *p = id.n ? map_get_n(&c->iam->providers, id.p, id.n) : NULL;
    if (!p) {
        call_refuse(c, 400, "ERR_UNKNOWN_PROVIDER_ID",
            "Give `oidc-provider`, one of those that /acs/api/v1/auth/oidc/providers lists");
        return;
    }
    if (!target_ok(http_request_param(c->req, "target"))) {
        call_refuse(c, 400, "ERR_INVALID_DATA", "`target` must be a path of this cluster");
        return;
    }
    discover(flow_new(c, p, send_away));
}

/* ---- coming back ---- */

static bool names_client(const json_t *payload, const char *client_id)
{
    const json_t *aud = json_at(payload, "aud");
    if (json_is_string(aud))
        return streq(json_string_value(aud), client_id);
    size_t i;
    const json_t *one;
    bool among = false;
    json_array_foreach(aud, i, one)
        among = among || (json_is_string(one) && streq(json_string_value(one), client_id));
    /* With several audiences the authorized party must be us. */
    const char *azp = json_str_at(payload, "azp", NULL);
    return among && (json_array_size(aud) == 1 || (azp && streq(azp, client_id)));
}

/* The user that a verified ID token stands for, in the arena, or NULL with the reason. */
static const char *user_of_token(struct flow *f, const struct jwt *jwt, struct error *err)
{
    _cleanup_json_ json_t *payload = NULL;
    (void)json_parse(jwt->payload, strlen(jwt->payload), &payload, NULL);
    const char *issuer = json_str_at(payload, "iss", ""),
               *mail = json_str_at(payload, "email", NULL);
    const char *nonce = json_str_at(payload, "nonce", "");
    if (!streq(issuer, oidc_issuer(f->p)))
        error_set(err, -EACCES, "The ID token is another issuer's");
    else if (!names_client(payload, json_str_at(f->p->document, "client_id", "")))
        error_set(err, -EACCES, "The ID token was made for another client");
    else if (!jwt->expires_s)
        error_set(err, -EACCES, "The ID token does not expire");
    else if (f->pending && !streq(nonce, f->pending->nonce))
        error_set(err, -EACCES, "The ID token belongs to another login");
    else if (!mail || !iam_id_valid(mail))
        error_set(err, -EACCES, "The ID token has no e-mail address");
    else if (!json_bool_at(payload, "email_verified", false))
        error_set(err, -EACCES, "The e-mail address is not verified by the provider");
    else
        return arena_strdup(&f->c->req->arena, mail);
    return NULL;
}

static bool is_first_user(const struct iam *s)
{
    MAP_FOREACH (e, &s->core.policy.users)
        if (!((const struct policy_user *)e->value)->public_key)
            return false;
    return true;
}

/* Another provider must not speak for this one's users. Those of the former hosted login, and those
 * that name the issuer, belong to whoever verifies their address. */
static bool belongs(const struct policy_user *u, const struct oidc_provider *p)
{
    return streq(u->provider_type, "oidc") &&
           (streq(u->provider_id, p->id) || streq(u->provider_id, oidc_issuer(p)) ||
               streq(u->provider_id, IAM_LEGACY_PROVIDER));
}

/* Whether the user may come in; the first one of a cluster is made a superuser. */
static bool admit(struct flow *f, const char *uid)
{
    struct iam *s = f->c->iam;
    const struct policy_user *u = map_get(&s->core.policy.users, uid);
    if (u)
        return u->is_remote && belongs(u, f->p);
    if (!is_first_user(s))
        return false;
    const struct iam_user_spec spec = {
        .description = uid, .is_remote = true, .provider_type = "oidc", .provider_id = f->p->id};
    struct iam_reply reply;
    iam_user_create(&s->core, uid, &spec, iam_now(s), &reply);
    iam_make_superuser(&s->core, uid);
    log_info("the first user is made a superuser user=%s", uid);
    return true;
}

static void append_html(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '<':
            buf_puts(out, "&lt;");
            break;
        case '&':
            buf_puts(out, "&amp;");
            break;
        case '"':
            buf_puts(out, "&quot;");
            break;
        default:
            buf_putc(out, *p);
        }
    }
}

static void answer_browser(struct flow *f, const char *uid, const char *token)
{
    struct http_request *req = f->c->req;
    log_info("login user=%s provider=%s", uid, f->p->id);
    http_set_header(req, "Cache-Control", "no-store");
    http_set_header_f(
        req, "Set-Cookie", "%s=; Path=/acs/api/v1/auth/oidc; Max-Age=0", STATE_COOKIE);
    if (!streq(f->pending->target, SHOW_TOKEN)) {
        http_set_header(req, "Location", f->pending->target);
        http_respond(req, 302, NULL, NULL, 0);
        return;
    }
    /* For the command line: to be copied into its prompt. */
    _cleanup_buf_ struct buf page = BUF_INIT;
    buf_puts(&page, "<!doctype html><html><head><meta charset=\"utf-8\"><title>Authentication token"
                    "</title></head><body><p>You are logged in as ");
    append_html(&page, uid);
    buf_puts(&page, ". Copy this token to the command line that asked for it:</p><pre>");
    append_html(&page, token);
    buf_puts(&page, "</pre></body></html>\n");
    http_respond(req, 200, "text/html; charset=UTF-8", page.p, page.n);
}

static void finish(void *userdata)
{
    struct flow *f = userdata;
    struct iam *s = f->c->iam;
    const char *uid = f->code; /* the user by now */
    const char *token = s->stopping ? NULL : login_grant(f->c, uid);
    if (token && f->pending) {
        answer_browser(f, uid, token);
    } else if (token) {
        log_info("login user=%s provider=%s", uid, f->p->id);
        _cleanup_buf_ struct buf body = BUF_INIT;
        buf_printf(&body, "{\"token\":\"%s\"}", token);
        call_document(f->c, 200, &body);
    }
    flow_end(f);
}

static void check_id_token(struct flow *f)
{
    struct iam *s = f->c->iam;
    struct jwt jwt;
    struct error err = ERROR_INIT;
    int r = jwt_verify(
        f->p->keys, str_of(f->id_token), iam_now(s) / USEC_PER_SEC, &f->c->req->arena, &jwt, &err);
    if (r == 0 && !jwt.asymmetric)
        r = error_set(&err, -EACCES, "The ID token is not signed by a key pair");
    if (r < 0 && !f->refreshed && clock_monotonic_us() - f->p->discovered_us > KEYS_PAUSE_US) {
        /* The provider may have changed its keys since. */
        f->refreshed = true;
        f->next = check_id_token;
        ask(f, f->p->jwks_uri, NULL, got_keys);
        return;
    }
    const char *uid = r == 0 ? user_of_token(f, &jwt, &err) : NULL;
    if (!uid) {
        flow_fail(f, 401, "ERR_INVALID_CREDENTIALS", err.msg);
        return;
    }
    if (!admit(f, uid)) {
        call_note(f->c, uid);
        flow_fail(f, 401, "ERR_INVALID_CREDENTIALS",
            "This user is not known to the cluster; a superuser must add it first");
        return;
    }
    call_note(f->c, uid);
    free(f->code);
    f->code = xstrdup(uid);
    if (s->core.changes.n)
        iam_commit(s, finish, f);
    else
        finish(f);
}

static void got_token(struct flow *f, json_t *document)
{
    const char *token = json_str_at(document, "id_token", NULL);
    if (!token) {
        flow_fail(f, 502, "ERR_PROVIDER", "The identity provider gave no ID token");
        return;
    }
    f->id_token = xstrdup(token);
    check_id_token(f);
}

static void exchange_code(struct flow *f)
{
    _cleanup_buf_ struct buf form = BUF_INIT;
    buf_puts(&form, "grant_type=authorization_code&code=");
    http_escape(&form, str_of(f->code));
    buf_puts(&form, "&redirect_uri=");
    http_escape(&form, str_of(redirect_uri(f)));
    buf_printf(&form, "&code_verifier=%s", f->pending->verifier);
    ask(f, f->p->token_endpoint, &form, got_token);
}

static bool cookie_matches(struct http_request *req, const char *state)
{
    struct str cookies = http_headers_join(&req->headers, "Cookie", &req->arena), part;
    size_t n = strlen(STATE_COOKIE);
    while (str_split(&cookies, ';', &part)) {
        part = str_trim(part);
        if (part.n == n + 1 + strlen(state) && memcmp(part.p, STATE_COOKIE, n) == 0 &&
            part.p[n] == '=' && CRYPTO_memcmp(part.p + n + 1, state, strlen(state)) == 0)
            return true;
    }
    return false;
}

void oidc_callback(struct iam_call *c)
{
    struct iam *s = c->iam;
    struct str state = http_request_param(c->req, "state"),
               code = http_request_param(c->req, "code"),
               refused = http_request_param(c->req, "error");
    drop_pending(s);
    struct oidc_pending *pending = state.n ? map_get_n(&s->pending, state.p, state.n) : NULL;
    if (!pending || !cookie_matches(c->req, pending->state)) {
        call_refuse(c, 401, "ERR_INVALID_CREDENTIALS",
            "This login was not begun by this browser, or took too long; begin again");
        return;
    }
    map_remove(&s->pending, pending->state); /* each counts once */
    struct oidc_provider *p = map_get(&s->providers, pending->provider_id);
    if (!p || refused.n || !code.n || code.n > TARGET_MAX) {
        pending_free(pending);
        call_refuse(c, 401, "ERR_INVALID_CREDENTIALS", "The identity provider refused: %.*s",
            (int)MIN(refused.n, (size_t)200), refused.n ? refused.p : "");
        return;
    }
    struct flow *f = flow_new(c, p, exchange_code);
    f->pending = pending;
    f->code = xstrndup(code.p, code.n);
    discover(f);
}

/* ---- an ID token that the client has ---- */

void oidc_id_token(struct iam_call *c, const char *token)
{
    /* Whose it says it is decides whose keys have to verify it. */
    struct str rest = str_of(token), part;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *payload = NULL;
    if (str_split(&rest, '.', &part) && str_split(&rest, '.', &part) &&
        base64url_decode(&text, part) == 0)
        (void)json_parse(text.p, text.n, &payload, NULL);
    const char *issuer = json_str_at(payload, "iss", NULL);
    struct oidc_provider *p = NULL;
    MAP_FOREACH (e, &c->iam->providers)
        if (issuer && streq(oidc_issuer(e->value), issuer))
            p = e->value;
    if (!p) {
        call_refuse(c, 401, "ERR_INVALID_CREDENTIALS", "The token is no known provider's");
        return;
    }
    struct flow *f = flow_new(c, p, check_id_token);
    f->id_token = xstrdup(token);
    discover(f);
}
