#include "transfer/extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "transfer/tree.h"

enum { READ_SIZE = 128 * 1024, LINK_MAX_BYTES = 4096 };

struct extraction {
    struct archive *archive;
    int root;
    uint64_t left; /* bytes that may still be written */
    uint64_t written;
};

static int broken(struct archive *a, struct error *err)
{
    const char *text = archive_error_string(a);
    return error_set(
        err, -EBADMSG, "the archive is broken: %.300s", text ? text : "unknown reason");
}

/* ---- data ---- */

/* Writes the current entry to fd. Holes in sparse files stay holes but count as if written. */
static int write_data(struct extraction *x, int fd, struct error *err)
{
    const void *block;
    size_t n;
    la_int64_t offset;
    uint64_t end = 0;
    int rc;
    while ((rc = archive_read_data_block(x->archive, &block, &n, &offset)) == ARCHIVE_OK) {
        if (offset < 0 || (uint64_t)offset < end)
            return error_set(err, -EBADMSG, "the archive is broken: blocks overlap");
        if ((uint64_t)offset > x->left || n > x->left - (uint64_t)offset)
            return error_set(err, -EFBIG, "the archive unpacks to more than the limit");
        end = (uint64_t)offset + n;
        const char *p = block;
        for (size_t done = 0; done < n;) {
            ssize_t w = pwrite(fd, p + done, n - done, (off_t)((uint64_t)offset + done));
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return error_errno(err, -errno, "writing");
            done += (size_t)w;
        }
    }
    if (rc != ARCHIVE_EOF)
        return broken(x->archive, err);
    x->left -= end;
    x->written += end;
    return 0;
}

/* ---- entries ---- */

static const char *entry_name(struct archive_entry *e)
{
    const char *name = archive_entry_pathname(e);
    return name ? name : archive_entry_pathname_utf8(e);
}

static int make_file(
    struct extraction *x, struct archive_entry *e, const char *path, struct error *err)
{
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    int r = tree_create(x->root, path, &f, err);
    if (r < 0)
        return r;
    r = write_data(x, f.fd, err);
    if (r < 0)
        return r;
    /* A sparse file may end in a hole. */
    if (archive_entry_size_is_set(e)) {
        la_int64_t size = archive_entry_size(e);
        struct stat st;
        if (fstat(f.fd, &st) == 0 && size > st.st_size) {
            uint64_t more = (uint64_t)(size - st.st_size);
            if (more > x->left)
                return error_set(err, -EFBIG, "the archive unpacks to more than the limit");
            if (ftruncate(f.fd, size) < 0)
                return error_errno(err, -errno, "writing");
            x->left -= more;
            x->written += more;
        }
    }
    if (archive_entry_mtime_is_set(e)) {
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW},
            {.tv_sec = archive_entry_mtime(e), .tv_nsec = archive_entry_mtime_nsec(e)}};
        (void)futimens(
            f.fd, times); /* a date that the file system cannot hold is no reason to fail */
    }
    return tree_finish(&f, archive_entry_perm(e) & 0777, err);
}

static int make_symlink(
    struct extraction *x, struct archive_entry *e, const char *path, struct error *err)
{
    const char *target = archive_entry_symlink(e), *name;
    if (!target || !*target || strlen(target) >= LINK_MAX_BYTES)
        return error_set(err, -EBADMSG, "the link has no target");
    _cleanup_close_ int parent = -1;
    int r = tree_open_parent(x->root, path, &parent, &name, err);
    if (r < 0)
        return r;
    if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "replacing it");
    if (symlinkat(target, parent, name) < 0)
        return error_errno(err, -errno, "making the link");
    return 0;
}

/* Some archives repeat the contents with a hard link. */
static int write_linked(
    struct extraction *x, struct archive_entry *e, int parent, const char *name, struct error *err)
{
    if (!archive_entry_size_is_set(e) || archive_entry_size(e) <= 0)
        return 0;
    _cleanup_close_ int fd = openat(parent, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_errno(err, -errno, "writing") : write_data(x, fd, err);
}

static int make_hardlink(
    struct extraction *x, struct archive_entry *e, const char *path, struct error *err)
{
    _cleanup_free_ char *target = NULL;
    _cleanup_close_ int parent = -1, target_parent = -1;
    const char *name, *target_name;
    struct stat st;
    int r = tree_clean_path(archive_entry_hardlink(e), &target, err);
    if (r < 0)
        return error_prefix(err, -EPERM, "hard link");
    r = tree_open_parent(x->root, target, &target_parent, &target_name, err);
    if (r == 0)
        r = tree_open_parent(x->root, path, &parent, &name, err);
    if (r < 0)
        return r;
    if (fstatat(target_parent, target_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, -EBADMSG, "hard link to '%.200s', which is not there", target);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EPERM, "hard link to '%.200s', which is not a file", target);
    if (streq(target, path))
        return 0;
    if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "replacing it");
    if (linkat(target_parent, target_name, parent, name, 0) < 0)
        return error_errno(err, -errno, "hard link");
    return write_linked(x, e, parent, name, err);
}

static int make_entry(
    struct extraction *x, struct archive_entry *e, const char *path, struct error *err)
{
    if (!*path) /* "./", the folder itself */
        return 0;
    if (archive_entry_hardlink(e))
        return make_hardlink(x, e, path, err);
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        return make_file(x, e, path, err);
    case AE_IFDIR:
        return tree_make_directory(x->root, path, archive_entry_perm(e), err);
    case AE_IFLNK:
        return make_symlink(x, e, path, err);
    default:
        return error_set(err, -EPERM, "a device, pipe or socket");
    }
}

static int extract_entry(struct extraction *x, struct archive_entry *e, struct error *err)
{
    const char *name = entry_name(e);
    _cleanup_free_ char *path = NULL;
    if (!name)
        return error_set(err, -EBADMSG, "the archive is broken: an entry has no name");
    int r = tree_clean_path(name, &path, err);
    if (r < 0)
        return error_prefix(err, -EPERM, "refused");
    r = make_entry(x, e, path, err);
    return r < 0 ? error_prefix(err, r, "'%.200s'", path) : 0;
}

/* ---- archives ---- */

/* ARCHIVE_WARN is for what we do not take over anyway, such as names in odd character sets. */
static bool is_ok(int rc)
{
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN;
}

static int extract_all(struct extraction *x, struct error *err)
{
    struct archive_entry *e;
    int rc;
    for (unsigned n = 0; is_ok(rc = archive_read_next_header(x->archive, &e)); n++) {
        if (n == EXTRACT_ENTRIES_MAX)
            return error_set(err, -EFBIG, "the archive has more than %d entries", n);
        int r = extract_entry(x, e, err);
        if (r < 0)
            return r;
    }
    return rc == ARCHIVE_EOF ? 0 : broken(x->archive, err);
}

/* Only what is wanted: libarchive knows filters that start other programs. */
static void support(struct archive *a, enum uri_content content)
{
    if (content == URI_ZIP) {
        archive_read_support_format_zip(a);
        return;
    }
    archive_read_support_filter_gzip(a);
    if (content == URI_GZIP) {
        archive_read_support_format_raw(a);
        archive_read_support_format_empty(a);
        return;
    }
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_format_tar(a);
}

static struct archive *open_archive(int fd, enum uri_content content, struct error *err)
{
    struct archive *a = archive_read_new();
    if (!a) {
        error_set(err, -ENOMEM, "libarchive cannot be started");
        return NULL;
    }
    support(a, content);
    if (lseek(fd, 0, SEEK_SET) < 0 || archive_read_open_fd(a, fd, READ_SIZE) != ARCHIVE_OK) {
        broken(a, err);
        archive_read_free(a);
        return NULL;
    }
    return a;
}

int extract_archive(int fd, enum uri_content content, int root, uint64_t max_bytes,
    uint64_t *ret_bytes, struct error *err)
{
    struct error why = ERROR_INIT;
    struct archive *a = open_archive(fd, content, &why);
    struct extraction x = {a, root, max_bytes, 0};
    int r = a ? extract_all(&x, &why) : why.code;
    archive_read_free(a);
    if (r < 0)
        return error_set(err, r, "%s", why.msg);
    *ret_bytes = x.written;
    return 0;
}

static int gunzip(struct archive *a, int to, struct extraction *x, struct error *err)
{
    struct archive_entry *e;
    int rc = archive_read_next_header(a, &e);
    if (archive_filter_code(a, 0) != ARCHIVE_FILTER_GZIP)
        return error_set(err, -EBADMSG, "not a gzip file");
    if (rc == ARCHIVE_EOF) /* nothing inside */
        return 0;
    return is_ok(rc) ? write_data(x, to, err) : broken(a, err);
}

int extract_gzip(int fd, int to, uint64_t max_bytes, uint64_t *ret_bytes, struct error *err)
{
    struct error why = ERROR_INIT;
    struct archive *a = open_archive(fd, URI_GZIP, &why);
    struct extraction x = {a, -1, max_bytes, 0};
    int r = a ? gunzip(a, to, &x, &why) : why.code;
    archive_read_free(a);
    if (r < 0)
        return error_set(err, r, "%s", why.msg);
    *ret_bytes = x.written;
    return 0;
}
