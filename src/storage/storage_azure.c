#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "storage/azure_sign.h"
#include "storage/request.h"
#include "storage/storage.h"

/* Block blobs of an Azure storage account, with its shared key. A Put Blob appears whole. */

enum { COPY_POLL_MS = 500, COPY_POLLS_MAX = 1200 };

struct azure {
    struct storage base;
    char *account, *container;
    char *endpoint; /* "https://<account>.blob.core.windows.net" */
    char *path;     /* of the endpoint: "" or "/devstoreaccount1" */
    struct buf key;
};

static struct azure *of(struct storage *s)
{
    return container_of(s, struct azure, base);
}

/* ---- signing ---- */

void azure_string_to_sign(const struct request *q, const char *account, const char *path,
    const char *query, struct buf *ret)
{
    /* Standard headers, in this order; Date is empty since x-ms-date is sent. */
    static const char *const standard[] = {"Content-Encoding", "Content-Language", "Content-Length",
        "Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match",
        "If-Unmodified-Since", "Range"};
    _cleanup_strings_ struct strings own = {0};
    buf_printf(ret, "%s\n", q->method);
    for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
        if (streq(standard[i], "Content-Length") && q->body_n)
            buf_printf(ret, "%llu", (unsigned long long)q->body_n);
        for (size_t j = 0; j < q->headers.n; j++) {
            const char *h = q->headers.items[j];
            size_t n = strlen(standard[i]);
            if (strncasecmp(h, standard[i], n) == 0 && h[n] == ':')
                buf_puts(ret, h + n + 2);
        }
        buf_putc(ret, '\n');
    }
    for (size_t j = 0; j < q->headers.n; j++) {
        const char *h = q->headers.items[j];
        const char *colon = strchr(h, ':');
        if (!has_prefix(h, "x-ms-") || !colon)
            continue;
        _cleanup_free_ char *line = xasprintf("%.*s:%s", (int)(colon - h), h, colon + 2);
        strings_add(&own, line);
    }
    strings_sort(&own);
    for (size_t j = 0; j < own.n; j++)
        buf_printf(ret, "%s\n", own.items[j]);
    buf_printf(ret, "/%s%s", account, path);
    /* "a=1&b=2", sorted by name already. */
    struct str rest = str_of(query), part;
    while (str_split(&rest, '&', &part)) {
        ptrdiff_t eq = str_index(part, '=');
        if (eq > 0)
            buf_printf(ret, "\n%.*s:%.*s", (int)eq, part.p, (int)(part.n - (size_t)eq - 1),
                part.p + eq + 1);
    }
}

/* `query`: parameters with their plain values, sorted, to be signed; `sent` the same encoded. */
static int run(struct azure *a, struct request *q, const char *path, const char *query,
    const char *sent, struct error *err)
{
    char date[64];
    struct tm tm;
    time_t now = time(NULL);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    _cleanup_buf_ struct buf text = BUF_INIT, signature = BUF_INIT;
    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    request_header(q, "x-ms-date: %s", date);
    request_header(q, "x-ms-version: 2020-10-02");
    _cleanup_free_ char *encoded = request_encode(path, true);
    _cleanup_free_ char *full = xasprintf("%s%s", a->path, encoded);
    _cleanup_free_ char *url = xasprintf("%s%s%s%s", a->endpoint, encoded, *sent ? "?" : "", sent);
    azure_string_to_sign(q, a->account, full, query, &text);
    if (!HMAC(
            EVP_sha256(), a->key.p, (int)a->key.n, (const unsigned char *)text.p, text.n, mac, &n))
        return error_set(err, -EIO, "signature");
    base64_encode(&signature, mac, n);
    request_header(q, "Authorization: SharedKey %s:%s", a->account, buf_cstr(&signature));
    q->url = url;
    int r = request_run(q, err);
    q->url = NULL;
    return r;
}

static char *blob_path(const struct azure *a, const char *path)
{
    return xasprintf("/%s/%s", a->container, path);
}

static int run_blob(struct azure *a, struct request *q, const char *path, struct error *err)
{
    _cleanup_free_ char *full = blob_path(a, path);
    int r = run(a, q, full, "", "", err);
    if (r == 0 && (q->status < 200 || q->status > 299))
        r = request_refused(q, path, err);
    return r;
}

/* ---- calls ---- */

static int azure_put(
    struct storage *s, const char *path, const struct storage_content *c, struct error *err)
{
    struct request q = REQUEST_INIT;
    struct stat st;
    _cleanup_close_ int fd = c->local_path ? open(c->local_path, O_RDONLY | O_CLOEXEC) : -1;
    if (c->local_path && (fd < 0 || fstat(fd, &st) < 0))
        return error_errno(err, -errno, "%s", c->local_path);
    q.method = "PUT";
    q.body = c->bytes;
    q.body_fd = fd;
    q.body_n = c->local_path ? (uint64_t)st.st_size : c->n;
    request_header(&q, "x-ms-blob-type: BlockBlob");
    request_header(
        &q, "Content-Type: %s", c->content_type ? c->content_type : "application/octet-stream");
    if (c->no_cache)
        request_header(&q, "x-ms-blob-cache-control: no-cache");
    int r = run_blob(of(s), &q, path, err);
    request_done(&q);
    return r;
}

/* Waits until a copy that goes on behind the answer is over. */
static int wait_for_copy(struct azure *a, const char *path, char *state, struct error *err)
{
    _cleanup_free_ char *status = state;
    for (int i = 0; status && streq(status, "pending"); i++) {
        struct request q = REQUEST_INIT;
        if (i == COPY_POLLS_MAX)
            return error_set(err, -ETIMEDOUT, "%s is still being copied", path);
        (void)poll(NULL, 0, COPY_POLL_MS); /* a pause */
        q.method = "HEAD";
        int r = run_blob(a, &q, path, err);
        free(status);
        status = request_answer_header(&q, "x-ms-copy-status");
        request_done(&q);
        if (r < 0)
            return r;
    }
    if (status && !streq(status, "success"))
        return error_set(err, -EIO, "%s cannot be copied: %.50s", path, status);
    return 0;
}

static int azure_put_if(struct storage *s, const char *path, const struct storage_content *c,
    const char *tag, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *full = blob_path(of(s), path);
    q.method = "PUT";
    q.body = c->bytes;
    q.body_n = c->n;
    request_header(&q, "x-ms-blob-type: BlockBlob");
    request_header(
        &q, "Content-Type: %s", c->content_type ? c->content_type : "application/octet-stream");
    request_condition(&q, tag);
    int r = run(of(s), &q, full, "", "", err);
    if (r == 0 && (q.status < 200 || q.status > 299))
        r = request_condition_refused(&q, path, err);
    request_done(&q);
    return r;
}

static int azure_get_tagged(
    struct storage *s, const char *path, struct buf *ret, char **ret_tag, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *tag = NULL;
    q.method = "GET";
    int r = run_blob(of(s), &q, path, err);
    if (r == 0 && !(tag = request_answer_header(&q, "ETag")))
        r = error_set(err, -EBADMSG, "%s: the server gives no ETag", path);
    if (r == 0) {
        buf_append(ret, q.answer.p, q.answer.n);
        *ret_tag = TAKE_PTR(tag);
    }
    request_done(&q);
    return r;
}

/* The container, private. */
static int azure_prepare(struct storage *s, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *path = xasprintf("/%s", of(s)->container);
    q.method = "PUT";
    q.body = "";
    int r = run(of(s), &q, path, "restype=container", "restype=container", err);
    if (r == 0 && q.status != 201 && q.status != 409)
        r = request_refused(&q, of(s)->container, err);
    request_done(&q);
    return r;
}

static int azure_copy(struct storage *s, const char *from, const char *to, struct error *err)
{
    struct azure *a = of(s);
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *path = blob_path(a, from);
    _cleanup_free_ char *encoded = request_encode(path, true);
    q.method = "PUT";
    q.body = "";
    request_header(&q, "x-ms-copy-source: %s%s", a->endpoint, encoded);
    int r = run_blob(a, &q, to, err);
    char *state = r == 0 ? request_answer_header(&q, "x-ms-copy-status") : NULL;
    request_done(&q);
    return r < 0 ? r : wait_for_copy(a, to, state, err);
}

static int azure_exists(struct storage *s, const char *path, struct error *err)
{
    struct request q = REQUEST_INIT;
    q.method = "HEAD";
    int r = run_blob(of(s), &q, path, err);
    request_done(&q);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int azure_get(struct storage *s, const char *path, int fd, struct error *err)
{
    struct request q = REQUEST_INIT;
    q.method = "GET";
    q.answer_fd = fd;
    int r = run_blob(of(s), &q, path, err);
    request_done(&q);
    return r;
}

static int list_page(
    struct azure *a, const char *prefix, char **marker, struct strings *ret, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_strings_ struct strings markers = {0};
    _cleanup_free_ char *path = xasprintf("/%s", a->container);
    _cleanup_free_ char *p = request_encode(prefix, false);
    _cleanup_free_ char *m = *marker ? request_encode(*marker, false) : NULL;
    _cleanup_free_ char *plain = xasprintf(
        "comp=list%s%s&prefix=%s&restype=container", m ? "&marker=" : "", m ? *marker : "", prefix);
    _cleanup_free_ char *sent = xasprintf(
        "comp=list%s%s&prefix=%s&restype=container", m ? "&marker=" : "", m ? m : "", p);
    q.method = "GET";
    int r = run(a, &q, path, plain, sent, err);
    if (r == 0 && q.status != 200)
        r = request_refused(&q, prefix, err);
    if (r == 0) {
        request_xml_texts(&q.answer, "Name", ret);
        request_xml_texts(&q.answer, "NextMarker", &markers);
    }
    free(*marker);
    *marker = markers.n && *markers.items[0] ? xstrdup(markers.items[0]) : NULL;
    request_done(&q);
    return r;
}

static int azure_list(struct storage *s, const char *folder, struct strings *ret, struct error *err)
{
    _cleanup_free_ char *prefix = xasprintf("%s%s", folder, *folder ? "/" : "");
    char *marker = NULL;
    int r;
    do {
        r = list_page(of(s), prefix, &marker, ret, err);
    } while (r == 0 && marker);
    free(marker);
    return r;
}

static int azure_remove(struct storage *s, const char *path, struct error *err)
{
    struct request q = REQUEST_INIT;
    q.method = "DELETE";
    int r = run_blob(of(s), &q, path, err);
    request_done(&q);
    return r;
}

static void azure_free(struct storage *s)
{
    struct azure *a = of(s);
    free(a->account);
    free(a->container);
    free(a->endpoint);
    free(a->path);
    buf_done(&a->key);
    free(a);
}

int storage_azure_new(const json_t *options, struct storage **ret, struct error *err)
{
    static const struct storage_ops ops = {.put = azure_put,
        .copy = azure_copy,
        .exists = azure_exists,
        .get = azure_get,
        .get_tagged = azure_get_tagged,
        .put_if = azure_put_if,
        .prepare = azure_prepare,
        .list = azure_list,
        .remove = azure_remove,
        .free = azure_free};
    const char *account = NULL, *key = NULL, *container = NULL, *url = NULL, *endpoint = NULL;
    const struct storage_option table[] = {{"account_name", &account, true},
        {"account_key", &key, true}, {"container", &container, true}, {"download_url", &url, true},
        {"endpoint_url", &endpoint}};
    int r = storage_options(options, table, ARRAY_SIZE(table), err);
    if (r < 0)
        return r;
    if (!has_suffix(url, "/"))
        return error_set(err, -EINVAL, "the option download_url ends with a slash");
    struct azure *a = xnew(struct azure);
    a->base.ops = &ops;
    if (base64_decode(&a->key, str_of(key)) < 0) {
        azure_free(&a->base);
        return error_set(err, -EINVAL, "the option account_key is not base64");
    }
    a->base.url = xstrdup(url);
    a->account = xstrdup(account);
    a->container = xstrdup(container);
    a->endpoint = endpoint && *endpoint ? xstrdup(endpoint)
                                        : xasprintf("https://%s.blob.core.windows.net", account);
    const char *host = strstr(a->endpoint, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    a->path = xstrdup(path ? path : "");
    *ret = &a->base;
    return 0;
}
