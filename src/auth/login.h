#ifndef DCOS_AUTH_LOGIN_H
#define DCOS_AUTH_LOGIN_H

/* What a client shows in the header Authorization: a credential, a bearer token that somebody else
 * keeps fresh in a file, or that of a service account which logs in by itself
 * (auth/service_account.h). */

#include "base/buf.h"
#include "base/error.h"
#include "base/flags.h"
#include "base/list.h"

struct login;
struct loop;
struct tls_context;

/* Files as flags name them; at most one of the two, both NULL: nothing is shown. The credential is
 * read now, the token each time. *ret_exposed: others can read the file; the program warns. */
int login_new(const char *credential_file, const char *token_file, struct login **ret,
    bool *ret_exposed, struct error *err);
/* From a principal and the file that holds its secret alone. */
int login_new_secret(const char *principal, const char *secret_file, struct login **ret,
    bool *ret_exposed, struct error *err);
/* The flag that all daemons have in common for who they are at the identity service. */
#define SERVICE_ACCOUNT_FLAG(setting)                                                              \
    {                                                                                              \
        "service_account", FLAG_STRING, (setting), NULL, "PATH",                                   \
            "secret of a service account (JSON with uid, private_key, login_endpoint): this "      \
            "daemon logs in with it, and shows the token to the others"                            \
    }
/* From the secret of a service account. `tls`, for https (NULL: system CAs), outlives it. */
int login_new_service(struct loop *loop, const char *file, struct tls_context *tls,
    struct login **ret, bool *ret_exposed, struct error *err);
/* By whichever flag was given; none: nothing is shown. -EINVAL for more than one. */
struct login_files {
    const char *credential, *token, *service_account;
};
int login_open(struct loop *loop, const struct login_files *files, struct tls_context *tls,
    struct login **ret, bool *ret_exposed, struct error *err);
void login_free(struct login *l);
/* NULL, or the name. That of a token in a file is not known here. */
const char *login_principal(const struct login *l);
/* Appends the header's value; nothing when there is nothing to show, or the token cannot be read.
 */
void login_header(const struct login *l, struct buf *out);

/* False while a service account has no token yet: a call would only be refused. */
bool login_ready(const struct login *l);
/* What was shown was answered with 401: a service account logs in again. NULL is fine. */
void login_refused(struct login *l);
/* fn is told when a service account got a token, the first one and each later one. Whoever waits
 * for login_ready() or was refused tries again then. Without a login nothing happens. */
struct login_watch {
    struct list node;
    void (*fn)(struct login_watch *w);
};
void login_watch(struct login *l, struct login_watch *w, void (*fn)(struct login_watch *w));
void login_unwatch(struct login_watch *w); /* one of zeroes is fine */

#endif
