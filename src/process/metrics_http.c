#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "json/writer.h"
#include "process/metrics.h"

static const char LIMIT_VARIABLE[] = "LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT";
static const char LIMIT_DEFAULT[] = "2/1secs";

struct waiting {
    struct list node;
    struct http_request *req; /* referenced */
};

struct metrics_http {
    struct loop *loop;
    metrics_source source;
    void *of;
    metrics_answer answer;
    int64_t interval_us; /* between two answers; 0 = no limit */
    int64_t next_us;     /* when the next may be given */
    struct list waiting;
    size_t n_waiting;
    struct timer timer;
};

static void write_one(const char *name, double value, void *userdata)
{
    jw_field_double(userdata, name, value);
}

void metrics_write_json(metrics_source source, void *of, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_begin_object(&w);
    source(of, write_one, &w);
    jw_end_object(&w);
}

static void answer(struct metrics_http *m, struct http_request *req, bool prometheus)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (m->answer) {
        m->answer(m->of, req, prometheus);
    } else if (prometheus) {
        prometheus_write(m->source, m->of, &out);
        http_respond(req, 200, PROMETHEUS_TYPE, out.p, out.n);
    } else {
        metrics_write_json(m->source, m->of, &out);
        http_respond_jsonp(req, &out);
    }
}

static void on_timer(struct timer *t)
{
    struct metrics_http *m = container_of(t, struct metrics_http, timer);
    struct waiting *first;
    while (
        (first = list_first(&m->waiting, struct waiting, node)) && http_request_gone(first->req)) {
        list_remove(&first->node);
        http_request_unref(first->req);
        free(first);
        m->n_waiting--;
    }
    if (!first)
        return;
    list_remove(&first->node);
    m->n_waiting--;
    m->next_us = clock_monotonic_us() + m->interval_us;
    answer(m, first->req, false);
    http_request_unref(first->req);
    free(first);
    if (!list_empty(&m->waiting))
        timer_start(&m->timer, m->interval_us);
}

void metrics_http_snapshot(struct metrics_http *m, struct http_request *req)
{
    struct str timeout = http_request_param(req, "timeout");
    if (timeout.p) {
        int64_t us;
        if (duration_parse(timeout, &us) < 0) {
            http_respond_text(req, 400, "Invalid timeout '" STR_FMT "'", STR_ARG(timeout));
            return;
        }
    }
    int64_t now = clock_monotonic_us();
    if (m->interval_us == 0 || (now >= m->next_us && list_empty(&m->waiting))) {
        m->next_us = now + m->interval_us;
        answer(m, req, false);
        return;
    }
    if (m->n_waiting == METRICS_WAITING_MAX) {
        http_respond_text(req, 503, "Too many requests for metrics are waiting");
        return;
    }
    struct waiting *w = xnew(struct waiting);
    w->req = req;
    list_init(&w->node);
    http_request_ref(req);
    list_push(&m->waiting, &w->node);
    m->n_waiting++;
    if (!timer_active(&m->timer))
        timer_start(&m->timer, m->next_us - now);
}

void metrics_http_prometheus(struct metrics_http *m, struct http_request *req)
{
    answer(m, req, true);
}

/* "2/1secs" -> half a second between two; "" -> 0 */
static int parse_limit(const char *text, int64_t *ret, struct error *err)
{
    int64_t per;
    uint64_t n;
    const char *slash = strchr(text, '/');
    *ret = 0;
    if (!*text)
        return 0;
    if (!slash || parse_u64((struct str){text, (size_t)(slash - text)}, &n) < 0 || n == 0 ||
        n > 1000000 || duration_parse(str_of(slash + 1), &per) < 0 || per <= 0)
        return error_set(err, -EINVAL, "%s is '%s', expecting N/DURATION, for example 2/1secs",
            LIMIT_VARIABLE, text);
    *ret = per / (int64_t)n;
    return 0;
}

int metrics_http_new(struct loop *l, metrics_source source, void *of, metrics_answer how,
    struct metrics_http **ret, struct error *err)
{
    const char *text = getenv(LIMIT_VARIABLE);
    int64_t interval;
    int r = parse_limit(text ? text : LIMIT_DEFAULT, &interval, err);
    if (r < 0)
        return r;
    struct metrics_http *m = xnew(struct metrics_http);
    *m = (struct metrics_http){
        .loop = l, .source = source, .of = of, .answer = how, .interval_us = interval};
    list_init(&m->waiting);
    timer_init(&m->timer, l, on_timer);
    *ret = m;
    return 0;
}

void metrics_http_free(struct metrics_http *m)
{
    struct waiting *w;
    if (!m)
        return;
    timer_stop(&m->timer);
    while ((w = list_first(&m->waiting, struct waiting, node))) {
        list_remove(&w->node);
        http_request_unref(w->req);
        free(w);
    }
    free(m);
}
