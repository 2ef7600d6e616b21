#ifndef DCOS_ZK_URL_H
#define DCOS_ZK_URL_H

/*
 * Where a ZooKeeper ensemble is, as Mesos writes it:
 *
 *     zk://[user:password@]host1:port1,host2:port2/path
 *
 * The port is 2181 when it is missing. A flag may also name a file that holds the text, as
 * "file:///path" or as an absolute path, so that passwords stay out of command lines.
 */

#include "base/error.h"
#include "base/flags.h"
#include "base/macro.h"

enum {
    ZK_URL_MAX = 4096,
    ZK_PATH_MAX = 200, /* of the URL's path: it is part of every name that is sent */
    ZK_PORT = 2181,
};

struct zk_url {
    char *servers; /* "host1:port1,host2:port2", for the C client */
    char *path;    /* "/mesos"; never "/" and without a slash at its end */
    char *auth;    /* "user:password" for the scheme digest, or NULL */
};

void zk_url_done(struct zk_url *u);
#define _cleanup_zk_url_ _cleanup_(zk_url_done)

bool zk_is_url(const char *text); /* starts with zk:// */
/* -EINVAL with what is wrong; never shows the password. */
int zk_url_parse(const char *text, struct zk_url *ret, struct error *err);
/* The text itself or, for "file:///path" and "/path", what the file holds, without blanks around
 * it. Caller frees. */
int zk_flag_load(const char *text, char **ret, struct error *err);
/* The text with user and password crossed out, for logs and /flags. Caller frees. */
char *zk_url_shown(const char *text);
/* Does so for the text of every flag that others may look at. */
void zk_hide_passwords(struct flag *flags, size_t n);

#endif
