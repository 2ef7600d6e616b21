#include "transfer/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/rng.h"

enum { DIRECTORY_MODE = 0755, NAME_ATTEMPTS = 16 };

int tree_clean_path(const char *path, char **ret, struct error *err)
{
    if (*path == '/')
        return error_set(err, -EINVAL, "'%.200s' is an absolute path", path);
    if (strlen(path) > TREE_PATH_MAX)
        return error_set(err, -EINVAL, "'%.64s...' is too long", path);
    _cleanup_buf_ struct buf clean = BUF_INIT;
    struct str rest = str_of(path), part;
    unsigned depth = 0;
    while (str_split(&rest, '/', &part)) {
        if (part.n == 0 || str_eq_c(part, "."))
            continue;
        if (str_eq_c(part, ".."))
            return error_set(err, -EINVAL, "'%.200s' climbs out of the folder", path);
        if (++depth > TREE_DEPTH_MAX)
            return error_set(err, -EINVAL, "'%.64s...' is too deep", path);
        if (clean.n > 0)
            buf_putc(&clean, '/');
        buf_append(&clean, part.p, part.n);
    }
    *ret = buf_steal(&clean);
    return 0;
}

/* One step down. */
static int enter(int parent, const char *name, mode_t mode, struct error *err)
{
    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
        return error_errno(err, -errno, "folder '%.200s'", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR || errno == ELOOP)
        return error_set(err, -ENOTDIR,
            "'%.200s' is in the way: a link or a file where a folder is needed", name);
    return error_errno(err, -errno, "folder '%.200s'", name);
}

/* Opens the folder named by the first n bytes of a clean path. */
static int open_directory(int root, const char *path, size_t n, mode_t mode, struct error *err)
{
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (at < 0)
        return error_errno(err, -errno, "folder");
    struct str rest = {path, n}, part;
    while (at >= 0 && n > 0 && str_split(&rest, '/', &part)) {
        _cleanup_free_ char *name = str_dup(part);
        int next = enter(at, name, mode, err);
        fd_close(at);
        at = next;
    }
    return at;
}

int tree_open_parent(
    int root, const char *path, int *ret_fd, const char **ret_name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name)
        return error_set(err, -EINVAL, "a file needs a name");
    int fd = open_directory(root, path, slash ? (size_t)(slash - path) : 0, DIRECTORY_MODE, err);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    *ret_name = name;
    return 0;
}

int tree_make_directory(int root, const char *path, mode_t mode, struct error *err)
{
    _cleanup_close_ int fd = open_directory(root, path, strlen(path), DIRECTORY_MODE, err);
    if (fd < 0)
        return fd;
    /* The owner must be able to fill it, whatever the archive says. The folder that we were given
     * keeps its mode. */
    if (*path && fchmod(fd, (mode & 0777) | S_IRWXU) < 0)
        return error_errno(err, -errno, "mode of '%.200s'", path);
    return 0;
}

/* ---- files ---- */

int tree_create(int root, const char *path, struct tree_file *ret, struct error *err)
{
    const char *name = NULL;
    struct tree_file f = TREE_FILE_INIT;
    int r = tree_open_parent(root, path, &f.parent, &name, err);
    if (r < 0)
        return r;
    for (unsigned attempt = 0; attempt < NAME_ATTEMPTS && f.fd < 0; attempt++) {
        uint8_t random[8];
        char text[2 * sizeof(random) + 1];
        random_bytes(random, sizeof(random));
        hex_encode(random, sizeof(random), text);
        (void)snprintf(f.temporary, sizeof(f.temporary), ".fetch-%s", text);
        f.fd = openat(
            f.parent, f.temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f.fd < 0 && errno != EEXIST)
            break;
    }
    if (f.fd < 0) {
        r = error_errno(err, -errno, "file '%.200s'", path);
        fd_close(f.parent);
        return r;
    }
    f.name = xstrdup(name);
    *ret = f;
    return 0;
}

int tree_finish(struct tree_file *f, mode_t mode, struct error *err)
{
    if (fchmod(f->fd, mode) < 0 || renameat(f->parent, f->temporary, f->parent, f->name) < 0)
        return error_errno(err, -errno, "file '%.200s'", f->name);
    f->temporary[0] = '\0';
    return 0;
}

void tree_file_done(struct tree_file *f)
{
    if (f->fd >= 0 && f->temporary[0])
        (void)unlinkat(f->parent, f->temporary, 0); /* nothing more can be done */
    f->fd = fd_close(f->fd);
    f->parent = fd_close(f->parent);
    free(TAKE_PTR(f->name));
}
