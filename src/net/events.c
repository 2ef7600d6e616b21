#include "net/events.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/vec.h"
#include "http/client.h"
#include "http/recordio.h"
#include "wire/codec.h"
#include "zk/detector.h"

enum { HOST_MAX = 256, REDIRECTS_MAX = 5, MISSED_HEARTBEATS = 3 };
static const int64_t BACKOFF_MIN_US = 100 * USEC_PER_MSEC, BACKOFF_MAX_US = 5 * USEC_PER_SEC;
static const int64_t SNAPSHOT_TIMEOUT_US = 60 * USEC_PER_SEC;
static const char TYPE[] = "application/x-protobuf";

struct where {
    char host[HOST_MAX];
    uint16_t port;
    bool tls;
};

struct events {
    struct loop *loop;
    struct events_handlers handlers;
    void *userdata;
    VEC(struct where) masters;
    struct zk_detector *detector;
    bool tls;
    size_t next;
    struct where at;
    const struct login *login;
    struct http_client *http;
    struct http_call *call;
    struct recordio_decoder decoder;
    bool subscribed, refused, drop;
    int status;
    unsigned redirects;
    int64_t backoff_us, silence_us;
    struct timer retry, watchdog;
    struct events_counts counts;
};

static bool skip(struct str *text, struct str prefix)
{
    if (!str_has_prefix(*text, prefix))
        return false;
    text->p += prefix.n;
    text->n -= prefix.n;
    return true;
}

static int parse_where(struct str text, bool tls, struct where *ret, struct error *err)
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
    if (host.n == 0 || host.n >= HOST_MAX ||
        parse_port((struct str){text.p + colon, text.n - colon}, &ret->port) < 0)
        return error_set(err, -EINVAL, "'" STR_FMT "' is not host:port", STR_ARG(text));
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    return 0;
}

static void again(struct events *e, const char *reason, bool at_once)
{
    if (e->call)
        http_call_cancel(e->call);
    e->call = NULL;
    timer_stop(&e->watchdog);
    e->subscribed = false;
    int64_t pause = 0;
    if (!at_once) {
        e->counts.failures++;
        e->handlers.on_disconnected(reason, e->userdata);
        uint64_t r;
        random_bytes(&r, sizeof(r));
        pause = e->backoff_us / 2 + (int64_t)(r % (uint64_t)(e->backoff_us / 2 + 1));
        e->backoff_us = MIN(e->backoff_us * 2, BACKOFF_MAX_US);
    }
    timer_start(&e->retry, pause);
}

static void on_silence(struct timer *t)
{
    again(container_of(t, struct events, watchdog), "no heartbeat for several intervals", false);
}

static bool on_record(const char *p, size_t n, void *userdata)
{
    struct events *e = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    if (n == 0)
        return true;
    if (wire_unpack(&mesos__v1__master__event__descriptor, &arena, p, n, &m, NULL) < 0) {
        e->drop = true;
        return false;
    }
    const Mesos__V1__Master__Event *event = (const Mesos__V1__Master__Event *)m;
    e->counts.messages++;
    if (event->type == MESOS__V1__MASTER__EVENT__TYPE__SUBSCRIBED) {
        double seconds = event->subscribed && event->subscribed->has_heartbeat_interval_seconds
                             ? event->subscribed->heartbeat_interval_seconds
                             : 15;
        if (!(seconds > 0.001 && seconds < 86400))
            seconds = 15;
        e->silence_us = (int64_t)(seconds * 1e6) * MISSED_HEARTBEATS;
        e->subscribed = true;
        e->redirects = 0;
        e->backoff_us = BACKOFF_MIN_US;
        e->handlers.on_leader(e->at.host, e->at.port, e->userdata);
    }
    if (event->type != MESOS__V1__MASTER__EVENT__TYPE__HEARTBEAT)
        e->handlers.on_event(event, e->userdata);
    return true;
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct events *e = userdata;
    e->status = res->status;
    e->refused = res->status != 200;
    if (res->status != 307)
        return;
    struct str rest = http_headers_get(&res->headers, "Location"), part;
    struct where to;
    if (skip(&rest, STR("//")) && str_split(&rest, '/', &part) &&
        parse_where(part, e->at.tls, &to, NULL) == 0)
        e->at = to;
    else
        e->redirects = REDIRECTS_MAX;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct events *e = userdata;
    struct error err = ERROR_INIT;
    if (e->refused)
        return;
    e->counts.bytes += n;
    int r = recordio_decode(&e->decoder, p, n, on_record, e, &err);
    if (r < 0 || e->drop)
        again(e, r < 0 ? err.msg : "unreadable event", false);
    else
        timer_start(&e->watchdog, e->subscribed ? e->silence_us : SNAPSHOT_TIMEOUT_US);
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct events *e = userdata;
    char text[64];
    e->call = NULL;
    if (e->refused && e->status == 307 && e->redirects < REDIRECTS_MAX) {
        e->redirects++;
        again(e, "redirected", true);
        return;
    }
    e->redirects = 0;
    e->next++;
    if (e->refused && status == 0) {
        (void)snprintf(text, sizeof(text), "the master answered %d", e->status);
        error = text;
    }
    again(e, error ? error : "the master closed the stream", false);
}

static void subscribe(struct timer *t)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct events *e = container_of(t, struct events, retry);
    if (e->redirects == 0 && e->detector) {
        const struct zk_master *leader = zk_detector_leader(e->detector);
        if (!leader)
            return; /* on_leader() tries again */
        e->at = (struct where){.port = leader->port, .tls = e->tls};
        (void)snprintf(e->at.host, sizeof(e->at.host), "%s", zk_master_host(leader));
    } else if (e->redirects == 0) {
        e->at = e->masters.items[e->next % e->masters.n];
    }
    Mesos__V1__Master__Call call = MESOS__V1__MASTER__CALL__INIT;
    call.has_type = true;
    call.type = MESOS__V1__MASTER__CALL__TYPE__SUBSCRIBE;
    _cleanup_buf_ struct buf body = BUF_INIT, shown = BUF_INIT;
    wire_pack(&call.base, &body);
    recordio_decoder_done(&e->decoder);
    recordio_decoder_init(&e->decoder, EVENTS_RECORD_MAX);
    e->refused = e->drop = false;
    e->status = 0;
    login_header(e->login, &shown);
    const struct http_header headers[] = {{STR("Content-Type"), str_of(TYPE)},
        {STR("Accept"), str_of(TYPE)}, {STR("Authorization"), buf_str(&shown)}};
    const struct http_call_options options = {.method = "POST",
        .host = e->at.host,
        .port = e->at.port,
        .tls = e->at.tls,
        .target = "/api/v1",
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers) - (shown.n == 0),
        .body = body.p,
        .body_n = body.n,
        .fresh = true};
    e->call = http_call_start(e->http, &options, &handlers, e);
}

static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct events *e = userdata;
    if (!leader || (e->call && zk_master_is(leader, e->at.host, e->at.port)))
        return; /* a stream that works is kept */
    e->redirects = 0;
    e->backoff_us = BACKOFF_MIN_US;
    again(e, "another master leads", true);
}

int events_new(struct loop *l, const struct events_options *o,
    const struct events_handlers *handlers, void *userdata, struct events **ret, struct error *err)
{
    struct events *e = xnew(struct events);
    e->loop = l;
    e->handlers = *handlers;
    e->userdata = userdata;
    e->login = o->login;
    e->tls = o->tls != NULL;
    e->backoff_us = BACKOFF_MIN_US;
    timer_init(&e->retry, l, subscribe);
    timer_init(&e->watchdog, l, on_silence);
    recordio_decoder_init(&e->decoder, EVENTS_RECORD_MAX);
    const struct http_client_options http = {.tls = o->tls};
    e->http = http_client_new(l, &http);
    _cleanup_free_ char *text = NULL;
    _cleanup_zk_url_ struct zk_url url = {0};
    int r = zk_flag_load(o->masters, &text, err);
    if (r == 0 && zk_is_url(text)) {
        r = zk_url_parse(text, &url, err);
        if (r == 0)
            r = zk_detector_new(l, &url, 0, on_leader, e, &e->detector, err);
    } else if (r == 0) {
        struct str rest = str_of(text), part;
        while (r == 0 && str_split(&rest, ',', &part)) {
            struct where w;
            r = parse_where(str_trim(part), e->tls, &w, err);
            if (r == 0)
                vec_push(&e->masters, w);
        }
        if (r == 0 && e->masters.n == 0)
            r = error_set(err, -EINVAL, "no master is given");
    }
    if (r < 0) {
        events_free(e);
        return r;
    }
    if (!e->detector)
        timer_start(&e->retry, 0);
    *ret = e;
    return 0;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    timer_stop(&e->retry);
    timer_stop(&e->watchdog);
    if (e->call)
        http_call_cancel(e->call);
    zk_detector_free(e->detector);
    http_client_free(e->http);
    recordio_decoder_done(&e->decoder);
    vec_done(&e->masters);
    free(e);
}

bool events_subscribed(const struct events *e)
{
    return e->subscribed;
}

const struct events_counts *events_counts(const struct events *e)
{
    return &e->counts;
}
