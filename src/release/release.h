#ifndef DCOS_RELEASE_RELEASE_H
#define DCOS_RELEASE_RELEASE_H

/*
 * Publishing a build.
 *
 * A repository R in a storage holds what is the same whoever made it, under names that say what is
 * in it (R/packages/..., R/bootstrap/...), and channels C: R/C/commit/K/<file> for ever,
 * R/C/<file> for the latest. First everything is put in place (stage 1), then the channel's names
 * are pointed at it by copies inside the storage (stage 2), metadata.json last: a reader never
 * finds a file whose parts are missing, whenever the publisher is cut off.
 */

#include "storage/storage.h"

enum { RELEASE_CONFIG_MAX = 1024 * 1024, COMMIT_LENGTH = 40 };

/* ---- config.c ---- */

struct release_config {
    struct storage **storages;
    size_t n;
    struct storage *preferred;
    char *cloudformation_s3_url; /* of AWS's templates, without a slash at its end; NULL = not given
                                  */
};

/* dcos-release.config.yaml. Values "$NAME" are read from the environment, "$$..." is a dollar. */
int release_config_read(const char *text, size_t n, struct release_config *ret, struct error *err);
void release_config_done(struct release_config *c);

/* ---- artifact.c ---- */

struct repository {
    const char *path;    /* "testing" */
    const char *channel; /* "master"; "" has no part of its own */
    const char *commit;
};

/* "R/C" or "R"; caller frees. */
char *repository_channel(const struct repository *r);
/* "R/C/commit/K"; caller frees. */
char *repository_fixed(const struct repository *r);
/*
 * What must be done for a list of artifacts: {"stage1": [...], "stage2": [...]}, each
 * {"method": "upload"|"copy", "if_not_exists", "args": {...}}. Artifacts are objects of
 * reproducible_path, channel_path, content_type, local_path, local_content, local_copy_from.
 * -EINVAL for unknown keys, no destination, no or two contents. Caller's reference.
 */
int release_commands(
    const struct repository *r, const json_t *artifacts, json_t **ret, struct error *err);
/* A deep copy without keys that begin with "local_". */
json_t *release_strip_locals(const json_t *value);
/* Does them: stage 1 in all storages that are written to, then stage 2. */
int release_run(
    const struct release_config *c, const json_t *commands, bool noop, struct error *err);

/* ---- build.c ---- */

struct release_options {
    const char *config;    /* dcos-release.config.yaml */
    const char *packages;  /* folder of package folders, as mkpanda wants it */
    const char *installer; /* folder with the installer's own files */
    const char *work;      /* where files are put together */
    const char *mkpanda;   /* program */
    const char *extra;     /* folder of an extension of gen, which need not be there */
    const char *commit;    /* of the sources */
    bool noop, local;
};

/* One variant's files: artifacts of its packages and bootstrap are added to `core`, {"bootstrap",
 * "packages"} goes to *ret_complete. variant "" = default. What `repository_url` has is not built.
 */
int build_variant(const struct release_options *o, const char *variant, const char *repository_url,
    json_t *core, json_t **ret_complete, struct error *err);
/* The installer file out of a folder with packages/, bootstrap/ and complete/, added to `channel`.
 */
int build_installer(const struct release_options *o, const char *variant, const char *tag,
    const char *artifacts, const char *bootstrap_id, json_t *channel, struct error *err);
/* A file of this machine under another name, without copying where that can be. */
int build_take(const char *from, const char *to, struct error *err);
/* "<work>/<variant or default>"; caller frees. */
char *build_folder(const struct release_options *o, const char *variant);

/* ---- provider.c ---- */

/* Trees that only help to build others: there is nothing to be installed of them. */
bool variant_is_helper(const char *variant);
/*
 * Adds to `channel` what somebody installs with: the installer of each variant, and unless o->local
 * the templates of clouds. build_folder() of each variant has its files. `metadata` is that of
 * where they will be: all_completes, tag, commit, repository_url, storage_urls and the like.
 */
int provider_artifacts(
    const struct release_options *o, const json_t *metadata, json_t *channel, struct error *err);

/* ---- publish.c ---- */

int release_create(const struct release_options *o, const struct release_config *c,
    const char *channel, const char *tag, const char *const *variants, size_t n, struct error *err);
int release_promote(const struct release_options *o, const struct release_config *c,
    const char *source, const char *repository, const char *channel, struct error *err);
int release_create_installer(const struct release_options *o, const struct release_config *c,
    const char *source, struct error *err);

#endif
