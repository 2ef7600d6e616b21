#include "transfer/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"
#include "transfer/tree.h"

enum { CHUNK = 256 * 1024 };

struct packing {
    struct archive *archive;
    char *chunk;
};

static int refused(struct packing *x, const char *path, struct error *err)
{
    const char *text = archive_error_string(x->archive);
    int code = archive_errno(x->archive);
    if (code > 0) /* of the file that is written, often: libarchive's text does not say which */
        return error_errno(err, -code, "packing '%.300s': %.200s", path, text ? text : "failed");
    return error_set(err, -EIO, "packing '%.300s': %.200s", path, text ? text : "failed");
}

static int write_entry(struct packing *x, const char *path, const struct stat *st,
    const char *target, struct error *err)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, path);
    archive_entry_set_mode(e, (st->st_mode & S_IFMT) | (st->st_mode & 0777));
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    archive_entry_set_mtime(e, PACK_TIME, 0);
    archive_entry_set_size(e, S_ISREG(st->st_mode) ? st->st_size : 0);
    if (target)
        archive_entry_set_symlink(e, target);
    int rc = archive_write_header(x->archive, e);
    archive_entry_free(e);
    return rc == ARCHIVE_OK ? 0 : refused(x, path, err);
}

static int write_file(
    struct packing *x, int parent, const char *name, const char *path, struct error *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, -errno, "packing '%.300s'", path);
    int r = write_entry(x, path, &st, NULL, err);
    for (off_t left = st.st_size; r == 0 && left > 0;) {
        ssize_t n = read(fd, x->chunk, (size_t)MIN(left, (off_t)CHUNK));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "packing '%.300s'", path);
        if (n == 0)
            return error_set(err, -EIO, "packing '%.300s': it shrank meanwhile", path);
        if (archive_write_data(x->archive, x->chunk, (size_t)n) != n)
            return refused(x, path, err);
        left -= n;
    }
    return r;
}

static int write_link(struct packing *x, int parent, const char *name, const char *path,
    const struct stat *st, struct error *err)
{
    char target[TREE_PATH_MAX + 1];
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
    if (n < 0)
        return error_errno(err, -errno, "packing '%.300s'", path);
    target[n] = '\0';
    return write_entry(x, path, st, target, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int write_children(
    struct packing *x, int fd, const char *path, unsigned depth, struct error *err);

static int write_child(struct packing *x, int parent, const char *name, const char *path,
    unsigned depth, struct error *err)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, -errno, "packing '%.300s'", path);
    if (S_ISREG(st.st_mode))
        return write_file(x, parent, name, path, err);
    if (S_ISLNK(st.st_mode))
        return write_link(x, parent, name, path, &st, err);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -EINVAL, "packing '%.300s': a device, pipe or socket", path);
    _cleanup_free_ char *folder = xasprintf("%s/", path);
    int r = write_entry(x, folder, &st, NULL, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "packing '%.300s'", path);
    return write_children(x, fd, path, depth + 1, err);
}

static int write_children(
    struct packing *x, int fd, const char *path, unsigned depth, struct error *err)
{
    if (depth > TREE_DEPTH_MAX)
        return error_set(err, -EINVAL, "packing '%.64s...': too deep", path);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        fd_close(copy);
        return error_errno(err, -errno, "packing '%.300s'", path);
    }
    VEC(char *) names = {0};
    for (struct dirent *e; (e = readdir(dir));)
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            vec_push(&names, xstrdup(e->d_name));
    closedir(dir);
    if (names.n > 1)
        qsort(names.items, names.n, sizeof(*names.items), by_name);
    int r = 0;
    for (size_t i = 0; i < names.n; i++) {
        _cleanup_free_ char *child = xasprintf("%s/%s", path, names.items[i]);
        if (r == 0)
            r = write_child(x, fd, names.items[i], child, depth, err);
        free(names.items[i]);
    }
    vec_done(&names);
    return r;
}

/* Several threads give other bytes than one, but their number does not matter: so there are always
 * two. */
static int set_up(struct packing *x, enum pack_compression compression, int fd, struct error *err)
{
    struct archive *a = x->archive;
    int rc = archive_write_set_format_pax_restricted(a);
    if (rc == ARCHIVE_OK && compression == PACK_XZ) {
        rc = archive_write_add_filter_xz(a);
        if (rc == ARCHIVE_OK)
            rc = archive_write_set_filter_option(a, "xz", "threads", "2");
    } else if (rc == ARCHIVE_OK && compression == PACK_GZIP) {
        rc = archive_write_add_filter_gzip(a);
        if (rc == ARCHIVE_OK) /* no time of day in the head */
            rc = archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
    }
    if (rc == ARCHIVE_OK)
        rc = archive_write_set_bytes_in_last_block(a, 1);
    if (rc == ARCHIVE_OK)
        rc = archive_write_open_fd(a, fd);
    return rc == ARCHIVE_OK ? 0 : refused(x, ".", err);
}

int pack_tree(int root, enum pack_compression compression, int fd, struct error *err)
{
    struct packing x = {archive_write_new(), NULL};
    struct stat st;
    if (!x.archive)
        return error_set(err, -ENOMEM, "libarchive cannot be started");
    x.chunk = xmalloc(CHUNK);
    int r = set_up(&x, compression, fd, err);
    if (r == 0 && fstat(root, &st) < 0)
        r = error_errno(err, -errno, "packing");
    if (r == 0)
        r = write_entry(&x, "./", &st, NULL, err);
    if (r == 0)
        r = write_children(&x, root, ".", 0, err);
    if (r == 0 && archive_write_close(x.archive) != ARCHIVE_OK)
        r = refused(&x, ".", err);
    archive_write_free(x.archive);
    free(x.chunk);
    return r;
}
