#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"
#include "gen/cloud.h"
#include "release/release.h"

bool variant_is_helper(const char *variant)
{
    return has_suffix(variant, "installer") || has_suffix(variant, "util");
}

static int add_installers(
    const struct release_options *o, const json_t *metadata, json_t *channel, struct error *err)
{
    const char *tag = json_str_at(metadata, "tag", ""), *key;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)json_at(metadata, "complete_dict"), key, complete)
    {
        const char *variant = streq(key, "null") ? "" : key;
        _cleanup_free_ char *folder = build_folder(o, variant);
        int r = build_installer(
            o, variant, tag, folder, json_str_at(complete, "bootstrap", ""), channel, err);
        if (r < 0)
            return error_prefix(err, r, "variant %s", key);
    }
    return 0;
}

/* Where a cloud's machines find packages: in the storage of the cloud's name when there is one. */
static char *bootstrap_url(const json_t *metadata, const char *cloud)
{
    const char *own = json_str_at(json_at(metadata, "storage_urls"), cloud, NULL);
    return own ? xasprintf("%s%s", own, json_str_at(metadata, "repository_path", ""))
               : xstrdup(json_str_at(metadata, "repository_url", ""));
}

/* Where the folder with templates is, under an address whose files never change. */
static char *template_url(const json_t *metadata, enum cloud_kind kind)
{
    static const char folder[] = "/cloudformation";
    const char *aws = json_str_at(metadata, "cloudformation_s3_url_full", "");
    if (kind == CLOUD_AWS)
        return xstrndup(aws, strlen(aws) - (has_suffix(aws, folder) ? strlen(folder) : 0));
    return xasprintf("%s%s", json_str_at(metadata, "azure_download_url", ""),
        json_str_at(metadata, "reproducible_artifact_path", ""));
}

static int add_cloud(const struct release_options *o, const json_t *metadata, enum cloud_kind kind,
    json_t *channel, struct error *err)
{
    const char *name = kind == CLOUD_AWS ? "aws" : "azure", *key;
    if (kind == CLOUD_AWS && !json_str_at(metadata, "cloudformation_s3_url_full", NULL))
        return error_set(err, -EINVAL,
            "there is no cloudformation_s3_url_full: it was published with --local, which makes "
            "installers only");
    VEC(struct cloud_variant) variants = {0};
    _cleanup_free_ char *folder = path_join(o->work, "cloud"),
                        *bootstrap = bootstrap_url(metadata, name),
                        *templates = template_url(metadata, kind);
    _cleanup_json_ json_t *artifacts = NULL;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)json_at(metadata, "complete_dict"), key, complete)
    {
        vec_push(&variants, (struct cloud_variant){.name = streq(key, "null") ? "" : key,
                                .bootstrap_id = json_str_at(complete, "bootstrap", ""),
                                .package_ids = json_dumps(json_at(complete, "packages"), 0)});
    }
    _cleanup_free_ char *extra = realpath(o->extra, NULL);
    const struct gen_input in = {.folder = folder, .extra = extra};
    const struct cloud_release release = {.in = &in,
        .variants = variants.items,
        .n_variants = variants.n,
        .commit = json_str_at(metadata, "commit", ""),
        .version = json_str_at(metadata, "tag", ""),
        .bootstrap_url = bootstrap,
        .download_url = templates,
        .folder = folder};
    int r = cloud_artifacts(kind, &release, &artifacts, err);
    if (r == 0)
        json_array_extend(channel, artifacts);
    VEC_FOREACH (v, &variants) {
        free((char *)(uintptr_t)v->package_ids);
    }
    vec_done(&variants);
    return r < 0 ? error_prefix(err, r, "templates for %s", name) : 0;
}

int provider_artifacts(
    const struct release_options *o, const json_t *metadata, json_t *channel, struct error *err)
{
    int r = add_installers(o, metadata, channel, err);
    if (r == 0 && !o->local)
        r = add_cloud(o, metadata, CLOUD_AWS, channel, err);
    if (r == 0 && !o->local)
        r = add_cloud(o, metadata, CLOUD_AZURE, channel, err);
    return r;
}
