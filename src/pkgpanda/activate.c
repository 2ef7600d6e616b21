#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/internal.h"
#include "pkgpanda/repository.h"

/* Staging a set of packages, and the changes that are made of it. */

int install_lock(const struct install *in, struct error *err)
{
    int r = mkdir_all(in->root, 0755, err);
    if (r < 0)
        return r;
    int fd = open(in->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", in->root);
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EINTR)
            continue;
        r = error_errno(err, -errno, "cannot lock %s", in->root);
        fd_close(fd);
        return r;
    }
    return fd;
}

/* ---- what is active ---- */

static int read_active(const char *folder, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        char target[4096];
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            return error_errno(err, -errno, "cannot read %s", path);
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        strings_add(ret, slash ? slash + 1 : target);
    }
    strings_sort(ret);
    return r;
}

int install_active(const struct install *in, struct strings *ret, struct error *err)
{
    static const char *const suffixes[] = {NEW, OLD};
    _cleanup_free_ char *active = path_join(in->root, "active");
    if (path_exists(active))
        return read_active(active, ret, err);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        _cleanup_free_ char *other = xasprintf("%s%s", active, suffixes[i]);
        if (path_exists(other))
            return error_set(err, -EUCLEAN,
                "%s is missing but %s is there: a past change was cut off. `pkgpanda setup` "
                "finishes it.",
                active, other);
    }
    return error_set(err, -ENOENT, "%s does not exist. Has this host been bootstrapped?", active);
}

/* ---- staging ---- */

static int make_folders(const struct install *in, struct error *err)
{
    _cleanup_parts_ struct parts parts;
    int r = in->systemd_dir ? mkdir_all(in->systemd_dir, 0755, err) : 0;
    parts_init(&parts, in);
    for (size_t i = 0; i < parts.n && r == 0; i++) {
        if (!parts.items[i].directory)
            continue;
        _cleanup_free_ char *path = part_path(&parts.items[i], NEW);
        if (mkdir(path, 0755) < 0)
            r = error_errno(err, -errno, "cannot make %s", path);
        step(in, "make folder");
    }
    return r;
}

static int read_roles(const struct install *in, struct strings *ret, struct error *err)
{
    if (in->roles) {
        for (size_t i = 0; i < in->roles->n; i++)
            strings_add(ret, in->roles->items[i]);
        return 0;
    }
    _cleanup_free_ char *folder = path_join(in->config_dir, "roles");
    return strings_read_folder(folder, ret, err);
}

static int stage(const struct install *in, const struct packages *p, struct error *err)
{
    _cleanup_strings_ struct strings roles = {0};
    int r = read_roles(in, &roles, err);
    if (r == 0)
        r = swap_discard(in, err);
    if (r == 0)
        r = make_folders(in, err);
    if (r == 0)
        r = link_packages(in, p, &roles, err);
    if (r == 0)
        r = ensure_users(in, p, err);
    if (r == 0)
        r = ensure_state_directories(in, p, err);
    if (r == 0)
        r = units_stage(in, err);
    if (r == 0)
        r = write_service_configuration(in, p, err);
    if (r == 0)
        r = write_environment(in, p, err);
    step(in, "write environment");
    return r < 0 ? r : write_buildinfo(in, p, err);
}

int install_activate_locked(
    const struct install *in, const struct strings *ids, bool rollback, struct error *err)
{
    _cleanup_packages_ struct packages packages = {0};
    int r = swap_recover(in, err);
    if (r >= 0)
        r = packages_load(in->repository, ids, &packages, err);
    if (r == 0)
        r = packages_validate(&packages, err);
    if (r < 0)
        return r;
    r = stage(in, &packages, err);
    if (r < 0) {
        (void)swap_discard(in, NULL); /* else the next change does it */
        return r;
    }
    return swap_run(in, rollback, err);
}

/* ---- changes ---- */

int install_activate(const struct install *in, const struct strings *ids, struct error *err)
{
    _cleanup_close_ int lock = install_lock(in, err);
    if (lock < 0)
        return lock;
    int r = install_activate_locked(in, ids, false, err);
    return r < 0 ? r : systemd_start_target(in, in->block_systemd, err);
}

int install_swap_package(const struct install *in, const char *id, struct error *err)
{
    struct package_id parts;
    int r = package_id_parse(id, &parts, err);
    if (r < 0)
        return r;
    _cleanup_close_ int lock = install_lock(in, err);
    if (lock < 0)
        return lock;
    _cleanup_strings_ struct strings active = {0};
    r = swap_recover(in, err);
    if (r >= 0)
        r = install_active(in, &active, err);
    if (r < 0)
        return r;
    bool found = false;
    for (size_t i = 0; i < active.n; i++) {
        struct package_id other;
        if (package_id_parse(active.items[i], &other, NULL) < 0 || other.name.n != parts.name.n ||
            memcmp(other.name.p, parts.name.p, parts.name.n) != 0)
            continue;
        free(active.items[i]);
        active.items[i] = xstrdup(id);
        found = true;
    }
    if (!found)
        return error_set(
            err, -ENOENT, "No active package with the name of %s to swap it with.", id);
    r = install_activate_locked(in, &active, false, err);
    return r < 0 ? r : systemd_start_target(in, in->block_systemd, err);
}

int install_rollback(const struct install *in, struct error *err)
{
    _cleanup_close_ int lock = install_lock(in, err);
    if (lock < 0)
        return lock;
    int r = swap_recover(in, err);
    if (r == SWAP_RECOVERED_ROLLBACK) /* that is what was asked for; another would undo it */
        return systemd_start_target(in, in->block_systemd, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder = path_join(in->root, "active" OLD);
    _cleanup_strings_ struct strings ids = {0}, missing = {0};
    if (!path_exists(folder))
        return error_set(
            err, -ENOENT, "There is nothing to roll back to: %s does not exist.", folder);
    r = read_active(folder, &ids, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ids.n; i++)
        if (!repository_has(in->repository, ids.items[i]))
            strings_add(&missing, ids.items[i]);
    if (missing.n > 0) {
        _cleanup_free_ char *text = strings_join(&missing);
        return error_set(err, -ENOENT,
            "Cannot roll back: packages were removed from this host, fetch them first: %.600s",
            text);
    }
    r = install_activate_locked(in, &ids, true, err);
    return r < 0 ? r : systemd_start_target(in, in->block_systemd, err);
}

int install_recover(const struct install *in, struct error *err)
{
    _cleanup_close_ int lock = install_lock(in, err);
    int r = lock < 0 ? lock : swap_recover(in, err);
    return MIN(r, 1);
}
