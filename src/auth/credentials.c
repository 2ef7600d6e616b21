#include "auth/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/map.h"
#include "json/json.h"

enum { DIGEST_SIZE = 32, SALT_SIZE = 32 };

/* ---- files ---- */

void secret_buf_done(struct buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->cap);
    buf_done(b);
}

static const char *path_of(const char *value)
{
    return has_prefix(value, "file://") ? value + strlen("file://") : value;
}

int secret_file_read(
    const char *path, size_t max, struct buf *out, bool *ret_exposed, struct error *err)
{
    path = path_of(path);
    struct stat st;
    if (stat(path, &st) < 0)
        return error_errno(err, -errno, "%s", path);
    *ret_exposed = st.st_mode & (S_IROTH | S_IWOTH);
    return file_read(path, max, out, err);
}

int flag_text_read(const char *value, size_t max, struct buf *out, struct error *err)
{
    if (*value == '/' || has_prefix(value, "file://"))
        return file_read(path_of(value), max, out, err);
    if (strlen(value) > max)
        return error_set(err, -EFBIG, "more than %zu bytes", max);
    buf_puts(out, value);
    return 0;
}

/* ---- reading ---- */

typedef int (*credential_fn)(
    struct str principal, struct str secret, void *userdata, struct error *err);

static int read_one(
    const json_t *value, const char *path, credential_fn fn, void *userdata, struct error *err)
{
    const json_t *principal = json_at(value, "principal"), *secret = json_at(value, "secret");
    if (!json_is_string(principal) || json_string_length(principal) == 0)
        return error_set(err, -EINVAL, "%s/principal: expected a name", path);
    if (secret && !json_is_string(secret))
        return error_set(err, -EINVAL, "%s/secret: expected a string", path);
    int r = fn((struct str){json_string_value(principal), json_string_length(principal)},
        secret ? (struct str){json_string_value(secret), json_string_length(secret)} : STR(""),
        userdata, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : r;
}

static int read_json(const json_t *doc, credential_fn fn, void *userdata, struct error *err)
{
    const json_t *list = json_at(doc, "credentials");
    if (!list)
        return read_one(doc, "", fn, userdata, err);
    if (!json_is_array(list))
        return error_set(err, -EINVAL, "/credentials: expected an array");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/credentials/%zu", i);
        int r = read_one(json_array_get(list, i), path, fn, userdata, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int read_lines(struct str text, credential_fn fn, void *userdata, struct error *err)
{
    struct str line;
    for (size_t number = 1; str_split(&text, '\n', &line); number++) {
        line = str_trim(line);
        if (line.n == 0)
            continue;
        size_t end = 0, start;
        while (end < line.n && !blank(line.p[end]))
            end++;
        for (start = end; start < line.n && blank(line.p[start]);)
            start++;
        struct str principal = {line.p, end}, secret = {line.p + start, line.n - start};
        for (size_t i = 0; i < secret.n; i++)
            if (blank(secret.p[i]))
                secret.n = 0;
        if (secret.n == 0)
            return error_set(err, -EINVAL, "line %zu: expected a principal and a secret", number);
        int r = fn(principal, secret, userdata, err);
        if (r < 0)
            return error_prefix(err, r, "line %zu", number);
    }
    return 0;
}

static int read_any(const char *p, size_t n, credential_fn fn, void *userdata, struct error *err)
{
    struct str text = str_trim((struct str){p, n});
    if (text.n > CREDENTIALS_TEXT_MAX)
        return error_set(err, -EFBIG, "more than %d bytes", CREDENTIALS_TEXT_MAX);
    if (memchr(p, '\0', n))
        return error_set(err, -EINVAL, "there is a NUL in it");
    if (text.n == 0 || *text.p != '{')
        return read_lines(text, fn, userdata, err);
    _cleanup_json_ json_t *doc = NULL;
    /* A parser's message may quote what it did not understand, which may be a secret. */
    if (json_parse(text.p, text.n, &doc, NULL) < 0)
        return error_set(err, -EBADMSG, "not a JSON object");
    return read_json(doc, fn, userdata, err);
}

/* ---- many ---- */

struct known {
    unsigned char digest[DIGEST_SIZE];
    char principal[];
};

struct credentials {
    unsigned char salt[SALT_SIZE]; /* of this process */
    struct map by_principal;
};

static void digest(const struct credentials *c, struct str secret, unsigned char ret[DIGEST_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, c->salt, SALT_SIZE) != 1 ||
        EVP_DigestUpdate(ctx, secret.p, secret.n) != 1 || EVP_DigestFinal_ex(ctx, ret, NULL) != 1)
        abort(); /* out of memory */
    EVP_MD_CTX_free(ctx);
}

static int add(struct str principal, struct str secret, void *userdata, struct error *err)
{
    struct credentials *c = userdata;
    if (map_get_n(&c->by_principal, principal.p, principal.n))
        return error_set(err, -EINVAL, "the principal is there already");
    struct known *k = xcalloc(1, sizeof(*k) + principal.n + 1);
    memcpy(k->principal, principal.p, principal.n);
    digest(c, secret, k->digest);
    map_put(&c->by_principal, k->principal, k);
    return 0;
}

int credentials_new(const char *text, size_t n, struct credentials **ret, struct error *err)
{
    _cleanup_(credentials_freep)
    struct credentials *c = xnew(struct credentials);
    if (RAND_bytes(c->salt, SALT_SIZE) != 1)
        return error_set(err, -EIO, "no random numbers");
    int r = read_any(text, n, add, c, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    MAP_FOREACH (e, &c->by_principal)
        free(e->value);
    map_done(&c->by_principal);
    free(c);
}

size_t credentials_count(const struct credentials *c)
{
    return map_size(&c->by_principal);
}

bool credentials_match(const struct credentials *c, const char *principal, struct str secret)
{
    const struct known *k = map_get(&c->by_principal, principal);
    unsigned char got[DIGEST_SIZE];
    digest(c, secret, got);
    bool same = CRYPTO_memcmp(got, k ? k->digest : c->salt, DIGEST_SIZE) == 0;
    return k && same;
}

/* ---- one ---- */

static int take(struct str principal, struct str secret, void *userdata, struct error *err)
{
    struct credential *c = userdata;
    if (c->principal)
        return error_set(err, -EINVAL, "expected one credential");
    if (memchr(principal.p, ':', principal.n))
        return error_set(err, -EINVAL, "a principal has no colon");
    c->principal = xstrndup(principal.p, principal.n);
    c->secret = xstrndup(secret.p, secret.n);
    return 0;
}

int credential_parse(const char *text, size_t n, struct credential *ret, struct error *err)
{
    struct credential c = {0};
    int r = read_any(text, n, take, &c, err);
    if (r == 0 && !c.principal)
        r = error_set(err, -EINVAL, "there is no credential in it");
    if (r < 0) {
        credential_done(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void credential_done(struct credential *c)
{
    free(c->principal);
    if (c->secret)
        OPENSSL_cleanse(c->secret, strlen(c->secret));
    free(c->secret);
    *c = (struct credential){0};
}

void credential_header(const struct credential *c, struct buf *out)
{
    _cleanup_secret_ struct buf pair = BUF_INIT;
    buf_printf(&pair, "%s:%s", c->principal, c->secret);
    buf_puts(out, "Basic ");
    base64_encode(out, pair.p, pair.n);
}
