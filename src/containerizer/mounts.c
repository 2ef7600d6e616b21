#include "containerizer/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"

enum { FOLDER_MODE = 0755, FILE_MODE = 0644 };

/* ---- in the sandbox ---- */

/* The folder with this name, made when missing and given to whom the sandbox belongs. */
static int enter(int dir, const char *name, const struct stat *owner)
{
    int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    /* Tasks of a pod may make a folder that they share at the same moment. */
    bool made = mkdirat(dir, name, FOLDER_MODE) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    if (made && fchownat(dir, name, owner->st_uid, owner->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    fd = openat(dir, name, flags);
    return fd < 0 ? -errno : fd;
}

/* The folder that the path's last part is in, and that part. What is made on the way, and later
 * there, belongs to *owner. */
static int walk(
    const char *base, const char *path, const struct stat *owner, char ret_name[SPAWN_PATH_MAX])
{
    _cleanup_close_ int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    struct str rest = str_of(path), part, last = {0};
    while (str_split(&rest, '/', &part)) {
        if (!part.n || str_eq_c(part, "."))
            continue;
        if (str_eq_c(part, ".."))
            return -EXDEV;
        if (part.n >= SPAWN_PATH_MAX)
            return -ENAMETOOLONG;
        if (last.n) {
            memcpy(ret_name, last.p, last.n);
            ret_name[last.n] = '\0';
            int next = enter(dir, ret_name, owner);
            if (next < 0)
                return next;
            fd_close(dir);
            dir = next;
        }
        last = part;
    }
    if (!last.n)
        return -EINVAL; /* the sandbox itself */
    memcpy(ret_name, last.p, last.n);
    ret_name[last.n] = '\0';
    return TAKE_FD(dir);
}

static int open_file(int dir, const char *name, const struct stat *owner)
{
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        int made = openat(
            dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (made < 0)
            return -errno;
        int r = fchown(made, owner->st_uid, owner->st_gid) < 0 ? -errno : 0;
        fd_close(made);
        if (r < 0)
            return r;
        fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISLNK(st.st_mode))
        return fd;
    fd_close(fd);
    return -ELOOP;
}

/* A place in the sandbox, or below another folder, made when missing. */
static int open_inside(const char *base, const char *sandbox, const char *path, bool folder)
{
    struct stat owner;
    char name[SPAWN_PATH_MAX];
    if (stat(sandbox, &owner) < 0)
        return -errno;
    _cleanup_close_ int dir = walk(base ? base : sandbox, path, &owner, name);
    if (dir < 0)
        return dir;
    return folder ? enter(dir, name, &owner) : open_file(dir, name, &owner);
}

/* ---- the two ways ---- */

static int mount_at(const struct spawn_mount *m, const char *sandbox)
{
    _cleanup_close_ int source = m->source[0] == '/'
                                     ? open(m->source, O_PATH | O_CLOEXEC)
                                     : open_inside(m->base, sandbox, m->source, true);
    if (source < 0)
        return m->source[0] == '/' ? -errno : source;
    struct stat st;
    if (fstat(source, &st) < 0)
        return -errno;
    _cleanup_close_ int target = m->target[0] == '/'
                                     ? open(m->target, O_PATH | O_CLOEXEC)
                                     : open_inside(NULL, sandbox, m->target, S_ISDIR(st.st_mode));
    if (target < 0)
        return m->target[0] == '/' ? -errno : target;
    _cleanup_close_ int tree = open_tree(
        source, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -errno;
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    if (m->read_only &&
        mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &read_only, sizeof read_only) < 0)
        return -errno;
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int link_at(const struct spawn_mount *m, const char *sandbox)
{
    if (m->read_only || m->target[0] == '/')
        return -EOPNOTSUPP;
    _cleanup_free_ char *source = NULL;
    if (m->source[0] == '/') {
        source = xstrdup(m->source);
        if (!path_exists(source))
            return -errno;
    } else {
        _cleanup_close_ int fd = open_inside(m->base, sandbox, m->source, true);
        if (fd < 0)
            return fd;
        source = path_join(m->base ? m->base : sandbox, m->source);
    }
    struct stat owner;
    char name[SPAWN_PATH_MAX], there[SPAWN_PATH_MAX];
    if (stat(sandbox, &owner) < 0)
        return -errno;
    _cleanup_close_ int dir = walk(sandbox, m->target, &owner, name);
    if (dir < 0)
        return dir;
    /* An attempt with namespaces may have left an empty folder. */
    if (symlinkat(source, dir, name) == 0 ||
        (errno == EEXIST && unlinkat(dir, name, AT_REMOVEDIR) == 0 &&
            symlinkat(source, dir, name) == 0))
        return fchownat(dir, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
                                                                                        : 0;
    ssize_t n = readlinkat(dir, name, there, sizeof there - 1);
    if (n < 0)
        return -EEXIST;
    there[n] = '\0';
    return streq(there, source) ? 0 : -EEXIST;
}

int spawn_mount(const struct spawn_mount *m, const char *sandbox, bool namespaces)
{
    return namespaces ? mount_at(m, sandbox) : link_at(m, sandbox);
}

/* ---- as text ---- */

bool spawn_mount_path_valid(const char *path)
{
    return path[0] && strlen(path) < SPAWN_PATH_MAX && !strpbrk(path, "\t\n");
}

void spawn_mounts_format(const struct spawn_mount *mounts, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s\t%s\t%s\n", mounts[i].read_only ? "ro" : "rw", mounts[i].source,
            mounts[i].target);
}

int spawn_mounts_parse(char *text, struct spawn_mount **ret, size_t *ret_n)
{
    struct spawn_mount *items = NULL;
    size_t n = 0;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        char *first = strchr(line, '\t');
        char *second = first ? strchr(first + 1, '\t') : NULL;
        if (!end || !second || second > end || n == SPAWN_MOUNTS_MAX) {
            free(items);
            return -EBADMSG;
        }
        *end = *first = *second = '\0';
        struct spawn_mount m = {
            .source = first + 1, .target = second + 1, .read_only = streq(line, "ro")};
        if ((!m.read_only && !streq(line, "rw")) || !spawn_mount_path_valid(m.source) ||
            !spawn_mount_path_valid(m.target)) {
            free(items);
            return -EBADMSG;
        }
        items = xrealloc(items, (n + 1) * sizeof *items);
        items[n++] = m;
        line = end + 1;
    }
    *ret = items;
    *ret_n = n;
    return 0;
}
