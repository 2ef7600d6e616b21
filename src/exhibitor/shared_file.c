#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "exhibitor/document.h"
#include "exhibitor/shared.h"

/*
 * The lock is an advisory one of fcntl(), which NFS passes on and which ends with its holder. The
 * tag is the text itself.
 */

enum { LOCK_TRIES = 50, LOCK_PAUSE_MS = 100 };

struct shared_file {
    struct shared base;
    char *file, *lock, *part;
};

static struct shared_file *of(struct shared *s)
{
    return container_of(s, struct shared_file, base);
}

static int take_lock(struct shared_file *f, int *ret_fd, struct error *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    _cleanup_close_ int fd = open(f->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (fd < 0)
        return error_errno(err, -errno, "%s", f->lock);
    for (int i = 0; fcntl(fd, F_SETLK, &whole) < 0; i++) {
        if (errno != EACCES && errno != EAGAIN)
            return error_errno(err, -errno, "cannot lock %s", f->lock);
        if (i == LOCK_TRIES)
            return error_set(err, -ETIMEDOUT, "%s stays locked by another master", f->lock);
        (void)poll(NULL, 0, LOCK_PAUSE_MS); /* a pause */
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int file_get(struct shared *s, struct buf *ret, char **ret_tag, struct error *err)
{
    struct buf text = BUF_INIT;
    int r = file_read(of(s)->file, DOCUMENT_MAX, &text, err);
    if (r < 0) {
        buf_done(&text);
        return r;
    }
    buf_append(ret, text.p, text.n);
    *ret_tag = buf_steal(&text);
    return 0;
}

static int replace(struct shared_file *f, const struct buf *text, struct error *err)
{
    _cleanup_close_ int fd = open(
        f->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (fd < 0)
        return error_errno(err, -errno, "%s", f->part);
    int r = fd_write_all(fd, text->p, text->n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(f->part, f->file) < 0)
        r = -errno;
    return r < 0 ? error_errno(err, r, "%s", f->file) : 0;
}

static int file_put(struct shared *s, const char *tag, const struct buf *text, struct error *err)
{
    struct shared_file *f = of(s);
    _cleanup_buf_ struct buf now = BUF_INIT;
    _cleanup_close_ int lock = -1;
    int r = take_lock(f, &lock, err);
    if (r < 0)
        return r;
    r = file_read(f->file, DOCUMENT_MAX, &now, err);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT ? tag != NULL : !tag || !streq(buf_cstr(&now), tag))
        return error_set(err, -EAGAIN, "%s was written by another master", f->file);
    return replace(f, text, err);
}

static void file_free(struct shared *s)
{
    struct shared_file *f = of(s);
    free(f->file);
    free(f->lock);
    free(f->part);
    free(f);
}

int shared_file_new(const char *folder, const char *name, struct shared **ret, struct error *err)
{
    static const struct shared_ops ops = {.read = file_get, .write = file_put, .free = file_free};
    if (folder[0] != '/')
        return error_set(err, -EINVAL, "the folder for the shared configuration must start with /");
    struct shared_file *f = xnew(struct shared_file);
    f->base.ops = &ops;
    f->file = xasprintf("%s/dcos-exhibitor.json", folder);
    f->lock = xasprintf("%s/dcos-exhibitor.lock", folder);
    f->part = xasprintf("%s/.dcos-exhibitor.%s", folder, name);
    *ret = &f->base;
    return 0;
}
