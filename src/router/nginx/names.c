#include "base/parse.h"
#include "json/json.h"
#include "router/nginx/module.h"

#include <arpa/inet.h>

/*
 * The last step of finding a service: a framework with an empty web address is looked up by name
 * at mesos-dns' HTTP API, each time, by a subrequest to a location of the daemon's making (which
 * sends none of the client's headers, waits two seconds for a connection and three for an answer).
 */

static ngx_int_t answered(ngx_http_request_t *sub, void *data, ngx_int_t rc)
{
    struct router_request *ctx = data;
    _cleanup_json_ json_t *answer = NULL;
    struct error err = ERROR_INIT;
    ctx->names = NAMES_FAILED;
    if (rc != NGX_OK || sub->headers_out.status != NGX_HTTP_OK || !sub->out || !sub->out->buf)
        return rc;
    const ngx_buf_t *b = sub->out->buf;
    if (json_parse((const char *)b->pos, (size_t)(b->last - b->pos), &answer, &err) < 0 ||
        !json_is_array(answer))
        return rc;
    const json_t *first = json_array_get(answer, 0);
    const char *ip = json_str_at(first, "ip", NULL), *port = json_str_at(first, "port", NULL);
    if (!ip)
        return rc;
    ctx->names = NAMES_NOTHING;
    if (!*ip)
        return rc;
    struct target *t = &ctx->named;
    memset(t, 0, sizeof(*t));
    if ((port ? parse_port(str_of(port), &t->port) : -1) < 0 || !t->port)
        ctx->names = NAMES_FAILED;
    else if (inet_pton(AF_INET, ip, t->address) == 1)
        t->family = 4;
    else if (inet_pton(AF_INET6, ip, t->address) == 1)
        t->family = 6;
    else
        ctx->names = NAMES_FAILED;
    if (t->family)
        ctx->names = NAMES_FOUND;
    return rc;
}

ngx_int_t names_ask(ngx_http_request_t *r, struct router_request *ctx, const char *name, size_t n)
{
    static const char head[] = "/_dcos_names/v1/services/_", tail[] = "._tcp.marathon.mesos";
    ngx_http_post_subrequest_t *after = ngx_palloc(r->pool, sizeof(*after));
    ngx_http_request_t *sub;
    ngx_str_t uri;
    uri.data = ngx_pnalloc(r->pool, sizeof(head) + n + sizeof(tail));
    if (!after || !uri.data)
        return NGX_ERROR;
    u_char *p = ngx_cpymem(uri.data, head, sizeof(head) - 1);
    p = ngx_cpymem(p, name, n);
    p = ngx_cpymem(p, tail, sizeof(tail) - 1);
    uri.len = (size_t)(p - uri.data);
    after->handler = answered;
    after->data = ctx;
    ctx->names = NAMES_ASKED;
    if (ngx_http_subrequest(r, &uri, NULL, &sub, after,
            NGX_HTTP_SUBREQUEST_WAITED | NGX_HTTP_SUBREQUEST_IN_MEMORY) != NGX_OK)
        return NGX_ERROR;
    /* The client's body is the service's. */
    sub->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    return sub->request_body ? NGX_AGAIN : NGX_ERROR;
}
