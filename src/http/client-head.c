#include <string.h>

#include "base/alloc.h"
#include "http/client-internal.h"

static bool has_header(const struct http_call_options *o, const char *name)
{
    for (size_t i = 0; i < o->n_headers; i++)
        if (str_ieq_c(o->headers[i].name, name))
            return true;
    return false;
}

static bool clean(struct str text, bool blanks)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < ' ' && c != '\t') || c == 127 || (!blanks && (c == ' ' || c == '\t')))
            return false;
    }
    return true;
}

static void put_host(const struct http_call_options *o, struct buf *out)
{
    if (o->host_header)
        buf_puts(out, o->host_header);
    else if (o->unix_path)
        buf_puts(out, "localhost");
    else if (strchr(o->host, ':'))
        buf_printf(out, "[%s]", o->host);
    else
        buf_puts(out, o->host);
    if (!o->host_header && !o->unix_path && o->port != (o->tls ? 443 : 80))
        buf_printf(out, ":%u", o->port);
}

const char *client_put_request(const struct http_call_options *o, struct buf *out)
{
    const char *method = o->method ? o->method : "GET";
    const char *target = o->target ? o->target : "/";
    if (!o->host && !o->unix_path)
        return "no host";
    if (!*method || !clean(str_of(method), false))
        return "bad method";
    if ((target[0] != '/' && !streq(target, "*")) || !clean(str_of(target), false))
        return "bad target";
    if (!clean(str_of(o->host_header ? o->host_header : o->host), false))
        return "bad host";
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: ", method, target);
    put_host(o, out);
    buf_puts(out, "\r\n");
    for (size_t i = 0; i < o->n_headers; i++) {
        struct str name = o->headers[i].name, value = o->headers[i].value;
        if (name.n == 0 || !clean(name, false) || str_index(name, ':') >= 0 || !clean(value, true))
            return "bad header";
        buf_append(out, name.p, name.n);
        buf_puts(out, ": ");
        buf_append(out, value.p, value.n);
        buf_puts(out, "\r\n");
    }
    if (!has_header(o, "User-Agent"))
        buf_puts(out, "User-Agent: dcos/" DCOS_VERSION "\r\n");
    if (o->fresh && !has_header(o, "Connection"))
        buf_puts(out, "Connection: close\r\n");
    if (o->stream_body)
        buf_puts(out, "Transfer-Encoding: chunked\r\n");
    else if (o->body_n > 0 || streq(method, "POST") || streq(method, "PUT") ||
             streq(method, "PATCH"))
        buf_printf(out, "Content-Length: %zu\r\n", o->body_n);
    buf_puts(out, "\r\n");
    if (!o->stream_body && o->body_n > 0)
        buf_append(out, o->body, o->body_n);
    return NULL;
}

char *client_key(const struct http_call_options *o)
{
    if (o->unix_path)
        return xasprintf("unix:%s", o->unix_path);
    return xasprintf("%s:%s:%u", o->tls ? "tls" : "tcp", o->host ? o->host : "", o->port);
}
