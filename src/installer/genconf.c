#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "installer/installer.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/names.h"
#include "pkgpanda/repository.h"
#include "pkgpanda/trust.h"
#include "transfer/download.h"

/* The folder that nodes fetch from. */

#define DIGESTS_FILE "state/digests"

struct publish {
    const struct installer *in;
    const struct gen *g;
    char *serve;
    struct strings made; /* files that were not there before */
    struct buf digests;  /* a line of sha256sum for each file that nodes fetch */
};

/* ---- artifacts ---- */

static int read_digest(const char *path, struct buf *line, struct error *err)
{
    _cleanup_free_ char *name = xasprintf("%s.sha256", path);
    int r = file_read(name, TRUST_DIGEST_MAX, line, err);
    return r < 0 ? error_prefix(err, r, "the installer's own files are not complete") : 0;
}

static int check_artifact(const char *path, const struct buf *line, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "%s", path);
    int r = trust_check_digest(fd, strrchr(path, '/') + 1, buf_str(line), err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

/* The file itself when both are on one file system: artifacts are never written to. */
static int link_or_copy(const char *from, const char *to, struct error *err)
{
    uint64_t bytes;
    if (unlink(to) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "%s", to);
    if (link(from, to) == 0)
        return 0;
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (in < 0 || out < 0)
        return error_errno(err, -errno, "%s", in < 0 ? from : to);
    int r = copy_file(in, out, UINT64_MAX, &bytes, err);
    if (r == 0 && fsync(out) < 0)
        r = error_errno(err, -errno, "fsync");
    return r < 0 ? error_prefix(err, r, "%s", to) : 0;
}

/* The digest that an artifact came with, or our own of what was made here. */
static void note_digest(struct publish *p, const struct buf *line)
{
    struct str rest = buf_str(line), first;
    if (str_split(&rest, '\n', &first))
        buf_printf(&p->digests, STR_FMT "\n", STR_ARG(first));
}

static int note_file(struct publish *p, const char *path, struct error *err)
{
    char sum[SHA256_TEXT];
    _cleanup_buf_ struct buf line = BUF_INIT;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "%s", path);
    int r = sha256_fd(fd, sum, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    buf_printf(&line, "%s  %s\n", sum, strrchr(path, '/') + 1);
    note_digest(p, &line);
    return 0;
}

/* Copies artifacts/<path> to serve/<path> with its digest, unless it is there and right. */
static int publish_artifact(struct publish *p, const char *path, struct error *err)
{
    _cleanup_free_ char *from = path_join(p->in->artifacts, path), *to = path_join(p->serve, path);
    _cleanup_free_ char *part = xasprintf("%s.tmp.%d", to, (int)getpid()),
                        *digest = xasprintf("%s.sha256", to);
    _cleanup_buf_ struct buf line = BUF_INIT;
    int r = read_digest(from, &line, err);
    if (r < 0)
        return r;
    note_digest(p, &line);
    if (path_exists(to) && path_exists(digest) && check_artifact(to, &line, NULL) == 0)
        return 0;
    bool is_new = !path_exists(to);
    r = check_artifact(from, &line, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder = xstrndup(to, (size_t)(strrchr(to, '/') - to));
    r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = link_or_copy(from, part, err);
    if (r == 0 && rename(part, to) < 0)
        r = error_errno(err, -errno, "%s", to);
    (void)unlink(part); /* also when both were the same file: then rename does nothing */
    if (r < 0)
        return r;
    if (is_new) {
        strings_add(&p->made, to);
        strings_add(&p->made, digest);
    }
    return file_write_atomic(digest, line.p, line.n, 0644, err);
}

static int publish_bootstrap(struct publish *p, struct error *err)
{
    _cleanup_free_ char *tarball = xasprintf("bootstrap/%s.bootstrap.tar.xz", p->in->bootstrap_id);
    _cleanup_free_ char *active = xasprintf("bootstrap/%s.active.json", p->in->bootstrap_id);
    int r = publish_artifact(p, tarball, err);
    return r < 0 ? r : publish_artifact(p, active, err);
}

char *package_file(const char *id)
{
    const char *dashes = strstr(id, "--");
    int n = dashes ? (int)(dashes - id) : (int)strlen(id);
    return xasprintf("packages/%.*s/%s.tar.xz", n, id, id);
}

int cluster_package_ids(
    const struct installer *in, const struct gen *g, json_t **ret, struct error *err)
{
    _cleanup_free_ char *name = xasprintf(
        "serve/package_lists/%s.package_list.json", config_value(g, "cluster_package_list_id", ""));
    _cleanup_free_ char *path = installer_path(in, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *ids = NULL;
    size_t i;
    json_t *id;
    if (!path_exists(path))
        return error_set(err, -ENOENT, "%s is not there: run --genconf first", path);
    int r = file_read(path, PACKAGE_LIST_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &ids, err);
    if (r == 0 && !json_is_array(ids))
        r = error_set(err, -EBADMSG, "it is no list");
    json_array_foreach(ids, i, id)
    {
        if (r == 0 && !json_is_string(id))
            r = error_set(err, -EBADMSG, "it is no list of ids");
    }
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    *ret = TAKE_PTR(ids);
    return 0;
}

/* Packages of the cluster: those that the installer brings, and those that were made just now. */
static int publish_packages(struct publish *p, struct error *err)
{
    _cleanup_json_ json_t *ids = NULL;
    size_t i;
    json_t *id;
    int r = cluster_package_ids(p->in, p->g, &ids, err);
    json_array_foreach(ids, i, id)
    {
        _cleanup_free_ char *file = package_file(json_string_value(id));
        _cleanup_free_ char *from = path_join(p->in->artifacts, file);
        _cleanup_free_ char *here = path_join(p->serve, file);
        if (path_exists(from)) {
            r = publish_artifact(p, file, err);
        } else if (path_exists(here)) {
            r = trust_publish(here, NULL, err);
            if (r == 0)
                r = note_file(p, here, err);
        } else {
            r = error_set(
                err, -ENOENT, "package %s is neither in the installer nor made by it", file);
        }
        if (r < 0)
            break;
    }
    return r;
}

static void take_name(struct strings *list, char *name)
{
    strings_add(list, name);
    free(name);
}

int genconf_copy(const struct installer *in, const json_t *ids, const char *folder,
    struct strings *paths, struct error *err)
{
    struct publish p = {.in = in, .serve = (char *)(uintptr_t)folder};
    _cleanup_strings_ struct strings own = {0};
    take_name(&own, xasprintf("bootstrap/%s.bootstrap.tar.xz", in->bootstrap_id));
    take_name(&own, xasprintf("bootstrap/%s.active.json", in->bootstrap_id));
    for (size_t i = 0; i < json_array_size(ids); i++)
        take_name(&own, package_file(json_string_value(json_array_get(ids, i))));
    int r = 0;
    for (size_t i = 0; i < own.n && r == 0; i++) {
        r = publish_artifact(&p, own.items[i], err);
        strings_add(paths, own.items[i]);
        take_name(paths, xasprintf("%s.sha256", own.items[i]));
    }
    strings_done(&p.made);
    buf_done(&p.digests);
    return r;
}

/* ---- small files ---- */

static int write_text(const char *folder, const char *name, const char *text, size_t n, mode_t mode,
    struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, name);
    return file_write_atomic(path, text, n, mode, err);
}

static int write_latest(struct publish *p, struct error *err)
{
    const char *packages = config_value(p->g, "cluster_packages", "{}");
    _cleanup_json_ json_t *parsed = NULL;
    _cleanup_buf_ struct buf pretty = BUF_INIT;
    int r = json_parse(packages, strlen(packages), &parsed, err);
    if (r < 0)
        return r;
    json_write_pretty(parsed, &pretty);
    r = write_text(
        p->serve, "bootstrap.latest", p->in->bootstrap_id, strlen(p->in->bootstrap_id), 0644, err);
    if (r == 0)
        r = write_text(p->in->genconf, "cluster_packages.json", pretty.p, pretty.n, 0644, err);
    return r;
}

static int note_package_list(struct publish *p, struct error *err)
{
    _cleanup_free_ char *name = xasprintf(
        "package_lists/%s.package_list.json", config_value(p->g, "cluster_package_list_id", ""));
    _cleanup_free_ char *path = path_join(p->serve, name);
    return note_file(p, path, err);
}

/* Beside the folder that is served, not in it: an upgrade of later takes them from there. */
static int write_digests(struct publish *p, struct error *err)
{
    _cleanup_free_ char *state = installer_path(p->in, "state"),
                        *path = installer_path(p->in, DIGESTS_FILE);
    int r = mkdir_all(state, 0755, err);
    return r < 0 ? r : file_write_atomic(path, p->digests.p, p->digests.n, 0644, err);
}

int cluster_digests(
    const struct installer *in, const struct gen *g, struct buf *out, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, DIGESTS_FILE);
    _cleanup_free_ char *list = xasprintf(
        "  %s.package_list.json\n", config_value(g, "cluster_package_list_id", ""));
    int r = path_exists(path) ? file_read(path, TRUST_DIGESTS_MAX, out, err) : 0;
    if (r == 0 && !strstr(buf_cstr(out), list))
        r = error_set(err, -ENOENT, "%s is not of this configuration: run --genconf first", path);
    return r;
}

static int write_install_script(struct publish *p, struct error *err)
{
    _cleanup_buf_ struct buf script = BUF_INIT_MAX(SCRIPT_MAX);
    int r = script_install(p->g, buf_cstr(&p->digests), &script, err);
    if (r == 0 && script.overflow)
        r = error_set(err, -EFBIG, "dcos_install.sh is larger than %d bytes", SCRIPT_MAX);
    if (r == 0)
        r = write_text(p->serve, "dcos_install.sh", script.p, script.n, 0755, err);
    return r;
}

/* What gen left at work in the folder, which is served, when a run was killed. Other names that
 * begin with a dot are the operator's. */
static int clear_leftovers(const char *serve, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(serve, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *path = path_join(serve, names.items[i]);
        if (has_prefix(names.items[i], ".gen."))
            r = remove_tree(path, err);
    }
    return r;
}

int genconf_make(const struct installer *in, const struct gen *g, struct error *err)
{
    struct publish p = {.in = in, .g = g, .serve = installer_path(in, "serve")};
    int r = mkdir_all(p.serve, 0755, err);
    if (r == 0)
        r = file_clear_unfinished(in->genconf, 1, err); /* secrets too */
    if (r == 0)
        r = clear_leftovers(p.serve, err);
    if (r == 0)
        r = secrets_draw(in, g, err);
    if (r == 0)
        r = gen_generate(g, p.serve, err);
    if (r == 0)
        r = publish_bootstrap(&p, err);
    if (r == 0)
        r = publish_packages(&p, err);
    if (r == 0)
        r = note_package_list(&p, err);
    if (r == 0)
        r = write_digests(&p, err);
    if (r == 0)
        r = write_latest(&p, err);
    if (r == 0)
        r = write_install_script(&p, err);
    for (size_t i = 0; i < p.made.n && r < 0; i++)
        (void)unlink(p.made.items[i]);
    strings_done(&p.made);
    buf_done(&p.digests);
    free(p.serve);
    return r;
}
