#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "release/release.h"

static const char FIRST_REPOSITORY[] = "testing";

/* The default variant's key is the text "null". */
static const char *key_of(const char *variant)
{
    return *variant ? variant : "null";
}

static json_t *names_of_packages(const json_t *completes)
{
    _cleanup_strings_ struct strings ids = {0};
    const char *variant;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)completes, variant, complete)
    {
        const json_t *packages = json_at(complete, "packages");
        for (size_t i = 0; i < json_array_size(packages); i++)
            strings_add(&ids, json_string_value(json_array_get(packages, i)));
    }
    strings_sort(&ids);
    json_t *list = json_array();
    for (size_t i = 0; i < ids.n; i++)
        json_array_append_new(list, json_string(ids.items[i]));
    return list;
}

static const char *azure_url(const struct release_config *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (streq(c->storages[i]->name, "azure"))
            return c->storages[i]->url;
    return c->preferred->url;
}

/* metadata.json of a place in the storages, but for what the channel has. */
static json_t *describe(const struct release_config *c, const struct repository *r, const char *tag,
    const json_t *core, const json_t *completes)
{
    _cleanup_free_ char *channel = repository_channel(r), *fixed = repository_fixed(r),
                        *url = xasprintf("%s%s", c->preferred->url, r->path);
    json_t *m = json_object(), *bootstraps = json_object(), *own = json_object(),
           *own_bootstraps = json_object(), *urls = json_object();
    const char *variant;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)completes, variant, complete)
    {
        json_t *id = json_object_get(complete, "bootstrap");
        json_object_set(bootstraps, variant, id);
        if (variant_is_helper(variant))
            continue;
        json_object_set(own, variant, complete);
        json_object_set(own_bootstraps, variant, id);
    }
    for (size_t i = 0; i < c->n; i++)
        json_object_set_new(urls, c->storages[i]->name, json_string(c->storages[i]->url));
    json_object_set_new(m, "commit", json_string(r->commit));
    json_object_set_new(m, "tag", json_string(tag));
    json_object_set_new(m, "packages", names_of_packages(completes));
    json_object_set_new(m, "core_artifacts", release_strip_locals(core));
    json_object_set_new(m, "complete_dict", own);
    json_object_set_new(m, "all_completes", json_deep_copy(completes));
    json_object_set_new(m, "bootstrap_dict", own_bootstraps);
    json_object_set_new(m, "all_bootstraps", bootstraps);
    json_object_set_new(m, "repository_path", json_string(r->path));
    json_object_set_new(m, "repository_url", json_string(url));
    json_object_set_new(m, "build_name", json_string(channel));
    json_object_set_new(m, "reproducible_artifact_path", json_string(fixed));
    json_object_set_new(m, "storage_urls", urls);
    json_object_set_new(m, "azure_download_url", json_string(azure_url(c)));
    if (c->cloudformation_s3_url) {
        _cleanup_free_ char *full = xasprintf(
            "%s/%s/cloudformation", c->cloudformation_s3_url, fixed);
        json_object_set_new(m, "cloudformation_s3_url_full", json_string(full));
    }
    return m;
}

static void add_text(json_t *list, const char *path, const char *type, const char *text)
{
    json_t *a = json_object();
    json_object_set_new(a, "channel_path", json_string(path));
    json_object_set_new(a, "content_type", json_string(type));
    json_object_set_new(a, "local_content", json_string(text));
    json_array_append_new(list, a);
}

/* Puts everything out; metadata.json, which names all the rest, is last in both stages. */
static int publish(const struct release_options *o, const struct release_config *c,
    const struct repository *r, const char *tag, const json_t *core, const json_t *completes,
    struct error *err)
{
    _cleanup_json_ json_t *metadata = describe(c, r, tag, core, completes), *channel = json_array(),
                          *all = json_deep_copy(core), *commands = NULL;
    add_text(channel, "version", "text/plain; charset=utf-8", tag);
    int status = provider_artifacts(o, metadata, channel, err);
    if (status < 0)
        return status;
    json_object_set_new(metadata, "channel_artifacts", release_strip_locals(channel));
    _cleanup_free_ char *text = json_dumps(metadata, JSON_INDENT(2) | JSON_SORT_KEYS);
    add_text(channel, "metadata.json", "application/json", text);
    json_array_extend(all, channel);
    status = release_commands(r, all, &commands, err);
    return status < 0 ? status : release_run(c, commands, o->noop, err);
}

static int need_template_url(
    const struct release_options *o, const struct release_config *c, struct error *err)
{
    if (o->local || c->cloudformation_s3_url)
        return 0;
    return error_set(err, -EINVAL,
        "options.cloudformation_s3_url is missing: where AWS finds templates; --local makes none");
}

int release_create(const struct release_options *o, const struct release_config *c,
    const char *channel_name, const char *tag, const char *const *variants, size_t n,
    struct error *err)
{
    const struct repository r = {FIRST_REPOSITORY, channel_name, o->commit};
    _cleanup_json_ json_t *core = json_array(), *completes = json_object();
    _cleanup_free_ char *url = xasprintf("%s%s", c->preferred->url, r.path);
    if (!storage_path_valid(channel_name))
        return error_set(err, -EINVAL, "%.100s is no name of a channel", channel_name);
    int status = need_template_url(o, c, err);
    for (size_t i = 0; i < n && status == 0; i++) {
        const char *variant = streq(variants[i], "default") ? "" : variants[i];
        json_t *complete = NULL;
        log_info("building variant=%s", variants[i]);
        status = build_variant(o, variant, url, core, &complete, err);
        if (status < 0)
            return error_prefix(err, status, "variant %s", variants[i]);
        json_object_set_new(completes, key_of(variant), complete);
    }
    return status < 0 ? status : publish(o, c, &r, tag, core, completes, err);
}

/* ---- out of what was published ---- */

/* Names of variants become folders here. */
static int check_variants(const json_t *completes, struct error *err)
{
    const char *name;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)completes, name, complete)
    {
        if (!*name || !storage_path_valid(name) || strchr(name, '/'))
            return error_set(err, -EBADMSG, "%.100s is no name of a variant", name);
    }
    return 0;
}

static int read_metadata(
    const struct release_config *c, const char *source, json_t **ret, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/metadata.json", source);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    int r = storage_fetch(c->preferred, path, &text, err);
    if (r == 0)
        r = json_parse(text.p, text.n, &json, err);
    if (r == 0 && (!json_is_object(json_at(json, "all_completes")) ||
                      !json_is_object(json_at(json, "complete_dict")) ||
                      !json_is_array(json_at(json, "core_artifacts")) ||
                      !json_is_string(json_at(json, "repository_path")) ||
                      !json_is_string(json_at(json, "reproducible_artifact_path"))))
        r = error_set(err, -EBADMSG, "it is not what `create` writes");
    if (r == 0)
        r = check_variants(json_at(json, "all_completes"), err);
    if (r == 0)
        r = check_variants(json_at(json, "complete_dict"), err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    *ret = TAKE_PTR(json);
    return 0;
}

/* The published files of one variant, on this machine. */
static int download_variant(const struct release_options *o, const struct release_config *c,
    const char *repository, const char *variant, const json_t *complete, struct error *err)
{
    _cleanup_free_ char *folder = build_folder(o, variant);
    _cleanup_strings_ struct strings paths = {0};
    const json_t *packages = json_at(complete, "packages");
    const char *bootstrap = json_str_at(complete, "bootstrap", "");
    for (size_t i = 0; i < json_array_size(packages); i++) {
        const char *id = json_string_value(json_array_get(packages, i));
        const char *end = id ? strstr(id, "--") : NULL;
        if (!end)
            return error_set(err, -EBADMSG, "metadata.json has a package without an id");
        _cleanup_free_ char *path = xasprintf("packages/%.*s/%s.tar.xz", (int)(end - id), id, id);
        strings_add(&paths, path);
    }
    _cleanup_free_ char *tarball = xasprintf("bootstrap/%s.bootstrap.tar.xz", bootstrap);
    _cleanup_free_ char *active = xasprintf("bootstrap/%s.active.json", bootstrap);
    strings_add(&paths, tarball);
    strings_add(&paths, active);
    for (size_t i = 0; i < paths.n; i++) {
        _cleanup_free_ char *from = path_join(repository, paths.items[i]);
        _cleanup_free_ char *local = path_join(folder, paths.items[i]);
        _cleanup_free_ char *above = xstrdup(local);
        *strrchr(above, '/') = '\0';
        if (path_exists(local))
            continue; /* its name says what is in it */
        if (!storage_path_valid(from))
            return error_set(err, -EBADMSG, "metadata.json has an odd name: %.100s", from);
        int r = mkdir_all(above, 0755, err);
        if (r == 0)
            r = storage_download(c->preferred, from, local, err);
        if (r < 0)
            return r;
    }
    _cleanup_free_ char *list = xasprintf(
        "%s/complete/%s%scomplete.latest.json", folder, variant, *variant ? "." : "");
    _cleanup_free_ char *above = path_join(folder, "complete");
    _cleanup_free_ char *text = json_dumps(complete, JSON_INDENT(2) | JSON_SORT_KEYS);
    int r = mkdir_all(above, 0755, err);
    return r < 0 ? r : file_write_atomic(list, text, strlen(text), 0644, err);
}

static int download_all(const struct release_options *o, const struct release_config *c,
    const json_t *metadata, struct error *err)
{
    const char *key, *repository = json_str_at(metadata, "repository_path", "");
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)json_at(metadata, "complete_dict"), key, complete)
    {
        int r = download_variant(o, c, repository, streq(key, "null") ? "" : key, complete, err);
        if (r < 0)
            return error_prefix(err, r, "variant %s", key);
    }
    return 0;
}

/* Artifacts that are in the storages already: they are copied there. */
static json_t *published_artifacts(const json_t *metadata)
{
    json_t *core = json_deep_copy(json_at(metadata, "core_artifacts"));
    for (size_t i = 0; i < json_array_size(core); i++) {
        json_t *a = json_array_get(core, i);
        const char *path = json_str_at(a, "reproducible_path", NULL);
        const char *below = json_str_at(
            metadata, path ? "repository_path" : "reproducible_artifact_path", "");
        _cleanup_free_ char *from = path_join(
            below, path ? path : json_str_at(a, "channel_path", ""));
        json_object_set_new(a, "local_copy_from", json_string(from));
    }
    return core;
}

int release_promote(const struct release_options *o, const struct release_config *c,
    const char *source, const char *repository, const char *channel_name, struct error *err)
{
    const struct repository r = {repository, channel_name, o->commit};
    _cleanup_json_ json_t *metadata = NULL, *core = NULL;
    if (!*repository || !storage_path_valid(repository) || !storage_path_valid(channel_name))
        return error_set(
            err, -EINVAL, "%.100s/%.100s is no place in a storage", repository, channel_name);
    int status = need_template_url(o, c, err);
    if (status == 0)
        status = read_metadata(c, source, &metadata, err);
    if (status < 0)
        return status;
    const char *commit = json_str_at(metadata, "commit", "");
    if (!streq(commit, o->commit))
        return error_set(err, -EINVAL,
            "%s was made of the commit %.50s and these are the sources of %.50s: promote from "
            "there",
            source, commit, o->commit);
    status = download_all(o, c, metadata, err);
    if (status < 0)
        return status;
    core = published_artifacts(metadata);
    return publish(
        o, c, &r, json_str_at(metadata, "tag", ""), core, json_at(metadata, "all_completes"), err);
}

/* What a channel would get, as a file of this machine. */
static int keep(const struct release_options *o, const json_t *artifact, struct error *err)
{
    const char *name = json_str_at(artifact, "channel_path", NULL);
    const char *from = json_str_at(artifact, "local_path", NULL);
    const char *text = json_str_at(artifact, "local_content", "");
    if (!name)
        return 0;
    _cleanup_free_ char *path = path_join(o->work, "artifacts", name);
    _cleanup_free_ char *above = xstrdup(path);
    *strrchr(above, '/') = '\0';
    int r = mkdir_all(above, 0755, err);
    if (r == 0)
        r = from ? build_take(from, path, err)
                 : file_write_atomic(path, text, strlen(text), 0644, err);
    if (r == 0)
        printf("%s\n", path);
    return r;
}

int release_create_installer(const struct release_options *o, const struct release_config *c,
    const char *source, struct error *err)
{
    _cleanup_json_ json_t *metadata = NULL, *channel = json_array();
    int r = read_metadata(c, source, &metadata, err);
    if (r == 0)
        r = download_all(o, c, metadata, err);
    if (r == 0)
        r = provider_artifacts(o, metadata, channel, err);
    for (size_t i = 0; r == 0 && i < json_array_size(channel); i++)
        r = keep(o, json_array_get(channel, i), err);
    return r;
}
