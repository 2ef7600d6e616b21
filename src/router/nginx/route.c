#include <arpa/inet.h>

#include "router/nginx/module.h"

/*
 * Where to. Rows of the routes table are addresses: nothing is resolved here and no answer is kept
 * from one request to the next. An upstream block with `dcos_peer` connects to what was found;
 * `keepalive` behind it keeps connections by address.
 *
 * A service's name is the shortest run of leading segments that is known, tried in the order
 * Marathon's labels, framework ids, framework names (as Admin Router does). Each scheme and way
 * of buffering has a named location of its own, whose settings the request takes over.
 */

enum { KEY_MAX = 1024, WAY_CHECKED = 4, WAYS = 5 };

static const struct target *row(const struct table_view *v, char kind, const char *name, size_t n)
{
    char key[KEY_MAX];
    if (n + 2 > sizeof(key))
        return NULL;
    key[0] = kind;
    key[1] = ':';
    memcpy(key + 2, name, n);
    size_t size = 0;
    const struct target *t = table_get(v, key, n + 2, &size);
    return t && size >= sizeof(*t) && size - sizeof(*t) >= t->name_n ? t : NULL;
}

static u_char *put_number(u_char *p, unsigned n)
{
    u_char digits[5];
    size_t k = 0;
    do
        digits[k++] = (u_char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (k > 0)
        *p++ = digits[--k];
    return p;
}

static void set_address(struct router_request *ctx, const struct target *t, unsigned port)
{
    u_char *p = ctx->upstream.text;
    memset(&ctx->upstream.address, 0, sizeof(ctx->upstream.address));
    if (t->family == 6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)&ctx->upstream.address;
        a->sin6_family = AF_INET6;
        a->sin6_port = htons((uint16_t)port);
        memcpy(&a->sin6_addr, t->address, 16);
        ctx->upstream.length = sizeof(*a);
        *p++ = '[';
        inet_ntop(AF_INET6, t->address, (char *)p, INET6_ADDRSTRLEN);
        p += strlen((char *)p);
        *p++ = ']';
    } else {
        struct sockaddr_in *a = (struct sockaddr_in *)&ctx->upstream.address;
        a->sin_family = AF_INET;
        a->sin_port = htons((uint16_t)port);
        memcpy(&a->sin_addr, t->address, 4);
        ctx->upstream.length = sizeof(*a);
        /* As inet_ntop() writes it, at a twentieth of the cost. */
        for (int i = 0; i < 4; i++) {
            if (i)
                *p++ = '.';
            p = put_number(p, t->address[i]);
        }
    }
    *p++ = ':';
    p = put_number(p, port & 0xffff);
    ctx->upstream.tls = t->flags & TARGET_TLS;
    ctx->upstream.name.data = ctx->upstream.text;
    ctx->upstream.name.len = (size_t)(p - ctx->upstream.text);
}

/* ---- waiting for a table that has not come yet ---- */

static void waited(ngx_event_t *ev)
{
    struct router_request *ctx = ev->data;
    ngx_http_request_t *r = ctx->request;
    ngx_connection_t *c = r->connection;
    ctx->waited_ms += ROUTER_WAIT_STEP_MS;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

static void stop_waiting(void *data)
{
    struct router_request *ctx = data;
    if (ctx->wait.timer_set)
        ngx_del_timer(&ctx->wait);
}

/* NGX_AGAIN, or NGX_DECLINED: it was long enough, or who should tell was asked already. */
static ngx_int_t wait_for_table(
    ngx_http_request_t *r, struct router_request *ctx, const struct table_view *v, uint32_t tried)
{
    if (ctx->waited_ms >= ROUTER_WAIT_MAX_MS || (v && (table_view_bits(v) & tried)))
        return NGX_DECLINED;
    if (!ctx->wait.handler) {
        ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
        if (!cleanup)
            return NGX_ERROR;
        cleanup->handler = stop_waiting;
        cleanup->data = ctx;
        ctx->wait.handler = waited;
        ctx->wait.data = ctx;
        ctx->wait.log = r->connection->log;
    }
    ngx_add_timer(&ctx->wait, ROUTER_WAIT_STEP_MS);
    return NGX_AGAIN;
}

/* ---- agents and leaders ---- */

/* "/<word>/<id>...": the id behind the second slash. */
static void id_of(const ngx_str_t *uri, size_t skip, ngx_str_t *id)
{
    id->data = uri->data + skip;
    id->len = 0;
    while (skip + id->len < uri->len && id->data[id->len] != '/')
        id->len++;
}

static ngx_int_t find_agent(ngx_http_request_t *r, const struct router_location *conf,
    struct router_request *ctx, const struct table_view *v)
{
    static const char long_prefix[] = "/system/v1/agent/";
    ngx_str_t id, prefix, replacement = ngx_string("");
    const bool by_router = conf->target == ROUTE_AGENT_ROUTER;
    id_of(&r->uri, by_router ? sizeof(long_prefix) - 1 : sizeof("/agent/") - 1, &id);
    if (!v || !(table_view_bits(v) & ROUTES_HAVE_MESOS)) {
        ngx_int_t rc = wait_for_table(r, ctx, v, ROUTES_TRIED_MESOS);
        return rc != NGX_DECLINED
                   ? rc
                   : answer_text(r, 503, "503 Service Unavailable: cache state is invalid");
    }
    const struct target *t = row(v, 'a', (const char *)id.data, id.len);
    if (!t || !t->port)
        return answer_text(r, 404, "404 Not Found: agent `%V` unknown.", &id);
    set_address(ctx, t, by_router ? (unsigned)conf->port : t->port);
    prefix.data = r->uri.data;
    prefix.len = (size_t)(id.data + id.len - r->uri.data);
    if (by_router) {
        ctx->upstream.tls = false;
        ngx_str_t rest = {r->uri.len - prefix.len, r->uri.data + prefix.len};
        if (ngx_strncmp(rest.data, "/logs", 5) == 0 || ngx_strncmp(rest.data, "/metrics", 8) == 0)
            ngx_str_set(&replacement, "/system/v1");
    }
    return path_map(r, &prefix, &replacement);
}

static ngx_int_t find_leader(ngx_http_request_t *r, const struct router_location *conf,
    struct router_request *ctx, const struct table_view *v)
{
    static ngx_str_t system = ngx_string("/system/v1");
    const bool marathon = conf->target == ROUTE_LEADER_MARATHON;
    const char *name = marathon ? "marathon" : "mesos";
    const struct target *t = v ? row(v, 'l', name, strlen(name)) : NULL;
    if (marathon && (!v || !(table_view_bits(v) & ROUTES_HAVE_LEADER)))
        return answer_text(r, 503, "503 Service Unavailable: cache is invalid");
    if (!t || !t->port)
        return answer_text(r, 503, "503 Service Unavailable: %s leader is unknown.", name);
    static const char header[] = "DCOS-Forwarded";
    ngx_list_part_t *part = &r->headers_in.headers.part;
    for (; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof(header) - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *)(uintptr_t)header, h[i].key.len) == 0 &&
                h[i].value.len == 4 && ngx_strncmp(h[i].value.data, "true", 4) == 0)
                return answer_text(r, 503, "503 Service Unavailable: %s leader is unknown", name);
        }
    }
    set_address(ctx, t, (unsigned)conf->port);
    ctx->upstream.tls = false;
    ngx_str_set(&ctx->forwarded, "true");
    return path_map(r, &conf->prefix, &system);
}

static ngx_int_t find_mesos(ngx_http_request_t *r, const struct router_location *conf,
    struct router_request *ctx, const struct table_view *v)
{
    const struct target *t = v ? row(v, 'l', "mesos", 5) : NULL;
    if (!t || !t->port) {
        ngx_int_t rc = wait_for_table(r, ctx, v, ROUTES_TRIED_MESOS);
        return rc != NGX_DECLINED
                   ? rc
                   : answer_text(r, 503, "503 Service Unavailable: mesos leader is unknown.");
    }
    set_address(ctx, t, t->port);
    return path_map(r, &conf->prefix, &conf->replacement);
}

/* ---- services ---- */

/* "b.a" of the first `n` segments of "a/b/...". */
static size_t reversed(const ngx_str_t *segments, ngx_uint_t n, char out[KEY_MAX])
{
    size_t at = 0;
    for (ngx_uint_t i = n; i > 0; i--) {
        if (at + segments[i - 1].len + 1 > KEY_MAX)
            return 0;
        if (at)
            out[at++] = '.';
        memcpy(out + at, segments[i - 1].data, segments[i - 1].len);
        at += segments[i - 1].len;
    }
    return at;
}

static bool skips_marathon(const ngx_str_t *segments, ngx_uint_t n)
{
    return n == 1 &&
           ((segments[0].len == 8 && ngx_strncmp(segments[0].data, "marathon", 8) == 0) ||
               (segments[0].len == 9 && ngx_strncmp(segments[0].data, "metronome", 9) == 0));
}

enum found { NOT_FOUND, FOUND, NO_MARATHON, NO_MESOS, ASK_DNS };

static enum found look_up(const struct table_view *v, const ngx_str_t *segments, ngx_uint_t n,
    const ngx_str_t *path, const struct target **ret)
{
    char name[KEY_MAX];
    const size_t name_n = reversed(segments, n, name);
    const uint32_t bits = v ? table_view_bits(v) : 0;
    if (!name_n)
        return NOT_FOUND;
    if (!skips_marathon(segments, n)) {
        if (!(bits & ROUTES_HAVE_MARATHON))
            return NO_MARATHON;
        const struct target *t = row(v, 'm', name, name_n);
        if (t && t->port) {
            *ret = t;
            return FOUND;
        }
    }
    if (!(bits & ROUTES_HAVE_MESOS))
        return NO_MESOS;
    const struct target *t = row(v, 'i', (const char *)path->data, path->len);
    if (!t)
        t = row(v, 'n', name, name_n);
    if (!t)
        return NOT_FOUND;
    *ret = t;
    if (t->flags & TARGET_ASK_DNS)
        return ASK_DNS;
    return t->port ? FOUND : NOT_FOUND;
}

/* The named location whose settings a way of proxying has: found once, then known to the worker. */
static ngx_http_core_loc_conf_t *settings_of(ngx_http_request_t *r, unsigned way)
{
    static const char *const names[WAYS] = {
        "@dcos_http", "@dcos_https", "@dcos_http_raw", "@dcos_https_raw", "@dcos_checked"};
    static ngx_http_core_loc_conf_t **locations, *known[WAYS];
    const ngx_http_core_srv_conf_t *server = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    if (locations == server->named_locations)
        return known[way];
    memset(known, 0, sizeof(known));
    locations = server->named_locations;
    for (ngx_http_core_loc_conf_t **l = locations; l && *l; l++) {
        for (size_t i = 0; i < WAYS; i++) {
            if ((*l)->name.len == strlen(names[i]) &&
                ngx_strncmp((*l)->name.data, names[i], (*l)->name.len) == 0)
                known[i] = *l;
        }
    }
    return known[way];
}

static ngx_int_t take_settings(ngx_http_request_t *r, unsigned way)
{
    const ngx_http_core_loc_conf_t *l = settings_of(r, way);
    if (!l) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "no settings for services");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->loc_conf = l->loc_conf;
    ngx_http_update_location_config(r);
    return NGX_OK;
}

static ngx_int_t go_to_service(
    ngx_http_request_t *r, struct router_request *ctx, const struct target *t)
{
    /* A framework's web address may have a path: ours goes behind it. */
    ngx_str_t base = {
        t->flags & TARGET_ASK_DNS ? 0 : t->name_n, (u_char *)(uintptr_t)target_text(t)};
    static const char rid[] = "dcos:adminrouter:service:";
    static ngx_str_t nothing = ngx_string("");
    const struct router_location *conf = ngx_http_get_module_loc_conf(r, ngx_http_dcos_module);
    if (conf->auth == ROUTE_FULL) {
        char text[sizeof(rid) + KEY_MAX];
        const size_t n = ngx_min(ctx->service.len, (size_t)KEY_MAX);
        memcpy(text, rid, sizeof(rid) - 1);
        memcpy(text + sizeof(rid) - 1, ctx->service.data, n);
        if (!identity_may(r, &ctx->uid, text, sizeof(rid) - 1 + n))
            return answer_forbidden(r);
    }
    set_address(ctx, t, t->port);
    const unsigned way = t->flags & TARGET_CHECKED ? WAY_CHECKED
                                                   : (ctx->upstream.tls ? 1 : 0) +
                                                         (t->flags & TARGET_NO_BUFFERING ? 2 : 0);
    ngx_int_t rc;
    if (t->flags & TARGET_KEEP_PREFIX)
        rc = path_map(r, &nothing, &nothing);
    else
        rc = path_map(r, &ctx->location, &base);
    return rc == NGX_OK ? take_settings(r, way) : rc;
}

static ngx_int_t find_service(
    ngx_http_request_t *r, struct router_request *ctx, const struct table_view *v)
{
    static const char service[] = "/service/", marathon[] = "/marathon/";
    ngx_str_t segments[ROUTER_CANDIDATES_MAX];
    ngx_uint_t n = 0;
    const bool alias = r->uri.len >= sizeof(marathon) - 1 &&
                       ngx_strncmp(r->uri.data, marathon, sizeof(marathon) - 1) == 0;
    const u_char *at = r->uri.data + (alias ? 1 : sizeof(service) - 1);
    const u_char *end = r->uri.data + r->uri.len;
    while (at < end && n < ROUTER_CANDIDATES_MAX) {
        const u_char *q = at;
        while (q < end && *q != '/')
            q++;
        if (q > at) {
            segments[n].data = (u_char *)(uintptr_t)at;
            segments[n++].len = (size_t)(q - at);
        }
        at = q + 1;
    }
    for (ngx_uint_t i = 1; i <= n; i++) {
        /* nginx merged slashes: a candidate is one run of bytes of the path. */
        ngx_str_t path = {(size_t)(segments[i - 1].data + segments[i - 1].len - segments[0].data),
            segments[0].data};
        const struct target *t = NULL;
        const enum found found = look_up(v, segments, i, &path, &t);
        if (found == NOT_FOUND)
            continue;
        if (found == NO_MARATHON || found == NO_MESOS) {
            ngx_int_t rc = wait_for_table(
                r, ctx, v, found == NO_MARATHON ? ROUTES_TRIED_MARATHON : ROUTES_TRIED_MESOS);
            if (rc != NGX_DECLINED)
                return rc;
            return answer_text(r, 503,
                found == NO_MARATHON ? "503 Service Unavailable: invalid Marathon svcapps cache"
                                     : "503 Service Unavailable: invalid Mesos state cache");
        }
        if (found == ASK_DNS) {
            if (ctx->named_candidate != i) {
                ctx->named_candidate = i;
                ctx->names = NAMES_UNASKED;
            }
            if (ctx->names == NAMES_UNASKED)
                return names_ask(r, ctx, target_text(t), t->name_n);
            if (ctx->names == NAMES_ASKED)
                return NGX_AGAIN;
            if (ctx->names == NAMES_FAILED)
                return answer_text(r, 503, "503 Service Unavailable: MesosDNS request has failed");
            if (ctx->names == NAMES_NOTHING)
                continue;
            t = &ctx->named;
        }
        ctx->service = path;
        ctx->location.data = r->uri.data;
        ctx->location.len = (size_t)(path.data + path.len - r->uri.data);
        return go_to_service(r, ctx, t);
    }
    return answer_text(r, 404, "404 Not Found: service not found.");
}

bool route_lacks_slash(const ngx_str_t *uri)
{
    static const char service[] = "/service/";
    const size_t n = sizeof(service) - 1;
    if (uri->len <= n || ngx_strncmp(uri->data, service, n) != 0)
        return false;
    for (size_t i = n; i < uri->len; i++) {
        const u_char c = uri->data[i], lower = c | 0x20;
        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return true;
}

ngx_int_t route_find(
    ngx_http_request_t *r, struct router_location *conf, struct router_request *ctx)
{
    ctx->request = r;
    ctx->counted = conf;
    ctx->location = conf->location;
    if (conf->target == ROUTE_FIXED)
        return path_map(r, &conf->prefix, &conf->replacement);
    struct table_reader *tables = router_tables(r);
    const struct table_view *v = tables ? table_current(tables, TABLE_ROUTES) : NULL;
    switch ((enum route_target)conf->target) {
    case ROUTE_MESOS:
        return find_mesos(r, conf, ctx, v);
    case ROUTE_AGENT:
    case ROUTE_AGENT_ROUTER:
        return find_agent(r, conf, ctx, v);
    case ROUTE_SERVICE:
        return find_service(r, ctx, v);
    case ROUTE_LEADER_MESOS:
    case ROUTE_LEADER_MARATHON:
        return find_leader(r, conf, ctx, v);
    case ROUTE_FIXED:
        break;
    }
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}

/* ---- upstream ---- */

static ngx_int_t peer_get(ngx_peer_connection_t *pc, void *data)
{
    struct router_request *ctx = data;
    pc->sockaddr = (struct sockaddr *)&ctx->upstream.address;
    pc->socklen = ctx->upstream.length;
    pc->name = &ctx->upstream.name;
    pc->cached = 0;
    pc->connection = NULL;
    return NGX_OK;
}

static void peer_free(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    if (pc->tries)
        pc->tries--;
}

/* Sessions of TLS are not kept: the configuration turns that off too. */
static ngx_int_t peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}

static void peer_save_session(ngx_peer_connection_t *pc, void *data)
{
}

static ngx_int_t peer_init(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
    if (!ctx || !ctx->upstream.length)
        return NGX_ERROR;
    r->upstream->peer.data = ctx;
    r->upstream->peer.get = peer_get;
    r->upstream->peer.free = peer_free;
    r->upstream->peer.tries = 1;
    r->upstream->peer.set_session = peer_set_session;
    r->upstream->peer.save_session = peer_save_session;
    return NGX_OK;
}

static ngx_int_t peer_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    us->peer.init = peer_init;
    return NGX_OK;
}

char *route_peer_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_srv_conf_t *us = ngx_http_conf_get_module_srv_conf(
        cf, ngx_http_upstream_module);
    us->peer.init_upstream = peer_init_upstream;
    us->flags = NGX_HTTP_UPSTREAM_CREATE;
    return NGX_CONF_OK;
}
