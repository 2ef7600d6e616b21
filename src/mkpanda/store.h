#ifndef DCOS_MKPANDA_STORE_H
#define DCOS_MKPANDA_STORE_H

/*
 * A folder of package folders, with its cache:
 *
 *   cache/packages/<name>/<id>.tar.xz       what was built or fetched
 *   cache/packages/<name>/<variant.>latest  the id that the package's files gave last
 *   cache/packages/<name>/<source>/         downloads and git mirrors
 *   cache/bootstrap/, cache/complete/       see bootstrap.h
 *   cache/upstream/checkout/                the tree that this one is on top of
 *
 * upstream.json in the folder is one source (buildinfo.h) with another tree: what its packages/ has
 * is here too, but for names that are here already.
 */

#include "mkpanda/buildinfo.h"

struct store {
    char *folder;
    char *cache;
    const char *repository_url; /* NULL = nothing is fetched */
    const char *builder_root;   /* NULL = this machine's system */
    char *builder;              /* sandbox_builder() */
    bool keep_work;             /* leave src and result of builds */
    bool recursive;             /* build dependencies that are not there */
    bool isolated;
    struct strings names;        /* packages, sorted */
    struct strings own;          /* those of them that are in `folder` */
    char *upstream;              /* folder of the others, or NULL */
    int upstream_lock;           /* nobody changes it meanwhile; <= 0: none */
    struct strings active;       /* being built right now, for cycles */
    const struct treeinfo *tree; /* NULL outside of tree builds */
};

/* What a tree's "<variant.>treeinfo.json" says; without the file nothing. */
struct treeinfo {
    json_t *json;
    const json_t *exclude, *variants, *core, *bootstrap; /* NULL = not given */
};

/* Checks out the upstream tree when there is one. */
int store_open(struct store *s, const char *folder, struct error *err);
void store_done(struct store *s);
char *store_package(const struct store *s, const char *name);       /* its folder */
char *store_package_cache(const struct store *s, const char *name); /* caller frees */
char *store_tarball(const struct store *s, const char *id);
/* Makes a folder of the cache where missing, waits for others that write there, and clears away
 * what a run that was cut off left. Close to unlock. */
int store_lock(const struct store *s, const char *folder, struct error *err);

/* ids: every one a member of the store and not excluded; types right. -EINVAL. */
int treeinfo_parse(const char *text, size_t n, struct treeinfo *ret, struct error *err);
int treeinfo_load(
    const struct store *s, const char *variant, struct treeinfo *ret, struct error *err);
void treeinfo_done(struct treeinfo *t);
bool treeinfo_excludes(const struct treeinfo *t, const char *name);
const char *treeinfo_variant(const struct treeinfo *t, const char *name); /* "" = default */

#endif
