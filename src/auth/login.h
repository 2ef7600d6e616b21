#ifndef DCOS_AUTH_LOGIN_H
#define DCOS_AUTH_LOGIN_H

/* What a client shows in the header Authorization: a credential, or a bearer token that somebody
 * else keeps fresh in a file. */

#include "base/buf.h"
#include "base/error.h"

struct login;

/* Files as flags name them; at most one of the two, both NULL: nothing is shown. The credential is
 * read now, the token each time. *ret_exposed: others can read the file; the program warns. */
int login_new(const char *credential_file, const char *token_file, struct login **ret,
    bool *ret_exposed, struct error *err);
/* From a principal and the file that holds its secret alone. */
int login_new_secret(const char *principal, const char *secret_file, struct login **ret,
    bool *ret_exposed, struct error *err);
void login_free(struct login *l);
/* NULL, or the name. A token's is not known here. */
const char *login_principal(const struct login *l);
/* Appends the header's value; nothing when there is nothing to show, or the token cannot be read.
 */
void login_header(const struct login *l, struct buf *out);

#endif
