#include "fetcher/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "fetcher/cache.h"
#include "transfer/extract.h"
#include "transfer/tree.h"

enum { MODE_PLAIN = 0644, MODE_EXECUTABLE = 0755 };

struct run {
    const struct fetch_request *request;
    void (*progress)(const char *line, void *userdata);
    void *userdata;
    int root;      /* the sandbox */
    uint64_t left; /* bytes that may still be written */
};

static void tell(const struct run *run, const char *fmt, ...) _printf_(2, 3);
static void tell(const struct run *run, const char *fmt, ...)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    run->progress(buf_cstr(&b), run->userdata);
}

static int charge(struct run *run, uint64_t bytes, struct error *err)
{
    if (bytes > run->left)
        return error_set(err, -EFBIG, "all files together are larger than the limit of %lld bytes",
            (long long)run->request->total_max_bytes);
    run->left -= bytes;
    return 0;
}

/* ---- unpacking ---- */

static int unpack_gzip(struct run *run, int fd, const char *path, struct error *err)
{
    _cleanup_free_ char *plain = xstrndup(path, strlen(path) - strlen(".gz"));
    if (!*plain || has_suffix(plain, "/"))
        return error_set(err, -EINVAL, "'%.200s' has no name without its suffix", path);
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    uint64_t bytes;
    int r = tree_create(run->root, plain, &f, err);
    if (r == 0)
        r = extract_gzip(fd, f.fd, run->left, &bytes, err);
    if (r == 0)
        r = tree_finish(&f, MODE_PLAIN, err);
    if (r < 0)
        return error_prefix(err, r, "cannot unpack '%.200s'", path);
    tell(run, "unpacked '%s' to '%s' (%llu bytes)", path, plain, (unsigned long long)bytes);
    return charge(run, bytes, err);
}

static int unpack(struct run *run, int fd, const char *path, struct error *err)
{
    enum uri_content content = uri_content_of(path);
    if (content == URI_PLAIN)
        return 0;
    if (content == URI_GZIP)
        return unpack_gzip(run, fd, path, err);
    uint64_t bytes;
    int r = extract_archive(fd, content, run->root, run->left, &bytes, err);
    if (r < 0)
        return error_prefix(err, r, "cannot extract '%.200s'", path);
    tell(run, "extracted '%s' (%llu bytes)", path, (unsigned long long)bytes);
    return charge(run, bytes, err);
}

/* ---- one URI ---- */

static bool is_unpacked(const struct fetch_item *item, const char *path)
{
    return item->extract && !item->executable && uri_content_of(path) != URI_PLAIN;
}

static int fetch_directly(struct run *run, const struct fetch_item *item, const struct uri *u,
    const char *path, struct error *err)
{
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    struct download_options options = {run->request->stall_timeout_us, run->left};
    uint64_t bytes;
    int64_t start_us = clock_monotonic_us();
    int r = tree_create(run->root, path, &f, err);
    if (r == 0)
        r = download(u, f.fd, &options, &bytes, err);
    if (r == 0)
        r = charge(run, bytes, err);
    if (r == 0)
        r = tree_finish(&f, item->executable ? MODE_EXECUTABLE : MODE_PLAIN, err);
    if (r < 0)
        return r;
    tell(run, "fetched '%s' (%llu bytes in %lld ms)", path, (unsigned long long)bytes,
        (long long)((clock_monotonic_us() - start_us) / USEC_PER_MSEC));
    return is_unpacked(item, path) ? unpack(run, f.fd, path, err) : 0;
}

/* From the cache an archive goes straight to its contents, without a copy of itself. */
static int place_cached(
    struct run *run, const struct fetch_item *item, int fd, const char *path, struct error *err)
{
    if (is_unpacked(item, path))
        return unpack(run, fd, path, err);
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    uint64_t bytes;
    int r = tree_create(run->root, path, &f, err);
    if (r == 0)
        r = copy_file(fd, f.fd, run->left, &bytes, err);
    if (r == 0)
        r = charge(run, bytes, err);
    if (r == 0)
        r = tree_finish(&f, item->executable ? MODE_EXECUTABLE : MODE_PLAIN, err);
    return r;
}

static int fetch_cached(struct run *run, const struct fetch_item *item, const struct uri *u,
    const char *path, struct error *err)
{
    struct cache cache = {run->request->cache_dir, (uint64_t)run->request->max_bytes};
    struct download_options options = {run->request->stall_timeout_us, run->left};
    _cleanup_close_ int fd = -1;
    uint64_t bytes;
    bool hit, bypass;
    struct error why = ERROR_INIT;
    int64_t start_us = clock_monotonic_us();
    int r = cache_fetch(&cache, u, &options, &fd, &bytes, &hit, &bypass, &why);
    if (r < 0 && bypass) {
        tell(run, "not using the cache for '%s': %s", path, why.msg);
        return fetch_directly(run, item, u, path, err);
    }
    if (r < 0)
        return error_set(err, r, "%s", why.msg);
    if (hit)
        tell(run, "found '%s' in the cache (%llu bytes)", path, (unsigned long long)bytes);
    else
        tell(run, "fetched '%s' into the cache (%llu bytes in %lld ms)", path,
            (unsigned long long)bytes,
            (long long)((clock_monotonic_us() - start_us) / USEC_PER_MSEC));
    return place_cached(run, item, fd, path, err);
}

static int fetch_item(struct run *run, const struct fetch_item *item, struct error *err)
{
    struct uri u = {0};
    _cleanup_free_ char *path = NULL;
    int r = uri_parse(item->value, &u, err);
    if (r < 0)
        return r;
    if (item->output_file && !*item->output_file)
        r = error_set(err, -EINVAL, "output_file is empty");
    else
        r = tree_clean_path(item->output_file ? item->output_file : u.name, &path, err);
    if (r == 0 && (!*path || (item->output_file && has_suffix(item->output_file, "/"))))
        r = error_set(err, -EINVAL, "output_file '%.200s' names no file", item->output_file);
    if (r == 0)
        r = item->cache && run->request->cache_dir ? fetch_cached(run, item, &u, path, err)
                                                   : fetch_directly(run, item, &u, path, err);
    uri_done(&u);
    return r;
}

int fetch_run(const struct fetch_request *request,
    void (*progress)(const char *line, void *userdata), void *userdata, struct error *err)
{
    _cleanup_close_ int root = open(request->sandbox, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, -errno, "sandbox %.300s", request->sandbox);
    struct run run = {request, progress, userdata, root,
        request->total_max_bytes > 0 ? (uint64_t)request->total_max_bytes : UINT64_MAX};
    for (size_t i = 0; i < request->n; i++) {
        _cleanup_free_ char *shown = uri_display(request->items[i].value);
        int r = fetch_item(&run, &request->items[i], err);
        if (r < 0)
            return error_prefix(err, r, "cannot fetch '%.300s'", shown);
    }
    return 0;
}
