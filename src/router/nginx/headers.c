#include "router/head.h"
#include "router/nginx/module.h"

/*
 * What an upstream is told of the request, made in one pass. As a dozen `proxy_set_header` lines
 * the same cost more than finding out who may go where: nginx's script engine walks each of them
 * twice per request.
 *
 * nginx writes "<name>: <value>" and takes the value as it is. The value of $dcos_headers is that
 * of X-Real-IP, followed by whole lines; the daemon's configuration says `proxy_set_header <name>
 * ""` for each name that may be in them, which costs nothing per request and keeps the client's
 * own from being passed on. No value has a line end in it: nginx refuses such requests.
 */

enum { WITH_TOKEN = 1u << 0, WITH_UPGRADE = 1u << 1 };

#define LINE(p, literal) ngx_cpymem(p, literal, sizeof(literal) - 1)

static u_char *put_text(u_char *p, const ngx_str_t *text)
{
    return ngx_cpymem(p, text->data, text->len);
}

static ngx_int_t is_text(ngx_http_variable_value_t *v, const ngx_str_t *text)
{
    v->data = text->data;
    v->len = (unsigned)text->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

static size_t cookies_size(ngx_http_request_t *r)
{
    size_t size = 0;
    HEADER_FOREACH(r, cookie, cookies, h)
    size += head_scrub_size(h->value.len);
    return size;
}

static size_t put_cookies(ngx_http_request_t *r, u_char *out)
{
    size_t n = 0;
    HEADER_FOREACH(r, cookie, cookies, h)
    n = head_scrub((struct str){(const char *)h->value.data, h->value.len}, (char *)out, n);
    return n;
}

/* A token from the cookie goes on as a header. */
static const ngx_str_t *authorization(
    ngx_http_request_t *r, const struct router_request *ctx, bool *ret_bare)
{
    *ret_bare = !r->headers_in.authorization;
    if (!*ret_bare)
        return &r->headers_in.authorization->value;
    return ctx && ctx->from_cookie ? &ctx->token : NULL;
}

static ngx_int_t variable_headers(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const char all[] =
        "\r\nHost: \r\nX-Forwarded-For: \r\nX-Forwarded-Proto: https\r\nCookie: "
        "\r\nAuthorization: token=\r\nUpgrade: \r\nConnection: upgrade";
    const ngx_str_t *address = &r->connection->addr_text;
    const ngx_str_t *host = r->headers_in.host ? &r->headers_in.host->value : NULL;
    const ngx_str_t *upgrade = data & WITH_UPGRADE && r->headers_in.upgrade
                                   ? &r->headers_in.upgrade->value
                                   : NULL;
    bool bare = false;
    const ngx_str_t *token = data & WITH_TOKEN
                                 ? authorization(
                                       r, ngx_http_get_module_ctx(r, ngx_http_dcos_module), &bare)
                                 : NULL;
    size_t size = sizeof(all) + 2 * address->len + cookies_size(r) + (host ? host->len : 0) +
                  (token ? token->len : 0) + (upgrade ? upgrade->len : 0);
    HEADER_FOREACH(r, x_forwarded_for, x_forwarded_for, h)
    size += h->value.len + 2;
    u_char *out = ngx_pnalloc(r->pool, size);
    if (!out)
        return NGX_ERROR;
    u_char *p = put_text(out, address);
    if (host && host->len)
        p = put_text(LINE(p, "\r\nHost: "), host);
    p = LINE(p, "\r\nX-Forwarded-For: ");
    HEADER_FOREACH(r, x_forwarded_for, x_forwarded_for, h)
    p = LINE(put_text(p, &h->value), ", ");
    p = LINE(put_text(p, address), "\r\nX-Forwarded-Proto: http");
    if (r->connection->ssl)
        *p++ = 's';
    u_char *cookies = LINE(p, "\r\nCookie: ");
    const size_t n = put_cookies(r, cookies);
    p = n ? cookies + n : p;
    if (token && token->len) {
        p = LINE(p, "\r\nAuthorization: ");
        p = put_text(bare ? LINE(p, "token=") : p, token);
    }
    if (upgrade && upgrade->len)
        p = put_text(LINE(p, "\r\nUpgrade: "), upgrade);
    if (data & WITH_UPGRADE)
        p = LINE(p, "\r\nConnection: upgrade");
    const ngx_str_t text = {(size_t)(p - out), out};
    return is_text(v, &text);
}

static ngx_int_t variable_uid(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const ngx_str_t nobody = ngx_string("-");
    const struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
    return is_text(v, ctx && ctx->uid.len ? &ctx->uid : &nobody);
}

static ngx_int_t variable_cookie(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const size_t size = cookies_size(r);
    ngx_str_t text = {0, size ? ngx_pnalloc(r->pool, size) : NULL};
    if (size && !text.data)
        return NGX_ERROR;
    text.len = size ? put_cookies(r, text.data) : 0;
    return is_text(v, &text);
}

static ngx_int_t variable_forwarded(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const ngx_str_t nothing = ngx_string("");
    const struct router_request *ctx = ngx_http_get_module_ctx(r, ngx_http_dcos_module);
    return is_text(v, ctx ? &ctx->forwarded : &nothing);
}

static ngx_int_t variable_authorization(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t text = ngx_string("");
    bool bare;
    const ngx_str_t *token = authorization(
        r, ngx_http_get_module_ctx(r, ngx_http_dcos_module), &bare);
    if (!token)
        return is_text(v, &text);
    if (!bare)
        return is_text(v, token);
    text.data = ngx_pnalloc(r->pool, token->len + sizeof("token="));
    if (!text.data)
        return NGX_ERROR;
    text.len = (size_t)(put_text(LINE(text.data, "token="), token) - text.data);
    return is_text(v, &text);
}

static const struct {
    ngx_str_t name;
    ngx_http_get_variable_pt get;
    uintptr_t data;
} variables[] = {
    {ngx_string("dcos_headers"), variable_headers, WITH_TOKEN},
    {ngx_string("dcos_headers_no_token"), variable_headers, 0},
    {ngx_string("dcos_headers_upgrade"), variable_headers, WITH_TOKEN | WITH_UPGRADE},
    {ngx_string("dcos_uid"), variable_uid, 0},
    {ngx_string("dcos_cookie"), variable_cookie, 0},
    {ngx_string("dcos_authorization"), variable_authorization, 0},
    {ngx_string("dcos_forwarded"), variable_forwarded, 0},
};

ngx_int_t headers_preconfiguration(ngx_conf_t *cf)
{
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        ngx_str_t name = variables[i].name;
        ngx_http_variable_t *v = ngx_http_add_variable(cf, &name, 0);
        if (!v)
            return NGX_ERROR;
        v->get_handler = variables[i].get;
        v->data = variables[i].data;
    }
    return NGX_OK;
}
