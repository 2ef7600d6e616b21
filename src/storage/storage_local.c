#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "storage/storage.h"
#include "transfer/download.h"

/* A folder of this machine. What is to be a file is written beside its place and moved there. */

static const char TEMPORARY[] = ".dcos-release-";

struct local {
    struct storage base;
    char *folder;
};

static struct local *of(struct storage *s)
{
    return container_of(s, struct local, base);
}

static int sync_folder(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Moves a file that `fill` writes to its place. */
static int place(
    struct local *l, const char *path, int from, const struct storage_content *c, struct error *err)
{
    _cleanup_free_ char *full = path_join(l->folder, path);
    _cleanup_free_ char *above = xstrdup(full);
    *strrchr(above, '/') = '\0';
    _cleanup_free_ char *part = xasprintf("%s/%sXXXXXX", above, TEMPORARY);
    uint64_t bytes;
    int r = mkdir_all(above, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = mkostemp(part, O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "%s", part);
    if (from >= 0)
        r = copy_file(from, fd, UINT64_MAX, &bytes, err);
    else if ((r = fd_write_all(fd, c->bytes, c->n)) < 0)
        r = error_errno(err, r, "%s", part);
    if (r >= 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(part, full) < 0))
        r = error_errno(err, -errno, "%s", full);
    if (r < 0)
        unlink(part);
    else
        r = sync_folder(above);
    return MIN(r, 0);
}

static int local_put(
    struct storage *s, const char *path, const struct storage_content *c, struct error *err)
{
    if (!c->local_path)
        return place(of(s), path, -1, c, err);
    _cleanup_close_ int from = open(c->local_path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return error_errno(err, -errno, "%s", c->local_path);
    return place(of(s), path, from, c, err);
}

static int open_file(struct storage *s, const char *path, struct error *err)
{
    struct stat st;
    _cleanup_free_ char *full = path_join(of(s)->folder, path);
    _cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, -errno, "%s", full);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -ENOENT, "%s is no file", full);
    return TAKE_FD(fd);
}

static int local_copy(struct storage *s, const char *from, const char *to, struct error *err)
{
    _cleanup_close_ int fd = open_file(s, from, err);
    return fd < 0 ? fd : place(of(s), to, fd, NULL, err);
}

static int local_exists(struct storage *s, const char *path, struct error *err)
{
    struct stat st;
    _cleanup_free_ char *full = path_join(of(s)->folder, path);
    if (stat(full, &st) == 0)
        return S_ISREG(st.st_mode);
    return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(err, -errno, "%s", full);
}

static int local_get(struct storage *s, const char *path, int fd, struct error *err)
{
    uint64_t bytes;
    _cleanup_close_ int from = open_file(s, path, err);
    if (from < 0)
        return from;
    int r = copy_file(from, fd, UINT64_MAX, &bytes, err);
    return MIN(r, 0);
}

static int walk(
    struct local *l, const char *folder, unsigned depth, struct strings *ret, struct error *err)
{
    enum { DEPTH_MAX = 64 };
    _cleanup_strings_ struct strings names = {0};
    _cleanup_free_ char *full = *folder ? path_join(l->folder, folder) : xstrdup(l->folder);
    if (depth > DEPTH_MAX)
        return error_set(err, -ELOOP, "%s is too deep", full);
    int r = strings_read_folder(full, &names, err);
    if (r == -ENOTDIR)
        return 0; /* a file: no folder of that name */
    for (size_t i = 0; i < names.n && r == 0; i++) {
        struct stat st;
        _cleanup_free_ char *path = *folder ? path_join(folder, names.items[i])
                                            : xstrdup(names.items[i]);
        _cleanup_free_ char *inner = path_join(l->folder, path);
        if (has_prefix(names.items[i], TEMPORARY) || lstat(inner, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            r = walk(l, path, depth + 1, ret, err);
        else if (S_ISREG(st.st_mode))
            strings_add(ret, path);
    }
    return r;
}

static int local_list(struct storage *s, const char *folder, struct strings *ret, struct error *err)
{
    return walk(of(s), folder, 0, ret, err);
}

static int local_remove(struct storage *s, const char *path, struct error *err)
{
    _cleanup_free_ char *full = path_join(of(s)->folder, path);
    if (strlen(full) < STORAGE_SHORT_PATH)
        return error_set(err, -EINVAL, "%s is too short a path to be removed", full);
    return remove_tree(full, err);
}

static void local_free(struct storage *s)
{
    struct local *l = of(s);
    free(l->folder);
    free(l);
}

int storage_local_new(const json_t *options, struct storage **ret, struct error *err)
{
    static const struct storage_ops ops = {.put = local_put,
        .copy = local_copy,
        .exists = local_exists,
        .get = local_get,
        .list = local_list,
        .remove = local_remove,
        .free = local_free};
    const char *path = NULL;
    const struct storage_option table[] = {{"path", &path, true}};
    int r = storage_options(options, table, ARRAY_SIZE(table), err);
    if (r < 0)
        return r;
    size_t n = strlen(path);
    if (n > 1 && path[n - 1] == '/')
        return error_set(err, -EINVAL, "the option path has no slash at its end");
    r = mkdir_all(path, 0755, err);
    if (r < 0)
        return r;
    char *real = realpath(path, NULL);
    if (!real)
        return error_errno(err, -errno, "%s", path);
    struct local *l = xnew(struct local);
    l->base.ops = &ops;
    l->folder = real;
    l->base.url = xasprintf("file://%s/", real);
    *ret = &l->base;
    return 0;
}
