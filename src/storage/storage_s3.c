#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "storage/request.h"
#include "storage/storage.h"

/* A bucket of Amazon's S3, or of who speaks like it. A PUT appears whole when it is over. */

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 2 * DIGEST_BYTES + 1 };

struct s3 {
    struct storage base;
    char *bucket, *prefix;               /* "" or with a slash at its end */
    char *endpoint;                      /* "https://s3.eu-west-1.amazonaws.com/<bucket>" */
    char *region, *key, *secret, *token; /* token: NULL for keys that last */
};

static struct s3 *of(struct storage *s)
{
    return container_of(s, struct s3, base);
}

static char *object_url(const struct s3 *b, const char *path)
{
    _cleanup_free_ char *name = xasprintf("%s%s", b->prefix, path);
    _cleanup_free_ char *encoded = request_encode(name, true);
    return xasprintf("%s/%s", b->endpoint, encoded);
}

static int digest(const struct request *q, char ret[static DIGEST_TEXT], struct error *err)
{
    unsigned char bytes[DIGEST_BYTES];
    unsigned n = sizeof(bytes);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
    if (r == 0 && q->body_fd < 0 && q->body_n)
        r = EVP_DigestUpdate(ctx, q->body, q->body_n) == 1 ? 0 : -EIO;
    for (uint64_t done = 0; r == 0 && q->body_fd >= 0 && done < q->body_n;) {
        char piece[64 * 1024];
        ssize_t got = pread(q->body_fd, piece, sizeof(piece), (off_t)done);
        if (got <= 0)
            r = got < 0 ? -errno : -EIO;
        else if (EVP_DigestUpdate(ctx, piece, (size_t)got) != 1)
            r = -EIO;
        else
            done += (uint64_t)got;
    }
    if (r == 0 && EVP_DigestFinal_ex(ctx, bytes, &n) != 1)
        r = -EIO;
    EVP_MD_CTX_free(ctx);
    if (r < 0)
        return error_errno(err, r, "digest");
    hex_encode(bytes, sizeof(bytes), ret);
    return 0;
}

/* 0 when an answer came, whatever its status. */
static int ask(struct s3 *b, struct request *q, struct error *err)
{
    char hash[DIGEST_TEXT];
    int r = digest(q, hash, err);
    if (r < 0)
        return r;
    request_header(q, "x-amz-content-sha256: %s", hash);
    q->aws_region = b->region;
    q->aws_key = b->key;
    q->aws_secret = b->secret;
    if (b->token)
        request_header(q, "x-amz-security-token: %s", b->token);
    return request_run(q, err);
}

static int run(struct s3 *b, struct request *q, const char *what, struct error *err)
{
    int r = ask(b, q, err);
    if (r == 0 && (q->status < 200 || q->status > 299))
        r = request_refused(q, what, err);
    return r;
}

static int s3_put(
    struct storage *s, const char *path, const struct storage_content *c, struct error *err)
{
    struct s3 *b = of(s);
    struct request q = REQUEST_INIT;
    struct stat st;
    _cleanup_free_ char *url = object_url(b, path);
    _cleanup_close_ int fd = c->local_path ? open(c->local_path, O_RDONLY | O_CLOEXEC) : -1;
    if (c->local_path && (fd < 0 || fstat(fd, &st) < 0))
        return error_errno(err, -errno, "%s", c->local_path);
    q.method = "PUT";
    q.url = url;
    q.body = c->bytes;
    q.body_fd = fd;
    q.body_n = c->local_path ? (uint64_t)st.st_size : c->n;
    request_header(&q, "x-amz-acl: bucket-owner-full-control");
    request_header(
        &q, "Content-Type: %s", c->content_type ? c->content_type : "application/octet-stream");
    if (c->no_cache)
        request_header(&q, "Cache-Control: no-cache");
    int r = run(b, &q, path, err);
    request_done(&q);
    return r;
}

static int s3_put_if(struct storage *s, const char *path, const struct storage_content *c,
    const char *tag, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(of(s), path);
    q.method = "PUT";
    q.url = url;
    q.body = c->bytes;
    q.body_n = c->n;
    request_header(
        &q, "Content-Type: %s", c->content_type ? c->content_type : "application/octet-stream");
    request_condition(&q, tag);
    int r = ask(of(s), &q, err);
    if (r == 0 && (q.status < 200 || q.status > 299))
        r = request_condition_refused(&q, path, err);
    request_done(&q);
    return r;
}

static int s3_get_tagged(
    struct storage *s, const char *path, struct buf *ret, char **ret_tag, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(of(s), path), *tag = NULL;
    q.method = "GET";
    q.url = url;
    int r = run(of(s), &q, path, err);
    if (r == 0 && !(tag = request_answer_header(&q, "ETag")))
        r = error_set(err, -EBADMSG, "%s: the server gives no ETag", path);
    if (r == 0) {
        buf_append(ret, q.answer.p, q.answer.n);
        *ret_tag = TAKE_PTR(tag);
    }
    request_done(&q);
    return r;
}

static int s3_copy(struct storage *s, const char *from, const char *to, struct error *err)
{
    struct s3 *b = of(s);
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(b, to);
    _cleanup_free_ char *name = xasprintf("/%s/%s%s", b->bucket, b->prefix, from);
    _cleanup_free_ char *encoded = request_encode(name, true);
    q.method = "PUT";
    q.url = url;
    q.body = "";
    request_header(&q, "x-amz-acl: bucket-owner-full-control");
    request_header(&q, "x-amz-copy-source: %s", encoded);
    int r = run(b, &q, to, err);
    /* A copy that fails on the way is told in an answer of 200. */
    if (r == 0 && strstr(buf_cstr(&q.answer), "<Error>"))
        r = error_set(err, -EIO, "%s: cannot be copied to %s: %.200s", from, to, q.answer.p);
    request_done(&q);
    return r;
}

static int s3_exists(struct storage *s, const char *path, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(of(s), path);
    q.method = "HEAD";
    q.url = url;
    int r = run(of(s), &q, path, err);
    request_done(&q);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int s3_get(struct storage *s, const char *path, int fd, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(of(s), path);
    q.method = "GET";
    q.url = url;
    q.answer_fd = fd;
    int r = run(of(s), &q, path, err);
    request_done(&q);
    return r;
}

/* One page. The parameters are in the order that the signature wants. */
static int list_page(
    struct s3 *b, const char *prefix, char **token, struct strings *ret, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_strings_ struct strings keys = {0}, tokens = {0};
    _cleanup_free_ char *encoded = request_encode(prefix, false);
    _cleanup_free_ char *more = *token ? request_encode(*token, false) : NULL;
    _cleanup_free_ char *url = xasprintf("%s/?%s%s%slist-type=2&prefix=%s", b->endpoint,
        more ? "continuation-token=" : "", more ? more : "", more ? "&" : "", encoded);
    q.method = "GET";
    q.url = url;
    int r = run(b, &q, prefix, err);
    if (r == 0) {
        request_xml_texts(&q.answer, "Key", &keys);
        request_xml_texts(&q.answer, "NextContinuationToken", &tokens);
    }
    for (size_t i = 0; i < keys.n && r == 0; i++)
        if (has_prefix(keys.items[i], b->prefix))
            strings_add(ret, keys.items[i] + strlen(b->prefix));
    free(*token);
    *token = tokens.n ? xstrdup(tokens.items[0]) : NULL;
    request_done(&q);
    return r;
}

static int s3_list(struct storage *s, const char *folder, struct strings *ret, struct error *err)
{
    struct s3 *b = of(s);
    _cleanup_free_ char *prefix = xasprintf("%s%s%s", b->prefix, folder, *folder ? "/" : "");
    char *token = NULL;
    int r;
    do {
        r = list_page(b, prefix, &token, ret, err);
    } while (r == 0 && token);
    free(token);
    return r;
}

static int s3_remove(struct storage *s, const char *path, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = object_url(of(s), path);
    q.method = "DELETE";
    q.url = url;
    int r = run(of(s), &q, path, err);
    request_done(&q);
    return r;
}

static void s3_free(struct storage *s)
{
    struct s3 *b = of(s);
    free(b->bucket);
    free(b->prefix);
    free(b->endpoint);
    free(b->region);
    free(b->key);
    free(b->secret);
    free(b->token);
    free(b);
}

int storage_s3_new(const json_t *options, struct storage **ret, struct error *err)
{
    static const struct storage_ops ops = {.put = s3_put,
        .copy = s3_copy,
        .exists = s3_exists,
        .get = s3_get,
        .get_tagged = s3_get_tagged,
        .put_if = s3_put_if,
        .list = s3_list,
        .remove = s3_remove,
        .free = s3_free};
    const char *bucket = NULL, *prefix = NULL, *url = NULL, *key = NULL, *secret = NULL,
               *region = NULL, *endpoint = NULL, *token = NULL;
    const struct storage_option table[] = {{"bucket", &bucket, true}, {"object_prefix", &prefix},
        {"download_url", &url, true}, {"access_key_id", &key}, {"secret_access_key", &secret},
        {"session_token", &token}, {"region_name", &region}, {"endpoint_url", &endpoint}};
    int r = storage_options(options, table, ARRAY_SIZE(table), err);
    if (r < 0)
        return r;
    size_t n = prefix ? strlen(prefix) : 0;
    if (n && (prefix[0] == '/' || prefix[n - 1] == '/'))
        return error_set(err, -EINVAL, "the option object_prefix has no slash at its ends");
    if (!has_suffix(url, "/"))
        return error_set(err, -EINVAL, "the option download_url ends with a slash");
    /* What Amazon's own tools read. */
    if (!key && !secret) {
        key = getenv("AWS_ACCESS_KEY_ID");
        secret = getenv("AWS_SECRET_ACCESS_KEY");
        token = getenv("AWS_SESSION_TOKEN");
    }
    if (token && strpbrk(token, "\r\n"))
        return error_set(err, -EINVAL, "the session token is more than one line");
    if (!key || !*key || !secret || !*secret)
        return error_set(err, -EINVAL,
            "access_key_id and secret_access_key belong together, here or as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment");
    if (!region || !*region)
        region = getenv("AWS_DEFAULT_REGION");
    if (!region || !*region)
        region = "us-east-1";
    struct s3 *b = xnew(struct s3);
    b->base.ops = &ops;
    b->base.url = xstrdup(url);
    b->bucket = xstrdup(bucket);
    b->prefix = n ? xasprintf("%s/", prefix) : xstrdup("");
    b->endpoint = endpoint && *endpoint
                      ? xasprintf("%s/%s", endpoint, bucket)
                      : xasprintf("https://s3.%s.amazonaws.com/%s", region, bucket);
    b->region = xstrdup(region);
    b->key = xstrdup(key);
    b->secret = xstrdup(secret);
    b->token = token && *token ? xstrdup(token) : NULL;
    *ret = &b->base;
    return 0;
}
