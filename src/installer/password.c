#include <crypt.h>
#include <errno.h>

#include "base/alloc.h"
#include "installer/installer.h"

/* Hashes of passwords for config.yaml. */

enum { ROUNDS = 656000 /* as many as the original's */ };

int password_hash(const char *password, char **ret, struct error *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = xnew(struct crypt_data);
    const char *hash = NULL;
    if (crypt_gensalt_rn("$6$", ROUNDS, NULL, 0, setting, sizeof(setting)))
        hash = crypt_r(password, setting, data);
    if (hash && hash[0] != '*')
        *ret = xstrdup(hash);
    explicit_bzero(data, sizeof(*data));
    free(data);
    return hash && *ret ? 0 : error_set(err, -ENOSYS, "no SHA-512 for passwords in libcrypt");
}
