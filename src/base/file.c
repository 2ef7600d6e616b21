#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return -1;
}

char *path_join_many(const char *first, ...)
{
    struct buf b = BUF_INIT;
    buf_puts(&b, first);
    va_list ap;
    va_start(ap, first);
    for (const char *part; (part = va_arg(ap, const char *));) {
        while (*part == '/')
            part++;
        if (b.n && b.p[b.n - 1] != '/')
            buf_putc(&b, '/');
        buf_puts(&b, part);
    }
    va_end(ap);
    return buf_steal(&b);
}

int file_read(const char *path, size_t max, struct buf *out, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", path);
    size_t start = out->n;
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, -errno, "cannot read %s", path);
        if (n == 0)
            return 0;
        if (out->n - start + (size_t)n > max)
            return error_set(err, -EFBIG, "%s is larger than %zu bytes", path, max);
        buf_append(out, chunk, (size_t)n);
        if (out->overflow)
            return error_set(err, -EFBIG, "%s is larger than %zu bytes", path, out->max);
    }
}

int fd_write_all(int fd, const void *p, size_t n)
{
    const char *from = p;
    while (n) {
        ssize_t k = write(fd, from, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        from += k;
        n -= (size_t)k;
    }
    return 0;
}

static int sync_parent(const char *path)
{
    _cleanup_free_ char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (slash == dir)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    _cleanup_close_ int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

/* A file of our own, whatever has that name: it may be a link, or somebody else's who waits for a
 * secret to be written to it. What a killed process of our number left goes as well. */
static int open_fresh(const char *path, mode_t mode)
{
    enum { TRIES = 8 };
    for (int i = 0;; i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST || i == TRIES)
            return fd >= 0 ? fd : -errno;
        if (unlink(path) < 0 && errno != ENOENT)
            return -errno;
    }
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct error *err)
{
    _cleanup_free_ char *tmp = xasprintf("%s.tmp.%d", path, (int)getpid());
    _cleanup_close_ int fd = open_fresh(tmp, mode);
    if (fd < 0)
        return error_errno(err, fd, "cannot create %s", tmp);
    int r = fd_write_all(fd, p, n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r == 0)
        r = sync_parent(path);
    if (r < 0) {
        unlink(tmp);
        return error_errno(err, r, "cannot write %s", path);
    }
    return 0;
}

static bool is_unfinished(const char *name)
{
    const char *last = strrchr(name, '.');
    return last && last - name > 4 && strncmp(last - 4, ".tmp", 4) == 0 && last[1] &&
           last[1 + strspn(last + 1, "0123456789")] == '\0';
}

int file_clear_unfinished(const char *folder, unsigned depth, struct error *err)
{
    int r = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot open %s", folder);
    for (const struct dirent *e; r == 0 && (e = readdir(dir));) {
        struct stat st;
        if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        _cleanup_free_ char *path = path_join(folder, e->d_name);
        if (S_ISDIR(st.st_mode) && depth > 0)
            r = file_clear_unfinished(path, depth - 1, err);
        else if (S_ISREG(st.st_mode) && is_unfinished(e->d_name) && unlink(path) < 0 &&
                 errno != ENOENT)
            r = error_errno(err, -errno, "cannot remove %s", path);
    }
    closedir(dir);
    return r;
}

int file_write_string(const char *path, const char *text, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", path);
    ssize_t n = write(fd, text, strlen(text));
    if (n < 0)
        return error_errno(err, -errno, "cannot write '%s' to %s", text, path);
    if ((size_t)n < strlen(text))
        return error_set(err, -EIO, "cannot write all of '%s' to %s", text, path);
    return 0;
}

int mkdir_all(const char *path, mode_t mode, struct error *err)
{
    if (!*path)
        return error_set(err, -ENOENT, "cannot create a directory without a name");
    _cleanup_free_ char *p = xstrdup(path);
    for (char *slash = p + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char saved = *slash;
        *slash = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return error_errno(err, -errno, "cannot create directory %s", p);
        *slash = saved;
        if (!saved)
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return error_errno(err, -errno, "cannot create directory %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -ENOTDIR, "%s exists and is not a directory", path);
    return 0;
}

/* A tree that strangers made may be deeper than we have descriptors: what lies deeper than this is
 * first moved up to the top of the tree. */
enum { REMOVE_DEPTH_MAX = 64 };

struct removal {
    int top; /* the tree's own folder */
    dev_t device;
    unsigned moved; /* to the top, in this pass */
    unsigned next;  /* number for the next name there */
};

static int remove_children(struct removal *x, int fd, unsigned depth);

/* Device numbers do not tell a bind mount from its surroundings. */
static bool is_mount_root(int dirfd, const char *name)
{
    struct statx stx;
    return statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &stx) == 0 &&
           (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* Without root, folders that their owner may not write (module caches hold many) must be opened up
 * first. Should that fail, what follows says why. */
static void make_writable(int dirfd, const char *name, const struct stat *st)
{
    if ((st->st_mode & S_IRWXU) != S_IRWXU && geteuid() != 0 &&
        fchmodat(dirfd, name, S_IRWXU, 0) < 0)
        return;
}

static int move_up(struct removal *x, int dirfd, const char *name)
{
    for (;;) {
        char to[32];
        (void)snprintf(to, sizeof(to), ".removed-%u", x->next++);
        if (renameat(dirfd, name, x->top, to) == 0) {
            x->moved++;
            return 0;
        }
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return -errno; /* else the name is taken */
    }
}

static int remove_at(struct removal *x, int dirfd, const char *name, unsigned depth)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    if (st.st_dev != x->device || is_mount_root(dirfd, name))
        return -EBUSY;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 0;
    make_writable(dirfd, name, &st);
    if (depth == REMOVE_DEPTH_MAX)
        return move_up(x, dirfd, name);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = remove_children(x, fd, depth + 1);
    if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

/* Takes the descriptor over. */
static int remove_children(struct removal *x, int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(dir));)
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            r = remove_at(x, dirfd(dir), e->d_name, depth);
    closedir(dir);
    return r;
}

static int empty_tree(const char *path, const struct stat *st)
{
    make_writable(AT_FDCWD, path, st);
    _cleanup_close_ int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return -errno;
    struct removal x = {.top = top, .device = st->st_dev};
    int r;
    do {
        x.moved = 0;
        int again = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = again < 0 ? -errno : remove_children(&x, again, 0);
    } while (r == 0 && x.moved > 0);
    return r;
}

int remove_tree(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot remove %s", path);
    int r = 0;
    if (!S_ISDIR(st.st_mode))
        r = unlink(path) < 0 ? -errno : 0;
    else if (rmdir(path) < 0) {
        r = errno == EBUSY ? -EBUSY : empty_tree(path, &st);
        if (r == 0 && rmdir(path) < 0)
            r = -errno;
    }
    return r < 0 && r != -ENOENT ? error_errno(err, r, "cannot remove %s", path) : 0;
}

bool path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
