#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "release/release.h"

char *repository_channel(const struct repository *r)
{
    return *r->channel ? xasprintf("%s/%s", r->path, r->channel) : xstrdup(r->path);
}

char *repository_fixed(const struct repository *r)
{
    _cleanup_free_ char *channel = repository_channel(r);
    return xasprintf("%s/commit/%s", channel, r->commit);
}

static int check(const json_t *artifact, struct error *err)
{
    static const char *const known[] = {"reproducible_path", "channel_path", "content_type",
        "local_path", "local_content", "local_copy_from"};
    const char *key;
    json_t *value;
    if (!json_is_object(artifact))
        return error_set(err, -EINVAL, "an artifact is no object");
    json_object_foreach((json_t *)(uintptr_t)artifact, key, value)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(known) && !streq(known[i], key))
            i++;
        if (i == ARRAY_SIZE(known))
            return error_set(err, -EINVAL, "an artifact has the unknown key %.100s", key);
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "an artifact's %s is no text", key);
    }
    const bool path = json_at(artifact, "local_path"), content = json_at(artifact, "local_content");
    if (!json_at(artifact, "reproducible_path") && !json_at(artifact, "channel_path"))
        return error_set(err, -EINVAL, "an artifact has no destination");
    if (path == content && !(json_at(artifact, "local_copy_from") && !path))
        return error_set(err, -EINVAL,
            "the artifact %s must have one of local_path and local_content",
            json_str_at(artifact, "reproducible_path", json_str_at(artifact, "channel_path", "")));
    return 0;
}

static json_t *command(const char *method, bool if_not_exists, json_t *args)
{
    json_t *c = json_object();
    json_object_set_new(c, "method", json_string(method));
    json_object_set_new(c, "if_not_exists", json_boolean(if_not_exists));
    json_object_set_new(c, "args", args);
    return c;
}

static json_t *copy_args(const char *from, const char *to)
{
    json_t *args = json_object();
    json_object_set_new(args, "source_path", json_string(from));
    json_object_set_new(args, "destination_path", json_string(to));
    return args;
}

static json_t *upload_args(const json_t *artifact, const char *to, bool no_cache)
{
    json_t *args = json_object();
    json_object_set_new(args, "destination_path", json_string(to));
    json_object_set_new(args, "no_cache", json_boolean(no_cache));
    json_t *content = json_object_get(artifact, "local_content");
    json_object_set(args, content ? "blob" : "local_path",
        content ? content : json_object_get(artifact, "local_path"));
    json_t *type = json_object_get(artifact, "content_type");
    if (type)
        json_object_set(args, "content_type", type);
    return args;
}

/* A destination; `*source` is where the storage has the artifact already, and is set. */
static void reach(const json_t *artifact, char *to, bool if_not_exists, bool no_cache,
    char **source, json_t *stage)
{
    json_array_append_new(
        stage, *source ? command("copy", if_not_exists, copy_args(*source, to))
                       : command("upload", if_not_exists, upload_args(artifact, to, no_cache)));
    free(*source);
    *source = to;
}

int release_commands(
    const struct repository *r, const json_t *artifacts, json_t **ret, struct error *err)
{
    _cleanup_free_ char *channel = repository_channel(r), *fixed = repository_fixed(r);
    _cleanup_json_ json_t *first = json_array(), *second = json_array();
    for (size_t i = 0; i < json_array_size(artifacts); i++) {
        const json_t *a = json_array_get(artifacts, i);
        int status = check(a, err);
        if (status < 0)
            return status;
        const char *from = json_str_at(a, "local_copy_from", NULL);
        const char *name = json_str_at(a, "reproducible_path", NULL);
        _cleanup_free_ char *source = from ? xstrdup(from) : NULL;
        if (name)
            reach(a, xasprintf("%s/%s", r->path, name), true, false, &source, first);
        name = json_str_at(a, "channel_path", NULL);
        if (!name)
            continue;
        reach(a, xasprintf("%s/%s", fixed, name), false, true, &source, first);
        _cleanup_free_ char *latest = xasprintf("%s/%s", channel, name);
        json_array_append_new(second, command("copy", false, copy_args(source, latest)));
    }
    *ret = json_object();
    json_object_set(*ret, "stage1", first);
    json_object_set(*ret, "stage2", second);
    return 0;
}

json_t *release_strip_locals(const json_t *value)
{
    const char *key;
    json_t *member;
    if (json_is_array(value)) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            json_array_append_new(list, release_strip_locals(json_array_get(value, i)));
        return list;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *object = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, key, member) if (!has_prefix(key, "local_"))
        json_object_set_new(object, key, release_strip_locals(member));
    return object;
}

/* ---- doing it ---- */

static int run_one(struct storage *s, const json_t *c, struct error *err)
{
    const json_t *args = json_at(c, "args"), *blob = json_at(args, "blob");
    const char *to = json_str_at(args, "destination_path", "");
    const char *from = json_str_at(args, "source_path", NULL);
    if (json_is_true(json_at(c, "if_not_exists"))) {
        int r = storage_exists(s, to, err);
        if (r != 0)
            return MIN(r, 0);
    }
    if (from)
        return storage_copy(s, from, to, err);
    const struct storage_content content = {.local_path = json_str_at(args, "local_path", NULL),
        .bytes = json_string_value(blob),
        .n = json_string_length(blob),
        .content_type = json_str_at(args, "content_type", NULL),
        .no_cache = json_is_true(json_at(args, "no_cache"))};
    return storage_put(s, to, &content, err);
}

int release_run(
    const struct release_config *c, const json_t *commands, bool noop, struct error *err)
{
    static const char *const stages[] = {"stage1", "stage2"};
    for (size_t k = 0; k < ARRAY_SIZE(stages); k++) {
        const json_t *list = json_at(commands, stages[k]);
        for (size_t i = 0; i < c->n; i++) {
            struct storage *s = c->storages[i];
            if (s->read_only)
                continue;
            for (size_t j = 0; j < json_array_size(list); j++) {
                const json_t *one = json_array_get(list, j);
                const char *to = json_str_at(json_at(one, "args"), "destination_path", "");
                log_info("%s %s storage=%s path=%s", noop ? "would" : "does",
                    json_str_at(one, "method", ""), s->name, to);
                int r = noop ? 0 : run_one(s, one, err);
                if (r < 0)
                    return error_prefix(err, r, "storage %s", s->name);
            }
        }
    }
    return 0;
}
