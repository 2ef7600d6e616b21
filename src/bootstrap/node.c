#include "bootstrap/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

char *node_path(const struct node *n, const char *path)
{
    return xasprintf("%s%s", n->prefix, path);
}

const char *node_setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool node_is_master(const struct node *n)
{
    _cleanup_free_ char *path = node_path(n, "/etc/mesosphere/roles/master");
    return path_exists(path);
}

char *node_text(const struct node *n, const char *path)
{
    _cleanup_free_ char *full = node_path(n, path);
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(full, NODE_TEXT_MAX, &text, NULL) < 0)
        return NULL;
    struct str trimmed = str_trim(buf_str(&text));
    return xstrndup(trimmed.n ? trimmed.p : "", trimmed.n);
}

int node_tell(struct node *n, const char *key, const char *value, struct error *err)
{
    if (strpbrk(value, "'\n\r"))
        return error_set(err, -EINVAL, "%s has a quote or a line break in it", key);
    buf_printf(&n->env, "%s='%s'\n", key, value);
    return 0;
}

int node_told(const struct node *n, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("/run/dcos/env/%s", n->service);
    int r = node_folder(n, "/run/dcos", NULL, 0755, err);
    if (r == 0)
        r = node_folder(n, "/run/dcos/env", NULL, 0755, err);
    return r < 0 ? r : node_file(n, path, buf_cstr(&n->env), NULL, 0644, err);
}

/* *ret_uid is (uid_t)-1 when the owner does not count: nobody is named, or this is not root. */
static int find_user(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
    *ret_uid = (uid_t)-1;
    if (!user || geteuid() != 0)
        return 0;
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        return error_set(err, -ENOENT, "there is no user %s; pkgpanda makes it", user);
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    return 0;
}

int node_become(const char *user, struct error *err)
{
    uid_t uid;
    gid_t gid;
    int r = find_user(user, &uid, &gid, err);
    if (r < 0 || uid == (uid_t)-1)
        return r;
    if (setgroups(0, NULL) < 0 || setegid(gid) < 0 || seteuid(uid) < 0)
        return error_errno(err, -errno, "cannot become %s", user);
    return 0;
}

int node_root(struct error *err)
{
    if (getuid() == 0 && (seteuid(0) < 0 || setegid(0) < 0))
        return error_errno(err, -errno, "cannot become root again");
    return 0;
}

static int node_chown(const struct node *n, const char *path, const char *user, struct error *err)
{
    uid_t uid;
    gid_t gid;
    int r = find_user(user, &uid, &gid, err);
    if (r < 0 || uid == (uid_t)-1)
        return r;
    _cleanup_free_ char *full = node_path(n, path);
    if (lchown(full, uid, gid) < 0)
        return error_errno(err, -errno, "cannot give %s to %s", full, user);
    return 0;
}

/* What is above may be the user's own: a link put in the folder's place would lead root away. */
static int give_folder(const char *full, const char *user, mode_t mode, struct error *err)
{
    uid_t uid;
    gid_t gid;
    int r = find_user(user, &uid, &gid, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return error_set(err, -ENOTDIR, "%s must be a folder, and no link to one", full);
    if (fd < 0 || (uid != (uid_t)-1 && fchown(fd, uid, gid) < 0) || fchmod(fd, mode) < 0)
        return error_errno(err, -errno, "cannot give %s to %s", full, user);
    return 0;
}

int node_folder(
    const struct node *n, const char *path, const char *user, mode_t mode, struct error *err)
{
    _cleanup_free_ char *full = node_path(n, path);
    int r = mkdir_all(full, 0755, err);
    if (r == 0 && user)
        return give_folder(full, user, mode, err);
    if (r == 0 && chmod(full, mode) < 0)
        r = error_errno(err, -errno, "%s", full);
    return r;
}

int node_file(const struct node *n, const char *path, const char *text, const char *user,
    mode_t mode, struct error *err)
{
    _cleanup_free_ char *full = node_path(n, path);
    int r = file_write_atomic(full, text, strlen(text), mode, err);
    return r < 0 ? r : node_chown(n, path, user, err);
}

int node_masters(const struct node *n, json_t **ret, struct error *err)
{
    _cleanup_free_ char *text = node_text(n, "/opt/mesosphere/etc/master_list");
    json_t *list = NULL;
    if (!text)
        return error_set(err, -ENOENT, "there is no etc/master_list on this node");
    int r = json_parse(text, strlen(text), &list, err);
    if (r < 0)
        return error_prefix(err, r, "etc/master_list");
    if (!json_is_array(list) || json_array_size(list) > NODE_MASTERS_MAX) {
        json_decref(list);
        return error_set(err, -EINVAL, "etc/master_list is not a list of addresses");
    }
    *ret = list;
    return 0;
}
