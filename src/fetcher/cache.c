#include "fetcher/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"

enum { KEY_BYTES = 32, KEY_TEXT_SIZE = 2 * KEY_BYTES + 1, FILE_MODE = 0600 };

static void make_key(const struct uri *u, char ret[KEY_TEXT_SIZE])
{
    uint8_t digest[KEY_BYTES];
    _cleanup_free_ char *text = xasprintf("%lu %s", (unsigned long)geteuid(), u->text);
    EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
    hex_encode(digest, sizeof(digest), ret);
}

/* ---- locks ---- */

static bool is_current(int fd, int directory, const char *name)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* A descriptor that holds the lock. Eviction removes lock files, hence the look at what is there.
 * With `wait` false -EAGAIN when somebody else holds it. */
static int take_lock(int directory, const char *name, bool wait)
{
    for (;;) {
        _cleanup_close_ int fd = openat(
            directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (fd < 0)
            return -errno;
        struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int r;
        do
            r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0 ? -errno : 0;
        while (r == -EINTR);
        if (r < 0)
            return r == -EACCES ? -EAGAIN : r;
        if (is_current(fd, directory, name))
            return TAKE_FD(fd);
    }
}

/* ---- eviction ---- */

struct item {
    char *key;
    uint64_t bytes;
    struct timespec used;
};

static int by_use(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->key, y->key);
}

static bool remove_item(int directory, const char *key)
{
    static const char *const suffixes[] = {"data", "part", "lock"};
    _cleanup_free_ char *lock = xasprintf("%s.lock", key);
    _cleanup_close_ int fd = take_lock(directory, lock, false);
    if (fd < 0)
        return false; /* being fetched: not the least recently used any more */
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        _cleanup_free_ char *name = xasprintf("%s.%s", key, suffixes[i]);
        (void)unlinkat(directory, name, 0); /* absent, or still there for the next try */
    }
    return true;
}

/* Removes what was used least recently until `incoming` more bytes fit. Called with evict.lock
 * held. What a crashed fetcher left half done goes as well. */
static void make_room(int directory, const char *own_key, uint64_t max_bytes, uint64_t incoming)
{
    VEC(struct item) items = {0};
    VEC(char *) parts = {0};
    uint64_t total = incoming;
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fd_close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        char *dot = strrchr(e->d_name, '.');
        if (!dot || (size_t)(dot - e->d_name) != KEY_TEXT_SIZE - 1 ||
            has_prefix(e->d_name, own_key) ||
            fstatat(directory, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        char *key = xstrndup(e->d_name, KEY_TEXT_SIZE - 1);
        if (streq(dot, ".data")) {
            vec_push(&items, (struct item){key, (uint64_t)st.st_size, st.st_mtim});
            total += (uint64_t)st.st_size;
        } else if (streq(dot, ".part")) {
            vec_push(&parts, key);
        } else {
            free(key);
        }
    }
    closedir(dir);
    if (items.n > 0)
        qsort(items.items, items.n, sizeof(*items.items), by_use);
    VEC_FOREACH (item, &items) {
        if (total > max_bytes && remove_item(directory, item->key))
            total -= item->bytes;
        free(item->key);
    }
    VEC_FOREACH (key, &parts) {
        (void)remove_item(directory, *key);
        free(*key);
    }
    vec_done(&items);
    vec_done(&parts);
}

/* ---- fetching ---- */

/* Sets the time of last use. Not left to the kernel: access times are often switched off, and its
 * own clock for files ticks too slowly to tell two uses apart. */
static void mark_used(int fd)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[1] = times[0];
    (void)futimens(fd, times); /* at worst the wrong file is evicted */
}

static int open_hit(int directory, const char *data, uint64_t *ret_bytes)
{
    _cleanup_close_ int fd = openat(directory, data, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -ENOENT;
    mark_used(fd);
    *ret_bytes = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

static int fail_bypass(struct error *err, int code, const char *what, bool *ret_bypass)
{
    *ret_bypass = true;
    return error_errno(err, code, "%s", what);
}

/* Downloads to the .part file and, once whole and on disk, gives it its name. */
static int fill(const struct cache *c, int directory, const char *key, const struct uri *u,
    const struct download_options *options, uint64_t *ret_bytes, bool *ret_bypass,
    struct error *err)
{
    _cleanup_free_ char *part = xasprintf("%s.part", key), *data = xasprintf("%s.data", key);
    _cleanup_close_ int fd = openat(
        directory, part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return fail_bypass(err, -errno, "cache", ret_bypass);
    struct download_options limited = *options;
    limited.max_bytes = MIN(options->max_bytes, c->max_bytes);
    uint64_t bytes = 0;
    int r = download(u, fd, &limited, &bytes, err);
    if (r == -ENOSPC || (r == -EFBIG && limited.max_bytes < options->max_bytes))
        *ret_bypass = true;
    if (r == 0 && fsync(fd) < 0)
        r = fail_bypass(err, -errno, "cache", ret_bypass);
    if (r == 0) {
        /* Held to the end of the block. Without it the worst is a cache that is too large for a
         * while. */
        _unused_ _cleanup_close_ int evict = take_lock(directory, "evict.lock", true);
        make_room(directory, key, c->max_bytes, bytes);
        if (renameat(directory, part, directory, data) < 0)
            r = fail_bypass(err, -errno, "cache", ret_bypass);
    }
    if (r < 0) {
        (void)unlinkat(directory, part, 0); /* what is left is never read, and goes at eviction */
        return r;
    }
    mark_used(fd);
    *ret_bytes = bytes;
    return TAKE_FD(fd);
}

int cache_fetch(const struct cache *c, const struct uri *u, const struct download_options *options,
    int *ret_fd, uint64_t *ret_bytes, bool *ret_hit, bool *ret_bypass, struct error *err)
{
    char key[KEY_TEXT_SIZE];
    make_key(u, key);
    _cleanup_free_ char *lock_name = xasprintf("%s.lock", key), *data = xasprintf("%s.data", key);
    *ret_bypass = *ret_hit = false;
    (void)mkdir(c->directory, 0700); /* there already, or the next line says what is wrong */
    _cleanup_close_ int directory = open(c->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail_bypass(err, -errno, "cache", ret_bypass);
    _cleanup_close_ int lock = take_lock(directory, lock_name, true);
    if (lock < 0)
        return fail_bypass(err, lock, "cache", ret_bypass);
    int fd = open_hit(directory, data, ret_bytes);
    *ret_hit = fd >= 0;
    if (fd == -ENOENT)
        fd = fill(c, directory, key, u, options, ret_bytes, ret_bypass, err);
    if (fd < 0)
        return fd;
    if (*ret_bytes > options->max_bytes) {
        fd_close(fd);
        return error_set(err, -EFBIG, "larger than the limit of %llu bytes",
            (unsigned long long)options->max_bytes);
    }
    *ret_fd = fd;
    return 0;
}
