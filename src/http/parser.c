#include "http/parser.h"

#include <errno.h>
#include <string.h>

/* llhttp has method names of its own. */
#define HTTP_DELETE LLHTTP_METHOD_DELETE
#define HTTP_GET LLHTTP_METHOD_GET
#define HTTP_HEAD LLHTTP_METHOD_HEAD
#define HTTP_POST LLHTTP_METHOD_POST
#define HTTP_PUT LLHTTP_METHOD_PUT
#define HTTP_OPTIONS LLHTTP_METHOD_OPTIONS
#define HTTP_PATCH LLHTTP_METHOD_PATCH
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_OPTIONS
#undef HTTP_PATCH

#include "base/alloc.h"

enum {
    START_LINE_EXTRA = 64,       /* method, version and blanks beside the target */
    CHUNK_EXTENSION_MAX = 1024,  /* bytes per chunk; nobody uses them */
    TRAILERS_MAX = HTTP_HEAD_MAX /* bytes */
};

/* Where the look-out is in a head. */
enum scan { SCAN_START, SCAN_LINE, SCAN_CR, SCAN_LINE_START, SCAN_LAST_CR };

/* The head that is being parsed; on the stack of the feed. */
struct head_parse {
    struct http_head head;
    struct http_header items[HTTP_HEADERS_MAX];
    size_t n;
    bool too_many;
};

struct http_parser {
    llhttp_t ll;
    const struct http_parser_events *events;
    void *userdata;
    struct head_parse *parse; /* during a head */
    const char *error;
    size_t scanned;    /* bytes of an incomplete head looked at */
    size_t first_line; /* length of the start line so far */
    size_t trailers, extension;
    int refused; /* status that on_head or a check of ours gave */
    enum scan scan;
    bool responses, in_body, done, failed;
    bool paused;      /* on_head asked for it */
    bool body_paused; /* llhttp stopped in or after a piece of the body */
};

static int refuse(struct http_parser *p, int status, const char *why)
{
    p->refused = status;
    p->error = why;
    llhttp_set_error_reason(&p->ll, why);
    return HPE_USER;
}

/* ---- llhttp's callbacks ---- */

static int on_target(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = ll->data;
    struct str *target = &p->parse->head.target;
    *target = (struct str){target->p ? target->p : at, target->n + n};
    return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = ll->data;
    if (!p->parse) { /* trailers are read and dropped */
        p->trailers += n;
        return p->trailers > TRAILERS_MAX ? refuse(p, 431, "trailers are too large") : 0;
    }
    struct head_parse *h = p->parse;
    if (h->n > 0 && h->items[h->n - 1].value.p == NULL && h->items[h->n - 1].name.p &&
        h->items[h->n - 1].name.p + h->items[h->n - 1].name.n == at) {
        h->items[h->n - 1].name.n += n;
        return 0;
    }
    if (h->n == HTTP_HEADERS_MAX) {
        h->too_many = true;
        return refuse(p, 431, "too many header fields");
    }
    h->items[h->n++] = (struct http_header){{at, n}, {NULL, 0}};
    return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = ll->data;
    if (!p->parse) {
        p->trailers += n;
        return p->trailers > TRAILERS_MAX ? refuse(p, 431, "trailers are too large") : 0;
    }
    struct str *value = &p->parse->items[p->parse->n - 1].value;
    *value = (struct str){value->p ? value->p : at, value->n + n};
    return 0;
}

static int on_value_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    if (p->parse && p->parse->n > 0 && !p->parse->items[p->parse->n - 1].value.p)
        p->parse->items[p->parse->n - 1].value = STR("");
    return 0;
}

static int on_extension(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = ll->data;
    (void)at;
    p->extension += n;
    return p->extension > CHUNK_EXTENSION_MAX ? refuse(p, 400, "chunk extension is too large") : 0;
}

static int on_chunk(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    p->extension = 0;
    return 0;
}

static size_t count(const struct head_parse *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        n += str_ieq_c(h->items[i].name, name);
    return n;
}

/* What llhttp leaves open. */
static int check_head(struct http_parser *p, struct head_parse *h)
{
    struct str coding = http_headers_get(&h->head.headers, "Transfer-Encoding");
    size_t lengths = count(h, "Content-Length");
    if (p->ll.http_major != 1)
        return refuse(p, 505, "only HTTP/1.x is spoken");
    if (lengths > 1)
        return refuse(p, 400, "more than one Content-Length");
    if (coding.p) {
        if (lengths || count(h, "Transfer-Encoding") > 1)
            return refuse(p, 400, "ambiguous length of the body");
        if (p->ll.http_minor == 0)
            return refuse(p, 400, "HTTP/1.0 has no Transfer-Encoding");
        if (!str_ieq_c(coding, "chunked"))
            return refuse(p, 501, "unknown Transfer-Encoding");
    }
    if (p->responses)
        return 0;
    size_t hosts = count(h, "Host");
    if (hosts > 1 || (hosts == 0 && p->ll.http_minor > 0))
        return refuse(p, 400, "exactly one Host is needed");
    return 0;
}

static int on_headers_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    struct head_parse *h = p->parse;
    for (size_t i = 0; i < h->n; i++)
        h->items[i].value = str_trim(h->items[i].value);
    h->head.headers = (struct http_headers){h->items, h->n};
    int r = check_head(p, h);
    if (r)
        return r;
    ll->upgrade = 0; /* offers to change the protocol are declined */
    h->head.status = ll->status_code;
    h->head.minor = ll->http_minor;
    h->head.keep_alive = llhttp_should_keep_alive(ll) != 0;
    h->head.chunked = (ll->flags & F_CHUNKED) != 0;
    h->head.has_length = (ll->flags & F_CONTENT_LENGTH) != 0;
    h->head.length = h->head.has_length ? ll->content_length : 0;
    h->head.has_body = h->head.chunked || h->head.length > 0;
    p->in_body = true;
    r = p->events->on_head(p->userdata, &h->head);
    if (p->responses)
        return r == HTTP_PARSE_NO_BODY ? 1 : 0;
    return r ? refuse(p, r, "refused") : 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct http_parser *p = ll->data;
    if (n == 0)
        return 0;
    return p->events->on_body(p->userdata, at, n) ? 0 : HPE_PAUSED;
}

static int on_message_complete(llhttp_t *ll)
{
    struct http_parser *p = ll->data;
    p->done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- ours ---- */

static void begin_message(struct http_parser *p)
{
    llhttp_init(&p->ll, p->responses ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p->ll.data = p;
    p->scan = SCAN_START;
    p->scanned = p->first_line = p->trailers = p->extension = 0;
    p->in_body = p->done = p->paused = p->body_paused = false;
}

struct http_parser *http_parser_new(
    bool responses, const struct http_parser_events *events, void *userdata)
{
    struct http_parser *p = xnew(struct http_parser);
    p->events = events;
    p->userdata = userdata;
    p->responses = responses;
    begin_message(p);
    return p;
}

void http_parser_free(struct http_parser *p)
{
    free(p);
}

bool http_parser_between(const struct http_parser *p)
{
    return !p->in_body && p->scanned == 0;
}

bool http_parser_paused(const struct http_parser *p)
{
    return p->body_paused;
}

void http_parser_pause(struct http_parser *p)
{
    p->paused = true;
}

const char *http_parser_error(const struct http_parser *p)
{
    return p->error ? p->error : "bad message";
}

static int fail(struct http_parser *p, int status, const char *why)
{
    p->failed = true;
    p->error = why;
    return -status;
}

/* Looks at data[*at..n) until the head ends. 1 = it does, before *at; 0 = more bytes are needed. */
static int scan_head(struct http_parser *p, const char *data, size_t n, size_t *at)
{
    size_t i = *at;
    for (; i < n; i++) {
        unsigned char c = (unsigned char)data[i];
        if (i >= HTTP_HEAD_MAX)
            return fail(p, 431, "head is too large");
        switch (p->scan) {
        case SCAN_CR:
        case SCAN_LAST_CR:
            if (c != '\n')
                return fail(p, 400, "CR without LF");
            if (p->scan == SCAN_LAST_CR && p->first_line) {
                *at = i + 1;
                return 1;
            }
            /* Empty lines in front of a message are skipped. */
            p->scan = p->first_line ? SCAN_LINE_START : SCAN_START;
            continue;
        case SCAN_START:
            if (c == '\r') {
                p->scan = SCAN_CR;
                continue;
            }
            p->scan = SCAN_LINE;
            break;
        case SCAN_LINE_START:
            if (c == '\r') {
                p->scan = SCAN_LAST_CR;
                continue;
            }
            if (c == ' ' || c == '\t')
                return fail(p, 400, "folded header line");
            if (c == ':')
                return fail(p, 400, "header without a name");
            p->scan = SCAN_LINE;
            break;
        case SCAN_LINE:
            if (c == '\r') {
                if (!p->first_line)
                    p->first_line = i;
                p->scan = SCAN_CR;
                continue;
            }
            break;
        }
        if (c == '\n')
            return fail(p, 400, "LF without CR");
        if ((c < ' ' && c != '\t') || c == 127)
            return fail(p, 400, "control character in the head");
        if (!p->first_line && i >= HTTP_TARGET_MAX + START_LINE_EXTRA)
            return fail(p, p->responses ? 431 : 414, "request target is too long");
    }
    *at = i;
    return 0;
}

/* Outcome of llhttp_execute on [data, data + n); *ret_used is what it took. */
static int executed(
    struct http_parser *p, llhttp_errno_t e, const char *data, size_t n, size_t *ret_used)
{
    *ret_used = n;
    if (e == HPE_OK)
        return HTTP_PARSE_MORE;
    const char *pos = llhttp_get_error_pos(&p->ll);
    if (pos && pos >= data && pos <= data + n)
        *ret_used = (size_t)(pos - data);
    if (e == HPE_PAUSED) {
        llhttp_resume(&p->ll);
        p->body_paused = !p->done;
        return p->done ? HTTP_PARSE_DONE : HTTP_PARSE_PAUSED;
    }
    if (p->refused)
        return fail(p, p->refused, p->error);
    const char *reason = llhttp_get_error_reason(&p->ll);
    return fail(p, 400, reason && *reason ? reason : llhttp_errno_name(e));
}

/* Single blanks between three parts, and nothing else: llhttp is more generous. */
static bool split_request_line(struct http_parser *p, const char *data, struct str *ret_method)
{
    struct str line = {data, p->first_line}, method, target, version;
    while (line.n > 0 && (*line.p == '\r' || *line.p == '\n'))
        line = (struct str){line.p + 1, line.n - 1};
    if (memchr(line.p, '\t', line.n) || !str_split(&line, ' ', &method) ||
        !str_split(&line, ' ', &target) || !str_split(&line, ' ', &version) || line.p)
        return false;
    *ret_method = method;
    return method.n > 0 && target.n > 0 && version.n > 0;
}

static int feed_head(struct http_parser *p, const char *data, size_t n, size_t *ret_used)
{
    struct head_parse h;
    size_t end = p->scanned;
    *ret_used = 0;
    int r = scan_head(p, data, n, &end);
    p->scanned = end;
    if (r <= 0)
        return r;
    /* The array of headers is not worth clearing. */
    h.n = 0;
    h.too_many = false;
    memset(&h.head, 0, sizeof(h.head));
    if (!p->responses && !split_request_line(p, data, &h.head.method))
        return fail(p, 400, "bad request line");
    p->parse = &h;
    llhttp_errno_t e = llhttp_execute(&p->ll, data, end);
    p->parse = NULL;
    r = executed(p, e, data, end, ret_used);
    if (r == HTTP_PARSE_MORE && !p->in_body)
        return fail(p, 400, "incomplete head");
    if (r >= 0)
        *ret_used = end;
    return r;
}

int http_parser_feed(struct http_parser *p, const char *data, size_t n, size_t *ret_consumed)
{
    int r = HTTP_PARSE_MORE;
    size_t used = 0;
    *ret_consumed = 0;
    if (p->failed)
        return -400;
    if (p->done)
        begin_message(p);
    if (!p->in_body) {
        r = feed_head(p, data, n, &used);
        *ret_consumed = used;
        if (r != HTTP_PARSE_MORE || !p->in_body)
            return r;
        if (p->paused) {
            p->paused = false;
            return HTTP_PARSE_PAUSED;
        }
        data += used;
        n -= used;
    }
    if (n == 0 && !p->body_paused)
        return HTTP_PARSE_MORE;
    p->body_paused = false;
    llhttp_errno_t e = llhttp_execute(&p->ll, data, n);
    r = executed(p, e, data, n, &used);
    *ret_consumed += used;
    return r;
}

int http_parser_finish(struct http_parser *p)
{
    if (p->failed || p->done || !p->in_body)
        return fail(p, 400, "the connection ended early");
    llhttp_errno_t e = llhttp_finish(&p->ll);
    if (p->done && (e == HPE_OK || e == HPE_PAUSED))
        return HTTP_PARSE_DONE;
    return fail(p, 400, "the connection ended early");
}
