#include "router/head.h"
#include "router/nginx/module.h"

/*
 * Which path an upstream gets.
 *
 * nginx decodes and normalises the path to choose a location; that reading decided who may. If the
 * upstream got the raw bytes it could read them differently ("/service/a/%2e%2e/b") and serve
 * something that was not asked for by the rules. So the raw path goes on only when it is plain: no
 * dot segments, no empty segments, no encoded slash, backslash, dot or NUL, no fragment. What is
 * plain decodes to the same segments for everybody, and keeps its own escapes (a space, "?", "#").
 * Everything else is sent as nginx's reading, escaped again.
 */

ngx_int_t path_map(ngx_http_request_t *r, const ngx_str_t *prefix, const ngx_str_t *replacement)
{
    ngx_str_t raw = r->unparsed_uri;
    u_char *mark = ngx_strlchr(raw.data, raw.data + raw.len, '?');
    size_t raw_n = mark ? (size_t)(mark - raw.data) : raw.len;
    const bool verbatim = head_path_is_plain((struct str){(const char *)raw.data, raw_n}) &&
                          raw_n >= prefix->len &&
                          ngx_strncmp(raw.data, prefix->data, prefix->len) == 0;
    ngx_str_t rest;
    uintptr_t escapes = 0;
    if (verbatim) {
        rest.data = raw.data + prefix->len;
        rest.len = raw_n - prefix->len;
    } else {
        size_t cut = ngx_min(prefix->len, r->uri.len);
        rest.data = r->uri.data + cut;
        rest.len = r->uri.len - cut;
        escapes = ngx_escape_uri(NULL, rest.data, rest.len, NGX_ESCAPE_URI);
    }
    const size_t args_n = mark ? raw.len - raw_n : 0;
    u_char *out = ngx_pnalloc(r->pool, replacement->len + rest.len + 2 * escapes + args_n + 1);
    if (!out)
        return NGX_ERROR;
    u_char *p = ngx_cpymem(out, replacement->data, replacement->len);
    /* A path begins with one slash, whatever the pieces were. */
    const bool slash = (rest.len > 0 && rest.data[0] == '/') ||
                       (p > out && (p[-1] == '/' || rest.len == 0));
    if (!slash)
        *p++ = '/';
    if (verbatim)
        p = ngx_cpymem(p, rest.data, rest.len);
    else
        p = (u_char *)ngx_escape_uri(p, rest.data, rest.len, NGX_ESCAPE_URI);
    if (args_n)
        p = ngx_cpymem(p, mark, args_n);
    r->unparsed_uri.data = out;
    r->unparsed_uri.len = (size_t)(p - out);
    r->valid_unparsed_uri = 1;
    return NGX_OK;
}
