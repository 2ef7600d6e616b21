#include "router/nginx/module.h"

/*
 * Counters of requests in memory that the workers share, shown as Prometheus text. Families and
 * labels are those of the vts module that Admin Router carries, of which these are kept: server
 * zone, upstream by tag, histogram of durations.
 */

enum { TAGS_MAX = 256, TAG_SIZE = 96, CODES = 5, BUCKETS = 7 };

static const ngx_msec_t bucket_ms[BUCKETS - 1] = {8, 40, 200, 1000, 5000, 25000};
static const char *const bucket_names[BUCKETS] = {
    "0.008", "0.040", "0.200", "1.000", "5.000", "25.000", "+Inf"};

struct series {
    ngx_atomic_t requests[CODES]; /* by the first digit of the status */
    ngx_atomic_t bytes_in, bytes_out;
    ngx_atomic_t bucket[BUCKETS]; /* not cumulative */
    ngx_atomic_t total_ms;
};

struct metrics {
    ngx_atomic_t lock; /* of adding a tag */
    ngx_atomic_t n_tags;
    struct series rest; /* requests that no tag counts */
    struct tag {
        char name[TAG_SIZE];
        struct series series;
    } tags[TAGS_MAX];
};

static ngx_int_t zone_init(ngx_shm_zone_t *zone, void *old)
{
    struct router_main *main = zone->data;
    if (old) {
        main->metrics = old;
        zone->data = old;
        return NGX_OK;
    }
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)(void *)zone->shm.addr;
    struct metrics *m = ngx_slab_calloc(pool, sizeof(*m));
    if (!m)
        return NGX_ERROR;
    main->metrics = m;
    zone->data = m;
    return NGX_OK;
}

char *metrics_zone(ngx_conf_t *cf, struct router_main *main)
{
    static ngx_str_t name = ngx_string("dcos_metrics");
    ngx_shm_zone_t *zone = ngx_shared_memory_add(
        cf, &name, sizeof(struct metrics) + 32 * ngx_pagesize, &ngx_http_dcos_module);
    if (!zone)
        return NGX_CONF_ERROR;
    zone->init = zone_init;
    zone->data = main;
    return NGX_CONF_OK;
}

static struct series *find_series(struct metrics *m, const ngx_str_t *tag)
{
    char name[TAG_SIZE];
    const size_t n = ngx_min(tag->len, (size_t)TAG_SIZE - 1);
    memcpy(name, tag->data, n);
    name[n] = '\0';
    ngx_uint_t have = m->n_tags;
    for (ngx_uint_t i = 0; i < have; i++) {
        if (strcmp(m->tags[i].name, name) == 0)
            return &m->tags[i].series;
    }
    if (have == TAGS_MAX)
        return NULL;
    struct series *found = NULL;
    ngx_spinlock(&m->lock, (ngx_atomic_int_t)ngx_pid, 1024);
    for (ngx_uint_t i = have; i < m->n_tags; i++) {
        if (strcmp(m->tags[i].name, name) == 0)
            found = &m->tags[i].series;
    }
    if (!found && m->n_tags < TAGS_MAX) {
        memcpy(m->tags[m->n_tags].name, name, n + 1);
        found = &m->tags[m->n_tags].series;
        ngx_memory_barrier();
        m->n_tags++;
    }
    ngx_unlock(&m->lock);
    return found;
}

static void count(struct series *s, ngx_http_request_t *r, ngx_msec_t ms)
{
    const ngx_uint_t status = r->headers_out.status / 100;
    if (status >= 1 && status <= CODES)
        ngx_atomic_fetch_add(&s->requests[status - 1], 1);
    ngx_atomic_fetch_add(&s->bytes_in, r->request_length);
    ngx_atomic_fetch_add(&s->bytes_out, r->connection->sent);
    ngx_uint_t b = 0;
    while (b < BUCKETS - 1 && ms > bucket_ms[b])
        b++;
    ngx_atomic_fetch_add(&s->bucket[b], 1);
    ngx_atomic_fetch_add(&s->total_ms, (ngx_atomic_int_t)ms);
}

/* Looking through all tags is for the first request only: which one a service has, the worker
 * keeps by the name's hash. */
static struct series *service_series(struct metrics *m, const ngx_str_t *service)
{
    static const char prefix[] = "service:=";
    enum { PREFIX = sizeof(prefix) - 1, PLACES = 2 * TAGS_MAX };
    static struct tag *places[PLACES];
    u_char text[TAG_SIZE];
    const size_t n = ngx_min(service->len, (size_t)TAG_SIZE - 1 - PREFIX);
    struct tag **place = &places[str_hash(service->data, n) % PLACES];
    if (*place && ngx_strncmp((*place)->name + PREFIX, service->data, n) == 0 &&
        (*place)->name[PREFIX + n] == '\0')
        return &(*place)->series;
    memcpy(text, prefix, PREFIX);
    memcpy(text + PREFIX, service->data, n);
    const ngx_str_t tag = {PREFIX + n, text};
    struct series *s = find_series(m, &tag);
    if (s)
        *place = container_of(s, struct tag, series);
    return s;
}

ngx_int_t metrics_log(ngx_http_request_t *r)
{
    const struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    struct metrics *m = main->metrics;
    if (!m)
        return NGX_OK;
    const ngx_time_t *now = ngx_timeofday();
    const ngx_msec_int_t passed = (now->sec - r->start_sec) * 1000 +
                                  ((ngx_msec_int_t)now->msec - (ngx_msec_int_t)r->start_msec);
    const struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
    struct router_location *l = ctx ? ctx->counted : NULL;
    struct series *s = NULL;
    if (ctx && ctx->service.len) {
        s = service_series(m, &ctx->service);
    } else if (l && l->tag.len) {
        if (!l->series)
            l->series = find_series(m, &l->tag);
        s = l->series;
    }
    count(s ? s : &m->rest, r, passed > 0 ? (ngx_msec_t)passed : 0);
    return NGX_OK;
}

/* ---- showing ---- */

struct text {
    ngx_pool_t *pool;
    ngx_chain_t *first, **last;
    off_t n;
    bool failed;
};

static void put(struct text *t, const char *fmt, ...)
{
    enum { LINE = 1024 };
    ngx_buf_t *b = t->first ? t->first->buf : NULL;
    if (t->last != &t->first)
        b = container_of(t->last, ngx_chain_t, next)->buf;
    if (!b || b->end - b->last < LINE) {
        ngx_chain_t *link = ngx_alloc_chain_link(t->pool);
        b = ngx_create_temp_buf(t->pool, 16 * LINE);
        if (!link || !b) {
            t->failed = true;
            return;
        }
        link->buf = b;
        link->next = NULL;
        *t->last = link;
        t->last = &link->next;
    }
    va_list ap;
    va_start(ap, fmt);
    u_char *end = ngx_vslprintf(b->last, b->end, fmt, ap);
    va_end(ap);
    t->n += end - b->last;
    b->last = end;
}

static void add_series(struct series *sum, const struct series *s)
{
    for (int c = 0; c < CODES; c++)
        sum->requests[c] += s->requests[c];
    sum->bytes_in += s->bytes_in;
    sum->bytes_out += s->bytes_out;
}

/* Of all requests; without durations. */
static struct series sum_of(const struct metrics *m)
{
    struct series sum = {0};
    add_series(&sum, &m->rest);
    for (ngx_uint_t i = 0; i < m->n_tags; i++)
        add_series(&sum, &m->tags[i].series);
    return sum;
}

/* A label's value: backslash, quote and newline are escaped. */
static void put_label(struct text *t, const char *name)
{
    char out[2 * TAG_SIZE + 1];
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        if (*p == '\\' || *p == '"' || *p == '\n')
            out[n++] = '\\';
        out[n++] = *p == '\n' ? 'n' : *p;
    }
    out[n] = '\0';
    put(t, "%s", out);
}

static void put_family(struct text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_histogram(struct text *t, const char *name, const struct series *s)
{
    ngx_atomic_uint_t sum = 0;
    for (ngx_uint_t b = 0; b < BUCKETS; b++) {
        sum += s->bucket[b];
        put(t,
            "nginx_vts_filter_request_duration_seconds_bucket{filter=\"upstream\",filter_name=\"");
        put_label(t, name);
        put(t, "\",le=\"%s\"} %uA\n", bucket_names[b], sum);
    }
    put(t, "nginx_vts_filter_request_duration_seconds_sum{filter=\"upstream\",filter_name=\"");
    put_label(t, name);
    put(t, "\"} %uA.%03uA\n", s->total_ms / 1000, s->total_ms % 1000);
    put(t, "nginx_vts_filter_request_duration_seconds_count{filter=\"upstream\",filter_name=\"");
    put_label(t, name);
    put(t, "\"} %uA\n", sum);
}

static ngx_int_t send_text(ngx_http_request_t *r, struct text *t, const char *type)
{
    if (t->failed || !t->first)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK)
        return rc;
    container_of(t->last, ngx_chain_t, next)->buf->last_buf = 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_type.data = (u_char *)(uintptr_t)type;
    r->headers_out.content_type.len = r->headers_out.content_type_len = strlen(type);
    r->headers_out.content_length_n = t->n;
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    return ngx_http_output_filter(r, t->first);
}

static void put_connections(struct text *t)
{
#if (NGX_STAT_STUB)
    static const char family[] = "nginx_vts_main_connections";
    put_family(t, family, "gauge", "Connections");
    put(t, "%s{status=\"accepted\"} %uA\n%s{status=\"active\"} %uA\n", family, *ngx_stat_accepted,
        family, *ngx_stat_active);
    put(t, "%s{status=\"handled\"} %uA\n%s{status=\"reading\"} %uA\n", family, *ngx_stat_handled,
        family, *ngx_stat_reading);
    put(t, "%s{status=\"requests\"} %uA\n%s{status=\"waiting\"} %uA\n%s{status=\"writing\"} %uA\n",
        family, *ngx_stat_requests, family, *ngx_stat_waiting, family, *ngx_stat_writing);
#endif
}

ngx_int_t metrics_show(ngx_http_request_t *r)
{
    const struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    const struct metrics *m = main->metrics;
    const struct series all = sum_of(m);
    struct text t = {.pool = r->pool};
    t.last = &t.first;
    put_family(&t, "nginx_vts_info", "gauge", "Program and version");
    put(&t, "nginx_vts_info{program=\"dcos-router\",version=\"%s\"} 1\n", DCOS_VERSION);
    put_connections(&t);
    put_family(&t, "nginx_vts_server_requests_total", "counter", "Requests by class of status");
    for (ngx_uint_t c = 0; c < CODES; c++)
        put(&t, "nginx_vts_server_requests_total{host=\"*\",code=\"%uixx\"} %uA\n", c + 1,
            all.requests[c]);
    put_family(&t, "nginx_vts_server_bytes_total", "counter", "Bytes of requests and answers");
    put(&t, "nginx_vts_server_bytes_total{host=\"*\",direction=\"in\"} %uA\n", all.bytes_in);
    put(&t, "nginx_vts_server_bytes_total{host=\"*\",direction=\"out\"} %uA\n", all.bytes_out);
    put_family(&t, "nginx_vts_filter_requests_total", "counter", "Requests by upstream");
    for (ngx_uint_t i = 0; i < m->n_tags; i++) {
        for (ngx_uint_t c = 0; c < CODES; c++) {
            put(&t, "nginx_vts_filter_requests_total{filter=\"upstream\",filter_name=\"");
            put_label(&t, m->tags[i].name);
            put(&t, "\",code=\"%uixx\"} %uA\n", c + 1, m->tags[i].series.requests[c]);
        }
    }
    put_family(&t, "nginx_vts_filter_bytes_total", "counter", "Bytes by upstream");
    for (ngx_uint_t i = 0; i < m->n_tags; i++) {
        for (int out = 0; out < 2; out++) {
            put(&t, "nginx_vts_filter_bytes_total{filter=\"upstream\",filter_name=\"");
            put_label(&t, m->tags[i].name);
            put(&t, "\",direction=\"%s\"} %uA\n", out ? "out" : "in",
                out ? m->tags[i].series.bytes_out : m->tags[i].series.bytes_in);
        }
    }
    put_family(
        &t, "nginx_vts_filter_request_duration_seconds", "histogram", "Durations of requests");
    for (ngx_uint_t i = 0; i < m->n_tags; i++)
        put_histogram(&t, m->tags[i].name, &m->tags[i].series);
    return send_text(r, &t, "text/plain");
}

ngx_int_t metrics_show_status(ngx_http_request_t *r)
{
    const struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    const struct metrics *m = main->metrics;
    const struct series all = sum_of(m);
    struct text t = {.pool = r->pool};
    t.last = &t.first;
    put(&t, "<!DOCTYPE html>\n<html><head><title>Router status</title></head><body>\n"
            "<table><tr><th>upstream</th><th>1xx</th><th>2xx</th><th>3xx</th><th>4xx</th><th>5xx</"
            "th></tr>\n");
    for (ngx_uint_t i = 0; i <= m->n_tags; i++) {
        const struct series *s = i ? &m->tags[i - 1].series : &all;
        u_char name[6 * TAG_SIZE];
        const char *plain = i ? m->tags[i - 1].name : "all";
        u_char *end = (u_char *)ngx_escape_html(name, (u_char *)(uintptr_t)plain, strlen(plain));
        *end = '\0';
        put(&t,
            "<tr><td>%s</td><td>%uA</td><td>%uA</td><td>%uA</td><td>%uA</td><td>%uA</td></tr>\n",
            name, s->requests[0], s->requests[1], s->requests[2], s->requests[3], s->requests[4]);
    }
    put(&t, "</table></body></html>\n");
    return send_text(r, &t, "text/html");
}
