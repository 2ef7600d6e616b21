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

/* What a cluster's masters share and nobody else may know. */

static const char CREDENTIALS[] = "zk_master_credentials", ZK_USER[] = "dcos-master",
                  MAKE_ROOM[] = "mkdir -p /etc/mesosphere && chmod 755 /etc/mesosphere && "
                                "mkdir -p " SECRETS_FOLDER " && chmod 700 " SECRETS_FOLDER;

enum { PASSWORD_BYTES = 32, NAME_BYTES = 4 };

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
