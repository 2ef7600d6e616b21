#include "mkpanda/upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "mkpanda/source.h"
#include "pkgpanda/hash.h"

static int lock(int fd, int how, const char *path, struct error *err)
{
    while (flock(fd, how) < 0)
        if (errno != EINTR)
            return error_errno(err, -errno, "cannot lock %s", path);
    return 0;
}

static bool is_there(const char *checkout, const char *marker, const char *identity)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    return path_exists(checkout) && file_read(marker, BUILDINFO_MAX, &text, NULL) == 0 &&
           streq(buf_cstr(&text), identity);
}

/* The marker says what the checkout is of; there is none while it is not whole. */
static int check_out(const struct store *s, const struct source *source, const char *folder,
    const char *checkout, struct error *err)
{
    _cleanup_free_ char *marker = path_join(folder, "checkout.json");
    _cleanup_free_ char *making = path_join(folder, ".new.checkout");
    _cleanup_free_ char *downloads = path_join(folder, "source");
    _cleanup_json_ json_t *identity = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = source_identity(source, s->folder, &identity, err);
    if (r < 0)
        return r;
    json_write_pretty(identity, &text);
    if (is_there(checkout, marker, buf_cstr(&text)))
        return 0;
    if (unlink(marker) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "cannot remove %s", marker);
    r = remove_tree(making, err);
    if (r == 0)
        r = remove_tree(checkout, err);
    if (r == 0)
        r = mkdir_all(making, 0755, err);
    if (r == 0)
        r = source_checkout(source, s->folder, downloads, making, err);
    if (r == 0 && rename(making, checkout) < 0)
        r = error_errno(err, -errno, "cannot rename %s", making);
    return r < 0 ? r : file_write_atomic(marker, buf_cstr(&text), text.n, 0644, err);
}

/* *ret_fd stays locked: others may read the checkout, but not put another in its place. */
static int hold(const struct store *s, const struct source *source, int *ret_fd, struct error *err)
{
    _cleanup_free_ char *folder = path_join(s->cache, "upstream");
    _cleanup_free_ char *checkout = path_join(folder, "checkout");
    int r = mkdir_all(folder, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", folder);
    r = lock(fd, LOCK_EX, folder, err);
    if (r == 0)
        r = check_out(s, source, folder, checkout, err);
    if (r == 0)
        r = lock(fd, LOCK_SH, folder, err);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int upstream_open(struct store *s, struct error *err)
{
    _cleanup_free_ char *path = path_join(s->folder, UPSTREAM_NAME);
    _cleanup_free_ char *packages = path_join(s->cache, "upstream/checkout/packages");
    _cleanup_free_ char *another = path_join(packages, UPSTREAM_NAME);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    struct source source;
    if (!path_exists(path))
        return 0;
    int r = file_read(path, BUILDINFO_MAX, &text, err);
    if (r == 0)
        r = json_parse(text.p, text.n, &json, err);
    if (r == 0)
        r = source_parse("upstream", json, &source, err);
    if (r == 0)
        r = hold(s, &source, &s->upstream_lock, err);
    if (r == 0 && !path_exists(packages))
        r = error_set(err, -EINVAL, "what it names has no folder packages");
    if (r == 0 && path_exists(another))
        r = error_set(err, -EINVAL, "what it names is on top of another tree itself");
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    s->upstream = TAKE_PTR(packages);
    return 0;
}
