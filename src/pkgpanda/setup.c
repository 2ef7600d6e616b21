#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/internal.h"
#include "pkgpanda/repository.h"

/* First start, every boot, and the end. */

enum { FLAG_FILE_MAX = 1024 * 1024 };

#define MARKER "bootstrap"

/* A file of setup-flags without blanks around. *ret is NULL when it is not there. */
static int read_flag(const struct install *in, const char *name, char **ret, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->config_dir, "setup-flags", name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!path_exists(path))
        return 0;
    int r = file_read(path, FLAG_FILE_MAX, &text, err);
    if (r == 0)
        *ret = str_dup(str_trim(buf_str(&text)));
    return r;
}

static int add_list(
    const char *text, size_t n, const char *what, struct strings *ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = json_parse(text, n, &json, err);
    if (r < 0)
        return error_prefix(err, r, "%s", what);
    size_t i;
    json_t *value;
    if (!json_is_array(json))
        return error_set(err, -EINVAL, "%s must be a list of package ids", what);
    json_array_foreach(json, i, value)
    {
        struct package_id id;
        const char *one = json_string_value(value);
        if (!one)
            return error_set(err, -EINVAL, "%s must be a list of package ids", what);
        r = package_id_parse(one, &id, err);
        if (r < 0)
            return error_prefix(err, r, "%s", what);
        strings_add(ret, one);
    }
    return 0;
}

static int no_url(const struct install *in, const char *what, struct error *err)
{
    return error_set(err, -ENOENT,
        "%s/setup-flags/repository-url is missing, so %s cannot be fetched", in->config_dir, what);
}

/* What the tarball brought and what the cluster's list adds; or what active.json says instead. */
static int choose(const struct install *in, const char *url, const struct trust *trust,
    struct strings *ret, struct error *err)
{
    _cleanup_free_ char *explicit = NULL, *list = NULL;
    int r = read_flag(in, "active.json", &explicit, err);
    if (r < 0)
        return r;
    if (explicit)
        return add_list(explicit, strlen(explicit), "setup-flags/active.json", ret, err);
    r = install_active(in, ret, err);
    if (r == 0)
        r = read_flag(in, "cluster-package-list", &list, err);
    if (r < 0 || !list)
        return r;
    if (!url)
        return no_url(in, "the cluster's package list", err);
    if (!*list || strchr(list, '/'))
        return error_set(err, -EINVAL, "setup-flags/cluster-package-list names no list");
    _cleanup_free_ char *path = xasprintf("package_lists/%s.package_list.json", list);
    _cleanup_buf_ struct buf text = BUF_INIT;
    r = repository_fetch_text(url, path, PACKAGE_LIST_MAX, trust, &text, err);
    return r < 0 ? r : add_list(buf_cstr(&text), text.n, path, ret, err);
}

static int bootstrap(const struct install *in, struct error *err)
{
    _cleanup_free_ char *url = NULL, *late = NULL;
    _cleanup_(trust_freep)
    struct trust *trust = NULL;
    _cleanup_strings_ struct strings ids = {0};
    int r = swap_recover(in, err);
    if (r >= 0)
        r = target_write(in, err);
    if (r == 0)
        r = read_flag(in, "repository-url", &url, err);
    if (r == 0)
        r = trust_load_host(in->config_dir, true, &trust, err);
    if (r == 0)
        r = late_package(in, url, trust, &late, err);
    if (r == 0)
        r = choose(in, url, trust, &ids, err);
    for (size_t i = 0; i < ids.n && r >= 0; i++) {
        if (repository_has(in->repository, ids.items[i]))
            continue;
        r = url ? repository_fetch(in->repository, url, ids.items[i], trust, err)
                : no_url(in, ids.items[i], err);
    }
    if (r < 0)
        return r;
    if (late)
        strings_add(&ids, late);
    strings_sort(&ids);
    return install_activate_locked(in, &ids, false, err);
}

int install_setup(const struct install *in, struct error *err)
{
    _cleanup_free_ char *marker = path_join(in->root, MARKER);
    _cleanup_free_ char *packages = path_join(in->config_dir, "setup-packages");
    if (path_exists(packages))
        return error_set(err, -EINVAL,
            "%s is no longer supported: packages come from the cluster's package list", packages);
    _cleanup_close_ int lock = install_lock(in, err);
    if (lock < 0)
        return lock;
    if (path_exists(marker)) {
        int r = bootstrap(in, err);
        if (r == 0)
            r = systemd_start_target(in, true, err);
        if (r == 0 && unlink(marker) < 0)
            r = error_errno(err, -errno, "cannot remove %s", marker);
        return r < 0 ? r : folder_sync(in->root, err);
    }
    int r = swap_recover(in, err);
    /* At boot the target is about to be started anyway, after us: not to wait for it. */
    return r <= 0 ? r : systemd_start_target(in, false, err);
}

int install_uninstall(const struct install *in, struct error *err)
{
    static const struct strings nothing = {0};
    const char *paths[] = {in->root, in->systemd_dir};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (paths[i] && paths[i][strspn(paths[i], "/")] == '\0')
            return error_set(err, -EINVAL, "Refusing to uninstall from '%s'.", paths[i]);
    if (path_exists(in->root)) {
        _cleanup_close_ int lock = install_lock(in, err);
        if (lock < 0)
            return lock;
        int r = systemd_stop_target(in, err);
        if (r == 0)
            r = install_activate_locked(in, &nothing, false, err);
        if (r < 0)
            return r;
    }
    int r = target_remove(in, err);
    if (r < 0)
        return r;
    static const char *const suffixes[] = {"", NEW, OLD};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes) && in->systemd_dir; i++) {
        _cleanup_free_ char *path = xasprintf("%s/" WANTS_NAME "%s", in->systemd_dir, suffixes[i]);
        r = remove_tree(path, err);
        if (r < 0)
            return r;
    }
    r = remove_tree(in->root, err);
    return r < 0 ? r : systemd_reload(in, err);
}

/* ---- checks ---- */

int install_list_checks(const struct install *in, struct install_checks *ret, struct error *err)
{
    _cleanup_strings_ struct strings active = {0};
    int r = install_active(in, &active, err);
    for (size_t i = 0; i < active.n && r == 0; i++) {
        _cleanup_free_ char *folder = path_join(in->repository, active.items[i], "check");
        _cleanup_strings_ struct strings names = {0};
        r = strings_read_folder(folder, &names, err);
        for (size_t j = 0; j < names.n && r == 0; j++) {
            struct stat st;
            char *path = path_join(folder, names.items[j]);
            if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
                free(path);
                continue;
            }
            vec_push(ret, (struct install_check){path, access(path, X_OK) == 0});
        }
    }
    return r;
}

void install_checks_done(struct install_checks *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].path);
    vec_done(c);
}
