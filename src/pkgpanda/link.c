#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "pkgpanda/internal.h"
#include "transfer/tree.h"

/*
 * Folders of links. A folder of a package becomes, or joins, a real folder; files and links become
 * links to the package's own path. Nothing is ever merged through a link.
 */

struct owner {
    char *path; /* in the root: "bin/x" */
    const struct package *package;
    const char *folder; /* of the package: "bin_master" */
    bool directory;
};

struct linking {
    const struct install *in;
    struct map owners; /* by path */
};

static int clash(
    const struct owner *o, const struct package *p, const char *folder, struct error *err)
{
    return error_set(err, -EEXIST,
        "Cannot link %s: both %s of package %s and %s of package %s provide it (%s)", o->path,
        o->folder, o->package->id, folder, p->id, o->package->path);
}

/* 1 when a folder is there already. */
static int claim(struct linking *x, const char *path, const struct package *p, const char *folder,
    bool directory, struct error *err)
{
    const struct owner *there = map_get(&x->owners, path);
    if (there)
        return there->directory && directory ? 1 : clash(there, p, folder, err);
    struct owner *o = xnew(struct owner);
    *o = (struct owner){xstrdup(path), p, folder, directory};
    map_put(&x->owners, o->path, o);
    return 0;
}

struct place {
    const char *from;        /* folder of the package on disk */
    const char *link_target; /* the same as links name it */
    const char *to;          /* folder that links are made in */
    const char *path;        /* the same for messages and owners */
};

static int link_children(struct linking *x, const struct package *p, const char *folder,
    const struct place *place, unsigned depth, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    if (depth > TREE_DEPTH_MAX)
        return error_set(err, -ELOOP, "%s of package %s is too deep", folder, p->id);
    int r = strings_read_folder(place->from, &names, err);
    for (size_t i = 0; i < names.n && r >= 0; i++) {
        const char *name = names.items[i];
        _cleanup_free_ char *from = path_join(place->from, name);
        _cleanup_free_ char *target = path_join(place->link_target, name);
        _cleanup_free_ char *to = path_join(place->to, name);
        _cleanup_free_ char *path = path_join(place->path, name);
        const struct place below = {from, target, to, path};
        struct stat st;
        if (lstat(from, &st) < 0)
            return error_errno(err, -errno, "cannot read %s", from);
        bool directory = S_ISDIR(st.st_mode);
        r = claim(x, path, p, folder, directory, err);
        if (r == 0 && (directory ? mkdir(to, 0755) : symlink(target, to)) < 0)
            r = error_errno(err, -errno, "cannot make %s", to);
        if (r >= 0 && directory)
            r = link_children(x, p, folder, &below, depth + 1, err);
    }
    return r < 0 ? r : 0;
}

/* The folder "bin" or "bin_<role>" of one package, where it has one. */
static int link_folder(
    struct linking *x, const struct package *p, size_t which, const char *folder, struct error *err)
{
    const struct install *in = x->in;
    _cleanup_free_ char *from = path_join(p->path, folder);
    struct stat st;
    if (stat(from, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot read %s", from);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -ENOTDIR, "%s of package %s is not a folder", folder, p->id);
    _cleanup_free_ char *target = path_join(link_repository(in), p->id, folder);
    _cleanup_free_ char *to = xasprintf("%s/%s" NEW,
        which == WELL_KNOWN_WANTS ? in->systemd_dir : in->root, well_known_folders[which]);
    const struct place place = {from, target, to, well_known_folders[which]};
    return link_children(x, p, folder, &place, 0, err);
}

static int link_active(const struct install *in, const struct package *p, struct error *err)
{
    _cleanup_free_ char *target = path_join(link_repository(in), p->id);
    _cleanup_free_ char *path = xasprintf("%s/active" NEW "/%s", in->root, p->name);
    return symlink(target, path) < 0 ? error_errno(err, -errno, "cannot make %s", path) : 0;
}

static int link_one(
    struct linking *x, const struct package *p, struct strings *folders, struct error *err)
{
    int r = link_active(x->in, p, err);
    for (size_t i = 0; i < folders->n && r == 0; i++) {
        size_t which = 0;
        for (; which < WELL_KNOWN_FOLDERS; which++) {
            size_t n = strlen(well_known_folders[which]);
            if (has_prefix(folders->items[i], well_known_folders[which]) &&
                (folders->items[i][n] == '\0' || folders->items[i][n] == '_'))
                break;
        }
        if (which == WELL_KNOWN_WANTS && !x->in->systemd_dir)
            continue;
        r = link_folder(x, p, which, folders->items[i], err);
    }
    return r;
}

int link_packages(const struct install *in, const struct packages *p, const struct strings *roles,
    struct error *err)
{
    struct linking x = {.in = in};
    _cleanup_strings_ struct strings folders = {0};
    int r = 0;
    for (size_t i = 0; i < WELL_KNOWN_FOLDERS; i++) {
        strings_add(&folders, well_known_folders[i]);
        for (size_t j = 0; j < roles->n; j++) {
            _cleanup_free_ char *name = xasprintf("%s_%s", well_known_folders[i], roles->items[j]);
            strings_add(&folders, name);
        }
    }
    for (size_t i = 0; i < p->n && r == 0; i++) {
        r = link_one(&x, p->items[i], &folders, err);
        step(in, "link package");
    }
    MAP_FOREACH (e, &x.owners) {
        struct owner *o = e->value;
        free(o->path);
        free(o);
    }
    map_done(&x.owners);
    return r;
}
