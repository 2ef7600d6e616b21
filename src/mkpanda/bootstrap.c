#include "mkpanda/bootstrap.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pkgpanda/hash.h"

static json_t *list_of(const struct strings *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, json_string(names->items[i]));
    return list;
}

static int make_tarball(
    const struct store *s, const struct strings *ids, const char *tarball, struct error *err)
{
    _cleanup_free_ char *work = path_join(s->cache, "bootstrap", ".work");
    _cleanup_free_ char *root = path_join(work, "opt/mesosphere");
    _cleanup_free_ char *marker = path_join(root, "bootstrap");
    int r = remove_tree(work, err);
    if (r == 0)
        r = mkdir_all(root, 0755, err);
    if (r == 0)
        r = build_install(s, ids, root, "/opt/mesosphere", err);
    if (r == 0)
        r = file_write_atomic(marker, "", 0, 0644, err);
    if (r == 0)
        r = build_pack(root, tarball, err);
    return r < 0 ? r : remove_tree(work, err);
}

int build_bootstrap(struct store *s, const struct strings *ids, const char *variant, char **ret_id,
    struct error *err)
{
    _cleanup_json_ json_t *list = list_of(ids);
    _cleanup_free_ char *folder = path_join(s->cache, "bootstrap");
    _cleanup_free_ char *prefix = variant_prefix(variant);
    _cleanup_buf_ struct buf text = BUF_INIT;
    char id[SHA1_TEXT];
    int r = content_hash(list, id, err);
    if (r < 0)
        return r;
    _cleanup_close_ int lock = store_lock(s, folder, err);
    if (lock < 0)
        return lock;
    _cleanup_free_ char *tarball = xasprintf("%s/%s.bootstrap.tar.xz", folder, id);
    _cleanup_free_ char *active = xasprintf("%s/%s.active.json", folder, id);
    _cleanup_free_ char *latest = xasprintf("%s/%sbootstrap.latest", folder, prefix);
    if (r == 0 && !path_exists(tarball))
        r = make_tarball(s, ids, tarball, err);
    json_write_pretty(list, &text);
    if (r == 0)
        r = file_write_atomic(active, buf_cstr(&text), text.n, 0644, err);
    if (r == 0)
        r = file_write_atomic(latest, id, strlen(id), 0644, err);
    if (r == 0)
        *ret_id = xstrdup(id);
    return r;
}

/* ---- trees ---- */

/* Members by the treeinfo: the core list, or all that have the tree's variant. */
static int members(
    const struct store *s, const json_t *list, struct strings *ret, struct error *err)
{
    size_t i;
    json_t *value;
    if (!list) {
        for (i = 0; i < s->names.n; i++)
            if (!treeinfo_excludes(s->tree, s->names.items[i]))
                strings_add(ret, s->names.items[i]);
        return 0;
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, value)
    {
        const char *name = json_string_value(value);
        if (!strings_has(&s->names, name))
            return error_set(
                err, -EINVAL, "the tree's list names %s, which is no package here", name);
        strings_add(ret, name);
    }
    strings_sort(ret);
    return 0;
}

static int close_over(
    const struct store *s, const struct strings *names, struct strings *ret_ids, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < names->n && r == 0; i++)
        r = build_closure(
            s, names->items[i], treeinfo_variant(s->tree, names->items[i]), ret_ids, err);
    strings_sort(ret_ids);
    return r;
}

static const char *name_twice(const struct strings *ids)
{
    for (size_t i = 1; i < ids->n; i++) {
        size_t n = strcspn(ids->items[i], "-");
        const char *split = strstr(ids->items[i], "--");
        n = split ? (size_t)(split - ids->items[i]) + 2 : n;
        if (strncmp(ids->items[i], ids->items[i - 1], n) == 0)
            return ids->items[i];
    }
    return NULL;
}

static int write_complete(const struct store *s, const char *variant, const char *bootstrap,
    const struct strings *ids, struct error *err)
{
    _cleanup_free_ char *prefix = variant_prefix(variant);
    _cleanup_free_ char *folder = path_join(s->cache, "complete");
    _cleanup_free_ char *path = xasprintf("%s/%scomplete.latest.json", folder, prefix);
    _cleanup_json_ json_t *json = json_object();
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_object_set_new(json, "bootstrap", bootstrap ? json_string(bootstrap) : json_null());
    json_object_set_new(json, "packages", list_of(ids));
    json_write_pretty(json, &text);
    _cleanup_close_ int lock = store_lock(s, folder, err);
    return lock < 0 ? lock : file_write_atomic(path, buf_cstr(&text), text.n, 0644, err);
}

static int build_members(struct store *s, const struct strings *names, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < names->n && r == 0; i++) {
        _cleanup_free_ char *id = NULL;
        r = build_package(s, names->items[i], treeinfo_variant(s->tree, names->items[i]), &id, err);
    }
    return r;
}

static int build_with(struct store *s, const char *variant, bool bootstrap, struct error *err)
{
    _cleanup_strings_ struct strings core = {0}, first = {0}, ids = {0}, bootstrap_ids = {0};
    _cleanup_free_ char *id = NULL;
    int r = members(s, s->tree->core, &core, err);
    if (r == 0)
        r = members(s, s->tree->bootstrap ? s->tree->bootstrap : s->tree->core, &first, err);
    if (r == 0)
        r = build_members(s, &core, err);
    if (r == 0)
        r = close_over(s, &core, &ids, err);
    if (r == 0 && name_twice(&ids))
        return error_set(err, -EINVAL, "the tree needs two variants of %s", name_twice(&ids));
    if (r == 0 && bootstrap) {
        r = close_over(s, &first, &bootstrap_ids, err);
        for (size_t i = 0; i < bootstrap_ids.n && r == 0; i++)
            if (!strings_has(&ids, bootstrap_ids.items[i]))
                r = error_set(err, -EINVAL,
                    "the bootstrap list needs %s, which the tree does not have",
                    bootstrap_ids.items[i]);
        if (r == 0)
            r = build_bootstrap(s, &bootstrap_ids, variant, &id, err);
    }
    return r < 0 ? r : write_complete(s, variant, id, &ids, err);
}

int build_tree(struct store *s, const char *variant, bool bootstrap, struct error *err)
{
    struct treeinfo tree;
    int r = treeinfo_load(s, variant, &tree, err);
    if (r < 0)
        return r;
    s->tree = &tree;
    s->recursive = true;
    r = build_with(s, variant, bootstrap, err);
    s->tree = NULL;
    treeinfo_done(&tree);
    return r;
}
