#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "installer/installer.h"
#include "installer/text.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/names.h"
#include "pkgpanda/trust.h"
#include "transfer/download.h"
#include "transfer/pack.h"

/* dcos_generate_config.sh: a script, a line "#EOF#", a tar. */

enum { SHORT_ID = 18 };

/* What of the artifacts goes along; the rest of the folder is somebody else's. */
static const char *const parts[] = {"bootstrap", "complete", "installer", "packages"};

static bool is_artifact(const char *path)
{
    return has_suffix(path, ".tar.xz") || has_suffix(path, ".active.json");
}

/* Copies a tree by hard links where that can be, and puts digests beside artifacts. */
static int stage_tree(const char *from, const char *to, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(from, &names, err);
    if (r == 0)
        r = mkdir_all(to, 0755, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *a = path_join(from, names.items[i]),
                            *b = path_join(to, names.items[i]);
        struct stat st;
        if (has_suffix(a, ".sha256"))
            continue; /* made below */
        if (lstat(a, &st) < 0)
            r = error_errno(err, -errno, "%s", a);
        else if (S_ISDIR(st.st_mode))
            r = stage_tree(a, b, err);
        else if (S_ISLNK(st.st_mode)) {
            char target[4096];
            ssize_t n = readlink(a, target, sizeof(target) - 1);
            target[MAX(n, (ssize_t)0)] = '\0';
            if (n < 0 || symlink(target, b) < 0)
                r = error_errno(err, -errno, "%s", a);
        } else if (link(a, b) < 0) {
            uint64_t bytes;
            _cleanup_close_ int in = open(a, O_RDONLY | O_CLOEXEC);
            _cleanup_close_ int out = open(
                b, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
            r = in < 0 || out < 0 ? error_errno(err, -errno, "%s", b)
                                  : copy_file(in, out, UINT64_MAX, &bytes, err);
        }
        if (r == 0 && is_artifact(b))
            r = trust_publish(b, NULL, err);
    }
    return r;
}

static int check_parts(const struct bundle *b, struct error *err)
{
    _cleanup_free_ char *tarball = xasprintf("bootstrap/%s.bootstrap.tar.xz", b->bootstrap_id);
    const char *const needed[] = {"installer/bin/dcos-installer", "packages", tarball};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        _cleanup_free_ char *path = path_join(b->artifacts, needed[i]);
        if (!path_exists(path))
            return error_set(err, -ENOENT, "%s is not there", path);
    }
    return 0;
}

static void put(struct buf *out, const char *text, const char *const (*values)[2], size_t n)
{
    while (*text) {
        size_t k = 0;
        while (k < n && strncmp(text, values[k][0], strlen(values[k][0])) != 0)
            k++;
        if (k < n) {
            buf_puts(out, values[k][1]);
            text += strlen(values[k][0]);
        } else {
            buf_putc(out, *text++);
        }
    }
}

static void render_stub(const struct bundle *b, const char *sha256, struct buf *out)
{
    const char *stub = installer_text("stub.sh");
    size_t lines = 1;
    char line[24];
    for (const char *p = stub; *p; p++)
        lines += *p == '\n';
    (void)snprintf(line, sizeof(line), "%zu", lines);
    _cleanup_free_ char *name = xasprintf(
        "%.*s-%.*s", SHORT_ID, b->commit, SHORT_ID, b->bootstrap_id);
    const char *const values[][2] = {{"@version@", b->version}, {"@commit@", b->commit},
        {"@bootstrap@", b->bootstrap_id}, {"@variant@", b->variant}, {"@short@", name},
        {"@line@", line}, {"@sha256@", sha256}};
    put(out, stub, values, ARRAY_SIZE(values));
}

static int write_file(const struct bundle *b, int tar, int out, struct error *err)
{
    char sha256[SHA256_TEXT];
    _cleanup_buf_ struct buf stub = BUF_INIT;
    int r = sha256_fd(tar, sha256, err);
    if (r < 0)
        return r;
    render_stub(b, sha256, &stub);
    _cleanup_free_ char *piece = xmalloc(1 << 20);
    if (lseek(tar, 0, SEEK_SET) < 0)
        return error_errno(err, -errno, "seek");
    r = fd_write_all(out, stub.p, stub.n);
    ssize_t n = 0;
    while (r == 0 && (n = read(tar, piece, 1 << 20)) > 0)
        r = fd_write_all(out, piece, (size_t)n);
    if (r == 0 && (n < 0 || fchmod(out, 0755) < 0 || fsync(out) < 0))
        r = -errno;
    return r < 0 ? error_errno(err, r, "%s", b->output) : 0;
}

/* Words that go into the script as they are. */
static int check_word(const char *what, const char *text, bool may_be_empty, struct error *err)
{
    if (!text || (!text[0] && !may_be_empty) ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")])
        return error_set(err, -EINVAL, "%s must be letters, digits and ._+-", what);
    return 0;
}

int bundle_make(const struct bundle *b, struct error *err)
{
    int r = check_word("--version", b->version, false, err);
    if (r == 0)
        r = check_word("--commit", b->commit, false, err);
    if (r == 0)
        r = check_word("--bootstrap-id", b->bootstrap_id, false, err);
    if (r == 0)
        r = check_word("--variant", b->variant, true, err);
    if (r == 0)
        r = check_parts(b, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *work = xasprintf("%s.work", b->output), *part = path_join(work, "file"),
                        *tree = path_join(work, "tree"), *tarball = path_join(work, "tar");
    r = remove_tree(work, err);
    for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++) {
        _cleanup_free_ char *from = path_join(b->artifacts, parts[i]),
                            *to = path_join(tree, parts[i]);
        r = path_exists(from) ? stage_tree(from, to, err) : 0;
    }
    if (r == 0) {
        _cleanup_close_ int root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int tar = open(tarball, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        _cleanup_close_ int out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        r = root < 0 || tar < 0 || out < 0 ? error_errno(err, -errno, "%s", work)
                                           : pack_tree(root, PACK_PLAIN, tar, err);
        if (r == 0)
            r = write_file(b, tar, out, err);
    }
    if (r == 0 && rename(part, b->output) < 0)
        r = error_errno(err, -errno, "%s", b->output);
    (void)remove_tree(work, NULL);
    return r;
}
