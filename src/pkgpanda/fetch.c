#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "pkgpanda/id.h"
#include "pkgpanda/repository.h"
#include "transfer/download.h"

/* Files of a remote repository, checked before anybody looks into them. */

static bool worth_another(int r, long status)
{
    switch (status) {
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    case 0: /* no connection, or it broke before the answer */
    case 200:
        return r == -EREMOTEIO || r == -ETIMEDOUT;
    default:
        return false;
    }
}

int fetch_url(const char *url, int fd, uint64_t max, struct error *err)
{
    struct uri uri;
    int r = uri_parse(url, &uri, err);
    _cleanup_free_ char *shown = uri_display(url);
    if (r < 0)
        return error_prefix(err, r, "%.300s", shown);
    for (unsigned attempt = 1;; attempt++) {
        long status = 0;
        uint64_t bytes;
        const struct download_options options = {
            .stall_timeout_us = FETCH_STALL_SECONDS * USEC_PER_SEC,
            .max_bytes = max,
            .ret_status = &status};
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
            r = error_errno(err, -errno, "cannot write");
        else
            r = download(&uri, fd, &options, &bytes, err);
        if (r < 0 && status == 404)
            r = -ENOENT;
        if (r < 0 && status == 403)
            r = -EACCES;
        if (r >= 0 || uri.kind == URI_FILE || attempt == FETCH_ATTEMPTS ||
            !worth_another(r, status))
            break;
        poll(NULL, 0, FETCH_PAUSE_MS << (attempt - 1));
    }
    enum uri_kind kind = uri.kind;
    uri_done(&uri);
    return r < 0 && kind != URI_FILE ? error_prefix(err, r, "%.300s", shown) : r;
}

static int read_back(int fd, struct buf *ret, struct error *err)
{
    char chunk[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(fd, chunk, sizeof(chunk), at)) > 0; at += n)
        buf_append(ret, chunk, (size_t)n);
    return n < 0 ? error_errno(err, -errno, "memory") : 0;
}

/* Without a name: nothing is left behind, whenever we are killed. */
static int open_nameless(const char *folder, struct error *err)
{
    int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        _cleanup_free_ char *path = path_join(folder, ".new.fetch-XXXXXX");
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0 && unlink(path) < 0)
            fd = fd_close(fd);
    }
    return fd < 0 ? error_errno(err, -errno, "cannot write to %s", folder) : fd;
}

/* A small file into memory; *ret_absent instead of -ENOENT. */
static int fetch_small(
    const char *url, size_t max, struct buf *ret, bool *ret_absent, struct error *err)
{
    _cleanup_close_ int fd = memfd_create("fetch", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "memory");
    int r = fetch_url(url, fd, max, err);
    if (r == -ENOENT && ret_absent) {
        *ret_absent = true;
        return 0;
    }
    if (r < 0)
        return r;
    return read_back(fd, ret, err);
}

static int check(
    const char *url, const char *name, int fd, const struct trust *trust, struct error *err)
{
    _cleanup_buf_ struct buf line = BUF_INIT, signature = BUF_INIT;
    _cleanup_free_ char *line_url = xasprintf("%s.sha256", url);
    bool demanded = trust_demands_signature(trust), absent = false;
    int r = trust_check_known(trust, name, fd, err);
    if (r < 0 || (r > 0 && !demanded))
        return MIN(r, 0);
    r = fetch_small(line_url, TRUST_DIGEST_MAX, &line, demanded ? NULL : &absent, err);
    if (r < 0 || absent)
        return r;
    if (demanded) {
        _cleanup_free_ char *signature_url = xasprintf("%s.sha256.sig", url);
        r = fetch_small(signature_url, TRUST_SIGNATURE_SIZE, &signature, NULL, err);
        if (r == 0)
            r = trust_verify(trust, buf_str(&line), buf_str(&signature), err);
        if (r < 0)
            return error_prefix(err, r, "%s", name);
    }
    return trust_check_digest(fd, name, buf_str(&line), err);
}

static char *join_url(const char *base, const char *path)
{
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    return xasprintf("%.*s/%s", (int)n, base, path);
}

int repository_fetch_file(const char *base_url, const char *path, int fd, uint64_t max,
    const struct trust *trust, struct error *err)
{
    _cleanup_free_ char *url = join_url(base_url, path);
    const char *slash = strrchr(path, '/');
    int r = fetch_url(url, fd, max, err);
    return r < 0 ? r : check(url, slash ? slash + 1 : path, fd, trust, err);
}

int repository_fetch_text(const char *base_url, const char *path, size_t max,
    const struct trust *trust, struct buf *ret, struct error *err)
{
    _cleanup_close_ int fd = memfd_create("fetch", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "memory");
    int r = repository_fetch_file(base_url, path, fd, max, trust, err);
    return r < 0 ? r : read_back(fd, ret, err);
}

int repository_fetch(const char *repository, const char *base_url, const char *id,
    const struct trust *trust, struct error *err)
{
    struct package_id parts;
    int r = package_id_parse(id, &parts, err);
    if (r < 0)
        return r;
    if (repository_has(repository, id))
        return 1;
    r = mkdir_all(repository, 0755, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = xasprintf(
        "packages/%.*s/%s" PACKAGE_SUFFIX, (int)parts.name.n, parts.name.p, id);
    _cleanup_close_ int fd = open_nameless(repository, err);
    if (fd < 0)
        return fd;
    r = repository_fetch_file(base_url, path, fd, PACKAGE_BYTES_MAX, trust, err);
    if (r < 0)
        return r;
    char tarball[64];
    snprintf(tarball, sizeof(tarball), "/proc/self/fd/%d", fd);
    return repository_add(repository, tarball, id, err);
}
