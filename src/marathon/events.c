/* Subscribers of /v2/events: each event is encoded once and shared by all that want it. */

#include "base/alloc.h"
#include "base/clock.h"
#include "marathon/shell.h"

struct event_stream {
    struct list node;
    struct shell *shell;
    struct http_request *req;
    char *filters[SSE_FILTERS_MAX];
    size_t n_filters;
};

static void stream_event(struct shell *s, const char *type, const char *remote)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    char now[TIME_TEXT_SIZE];
    time_format_rfc3339(shell_now(s), now);
    jw_init(&w, &text);
    jw_begin_object(&w);
    jw_field_string(&w, "eventType", type);
    jw_field_string(&w, "remoteAddress", remote);
    jw_field_string(&w, "timestamp", now);
    jw_end_object(&w);
    vec_push(&s->core->out,
        (struct out_item){.type = OUT_EVENT, .key = xstrdup(type), .text = buf_steal(&text)});
    shell_wake(s);
}

static void on_close(struct http_request *req)
{
    struct event_stream *e = req->userdata;
    struct shell *s = e->shell;
    list_remove(&e->node);
    s->n_streams--;
    for (size_t i = 0; i < e->n_filters; i++)
        free(e->filters[i]);
    free(e);
    if (!s->stopping)
        stream_event(s, "event_stream_detached", req->peer.host);
}

void events_subscribe(struct shell *s, struct http_request *req)
{
    struct str accept = http_request_header(req, "Accept");
    struct str values[SSE_FILTERS_MAX];
    if (req->method == HTTP_OPTIONS) {
        http_set_header(req, "Allow", "GET, HEAD, OPTIONS");
        http_respond(req, 204, NULL, NULL, 0);
        return;
    }
    bool sse = false;
    struct str part;
    while (str_split(&accept, ',', &part)) {
        struct str type;
        if (str_split(&part, ';', &type))
            sse = sse || str_ieq_c(str_trim(type), "text/event-stream");
    }
    if (req->method != HTTP_GET || !sse) {
        static const char text[] = "{\"message\":\"Method Not Allowed\"}";
        http_respond(req, 405, "application/json", text, sizeof(text) - 1);
        return;
    }
    struct event_stream *e = xnew(struct event_stream);
    size_t n = http_request_param_all(req, "event_type", values, SSE_FILTERS_MAX);
    e->shell = s;
    e->req = req;
    for (size_t i = 0; i < MIN(n, (size_t)SSE_FILTERS_MAX); i++)
        e->filters[e->n_filters++] = str_dup(values[i]);
    list_push(&s->streams, &e->node);
    s->n_streams++;
    req->userdata = e;
    req->on_close = on_close;
    http_respond_begin(req, 200, "text/event-stream;charset=utf-8");
    stream_event(s, "event_stream_attached", req->peer.host);
    if (!timer_active(&s->heartbeat))
        timer_start(&s->heartbeat, SSE_HEARTBEAT_SECONDS * USEC_PER_SEC);
}

static bool wants(const struct event_stream *e, const char *type)
{
    for (size_t i = 0; i < e->n_filters; i++)
        if (streq(e->filters[i], type))
            return true;
    return e->n_filters == 0;
}

static void write_to(struct event_stream *e, struct blob *b)
{
    if (http_respond_queued(e->req) > SSE_OUTSTANDING_MAX)
        http_respond_abort(e->req);
    else
        http_respond_write_blob(e->req, b);
}

void events_publish(struct shell *s, const char *type, const char *json)
{
    struct blob *b = NULL;
    LIST_FOREACH_SAFE (e, &s->streams, struct event_stream, node) {
        if (!wants(e, type))
            continue;
        if (!b) {
            _cleanup_buf_ struct buf text = BUF_INIT;
            buf_printf(&text, "event: %s\r\ndata: %s\r\n\r\n", type, json);
            b = blob_new(text.p, text.n);
        }
        write_to(e, b);
    }
    blob_unref(b);
}

void events_heartbeat(struct timer *t)
{
    struct shell *s = container_of(t, struct shell, heartbeat);
    struct blob *b = blob_new("\r\n", 2);
    LIST_FOREACH_SAFE (e, &s->streams, struct event_stream, node)
        write_to(e, b);
    blob_unref(b);
    if (!list_empty(&s->streams))
        timer_start(t, SSE_HEARTBEAT_SECONDS * USEC_PER_SEC);
}

void events_close(struct shell *s)
{
    LIST_FOREACH_SAFE (e, &s->streams, struct event_stream, node)
        http_respond_end(e->req);
}
