#include "auth/service_account.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/credentials.h"
#include "auth/jwt.h"
#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/client.h"
#include "json/writer.h"

#define PAUSE_MIN_US (100 * USEC_PER_MSEC)
#define PAUSE_MAX_US (5 * USEC_PER_SEC)
#define REFUSED_MIN_US (10 * USEC_PER_SEC)
#define REFUSED_MAX_US (60 * USEC_PER_SEC)
#define LIFE_MIN_US (2 * USEC_PER_SEC)
#define LIFE_MAX_S (400 * INT64_C(86400))
#define TIMEOUT_US (10 * USEC_PER_SEC)

struct service_account {
    struct service_account_options o;
    char *file, *uid, *token;
    struct http_client *http;
    struct http_call *call;
    struct timer timer; /* to the next login */
    int64_t pause_us, refused_us;
    int64_t token_us; /* when the token came */
    int64_t anew_us;  /* how old it is before a refusal counts */
    bool refused;     /* somebody did not take it */
    char told[160];   /* the failure that was logged last; empty: none since the last login */
};

/* What is in the file. */
struct secret {
    json_t *json;
    const char *uid, *key;
    struct http_url endpoint;
};

static void secret_done(struct secret *s)
{
    if (s->key)
        explicit_bzero((char *)(uintptr_t)s->key, strlen(s->key));
    json_decref(s->json);
}
#define _cleanup_service_secret_ _cleanup_(secret_done)

static int secret_read(const char *path, struct secret *ret, bool *ret_exposed, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    int r = secret_file_read(path, SECRET_FILE_MAX, &text, ret_exposed, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &ret->json, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    const char *scheme = json_str_at(ret->json, "scheme", "RS256");
    const char *url = json_str_at(ret->json, "login_endpoint", NULL);
    ret->uid = json_str_at(ret->json, "uid", NULL);
    ret->key = json_str_at(ret->json, "private_key", NULL);
    if (!ret->uid || !*ret->uid || !ret->key || !url)
        return error_set(
            err, -EINVAL, "%s: expected an object with uid, private_key and login_endpoint", path);
    if (!streq(scheme, "RS256"))
        return error_set(err, -EINVAL, "%s: the scheme is RS256", path);
    if (http_url_parse(str_of(url), &ret->endpoint, NULL) < 0 || ret->endpoint.userinfo.n)
        return error_set(err, -EINVAL, "%s: login_endpoint is no http:// or https:// URL", path);
    return 0;
}

int service_token_make(
    struct str pem, const char *uid, int64_t now_s, struct buf *out, struct error *err)
{
    _cleanup_buf_ struct buf claims = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &claims);
    jw_begin_object(&w);
    jw_field_string(&w, "uid", uid);
    jw_field_i64(&w, "exp", now_s + SERVICE_TOKEN_LIFE_S);
    jw_end_object(&w);
    return jwt_make_rs256(pem, NULL, buf_str(&claims), out, err);
}

/* How long a fresh token counts; clocks may differ, so its own time of issue is preferred. 0: it
 * does not say. */
static int64_t life_of(const char *token)
{
    struct str rest = str_of(token), part = {0};
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *claims = NULL;
    if (!str_split(&rest, '.', &part) || !str_split(&rest, '.', &part) ||
        base64url_decode(&text, part) < 0 || json_parse(buf_cstr(&text), text.n, &claims, NULL) < 0)
        return 0;
    double expires = json_number_value(json_at(claims, "exp"));
    double issued = json_number_value(json_at(claims, "iat"));
    if (issued <= 0)
        issued = (double)(clock_realtime_us() / USEC_PER_SEC);
    double life = expires - issued;
    if (!(life > 0))
        return 0;
    return life < (double)LIFE_MAX_S ? (int64_t)(life * 1e6) : LIFE_MAX_S * USEC_PER_SEC;
}

/* ---- logging in ---- */

static void failed(struct service_account *a, bool refused, const char *why)
{
    char text[sizeof(a->told)];
    (void)snprintf(text, sizeof(text), "%s", why);
    if (!streq(text, a->told))
        log_warn("cannot log in at the identity service, trying again user=%s reason=%s%s", a->uid,
            text, a->token ? "; the last token is still shown" : "");
    memcpy(a->told, text, sizeof(text));
    int64_t *pause = refused ? &a->refused_us : &a->pause_us;
    timer_start(&a->timer, *pause);
    *pause = MIN(*pause * 2, refused ? REFUSED_MAX_US : PAUSE_MAX_US);
}

static int64_t first_refused_pause(const struct service_account *a)
{
    return a->o.refused_pause_us ? a->o.refused_pause_us : REFUSED_MIN_US;
}

static void reset_pauses(struct service_account *a)
{
    a->pause_us = a->o.pause_us ? a->o.pause_us : PAUSE_MIN_US;
    a->refused_us = first_refused_pause(a);
}

static void take_token(struct service_account *a, const char *token)
{
    int64_t life = life_of(token);
    rsa_wipe(a->token);
    a->token = xstrdup(token);
    a->token_us = clock_monotonic_us();
    a->told[0] = '\0';
    /* Logging in all the time would not mend it when fresh tokens are refused too. */
    a->anew_us = a->refused ? MIN(a->anew_us * 2, REFUSED_MAX_US) : first_refused_pause(a);
    a->refused = false;
    reset_pauses(a);
    log_info("logged in at the identity service user=%s token_life_s=%lld", a->uid,
        (long long)(life / USEC_PER_SEC));
    if (life)
        timer_start(&a->timer, MAX(life, LIFE_MIN_US) / 4 * 3);
    if (a->o.on_token)
        a->o.on_token(a->o.userdata);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct service_account *a = userdata;
    char text[96];
    _cleanup_json_ json_t *answer = NULL;
    a->call = NULL;
    if (status < 0 || !res) {
        failed(a, false, error ? error : errno_text(status));
    } else if (res->status == 401) {
        failed(a, true, "it does not know the account, or the account has another key (401)");
    } else if (res->status != 200) {
        (void)snprintf(text, sizeof(text), "it answers with status %d", res->status);
        failed(a, res->status == 429, text);
    } else if (json_parse(res->body.p, res->body.n, &answer, NULL) < 0 ||
               !json_str_at(answer, "token", NULL)) {
        failed(a, false, "its answer has no token");
    } else {
        take_token(a, json_str_at(answer, "token", NULL));
    }
}

static void log_in(struct timer *t)
{
    static const struct http_call_handlers handlers = {.on_done = on_done};
    static const struct http_header type = {
        STR("Content-Type"), STR("application/json; charset=utf-8")};
    struct service_account *a = container_of(t, struct service_account, timer);
    _cleanup_service_secret_ struct secret s = {0};
    _cleanup_secret_ struct buf token = BUF_INIT, body = BUF_INIT;
    struct error err = ERROR_INIT;
    bool exposed;
    int r = secret_read(a->file, &s, &exposed, &err);
    if (r == 0)
        r = service_token_make(
            str_of(s.key), s.uid, clock_realtime_us() / USEC_PER_SEC, &token, &err);
    if (r < 0) {
        failed(a, true, err.msg);
        return;
    }
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "uid", s.uid);
    jw_field_string(&w, "token", buf_cstr(&token));
    jw_end_object(&w);
    _cleanup_free_ char *host = str_dup(s.endpoint.host), *target = str_dup(s.endpoint.target);
    const struct http_call_options options = {.method = "POST",
        .host = host,
        .port = s.endpoint.port,
        .tls = s.endpoint.tls,
        .target = target,
        .headers = &type,
        .n_headers = 1,
        .body = body.p,
        .body_n = body.n,
        .collect_max = SERVICE_ANSWER_MAX,
        .head_timeout_us = TIMEOUT_US,
        .idle_timeout_us = TIMEOUT_US,
        .fresh = true};
    a->call = http_call_start(a->http, &options, &handlers, a);
}

void service_account_refused(struct service_account *a)
{
    if (!a->token || a->refused || a->call || a->told[0])
        return; /* another login is under way, or waits */
    if (clock_monotonic_us() - a->token_us < a->anew_us)
        return; /* who just started may not know who there is yet; it is asked again */
    a->refused = true;
    log_info("the token is refused, logging in again user=%s", a->uid);
    timer_start(&a->timer, 0);
}

/* ---- life ---- */

int service_account_new(const struct service_account_options *options, struct service_account **ret,
    bool *ret_exposed, struct error *err)
{
    _cleanup_service_secret_ struct secret s = {0};
    _cleanup_secret_ struct buf probe = BUF_INIT;
    int r = secret_read(options->file, &s, ret_exposed, err);
    if (r == 0 && service_token_make(str_of(s.key), s.uid, 0, &probe, err) < 0)
        r = error_prefix(err, -EINVAL, "%s: private_key", options->file);
    if (r < 0)
        return r;
    struct service_account *a = xnew(struct service_account);
    a->o = *options;
    a->file = xstrdup(options->file);
    a->uid = xstrdup(s.uid);
    reset_pauses(a);
    a->http = http_client_new(a->o.loop, &(struct http_client_options){.tls = a->o.tls});
    timer_init(&a->timer, a->o.loop, log_in);
    timer_start(&a->timer, 0);
    *ret = a;
    return 0;
}

void service_account_free(struct service_account *a)
{
    if (!a)
        return;
    timer_stop(&a->timer);
    if (a->call)
        http_call_cancel(a->call);
    http_client_free(a->http);
    rsa_wipe(a->token);
    free(a->file);
    free(a->uid);
    free(a);
}

const char *service_account_uid(const struct service_account *a)
{
    return a->uid;
}

const char *service_account_token(const struct service_account *a)
{
    return a->token;
}
