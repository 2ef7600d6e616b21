#include "net/resolvconf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

static const char OURS[] = "# Written by dcos-gen-resolvconf; changes are lost.\n";
enum { FILE_MODE = 0644, FOLDER_MODE = 0755 };

int resolvconf_check_search(const char *text, struct error *err)
{
    struct str rest = str_of(text), part;
    size_t n = 0;
    if (rest.n >= RESOLVCONF_SEARCH_MAX)
        return error_set(err, -EINVAL, "the search list is longer than %d characters",
            RESOLVCONF_SEARCH_MAX - 1);
    while (str_split(&rest, ' ', &part)) {
        part = str_trim(part);
        if (part.n == 0)
            continue;
        if (part.n > 1 && part.p[part.n - 1] == '.')
            part.n--;
        bool good = name_valid(part);
        for (size_t i = 0; i < part.n; i++)
            good = good && part.p[i] > ' ' && part.p[i] < 127 && !strchr(",#;\\", part.p[i]);
        if (!good)
            return error_set(err, -EINVAL, "'" STR_FMT "' is no domain", STR_ARG(part));
        if (++n > RESOLVCONF_DOMAINS_MAX)
            return error_set(
                err, -EINVAL, "the search list has more than %d domains", RESOLVCONF_DOMAINS_MAX);
    }
    return 0;
}

void resolvconf_text(const struct address *servers, size_t n, const char *search, struct buf *out)
{
    buf_puts(out, OURS);
    buf_puts(out, "options timeout:1\noptions attempts:3\n");
    struct str rest = str_of(search), part;
    bool begun = false;
    while (search && str_split(&rest, ' ', &part)) {
        if (str_trim(part).n == 0)
            continue;
        buf_printf(out, "%s " STR_FMT, begun ? "" : "search", STR_ARG(str_trim(part)));
        begun = true;
    }
    if (begun)
        buf_putc(out, '\n');
    for (size_t i = 0; i < n && i < RESOLVCONF_SERVERS_MAX; i++) {
        char ip[ADDRESS_TEXT];
        address_text(&servers[i], ip);
        buf_printf(out, "nameserver %s\n", ip);
    }
}

/* ---- files ---- */

enum what { NOTHING, LINK, OTHERS_FILE, OUR_FILE };

/* What stands at the path, and in `ret` its text or where the link leads. */
static int look(
    const char *path, enum what *ret_what, mode_t *ret_mode, struct buf *ret, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0) {
        *ret_what = NOTHING;
        return errno == ENOENT ? 0 : error_errno(err, -errno, "%s", path);
    }
    *ret_mode = st.st_mode & 07777;
    if (S_ISLNK(st.st_mode)) {
        char to[PATH_MAX];
        ssize_t n = readlink(path, to, sizeof(to));
        if (n < 0 || n == sizeof(to))
            return error_errno(err, n < 0 ? -errno : -ENAMETOOLONG, "%s", path);
        buf_append(ret, to, (size_t)n);
        *ret_what = LINK;
        return 0;
    }
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is neither a file nor a link", path);
    int r = file_read(path, RESOLVCONF_FILE_MAX, ret, err);
    *ret_what = r == 0 && str_has_prefix(buf_str(ret), str_of(OURS)) ? OUR_FILE : OTHERS_FILE;
    return r;
}

/* New bytes over the old ones, and only then the new size: there is a first line at any time. */
static int write_in_place(const char *path, struct str text, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : fd_write_all(fd, text.p, text.n);
    if (r == 0 && (ftruncate(fd, (off_t)text.n) < 0 || fsync(fd) < 0))
        r = -errno;
    return r < 0 ? error_errno(err, r, "cannot write %s", path) : 0;
}

/* A file that is a mount point cannot be replaced (EBUSY), nor one in a folder that is read only.
 */
static int put(const char *path, struct str text, mode_t mode, struct error *err)
{
    int r = file_write_atomic(path, text.p, text.n, mode, err);
    if (r == -EBUSY || r == -EROFS)
        r = write_in_place(path, text, err);
    return r;
}

static int put_link(const char *path, const char *to, struct error *err)
{
    _cleanup_free_ char *tmp = xasprintf("%s.tmp.%d", path, (int)getpid());
    (void)unlink(tmp); /* of an earlier process of this id that was killed */
    if (symlink(to, tmp) < 0)
        return error_errno(err, -errno, "cannot create %s", tmp);
    if (rename(tmp, path) < 0) {
        int r = -errno;
        (void)unlink(tmp);
        return error_errno(err, r, "cannot replace %s", path);
    }
    return 0;
}

static int keep(
    const char *kept, enum what what, const struct buf *old, mode_t mode, struct error *err)
{
    _cleanup_free_ char *folder = xstrdup(kept);
    char *slash = strrchr(folder, '/');
    int r = 0;
    if (slash && slash != folder) {
        *slash = '\0';
        r = mkdir_all(folder, FOLDER_MODE, err);
    }
    if (r == 0 && what == LINK)
        return put_link(kept, buf_cstr(old), err);
    return r < 0 ? r : file_write_atomic(kept, old->p, old->n, mode, err);
}

int resolvconf_write(const char *path, const char *kept, struct str text, struct error *err)
{
    _cleanup_buf_ struct buf old = BUF_INIT;
    enum what what;
    mode_t mode = FILE_MODE;
    int r = look(path, &what, &mode, &old, err);
    if (r < 0)
        return r;
    if (what == OUR_FILE && str_eq(buf_str(&old), text))
        return 0;
    if (what == LINK || what == OTHERS_FILE)
        r = keep(kept, what, &old, mode, err);
    if (r == 0)
        r = put(path, text, FILE_MODE, err);
    return r < 0 ? r : 1;
}

int resolvconf_undo(const char *path, const char *kept, struct error *err)
{
    _cleanup_buf_ struct buf old = BUF_INIT, now = BUF_INIT;
    enum what what, what_now;
    mode_t mode = FILE_MODE, mode_now;
    int r = look(path, &what_now, &mode_now, &now, err);
    if (r < 0 || what_now == LINK || what_now == OTHERS_FILE)
        return r;
    r = look(kept, &what, &mode, &old, err);
    if (r < 0)
        return r;
    if (what == NOTHING) {
        if (what_now == OUR_FILE && unlink(path) < 0)
            return error_errno(err, -errno, "cannot remove %s", path);
        return what_now == OUR_FILE;
    }
    r = what == LINK ? put_link(path, buf_cstr(&old), err) : put(path, buf_str(&old), mode, err);
    if (r == 0 && unlink(kept) < 0)
        r = error_errno(err, -errno, "cannot remove %s", kept);
    return r < 0 ? r : 1;
}
