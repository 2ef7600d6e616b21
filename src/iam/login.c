#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "iam/password.h"
#include "iam/shell.h"

/* Logins with a password or a service account's key; what a login gives. */

enum { SERVICE_TOKEN_LIFE_MAX_S = 600, CLOCK_SKEW_S = 60 };

/* ---- passwords, hashed and verified on the pool ---- */

struct hashing {
    struct loop_work work;
    struct list node;
    struct iam_call *call; /* its request is referenced */
    char *password;
    char *stored; /* hash to verify against; NULL: there is none */
    bool verify;
    bool ok;
    char *fresh; /* a new hash */
    void (*done)(struct iam_call *c, const char *hash, void *userdata);
    void *userdata;
};

static void start_hashing(struct iam *s);

static void hashing_free(struct hashing *h)
{
    rsa_wipe(h->password);
    free(h->stored);
    free(h->fresh);
    http_request_unref(h->call->req);
    free(h);
}

static void hash_work(struct loop_work *w)
{
    struct hashing *h = container_of(w, struct hashing, work);
    if (h->verify)
        h->ok = password_verify(h->password, h->stored);
    /* An imported hash is replaced by a better one as soon as the password is known. */
    if (!h->verify || (h->ok && !has_prefix(h->stored, "$argon2id$")))
        (void)password_hash(h->password, &h->fresh, NULL);
}

static void verified(struct hashing *h);

static void hash_done(struct loop_work *w)
{
    struct hashing *h = container_of(w, struct hashing, work);
    struct iam *s = h->call->iam;
    s->n_hashing--;
    if (!s->stopping) {
        if (h->verify)
            verified(h);
        else if (h->fresh)
            h->done(h->call, h->fresh, h->userdata);
        else
            call_refuse(h->call, 500, "ERR_INTERNAL", "The password could not be hashed");
    }
    hashing_free(h);
    if (!s->stopping)
        start_hashing(s);
}

static void start_hashing(struct iam *s)
{
    struct hashing *h;
    while (s->n_hashing < HASHERS_MAX && (h = list_first(&s->hash_queue, struct hashing, node))) {
        list_remove(&h->node);
        s->n_hash_queue--;
        s->n_hashing++;
        loop_work_start(s->loop, &h->work);
    }
}

static struct hashing *queue_hashing(struct iam_call *c, const char *password)
{
    struct iam *s = c->iam;
    if (s->n_hash_queue >= HASH_QUEUE_MAX) {
        http_set_header(c->req, "Retry-After", "1");
        call_refuse(c, 503, "ERR_BUSY", "Too many logins at once; try again in a moment");
        return NULL;
    }
    struct hashing *h = xnew(struct hashing);
    h->work = (struct loop_work){.work = hash_work, .done = hash_done};
    h->call = c;
    h->password = xstrdup(password);
    http_request_ref(c->req);
    list_init(&h->node);
    list_push(&s->hash_queue, &h->node);
    s->n_hash_queue++;
    return h;
}

void login_hash(struct iam_call *c, const char *password,
    void (*done)(struct iam_call *c, const char *hash, void *userdata), void *userdata)
{
    struct hashing *h = queue_hashing(c, password);
    if (!h)
        return;
    h->done = done;
    h->userdata = userdata;
    start_hashing(c->iam);
}

void login_stop(struct iam *s)
{
    struct hashing *h;
    while ((h = list_first(&s->hash_queue, struct hashing, node))) {
        list_remove(&h->node);
        hashing_free(h);
    }
    s->n_hash_queue = 0;
}

/* ---- what a login gives ---- */

static void set_cookie(
    struct iam_call *c, const char *name, const char *value, int64_t life_us, bool hidden)
{
    http_set_header_f(c->req, "Set-Cookie", "%s=%s; Path=/; Max-Age=%lld; SameSite=Lax%s%s", name,
        value, (long long)(life_us / USEC_PER_SEC), hidden ? "; HttpOnly" : "",
        c->iam->options.cookie_secure ? "; Secure" : "");
}

const char *login_grant(struct iam_call *c, const char *uid)
{
    struct iam *s = c->iam;
    const struct policy_user *u = map_get(&s->core.policy.users, uid);
    if (!u) {
        call_refuse(c, 401, "ERR_INVALID_CREDENTIALS", "The user is gone");
        return NULL;
    }
    int64_t now_us = iam_now(s), now_s = now_us / USEC_PER_SEC;
    _cleanup_buf_ struct buf claims = BUF_INIT, token = BUF_INIT, info = BUF_INIT,
                             encoded = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &claims);
    jw_begin_object(&w);
    jw_field_string(&w, "uid", uid);
    jw_field_i64(&w, "exp", now_s + s->options.token_life_us / USEC_PER_SEC);
    /* With a fraction: a token may follow the revocation of another one within its second. */
    char iat[48];
    int n = snprintf(iat, sizeof(iat), "%lld.%06d", (long long)now_s, (int)(now_us % USEC_PER_SEC));
    jw_key(&w, "iat");
    jw_raw(&w, iat, (size_t)n);
    jw_end_object(&w);
    struct error err = ERROR_INIT;
    if (keys_sign(s, buf_str(&claims), &token, &err) < 0) {
        log_error("cannot sign a token error=%s", err.msg);
        call_refuse(
            c, 500, "ERR_INTERNAL", "No token could be signed; the log of dcos-iam says why");
        return NULL;
    }
    jw_init(&w, &info);
    jw_begin_object(&w);
    jw_field_string(&w, "uid", uid);
    jw_field_string(&w, "description", u->description);
    jw_field_bool(&w, "is_remote", u->is_remote);
    jw_end_object(&w);
    base64_encode(&encoded, info.p, info.n);
    set_cookie(c, "dcos-acs-auth-cookie", buf_cstr(&token), s->options.cookie_life_us, true);
    set_cookie(
        c, "dcos-acs-info-cookie", buf_cstr(&encoded), s->options.info_cookie_life_us, false);
    return arena_strdup(&c->req->arena, buf_cstr(&token));
}

void login_logout(struct iam_call *c)
{
    static const char *const names[] = {"dcos-acs-auth-cookie", "dcos-acs-info-cookie"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        http_set_header_f(c->req, "Set-Cookie",
            "%s=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0%s%s", names[i],
            i == 0 ? "; HttpOnly" : "", c->iam->options.cookie_secure ? "; Secure" : "");
    http_respond(c->req, 200, NULL, NULL, 0);
}

static void answer_token(struct iam_call *c, const char *uid)
{
    const char *token = login_grant(c, uid);
    if (!token)
        return;
    log_info("login user=%s", uid);
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "token", token);
    jw_end_object(&w);
    call_document(c, 200, &body);
}

/* ---- limits ---- */

/* The router in front tells the client's address last. */
static const char *client_address(struct iam_call *c)
{
    struct http_request *req = c->req;
    struct str list = http_headers_join(&req->headers, "X-Forwarded-For", &req->arena), part;
    struct str last = {0};
    bool proxied = req->peer_is_unix || has_prefix(req->peer.host, "127.") ||
                   streq(req->peer.host, "::1");
    while (proxied && str_split(&list, ',', &part))
        last = str_trim(part);
    return last.n && last.n < 64 ? arena_strndup(&req->arena, last.p, last.n) : req->peer.host;
}

static void limit_keys(
    struct iam_call *c, const char *uid, const char **ret_uid, const char **ret_ip)
{
    *ret_uid = arena_printf(&c->req->arena, "uid %.96s", uid);
    *ret_ip = arena_printf(&c->req->arena, "ip %s", client_address(c));
}

static bool too_often(struct iam_call *c, const char *uid)
{
    const char *by_uid, *by_ip;
    limit_keys(c, uid, &by_uid, &by_ip);
    /* One address may stand for many people. */
    if (!limit_reached(c->iam, by_uid) && !limit_reached(c->iam, by_ip))
        return false;
    http_set_header(c->req, "Retry-After", "60");
    call_refuse(
        c, 429, "ERR_TOO_MANY_ATTEMPTS", "Too many failed logins; wait a minute and try again");
    return true;
}

static void refuse_login(struct iam_call *c, const char *uid)
{
    const char *by_uid, *by_ip;
    limit_keys(c, uid, &by_uid, &by_ip);
    limit_count(c->iam, by_uid);
    limit_count(c->iam, by_ip);
    log_info("login refused user=%.96s from=%s", uid, client_address(c));
    /* The same for everything that can be wrong. */
    call_refuse(c, 401, "ERR_INVALID_CREDENTIALS", "Invalid username or password.");
}

/* ---- the three ways ---- */

static void verified(struct hashing *h)
{
    struct iam_call *c = h->call;
    struct iam *s = c->iam;
    const char *uid = h->userdata;
    const struct policy_user *u = map_get(&s->core.policy.users, uid);
    /* Of many attempts at once only so many count, too. */
    if (too_often(c, uid))
        return;
    /* The user may have gone, or changed the password, meanwhile. */
    bool same = u && u->password_hash && h->stored && streq(u->password_hash, h->stored);
    if (!h->ok || !same) {
        refuse_login(c, uid);
        return;
    }
    if (h->fresh) {
        const struct iam_user_spec better = {.password_hash = h->fresh};
        struct iam_reply reply;
        iam_user_update(&s->core, uid, &better, &reply);
        iam_commit(s, NULL, NULL);
    }
    answer_token(c, uid);
}

static void login_password(struct iam_call *c, const char *uid, const char *password)
{
    const struct policy_user *u = map_get(&c->iam->core.policy.users, uid);
    struct hashing *h = queue_hashing(c, password);
    if (!h)
        return;
    h->verify = true;
    h->stored = u && u->password_hash ? xstrdup(u->password_hash) : NULL;
    h->userdata = arena_strdup(&c->req->arena, uid);
    start_hashing(c->iam);
}

static bool service_token_ok(struct iam_call *c, const struct policy_user *u, const char *token)
{
    if (!u || !u->public_key)
        return false;
    _cleanup_(jwt_keys_freep)
    struct jwt_keys *keys = jwt_keys_new();
    if (jwt_keys_add_pem(keys, u->public_key, strlen(u->public_key), NULL) < 0)
        return false;
    int64_t now_s = iam_now(c->iam) / USEC_PER_SEC;
    struct jwt jwt;
    if (jwt_verify(keys, str_of(token), now_s, &c->req->arena, &jwt, NULL) < 0)
        return false;
    const struct auth_subject who = {.claims = jwt.claims, .n_claims = jwt.n_claims};
    const char *uid = auth_claim_get(&who, "uid");
    return uid && streq(uid, u->uid) && jwt.expires_s > 0 &&
           jwt.expires_s <= now_s + SERVICE_TOKEN_LIFE_MAX_S + CLOCK_SKEW_S;
}

void login_post(struct iam_call *c)
{
    const char *uid = json_is_object(c->body) ? json_str_at(c->body, "uid", NULL) : NULL;
    const char *password = uid ? json_str_at(c->body, "password", NULL) : NULL;
    const char *token = json_is_object(c->body) ? json_str_at(c->body, "token", NULL) : NULL;
    if (!c->body) {
        call_refuse(c, 400, "ERR_INVALID_DATA", "Request has bad Content-Type or lacks JSON data");
        return;
    }
    if ((!password && !token) || (password && token)) {
        call_refuse(
            c, 400, "ERR_INVALID_DATA", "Give `uid` and `password`, `uid` and `token`, or `token`");
        return;
    }
    if (password && strlen(password) > IAM_PASSWORD_MAX) {
        call_refuse(c, 400, "ERR_INVALID_DATA", "The password is too long");
        return;
    }
    if (too_often(c, uid ? uid : ""))
        return;
    if (password) {
        login_password(c, uid, password);
    } else if (!uid) {
        oidc_id_token(c, token);
    } else {
        const struct policy_user *u = map_get(&c->iam->core.policy.users, uid);
        if (service_token_ok(c, u, token))
            answer_token(c, u->uid);
        else
            refuse_login(c, uid);
    }
}
