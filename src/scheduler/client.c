#include "scheduler/client.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/vec.h"
#include "http/recordio.h"
#include "wire/codec.h"
#include "zk/detector.h"

static const char PATH[] = "/api/v1/scheduler";
static const char TYPE[] = "application/x-protobuf";

enum {
    STREAM_ID_MAX = 128,
    HOST_MAX = 256,
    ANSWER_MAX = 64 * 1024,
    MAX_REDIRECTS = 5,
    SUBSCRIBE_TIMEOUT_SECONDS = 15,
};

struct address {
    char host[HOST_MAX];
    uint16_t port;
    bool tls;
};

struct pending {
    char *p;
    size_t n;
};

struct scheduler_client {
    struct loop *loop;
    struct scheduler_handlers handlers;
    void *userdata;
    VEC(struct address) masters;  /* as given; none with ZooKeeper */
    struct zk_detector *detector; /* or NULL */
    bool tls, started;
    size_t next_master;
    struct address master; /* of the current attempt */
    char master_text[HOST_MAX + 8];
    struct http_client *http;
    const struct login *login;
    int64_t min_backoff_us, max_backoff_us, backoff_us;
    unsigned missed_heartbeats, redirects;

    struct http_call *stream;
    struct recordio_decoder decoder;
    char stream_id[STREAM_ID_MAX + 1];
    char framework_id[256];
    bool subscribed, refused;
    struct buf refusal;
    struct timer retry, watchdog;
    int64_t silence_us;

    struct pending *calls; /* a ring */
    size_t first, n_calls, cap;
    struct http_call *sending;
    bool dispatching, drop; /* an event handler asked to end the stream */
    char drop_reason[128];
};

static void subscribe(struct scheduler_client *c);
static void send_next(struct scheduler_client *c);

static bool skip(struct str *text, struct str prefix)
{
    if (!str_has_prefix(*text, prefix))
        return false;
    text->p += prefix.n;
    text->n -= prefix.n;
    return true;
}

static int parse_master(struct str text, bool tls, struct address *ret, struct error *err)
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
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host.p++;
        host.n -= 2;
    }
    if (host.n == 0 || host.n >= HOST_MAX ||
        parse_port((struct str){text.p + colon, text.n - colon}, &ret->port) < 0)
        return error_set(err, -EINVAL, "'" STR_FMT "' is not host:port", STR_ARG(text));
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    return 0;
}

static void clear_calls(struct scheduler_client *c)
{
    for (size_t i = 0; i < c->n_calls; i++)
        free(c->calls[(c->first + i) % c->cap].p);
    c->n_calls = c->first = 0;
}

/* Ends the current subscription or attempt and plans the next. */
static void disconnect(struct scheduler_client *c, const char *reason, bool at_once)
{
    bool was = c->subscribed;
    if (c->stream)
        http_call_cancel(c->stream);
    c->stream = NULL;
    if (c->sending)
        http_call_cancel(c->sending);
    c->sending = NULL;
    clear_calls(c);
    c->subscribed = false;
    timer_stop(&c->watchdog);
    if (was) {
        c->backoff_us = c->min_backoff_us;
        c->handlers.on_disconnected(reason, c->userdata);
    }
    int64_t jitter = 0;
    if (!at_once) {
        uint64_t r;
        random_bytes(&r, sizeof(r));
        jitter = c->backoff_us / 2 + (int64_t)(r % (uint64_t)(c->backoff_us / 2 + 1));
        c->backoff_us = MIN(c->backoff_us * 2, c->max_backoff_us);
    }
    timer_start(&c->retry, jitter);
}

/* ZooKeeper names another leader, or none. */
static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct scheduler_client *c = userdata;
    if (!leader || !c->started)
        return; /* a stream that works is kept */
    if (c->stream && zk_master_is(leader, c->master.host, c->master.port))
        return;
    c->redirects = 0;
    c->backoff_us = c->min_backoff_us;
    if (c->stream)
        disconnect(c, "another master leads", true);
    else
        timer_start(&c->retry, 0);
}

/* The address of the next attempt; false while nobody is known to lead. */
static bool choose_master(struct scheduler_client *c)
{
    if (!c->detector) {
        c->master = c->masters.items[c->next_master % c->masters.n];
        return true;
    }
    const struct zk_master *leader = zk_detector_leader(c->detector);
    if (!leader)
        return false;
    c->master = (struct address){.port = leader->port, .tls = c->tls};
    (void)snprintf(c->master.host, sizeof(c->master.host), "%s", zk_master_host(leader));
    return true;
}

static void on_retry(struct timer *t)
{
    subscribe(container_of(t, struct scheduler_client, retry));
}

static void on_silence(struct timer *t)
{
    struct scheduler_client *c = container_of(t, struct scheduler_client, watchdog);
    disconnect(c, "no heartbeat for several intervals", false);
}

/* ---- the stream ---- */

static bool on_record(const char *p, size_t n, void *userdata)
{
    struct scheduler_client *c = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m = NULL;
    if (n == 0)
        return true;
    if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &arena, p, n, &m, &err) < 0) {
        c->drop = true;
        snprintf(c->drop_reason, sizeof(c->drop_reason), "unreadable event");
        return false;
    }
    const Mesos__V1__Scheduler__Event *e = (const Mesos__V1__Scheduler__Event *)m;
    if (e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED && e->subscribed &&
        e->subscribed->framework_id && e->subscribed->framework_id->value) {
        double seconds = e->subscribed->has_heartbeat_interval_seconds
                             ? e->subscribed->heartbeat_interval_seconds
                             : 15;
        if (!(seconds > 0.001 && seconds < 86400))
            seconds = 15;
        c->silence_us = (int64_t)(seconds * 1e6) * c->missed_heartbeats;
        timer_start(&c->watchdog, c->silence_us);
        snprintf(
            c->framework_id, sizeof(c->framework_id), "%s", e->subscribed->framework_id->value);
        c->subscribed = true;
        c->backoff_us = c->min_backoff_us;
        c->redirects = 0;
    }
    if (e->type != MESOS__V1__SCHEDULER__EVENT__TYPE__HEARTBEAT)
        c->handlers.on_event(e, c->userdata);
    return !c->drop;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct scheduler_client *c = userdata;
    c->refused = res->status != 200;
    buf_clear(&c->refusal);
    if (c->refused) {
        struct str location = http_headers_get(&res->headers, "Location");
        struct str rest = location, part;
        struct address to;
        if (res->status == 307 && str_has_prefix(location, STR("//"))) {
            rest.p += 2;
            rest.n -= 2;
            if (str_split(&rest, '/', &part) && parse_master(part, c->master.tls, &to, NULL) == 0)
                c->master = to;
            else
                c->redirects = MAX_REDIRECTS;
        }
        return;
    }
    struct str id = http_headers_get(&res->headers, "Mesos-Stream-Id");
    snprintf(c->stream_id, sizeof(c->stream_id), STR_FMT, STR_ARG(id));
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct scheduler_client *c = userdata;
    struct error err = ERROR_INIT;
    if (c->refused) {
        buf_append(&c->refusal, p, n);
        return;
    }
    if (timer_active(&c->watchdog))
        timer_start(&c->watchdog, c->silence_us);
    c->dispatching = true;
    int r = recordio_decode(&c->decoder, p, n, on_record, c, &err);
    c->dispatching = false;
    if (r < 0)
        disconnect(c, err.msg, false);
    else if (c->drop)
        disconnect(c, c->drop_reason, false);
}

static void on_stream_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct scheduler_client *c = userdata;
    c->stream = NULL;
    if (c->refused && res && res->status == 307 && c->redirects < MAX_REDIRECTS) {
        c->redirects++;
        disconnect(c, "redirected", true);
        return;
    }
    c->redirects = 0;
    if (c->refused && res)
        c->handlers.on_refused(res->status, buf_cstr(&c->refusal), c->userdata);
    c->next_master++;
    disconnect(c, status < 0 && error ? error : "the master closed the stream", false);
}

static void subscribe(struct scheduler_client *c)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_stream_done};
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf body = BUF_INIT;
    Mesos__V1__Scheduler__Call call = MESOS__V1__SCHEDULER__CALL__INIT;
    if (c->redirects == 0 && !choose_master(c))
        return; /* on_leader() tries again */
    call.has_type = true;
    call.type = MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE;
    c->handlers.fill_subscribe(&call, &arena, c->userdata);
    wire_pack(&call.base, &body);
    recordio_decoder_done(&c->decoder);
    recordio_decoder_init(&c->decoder, SCHEDULER_EVENT_MAX);
    c->refused = c->drop = false;
    snprintf(c->master_text, sizeof(c->master_text), "%s:%u", c->master.host, c->master.port);
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(c->login, &shown);
    const struct http_header headers[] = {{STR("Content-Type"), str_of(TYPE)},
        {STR("Accept"), str_of(TYPE)}, {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options options = {.method = "POST",
        .host = c->master.host,
        .port = c->master.port,
        .tls = c->master.tls,
        .target = PATH,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers) - (shown.n == 0),
        .body = body.p,
        .body_n = body.n,
        .head_timeout_us = SUBSCRIBE_TIMEOUT_SECONDS * USEC_PER_SEC,
        .fresh = true};
    c->stream = http_call_start(c->http, &options, &handlers, c);
}

/* ---- calls ---- */

static void on_call_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct scheduler_client *c = userdata;
    c->sending = NULL;
    if (status < 0 || !res) {
        disconnect(c, error ? error : "a call failed", false);
        return;
    }
    if (res->status / 100 != 2) {
        char text[256];
        snprintf(text, sizeof(text), "%.*s", (int)MIN(res->body.n, sizeof(text) - 1),
            res->body.p ? res->body.p : "");
        /* 400 may be one bad call or a stale stream: both are mended by a fresh start. */
        bool over = res->status != 409 && res->status != 429 && res->status != 501;
        c->handlers.on_refused(res->status, text, c->userdata);
        if (over) {
            disconnect(c, text, false);
            return;
        }
    }
    send_next(c);
}

static void send_next(struct scheduler_client *c)
{
    static const struct http_call_handlers handlers = {.on_done = on_call_done};
    if (c->sending || c->n_calls == 0 || !c->subscribed)
        return;
    struct pending next = c->calls[c->first];
    c->first = (c->first + 1) % c->cap;
    c->n_calls--;
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(c->login, &shown);
    const struct http_header headers[] = {{STR("Content-Type"), str_of(TYPE)},
        {STR("Accept"), str_of(TYPE)}, {STR("Mesos-Stream-Id"), str_of(c->stream_id)},
        {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options options = {.method = "POST",
        .host = c->master.host,
        .port = c->master.port,
        .tls = c->master.tls,
        .target = PATH,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers) - (shown.n == 0),
        .body = next.p,
        .body_n = next.n,
        .collect_max = ANSWER_MAX};
    c->sending = http_call_start(c->http, &options, &handlers, c);
    free(next.p);
}

int scheduler_client_call(struct scheduler_client *c, Mesos__V1__Scheduler__Call *call)
{
    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    struct buf body = BUF_INIT;
    if (!c->subscribed)
        return -ENOTCONN;
    if (c->n_calls >= SCHEDULER_CALLS_MAX) {
        scheduler_client_resubscribe(c, "too many calls are waiting");
        return -ENOTCONN;
    }
    id.value = c->framework_id;
    call->framework_id = &id;
    wire_pack(&call->base, &body);
    call->framework_id = NULL;
    if (c->n_calls == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct pending *calls = xnew_array(struct pending, cap);
        for (size_t i = 0; i < c->n_calls; i++)
            calls[i] = c->calls[(c->first + i) % c->cap];
        free(c->calls);
        c->calls = calls;
        c->cap = cap;
        c->first = 0;
    }
    size_t n = body.n;
    c->calls[(c->first + c->n_calls++) % c->cap] = (struct pending){buf_steal(&body), n};
    send_next(c);
    return 0;
}

void scheduler_client_resubscribe(struct scheduler_client *c, const char *reason)
{
    if (c->dispatching) {
        c->drop = true;
        snprintf(c->drop_reason, sizeof(c->drop_reason), "%s", reason);
        return;
    }
    disconnect(c, reason, false);
}

/* ---- life ---- */

static int set_masters(struct scheduler_client *c, const char *flag, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_zk_url_ struct zk_url url = {0};
    int r = zk_flag_load(flag, &text, err);
    if (r < 0)
        return r;
    if (zk_is_url(text)) {
        r = zk_url_parse(text, &url, err);
        return r < 0 ? r : zk_detector_new(c->loop, &url, 0, on_leader, c, &c->detector, err);
    }
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        struct address a;
        r = parse_master(str_trim(part), c->tls, &a, err);
        if (r < 0)
            return r;
        vec_push(&c->masters, a);
    }
    return c->masters.n > 0 ? 0 : error_set(err, -EINVAL, "no master is given");
}

int scheduler_client_new(struct loop *l, const struct scheduler_options *o,
    const struct scheduler_handlers *handlers, void *userdata, struct scheduler_client **ret,
    struct error *err)
{
    struct scheduler_client *c = xnew(struct scheduler_client);
    c->loop = l;
    c->handlers = *handlers;
    c->userdata = userdata;
    timer_init(&c->retry, l, on_retry);
    timer_init(&c->watchdog, l, on_silence);
    recordio_decoder_init(&c->decoder, SCHEDULER_EVENT_MAX);
    c->refusal = (struct buf)BUF_INIT_MAX(ANSWER_MAX);
    c->min_backoff_us = o->min_backoff_us ? o->min_backoff_us : 100 * USEC_PER_MSEC;
    c->max_backoff_us = o->max_backoff_us ? o->max_backoff_us : 5 * USEC_PER_SEC;
    c->backoff_us = c->min_backoff_us;
    c->missed_heartbeats = o->missed_heartbeats ? o->missed_heartbeats : 5;
    const struct http_client_options http = {.tls = o->tls};
    c->http = http_client_new(l, &http);
    c->login = o->login;
    c->tls = o->tls != NULL;
    int r = set_masters(c, o->masters, err);
    if (r < 0) {
        scheduler_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void scheduler_client_start(struct scheduler_client *c)
{
    c->started = true;
    timer_start(&c->retry, 0);
}

void scheduler_client_free(struct scheduler_client *c)
{
    if (!c)
        return;
    timer_stop(&c->retry);
    timer_stop(&c->watchdog);
    if (c->stream)
        http_call_cancel(c->stream);
    if (c->sending)
        http_call_cancel(c->sending);
    zk_detector_free(c->detector);
    http_client_free(c->http);
    recordio_decoder_done(&c->decoder);
    buf_done(&c->refusal);
    clear_calls(c);
    free(c->calls);
    vec_done(&c->masters);
    free(c);
}

bool scheduler_client_subscribed(const struct scheduler_client *c)
{
    return c->subscribed;
}

const char *scheduler_client_master(const struct scheduler_client *c)
{
    return c->master_text;
}
