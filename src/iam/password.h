#ifndef DCOS_IAM_PASSWORD_H
#define DCOS_IAM_PASSWORD_H

/*
 * Password hashes. New ones are argon2id (19 MiB, 2 passes, 1 lane); imported ones of crypt(3)
 * (SHA-512 `$6$`, SHA-256, bcrypt, yescrypt) verify as well. Hashing takes tens of milliseconds of
 * processor time: for a worker thread.
 */

#include <stdbool.h>

#include "base/error.h"

/* The hash in modular crypt form, owned by the caller. -EIO. */
int password_hash(const char *password, char **ret, struct error *err);
enum { PASSWORD_HASH_MAX = 512 };
/* Whether an imported hash is of a kind that can be verified here, at a bearable cost. -EINVAL with
 * the reason. */
int password_hash_check(const char *hash, struct error *err);

/* Constant time in the password's contents. `hash` NULL: does the work of a verification and says
 * no, so that time does not tell whether a user exists. */
bool password_verify(const char *password, const char *hash);

#endif
