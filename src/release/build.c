#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "pkgpanda/id.h"
#include "pkgpanda/run.h"
#include "pkgpanda/trust.h"
#include "release/release.h"
#include "transfer/download.h"

enum { OUTPUT_SHOWN = 400 };

static const char JSON_TYPE[] = "application/json", TEXT_TYPE[] = "text/plain; charset=utf-8";

char *build_folder(const struct release_options *o, const char *variant)
{
    return path_join(o->work, *variant ? variant : "default");
}

static char *prefix_of(const char *variant)
{
    return *variant ? xasprintf("%s.", variant) : xstrdup("");
}

/* Runs a program; a failure says the end of what it printed. */
static int run(const char *const *argv, const char *cwd, const char *what, struct error *err)
{
    _cleanup_buf_ struct buf output = BUF_INIT;
    const struct run_options options = {.cwd = cwd, .output = &output};
    int status = run_program(argv, &options, err);
    if (status < 0)
        return status;
    struct str text = str_trim(buf_str(&output));
    size_t shown = MIN(text.n, (size_t)OUTPUT_SHOWN);
    if (status > 0)
        return error_set(
            err, -EIO, "%s failed: %.*s", what, (int)shown, text.n ? text.p + text.n - shown : "");
    return 0;
}

int build_take(const char *from, const char *to, struct error *err)
{
    uint64_t bytes;
    _cleanup_free_ char *above = xstrdup(to);
    *strrchr(above, '/') = '\0';
    int r = mkdir_all(above, 0755, err);
    if (r < 0)
        return r;
    (void)unlink(to);
    if (link(from, to) == 0)
        return 0;
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (in < 0 || out < 0)
        return error_errno(err, -errno, "%s", in < 0 ? from : to);
    return MIN(copy_file(in, out, UINT64_MAX, &bytes, err), 0);
}

static void add(
    json_t *list, const char *kind, const char *path, const char *type, const char *local)
{
    json_t *a = json_object();
    json_object_set_new(a, kind, json_string(path));
    if (type)
        json_object_set_new(a, "content_type", json_string(type));
    json_object_set_new(a, "local_path", json_string(local));
    json_array_append_new(list, a);
}

static void add_text(json_t *list, const char *path, const char *type, const char *content)
{
    json_t *a = json_object();
    json_object_set_new(a, "channel_path", json_string(path));
    json_object_set_new(a, "content_type", json_string(type));
    json_object_set_new(a, "local_content", json_string(content));
    json_array_append_new(list, a);
}

/* A file that is named after its contents: to the folder, and with its digest to the list. */
static int add_core(json_t *core, const char *built, const char *folder, const char *path,
    const char *type, struct error *err)
{
    _cleanup_free_ char *local = path_join(folder, path);
    _cleanup_free_ char *digest = xasprintf("%s.sha256", local);
    _cleanup_free_ char *digest_path = xasprintf("%s.sha256", path);
    int r = build_take(built, local, err);
    if (r == 0 && !type)
        r = trust_publish(local, NULL, err);
    if (r < 0)
        return r;
    add(core, "reproducible_path", path, type, local);
    if (!type)
        add(core, "reproducible_path", digest_path, TEXT_TYPE, digest);
    return 0;
}

static int add_package(
    const char *cache, const char *folder, const char *id, json_t *core, struct error *err)
{
    struct package_id parts;
    int r = package_id_parse(id, &parts, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = xasprintf(
        "packages/" STR_FMT "/%s.tar.xz", STR_ARG(parts.name), id);
    _cleanup_free_ char *built = path_join(cache, path);
    return add_core(core, built, folder, path, NULL, err);
}

static int add_bootstrap(
    const char *cache, const char *folder, const char *id, json_t *core, struct error *err)
{
    _cleanup_free_ char *tarball = xasprintf("bootstrap/%s.bootstrap.tar.xz", id);
    _cleanup_free_ char *active = xasprintf("bootstrap/%s.active.json", id);
    _cleanup_free_ char *a = path_join(cache, tarball), *b = path_join(cache, active);
    int r = add_core(core, a, folder, tarball, NULL, err);
    return r < 0 ? r : add_core(core, b, folder, active, JSON_TYPE, err);
}

static int read_complete(const char *path, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    int r = file_read(path, STORAGE_FETCH_MAX, &text, err);
    if (r >= 0)
        r = json_parse(text.p, text.n, &json, err);
    if (r >= 0 &&
        (!json_is_string(json_at(json, "bootstrap")) || !json_is_array(json_at(json, "packages"))))
        r = error_set(err, -EINVAL, "%s: expected bootstrap and packages", path);
    if (r >= 0)
        *ret = TAKE_PTR(json);
    return MIN(r, 0);
}

int build_variant(const struct release_options *o, const char *variant, const char *repository_url,
    json_t *core, json_t **ret_complete, struct error *err)
{
    _cleanup_free_ char *prefix = prefix_of(variant);
    _cleanup_free_ char *folder = build_folder(o, variant);
    _cleanup_free_ char *cache = path_join(o->packages, "cache");
    _cleanup_free_ char *name = xasprintf("complete/%scomplete.latest.json", prefix);
    _cleanup_free_ char *built = path_join(cache, name), *local = path_join(folder, name);
    _cleanup_free_ char *which = xasprintf("--variant=%s", *variant ? variant : "default");
    _cleanup_free_ char *published = xasprintf("--repository-url=%s", repository_url);
    const char *const argv[] = {o->mkpanda, "tree", "--mkbootstrap", which, published, NULL};
    _cleanup_json_ json_t *complete = NULL;
    int r = run(argv, o->packages, "mkpanda", err);
    if (r == 0)
        r = read_complete(built, &complete, err);
    if (r < 0)
        return r;
    const char *id = json_str_at(complete, "bootstrap", "");
    const json_t *packages = json_at(complete, "packages");
    for (size_t i = 0; i < json_array_size(packages) && r == 0; i++)
        r = add_package(cache, folder, json_string_value(json_array_get(packages, i)), core, err);
    if (r == 0)
        r = add_bootstrap(cache, folder, id, core, err);
    if (r == 0)
        r = build_take(built, local, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *latest = xasprintf("%sbootstrap.latest", prefix);
    _cleanup_free_ char *list = xasprintf("%scomplete.latest.json", prefix);
    add_text(core, latest, TEXT_TYPE, id);
    add(core, "channel_path", list, JSON_TYPE, local);
    *ret_complete = TAKE_PTR(complete);
    return 0;
}

/* The installer gets the extension that it is made with, and none that was there before. */
static int add_extension(const struct release_options *o, const char *own, struct error *err)
{
    _cleanup_free_ char *to = path_join(own, "gen_extra");
    int r = remove_tree(to, err);
    if (r < 0 || !path_exists(o->extra))
        return r;
    const char *const argv[] = {"cp", "-aL", "--", o->extra, to, NULL};
    return run(argv, NULL, "copying the extension", err);
}

int build_installer(const struct release_options *o, const char *variant, const char *tag,
    const char *artifacts, const char *bootstrap_id, json_t *channel, struct error *err)
{
    _cleanup_free_ char *prefix = prefix_of(variant);
    _cleanup_free_ char *name = xasprintf("dcos_generate_config.%ssh", prefix);
    _cleanup_free_ char *file = path_join(artifacts, name);
    _cleanup_free_ char *own = path_join(artifacts, "installer");
    _cleanup_free_ char *program = path_join(o->installer, "bin/dcos-installer");
    _cleanup_free_ char *source = realpath(o->installer, NULL);
    if (!source || access(program, X_OK) < 0)
        return error_set(err, -ENOENT,
            "there is no installer in %s; ./dev release makes one, --installer=DIR names another",
            o->installer);
    int r = remove_tree(own, err);
    if (r < 0)
        return r;
    const char *const copy[] = {"cp", "-a", source, own, NULL};
    r = run(copy, NULL, "copying the installer", err);
    if (r == 0)
        r = add_extension(o, own, err);
    _cleanup_free_ char *from = xasprintf("--artifacts=%s", artifacts),
                        *to = xasprintf("--output=%s", file),
                        *version = xasprintf("--version=%s", tag),
                        *commit = xasprintf("--commit=%s", o->commit),
                        *id = xasprintf("--bootstrap-id=%s", bootstrap_id),
                        *which = xasprintf("--variant=%s", variant);
    const char *const argv[] = {program, "bundle", from, to, version, commit, id, which, NULL};
    if (r == 0)
        r = run(argv, NULL, "dcos-installer bundle", err);
    /* For whoever downloads it: minidcos, people with sha256sum. */
    if (r == 0)
        r = trust_publish(file, NULL, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *digest_name = xasprintf("%s.sha256", name);
    _cleanup_free_ char *digest = xasprintf("%s.sha256", file);
    add(channel, "channel_path", name, "application/x-sh", file);
    add(channel, "channel_path", digest_name, TEXT_TYPE, digest);
    return 0;
}
