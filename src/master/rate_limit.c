#include "master/rate_limit.h"

#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "json/json.h"

struct waiting {
    struct list node;
    struct http_request *req; /* referenced */
};

struct limiter {
    struct rate_limits *all;
    char *principal;     /* NULL: of everybody who is not named */
    int64_t interval_us; /* 0: unlimited */
    size_t capacity;
    int64_t next_us; /* when the next may go */
    struct list queue;
    size_t n_waiting;
    struct timer timer;
};

struct counter {
    uint64_t received, processed;
    char principal[];
};

struct rate_limits {
    struct loop *loop;
    void (*go)(struct http_request *req, void *userdata);
    void *userdata;
    struct map limiters; /* by principal */
    struct map counters; /* by principal */
    struct limiter *others;
};

static struct counter *counter_of(struct rate_limits *r, const char *principal)
{
    if (!principal)
        return NULL;
    struct counter *c = map_get(&r->counters, principal);
    if (c || map_size(&r->counters) >= map_size(&r->limiters) + RATE_PRINCIPALS_MAX)
        return c;
    size_t n = strlen(principal) + 1;
    c = xcalloc(1, sizeof(*c) + n);
    memcpy(c->principal, principal, n);
    map_put(&r->counters, c->principal, c);
    return c;
}

static void let_go(struct rate_limits *r, const char *principal, struct http_request *req)
{
    struct counter *c = counter_of(r, principal);
    if (c)
        c->processed++;
    if (!http_responded(req))
        r->go(req, r->userdata);
}

static void serve(struct timer *t)
{
    struct limiter *l = container_of(t, struct limiter, timer);
    struct waiting *w;
    int64_t now = clock_monotonic_us();
    while (l->next_us <= now && (w = list_first(&l->queue, struct waiting, node))) {
        list_remove(&w->node);
        l->n_waiting--;
        l->next_us = now + l->interval_us;
        let_go(l->all, l->principal, w->req);
        http_request_unref(w->req);
        free(w);
    }
    if (l->n_waiting)
        timer_start(t, l->next_us - now);
}

void rate_limits_pass(struct rate_limits *r, const char *principal, struct http_request *req)
{
    struct limiter *l = principal ? map_get(&r->limiters, principal) : NULL;
    struct counter *c = counter_of(r, principal);
    if (c)
        c->received++;
    if (!l)
        l = r->others;
    if (!l || l->interval_us == 0) {
        let_go(r, principal, req);
        return;
    }
    int64_t now = clock_monotonic_us();
    if (l->n_waiting == 0 && l->next_us <= now) {
        l->next_us = now + l->interval_us;
        let_go(r, principal, req);
        return;
    }
    if (l->n_waiting >= l->capacity) {
        http_respond_text(req, 429,
            "Message dropped: capacity(%zu) of the rate limit of principal '%s' is exceeded",
            l->capacity, principal ? principal : "");
        return;
    }
    struct waiting *w = xnew(struct waiting);
    list_init(&w->node);
    http_request_ref(req);
    w->req = req;
    list_push(&l->queue, &w->node);
    l->n_waiting++;
    if (!timer_active(&l->timer))
        timer_start(&l->timer, l->next_us - now);
}

void rate_limits_each_metric(const struct rate_limits *r,
    void (*fn)(const char *name, double value, void *userdata), void *userdata)
{
    MAP_FOREACH (e, &r->counters) {
        const struct counter *c = e->value;
        _cleanup_free_ char *received = xasprintf("frameworks/%s/messages_received", c->principal);
        _cleanup_free_ char *processed = xasprintf(
            "frameworks/%s/messages_processed", c->principal);
        fn(received, (double)c->received, userdata);
        fn(processed, (double)c->processed, userdata);
    }
}

/* ---- configuration ---- */

static struct limiter *limiter_new(
    struct rate_limits *r, const char *principal, double qps, int64_t capacity)
{
    struct limiter *l = xnew(struct limiter);
    l->all = r;
    l->principal = principal ? xstrdup(principal) : NULL;
    l->interval_us = qps > 0 ? MAX((int64_t)(1e6 / qps), 1) : 0;
    l->capacity = capacity >= 0 ? (size_t)capacity : RATE_WAITING_MAX;
    list_init(&l->queue);
    timer_init(&l->timer, r->loop, serve);
    return l;
}

static int check_rate(double qps, int64_t capacity, bool has_qps, struct error *err)
{
    if (has_qps && !(qps > 0 && qps < 1e9))
        return error_set(err, -EINVAL, "--rate_limits: qps must be a positive number");
    if (capacity < -1 || capacity > 1000000)
        return error_set(err, -EINVAL, "--rate_limits: capacity must be from 0 to 1000000");
    return 0;
}

static int read_limit(struct rate_limits *r, const json_t *item, size_t index, struct error *err)
{
    struct {
        const char *principal;
        double qps;
        int64_t capacity;
    } limit = {.capacity = -1};
    static const struct json_field fields[] = {
        {"principal", JSON_FIELD_STRING, 0, .required = true},
        {"qps", JSON_FIELD_DOUBLE, sizeof(char *)},
        {"capacity", JSON_FIELD_I64, sizeof(char *) + sizeof(double)},
    };
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    char path[64];
    snprintf(path, sizeof(path), "--rate_limits: /limits/%zu", index);
    int e = json_read_object(
        item, path, fields, ARRAY_SIZE(fields), JSON_ALLOW_UNKNOWN, &limit, &arena, err);
    if (e == 0)
        e = check_rate(limit.qps, limit.capacity, json_at(item, "qps") != NULL, err);
    if (e == 0 && map_get(&r->limiters, limit.principal))
        e = error_set(
            err, -EINVAL, "--rate_limits: principal '%s' is named twice", limit.principal);
    if (e < 0)
        return e;
    struct limiter *l = limiter_new(r, limit.principal, limit.qps, limit.capacity);
    map_put(&r->limiters, l->principal, l);
    return 0;
}

static int read_limits(struct rate_limits *r, const char *text, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int e = json_parse(text, strlen(text), &json, err);
    if (e < 0)
        return error_prefix(err, -EINVAL, "--rate_limits");
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "--rate_limits: expected an object");
    const json_t *limits = json_at(json, "limits");
    if (limits && !json_is_array(limits))
        return error_set(err, -EINVAL, "--rate_limits: /limits: expected an array");
    size_t n = limits ? json_array_size(limits) : 0;
    if (n > RATE_LIMITS_MAX)
        return error_set(err, -EINVAL, "--rate_limits: more than %d limits", RATE_LIMITS_MAX);
    for (size_t i = 0; i < n && e == 0; i++)
        e = read_limit(r, json_array_get(limits, i), i, err);
    bool has_default = json_at(json, "aggregate_default_qps") != NULL;
    double qps = json_double_at(json, "aggregate_default_qps", 0);
    int64_t capacity = json_i64_at(json, "aggregate_default_capacity", -1);
    if (e == 0)
        e = check_rate(qps, capacity, has_default, err);
    if (e == 0 && has_default)
        r->others = limiter_new(r, NULL, qps, capacity);
    return e;
}

int rate_limits_new(struct loop *loop, const char *json,
    void (*go)(struct http_request *req, void *userdata), void *userdata, struct rate_limits **ret,
    struct error *err)
{
    struct rate_limits *r = xnew(struct rate_limits);
    *r = (struct rate_limits){.loop = loop, .go = go, .userdata = userdata};
    int e = json ? read_limits(r, json, err) : 0;
    if (e < 0) {
        rate_limits_free(r);
        return e;
    }
    *ret = r;
    return 0;
}

static void limiter_free(struct limiter *l)
{
    if (!l)
        return;
    timer_stop(&l->timer);
    struct waiting *w;
    while ((w = list_first(&l->queue, struct waiting, node))) {
        list_remove(&w->node);
        http_request_unref(w->req);
        free(w);
    }
    free(l->principal);
    free(l);
}

void rate_limits_free(struct rate_limits *r)
{
    if (!r)
        return;
    MAP_FOREACH (e, &r->limiters)
        limiter_free(e->value);
    MAP_FOREACH (e, &r->counters)
        free(e->value);
    map_done(&r->limiters);
    map_done(&r->counters);
    limiter_free(r->others);
    free(r);
}
