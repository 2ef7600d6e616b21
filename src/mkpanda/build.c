#include "mkpanda/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "mkpanda/sandbox.h"
#include "mkpanda/source.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/install.h"
#include "pkgpanda/repository.h"
#include "transfer/pack.h"

enum { LATEST_MAX = 1024 };

/* What is known before anything is built. */
struct plan {
    struct buildinfo *info;
    char *folder, *cache, *script;
    struct strings requires; /* ids, direct and indirect, sorted */
    json_t *sources;         /* name to identity */
    json_t *extra;           /* hash text, or NULL */
    json_t *ids;             /* what the id is made of */
    char *id, *version;
};

static void plan_done(struct plan *p)
{
    if (p->info)
        buildinfo_free(p->info);
    free(p->folder);
    free(p->cache);
    free(p->script);
    strings_done(&p->requires);
    json_decref(p->sources);
    json_decref(p->extra);
    json_decref(p->ids);
    free(p->id);
    free(p->version);
}

/* ---- what is there ---- */

static char *latest_path(const struct store *s, const char *name, const char *variant)
{
    _cleanup_free_ char *prefix = variant_prefix(variant);
    return xasprintf("%s/packages/%s/%slatest", s->cache, name, prefix);
}

int build_latest(
    const struct store *s, const char *name, const char *variant, char **ret_id, struct error *err)
{
    _cleanup_free_ char *path = latest_path(s, name, variant);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct package_id parts;
    if (path_exists(path)) {
        int r = file_read(path, LATEST_MAX, &text, err);
        if (r < 0)
            return r;
        _cleanup_free_ char *id = str_dup(str_trim(buf_str(&text)));
        _cleanup_free_ char *tarball = store_tarball(s, id);
        if (package_id_parse(id, &parts, NULL) == 0 && path_exists(tarball)) {
            *ret_id = TAKE_PTR(id);
            return 0;
        }
    }
    return error_set(err, -ENOENT,
        "package %s variant %s has not been built: rebuild the dependency", name,
        variant_display(variant));
}

struct wanted {
    struct strings names, variants, ids;
};

static int gather(const struct store *s, const char *name, const char *variant, struct wanted *w,
    struct error *err)
{
    for (size_t i = 0; i < w->names.n; i++) {
        if (!streq(w->names.items[i], name))
            continue;
        if (streq(w->variants.items[i], variant))
            return 0;
        return error_set(err, -EINVAL, "package %s is required as variant %s and as variant %s",
            name, variant_display(w->variants.items[i]), variant_display(variant));
    }
    _cleanup_(buildinfo_freep)
    struct buildinfo *info = NULL;
    _cleanup_free_ char *folder = store_package(s, name);
    _cleanup_free_ char *id = NULL;
    int r = buildinfo_load(folder, variant, &info, err);
    if (r == 0)
        r = build_latest(s, name, variant, &id, err);
    if (r < 0)
        return r;
    strings_add(&w->names, name);
    strings_add(&w->variants, variant);
    strings_add(&w->ids, id);
    for (size_t i = 0; i < info->n_requires && r == 0; i++) {
        const struct requirement *q = &info->requires[i];
        r = gather(
            s, q->name, q->variant ? q->variant : treeinfo_variant(s->tree, q->name), w, err);
    }
    return r;
}

/* The variant that is required. Within a tree there is one variant of a package. */
static int required_variant(const struct store *s, const char *by, const struct requirement *q,
    const char **ret, struct error *err)
{
    const char *of_tree = treeinfo_variant(s->tree, q->name);
    if (s->tree && q->variant && !streq(q->variant, of_tree))
        return error_set(err, -EINVAL, "%s requires variant %s of %s, the tree has variant %s", by,
            variant_display(q->variant), q->name, variant_display(of_tree));
    *ret = q->variant ? q->variant : of_tree;
    return 0;
}

static void wanted_done(struct wanted *w)
{
    strings_done(&w->names);
    strings_done(&w->variants);
    strings_done(&w->ids);
}

int build_closure(const struct store *s, const char *name, const char *variant, struct strings *ret,
    struct error *err)
{
    struct wanted w = {0};
    int r = gather(s, name, variant, &w, err);
    for (size_t i = 0; i < w.ids.n && r == 0; i++)
        strings_add(ret, w.ids.items[i]);
    strings_sort(ret);
    wanted_done(&w);
    return r;
}

/* ---- the plan ---- */

static int require_all(struct store *s, struct plan *p, struct error *err)
{
    struct wanted w = {0};
    int r = 0;
    for (size_t i = 0; i < p->info->n_requires && r == 0; i++) {
        const struct requirement *q = &p->info->requires[i];
        const char *variant = "";
        if (!strings_has(&s->names, q->name))
            r = error_set(
                err, -EINVAL, "%s requires %s, which is no package here", p->info->name, q->name);
        if (r == 0)
            r = required_variant(s, p->info->name, q, &variant, err);
        if (r == 0 && s->recursive) {
            _cleanup_free_ char *id = NULL;
            r = build_package(s, q->name, variant, &id, err);
        }
        if (r == 0)
            r = gather(s, q->name, variant, &w, err);
    }
    for (size_t i = 0; i < w.ids.n && r == 0; i++)
        strings_add(&p->requires, w.ids.items[i]);
    strings_sort(&p->requires);
    wanted_done(&w);
    return r;
}

static int identify_sources(struct plan *p, struct error *err)
{
    p->sources = json_object();
    for (size_t i = 0; i < p->info->n_sources; i++) {
        json_t *identity = NULL;
        int r = source_identity(&p->info->sources[i], p->folder, &identity, err);
        if (r < 0)
            return r;
        json_object_set_new(p->sources, p->info->sources[i].name, identity);
    }
    _cleanup_free_ char *extra = path_join(p->folder, "extra");
    if (!path_exists(extra))
        return 0;
    _cleanup_json_ json_t *files = NULL;
    char hash[SHA1_TEXT];
    int r = hash_folder(extra, false, &files, err);
    if (r == 0)
        r = content_hash(files, hash, err);
    if (r == 0)
        p->extra = json_string(hash);
    return r;
}

static json_t *list_of(const struct strings *names)
{
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, json_string(names->items[i]));
    return list;
}

static json_t *copy_or(const json_t *value, json_t *otherwise)
{
    if (!value)
        return otherwise;
    json_decref(otherwise);
    return json_deep_copy(value);
}

static int make_id(const struct store *s, struct plan *p, struct error *err)
{
    const struct buildinfo *b = p->info;
    char script[SHA1_TEXT], hash[SHA1_TEXT];
    _cleanup_free_ char *path = path_join(p->folder, p->script);
    int r = sha1_file(path, script, err);
    if (r < 0)
        return r;
    json_t *ids = p->ids = json_object();
    json_object_set(ids, "sources", p->sources);
    json_object_set_new(ids, "build", json_string(script));
    json_object_set_new(ids, "docker", json_string(s->builder));
    json_object_set_new(ids, "requires", list_of(&p->requires));
    json_object_set_new(ids, "name", json_string(b->name));
    json_object_set_new(ids, "variant", json_string(b->variant));
    json_object_set_new(ids, "pkgpanda_version", json_string(PKGPANDA_VERSION));
    json_object_set_new(ids, "environment", copy_or(b->environment, json_object()));
    json_object_set_new(ids, "state_directory", json_boolean(b->state_directory));
    if (b->username)
        json_object_set_new(ids, "username", json_string(b->username));
    if (b->group)
        json_object_set_new(ids, "group", json_string(b->group));
    if (b->sysctl)
        json_object_set_new(ids, "sysctl", json_deep_copy(b->sysctl));
    if (p->extra)
        json_object_set(ids, "extra_source", p->extra);
    r = content_hash(ids, hash, err);
    if (r == 0) {
        p->version = xstrdup(hash);
        p->id = xasprintf("%s--%s", b->name, hash);
    }
    return r;
}

static int make_plan(
    struct store *s, const char *name, const char *variant, struct plan *p, struct error *err)
{
    p->folder = store_package(s, name);
    p->cache = store_package_cache(s, name);
    int r = buildinfo_load(p->folder, variant, &p->info, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *prefix = variant_prefix(variant);
    p->script = p->info->build_script ? xstrdup(p->info->build_script)
                                      : xasprintf("%sbuild", prefix);
    r = require_all(s, p, err);
    if (r == 0)
        r = identify_sources(p, err);
    return r < 0 ? r : make_id(s, p, err);
}

/* ---- files of the result ---- */

static int write_json(const char *folder, const char *name, const json_t *json, struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_write_pretty(json, &text);
    return file_write_atomic(path, buf_cstr(&text), text.n, 0644, err);
}

static int write_pkginfo(const struct plan *p, const char *result, struct error *err)
{
    static const char *const optional[] = {"sysctl", "username", "group"};
    _cleanup_json_ json_t *json = json_object();
    json_object_set_new(json, "environment", copy_or(p->info->environment, json_object()));
    json_object_set_new(
        json, "requires", copy_or(json_at(p->info->json, "requires"), json_array()));
    json_object_set_new(json, "state_directory", json_boolean(p->info->state_directory));
    for (size_t i = 0; i < ARRAY_SIZE(optional); i++) {
        json_t *value = json_object_get(p->info->json, optional[i]);
        if (value)
            json_object_set(json, optional[i], value);
    }
    return write_json(result, "pkginfo.json", json, err);
}

static int write_buildinfo(const struct plan *p, const char *result, struct error *err)
{
    _cleanup_json_ json_t *json = json_deep_copy(p->info->json);
    json_t *sources = json_object();
    const char *name;
    json_t *identity;
    json_object_foreach(p->sources, name, identity)
    {
        const json_t *given = json_at(json_at(p->info->json, "sources"), name);
        json_t *one = json_deep_copy(given ? given : json_at(p->info->json, "single_source"));
        json_object_update(one, identity);
        json_object_set_new(sources, name, one);
    }
    json_object_del(json, "single_source");
    json_object_set_new(json, "sources", sources);
    if (p->extra)
        json_object_set(json, "extra_source", p->extra);
    json_object_set(json, "build_ids", p->ids);
    json_object_set_new(json, "package_version", json_string(p->version));
    json_object_set_new(json, "name", json_string(p->info->name));
    json_object_set_new(json, "variant", json_string(p->info->variant));
    return write_json(result, "buildinfo.full.json", json, err);
}

static int check_units(const char *result, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(result, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        if (!has_prefix(names.items[i], WANTS_NAME))
            continue;
        _cleanup_free_ char *path = path_join(result, names.items[i]);
        _cleanup_strings_ struct strings units = {0};
        r = strings_read_folder(path, &units, err);
        for (size_t j = 0; j < units.n && r == 0; j++)
            if (unit_name_reserved(units.items[j]))
                r = error_set(
                    err, -EINVAL, "%s holds the reserved unit %s", names.items[i], units.items[j]);
    }
    return r;
}

int build_pack(const char *folder, const char *path, struct error *err)
{
    _cleanup_free_ char *making = xasprintf("%s.part", path);
    _cleanup_close_ int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (root < 0 || fd < 0)
        return error_errno(err, -errno, "cannot pack %s", folder);
    int r = pack_tree(root, PACK_XZ, fd, err);
    if (r == 0 && (fsync(fd) < 0 || rename(making, path) < 0))
        r = error_errno(err, -errno, "cannot create %s", path);
    if (r < 0)
        (void)unlink(making); /* a full disk has no room for it */
    return r;
}

/* ---- the build ---- */

int build_install(const struct store *s, const struct strings *ids, const char *root,
    const char *link_root, struct error *err)
{
    static const struct strings nobody = {0};
    _cleanup_free_ char *repository = path_join(root, "packages");
    _cleanup_free_ char *link_repository = path_join(link_root, "packages");
    int r = mkdir_all(repository, 0755, err);
    for (size_t i = 0; i < ids->n && r >= 0; i++) {
        _cleanup_free_ char *tarball = store_tarball(s, ids->items[i]);
        r = repository_add(repository, tarball, ids->items[i], err);
    }
    const struct install in = {.root = root,
        .repository = repository,
        .config_dir = "/nonexistent",
        .state_dir_root = "/nonexistent",
        .link_root = link_root,
        .link_repository = link_repository,
        .roles = &nobody};
    return r < 0 ? r : install_activate(&in, ids, err);
}

static int check_out(const struct plan *p, const char *work, struct error *err)
{
    for (size_t i = 0; i < p->info->n_sources; i++) {
        const struct source *source = &p->info->sources[i];
        _cleanup_free_ char *to = path_join(work, "src", source->name);
        _cleanup_free_ char *cache = path_join(p->cache, source->name);
        int r = mkdir_all(to, 0755, err);
        if (r == 0)
            r = source_checkout(source, p->folder, cache, to, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_folders(const char *work, struct error *err)
{
    static const char *const folders[] = {"src", "result", "opt", "root"};
    int r = remove_tree(work, err);
    for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++) {
        _cleanup_free_ char *path = path_join(work, folders[i]);
        r = mkdir_all(path, 0755, err);
    }
    return r;
}

static int run_build(const struct store *s, const struct plan *p, const char *work,
    const char *tarball, struct error *err)
{
    _cleanup_free_ char *opt = path_join(work, "opt");
    _cleanup_free_ char *result = path_join(work, "result");
    int r = make_folders(work, err);
    if (r == 0)
        r = check_out(p, work, err);
    if (r == 0)
        r = build_install(s, &p->requires, opt, s->isolated ? "/opt/mesosphere" : opt, err);
    if (r < 0)
        return r;
    const struct sandbox sandbox = {.work = work,
        .package = p->folder,
        .script = p->script,
        .id = p->id,
        .name = p->info->name,
        .version = p->version,
        .variant = variant_display(p->info->variant),
        .builder_root = s->builder_root,
        .isolated = s->isolated,
        .log_fd = STDERR_FILENO};
    r = sandbox_run(&sandbox, err);
    if (r == 0)
        r = check_units(result, err);
    if (r == 0)
        r = write_pkginfo(p, result, err);
    if (r == 0)
        r = write_buildinfo(p, result, err);
    return r < 0 ? r : build_pack(result, tarball, err);
}

/* 1 when the repository had it. One that cannot be read is not asked again: building takes its
 * place. Servers that do not list what they have answer 403 for what they have not. */
static int try_fetch(struct store *s, const struct plan *p, const char *tarball, struct error *err)
{
    struct error why = ERROR_INIT;
    if (!s->repository_url)
        return 0;
    _cleanup_free_ char *making = xasprintf("%s.part", tarball);
    _cleanup_free_ char *path = xasprintf("packages/%s/%s.tar.xz", p->info->name, p->id);
    _cleanup_close_ int fd = open(making, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, -errno, "cannot create %s", making);
    int r = repository_fetch_file(s->repository_url, path, fd, PACKAGE_BYTES_MAX, NULL, &why);
    if (r < 0) {
        (void)unlink(making);
        if (r != -ENOENT && r != -EACCES) {
            fprintf(stderr, "WARNING: the repository is not asked again: %s\n", why.msg);
            s->repository_url = NULL;
        }
        return 0;
    }
    return fsync(fd) < 0 || rename(making, tarball) < 0
               ? error_errno(err, -errno, "cannot create %s", tarball)
               : 1;
}

static int obtain(struct store *s, const struct plan *p, struct error *err)
{
    _cleanup_free_ char *tarball = store_tarball(s, p->id);
    _cleanup_free_ char *work = path_join(p->cache, ".work");
    int r = path_exists(tarball) ? 1 : try_fetch(s, p, tarball, err);
    if (r == 0) {
        fprintf(stderr, "building %s variant %s as %s\n", p->info->name,
            variant_display(p->info->variant), p->id);
        r = run_build(s, p, work, tarball, err);
        if (!s->keep_work && r == 0)
            r = remove_tree(work, err);
    }
    _cleanup_free_ char *latest = latest_path(s, p->info->name, p->info->variant);
    return r < 0 ? r : file_write_atomic(latest, p->id, strlen(p->id), 0644, err);
}

int build_package(
    struct store *s, const char *name, const char *variant, char **ret_id, struct error *err)
{
    struct plan p = {0};
    if (strings_has(&s->active, name))
        return error_set(err, -EINVAL, "package %s requires itself, by way of others", name);
    if (!strings_has(&s->names, name))
        return error_set(err, -EINVAL, "%s is no package here", name);
    if (treeinfo_excludes(s->tree, name))
        return error_set(err, -EINVAL, "package %s is excluded from the tree but required", name);
    strings_add(&s->active, name);
    int r = make_plan(s, name, variant, &p, err);
    if (r == 0) {
        _cleanup_close_ int lock = store_lock(s, p.cache, err);
        r = lock < 0 ? lock : obtain(s, &p, err);
    }
    free(vec_pop(&s->active));
    if (r == 0)
        *ret_id = xstrdup(p.id);
    else if (!has_prefix(err->msg, "package "))
        error_prefix(err, r, "package %s variant %s", name, variant_display(variant));
    plan_done(&p);
    return r;
}
