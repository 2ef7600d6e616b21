#ifndef DCOS_MKPANDA_BOOTSTRAP_H
#define DCOS_MKPANDA_BOOTSTRAP_H

/*
 * Whole trees, and the tarball that a host begins with.
 *
 *   cache/bootstrap/<id>.bootstrap.tar.xz     a root to be unpacked at /opt/mesosphere
 *   cache/bootstrap/<id>.active.json          ids in it
 *   cache/bootstrap/<variant.>bootstrap.latest
 *   cache/complete/<variant.>complete.latest.json   {"bootstrap": id or null, "packages": [ids]}
 */

#include "mkpanda/build.h"

/* Builds the tree's packages, with what they require, and the bootstrap tarball when asked for. */
int build_tree(struct store *s, const char *variant, bool bootstrap, struct error *err);
/* *ret_id is the caller's. */
int build_bootstrap(struct store *s, const struct strings *ids, const char *variant, char **ret_id,
    struct error *err);

#endif
