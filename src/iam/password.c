#include "iam/password.h"

#include <argon2.h>
#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/str.h"

/* The second of the parameter sets that OWASP recommends as equal. */
enum { MEMORY_KIB = 19 * 1024, PASSES = 2, LANES = 1, SALT_SIZE = 16, HASH_SIZE = 32 };

int password_hash(const char *password, char **ret, struct error *err)
{
    uint8_t salt[SALT_SIZE];
    random_bytes(salt, sizeof(salt));
    size_t n = argon2_encodedlen(PASSES, MEMORY_KIB, LANES, SALT_SIZE, HASH_SIZE, Argon2_id);
    char *text = xmalloc(n);
    int r = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
        sizeof(salt), HASH_SIZE, text, n);
    if (r != ARGON2_OK) {
        free(text);
        return error_set(err, -EIO, "cannot hash a password: %s", argon2_error_message(r));
    }
    *ret = text;
    return 0;
}

/* Whoever may import hashes must not be able to make each login cost minutes or gigabytes. */
enum {
    ROUNDS_MAX = 5000000,
    BCRYPT_COST_MAX = 15,
    ARGON2_KIB_MAX = 1024 * 1024,
    ARGON2_PASSES_MAX = 16
};

/* The number behind `name` in "...name=N,...": 0 when there is none. */
static uint64_t parameter(const char *hash, const char *name)
{
    const char *at = strstr(hash, name);
    if (!at)
        return 0;
    at += strlen(name);
    uint64_t n;
    return parse_u64((struct str){at, strspn(at, "0123456789")}, &n) < 0 ? UINT64_MAX : n;
}

int password_hash_check(const char *hash, struct error *err)
{
    static const char *const kinds[] = {"$6$", "$5$", "$2a$", "$2b$", "$2y$", "$y$", "$argon2id$"};
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        known = known || has_prefix(hash, kinds[i]);
    if (!known || strlen(hash) >= PASSWORD_HASH_MAX || strpbrk(hash, " :\n\t"))
        return error_set(err, -EINVAL,
            "not in modular crypt format; accepted are SHA-512 ($6$), SHA-256 ($5$), bcrypt "
            "($2b$), "
            "yescrypt ($y$) and argon2id ($argon2id$)");
    bool dear = parameter(hash, "$rounds=") > ROUNDS_MAX;
    if (hash[1] == '2') {
        uint64_t cost;
        dear = parse_u64((struct str){hash + 4, strspn(hash + 4, "0123456789")}, &cost) < 0 ||
               cost > BCRYPT_COST_MAX;
    }
    if (has_prefix(hash, "$argon2id$"))
        dear = parameter(hash, "m=") > ARGON2_KIB_MAX ||
               parameter(hash, ",t=") > ARGON2_PASSES_MAX ||
               parameter(hash, ",p=") > ARGON2_PASSES_MAX;
    /* yescrypt's cost is one letter: N = 2^(10 + value of 'A'...). */
    if (has_prefix(hash, "$y$"))
        dear = strlen(hash) < 5 || hash[3] != 'j' || hash[4] > 'D';
    if (dear)
        return error_set(
            err, -EINVAL, "verifying it would cost too much; make one with less rounds");
    return 0;
}

static bool verify_crypt(const char *password, const char *hash)
{
    struct crypt_data *data = xcalloc(1, sizeof(*data));
    const char *got = crypt_rn(password, hash, data, (int)sizeof(*data));
    size_t n = strlen(hash);
    bool same = got && strlen(got) == n && CRYPTO_memcmp(got, hash, n) == 0;
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return same;
}

bool password_verify(const char *password, const char *hash)
{
    if (!hash) {
        uint8_t salt[SALT_SIZE] = {0}, out[HASH_SIZE];
        (void)argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
            sizeof(salt), out, sizeof(out));
        return false;
    }
    if (has_prefix(hash, "$argon2id$"))
        return argon2id_verify(hash, password, strlen(password)) == ARGON2_OK;
    return verify_crypt(password, hash);
}
