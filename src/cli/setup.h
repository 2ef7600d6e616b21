#ifndef DCOS_CLI_SETUP_H
#define DCOS_CLI_SETUP_H

/* Making a cluster known to the CLI: `dcos cluster setup`, and the commands that set one up on the
 * way. */

#include "cli/login.h"

struct setup_flags {
    struct login_flags login;
    const char *ca_certs; /* file of authorities; no question is asked then */
    const char *name;     /* NULL = as the cluster calls itself */
    bool insecure;        /* certificates are not checked */
    bool no_check;        /* the cluster's authority is trusted unseen */
    bool no_timeout;
    bool keep_attached; /* the current cluster stays the current one */
};

#define SETUP_OPTIONS                                                                              \
    {"ca-certs", 0, OPTION_STRING,                                                                 \
        "Specify the path to a file with trusted CAs to verify requests against"},                 \
        {"insecure", 0, OPTION_BOOL, "Allow requests to bypass SSL certificate verification"},     \
        {"name", 0, OPTION_STRING, "Specify a custom name for the cluster"},                       \
        {"no-check", 0, OPTION_BOOL,                                                               \
            "Do not check the CA certificate downloaded from cluster (insecure)"},                 \
        {"no-timeout", 0, OPTION_BOOL, "Wait for answers without a limit"}, LOGIN_OPTIONS

void setup_flags_of(const struct invocation *inv, struct setup_flags *ret);

/* With a scheme ("https://" where there is none), the host in lower case, no slash at the end; to
 * be freed. -EINVAL when it is no URL. */
int setup_url(const char *text, char **ret, struct error *err);
/* Asks the cluster for its authority, logs in, writes the settings, attaches. *ret_id (may be NULL)
 * is the cluster's id, to be freed. Nothing is kept of a setup that fails. */
int setup(struct cli *c, const char *url, const struct setup_flags *flags, char **ret_id,
    struct error *err);

/* ---- authority.c ---- */
/* Whether the error of a request says that the certificate's authority is unknown. */
bool is_unknown_authority(const char *message);
/* The PEM text of <url>/ca/dcos-ca.crt, fetched without checking who sends it, shown, and confirmed
 * unless `no_check`. c->http is another afterwards. */
int authority_fetch(
    struct cli *c, const char *url, bool no_check, struct buf *out, struct error *err);
/* Issuer, validity and fingerprint of the first certificate, as the person sees them. */
int authority_describe(struct str pem, struct buf *out, struct error *err);

#endif
