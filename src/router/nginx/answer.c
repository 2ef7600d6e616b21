#include <stdarg.h>

#include "router/nginx/module.h"

/* What the router answers itself, and the headers it changes in others' answers. */

static ngx_http_output_header_filter_pt next_header_filter;

enum { TEXT_MAX = 2048 };

static ngx_int_t send_body(
    ngx_http_request_t *r, ngx_uint_t status, const char *type, const ngx_str_t *body)
{
    ngx_http_complex_value_t value;
    ngx_str_t content_type = {strlen(type), (u_char *)(uintptr_t)type};
    ngx_memzero(&value, sizeof(value));
    value.value = *body;
    ngx_http_finalize_request(r, ngx_http_send_response(r, status, &content_type, &value));
    return NGX_DONE;
}

ngx_int_t answer_text(ngx_http_request_t *r, ngx_uint_t status, const char *fmt, ...)
{
    ngx_str_t body;
    body.data = ngx_pnalloc(r->pool, TEXT_MAX);
    if (!body.data)
        return NGX_ERROR;
    va_list ap;
    va_start(ap, fmt);
    u_char *end = ngx_vslprintf(body.data, body.data + TEXT_MAX - 1, fmt, ap);
    va_end(ap);
    *end++ = '\n';
    body.len = (size_t)(end - body.data);
    return send_body(r, status, "text/plain; charset=UTF-8", &body);
}

ngx_int_t answer_slash(ngx_http_request_t *r)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);
    u_char *to = ngx_pnalloc(r->pool, r->uri.len + r->args.len + 2);
    if (!h || !to)
        return NGX_ERROR;
    memset(h, 0, sizeof(*h));
    h->hash = 1;
    ngx_str_set(&h->key, "Location");
    h->value.data = to;
    to = ngx_cpymem(to, r->uri.data, r->uri.len);
    *to++ = '/';
    if (r->args.len) {
        *to++ = '?';
        to = ngx_cpymem(to, r->args.data, r->args.len);
    }
    h->value.len = (size_t)(to - h->value.data);
    r->headers_out.location = h;
    return NGX_HTTP_MOVED_PERMANENTLY;
}

ngx_int_t answer_unauthorized(ngx_http_request_t *r)
{
    struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);
    if (!h)
        return NGX_ERROR;
    memset(h, 0, sizeof(*h));
    h->hash = 1;
    ngx_str_set(&h->key, "WWW-Authenticate");
    h->value = main->challenge;
    r->headers_out.www_authenticate = h;
    return send_body(r, NGX_HTTP_UNAUTHORIZED, "text/html; charset=UTF-8", &main->unauthorized);
}

ngx_int_t answer_forbidden(ngx_http_request_t *r)
{
    struct router_main *main = ngx_http_get_module_main_conf(r, ngx_http_dcos_module);
    return send_body(r, NGX_HTTP_FORBIDDEN, "text/html; charset=UTF-8", &main->forbidden);
}

/* "scheme://authority" in front of a location: where the path begins, or NULL when it is not a
 * place of the upstream's. */
static u_char *own_path(ngx_http_request_t *r, const struct router_request *ctx, ngx_str_t *value)
{
    if (value->len && value->data[0] == '/')
        return value->len > 1 && value->data[1] == '/' ? NULL : value->data;
    const char *scheme = ctx->upstream.tls ? "https://" : "http://";
    const size_t n = strlen(scheme);
    if (value->len < n || ngx_strncasecmp(value->data, (u_char *)(uintptr_t)scheme, n) != 0)
        return NULL;
    u_char *host = value->data + n, *end = value->data + value->len, *path = host;
    while (path < end && *path != '/' && *path != '?' && *path != '#')
        path++;
    const size_t host_n = (size_t)(path - host);
    const ngx_str_t *asked = r->headers_in.host ? &r->headers_in.host->value : NULL;
    if (asked && asked->len == host_n && ngx_strncasecmp(asked->data, host, host_n) == 0)
        return path;
    return ctx->upstream.name.len == host_n &&
                   ngx_strncmp(ctx->upstream.name.data, host, host_n) == 0
               ? path
               : NULL;
}

/* nginx itself remembers only some of them. */
static ngx_table_elt_t *find_location(ngx_http_request_t *r)
{
    static const char name[] = "Location";
    for (ngx_list_part_t *part = &r->headers_out.headers.part; part; part = part->next) {
        ngx_table_elt_t *h = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (h[i].hash && h[i].key.len == sizeof(name) - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *)(uintptr_t)name, h[i].key.len) == 0)
                return &h[i];
        }
    }
    return NULL;
}

static ngx_int_t rewrite_location(ngx_http_request_t *r, const struct router_request *ctx)
{
    ngx_table_elt_t *header = find_location(r);
    if (!header)
        return NGX_OK;
    ngx_str_t *value = &header->value;
    const u_char *end = value->data + value->len;
    u_char *path = own_path(r, ctx, value);
    if (!path)
        return NGX_OK;
    const size_t n = (size_t)(end - path);
    const ngx_str_t *prefix = &ctx->location;
    const bool has = n >= prefix->len && ngx_strncmp(path, prefix->data, prefix->len) == 0 &&
                     (n == prefix->len || path[prefix->len] == '/' || path[prefix->len] == '?');
    u_char *out = ngx_pnalloc(r->pool, prefix->len + n + 1);
    if (!out)
        return NGX_ERROR;
    u_char *p = out;
    if (!has) {
        p = ngx_cpymem(p, prefix->data, prefix->len);
        if (n == 0 || *path != '/')
            *p++ = '/';
    }
    p = ngx_cpymem(p, path, n);
    value->data = out;
    value->len = (size_t)(p - out);
    return NGX_OK;
}

static ngx_int_t header_filter(ngx_http_request_t *r)
{
    static ngx_table_elt_t server;
    if (r == r->main) {
        if (!r->headers_out.server) {
            server.hash = 1;
            ngx_str_set(&server.key, "Server");
            ngx_str_set(&server.value, "dcos");
            server.lowcase_key = (u_char *)(uintptr_t) "server";
            ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);
            if (!h)
                return NGX_ERROR;
            *h = server;
            r->headers_out.server = h;
        }
        const struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
        if (ctx && ctx->location.len && r->headers_out.status >= 201 &&
            r->headers_out.status < 400 && rewrite_location(r, ctx) != NGX_OK)
            return NGX_ERROR;
    }
    return next_header_filter(r);
}

ngx_int_t answer_init(ngx_conf_t *cf)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;
    return NGX_OK;
}
