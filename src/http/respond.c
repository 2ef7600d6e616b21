/* Answers. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "http/server-internal.h"

static bool header_value_ok(const char *value)
{
    return !strpbrk(value, "\r\n");
}

static bool header_name_ok(const char *name)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return *name && name[strspn(name, token)] == '\0';
}

void http_set_header(struct http_request *req, const char *name, const char *value)
{
    struct exchange *x = (struct exchange *)req;
    if (x->begun || !header_name_ok(name) || !header_value_ok(value))
        return;
    if (str_ieq_c(str_of(name), "Content-Encoding"))
        x->content_encoding_set = true;
    buf_printf(&x->headers_out, "%s: %s\r\n", name, value);
}

void http_set_header_f(struct http_request *req, const char *name, const char *fmt, ...)
{
    _cleanup_buf_ struct buf value = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&value, fmt, ap);
    va_end(ap);
    http_set_header(req, name, buf_cstr(&value));
}

bool http_responded(const struct http_request *req)
{
    const struct exchange *x = (const struct exchange *)req;
    return x->begun || !x->conn || x->conn->broken;
}

bool http_request_gone(const struct http_request *req)
{
    const struct exchange *x = (const struct exchange *)req;
    return !x->conn || x->conn->broken;
}

void http_respond_limit(struct http_request *req, size_t queued_max)
{
    ((struct exchange *)req)->stream_buffer_max = queued_max;
}

static bool status_without_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Decides what becomes of the rest of the request's body when it was not asked for. */
static void settle_body(struct exchange *x)
{
    struct http_conn *c = x->conn;
    if (x->body_complete || !x->has_body || x->mode == BODY_STREAM)
        return;
    /* A body that is held back by Expect may come or not: there is no telling where the next
     * request begins. */
    if (x->expect || (x->has_length && x->length > DISCARD_MAX))
        c->keep_alive = false;
    else
        x->mode = BODY_DISCARD;
}

/* The head, without the empty line. */
static void put_head(struct exchange *x, struct buf *out, int status, const char *content_type)
{
    struct http_conn *c = x->conn;
    if (x->pub.on_answer)
        x->pub.on_answer(&x->pub, status);
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_status_text(status),
        server_date(c->server));
    if (c->server->options.server_name)
        buf_printf(out, "Server: %s\r\n", c->server->options.server_name);
    if (content_type && header_value_ok(content_type))
        buf_printf(out, "Content-Type: %s\r\n", content_type);
    if (x->headers_out.n)
        buf_append(out, x->headers_out.p, x->headers_out.n);
    buf_done(&x->headers_out);
    if (!c->keep_alive)
        buf_puts(out, "Connection: close\r\n");
    else if (x->minor == 0)
        buf_puts(out, "Connection: keep-alive\r\n");
}

static void ended(struct exchange *x)
{
    struct http_conn *c = x->conn;
    x->ended = true;
    settle_body(x);
    if (!x->body_complete && x->mode == BODY_DISCARD) {
        conn_body_timer(c);
        conn_continue(c);
    } else if (!x->body_complete && x->has_body) {
        c->keep_alive = false;
    }
    conn_kick(c);
}

/* `shared` is the whole body, or NULL when it has to be copied. */
static void respond(struct http_request *req, int status, const char *content_type,
    const void *body, size_t n, struct blob *shared)
{
    struct exchange *x = (struct exchange *)req;
    struct http_conn *c = x->conn;
    _cleanup_buf_ struct buf head = BUF_INIT;
    _cleanup_buf_ struct buf packed = BUF_INIT;
    if (x->begun || !c)
        return;
    settle_body(x);
    if (n >= GZIP_MIN && n <= GZIP_MAX && !x->content_encoding_set) {
        http_set_header(req, "Vary", "Accept-Encoding");
        if (x->accepts_gzip && gzip_compress(body, n, &packed)) {
            http_set_header(req, "Content-Encoding", "gzip");
            body = packed.p;
            n = packed.n;
            shared = NULL;
        }
    }
    x->begun = true;
    put_head(x, &head, status, content_type);
    if (!status_without_body(status))
        buf_printf(&head, "Content-Length: %zu\r\n", n);
    buf_puts(&head, "\r\n");
    conn_write(c, head.p, head.n);
    if (n > 0 && req->method != HTTP_HEAD && !status_without_body(status)) {
        if (shared)
            conn_write_blob(c, shared);
        else
            conn_write(c, body, n);
    }
    ended(x);
}

void http_respond(
    struct http_request *req, int status, const char *content_type, const void *body, size_t n)
{
    respond(req, status, content_type, body, n, NULL);
}

void http_respond_blob(
    struct http_request *req, int status, const char *content_type, struct blob *body)
{
    respond(req, status, content_type, body->p, body->n, body);
}

void http_respond_text(struct http_request *req, int status, const char *fmt, ...)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    http_respond(req, status, "text/plain; charset=utf-8", buf_cstr(&text), text.n);
}

void http_respond_json(struct http_request *req, int status, const struct buf *body)
{
    http_respond(req, status, "application/json", buf_cstr(body), body->n);
}

enum { CALLBACK_MAX = 256 };

bool http_callback_valid(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '$' || c == '.'))
            return false;
    }
    return name.n > 0 && name.n <= CALLBACK_MAX;
}

void http_respond_jsonp(struct http_request *req, const struct buf *body)
{
    struct str callback = http_request_param(req, "jsonp");
    if (!callback.p) {
        http_respond_json(req, 200, body);
        return;
    }
    if (!http_callback_valid(callback)) {
        http_respond_text(req, 400, "The jsonp callback is not a name");
        return;
    }
    _cleanup_buf_ struct buf script = BUF_INIT;
    buf_append(&script, callback.p, callback.n);
    buf_putc(&script, '(');
    buf_append(&script, body->p, body->n);
    buf_putc(&script, ')');
    http_respond(req, 200, "text/javascript", script.p, script.n);
}

/* ---- streaming ---- */

void http_respond_begin(struct http_request *req, int status, const char *content_type)
{
    struct exchange *x = (struct exchange *)req;
    struct http_conn *c = x->conn;
    _cleanup_buf_ struct buf head = BUF_INIT;
    if (x->begun || !c)
        return;
    x->begun = x->streaming = true;
    x->no_body_out = req->method == HTTP_HEAD || status_without_body(status);
    x->chunked_out = x->minor > 0 && !status_without_body(status);
    if (x->minor == 0 && !x->no_body_out)
        c->keep_alive = false; /* the end of the connection ends the body */
    put_head(x, &head, status, content_type);
    if (x->chunked_out)
        buf_puts(&head, "Transfer-Encoding: chunked\r\n");
    buf_puts(&head, "\r\n");
    conn_write(c, head.p, head.n);
    if (c->eof)
        conn_break(c); /* its peer ended: nobody would learn that a stream's reader is gone */
}

static bool writable(struct exchange *x)
{
    struct http_conn *c = x->conn;
    if (!c || !c->stream || !x->streaming || x->ended || x->no_body_out)
        return false;
    size_t max = x->stream_buffer_max ? x->stream_buffer_max : c->server->options.stream_buffer_max;
    if (stream_write_queued(c->stream) > max) {
        conn_break(c); /* a reader too slow to keep */
        return false;
    }
    return true;
}

static void chunk_size(struct exchange *x, size_t n)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%zx\r\n", n);
    if (x->chunked_out)
        conn_write(x->conn, text, (size_t)len);
}

void http_respond_write(struct http_request *req, const void *p, size_t n)
{
    struct exchange *x = (struct exchange *)req;
    if (n == 0 || !writable(x))
        return;
    chunk_size(x, n);
    conn_write(x->conn, p, n);
    if (x->chunked_out)
        conn_write(x->conn, "\r\n", 2);
}

void http_respond_write_blob(struct http_request *req, struct blob *b)
{
    struct exchange *x = (struct exchange *)req;
    if (b->n == 0 || !writable(x))
        return;
    chunk_size(x, b->n);
    conn_write_blob(x->conn, b);
    if (x->chunked_out)
        conn_write(x->conn, "\r\n", 2);
}

void http_respond_end(struct http_request *req)
{
    struct exchange *x = (struct exchange *)req;
    if (!x->conn || !x->streaming || x->ended)
        return;
    if (x->chunked_out && !x->no_body_out)
        conn_write(x->conn, "0\r\n\r\n", 5);
    ended(x);
}

void http_respond_abort(struct http_request *req)
{
    struct exchange *x = (struct exchange *)req;
    if (x->conn)
        conn_break(x->conn);
}

size_t http_respond_queued(const struct http_request *req)
{
    const struct exchange *x = (const struct exchange *)req;
    return x->conn && x->conn->stream ? stream_write_queued(x->conn->stream) : 0;
}

void http_respond_on_drain(struct http_request *req, void (*fn)(struct http_request *req))
{
    ((struct exchange *)req)->on_drain = fn;
}

/* ---- refusals before there is a request ---- */

void conn_refuse(struct http_conn *c, int status, const char *why)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (!c->stream || c->broken)
        return;
    const char *text = http_status_text(status);
    buf_printf(&out,
        "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Connection: close\r\nContent-Length: %zu\r\n\r\n%s\n",
        status, text, server_date(c->server), strlen(why) + 1, why);
    conn_write(c, out.p, out.n);
    c->lingering = c->broken = true;
    conn_kick(c);
}
