#include "auth/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "auth/credentials.h"
#include "auth/jwt.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

enum { SERIAL_BITS = 127, CLOCK_SKEW_S = 300, DAY_S = 86400, TOKEN_KEY_BITS = 2048 };
static const char CERTIFICATE[] = "dcos-ca.crt", KEY[] = "dcos-ca.key";

struct ca {
    X509 *certificate;
    EVP_PKEY *key;
};

static int failed(struct error *err, const char *what)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return error_set(err, -EINVAL, "%s: %s", what, reason ? reason : "OpenSSL failed");
}

/* ---- files ---- */

/* What was written to the BIO; frees it. */
static int write_bio(BIO *from, const char *path, mode_t mode, struct error *err)
{
    char *p;
    long n = BIO_get_mem_data(from, &p);
    int r = n > 0 ? file_write_atomic(path, p, (size_t)n, mode, err) : failed(err, path);
    if (n > 0)
        OPENSSL_cleanse(p, (size_t)n);
    BIO_free(from);
    return r;
}

static int write_key(EVP_PKEY *key, const char *path, struct error *err)
{
    BIO *out = BIO_new(BIO_s_mem());
    if (!out || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(out);
        return failed(err, "private key");
    }
    return write_bio(out, path, 0600, err);
}

static int write_certificate(X509 *x, const char *path, struct error *err)
{
    BIO *out = BIO_new(BIO_s_mem());
    if (!out || PEM_write_bio_X509(out, x) != 1) {
        BIO_free(out);
        return failed(err, "certificate");
    }
    return write_bio(out, path, 0644, err);
}

/* ---- certificates ---- */

static bool set_serial(X509 *x)
{
    BIGNUM *serial = BN_new();
    bool good = serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x));
    BN_free(serial);
    return good;
}

static bool set_times(X509 *x, int64_t from_s, int64_t until_s)
{
    time_t from = (time_t)from_s, until = (time_t)until_s;
    return ASN1_TIME_set(X509_getm_notBefore(x), from) &&
           ASN1_TIME_set(X509_getm_notAfter(x), until);
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

/* Without extensions and signature. */
static X509 *certificate_new(const char *name, EVP_PKEY *key, int64_t from_s, int64_t until_s)
{
    X509 *x = X509_new();
    X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
    if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
        set_times(x, from_s, until_s) && X509_set_pubkey(x, key) == 1 &&
        X509_NAME_add_entry_by_txt(
            subject, "O", MBSTRING_UTF8, (const unsigned char *)"DC/OS", -1, -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(
            subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1)
        return x;
    X509_free(x);
    return NULL;
}

static bool sign(X509 *x, X509 *issuer, EVP_PKEY *key)
{
    return X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

/* ---- the authority ---- */

static X509 *authority_new(const char *name, EVP_PKEY *key)
{
    int64_t now = clock_realtime_us() / USEC_PER_SEC;
    X509 *x = certificate_new(name, key, now - CLOCK_SKEW_S, now + (int64_t)CA_DAYS * DAY_S);
    if (x && add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(x, x, NID_subject_key_identifier, "hash") && sign(x, x, key))
        return x;
    X509_free(x);
    return NULL;
}

int ca_create(const char *folder, const char *name, struct error *err)
{
    _cleanup_free_ char *cert_path = path_join(folder, CERTIFICATE);
    _cleanup_free_ char *key_path = path_join(folder, KEY);
    /* A key without it is of one that was cut off, and signed nothing. */
    if (path_exists(cert_path))
        return error_set(err, -EEXIST, "there is an authority in %s", folder);
    int r = mkdir_all(folder, 0755, err);
    if (r < 0)
        return r;
    ERR_clear_error();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? authority_new(name, key) : NULL;
    r = x ? write_key(key, key_path, err) : failed(err, "authority");
    if (r == 0)
        r = write_certificate(x, cert_path, err);
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}

int ca_open(const char *folder, struct ca **ret, struct error *err)
{
    _cleanup_free_ char *cert_path = path_join(folder, CERTIFICATE);
    _cleanup_free_ char *key_path = path_join(folder, KEY);
    ERR_clear_error();
    BIO *cert = BIO_new_file(cert_path, "r"), *key = BIO_new_file(key_path, "r");
    struct ca *ca = xnew(struct ca);
    ca->certificate = cert ? PEM_read_bio_X509(cert, NULL, NULL, NULL) : NULL;
    ca->key = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, NULL) : NULL;
    BIO_free(cert);
    BIO_free(key);
    if (!ca->certificate || !ca->key || X509_check_private_key(ca->certificate, ca->key) != 1) {
        ca_close(ca);
        return error_prefix(err, failed(err, "authority"), "%s", folder);
    }
    *ret = ca;
    return 0;
}

void ca_close(struct ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->key);
    free(ca);
}

/* ---- issuing ---- */

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* Nothing that has a meaning to the parser of extensions. */
static bool is_host_name(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*";
    return *text && text[strspn(text, letters)] == '\0' && strlen(text) <= 253;
}

static int alternatives_text(const struct ca_request *q, struct buf *out, struct error *err)
{
    if (!q->n_alternatives || q->n_alternatives > CA_ALTERNATIVES_MAX)
        return error_set(err, -EINVAL, "a certificate is for 1 to %d names", CA_ALTERNATIVES_MAX);
    for (size_t i = 0; i < q->n_alternatives; i++) {
        const char *name = q->alternatives[i];
        bool address = is_address(name);
        if (!address && !is_host_name(name))
            return error_set(err, -EINVAL, "'%.100s' is no host name or address", name);
        buf_printf(out, "%s%s:%s", i ? "," : "", address ? "IP" : "DNS", name);
    }
    return 0;
}

static X509 *issue(
    const struct ca *ca, const struct ca_request *q, const char *alternatives, EVP_PKEY *key)
{
    int64_t now = clock_realtime_us() / USEC_PER_SEC;
    X509 *x = certificate_new(q->name, key, q->valid_from_s ? q->valid_from_s : now - CLOCK_SKEW_S,
        q->valid_until_s ? q->valid_until_s : now + (int64_t)CA_ISSUED_DAYS * DAY_S);
    X509 *issuer = ca->certificate;
    if (x && add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x, issuer, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
        add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
        add_extension(x, issuer, NID_authority_key_identifier, "keyid:always") &&
        add_extension(x, issuer, NID_subject_alt_name, alternatives) && sign(x, issuer, ca->key))
        return x;
    X509_free(x);
    return NULL;
}

int ca_issue(const struct ca *ca, const struct ca_request *q, const char *cert_path,
    const char *key_path, struct error *err)
{
    _cleanup_buf_ struct buf alternatives = BUF_INIT;
    if (!*q->name || strlen(q->name) > CA_NAME_MAX)
        return error_set(err, -EINVAL, "a common name has 1 to %d characters", CA_NAME_MAX);
    int r = alternatives_text(q, &alternatives, err);
    if (r < 0)
        return r;
    ERR_clear_error();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? issue(ca, q, buf_cstr(&alternatives), key) : NULL;
    r = x ? write_key(key, key_path, err) : failed(err, "certificate");
    if (r == 0)
        r = write_certificate(x, cert_path, err);
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}

bool ca_signed(const struct ca *ca, const char *cert_path)
{
    BIO *in = BIO_new_file(cert_path, "r");
    X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    bool good = x && X509_verify(x, ca->key) == 1;
    ERR_clear_error();
    X509_free(x);
    BIO_free(in);
    return good;
}

/* ---- keys and secrets ---- */

int token_keys_create(const char *private_path, const char *public_path, struct error *err)
{
    ERR_clear_error();
    EVP_PKEY *key = EVP_RSA_gen(TOKEN_KEY_BITS);
    if (!key)
        return failed(err, "key");
    int r = write_key(key, private_path, err);
    BIO *out = BIO_new(BIO_s_mem());
    if (r == 0 && out && PEM_write_bio_PUBKEY(out, key) == 1)
        r = write_bio(out, public_path, 0644, err);
    else
        BIO_free(out);
    EVP_PKEY_free(key);
    return r;
}

int secret_create(const char *path, struct error *err)
{
    unsigned char bytes[32];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return failed(err, "random numbers");
    _cleanup_secret_ struct buf text = BUF_INIT;
    base64url_encode(&text, bytes, sizeof(bytes));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return file_write_atomic(path, text.p, text.n, 0600, err);
}
