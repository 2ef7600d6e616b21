#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "pkgpanda/internal.h"
#include "pkgpanda/run.h"
#include "transfer/tree.h"

/* System users that packages run as, and the folders that those own. Nobody is ever removed. */

enum { NAME_BUFFER = 64 * 1024 };

struct account {
    uid_t uid;
    gid_t gid;
};

/* 1 when there, 0 when not. */
static int find_user(const char *name, struct account *ret, struct error *err)
{
    _cleanup_free_ char *memory = xmalloc(NAME_BUFFER);
    struct passwd pw, *found = NULL;
    int code = getpwnam_r(name, &pw, memory, NAME_BUFFER, &found);
    if (code)
        return error_errno(err, -code, "cannot look up user %s", name);
    if (found)
        *ret = (struct account){pw.pw_uid, pw.pw_gid};
    return found != NULL;
}

static bool group_has(const struct group *g, const char *user)
{
    for (char **m = g->gr_mem; m && *m; m++)
        if (streq(*m, user))
            return true;
    return false;
}

/* 0 when the group is there and, with a user given, the user is in it. */
static int check_group(const char *group, const char *user, gid_t primary, struct error *err)
{
    _cleanup_free_ char *memory = xmalloc(NAME_BUFFER);
    struct group gr, *found = NULL;
    int code = getgrnam_r(group, &gr, memory, NAME_BUFFER, &found);
    if (code)
        return error_errno(err, -code, "cannot look up group %s", group);
    if (!found)
        return error_set(err, -EINVAL, "Group %s does not exist on this host.", group);
    if (user && gr.gr_gid != primary && !group_has(&gr, user))
        return error_set(err, -EINVAL,
            "User %s exists with current group, but should be a member of group %s.", user, group);
    return 0;
}

static int add_user(const struct package *p, struct error *err)
{
    bool own = !p->group || !*p->group || streq(p->group, p->username);
    int r = own ? 0 : check_group(p->group, NULL, 0, err);
    if (r < 0)
        return r;
    _cleanup_buf_ struct buf output = BUF_INIT;
    const char *argv[] = {"useradd", "--system", "--home-dir", "/opt/mesosphere", "--shell",
        "/sbin/nologin", "-c", "DCOS System User", own ? "--user-group" : "-g",
        own ? p->username : p->group, own ? NULL : p->username, NULL};
    const struct run_options options = {.output = &output};
    r = run_program(argv, &options, err);
    if (r <= 0)
        return r;
    struct str text = str_trim(buf_str(&output));
    return error_set(err, -EIO, "useradd of %s ended with %d: %.*s", p->username, r,
        (int)MIN(text.n, (size_t)300), text.p);
}

static int ensure_user(const struct install *in, const struct package *p, struct error *err)
{
    struct account account;
    int r = find_user(p->username, &account, err);
    if (r < 0)
        return r;
    if (r > 0)
        return p->group && *p->group ? check_group(p->group, p->username, account.gid, err) : 0;
    _cleanup_free_ char *manual = path_join(in->config_dir, "manual_host_users");
    if (path_exists(manual))
        return error_set(err, -EINVAL,
            "User %s of package %s does not exist, and %s says that users are made by hand.",
            p->username, p->id, manual);
    return add_user(p, err);
}

int ensure_users(const struct install *in, const struct packages *p, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < p->n && r == 0 && in->manage_users; i++) {
        if (!p->items[i]->username)
            continue;
        r = ensure_user(in, p->items[i], err);
        step(in, "user");
    }
    return r;
}

/* ---- state directories ---- */

/* The folder and all in it, links themselves and not what they point at. The group stays. */
static int own_tree(int parent, const char *name, uid_t uid, unsigned depth)
{
    if (fchownat(parent, name, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -errno;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    _cleanup_strings_ struct strings names = {0};
    int r = depth > TREE_DEPTH_MAX ? -ELOOP : strings_read_folder(path, &names, NULL);
    for (size_t i = 0; i < names.n && r == 0; i++)
        r = own_tree(fd, names.items[i], uid, depth + 1);
    fd_close(fd);
    return r;
}

int ensure_state_directories(const struct install *in, const struct packages *p, struct error *err)
{
    for (size_t i = 0; i < p->n && in->manage_state; i++) {
        const struct package *one = p->items[i];
        if (!one->state_directory)
            continue;
        _cleanup_free_ char *path = path_join(in->state_dir_root, one->name);
        int r = mkdir_all(path, 0755, err);
        if (r < 0)
            return r;
        struct account account = {0};
        r = one->username ? find_user(one->username, &account, err) : 0;
        if (r < 0)
            return r;
        if (one->username && r == 0)
            return error_set(err, -EINVAL,
                "User %s of package %s does not exist, so %s cannot be given to it.", one->username,
                one->id, path);
        r = one->username ? own_tree(AT_FDCWD, path, account.uid, 0) : 0;
        if (r < 0)
            return error_errno(err, r, "cannot give %s to %s", path, one->username);
        step(in, "state directory");
    }
    return 0;
}
