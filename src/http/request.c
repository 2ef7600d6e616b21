/* Requests: made from a parsed head, their bodies collected or streamed to the handler. */

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "http/server-internal.h"

/* ---- making ---- */

static void tell_body(struct exchange *x);

static void on_deferred(struct deferred *d)
{
    struct exchange *x = container_of(d, struct exchange, deferred);
    tell_body(x);
    exchange_unref(x);
}

static void body_later(struct exchange *x)
{
    if (!deferred_pending(&x->deferred)) {
        x->refs++;
        loop_defer(x->loop, &x->deferred);
    }
}

/* Copies text to *at and moves it on. */
static struct str put(char **at, struct str text)
{
    struct str copy = {*at, text.n};
    if (text.n)
        memcpy(*at, text.p, text.n);
    (*at)[text.n] = '\0';
    *at += text.n + 1;
    return copy;
}

/* Path and query of origin-form, absolute-form or "*". 0 or a status. */
static int split_target(struct http_request *req)
{
    struct str target = req->target;
    if (memchr(target.p, '#', target.n))
        return 400;
    if (target.p[0] != '/') {
        struct http_url url;
        if (req->method == HTTP_OPTIONS && str_eq_c(target, "*")) {
            req->raw_path = target;
            req->query = (struct str){target.p + 1, 0};
            return 0;
        }
        if (http_url_parse(target, &url, NULL) < 0)
            return 400;
        target = url.target;
    }
    ptrdiff_t mark = str_index(target, '?');
    req->raw_path = target;
    req->query = (struct str){target.p + target.n, 0};
    if (mark >= 0) {
        req->raw_path.n = (size_t)mark;
        req->query = (struct str){target.p + mark + 1, target.n - (size_t)mark - 1};
    }
    return 0;
}

/* Decodes raw_path to *at. Dot segments are refused rather than resolved: nothing that is served
 * here needs them, and resolving them is where a front end and a back end come to differ. */
static int decode_path(struct http_request *req, char **at)
{
    char *out = *at;
    size_t n = 0;
    for (size_t i = 0; i < req->raw_path.n; i++) {
        char c = req->raw_path.p[i];
        if (c == '%') {
            unsigned char byte;
            if (i + 2 >= req->raw_path.n ||
                hex_decode((struct str){req->raw_path.p + i + 1, 2}, &byte, 1) != 1)
                return 400;
            c = (char)byte;
            i += 2;
        }
        if (c == '\0')
            return 400;
        out[n++] = c;
    }
    out[n] = '\0';
    *at += n + 1;
    req->path = (struct str){out, n};
    struct str rest = req->path, segment;
    while (str_split(&rest, '/', &segment))
        if (str_eq_c(segment, ".") || str_eq_c(segment, ".."))
            return 400;
    return 0;
}

static int check_expect(struct exchange *x)
{
    struct str expect = http_headers_get(&x->pub.headers, "Expect");
    if (!expect.p || x->minor == 0)
        return 0;
    if (!str_ieq_c(expect, "100-continue"))
        return 417;
    x->expect = x->has_body;
    return 0;
}

static bool accepts_gzip(const struct http_headers *headers)
{
    struct str accept = http_headers_get(headers, "Accept-Encoding"), entry;
    while (str_split(&accept, ',', &entry)) {
        struct str coding;
        if (str_split(&entry, ';', &coding) && str_ieq_c(str_trim(coding), "gzip")) {
            struct str q = str_trim(entry);
            return !entry.p || !str_has_prefix(q, STR("q=0")) ||
                   (q.n > 4 && strspn(q.p + 4, "0") < q.n - 4);
        }
    }
    return false;
}

int exchange_new(struct http_conn *c, const struct http_head *head, struct exchange **ret)
{
    const struct http_headers *headers = &head->headers;
    if (head->target.n == 0)
        return 400;
    if (head->target.n > HTTP_TARGET_MAX)
        return 414;
    /* One allocation for all that lives as long as the request. */
    size_t text = head->method.n + 1 + 2 * (head->target.n + 1);
    for (size_t i = 0; i < headers->n; i++)
        text += headers->items[i].name.n + headers->items[i].value.n + 2;
    size_t list = headers->n * sizeof(struct http_header);
    struct exchange *x = xmalloc(sizeof(*x) + list + text);
    memset(x, 0, sizeof(*x));
    struct http_header *items = (struct http_header *)(void *)(x + 1);
    char *at = (char *)items + list;
    x->refs = 1;
    x->conn = c;
    x->loop = c->server->loop;
    deferred_init(&x->deferred, on_deferred);
    x->minor = head->minor;
    x->has_length = head->has_length;
    x->length = head->length;
    x->has_body = head->has_body;
    struct http_request *req = &x->pub;
    req->method_name = put(&at, head->method);
    req->method = http_method_parse(req->method_name);
    req->target = put(&at, head->target);
    for (size_t i = 0; i < headers->n; i++) {
        items[i].name = put(&at, headers->items[i].name);
        items[i].value = put(&at, headers->items[i].value);
    }
    req->headers = (struct http_headers){items, headers->n};
    req->keep_alive = c->keep_alive;
    req->peer_is_unix = c->is_unix;
    x->accepts_gzip = accepts_gzip(&req->headers);
    int r = split_target(req);
    if (r == 0)
        r = decode_path(req, &at);
    if (r == 0)
        r = check_expect(x);
    if (r) {
        exchange_unref(x);
        return r;
    }
    stream_peer(c->stream, &req->peer);
    if (c->is_unix)
        (void)stream_peer_cred(c->stream, &req->peer_cred); /* zero when the peer is gone already */
    *ret = x;
    return 0;
}

/* ---- life ---- */

void http_request_ref(struct http_request *req)
{
    ((struct exchange *)req)->refs++;
}

void http_request_unref(struct http_request *req)
{
    exchange_unref((struct exchange *)req);
}

void exchange_unref(struct exchange *x)
{
    if (--x->refs)
        return;
    arena_done(&x->pub.arena);
    buf_done(&x->body);
    buf_done(&x->headers_out);
    free(x);
}

void exchange_close(struct exchange *x, int status)
{
    if (x->close_told)
        return;
    x->close_told = true;
    x->conn = NULL;
    x->refs++;
    if (!x->begun && x->pub.on_answer)
        x->pub.on_answer(&x->pub, 0);
    x->ended = x->begun = true;
    if (!x->body_told && x->mode == BODY_STREAM) {
        x->body_told = true;
        if (x->on_end)
            x->on_end(&x->pub, x->body_complete ? 0 : (status < 0 ? status : -ECANCELED));
    }
    if (x->pub.on_close)
        x->pub.on_close(&x->pub);
    exchange_unref(x);
}

/* ---- what handlers ask ---- */

struct loop *http_request_loop(struct http_request *req)
{
    return ((struct exchange *)req)->loop;
}

struct str http_request_header(const struct http_request *req, const char *name)
{
    return http_headers_get(&req->headers, name);
}

static void parse_params(struct http_request *req)
{
    struct exchange *x = (struct exchange *)req;
    if (x->params_parsed)
        return;
    x->params_parsed = true;
    if (req->query.n > 0)
        (void)http_params_parse_with(
            req->query, true, &req->arena, &req->params); /* too many: none */
}

struct str http_request_param(struct http_request *req, const char *name)
{
    parse_params(req);
    return http_params_get(&req->params, name);
}

size_t http_request_param_all(
    struct http_request *req, const char *name, struct str *values, size_t max)
{
    size_t n = 0;
    parse_params(req);
    for (size_t i = 0; i < req->params.n; i++) {
        if (!str_eq_c(req->params.items[i].name, name))
            continue;
        if (n < max)
            values[n] = req->params.items[i].value;
        n++;
    }
    return n;
}

/* ---- bodies ---- */

/* The peer holds its body back until told to send it. */
static void send_continue(struct exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!x->expect || x->begun)
        return;
    x->expect = false;
    conn_write(x->conn, text, sizeof(text) - 1);
}

static void start_body(struct exchange *x, enum body_mode mode)
{
    x->mode = mode;
    if (x->body_complete || !x->has_body) {
        if (x->body_complete)
            body_later(x);
        return; /* else the parser is about to see the end */
    }
    if (!x->conn)
        return;
    send_continue(x);
    if (mode == BODY_COLLECT)
        conn_body_timer(x->conn);
    conn_continue(x->conn);
}

void http_request_collect(
    struct http_request *req, size_t max, void (*fn)(struct http_request *req))
{
    struct exchange *x = (struct exchange *)req;
    if (x->mode != BODY_UNDECIDED || x->close_told)
        return;
    x->body_max = max ? max : HTTP_BODY_MAX;
    x->collected = fn;
    if (x->has_length && x->length > x->body_max) {
        x->mode = BODY_DISCARD;
        http_respond_text(req, 413, "The body must not be larger than %zu bytes.\n", x->body_max);
        return;
    }
    start_body(x, BODY_COLLECT);
}

void http_request_stream(struct http_request *req,
    void (*on_data)(struct http_request *req, const char *p, size_t n),
    void (*on_end)(struct http_request *req, int status))
{
    struct exchange *x = (struct exchange *)req;
    if (x->mode != BODY_UNDECIDED || x->close_told)
        return;
    x->on_data = on_data;
    x->on_end = on_end;
    start_body(x, BODY_STREAM);
}

void http_request_pause(struct http_request *req)
{
    ((struct exchange *)req)->paused = true;
}

void http_request_resume(struct http_request *req)
{
    struct exchange *x = (struct exchange *)req;
    if (!x->paused)
        return;
    x->paused = false;
    if (x->body_complete && !x->body_told)
        body_later(x);
    if (x->conn)
        conn_continue(x->conn);
}

bool exchange_body(struct exchange *x, const char *p, size_t n)
{
    struct http_conn *c = x->conn;
    switch (x->mode) {
    case BODY_COLLECT:
        if (x->begun)
            break; /* answered without waiting for it */
        if (x->body.n + n > x->body_max) {
            buf_done(&x->body);
            x->mode = BODY_DISCARD;
            http_respond_text(
                &x->pub, 413, "The body must not be larger than %zu bytes.\n", x->body_max);
            return true;
        }
        buf_append(&x->body, p, n);
        return true;
    case BODY_STREAM:
        x->refs++;
        if (x->on_data)
            x->on_data(&x->pub, p, n);
        bool go_on = !x->paused && x->conn;
        exchange_unref(x);
        return go_on;
    case BODY_UNDECIDED:
    case BODY_DISCARD:
        break;
    }
    x->discarded += n;
    if (x->discarded > DISCARD_MAX) {
        /* Not worth it: the answer goes out, then the connection goes. */
        c->keep_alive = false;
        conn_kick(c);
    }
    return true;
}

/* Undoes Content-Encoding. 0 or a status. */
static int decode_body(struct exchange *x)
{
    struct str coding = http_request_header(&x->pub, "Content-Encoding");
    if (!coding.p || coding.n == 0 || str_ieq_c(coding, "identity"))
        return 0;
    if (!str_ieq_c(coding, "gzip") && !str_ieq_c(coding, "x-gzip"))
        return 415;
    struct buf plain = BUF_INIT;
    int r = gzip_expand(x->body.p, x->body.n, x->body_max, &plain);
    if (r) {
        buf_done(&plain);
        return r;
    }
    buf_done(&x->body);
    x->body = plain;
    return 0;
}

static void tell_body(struct exchange *x)
{
    if (x->body_told || !x->body_complete || x->close_told)
        return;
    if (x->mode == BODY_STREAM && !x->paused) {
        x->body_told = true;
        if (x->on_end)
            x->on_end(&x->pub, 0);
    } else if (x->mode == BODY_COLLECT && !x->begun) {
        x->body_told = true;
        int r = decode_body(x);
        if (r) {
            http_respond_text(&x->pub, r, "The body cannot be decoded.\n");
            return;
        }
        x->pub.body = (struct str){buf_cstr(&x->body), x->body.n};
        x->collected(&x->pub);
    }
}

void exchange_body_complete(struct exchange *x)
{
    x->body_complete = true;
    x->refs++;
    tell_body(x);
    if (x->conn && x->ended)
        conn_kick(x->conn);
    exchange_unref(x);
}
