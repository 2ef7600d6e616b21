#include "pkgpanda/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/names.h"

enum { KEY_FILE_MAX = 16 * 1024 };

struct trust {
    EVP_PKEY *keys[TRUST_KEYS_MAX];
    size_t n;
    struct buf digests; /* whole lines */
    bool only;          /* what they do not name is refused */
};

static int read_key(const char *path, bool private, EVP_PKEY **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, KEY_FILE_MAX, &text, err);
    if (r < 0)
        return r;
    BIO *bio = BIO_new_mem_buf(buf_cstr(&text), (int)text.n);
    EVP_PKEY *key = !bio      ? NULL
                    : private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                              : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (private && text.p)
        OPENSSL_cleanse(text.p, text.n);
    if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        return error_set(err, -EBADMSG, "%s holds no Ed25519 %s key in PEM", path,
            private ? "private" : "public");
    }
    *ret = key;
    return 0;
}

int trust_load(const char *folder, struct trust **ret, struct error *err)
{
    _cleanup_(trust_freep)
    struct trust *t = xnew(struct trust);
    _cleanup_strings_ struct strings names = {0};
    int r = folder ? strings_read_folder(folder, &names, err) : 0;
    for (size_t i = 0; i < names.n && r >= 0; i++) {
        if (!has_suffix(names.items[i], ".pem"))
            continue;
        if (t->n == TRUST_KEYS_MAX)
            return error_set(err, -E2BIG, "%s holds more than %d keys", folder, TRUST_KEYS_MAX);
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        r = read_key(path, false, &t->keys[t->n], err);
        t->n += r == 0;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

void trust_free(struct trust *t)
{
    for (size_t i = 0; i < t->n; i++)
        EVP_PKEY_free(t->keys[i]);
    buf_done(&t->digests);
    free(t);
}

/* The digest in a line of sha256sum, and the name; false when it is none. */
static bool split_line(struct str line, struct str *ret_digest, struct str *ret_name)
{
    if (line.n < SHA256_TEXT + 1 || line.p[SHA256_TEXT - 1] != ' ' ||
        (line.p[SHA256_TEXT] != ' ' && line.p[SHA256_TEXT] != '*'))
        return false;
    *ret_digest = (struct str){line.p, SHA256_TEXT - 1};
    *ret_name = (struct str){line.p + SHA256_TEXT + 1, line.n - SHA256_TEXT - 1};
    return true;
}

int trust_load_digests(struct trust *t, const char *path, bool only, struct error *err)
{
    struct str digest, name, line;
    buf_clear(&t->digests);
    t->only = false;
    int r = file_read(path, TRUST_DIGESTS_MAX, &t->digests, err);
    if (r < 0)
        return r;
    struct str rest = buf_str(&t->digests);
    while (rest.n > 0 && str_split(&rest, '\n', &line)) {
        if (line.n > 0 && !split_line(line, &digest, &name))
            return error_set(err, -EBADMSG, "%s is no file of sha256sum", path);
    }
    t->only = only && t->digests.n > 0;
    return 0;
}

int trust_load_host(const char *config_dir, bool only, struct trust **ret, struct error *err)
{
    _cleanup_(trust_freep)
    struct trust *t = NULL;
    _cleanup_free_ char *keys = path_join(config_dir, "trusted-keys");
    _cleanup_free_ char *digests = path_join(config_dir, "setup-flags/digests");
    int r = trust_load(keys, &t, err);
    if (r == 0 && path_exists(digests))
        r = trust_load_digests(t, digests, only, err);
    if (r == 0)
        *ret = TAKE_PTR(t);
    return r;
}

int trust_check_known(const struct trust *t, const char *name, int fd, struct error *err)
{
    char is[SHA256_TEXT];
    struct str line, digest, about;
    if (!t || t->digests.n == 0)
        return 0;
    struct str rest = buf_str(&t->digests);
    while (rest.n > 0 && str_split(&rest, '\n', &line)) {
        if (!split_line(line, &digest, &about) || !str_eq_c(about, name))
            continue;
        int r = sha256_fd(fd, is, err);
        if (r < 0)
            return r;
        return str_ieq_c(digest, is) ? 1
                                     : error_set(err, -EBADMSG,
                                           "%s is not what the installer made: its SHA-256 is %s "
                                           "and must be " STR_FMT,
                                           name, is, STR_ARG(digest));
    }
    return t->only ? error_set(err, -EBADMSG, "%s is not among what the installer made", name) : 0;
}

bool trust_demands_signature(const struct trust *t)
{
    return t && t->n > 0;
}

int trust_verify(const struct trust *t, struct str text, struct str signature, struct error *err)
{
    bool good = false;
    for (size_t i = 0; i < t->n && !good && signature.n == TRUST_SIGNATURE_SIZE; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, t->keys[i]) == 1 &&
               EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                   (const unsigned char *)text.p, text.n) == 1;
        EVP_MD_CTX_free(ctx);
    }
    return good ? 0 : error_set(err, -EBADMSG, "the signature is not by a trusted key");
}

int trust_check_digest(int fd, const char *name, struct str line, struct error *err)
{
    char is[SHA256_TEXT];
    struct str said, digest, about, rest = {line.p, line.n};
    if (!str_split(&rest, '\n', &said) || !split_line(said, &digest, &about))
        return error_set(err, -EBADMSG, "%s.sha256 is not a line of sha256sum", name);
    if (!str_eq_c(about, name))
        return error_set(err, -EBADMSG, "%s.sha256 is about another file", name);
    int r = sha256_fd(fd, is, err);
    if (r < 0)
        return r;
    if (!str_ieq_c(digest, is))
        return error_set(
            err, -EBADMSG, "%s has SHA-256 %s, published was " STR_FMT, name, is, STR_ARG(digest));
    return 0;
}

int trust_sign(
    const char *key_path, struct str text, uint8_t ret[TRUST_SIGNATURE_SIZE], struct error *err)
{
    EVP_PKEY *key = NULL;
    size_t size = TRUST_SIGNATURE_SIZE;
    int r = read_key(key_path, true, &key, err);
    if (r < 0)
        return r;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(ctx, ret, &size, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good ? 0 : error_set(err, -EIO, "signing failed");
}

int trust_publish(const char *path, const char *key_path, struct error *err)
{
    char digest[SHA256_TEXT];
    const char *slash = strrchr(path, '/');
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", path);
    int r = sha256_fd(fd, digest, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *line = xasprintf("%s  %s\n", digest, slash ? slash + 1 : path);
    _cleanup_free_ char *line_path = xasprintf("%s.sha256", path);
    if (key_path) {
        uint8_t signature[TRUST_SIGNATURE_SIZE];
        _cleanup_free_ char *signature_path = xasprintf("%s.sha256.sig", path);
        r = trust_sign(key_path, str_of(line), signature, err);
        if (r == 0)
            r = file_write_atomic(signature_path, signature, sizeof(signature), 0644, err);
    }
    return r < 0 ? r : file_write_atomic(line_path, line, strlen(line), 0644, err);
}
