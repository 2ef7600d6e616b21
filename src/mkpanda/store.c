#include "mkpanda/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "mkpanda/sandbox.h"
#include "mkpanda/upstream.h"
#include "pkgpanda/id.h"

static bool is_list(const json_t *list)
{
    size_t i;
    json_t *value;
    if (!json_is_array(list))
        return false;
    json_array_foreach((json_t *)(uintptr_t)list, i, value)
    {
        if (!json_is_string(value) || !package_name_valid(str_of(json_string_value(value))))
            return false;
    }
    return true;
}

static bool has(const json_t *list, const char *name)
{
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)list, i, value)
    {
        if (streq(json_string_value(value), name))
            return true;
    }
    return false;
}

static int check_list(
    const struct treeinfo *t, const char *key, const json_t *list, struct error *err)
{
    size_t i;
    json_t *value;
    if (list && !is_list(list))
        return error_set(err, -EINVAL, "%s must be a list of package names", key);
    json_array_foreach((json_t *)(uintptr_t)list, i, value)
    {
        if (list != t->exclude && has(t->exclude, json_string_value(value)))
            return error_set(
                err, -EINVAL, "%s names %s, which is excluded", key, json_string_value(value));
    }
    return 0;
}

static int check_tree(const struct treeinfo *t, struct error *err)
{
    static const char *const known[] = {
        "exclude", "variants", "core_package_list", "bootstrap_package_list"};
    const char *key;
    json_t *value;
    json_object_foreach(t->json, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
            found = found || streq(known[i], key);
        if (!found)
            return error_set(err, -EINVAL, "unknown key '%.64s'", key);
    }
    if (t->variants && !json_is_object(t->variants))
        return error_set(err, -EINVAL, "variants must be an object");
    json_object_foreach((json_t *)(uintptr_t)t->variants, key, value)
    {
        if (!json_is_string(value) && !json_is_null(value))
            return error_set(err, -EINVAL, "variants: '%.64s' must be a string", key);
    }
    int r = check_list(t, known[0], t->exclude, err);
    if (r == 0)
        r = check_list(t, known[2], t->core, err);
    return r < 0 ? r : check_list(t, known[3], t->bootstrap, err);
}

int treeinfo_parse(const char *text, size_t n, struct treeinfo *ret, struct error *err)
{
    struct treeinfo t = {0};
    int r = json_parse(text, n, &t.json, err);
    if (r == 0 && !json_is_object(t.json))
        r = error_set(err, -EINVAL, "must be an object");
    if (r == 0) {
        t.exclude = json_at(t.json, "exclude");
        t.variants = json_at(t.json, "variants");
        t.core = json_at(t.json, "core_package_list");
        t.bootstrap = json_at(t.json, "bootstrap_package_list");
        r = check_tree(&t, err);
    }
    if (r < 0) {
        json_decref(t.json);
        return r;
    }
    *ret = t;
    return 0;
}

int treeinfo_load(
    const struct store *s, const char *variant, struct treeinfo *ret, struct error *err)
{
    _cleanup_free_ char *prefix = variant_prefix(variant);
    _cleanup_free_ char *path = xasprintf("%s/%streeinfo.json", s->folder, prefix);
    _cleanup_buf_ struct buf text = BUF_INIT;
    *ret = (struct treeinfo){0};
    if (!*variant && !path_exists(path))
        return 0;
    int r = file_read(path, BUILDINFO_MAX, &text, err);
    if (r == 0)
        r = treeinfo_parse(buf_cstr(&text), text.n, ret, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

void treeinfo_done(struct treeinfo *t)
{
    json_decref(t->json);
    *t = (struct treeinfo){0};
}

bool treeinfo_excludes(const struct treeinfo *t, const char *name)
{
    return t && has(t->exclude, name);
}

const char *treeinfo_variant(const struct treeinfo *t, const char *name)
{
    return t ? json_str_at(t->variants, name, "") : "";
}

/* ---- the store ---- */

/* Adds the names of folders that hold a package. */
static int find_packages(const char *folder, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        struct stat st;
        _cleanup_strings_ struct strings variants = {0};
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        if (streq(names.items[i], "cache") || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        r = buildinfo_variants(path, &variants, err);
        if (variants.n > 0)
            strings_add(ret, names.items[i]);
    }
    return r;
}

int store_open(struct store *s, const char *folder, struct error *err)
{
    s->folder = xstrdup(folder);
    s->cache = path_join(folder, "cache");
    int r = find_packages(folder, &s->own, err);
    for (size_t i = 0; i < s->own.n && r == 0; i++)
        strings_add(&s->names, s->own.items[i]);
    if (r == 0)
        r = upstream_open(s, err);
    if (r == 0 && s->upstream)
        r = find_packages(s->upstream, &s->names, err);
    strings_sort(&s->names);
    return r < 0 ? r : sandbox_builder(s->builder_root, &s->builder, err);
}

void store_done(struct store *s)
{
    free(s->folder);
    free(s->cache);
    free(s->builder);
    free(s->upstream);
    strings_done(&s->names);
    strings_done(&s->own);
    strings_done(&s->active);
    if (s->upstream_lock > 0)
        fd_close(s->upstream_lock);
}

char *store_package(const struct store *s, const char *name)
{
    return path_join(s->upstream && !strings_has(&s->own, name) ? s->upstream : s->folder, name);
}

char *store_package_cache(const struct store *s, const char *name)
{
    return path_join(s->cache, "packages", name);
}

char *store_tarball(const struct store *s, const char *id)
{
    const char *split = strstr(id, "--");
    return xasprintf("%s/packages/%.*s/%s.tar.xz", s->cache,
        (int)(split ? split - id : (ptrdiff_t)strlen(id)), id, id);
}

/* What files are called while they are made. */
static bool unfinished(const struct store *s, const char *name)
{
    return has_suffix(name, ".part") || strstr(name, ".tmp.") ||
           (streq(name, ".work") && !s->keep_work);
}

int store_lock(const struct store *s, const char *folder, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = mkdir_all(folder, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", folder);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_errno(err, -errno, "cannot lock %s", folder);
    r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        if (unfinished(s, names.items[i]))
            r = remove_tree(path, err);
    }
    return r < 0 ? r : TAKE_FD(fd);
}
