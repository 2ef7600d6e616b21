#include "scheduler/leader_stream.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/vec.h"
#include "http/recordio.h"

enum { REDIRECTS_MAX = 5, WHY_MAX = 160, HEARTBEAT_S = 15 };

struct leader_stream {
    struct loop *loop;
    struct leader_stream_options o;
    struct leader_stream_handlers handlers;
    void *userdata;
    VEC(struct leader_address) masters; /* as given; none with ZooKeeper */
    struct zk_detector *detector;       /* or NULL */
    struct login_watch login;
    size_t next;
    struct leader_address at;
    unsigned redirects;
    int64_t pause_us, silence_us;
    struct timer retry, watchdog;

    struct http_call *call;
    struct recordio_decoder decoder;
    int status; /* of the answer; 0: none yet */
    struct buf refusal;
    bool started, works;
    bool dispatching, drop; /* a handler asked to end the stream */
    char why[WHY_MAX];
};

static bool skip(struct str *text, struct str prefix)
{
    if (!str_has_prefix(*text, prefix))
        return false;
    text->p += prefix.n;
    text->n -= prefix.n;
    return true;
}

static int parse_address(struct str text, bool tls, struct leader_address *ret, struct error *err)
{
    ret->tls = tls;
    if (skip(&text, STR("https://")))
        ret->tls = true;
    else if (skip(&text, STR("http://")))
        ret->tls = false;
    while (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    struct str host = {text.p, colon > 0 ? colon - 1 : 0};
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    if (host.n == 0 || host.n >= LEADER_HOST_MAX ||
        parse_port((struct str){text.p + colon, text.n - colon}, &ret->port) < 0)
        return error_set(err, -EINVAL, "'" STR_FMT "' is not host:port", STR_ARG(text));
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    return 0;
}

/* Ends the current stream or attempt and plans the next. */
static void end(struct leader_stream *s, int status, const char *why, bool at_once)
{
    bool worked = s->works;
    if (s->call)
        http_call_cancel(s->call);
    s->call = NULL;
    s->works = false;
    timer_stop(&s->watchdog);
    if (worked)
        s->pause_us = s->o.min_pause_us;
    int64_t pause = 0;
    if (!at_once) {
        uint64_t draw;
        random_bytes(&draw, sizeof(draw));
        pause = s->pause_us / 2 + (int64_t)(draw % (uint64_t)(s->pause_us / 2 + 1));
        s->pause_us = MIN(s->pause_us * 2, s->o.max_pause_us);
    }
    timer_start(&s->retry, pause);
    if (worked || !at_once)
        s->handlers.on_end(worked, status, why, s->userdata);
}

static void on_silence(struct timer *t)
{
    struct leader_stream *s = container_of(t, struct leader_stream, watchdog);
    end(s, 0, s->works ? "no heartbeat for several intervals" : "nothing came for too long", false);
}

static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct leader_stream *s = userdata;
    if (s->handlers.on_leader)
        s->handlers.on_leader(leader, s->userdata);
    if (!leader || !s->started)
        return; /* a stream that works is kept */
    if (s->call && zk_master_is(leader, s->at.host, s->at.port))
        return;
    s->redirects = 0;
    s->pause_us = s->o.min_pause_us;
    end(s, 0, "another master leads", true);
}

static void on_masters(const struct zk_master *masters, size_t n, void *userdata)
{
    struct leader_stream *s = userdata;
    s->handlers.on_masters(masters, n, s->userdata);
}

/* The address of the next attempt; false while nobody is known to lead. */
static bool choose(struct leader_stream *s)
{
    if (!s->detector) {
        s->at = s->masters.items[s->next % s->masters.n];
        return true;
    }
    const struct zk_master *leader = zk_detector_leader(s->detector);
    if (!leader)
        return false;
    s->at = (struct leader_address){.port = leader->port, .tls = s->o.tls};
    (void)snprintf(s->at.host, sizeof(s->at.host), "%s", zk_master_host(leader));
    return true;
}

/* ---- the answer ---- */

static bool take_record(const char *p, size_t n, void *userdata)
{
    struct leader_stream *s = userdata;
    if (n > 0)
        s->handlers.on_record(p, n, s->userdata);
    return !s->drop;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct leader_stream *s = userdata;
    s->status = res->status;
    if (res->status == 200) {
        if (s->silence_us)
            timer_start(&s->watchdog, s->silence_us);
        if (s->handlers.on_open)
            s->handlers.on_open(res, s->userdata);
        return;
    }
    if (res->status == 401)
        login_refused(s->o.login);
    if (res->status != 307 && res->status != 302)
        return;
    /* "//host:port/path". Whether TLS is spoken is not the master's to say. */
    struct str rest = http_headers_get(&res->headers, "Location"), part;
    struct leader_address to;
    if (!skip(&rest, STR("https:")))
        (void)skip(&rest, STR("http:"));
    if (skip(&rest, STR("//")) && str_split(&rest, '/', &part) &&
        parse_address(part, s->at.tls, &to, NULL) == 0)
        s->at = to;
    else
        s->redirects = REDIRECTS_MAX;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct leader_stream *s = userdata;
    struct error err = ERROR_INIT;
    if (s->status != 200) {
        buf_append(&s->refusal, p, n);
        return;
    }
    if (s->silence_us)
        timer_start(&s->watchdog, s->silence_us);
    s->dispatching = true;
    int r = recordio_decode(&s->decoder, p, n, take_record, s, &err);
    s->dispatching = false;
    if (s->drop || r < 0)
        end(s, 0, s->drop ? s->why : err.msg, false);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct leader_stream *s = userdata;
    s->call = NULL;
    bool redirected = res && (s->status == 307 || s->status == 302);
    /* Who was elected a moment ago may not know it yet, and point to the one before, whose machine
     * may be gone: ZooKeeper knows better. */
    if (redirected && s->detector) {
        end(s, 0, "the master does not know yet that it leads", false);
        return;
    }
    if (redirected && s->redirects < REDIRECTS_MAX) {
        s->redirects++;
        end(s, 0, "redirected", true);
        return;
    }
    s->redirects = 0;
    s->next++;
    if (res && s->status != 200)
        end(s, s->status, buf_cstr(&s->refusal), false);
    else
        end(s, 0, status < 0 && error ? error : "the master closed the stream", false);
}

static void subscribe(struct timer *t)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct leader_stream *s = container_of(t, struct leader_stream, retry);
    if (!login_ready(s->o.login))
        return; /* on_login() tries again */
    if (s->redirects == 0 && !choose(s))
        return; /* on_leader() tries again */
    _cleanup_buf_ struct buf body = BUF_INIT, shown = BUF_INIT;
    s->handlers.fill(&body, s->userdata);
    recordio_decoder_done(&s->decoder);
    recordio_decoder_init(&s->decoder, s->o.record_max);
    buf_clear(&s->refusal);
    s->status = 0;
    s->drop = false;
    s->silence_us = s->o.silence_us;
    login_header(s->o.login, &shown);
    struct http_header headers[4] = {
        {STR("Content-Type"), str_of(s->o.type)}, {STR("Accept"), str_of(s->o.type)}};
    size_t n = 2;
    if (s->o.agent)
        headers[n++] = (struct http_header){STR("User-Agent"), str_of(s->o.agent)};
    if (shown.n)
        headers[n++] = (struct http_header){STR("Authorization"), buf_str(&shown)};
    const struct http_call_options options = {.method = "POST",
        .host = s->at.host,
        .port = s->at.port,
        .tls = s->at.tls,
        .target = s->o.target,
        .headers = headers,
        .n_headers = n,
        .body = body.p,
        .body_n = body.n,
        .head_timeout_us = s->o.head_timeout_us,
        .fresh = true};
    s->call = http_call_start(s->o.http, &options, &handlers, s);
}

static void on_login(struct login_watch *w)
{
    struct leader_stream *s = container_of(w, struct leader_stream, login);
    if (s->started && !s->call)
        timer_start(&s->retry, 0);
}

/* ---- life ---- */

static int set_masters(struct leader_stream *s, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_zk_url_ struct zk_url url = {0};
    int r = zk_flag_load(s->o.masters, &text, err);
    if (r < 0)
        return r;
    if (zk_is_url(text)) {
        r = zk_url_parse(text, &url, err);
        return r < 0 ? r
                     : zk_detector_new_all(s->loop, &url, 0, on_leader,
                           s->handlers.on_masters ? on_masters : NULL, s, &s->detector, err);
    }
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        struct leader_address a;
        r = parse_address(str_trim(part), s->o.tls, &a, err);
        if (r < 0)
            return r;
        vec_push(&s->masters, a);
    }
    return s->masters.n > 0 ? 0 : error_set(err, -EINVAL, "no master is given");
}

int leader_stream_new(struct loop *l, const struct leader_stream_options *options,
    const struct leader_stream_handlers *handlers, void *userdata, struct leader_stream **ret,
    struct error *err)
{
    struct leader_stream *s = xnew(struct leader_stream);
    s->loop = l;
    s->o = *options;
    s->handlers = *handlers;
    s->userdata = userdata;
    if (!s->o.min_pause_us)
        s->o.min_pause_us = 100 * USEC_PER_MSEC;
    if (!s->o.max_pause_us)
        s->o.max_pause_us = 5 * USEC_PER_SEC;
    s->pause_us = s->o.min_pause_us;
    timer_init(&s->retry, l, subscribe);
    timer_init(&s->watchdog, l, on_silence);
    recordio_decoder_init(&s->decoder, s->o.record_max);
    s->refusal = (struct buf)BUF_INIT_MAX(LEADER_REFUSAL_MAX);
    int r = set_masters(s, err);
    if (r < 0) {
        leader_stream_free(s);
        return r;
    }
    login_watch(s->o.login, &s->login, on_login);
    *ret = s;
    return 0;
}

void leader_stream_start(struct leader_stream *s)
{
    s->started = true;
    timer_start(&s->retry, 0);
}

void leader_stream_free(struct leader_stream *s)
{
    if (!s)
        return;
    login_unwatch(&s->login);
    timer_stop(&s->retry);
    timer_stop(&s->watchdog);
    if (s->call)
        http_call_cancel(s->call);
    zk_detector_free(s->detector);
    recordio_decoder_done(&s->decoder);
    buf_done(&s->refusal);
    vec_done(&s->masters);
    free(s);
}

void leader_stream_works(struct leader_stream *s, int64_t silence_us)
{
    s->works = true;
    s->redirects = 0;
    s->pause_us = s->o.min_pause_us;
    s->silence_us = silence_us;
    if (silence_us)
        timer_start(&s->watchdog, silence_us);
}

int64_t leader_stream_silence(double heartbeat_s, unsigned missed)
{
    if (!(heartbeat_s > 0.001 && heartbeat_s < 86400))
        heartbeat_s = HEARTBEAT_S;
    return (int64_t)(heartbeat_s * 1e6) * missed;
}

void leader_stream_again(struct leader_stream *s, const char *why)
{
    if (!s->dispatching) {
        end(s, 0, why, false);
        return;
    }
    s->drop = true;
    (void)snprintf(s->why, sizeof(s->why), "%s", why);
}

const struct leader_address *leader_stream_address(const struct leader_stream *s)
{
    return &s->at;
}

bool leader_stream_detects(const struct leader_stream *s)
{
    return s->detector;
}
