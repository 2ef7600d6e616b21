/* Health and readiness checks that Marathon makes itself; a bounded number at a time. */

#include <errno.h>

#include "base/alloc.h"
#include "marathon/shell.h"

struct prober_call {
    struct list node;
    struct shell *shell;
    struct probe probe; /* owned copies */
    struct timer timeout;
    struct http_call *http;
    struct stream_connect *tcp;
};

static void start(struct prober_call *p);

static void finish(struct prober_call *p, const struct probe_result *result)
{
    struct shell *s = p->shell;
    timer_stop(&p->timeout);
    if (p->http)
        http_call_cancel(p->http);
    if (p->tcp)
        stream_connect_cancel(p->tcp);
    list_remove(&p->node);
    s->n_probes--;
    if (result) {
        core_probe_done(s->core, p->probe.id, result, shell_now(s));
        shell_wake(s);
    }
    free(p->probe.host);
    free(p->probe.path);
    free(p);
    struct prober_call *next = list_first(&s->probes_waiting, struct prober_call, node);
    if (next && result) {
        list_remove(&next->node);
        start(next);
    }
}

static void failed(struct prober_call *p, const char *cause)
{
    struct probe_result r = {.cause = cause};
    finish(p, &r);
}

static void on_timeout(struct timer *t)
{
    failed(container_of(t, struct prober_call, timeout), "timed out");
}

static void on_tcp(struct stream *stream, int status, const char *error, void *userdata)
{
    struct prober_call *p = userdata;
    p->tcp = NULL;
    if (status < 0) {
        failed(p, error ? error : errno_text(status));
        return;
    }
    stream_close(stream);
    struct probe_result r = {.connected = true};
    finish(p, &r);
}

static void answered(struct prober_call *p, const struct http_response *res)
{
    char cause[128], type[128];
    struct str content_type = http_headers_get(&res->headers, "Content-Type");
    snprintf(cause, sizeof(cause), "%d %s", res->status, http_status_text(res->status));
    snprintf(type, sizeof(type), STR_FMT, STR_ARG(content_type));
    struct probe_result r = {.connected = true,
        .status = res->status,
        .cause = cause,
        .content_type = content_type.p ? type : NULL,
        .body = res->body};
    finish(p, &r);
}

/* The status decides; the body is only waited for when somebody wants it. */
static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct prober_call *p = userdata;
    if (!p->probe.want_body)
        answered(p, res);
}

static void on_data(struct http_call *call, const char *bytes, size_t n, void *userdata)
{
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct prober_call *p = userdata;
    p->http = NULL;
    if (status < 0 || !res)
        failed(p, error ? error : errno_text(status));
    else
        answered(p, res);
}

static void start(struct prober_call *p)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response, .on_data = on_data, .on_done = on_done};
    struct shell *s = p->shell;
    list_push(&s->probes, &p->node);
    s->n_probes++;
    timer_start(&p->timeout, p->probe.timeout_us);
    if (p->probe.kind == PROBE_TCP) {
        const struct stream_connect_options options = {
            .host = p->probe.host, .port = p->probe.port, .timeout_us = p->probe.timeout_us};
        p->tcp = stream_connect_start(s->loop, &options, on_tcp, p);
        return;
    }
    const struct http_header headers[] = {{STR("User-Agent"), STR("dcos-marathon")}};
    const struct http_call_options options = {.method = "GET",
        .host = p->probe.host,
        .port = p->probe.port,
        .tls = p->probe.kind == PROBE_HTTPS,
        .target = p->probe.path,
        .headers = headers,
        .n_headers = 1,
        .collect_max = p->probe.want_body ? PROBE_BODY_MAX : 0,
        .connect_timeout_us = p->probe.timeout_us,
        .head_timeout_us = p->probe.timeout_us,
        .fresh = true};
    p->http = http_call_start(s->probes_http, &options, &handlers, p);
}

void prober_start(struct shell *s, const struct probe *probe)
{
    struct prober_call *p = xnew(struct prober_call);
    p->shell = s;
    p->probe = *probe;
    p->probe.host = xstrdup(probe->host);
    p->probe.path = xstrdup(probe->path);
    list_init(&p->node);
    timer_init(&p->timeout, s->loop, on_timeout);
    if (s->n_probes >= PROBES_MAX)
        list_push(&s->probes_waiting, &p->node);
    else
        start(p);
}

void prober_close(struct shell *s)
{
    LIST_FOREACH_SAFE (p, &s->probes, struct prober_call, node)
        finish(p, NULL);
    LIST_FOREACH_SAFE (p, &s->probes_waiting, struct prober_call, node) {
        s->n_probes++;
        finish(p, NULL);
    }
}
