#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/jwt.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "installer/action.h"
#include "pkgpanda/hash.h"

/* What a cluster's masters share and nobody else may know. */

static const char CREDENTIALS[] = "zk_master_credentials", ZK_USER[] = "dcos-master",
                  MAKE_ROOM[] = "mkdir -p /etc/mesosphere && chmod 755 /etc/mesosphere && "
                                "mkdir -p " SECRETS_FOLDER " && chmod 700 " SECRETS_FOLDER;

enum { PASSWORD_BYTES = 32, NAME_BYTES = 4, CERTIFICATE_MAX = 64 * 1024 };

static bool uses_zookeeper(const struct gen *g)
{
    return streq(config_value(g, "uses_zookeeper", "false"), "true");
}

static char *secret_path(const struct installer *in, const char *name)
{
    _cleanup_free_ char *file = xasprintf("secrets/%s", name);
    return installer_path(in, file);
}

/* Another name for each cluster: who trusts several can tell them apart. */
static int draw_authority(const char *folder, struct error *err)
{
    unsigned char random[NAME_BYTES];
    char text[2 * NAME_BYTES + 1], name[CA_NAME_MAX];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), text);
    snprintf(name, sizeof(name), "DC/OS cluster %s", text);
    int r = ca_create(folder, name, err);
    return r == -EEXIST ? 0 : r;
}

static int draw_credentials(const char *path, struct error *err)
{
    unsigned char bytes[PASSWORD_BYTES];
    _cleanup_secret_ struct buf text = BUF_INIT;
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return error_set(err, -EIO, "OpenSSL gives no random numbers");
    buf_printf(&text, "%s:", ZK_USER);
    base64url_encode(&text, bytes, sizeof(bytes));
    buf_putc(&text, '\n');
    explicit_bzero(bytes, sizeof(bytes));
    return file_write_atomic(path, text.p, text.n, 0600, err);
}

int secrets_draw(const struct installer *in, const struct gen *g, struct error *err)
{
    _cleanup_free_ char *folder = installer_path(in, "secrets");
    _cleanup_free_ char *credentials = secret_path(in, CREDENTIALS);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_errno(err, -errno, "%s", folder);
    int r = draw_authority(folder, err);
    if (r == 0 && uses_zookeeper(g) && !path_exists(credentials))
        r = draw_credentials(credentials, err);
    return r < 0 ? error_prefix(err, r, "%s", folder) : 0;
}

static int copy(struct action_context *c, const char *name, struct error *err)
{
    _cleanup_free_ char *path = secret_path(c->in, name);
    _cleanup_free_ char *remote = xasprintf("%s/%s", SECRETS_FOLDER, name);
    int r = action_copy(c, "copy secrets", path, remote, 0600, err);
    if (r == 0)
        c->steps[c->n_steps - 1].role = "master";
    return r;
}

/* Who upgrades from another folder than that of the installation has drawn others. */
int action_check_secrets(struct action_context *c, struct error *err)
{
    _cleanup_free_ char *path = secret_path(c->in, "dcos-ca.crt");
    _cleanup_buf_ struct buf text = BUF_INIT;
    char digest[SHA256_TEXT];
    int r = file_read(path, CERTIFICATE_MAX, &text, err);
    if (r < 0)
        return r == -ENOENT ? error_set(err, r, "%s is not there: run --genconf first", path) : r;
    sha256_text(text.p, text.n, digest);
    _cleanup_free_ char *command = xasprintf(
        "[ ! -e " SECRETS_FOLDER "/dcos-ca.crt ] || "
        "echo '%s  " SECRETS_FOLDER "/dcos-ca.crt' | sha256sum -c --status || "
        "{ echo 'this master has other secrets than genconf/secrets; put there what it has "
        "in " SECRETS_FOLDER "' >&2; exit 1; }",
        digest);
    strings_add(&c->texts, command);
    struct chain_step *step = action_step(c, "compare secrets");
    step->text = c->texts.items[c->texts.n - 1];
    step->role = "master";
    step->repeatable = true;
    return 0;
}

int action_copy_secrets(struct action_context *c, struct error *err)
{
    struct chain_step *step = action_step(c, "make room for secrets");
    step->text = MAKE_ROOM;
    step->role = "master";
    step->repeatable = true;
    /* The certificate last: with it there is an authority. */
    int r = uses_zookeeper(c->g) ? copy(c, CREDENTIALS, err) : 0;
    if (r == 0)
        r = copy(c, "dcos-ca.key", err);
    return r < 0 ? r : copy(c, "dcos-ca.crt", err);
}
