#include "storage/request.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

enum {
    CONNECT_TIMEOUT_S = 30,
    STALL_S = 60,
    PAUSE_MS = 500, /* doubled each time */
    REFUSAL_SHOWN = 300,
};

struct running {
    struct request *q;
    uint64_t sent;
    int failure; /* errno of our own files */
};

void request_header(struct request *q, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    strings_add(&q->headers, buf_cstr(&text));
    buf_done(&text);
}

void request_done(struct request *q)
{
    strings_done(&q->headers);
    buf_done(&q->answer);
    buf_done(&q->answer_headers);
}

/* ---- libcurl's callbacks ---- */

static size_t on_body(char *p, size_t size, size_t n, void *userdata)
{
    struct running *r = userdata;
    struct request *q = r->q;
    long status = q->status;
    if (q->answer_fd >= 0 && status >= 200 && status < 300) {
        r->failure = fd_write_all(q->answer_fd, p, size * n);
        return r->failure < 0 ? 0 : size * n;
    }
    if (q->answer.n + size * n > REQUEST_ANSWER_MAX)
        return 0;
    buf_append(&q->answer, p, size * n);
    return size * n;
}

static size_t on_header(char *p, size_t size, size_t n, void *userdata)
{
    struct running *r = userdata;
    struct request *q = r->q;
    struct str line = str_trim((struct str){p, size * n}), word;
    if (str_has_prefix(line, STR("HTTP/"))) {
        int64_t status;
        buf_clear(&q->answer_headers); /* of an answer before, such as 100 */
        if (str_split(&line, ' ', &word) && str_split(&line, ' ', &word) &&
            parse_i64(word, &status) == 0)
            q->status = (long)status;
        return size * n;
    }
    if (q->answer_headers.n + size * n > REQUEST_ANSWER_MAX)
        return 0;
    buf_append(&q->answer_headers, p, size * n);
    return size * n;
}

static size_t on_read(char *to, size_t size, size_t n, void *userdata)
{
    struct running *r = userdata;
    const struct request *q = r->q;
    size_t want = MIN((uint64_t)(size * n), q->body_n - r->sent);
    if (q->body_fd < 0) {
        memcpy(to, q->body + r->sent, want);
    } else {
        ssize_t got = pread(q->body_fd, to, want, (off_t)r->sent);
        if (got < 0 || (got == 0 && want > 0)) {
            r->failure = got < 0 ? -errno : -EIO;
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)got;
    }
    r->sent += want;
    return want;
}

static int on_seek(void *userdata, curl_off_t offset, int origin)
{
    struct running *r = userdata;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > r->q->body_n)
        return CURL_SEEKFUNC_FAIL;
    r->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- running ---- */

static CURLcode attempt(CURL *h, struct running *r, char *why)
{
    struct request *q = r->q;
    struct curl_slist *headers = NULL;
    q->status = 0;
    r->sent = 0;
    buf_clear(&q->answer);
    buf_clear(&q->answer_headers);
    if (q->answer_fd >= 0 &&
        (ftruncate(q->answer_fd, 0) < 0 || lseek(q->answer_fd, 0, SEEK_SET) < 0)) {
        r->failure = -errno;
        return CURLE_WRITE_ERROR;
    }
    for (size_t i = 0; i < q->headers.n; i++)
        headers = curl_slist_append(headers, q->headers.items[i]);
    /* libcurl would sign the header that this takes away. */
    if (!q->aws_key)
        headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(h, CURLOPT_URL, q->url);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, r);
    if (q->direct)
        curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    if (streq(q->method, "HEAD")) {
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (streq(q->method, "PUT")) {
        curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_n);
        curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(h, CURLOPT_READDATA, r);
        curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(h, CURLOPT_SEEKDATA, r);
    } else if (!streq(q->method, "GET")) {
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
    }
    if (q->aws_key) {
        _cleanup_free_ char *signing = xasprintf(
            "aws:amz:%s:%s", q->aws_region, q->aws_service ? q->aws_service : "s3");
        _cleanup_free_ char *user = xasprintf("%s:%s", q->aws_key, q->aws_secret);
        curl_easy_setopt(h, CURLOPT_AWS_SIGV4, signing);
        curl_easy_setopt(h, CURLOPT_USERPWD, user);
    }
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(h);
    curl_slist_free_all(headers);
    return code;
}

static bool passing(CURLcode code, long status)
{
    if (code == CURLE_OK)
        return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
    return code == CURLE_COULDNT_CONNECT || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
           code == CURLE_GOT_NOTHING || code == CURLE_OPERATION_TIMEDOUT ||
           code == CURLE_PARTIAL_FILE;
}

int request_run(struct request *q, struct error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    struct running r = {.q = q};
    CURLcode code = CURLE_OK;
    for (int i = 0; i < REQUEST_TRIES; i++) {
        CURL *h = curl_easy_init();
        if (!h)
            return error_set(err, -ENOMEM, "libcurl");
        code = attempt(h, &r, why);
        curl_easy_cleanup(h);
        if (r.failure < 0)
            return error_errno(err, r.failure, "%s", q->url);
        if (!passing(code, q->status))
            break;
        if (i + 1 < REQUEST_TRIES)
            (void)poll(NULL, 0, PAUSE_MS << i); /* a pause */
    }
    if (code == CURLE_OK)
        return 0;
    return error_set(err, code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO, "%s: %s", q->url,
        *why ? why : curl_easy_strerror(code));
}

char *request_answer_header(const struct request *q, const char *name)
{
    struct str rest = buf_str(&q->answer_headers), line;
    while (str_split(&rest, '\n', &line)) {
        ptrdiff_t colon = str_index(line, ':');
        if (colon <= 0 || !str_ieq_c((struct str){line.p, (size_t)colon}, name))
            continue;
        struct str value = str_trim((struct str){line.p + colon + 1, line.n - (size_t)colon - 1});
        return xstrndup(value.n ? value.p : "", value.n);
    }
    return NULL;
}

int request_refused(const struct request *q, const char *what, struct error *err)
{
    int code = q->status == 404 ? -ENOENT : q->status == 401 || q->status == 403 ? -EACCES : -EIO;
    struct str said = str_trim(buf_str(&q->answer));
    return error_set(err, code, "%s: the server answers %ld %.*s", what, q->status,
        (int)MIN(said.n, (size_t)REFUSAL_SHOWN), said.n ? said.p : "");
}

void request_condition(struct request *q, const char *tag)
{
    if (tag)
        request_header(q, "If-Match: %s", tag);
    else
        request_header(q, "If-None-Match: *");
}

int request_condition_refused(const struct request *q, const char *what, struct error *err)
{
    /* 409: somebody writes at the same time, or Azure's word for "it is there". 404: it is gone. */
    const char *said = buf_cstr(&q->answer);
    bool no_place = strstr(said, "NoSuchBucket") || strstr(said, "ContainerNotFound");
    if (q->status == 412 || q->status == 409 || (q->status == 404 && !no_place))
        return error_set(err, -EAGAIN, "%s was written by somebody else", what);
    if (q->status == 501)
        return error_set(err, -EOPNOTSUPP, "%s: the server takes no conditions", what);
    return request_refused(q, what, err);
}

/* ---- text ---- */

char *request_encode(const char *text, bool slashes)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct buf out = BUF_INIT;
    for (; *text; text++) {
        if (strchr(plain, *text) || (slashes && *text == '/'))
            buf_putc(&out, *text);
        else
            buf_printf(&out, "%%%02X", (unsigned char)*text);
    }
    return buf_steal(&out);
}

static void put_decoded(struct buf *out, struct str text)
{
    static const struct {
        const char *entity;
        char c;
    } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''},
        {"&#39;", '\''}};
    while (text.n) {
        size_t i = 0;
        while (i < ARRAY_SIZE(entities) && !str_has_prefix(text, str_of(entities[i].entity)))
            i++;
        size_t n = i < ARRAY_SIZE(entities) ? strlen(entities[i].entity) : 1;
        buf_putc(out, i < ARRAY_SIZE(entities) ? entities[i].c : *text.p);
        text = (struct str){text.p + n, text.n - n};
    }
}

void request_xml_texts(const struct buf *xml, const char *tag, struct strings *ret)
{
    _cleanup_free_ char *open = xasprintf("<%s>", tag), *close = xasprintf("</%s>", tag);
    const char *at = buf_cstr(xml), *end;
    while ((at = strstr(at, open)) && (end = strstr(at, close))) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        at += strlen(open);
        put_decoded(&text, (struct str){at, (size_t)(end - at)});
        strings_add(ret, buf_cstr(&text));
        at = end + strlen(close);
    }
}
