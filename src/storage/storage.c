#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

bool storage_path_valid(const char *path)
{
    struct str rest = str_of(path), part;
    size_t n = strlen(path);
    if (n == 0)
        return true;
    if (n > STORAGE_PATH_MAX || path[0] == '/' || path[n - 1] == '/')
        return false;
    while (str_split(&rest, '/', &part)) {
        if (part.n == 0 || str_eq_c(part, ".") || str_eq_c(part, ".."))
            return false;
        for (size_t i = 0; i < part.n; i++)
            if ((unsigned char)part.p[i] < 0x20 || part.p[i] == 0x7f)
                return false;
    }
    return true;
}

static int check_path(
    const struct storage *s, const char *path, bool may_be_empty, struct error *err)
{
    if (!storage_path_valid(path) || (!*path && !may_be_empty))
        return error_set(err, -EINVAL, "%s: '%.200s' is no path of a storage", s->name, path);
    return 0;
}

static int check_write(const struct storage *s, const char *path, struct error *err)
{
    if (s->read_only)
        return error_set(err, -EROFS, "storage %s is only read", s->name);
    return check_path(s, path, false, err);
}

int storage_options(
    const json_t *options, const struct storage_option *table, size_t n, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, key, value)
    {
        size_t i = 0;
        while (i < n && !streq(table[i].name, key))
            i++;
        if (i == n)
            return error_set(err, -EINVAL, "the option %.100s is not one of this kind", key);
        if (json_is_null(value))
            continue;
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "the option %s must be text", key);
        *table[i].target = json_string_value(value);
    }
    for (size_t i = 0; i < n; i++)
        if (table[i].required && (!*table[i].target || !**table[i].target))
            return error_set(err, -EINVAL, "the option %s is missing", table[i].name);
    return 0;
}

int storage_open(
    const char *name, const json_t *description, struct storage **ret, struct error *err)
{
    static const struct {
        const char *kind;
        int (*make)(const json_t *options, struct storage **ret, struct error *err);
    } kinds[] = {{"local_path", storage_local_new}, {"aws_s3", storage_s3_new},
        {"azure_block_blob", storage_azure_new}, {"http_read", storage_http_new}};
    const char *kind = json_str_at(description, "kind", NULL);
    const json_t *read_only = json_at(description, "read_only");
    size_t i = 0;
    while (i < ARRAY_SIZE(kinds) && !streq(kinds[i].kind, kind))
        i++;
    if (i == ARRAY_SIZE(kinds))
        return error_set(err, -EINVAL,
            "storage %s: kind is one of local_path, aws_s3, azure_block_blob, http_read", name);
    _cleanup_json_ json_t *options = json_copy((json_t *)(uintptr_t)description);
    json_object_del(options, "kind");
    json_object_del(options, "read_only");
    struct storage *s = NULL;
    int r = kinds[i].make(options, &s, err);
    if (r < 0)
        return error_prefix(err, r, "storage %s", name);
    s->name = xstrdup(name);
    s->kind = xstrdup(kind);
    s->read_only |= json_is_true(read_only) || streq(json_string_value(read_only), "true");
    *ret = s;
    return 0;
}

void storage_free(struct storage *s)
{
    if (!s)
        return;
    free(s->name);
    free(s->kind);
    free(s->url);
    s->ops->free(s);
}

/* ---- calls ---- */

int storage_put(
    struct storage *s, const char *path, const struct storage_content *content, struct error *err)
{
    int r = check_write(s, path, err);
    return r < 0 ? r : s->ops->put(s, path, content, err);
}

int storage_copy(struct storage *s, const char *from, const char *to, struct error *err)
{
    int r = check_write(s, to, err);
    if (r == 0)
        r = check_path(s, from, false, err);
    return r < 0 ? r : s->ops->copy(s, from, to, err);
}

int storage_exists(struct storage *s, const char *path, struct error *err)
{
    int r = check_path(s, path, false, err);
    return r < 0 ? r : s->ops->exists(s, path, err);
}

int storage_fetch(struct storage *s, const char *path, struct buf *ret, struct error *err)
{
    struct stat st;
    int r = check_path(s, path, false, err);
    _cleanup_close_ int fd = memfd_create("storage", MFD_CLOEXEC);
    if (r == 0 && fd < 0)
        r = error_errno(err, -errno, "memory");
    if (r == 0)
        r = s->ops->get(s, path, fd, err);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return error_errno(err, -errno, "memory");
    if (st.st_size > STORAGE_FETCH_MAX)
        return error_set(err, -EFBIG, "%s: %s is larger than it should be", s->name, path);
    char *to = buf_reserve(ret, (size_t)st.st_size + 1);
    ssize_t n = pread(fd, to, (size_t)st.st_size, 0);
    if (n < 0)
        return error_errno(err, -errno, "memory");
    buf_commit(ret, (size_t)n);
    return 0;
}

int storage_fetch_tagged(
    struct storage *s, const char *path, struct buf *ret, char **ret_tag, struct error *err)
{
    int r = check_path(s, path, false, err);
    if (r == 0 && !s->ops->get_tagged)
        r = error_set(err, -EOPNOTSUPP, "storage %s has no versions", s->name);
    return r < 0 ? r : s->ops->get_tagged(s, path, ret, ret_tag, err);
}

int storage_put_if(struct storage *s, const char *path, const struct storage_content *content,
    const char *tag, struct error *err)
{
    int r = check_write(s, path, err);
    if (r == 0 && !s->ops->put_if)
        r = error_set(err, -EOPNOTSUPP, "storage %s has no versions", s->name);
    return r < 0 ? r : s->ops->put_if(s, path, content, tag, err);
}

int storage_prepare(struct storage *s, struct error *err)
{
    return s->ops->prepare ? s->ops->prepare(s, err) : 0;
}

int storage_download(struct storage *s, const char *path, const char *local, struct error *err)
{
    _cleanup_free_ char *part = xasprintf("%s.part", local);
    int r = check_path(s, path, false, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, -errno, "%s", part);
    r = s->ops->get(s, path, fd, err);
    if (r == 0 && (fsync(fd) < 0 || rename(part, local) < 0))
        r = error_errno(err, -errno, "%s", local);
    if (r < 0)
        unlink(part);
    return r;
}

int storage_list(struct storage *s, const char *folder, struct strings *ret, struct error *err)
{
    int r = check_path(s, folder, true, err);
    if (r == 0 && !s->ops->list)
        r = error_set(err, -EOPNOTSUPP, "storage %s cannot list its files", s->name);
    if (r == 0)
        r = s->ops->list(s, folder, ret, err);
    if (r == 0)
        strings_sort(ret);
    return r;
}

int storage_remove_recursive(struct storage *s, const char *path, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = check_write(s, path, err);
    if (r == 0)
        r = storage_list(s, path, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++)
        r = s->ops->remove(s, names.items[i], err);
    if (r == 0)
        r = s->ops->remove(s, path, err);
    return r == -ENOENT ? 0 : r;
}
