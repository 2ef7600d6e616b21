#ifndef DCOS_PROCESS_METRICS_H
#define DCOS_PROCESS_METRICS_H

/*
 * Metrics of a daemon under the old names ("master/tasks_running"), as /metrics/snapshot gives
 * them, and the same as Prometheus text.
 */

#include "http/server.h"
#include "io/loop.h"

/* Receives one metric. */
typedef void (*metric_fn)(const char *name, double value, void *userdata);
/* Tells every metric, always in the same order. */
typedef void (*metrics_source)(void *source, metric_fn fn, void *userdata);

/* ---- durations ---- */

/* The last METRIC_SAMPLES durations of something. Zero-initialised is empty. */
enum { METRIC_SAMPLES = 1000 };
struct metric_timer {
    uint32_t *samples_us; /* a ring, allocated with the first */
    size_t n, next;
};
void metric_timer_add(struct metric_timer *t, int64_t us);
void metric_timer_done(struct metric_timer *t);
/* `name` (which ends in "_ms") with the newest, and name/count, max, min, p50, p90, p95, p99, p999,
 * p9999 of the samples; nothing while there are none. */
void metric_timer_put(const struct metric_timer *t, const char *name, metric_fn fn, void *userdata);

/* system/cpus_total, load_*, mem_* */
void metrics_put_system(metric_fn fn, void *userdata);

/* Appends all of them as one JSON object. */
void metrics_write_json(metrics_source source, void *of, struct buf *out);

/* ---- Prometheus (prometheus.c) ---- */

/*
 * Appends the text exposition format. A name becomes "dcos_" and its parts joined by "_"; parts
 * that are names of things become labels (docs/metrics.md has the table), counters end in "_total",
 * times in milliseconds keep their unit in the name. Families are in order of their first metric.
 */
void prometheus_write(metrics_source source, void *of, struct buf *out);

/* ---- endpoints (metrics_http.c) ---- */

/*
 * GET /metrics/snapshot is answered at most so often, later ones wait: the environment variable
 * LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT is "N/DURATION", "" for no limit; 2/1secs when it
 * is not set. ?timeout=DURATION is checked and never reached: no metric has to be waited for.
 */
enum { METRICS_WAITING_MAX = 100 }; /* requests; more are answered 503 */
struct metrics_http;
/* Answers a request for all metrics, as the object or as Prometheus text. */
typedef void (*metrics_answer)(void *of, struct http_request *req, bool prometheus);
/* `answer` NULL: on the spot. */
int metrics_http_new(struct loop *l, metrics_source source, void *of, metrics_answer answer,
    struct metrics_http **ret, struct error *err);
void metrics_http_free(struct metrics_http *m);
void metrics_http_snapshot(struct metrics_http *m, struct http_request *req);
void metrics_http_prometheus(struct metrics_http *m, struct http_request *req);
#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
