#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/internal.h"

/*
 * Unit files. Systemd wants them in its own folder, not behind links into packages: each is copied
 * to <systemd_dir>/<unit>, and dcos.target.wants/<unit> is a link to the copy.
 */

enum { UNIT_MAX = 1024 * 1024 };

static char *unit_path(const struct install *in, const char *unit, const char *suffix)
{
    return xasprintf("%s/%s%s", in->systemd_dir, unit, suffix);
}

int units_in(const struct install *in, const char *suffix, struct strings *ret, struct error *err)
{
    if (!in->systemd_dir)
        return 0;
    _cleanup_free_ char *wants = unit_path(in, WANTS_NAME, suffix);
    return strings_read_folder(wants, ret, err);
}

/* What the staged link means, on this disk: links may be made for another root. */
static char *source_of(const struct install *in, const char *target)
{
    size_t n = strlen(link_repository(in));
    return strncmp(target, link_repository(in), n) == 0
               ? xasprintf("%s%s", in->repository, target + n)
               : xstrdup(target);
}

static int stage_unit(const struct install *in, const char *unit, struct error *err)
{
    char target[4096];
    struct stat st;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (unit_name_reserved(unit))
        return error_set(err, -EINVAL, "Package provides the reserved unit %s.", unit);
    _cleanup_free_ char *link = xasprintf("%s/" WANTS_NAME NEW "/%s", in->systemd_dir, unit);
    _cleanup_free_ char *staged = unit_path(in, unit, UNIT_NEW);
    _cleanup_free_ char *place = unit_path(in, unit, "");
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n < 0) /* a folder, as of drop-ins: it stays as it is */
        return errno == EINVAL ? 0 : error_errno(err, -errno, "cannot read %s", link);
    target[n] = '\0';
    _cleanup_free_ char *source = source_of(in, target);
    if (stat(source, &st) < 0)
        return error_errno(err, -errno, "cannot read %s", source);
    int r = file_read(source, UNIT_MAX, &text, err);
    if (r == 0)
        r = file_write_atomic(staged, buf_cstr(&text), text.n, st.st_mode & 0777, err);
    if (r < 0)
        return r;
    if (unlink(link) < 0 || symlink(place, link) < 0)
        return error_errno(err, -errno, "cannot link %s", link);
    step(in, "stage unit");
    return 0;
}

int units_stage(const struct install *in, struct error *err)
{
    _cleanup_strings_ struct strings units = {0};
    int r = units_in(in, NEW, &units, err);
    for (size_t i = 0; i < units.n && r == 0; i++)
        r = stage_unit(in, units.items[i], err);
    return r;
}

int units_remove(const struct install *in, const struct strings *units, struct error *err)
{
    for (size_t i = 0; i < units->n; i++) {
        _cleanup_free_ char *path = unit_path(in, units->items[i], "");
        if (unlink(path) < 0 && errno != ENOENT && errno != EISDIR && errno != EPERM)
            return error_errno(err, -errno, "cannot remove %s", path);
        step(in, "remove unit");
    }
    return 0;
}

int units_place(const struct install *in, struct error *err)
{
    _cleanup_strings_ struct strings units = {0};
    int r = units_in(in, "", &units, err);
    for (size_t i = 0; i < units.n && r == 0; i++) {
        _cleanup_free_ char *staged = unit_path(in, units.items[i], UNIT_NEW);
        _cleanup_free_ char *place = unit_path(in, units.items[i], "");
        _cleanup_free_ char *wants = unit_path(in, WANTS_NAME, "");
        _cleanup_free_ char *link = path_join(wants, units.items[i]);
        struct stat st;
        if (lstat(link, &st) == 0 && S_ISDIR(st.st_mode))
            continue;
        if (rename(staged, place) < 0 && !(errno == ENOENT && path_exists(place)))
            r = error_errno(err, -errno, "cannot place unit %s", units.items[i]);
        step(in, "place unit");
    }
    return r;
}

int target_write(const struct install *in, struct error *err)
{
    static const char text[] = "[Install]\nWantedBy=multi-user.target\n";
    if (!in->systemd_dir)
        return 0;
    int r = mkdir_all(in->systemd_dir, 0755, err);
    _cleanup_free_ char *path = unit_path(in, TARGET_NAME, "");
    return r < 0 ? r : file_write_atomic(path, text, sizeof(text) - 1, 0644, err);
}

int target_remove(const struct install *in, struct error *err)
{
    if (!in->systemd_dir)
        return 0;
    _cleanup_free_ char *path = unit_path(in, TARGET_NAME, "");
    return unlink(path) < 0 && errno != ENOENT ? error_errno(err, -errno, "cannot remove %s", path)
                                               : 0;
}
