#ifndef DCOS_CLI_LOGIN_H
#define DCOS_CLI_LOGIN_H

/*
 * Getting a token from a cluster, as the cluster's login providers want it.
 *
 * Which those are is told by /acs/api/v1/auth/providers; where that fails, by the challenge of a
 * call without a token. Everything is sent by the connection that `struct cli` has at the moment.
 */

#include "cli/cli.h"

struct login_flags {
    const char *provider, *username, *password, *password_file, *private_key; /* NULL = not given */
};

#define LOGIN_OPTIONS                                                                              \
    {"password", 0, OPTION_STRING, "Specify the password on the command line (insecure)"},         \
        {"password-file", 0, OPTION_STRING,                                                        \
            "Specify the path to a file that contains the password"},                              \
        {"private-key", 0, OPTION_STRING,                                                          \
            "Specify the path to a file that contains the private key"},                           \
        {"provider", 0, OPTION_STRING, "Specify the authentication provider to use for login"},    \
    {                                                                                              \
        "username", 0, OPTION_STRING, "Specify the username for login"                             \
    }

/* Of the command line, then of DCOS_USERNAME and DCOS_PASSWORD. */
void login_flags_of(const struct invocation *inv, struct login_flags *ret);

/* Object of providers by id, or NULL where the cluster asks for no login. `url` without a slash at
 * its end. */
int login_providers(struct cli *c, const char *url, json_t **ret, struct error *err);
/* What a person calls this way to log in; to be freed. */
char *login_method(const json_t *provider);
/* Id of the one to use; asks when several fit. Borrowed from `providers`. */
int login_choose(const json_t *providers, const struct login_flags *flags, const char **ret_id,
    struct error *err);
/* The token, "" where none is needed; to be freed. */
int login(struct cli *c, const char *url, const struct login_flags *flags, char **ret_token,
    struct error *err);

/* The text of a secret file, which nobody but its owner may read: -EACCES otherwise. */
int private_file_read(const char *path, struct buf *out, struct error *err);
/* Shows a URL to the person, in a browser when there is one. -ENOENT without xdg-open. */
int browser_open(const char *url, struct error *err);

#endif
