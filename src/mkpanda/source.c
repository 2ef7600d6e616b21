#include "mkpanda/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/repository.h"
#include "pkgpanda/run.h"
#include "transfer/extract.h"
#include "transfer/pack.h"
#include "transfer/tree.h"

/* ---- folders ---- */

static int hash_children(const char *folder, const char *relative, bool modes, unsigned depth,
    json_t *all, struct error *err);

static int hash_child(const char *path, const char *relative, bool modes, unsigned depth,
    json_t *all, struct error *err)
{
    struct stat st;
    char hash[SHA1_TEXT];
    if (lstat(path, &st) < 0)
        return error_errno(err, -errno, "cannot read %s", path);
    if (S_ISDIR(st.st_mode))
        return hash_children(path, relative, modes, depth + 1, all, err);
    if (modes && S_ISLNK(st.st_mode)) {
        char target[TREE_PATH_MAX + 1];
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            return error_errno(err, -errno, "cannot read %s", path);
        target[n] = '\0';
        json_object_set_new(all, relative, json_sprintf("link:%s", target));
        return 0;
    }
    int r = sha1_file(path, hash, err);
    if (r == 0)
        json_object_set_new(all, relative,
            json_sprintf("%s%s", modes && (st.st_mode & S_IXUSR) ? "program:" : "", hash));
    return r;
}

static int hash_children(const char *folder, const char *relative, bool modes, unsigned depth,
    json_t *all, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    if (depth > TREE_DEPTH_MAX)
        return error_set(err, -ELOOP, "%s is too deep", folder);
    int r = strings_read_folder(folder, &names, err);
    if (r == 0 && names.n == 0 && *relative)
        json_object_set_new(all, relative, json_string(""));
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        _cleanup_free_ char *below = *relative ? path_join(relative, names.items[i])
                                               : xstrdup(names.items[i]);
        r = hash_child(path, below, modes, depth, all, err);
    }
    return r;
}

int hash_folder(const char *folder, bool modes, json_t **ret, struct error *err)
{
    json_t *all = json_object();
    int r = hash_children(folder, "", modes, 0, all, err);
    if (r < 0) {
        json_decref(all);
        return r;
    }
    *ret = all;
    return 0;
}

/* Through a tar, which leaves nothing out that a package may hold. */
int copy_folder(const char *from, const char *to, struct error *err)
{
    uint64_t bytes;
    _cleanup_close_ int source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int target = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source < 0 || target < 0)
        return error_errno(err, -errno, "cannot copy %s to %s", from, to);
    _cleanup_free_ char *path = xasprintf("%s.copy-XXXXXX", to);
    _cleanup_close_ int tar = mkostemp(path, O_CLOEXEC);
    if (tar < 0 || unlink(path) < 0)
        return error_errno(err, -errno, "cannot copy %s to %s", from, to);
    int r = pack_tree(source, PACK_PLAIN, tar, err);
    return r < 0 ? r : extract_archive(tar, URI_TAR, target, SOURCE_BYTES_MAX, &bytes, err);
}

int unpack_file(const char *path, const char *to, struct error *err)
{
    uint64_t bytes;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int root = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || root < 0)
        return error_errno(err, -errno, "cannot unpack %s", path);
    const char *slash = strrchr(path, '/');
    enum uri_content content = uri_content_of(slash ? slash + 1 : path);
    if (content != URI_TAR && content != URI_ZIP)
        return error_set(err, -EINVAL, "%s has no suffix of an archive that is known", path);
    int r = extract_archive(fd, content, root, SOURCE_BYTES_MAX, &bytes, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

/* ---- git ---- */

static int git(const char *cwd, struct buf *output, struct error *err, const char *first, ...)
{
    VEC(const char *) argv = {0};
    _cleanup_buf_ struct buf own = BUF_INIT;
    struct buf *out = output ? output : &own;
    va_list ap;
    vec_push(&argv, "git");
    va_start(ap, first);
    for (const char *a = first; a; a = va_arg(ap, const char *))
        vec_push(&argv, a);
    va_end(ap);
    vec_push(&argv, NULL);
    const struct run_options options = {.cwd = cwd, .output = out};
    int r = run_program(argv.items, &options, err);
    vec_done(&argv);
    if (r <= 0)
        return r;
    struct str text = str_trim(buf_str(out));
    return error_set(
        err, -EIO, "git %s ended with %d: %.*s", first, r, (int)MIN(text.n, (size_t)400), text.p);
}

static int read_head(const char *path, const char *what, char ret[SHA1_TEXT], struct error *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    int r = git(path, &out, err, "rev-parse", "--verify", "--quiet", what, NULL);
    if (r < 0)
        return r;
    struct str text = str_trim(buf_str(&out));
    if (text.n != SHA1_TEXT - 1)
        return error_set(err, -EIO, "git gave no commit for %s in %s", what, path);
    memcpy(ret, text.p, text.n);
    ret[text.n] = '\0';
    return 0;
}

static int check_clean(const char *path, struct error *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    int r = git(path, &out, err, "status", "--porcelain", "--untracked-files=no", NULL);
    if (r == 0 && out.n > 0)
        return error_set(err, -EINVAL,
            "%s has changes that are not committed: a build of it could not be told from others",
            path);
    return r;
}

static int clone_mirror(
    const struct source *s, const char *cache, const char *mirror, struct error *err)
{
    _cleanup_free_ char *making = path_join(cache, ".new.cache.git");
    int r = remove_tree(making, err);
    if (r == 0)
        r = git(NULL, NULL, err, "clone", "--mirror", "--", s->git, making, NULL);
    if (r == 0)
        r = remove_tree(mirror, err);
    if (r == 0 && rename(making, mirror) < 0)
        r = error_errno(err, -errno, "cannot rename %s", making);
    return r;
}

static int checkout_git(
    const struct source *s, const char *cache, const char *to, struct error *err)
{
    _cleanup_free_ char *mirror = path_join(cache, "cache.git");
    char origin[SHA1_TEXT];
    int r = path_exists(mirror) ? 0 : -ENOENT;
    if (r == 0)
        r = git(mirror, NULL, err, "remote", "set-url", "origin", s->git, NULL);
    if (r == 0)
        r = git(mirror, NULL, err, "remote", "update", "--prune", NULL);
    if (r < 0) /* none, or one that git left locked or broken when it was killed */
        r = clone_mirror(s, cache, mirror, err);
    if (r < 0)
        return r;
    if (read_head(mirror, s->ref_origin, origin, NULL) == 0 && !streq(origin, s->ref))
        fprintf(stderr, "WARNING: source %s: %s is at %s now, %s is built\n", s->name,
            s->ref_origin, origin, s->ref);
    r = git(NULL, NULL, err, "clone", "--quiet", "--no-checkout", "--", mirror, to, NULL);
    return r < 0 ? r : git(to, NULL, err, "checkout", "--quiet", "--force", s->ref, NULL);
}

static int checkout_git_local(const char *path, const char *to, struct error *err)
{
    char before[SHA1_TEXT], after[SHA1_TEXT];
    int r = check_clean(path, err);
    if (r == 0)
        r = read_head(path, "HEAD", before, err);
    if (r == 0)
        r = git(NULL, NULL, err, "clone", "--quiet", "--no-hardlinks", "--", path, to, NULL);
    if (r == 0)
        r = read_head(to, "HEAD", after, err);
    if (r == 0 && !streq(before, after))
        return error_set(err, -EIO, "%s moved on while it was copied", path);
    return r;
}

/* ---- downloads ---- */

/* "file://x" may be relative to where we run, as it always could. */
static char *full_url(const char *url)
{
    if (!has_prefix(url, "file://") || url[strlen("file://")] == '/')
        return xstrdup(url);
    char *here = get_current_dir_name();
    char *full = xasprintf("file://%s/%s", here ? here : "", url + strlen("file://"));
    free(here);
    return full;
}

static int verify(const struct source *s, const char *path, struct error *err)
{
    char hash[SHA1_TEXT];
    int r = sha1_file(path, hash, err);
    if (r < 0 || streq(hash, s->sha1))
        return r;
    _cleanup_free_ char *corrupt = xasprintf("%s.corrupt", path);
    if (rename(path, corrupt) < 0)
        return error_errno(err, -errno, "cannot rename %s", path);
    return error_set(err, -EBADMSG,
        "source %s: %s has SHA-1 %s, expected was %s. The file is kept as %s.", s->name, s->url,
        hash, s->sha1, corrupt);
}

static int download_source(
    const struct source *s, const char *cache, char **ret_path, struct error *err)
{
    const char *slash = strrchr(s->url, '/'), *name = slash ? slash + 1 : s->url;
    if (!*name || *name == '.' || strchr(name, '\\'))
        return error_set(err, -EINVAL, "source %s: the URL names no file", s->name);
    _cleanup_free_ char *path = path_join(cache, name);
    if (!path_exists(path)) {
        _cleanup_free_ char *url = full_url(s->url);
        _cleanup_free_ char *making = xasprintf("%s.part", path);
        _cleanup_close_ int fd = open(making, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
            return error_errno(err, -errno, "cannot create %s", making);
        int r = fetch_url(url, fd, SOURCE_BYTES_MAX, err);
        if (r < 0)
            return error_prefix(err, r, "source %s", s->name);
        if (fsync(fd) < 0 || rename(making, path) < 0)
            return error_errno(err, -errno, "cannot create %s", path);
    }
    int r = verify(s, path, err);
    if (r == 0)
        *ret_path = TAKE_PTR(path);
    return r;
}

static int move_children(const char *from, const char *to, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(from, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *a = path_join(from, names.items[i]);
        _cleanup_free_ char *b = path_join(to, names.items[i]);
        if (rename(a, b) < 0)
            r = error_errno(err, -errno, "cannot move %s", a);
    }
    return r;
}

/* Without the first part of each name: archives have one folder that holds everything. */
static int extract_source(const char *path, const char *to, struct error *err)
{
    _cleanup_free_ char *whole = xasprintf("%s.whole", to);
    _cleanup_strings_ struct strings names = {0};
    int r = remove_tree(whole, err);
    if (r == 0)
        r = mkdir_all(whole, 0755, err);
    if (r == 0)
        r = unpack_file(path, whole, err);
    if (r == 0)
        r = strings_read_folder(whole, &names, err);
    if (r == 0 && has_suffix(path, ".zip") && names.n != 1)
        return error_set(err, -EINVAL, "%s must hold exactly one folder at its top", path);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        struct stat st;
        _cleanup_free_ char *top = path_join(whole, names.items[i]);
        if (lstat(top, &st) == 0 && S_ISDIR(st.st_mode))
            r = move_children(top, to, err);
    }
    return r < 0 ? r : remove_tree(whole, err);
}

static int copy_source_file(const char *path, const char *to, struct error *err)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *target = path_join(to, slash ? slash + 1 : path);
    const char *const argv[] = {"cp", "--reflink=auto", "--", path, target, NULL};
    int r = run_program(argv, NULL, err);
    return r > 0 ? error_set(err, -EIO, "cannot copy %s", path) : r;
}

/* ---- both ---- */

int source_identity(const struct source *s, const char *folder, json_t **ret, struct error *err)
{
    _cleanup_free_ char *path = s->rel_path ? path_join(folder, s->rel_path) : NULL;
    _cleanup_json_ json_t *files = NULL;
    char hash[SHA1_TEXT];
    int r = 0;
    switch (s->kind) {
    case SOURCE_GIT:
        *ret = json_pack("{s:s}", "commit", s->ref);
        return 0;
    case SOURCE_URL:
    case SOURCE_URL_EXTRACT:
        *ret = json_pack("{s:s}", "downloaded_sha1", s->sha1);
        return 0;
    case SOURCE_GIT_LOCAL:
        r = check_clean(path, err);
        if (r == 0)
            r = read_head(path, "HEAD", hash, err);
        if (r == 0)
            *ret = json_pack("{s:s}", "commit", hash);
        return r;
    case SOURCE_LOCAL:
        if (!path_exists(path))
            return error_set(err, -ENOENT, "source %s: %s does not exist", s->name, path);
        r = hash_folder(path, true, &files, err);
        if (r == 0)
            r = content_hash(files, hash, err);
        if (r == 0)
            *ret = json_pack("{s:s}", "content", hash);
        return r;
    }
    return error_set(err, -EINVAL, "source %s has no kind", s->name);
}

int source_checkout(const struct source *s, const char *folder, const char *cache, const char *to,
    struct error *err)
{
    _cleanup_free_ char *path = s->rel_path ? path_join(folder, s->rel_path) : NULL;
    _cleanup_free_ char *file = NULL;
    int r = mkdir_all(cache, 0755, err);
    if (r < 0)
        return r;
    switch (s->kind) {
    case SOURCE_GIT:
        return checkout_git(s, cache, to, err);
    case SOURCE_GIT_LOCAL:
        return checkout_git_local(path, to, err);
    case SOURCE_LOCAL:
        return copy_folder(path, to, err);
    case SOURCE_URL:
    case SOURCE_URL_EXTRACT:
        r = download_source(s, cache, &file, err);
        if (r == 0)
            r = s->kind == SOURCE_URL ? copy_source_file(file, to, err)
                                      : extract_source(file, to, err);
        return r;
    }
    return error_set(err, -EINVAL, "source %s has no kind", s->name);
}
