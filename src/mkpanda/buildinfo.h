#ifndef DCOS_MKPANDA_BUILDINFO_H
#define DCOS_MKPANDA_BUILDINFO_H

/*
 * buildinfo.json: what a package is built of. docs/pkgpanda.md lists the keys; a variant's file is
 * called "<variant>.buildinfo.json". An empty file counts as {}.
 */

#include "json/json.h"
#include "pkgpanda/names.h"

enum { BUILDINFO_MAX = 1024 * 1024, SOURCES_MAX = 64, REQUIRES_MAX = 256 };
#define BUILDINFO_NAME "buildinfo.json"

enum source_kind { SOURCE_GIT, SOURCE_GIT_LOCAL, SOURCE_URL, SOURCE_URL_EXTRACT, SOURCE_LOCAL };

struct source {
    const char *name; /* folder below src */
    enum source_kind kind;
    const char *git, *ref, *ref_origin; /* git */
    const char *url, *sha1;             /* url, url_extract */
    const char *rel_path;               /* git_local, local: from the package's folder */
};

struct requirement {
    const char *name, *variant; /* variant NULL = the tree's */
};

struct buildinfo {
    char *name;
    char *variant; /* "" = default */
    json_t *json;  /* as read; the fields below point into it */
    struct source *sources;
    size_t n_sources;
    struct requirement *requires;
    size_t n_requires;
    const char *build_script; /* file in the package's folder */
    bool script_given;
    const json_t *environment, *sysctl; /* NULL = not given */
    const char *username, *group;
    bool state_directory;
};

/* One source object; what is returned points into it. -EINVAL with what is wrong. */
int source_parse(const char *name, const json_t *json, struct source *ret, struct error *err);
/* -EINVAL with what is wrong. The text need not end. */
int buildinfo_parse(const char *name, const char *variant, const char *text, size_t n,
    struct buildinfo **ret, struct error *err);
int buildinfo_load(
    const char *folder, const char *variant, struct buildinfo **ret, struct error *err);
void buildinfo_free(struct buildinfo *b);
DEFINE_CLEANUP(struct buildinfo *, buildinfo_free)

/* The variants that a folder has, sorted, "" for the default. None: it is no package. */
int buildinfo_variants(const char *folder, struct strings *ret, struct error *err);
/* "<variant>." or "". Caller frees. */
char *variant_prefix(const char *variant);
/* For people and PKG_VARIANT: "<default>" for "". */
static inline const char *variant_display(const char *variant)
{
    return *variant ? variant : "<default>";
}

#endif
