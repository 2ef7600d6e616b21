#include "auth/policy_follow.h"

#include <errno.h>

#include "auth/login.h"
#include "auth/rsa.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/client.h"
#include "http/recordio.h"
#include "json/writer.h"

#define PAUSE_MIN_US (100 * USEC_PER_MSEC)
#define PAUSE_MAX_US (2 * USEC_PER_SEC)
#define SILENCE_US (20 * USEC_PER_SEC) /* the service sends something every 5 seconds */
#define STALE_US (300 * USEC_PER_SEC)
#define CONNECT_TIMEOUT_US (2 * USEC_PER_SEC)

struct policy_follow {
    struct loop *loop;
    struct http_client *client;
    struct login *login, *own; /* `own`: of the file, to be freed */
    struct login_watch watch;
    char *host, *unix_path;
    uint16_t port;
    bool tls;
    struct jwt_keys *keys;
    void (*on_change)(void *userdata);
    void *userdata;

    struct http_call *call;
    struct recordio_decoder decoder;
    struct timer timer; /* to the next connection */
    struct timer stale; /* to the warning */
    int64_t pause_us, stale_us;
    bool told;       /* that there is no connection */
    bool told_stale; /* that this lasts */

    struct policy policy;   /* decides */
    struct policy incoming; /* being told, until it is whole */
    bool current;           /* the connection told all: changes go to `policy` */
    bool synced;
    uint64_t generation;
};

/* ---- documents ---- */

static void take_keys(struct policy_follow *f)
{
    if (!f->keys || map_size(&f->policy.keys) == 0)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_key(&w, "keys");
    jw_begin_array(&w);
    MAP_FOREACH (e, &f->policy.keys) {
        const struct policy_public_key *k = e->value;
        if (rsa_write_jwk(&w, k->pem, k->kid) < 0)
            log_warn("a key of the identity service cannot be read kid=%s, ignoring", k->kid);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    struct error err = ERROR_INIT;
    if (jwt_keys_set_jwks(f->keys, text.p, text.n, &err) < 0)
        log_error("the keys of the identity service are not taken error=%s", err.msg);
}

static void changed(struct policy_follow *f, bool keys)
{
    f->generation++;
    if (keys)
        take_keys(f);
    if (f->on_change)
        f->on_change(f->userdata);
}

static void whole(struct policy_follow *f)
{
    policy_done(&f->policy);
    f->policy = f->incoming;
    f->incoming = (struct policy)POLICY_INIT;
    f->current = true;
    f->pause_us = PAUSE_MIN_US;
    if (!f->synced || f->told)
        log_info("following the identity service users=%zu", map_size(&f->policy.users));
    f->synced = true;
    f->told = f->told_stale = false;
    timer_stop(&f->stale);
    changed(f, true);
}

static bool take_record(const char *p, size_t n, void *userdata)
{
    struct policy_follow *f = userdata;
    _cleanup_json_ json_t *record = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(p, n, &record, &err) < 0) {
        log_warn("a record of the identity service is no JSON error=%s, ignoring", err.msg);
        return true;
    }
    const char *key = json_str_at(record, "key", NULL);
    if (key) {
        const json_t *value = json_at(record, "value");
        if (policy_apply(f->current ? &f->policy : &f->incoming, key,
                json_is_null(value) ? NULL : value, &err) < 0)
            log_warn(
                "a document of the identity service is not understood error=%s, ignoring", err.msg);
        else if (f->current)
            changed(f, has_prefix(key, "keys/"));
    } else if (json_bool_at(record, "synced", false) && !f->current) {
        whole(f);
    }
    return true;
}

/* ---- connections ---- */

static void later(struct policy_follow *f, const char *why)
{
    f->call = NULL;
    f->current = false;
    if (!f->told)
        log_warn("the identity service is not followed, the last policy decides reason=%s", why);
    if (!f->told)
        timer_start(&f->stale, f->stale_us);
    f->told = true;
    timer_start(&f->timer, f->pause_us);
    f->pause_us = MIN(f->pause_us * 2, PAUSE_MAX_US);
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct policy_follow *f = userdata;
    struct error err = ERROR_INIT;
    if (recordio_decode(&f->decoder, p, n, take_record, f, &err) == 0)
        return;
    http_call_cancel(call);
    later(f, err.msg);
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct policy_follow *f = userdata;
    if (res->status == 200)
        return;
    if (res->status == 401)
        login_refused(f->login);
    http_call_cancel(call);
    later(f, res->status == 401 || res->status == 403
                 ? "it refuses: it wants a token of a user with dcos:superuser, or with read on "
                   "dcos:iam:policy"
                 : "it answers with an error");
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    later(userdata, status < 0 && error ? error : "the stream ended");
}

static void dial(struct timer *t)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct policy_follow *f = container_of(t, struct policy_follow, timer);
    if (!f->unix_path && !login_ready(f->login))
        return; /* on_login() dials */
    recordio_decoder_done(&f->decoder);
    recordio_decoder_init(&f->decoder, POLICY_RECORD_MAX);
    policy_done(&f->incoming);
    f->incoming = (struct policy)POLICY_INIT;
    _cleanup_buf_ struct buf shown = BUF_INIT;
    if (!f->unix_path)
        login_header(f->login, &shown);
    const struct http_header header = {STR("Authorization"), buf_str(&shown)};
    const struct http_call_options options = {
        .method = "GET",
        .host = f->host,
        .port = f->port,
        .tls = f->tls,
        .unix_path = f->unix_path,
        .target = "/acs/api/v1/internal/policy",
        .headers = &header,
        .n_headers = shown.n > 0,
        .connect_timeout_us = CONNECT_TIMEOUT_US,
        .idle_timeout_us = SILENCE_US,
        .fresh = true,
    };
    f->call = http_call_start(f->client, &options, &handlers, f);
}

static void on_login(struct login_watch *w)
{
    struct policy_follow *f = container_of(w, struct policy_follow, watch);
    if (!f->call)
        timer_start(&f->timer, 0);
}

static void on_stale(struct timer *t)
{
    struct policy_follow *f = container_of(t, struct policy_follow, stale);
    if (!f->told_stale)
        log_warn("no contact to the identity service for %lld s; decisions follow the last policy",
            (long long)(f->stale_us / USEC_PER_SEC));
    f->told_stale = true;
}

static int read_url(struct policy_follow *f, const char *text, struct error *err)
{
    static const char local[] = "unix:";
    if (has_prefix(text, local) && text[sizeof(local) - 1] == '/') {
        f->unix_path = xstrdup(text + sizeof(local) - 1);
        return 0;
    }
    struct http_url url;
    if (http_url_parse(str_of(text), &url, NULL) < 0 || url.userinfo.n ||
        !(url.target.n == 0 || str_eq_c(url.target, "/")))
        return error_set(err, -EINVAL,
            "%s is no address; unix:/PATH, http://HOST:PORT and https://HOST:PORT are", text);
    f->host = str_dup(url.host);
    f->port = url.port;
    f->tls = url.tls;
    return 0;
}

int policy_follow_new(
    const struct policy_follow_options *options, struct policy_follow **ret, struct error *err)
{
    struct policy_follow *f = xnew(struct policy_follow);
    *f = (struct policy_follow){.loop = options->loop,
        .keys = options->keys,
        .on_change = options->on_change,
        .userdata = options->userdata,
        .pause_us = PAUSE_MIN_US,
        .stale_us = options->stale_us ? options->stale_us : STALE_US};
    timer_init(&f->timer, f->loop, dial);
    timer_init(&f->stale, f->loop, on_stale);
    recordio_decoder_init(&f->decoder, POLICY_RECORD_MAX);
    bool exposed = false;
    int r = read_url(f, options->url, err);
    if (r == 0 && options->token_file)
        r = login_new(NULL, options->token_file, &f->own, &exposed, err);
    if (r < 0) {
        policy_follow_free(f);
        return r;
    }
    if (exposed)
        log_warn("the token for the identity service can be read by everybody path=%s",
            options->token_file);
    f->client = http_client_new(f->loop, &(struct http_client_options){.tls = options->tls});
    f->login = f->own ? f->own : options->login;
    login_watch(f->login, &f->watch, on_login);
    timer_start(&f->timer, 0);
    *ret = f;
    return 0;
}

void policy_follow_free(struct policy_follow *f)
{
    if (!f)
        return;
    timer_stop(&f->timer);
    timer_stop(&f->stale);
    if (f->call)
        http_call_cancel(f->call);
    if (f->client)
        http_client_free(f->client);
    login_unwatch(&f->watch);
    login_free(f->own);
    recordio_decoder_done(&f->decoder);
    policy_done(&f->policy);
    policy_done(&f->incoming);
    free(f->host);
    free(f->unix_path);
    free(f);
}

const struct policy *policy_follow_policy(const struct policy_follow *f)
{
    return &f->policy;
}

const uint64_t *policy_follow_generation(const struct policy_follow *f)
{
    return &f->generation;
}

bool policy_follow_synced(const struct policy_follow *f)
{
    return f->synced;
}
