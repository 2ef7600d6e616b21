#include "pkgpanda/late.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/internal.h"
#include "pkgpanda/repository.h"
#include "json/yaml_read.h"
#include "transfer/tree.h"

#define START "LATE_BIND_PLACEHOLDER_START_"
#define END "_LATE_BIND_PLACEHOLDER_END"

enum { CONFIG_MAX = 8 * 1024 * 1024, MODE_MAX = 0777 };

int late_substitute(const char *text, const json_t *values, struct buf *out, struct error *err)
{
    for (const char *at; (at = strstr(text, START));) {
        const char *name = at + strlen(START), *end = strstr(name, END);
        if (!end)
            return error_set(err, -EINVAL, "a late value's placeholder has no end: %.80s", at);
        _cleanup_free_ char *key = xstrndup(name, (size_t)(end - name));
        const char *value = json_str_at(values, key, NULL);
        if (!value)
            return error_set(err, -EINVAL, "no value is bound to the late value '%.100s'", key);
        buf_append(out, text, (size_t)(at - text));
        buf_puts(out, value);
        text = end + strlen(END);
    }
    if (strstr(text, END))
        return error_set(err, -EINVAL, "a late value's placeholder has no beginning");
    buf_puts(out, text);
    return 0;
}

/* ---- files ---- */

static int parse_mode(const char *text, mode_t *ret, struct error *err)
{
    unsigned mode = 0;
    size_t n = strlen(text);
    bool fine = n > 0 && n <= 5 && strspn(text, "01234567") == n;
    for (size_t i = 0; i < n && fine; i++)
        mode = mode * 8 + (unsigned)(text[i] - '0');
    if (!fine || mode > MODE_MAX)
        return error_set(err, -EINVAL, "permissions '%.32s' are not of the form 0644", text);
    *ret = mode;
    return 0;
}

static int write_one(int root, const json_t *file, const json_t *values, struct error *err)
{
    const char *path = json_str_at(file, "path", NULL);
    const char *content = json_str_at(file, "content", NULL), *key;
    json_t *value;
    mode_t mode = 0644;
    if (!path || !content)
        return error_set(err, -EINVAL, "a file of the package lacks its path or content");
    json_object_foreach((json_t *)(uintptr_t)file, key, value)
    {
        if (!streq(key, "path") && !streq(key, "content") && !streq(key, "permissions"))
            return error_set(err, -EINVAL, "%.200s: unknown member '%.64s'", path, key);
    }
    int r = parse_mode(json_str_at(file, "permissions", "0644"), &mode, err);
    if (r < 0)
        return error_prefix(err, r, "%.200s", path);
    _cleanup_free_ char *clean = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_tree_file_ struct tree_file f = TREE_FILE_INIT;
    r = tree_clean_path(path + strspn(path, "/"), &clean, err);
    if (r == 0)
        r = late_substitute(content, values, &text, err);
    if (r == 0)
        r = tree_create(root, clean, &f, err);
    if (r < 0)
        return error_prefix(err, r, "%.200s", path);
    r = fd_write_all(f.fd, buf_cstr(&text), text.n);
    if (r < 0)
        return error_errno(err, r, "%.200s", path);
    return tree_finish(&f, mode, err);
}

int late_write_files(
    const char *folder, const json_t *config, const json_t *values, struct error *err)
{
    const json_t *files = json_at(config, "package");
    size_t i;
    json_t *file;
    if (!json_is_array(files))
        return error_set(err, -EINVAL, "'package' must be a list of files");
    _cleanup_close_ int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, -errno, "cannot open %s", folder);
    int r = 0;
    json_array_foreach((json_t *)(uintptr_t)files, i, file)
    {
        if (r == 0)
            r = write_one(root, file, values, err);
    }
    return r;
}

/* ---- the package ---- */

static int make(const struct install *in, const char *base_url, const char *id,
    const json_t *values, const struct trust *trust, struct error *err)
{
    struct package_id parts;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *config = NULL;
    int r = package_id_parse(id, &parts, err);
    if (r < 0)
        return r;
    if (!str_eq_c(parts.version, "setup"))
        return error_set(err, -EINVAL, "late package %s must have the version 'setup'", id);
    if (repository_has(in->repository, id))
        return 0;
    if (!base_url)
        return error_set(err, -ENOENT,
            "%s/setup-flags/repository-url is missing, so %s cannot be fetched", in->config_dir,
            id);
    _cleanup_free_ char *path = xasprintf(
        "packages/%.*s/%s.dcos_config", (int)parts.name.n, parts.name.p, id);
    _cleanup_free_ char *folder = xasprintf("%s/.late.%s", in->repository, id);
    r = repository_fetch_text(base_url, path, CONFIG_MAX, trust, &text, err);
    if (r == 0)
        r = yaml_read(buf_cstr(&text), text.n, &config, err);
    if (r == 0)
        r = remove_tree(folder, err);
    if (r == 0)
        r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = late_write_files(folder, config, values, err);
    if (r < 0)
        return error_prefix(err, r, "late package %s", id);
    r = repository_take(in->repository, folder, id, err);
    return MIN(r, 0);
}

int late_package(const struct install *in, const char *base_url, const struct trust *trust,
    char **ret_id, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->config_dir, "setup-flags", "late-config.yaml");
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *config = NULL;
    if (!path_exists(path))
        return 0;
    int r = file_read(path, CONFIG_MAX, &text, err);
    if (r == 0)
        r = yaml_read(buf_cstr(&text), text.n, &config, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    const char *id = json_str_at(config, "late_bound_package_id", NULL);
    const json_t *values = json_at(config, "bound_values");
    if (!id || !json_is_object(values))
        return error_set(err, -EINVAL, "%s must have late_bound_package_id and bound_values", path);
    r = make(in, base_url, id, values, trust, err);
    if (r == 0)
        *ret_id = xstrdup(id);
    return r;
}
