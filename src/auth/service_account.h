#ifndef DCOS_AUTH_SERVICE_ACCOUNT_H
#define DCOS_AUTH_SERVICE_ACCOUNT_H

/*
 * A daemon that logs in at the identity service with the key of its service account, and always has
 * a token that counts.
 *
 * The file is the secret of a service account as DC/OS tools write it: {"scheme": "RS256", "uid":
 * ..., "private_key": PEM, "login_endpoint": "https://host/acs/api/v1/auth/login"}. It is read anew
 * for each login, so a rotated key counts without a restart.
 *
 * A login is a POST of a token of five minutes that the key signed; the answer's token is shown
 * everywhere until a fourth of its life is left, or until somebody refuses it (401). Then the next
 * login begins, and the old token goes on to be shown until there is another. Failures are tried
 * again after a growing pause: 0.1 to 5 s when the service cannot be reached, 10 to 60 s when it
 * refuses, since it counts refused logins. Each new reason is told in the log, once; never a token.
 */

#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"
#include "io/stream.h"

enum { SERVICE_TOKEN_LIFE_S = 300, SERVICE_ANSWER_MAX = 64 * 1024 };

struct service_account_options {
    struct loop *loop;
    const char *file;
    struct tls_context *tls;          /* for https; NULL: system CAs. It outlives the account */
    void (*on_token)(void *userdata); /* a fresh token is there */
    void *userdata;
    int64_t pause_us, refused_pause_us; /* the first ones; 0 = 0.1 s, 10 s */
};

struct service_account;
/* Reads the file and begins to log in, from the loop. -EINVAL when it is no such secret;
 * *ret_exposed as in secret_file_read(). */
int service_account_new(const struct service_account_options *options, struct service_account **ret,
    bool *ret_exposed, struct error *err);
void service_account_free(struct service_account *a);
const char *service_account_uid(const struct service_account *a);
/* NULL before the first login. */
const char *service_account_token(const struct service_account *a);
/* Somebody answered 401 to the token. Logs in again when the token is older than 10 s, more when
 * fresh ones were refused too: whoever refuses a younger one is asked again first. */
void service_account_refused(struct service_account *a);

/* Appends the token that a service account logs in with, signed by its key (PEM). */
int service_token_make(
    struct str pem, const char *uid, int64_t now_s, struct buf *out, struct error *err);

#endif
