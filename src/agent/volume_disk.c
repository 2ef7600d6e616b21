#include "agent/volume_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"

enum { VOLUME_MODE = 0755 };

static const char *mount_root(const Mesos__V1__Resource *r)
{
    const Mesos__V1__Resource__DiskInfo__Source *s = r->disk ? r->disk->source : NULL;
    return s && s->type == MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__MOUNT && s->mount
               ? s->mount->root
               : NULL;
}

static const char *path_root(const Mesos__V1__Resource *r)
{
    const Mesos__V1__Resource__DiskInfo__Source *s = r->disk ? r->disk->source : NULL;
    return s && s->type == MESOS__V1__RESOURCE__DISK_INFO__SOURCE__TYPE__PATH && s->path
               ? s->path->root
               : NULL;
}

static char *below(const char *work_dir, const char *path)
{
    return path[0] == '/' ? xstrdup(path) : path_join(work_dir, path);
}

static bool is_component(const char *s)
{
    return s[0] && !streq(s, ".") && !streq(s, "..") && !strchr(s, '/');
}

char *volume_path(const char *work_dir, const Mesos__V1__Resource *r)
{
    const char *id = r->disk && r->disk->persistence ? r->disk->persistence->id : NULL;
    const char *role = r->n_reservations ? r->reservations[r->n_reservations - 1]->role : r->role;
    if (!id || !role)
        return NULL;
    if (mount_root(r))
        return below(work_dir, mount_root(r));
    if (r->disk->source && !path_root(r))
        return NULL;
    _cleanup_free_ char *folder = xstrdup(role);
    for (char *p = folder; *p; p++)
        if (*p == '/')
            *p = ' ';
    if (!is_component(folder) || !is_component(id))
        return NULL;
    _cleanup_free_ char *root = below(work_dir, path_root(r) ? path_root(r) : work_dir);
    return path_join(root, "volumes", "roles", folder, id);
}

static int no_place(struct error *err)
{
    return error_set(err, -EINVAL, "the volume has no place on this agent's disks");
}

int volume_create(const char *work_dir, const Mesos__V1__Resource *r, struct error *err)
{
    _cleanup_free_ char *path = volume_path(work_dir, r);
    if (!path)
        return no_place(err);
    if (!mount_root(r)) {
        int e = mkdir_all(path, VOLUME_MODE, err);
        if (e < 0)
            return error_prefix(err, e, "cannot create the volume's folder %s", path);
    }
    struct stat st;
    if (lstat(path, &st) < 0)
        return error_errno(err, -errno, "cannot use %s", path);
    return S_ISDIR(st.st_mode) ? 0 : error_set(err, -ENOTDIR, "%s is not a folder", path);
}

static int empty_folder(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot open %s", path);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = error_errno(err, -errno, "cannot read %s", path);
        close(fd);
        return r;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(dir));) {
        if (streq(e->d_name, ".") || streq(e->d_name, "..") || streq(e->d_name, "lost+found"))
            continue;
        _cleanup_free_ char *one = path_join(path, e->d_name);
        r = remove_tree(one, err);
    }
    closedir(dir);
    return r;
}

int volume_destroy(const char *work_dir, const Mesos__V1__Resource *r, struct error *err)
{
    _cleanup_free_ char *path = volume_path(work_dir, r);
    if (!path)
        return no_place(err);
    if (mount_root(r))
        return empty_folder(path, err);
    int e = remove_tree(path, err);
    if (e < 0)
        return e;
    /* The role's folder, when that was its last volume. */
    *strrchr(path, '/') = '\0';
    (void)rmdir(path);
    return 0;
}
