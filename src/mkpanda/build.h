#ifndef DCOS_MKPANDA_BUILD_H
#define DCOS_MKPANDA_BUILD_H

/*
 * Building packages. The id says what a package is made of; what has been built under an id is not
 * built again, and the tarball has the same bytes wherever it is built from the same sources by the
 * same tools.
 */

#include "mkpanda/store.h"

#define PKGPANDA_VERSION "0.2" /* part of ids */

/* Builds a variant, or finds it in the cache or the repository. Its dependencies must be there
 * (their `latest`), unless the store is recursive. *ret_id is the caller's. */
int build_package(
    struct store *s, const char *name, const char *variant, char **ret_id, struct error *err);
/* The package and all it requires, sorted ids, from `latest` files. */
int build_closure(const struct store *s, const char *name, const char *variant, struct strings *ret,
    struct error *err);
/* The id that was built last. -ENOENT "rebuild the dependency". */
int build_latest(
    const struct store *s, const char *name, const char *variant, char **ret_id, struct error *err);
/* Extracts packages of the cache below `root`/packages and makes them active there; links say
 * link_root. Nothing else of the machine is touched. */
int build_install(const struct store *s, const struct strings *ids, const char *root,
    const char *link_root, struct error *err);
/* Packs a folder under a name that appears when it is whole. */
int build_pack(const char *folder, const char *path, struct error *err);

#endif
