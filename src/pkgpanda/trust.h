#ifndef DCOS_PKGPANDA_TRUST_H
#define DCOS_PKGPANDA_TRUST_H

/*
 * What is fetched is what was published: SHA-256 and Ed25519 over it.
 *
 * Beside FILE a repository has FILE.sha256, one line as sha256sum writes it ("<64 hex>  <name>\n"),
 * and FILE.sha256.sig, the 64 bytes of an Ed25519 signature over that line. The line holds the
 * file's name, so that one package cannot pass for another. Keys are PEM files (*.pem) in a folder;
 * with at least one there, both are demanded. Without, the digest is checked where there is one:
 * repositories of the original have neither.
 *
 * Digests may also come from whom we trust anyway: the script that installs or upgrades a host
 * holds lines of sha256sum for all that this host is to fetch. They come before what the repository
 * says.
 */

#include "base/buf.h"
#include "base/error.h"

enum {
    TRUST_DIGEST_MAX = 512,
    TRUST_SIGNATURE_SIZE = 64,
    TRUST_KEYS_MAX = 64,
    TRUST_DIGESTS_MAX = 4 * 1024 * 1024 /* bytes of a file of digests */
};

struct trust;

/* NULL or an absent folder: nobody is trusted and nothing demanded. -EBADMSG for a file that is no
 * Ed25519 public key. */
int trust_load(const char *folder, struct trust **ret, struct error *err);
void trust_free(struct trust *t);
DEFINE_CLEANUP(struct trust *, trust_free)
/* What a host goes by: <config_dir>/trusted-keys and, where it is there,
 * <config_dir>/setup-flags/digests.
 */
int trust_load_host(const char *config_dir, bool only, struct trust **ret, struct error *err);
/* Lines of sha256sum, instead of those that were loaded before. With `only`, files that they do not
 * name are not taken. */
int trust_load_digests(struct trust *t, const char *path, bool only, struct error *err);
/* Whether fd holds what the loaded digests say: 1 when it does, 0 when they do not name the file
 * and need not, -EBADMSG. */
int trust_check_known(const struct trust *t, const char *name, int fd, struct error *err);
bool trust_demands_signature(const struct trust *t);

/* Whether the signature is by one of the keys. -EBADMSG when it is not. */
int trust_verify(const struct trust *t, struct str text, struct str signature, struct error *err);
/* Whether fd holds what the line says and the line is about `name`. -EBADMSG. */
int trust_check_digest(int fd, const char *name, struct str line, struct error *err);

/* For who publishes: signs with a PEM private key, 64 bytes to ret. */
int trust_sign(
    const char *key_path, struct str text, uint8_t ret[TRUST_SIGNATURE_SIZE], struct error *err);
/* Writes FILE.sha256, and FILE.sha256.sig when key_path is given. */
int trust_publish(const char *path, const char *key_path, struct error *err);

#endif
