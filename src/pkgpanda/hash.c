#include "pkgpanda/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"

enum { HASH_DEPTH_MAX = 32, CHUNK = 128 * 1024 };

static void digest_text(const EVP_MD *md, const void *p, size_t n, char *ret)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(p, n, digest, &size, md, NULL) != 1)
        abort(); /* only without memory */
    hex_encode(digest, size, ret);
}

void sha1_text(const void *p, size_t n, char ret[SHA1_TEXT])
{
    digest_text(EVP_sha1(), p ? p : "", n, ret);
}

void sha256_text(const void *p, size_t n, char ret[SHA256_TEXT])
{
    digest_text(EVP_sha256(), p ? p : "", n, ret);
}

static int digest_fd(int fd, const EVP_MD *md, char *ret)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    _cleanup_free_ uint8_t *chunk = xmalloc(CHUNK);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    bool fine = ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1;
    int r = 0;
    for (off_t at = 0; fine && r == 0;) {
        ssize_t n = pread(fd, chunk, CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = -errno;
        if (n <= 0)
            break;
        fine = EVP_DigestUpdate(ctx, chunk, (size_t)n) == 1;
        at += n;
    }
    fine = fine && r == 0 && EVP_DigestFinal_ex(ctx, digest, &size) == 1;
    EVP_MD_CTX_free(ctx);
    if (!fine)
        return r < 0 ? r : -ENOMEM;
    hex_encode(digest, size, ret);
    return 0;
}

int sha1_file(const char *path, char ret[SHA1_TEXT], struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : digest_fd(fd, EVP_sha1(), ret);
    return r < 0 ? error_errno(err, r, "cannot read %s", path) : 0;
}

int sha256_fd(int fd, char ret[SHA256_TEXT], struct error *err)
{
    int r = digest_fd(fd, EVP_sha256(), ret);
    return r < 0 ? error_errno(err, r, "cannot read the file") : 0;
}

/* ---- content ---- */

static int hash_value(const json_t *value, unsigned depth, char ret[SHA1_TEXT], struct error *err);

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int hash_object(const json_t *value, unsigned depth, char ret[SHA1_TEXT], struct error *err)
{
    VEC(const char *) keys = {0};
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)(uintptr_t)value, key, child) vec_push(&keys, key);
    if (keys.n > 1)
        qsort(keys.items, keys.n, sizeof(*keys.items), by_key);
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = 0;
    for (size_t i = 0; i < keys.n && r == 0; i++) {
        char hash[SHA1_TEXT];
        r = hash_value(json_object_get(value, keys.items[i]), depth + 1, hash, err);
        if (r == 0)
            buf_printf(&text, "%s%s=%s", i ? "," : "", keys.items[i], hash);
    }
    vec_done(&keys);
    if (r == 0)
        sha1_text(text.p, text.n, ret);
    return r;
}

static int by_member(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    if (json_is_string(x))
        return strcmp(json_string_value(x), json_string_value(y));
    json_int_t m = json_integer_value(x), n = json_integer_value(y);
    return (m > n) - (m < n);
}

static int hash_array(const json_t *value, unsigned depth, char ret[SHA1_TEXT], struct error *err)
{
    size_t n = json_array_size(value);
    for (size_t i = 0; i < n; i++) {
        json_type type = json_typeof(json_array_get(value, i));
        if ((type != JSON_STRING && type != JSON_INTEGER) ||
            type != json_typeof(json_array_get(value, 0)))
            return error_set(err, -EINVAL,
                "a list of anything but strings, or whole numbers, has no content hash");
    }
    _cleanup_free_ const json_t **members = xnew_array(const json_t *, n + 1);
    for (size_t i = 0; i < n; i++)
        members[i] = json_array_get(value, i);
    if (n > 1)
        qsort(members, n, sizeof(*members), by_member);
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char hash[SHA1_TEXT];
        int r = hash_value(members[i], depth + 1, hash, err);
        if (r < 0)
            return r;
        buf_printf(&text, "%s%s", i ? "," : "", hash);
    }
    sha1_text(text.p, text.n, ret);
    return 0;
}

static int hash_value(const json_t *value, unsigned depth, char ret[SHA1_TEXT], struct error *err)
{
    char number[32];
    if (depth > HASH_DEPTH_MAX)
        return error_set(err, -EINVAL, "too deep for a content hash");
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        sha1_text(json_string_value(value), json_string_length(value), ret);
        return 0;
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        sha1_text(number, strlen(number), ret);
        return 0;
    case JSON_TRUE:
        sha1_text("True", 4, ret);
        return 0;
    case JSON_FALSE:
        sha1_text("False", 5, ret);
        return 0;
    case JSON_OBJECT:
        return hash_object(value, depth, ret, err);
    case JSON_ARRAY:
        return hash_array(value, depth, ret, err);
    default:
        return error_set(err, -EINVAL, "null and reals have no content hash");
    }
}

int content_hash(const json_t *value, char ret[SHA1_TEXT], struct error *err)
{
    return hash_value(value, 0, ret, err);
}

/* ---- texts ---- */

static int to_buf(const char *p, size_t n, void *userdata)
{
    buf_append(userdata, p, n);
    return 0;
}

void json_write_pretty(const json_t *value, struct buf *out)
{
    json_dump_callback(value, to_buf, out,
        JSON_INDENT(2) | JSON_SORT_KEYS | JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
}

void json_write_line(const json_t *value, struct buf *out)
{
    json_dump_callback(value, to_buf, out, JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
}
