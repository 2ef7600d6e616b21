#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "release/release.h"

static const char FIRST_REPOSITORY[] = "testing";

static bool is_helper(const char *variant)
{
    return has_suffix(variant, "installer") || has_suffix(variant, "util");
}

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

static json_t *make_metadata(const struct release_config *c, const struct repository *r,
    const char *tag, const json_t *core, const json_t *channel, const json_t *completes)
{
    _cleanup_free_ char *path = repository_channel(r);
    _cleanup_free_ char *url = xasprintf("%s%s", c->preferred->url, r->path);
    json_t *m = json_object(), *bootstraps = json_object(), *own = json_object(),
           *own_bootstraps = json_object(), *urls = json_object();
    const char *variant;
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)completes, variant, complete)
    {
        json_t *id = json_object_get(complete, "bootstrap");
        json_object_set(bootstraps, variant, id);
        if (is_helper(variant))
            continue;
        json_object_set(own, variant, complete);
        json_object_set(own_bootstraps, variant, id);
    }
    for (size_t i = 0; i < c->n; i++) {
        _cleanup_free_ char *at = xasprintf("%s%s/", c->storages[i]->url, path);
        json_object_set_new(urls, c->storages[i]->name, json_string(at));
    }
    json_object_set_new(m, "commit", json_string(r->commit));
    json_object_set_new(m, "tag", json_string(tag));
    json_object_set_new(m, "packages", names_of_packages(completes));
    json_object_set_new(m, "core_artifacts", release_strip_locals(core));
    json_object_set_new(m, "channel_artifacts", release_strip_locals(channel));
    json_object_set_new(m, "complete_dict", own);
    json_object_set_new(m, "all_completes", json_deep_copy(completes));
    json_object_set_new(m, "bootstrap_dict", own_bootstraps);
    json_object_set_new(m, "all_bootstraps", bootstraps);
    json_object_set_new(m, "repository_path", json_string(path));
    json_object_set_new(m, "repository_url", json_string(url));
    json_object_set_new(m, "build_name", json_string(r->channel));
    json_object_set_new(m, "reproducible_artifact_path", json_string(r->path));
    json_object_set_new(m, "storage_urls", urls);
    if (c->cloudformation_s3_url) {
        _cleanup_free_ char *full = xasprintf("%s/%s", c->cloudformation_s3_url, path);
        json_object_set_new(m, "cloudformation_s3_url_full", json_string(full));
    }
    return m;
}

/* Puts everything out; metadata.json, which names all the rest, is last in both stages. */
static int publish(const struct release_options *o, const struct release_config *c,
    const struct repository *r, const char *tag, const json_t *core, json_t *channel,
    const json_t *completes, struct error *err)
{
    json_t *version = json_object();
    json_object_set_new(version, "channel_path", json_string("version"));
    json_object_set_new(version, "content_type", json_string("text/plain; charset=utf-8"));
    json_object_set_new(version, "local_content", json_string(tag));
    json_array_append_new(channel, version);
    _cleanup_json_ json_t *metadata = make_metadata(c, r, tag, core, channel, completes);
    _cleanup_free_ char *text = json_dumps(metadata, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_t *last = json_object();
    json_object_set_new(last, "channel_path", json_string("metadata.json"));
    json_object_set_new(last, "content_type", json_string("application/json"));
    json_object_set_new(last, "local_content", json_string(text));
    json_array_append_new(channel, last);
    _cleanup_json_ json_t *all = json_deep_copy(core), *commands = NULL;
    json_array_extend(all, channel);
    int status = release_commands(r, all, &commands, err);
    return status < 0 ? status : release_run(c, commands, o->noop, err);
}

int release_create(const struct release_options *o, const struct release_config *c,
    const char *channel_name, const char *tag, const char *const *variants, size_t n,
    struct error *err)
{
    const struct repository r = {FIRST_REPOSITORY, channel_name, o->commit};
    _cleanup_json_ json_t *core = json_array(), *channel = json_array(), *completes = json_object();
    if (!storage_path_valid(channel_name))
        return error_set(err, -EINVAL, "%.100s is no name of a channel", channel_name);
    for (size_t i = 0; i < n; i++) {
        const char *variant = streq(variants[i], "default") ? "" : variants[i];
        json_t *complete = NULL;
        log_info("building variant=%s", variants[i]);
        int status = build_variant(o, variant, tag, core, channel, &complete, err);
        if (status < 0)
            return error_prefix(err, status, "variant %s", variants[i]);
        json_object_set_new(completes, key_of(variant), complete);
    }
    return publish(o, c, &r, tag, core, channel, completes, err);
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
                      !json_is_array(json_at(json, "core_artifacts")) ||
                      !json_is_string(json_at(json, "reproducible_artifact_path"))))
        r = error_set(err, -EBADMSG, "it is not what `create` writes");
    if (r == 0)
        r = check_variants(json_at(json, "all_completes"), err);
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

static int make_again(const struct release_options *o, const struct release_config *c,
    const json_t *metadata, json_t *channel, struct error *err)
{
    const char *key, *repository = json_str_at(metadata, "reproducible_artifact_path", "");
    const char *tag = json_str_at(metadata, "tag", "");
    json_t *complete;
    json_object_foreach((json_t *)(uintptr_t)json_at(metadata, "all_completes"), key, complete)
    {
        const char *variant = streq(key, "null") ? "" : key;
        const char *id = json_str_at(complete, "bootstrap", "");
        _cleanup_free_ char *folder = build_folder(o, variant);
        int r = download_variant(o, c, repository, variant, complete, err);
        if (r == 0)
            r = build_installer(o, variant, tag, folder, id, channel, err);
        if (r < 0)
            return error_prefix(err, r, "variant %s", key);
        _cleanup_free_ char *latest = xasprintf(
            "%s%sbootstrap.latest", variant, *variant ? "." : "");
        _cleanup_free_ char *list = xasprintf(
            "%s%scomplete.latest.json", variant, *variant ? "." : "");
        _cleanup_free_ char *text = json_dumps(complete, JSON_INDENT(2) | JSON_SORT_KEYS);
        const char *const texts[][3] = {
            {latest, "text/plain; charset=utf-8", id}, {list, "application/json", text}};
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
            json_t *a = json_object();
            json_object_set_new(a, "channel_path", json_string(texts[i][0]));
            json_object_set_new(a, "content_type", json_string(texts[i][1]));
            json_object_set_new(a, "local_content", json_string(texts[i][2]));
            json_array_append_new(channel, a);
        }
    }
    return 0;
}

int release_promote(const struct release_options *o, const struct release_config *c,
    const char *source, const char *repository, const char *channel_name, struct error *err)
{
    const struct repository r = {repository, channel_name, o->commit};
    _cleanup_json_ json_t *metadata = NULL, *channel = json_array(), *core = NULL;
    if (!*repository || !storage_path_valid(repository) || !storage_path_valid(channel_name))
        return error_set(
            err, -EINVAL, "%.100s/%.100s is no place in a storage", repository, channel_name);
    int status = read_metadata(c, source, &metadata, err);
    if (status < 0)
        return status;
    const char *commit = json_str_at(metadata, "commit", "");
    if (!streq(commit, o->commit))
        return error_set(err, -EINVAL,
            "%s was made of the commit %.50s and these are the sources of %.50s: promote from "
            "there",
            source, commit, o->commit);
    status = make_again(o, c, metadata, channel, err);
    if (status < 0)
        return status;
    const char *from = json_str_at(metadata, "reproducible_artifact_path", "");
    core = json_deep_copy(json_at(metadata, "core_artifacts"));
    for (size_t i = 0; i < json_array_size(core); i++) {
        json_t *a = json_array_get(core, i);
        const char *path = json_str_at(a, "reproducible_path", NULL);
        if (!path)
            continue;
        _cleanup_free_ char *source_path = path_join(from, path);
        json_object_set_new(a, "local_copy_from", json_string(source_path));
    }
    return publish(o, c, &r, json_str_at(metadata, "tag", ""), core, channel,
        json_at(metadata, "all_completes"), err);
}

int release_create_installer(const struct release_options *o, const struct release_config *c,
    const char *source, struct error *err)
{
    _cleanup_json_ json_t *metadata = NULL, *channel = json_array();
    int r = read_metadata(c, source, &metadata, err);
    if (r == 0)
        r = make_again(o, c, metadata, channel, err);
    for (size_t i = 0; r == 0 && i < json_array_size(channel); i++) {
        const char *local = json_str_at(json_array_get(channel, i), "local_path", NULL);
        if (local)
            printf("%s\n", local);
    }
    return r;
}
