#include <errno.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/jwt.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"

static const char ROUTER[] = "dcos_adminrouter", CA_FOLDER[] = "/var/lib/dcos/adminrouter/ca",
                  CA_BEFORE[] = "/var/lib/dcos/adminrouter/ca.before",
                  CERTIFICATE[] = SECRETS_FOLDER "/dcos-ca.crt",
                  KEY[] = SECRETS_FOLDER "/dcos-ca.key";

enum { SHA1_BYTES = 20, SHA256_BYTES = 32 };

/* ---- ZooKeeper's passwords ---- */

int secrets_zookeeper(const struct node *n, char **ret, struct error *err)
{
    static const char FILE_[] = SECRETS_FOLDER "/zk_master_credentials";
    _cleanup_free_ char *text = node_text(n, FILE_);
    const char *colon = text ? strchr(text, ':') : NULL;
    *ret = NULL;
    if (!text)
        return 0;
    if (!colon || colon == text || !colon[1] || strpbrk(text, " \t\r\n"))
        return error_set(err, -EINVAL, "%s: expected user:password in one line", FILE_);
    *ret = TAKE_PTR(text);
    return 0;
}

int secrets_zookeeper_of(const char *master, const char *user, char **ret, struct error *err)
{
    unsigned char mac[SHA256_BYTES];
    unsigned size = sizeof(mac);
    const char *password = strchr(master, ':') + 1;
    _cleanup_free_ char *label = xasprintf("zookeeper %s", user);
    _cleanup_secret_ struct buf out = BUF_INIT;
    if (!HMAC(EVP_sha256(), password, (int)strlen(password), (const unsigned char *)label,
            strlen(label), mac, &size))
        return error_set(err, -EIO, "OpenSSL computes no HMAC");
    buf_printf(&out, "%s:", user);
    base64url_encode(&out, mac, size);
    *ret = xstrdup(buf_cstr(&out));
    return 0;
}

int secrets_zookeeper_id(const char *credentials, char **ret, struct error *err)
{
    unsigned char hash[SHA1_BYTES];
    unsigned size = sizeof(hash);
    struct buf out = BUF_INIT;
    if (EVP_Digest(credentials, strlen(credentials), hash, &size, EVP_sha1(), NULL) != 1)
        return error_set(err, -EIO, "OpenSSL computes no SHA-1");
    buf_printf(&out, "%.*s:", (int)strcspn(credentials, ":"), credentials);
    base64_encode(&out, hash, size);
    *ret = buf_steal(&out);
    return 0;
}

/* ---- the authority ---- */

/* The cluster's authority as root has it: texts in PEM, NULL when this node has none. */
struct authority {
    char *certificate, *key;
};

static void authority_done(struct authority *a)
{
    if (a->key)
        OPENSSL_cleanse(a->key, strlen(a->key));
    free(a->certificate);
    free(a->key);
}

static int read_authority(const struct node *n, struct authority *ret, struct error *err)
{
    _cleanup_free_ char *folder = node_path(n, SECRETS_FOLDER);
    _cleanup_free_ char *certificate = node_path(n, CERTIFICATE);
    struct ca *ca = NULL;
    if (!path_exists(certificate)) /* it comes last */
        return 0;
    int r = ca_open(folder, &ca, err); /* they belong together */
    if (r < 0)
        return r;
    ca_close(ca);
    ret->certificate = node_text(n, CERTIFICATE);
    ret->key = node_text(n, KEY);
    return ret->certificate && ret->key ? 0 : error_set(err, -EIO, "%s cannot be read", folder);
}

/* As the router's user. The certificate last: without it there is no authority. */
static int copy_authority(const struct node *n, const struct authority *a, struct error *err)
{
    _cleanup_free_ char *certificate = xasprintf("%s/dcos-ca.crt", CA_FOLDER);
    _cleanup_free_ char *key = xasprintf("%s/dcos-ca.key", CA_FOLDER);
    _cleanup_secret_ struct buf key_text = BUF_INIT;
    _cleanup_free_ char *text = xasprintf("%s\n", a->certificate);
    buf_printf(&key_text, "%s\n", a->key);
    int r = node_folder(n, CA_FOLDER, ROUTER, 0755, err);
    if (r == 0)
        r = node_file(n, key, buf_cstr(&key_text), ROUTER, 0600, err);
    return r < 0 ? r : node_file(n, certificate, text, ROUTER, 0644, err);
}

/* As the router's user. What the master signed with so far is kept beside it. */
static int put_aside(const struct node *n, struct error *err)
{
    _cleanup_free_ char *from = node_path(n, CA_FOLDER), *to = node_path(n, CA_BEFORE);
    int r = path_exists(to) ? remove_tree(to, err) : 0;
    if (r == 0 && rename(from, to) < 0)
        r = error_errno(err, -errno, "%s", from);
    return r;
}

static bool several_masters(const struct node *n)
{
    _cleanup_free_ char *count = node_text(n, "/opt/mesosphere/etc/master_count");
    return count && !streq(count, "1");
}

/* As the router's user. */
static int make_authority(
    const struct node *n, const struct authority *a, bool replace, struct error *err)
{
    _cleanup_free_ char *folder = node_path(n, CA_FOLDER);
    _cleanup_free_ char *there = xasprintf("%s/dcos-ca.crt", CA_FOLDER);
    _cleanup_free_ char *own = node_text(n, there);
    if (a->certificate && own && streq(own, a->certificate))
        return 0;
    if (a->certificate && (!own || replace)) {
        int r = own ? put_aside(n, err) : 0;
        return r < 0 ? r : copy_authority(n, a, err);
    }
    if (a->certificate)
        log_warn("this master signs with an authority of its own, from before the cluster had one; "
                 "'dcos-bootstrap dcos-secrets' takes the cluster's");
    else if (several_masters(n))
        log_warn("this master has an authority of its own: the cluster's is not in " SECRETS_FOLDER
                 ", see docs/security.md");
    _cleanup_free_ char *cluster = node_text(n, CLUSTER_ID_FILE);
    _cleanup_free_ char *name = xasprintf("DC/OS %.50s", cluster ? cluster : "");
    int r = ca_create(folder, name, err);
    return r == -EEXIST ? 0 : r;
}

int secrets_authority(const struct node *n, bool replace, struct error *err)
{
    struct error why = ERROR_INIT;
    _cleanup_(authority_done)
    struct authority a = {0};
    int r = read_authority(n, &a, err);
    if (r == 0 && replace && !a.certificate)
        r = error_set(err, -ENOENT, "there is no dcos-ca.crt in " SECRETS_FOLDER);
    if (r == 0)
        r = node_folder(n, "/var/lib/dcos/adminrouter", ROUTER, 0755, err);
    if (r == 0)
        r = node_become(ROUTER, err);
    if (r < 0)
        return r;
    r = make_authority(n, &a, replace, err);
    int back = node_root(&why);
    return r == 0 && back < 0 ? error_set(err, back, "%s", why.msg) : r;
}
