#include "pkgpanda/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/id.h"
#include "transfer/extract.h"

#define MAKING ".new."
#define GOING ".old."

int repository_list(const char *repository, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(repository, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++)
        if (package_id_valid(names.items[i]))
            strings_add(ret, names.items[i]);
    return r;
}

bool repository_has(const char *repository, const char *id)
{
    struct stat st;
    _cleanup_free_ char *path = path_join(repository, id);
    return package_id_valid(id) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int repository_id_of_tarball(const char *path, char **ret, struct error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!has_suffix(name, PACKAGE_SUFFIX))
        return error_set(
            err, -EINVAL, "The file name must be <package id>%s, got %.200s", PACKAGE_SUFFIX, name);
    _cleanup_free_ char *id = xstrndup(name, strlen(name) - strlen(PACKAGE_SUFFIX));
    struct package_id parts;
    int r = package_id_parse(id, &parts, err);
    if (r == 0)
        *ret = TAKE_PTR(id);
    return r;
}

/* ---- changes ---- */

/* Waits for others, makes the folder where missing, clears away what a crash left. */
static int lock(const char *repository, int *ret_fd, struct error *err)
{
    int r = mkdir_all(repository, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(repository, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", repository);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_errno(err, -errno, "cannot lock %s", repository);
    _cleanup_strings_ struct strings names = {0};
    r = strings_read_folder(repository, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        if (!has_prefix(names.items[i], MAKING) && !has_prefix(names.items[i], GOING))
            continue;
        _cleanup_free_ char *path = path_join(repository, names.items[i]);
        r = remove_tree(path, err);
    }
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

/* Whole and on disk before it gets its name. */
static int publish(
    int dirfd, const char *repository, const char *folder, const char *id, struct error *err)
{
    _cleanup_free_ char *final = path_join(repository, id);
    _cleanup_free_ char *info = path_join(folder, "pkginfo.json");
    struct stat st;
    if (lstat(info, &st) < 0)
        return error_set(err, -EBADMSG, "%s is no package: it has no pkginfo.json", id);
    if (chmod(folder, 0755) < 0 || syncfs(dirfd) < 0 || rename(folder, final) < 0 ||
        fsync(dirfd) < 0)
        return error_errno(err, -errno, "cannot add %s", id);
    return 0;
}

static int unpack(const char *tarball, const char *folder, struct error *err)
{
    uint64_t bytes;
    _cleanup_close_ int fd = open(tarball, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", tarball);
    if (mkdir(folder, 0755) < 0)
        return error_errno(err, -errno, "cannot make %s", folder);
    _cleanup_close_ int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, -errno, "cannot open %s", folder);
    int r = extract_archive(fd, URI_TAR, root, PACKAGE_BYTES_MAX, &bytes, err);
    return r < 0 ? error_prefix(err, r, "%s", tarball) : 0;
}

static int check_id(const char *id, struct error *err)
{
    struct package_id parts;
    return package_id_parse(id, &parts, err);
}

int repository_add(const char *repository, const char *tarball, const char *id, struct error *err)
{
    _cleanup_close_ int fd = -1;
    int r = check_id(id, err);
    if (r == 0)
        r = lock(repository, &fd, err);
    if (r < 0)
        return r;
    if (repository_has(repository, id))
        return 1;
    _cleanup_free_ char *folder = xasprintf("%s/" MAKING "%s", repository, id);
    r = unpack(tarball, folder, err);
    if (r == 0)
        r = publish(fd, repository, folder, id, err);
    if (r < 0)
        (void)remove_tree(folder, NULL); /* else the next change does it */
    return r;
}

int repository_take(const char *repository, const char *folder, const char *id, struct error *err)
{
    _cleanup_close_ int fd = -1;
    int r = check_id(id, err);
    if (r == 0)
        r = lock(repository, &fd, err);
    if (r < 0)
        return r;
    return repository_has(repository, id) ? 1 : publish(fd, repository, folder, id, err);
}

int repository_remove(const char *repository, const char *id, struct error *err)
{
    _cleanup_close_ int fd = -1;
    int r = check_id(id, err);
    if (r == 0 && !repository_has(repository, id))
        return 0;
    if (r == 0)
        r = lock(repository, &fd, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = path_join(repository, id);
    _cleanup_free_ char *going = xasprintf("%s/" GOING "%s", repository, id);
    if (rename(path, going) < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "cannot remove %s", id);
    if (fsync(fd) < 0)
        return error_errno(err, -errno, "cannot remove %s", id);
    return remove_tree(going, err);
}
