/* Control groups of nodes: dcos-nspawn/<label>/<node> in every hierarchy. */

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "minidcos/cleanup.h"
#include "minidcos/nspawn/nspawn.h"

enum { KILL_MS = 20 * 1000, POLL_MS = 10, GROUP_FILE_MAX = 1024 * 1024 };

static const char TOP[] = "dcos-nspawn";

struct hierarchy {
    char *at;
    bool v2, cpuset;
};

struct hierarchies {
    VEC(struct hierarchy) items;
};

static void hierarchies_done(struct hierarchies *h)
{
    VEC_FOREACH (one, &h->items)
        free(one->at);
    vec_done(&h->items);
}

/* Each hierarchy once; another mount of the same is the same file system. */
static void hierarchies_find(struct hierarchies *ret)
{
    *ret = (struct hierarchies){0};
    VEC(dev_t) seen = {0};
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char line[8192];
    struct mntent entry;
    while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
        struct stat st;
        bool known = false;
        if (!has_prefix(entry.mnt_type, "cgroup") || stat(entry.mnt_dir, &st) < 0)
            continue;
        VEC_FOREACH (dev, &seen)
            known = known || *dev == st.st_dev;
        if (known)
            continue;
        vec_push(&seen, st.st_dev);
        vec_push(&ret->items, ((struct hierarchy){.at = xstrdup(entry.mnt_dir),
                                  .v2 = streq(entry.mnt_type, "cgroup2"),
                                  .cpuset = hasmntopt(&entry, "cpuset") != NULL}));
    }
    if (mounts)
        endmntent(mounts);
    vec_done(&seen);
}

static char *group_of(
    const struct hierarchy *h, const struct machines *m, const struct node *node, unsigned depth)
{
    /* depth 0 = dcos-nspawn, 1 = the cluster, 2 = the node */
    return depth == 0   ? path_join(h->at, TOP)
           : depth == 1 ? path_join(h->at, TOP, m->label)
                        : path_join(h->at, TOP, m->label, node->name);
}

/* A cpuset without processors and memory takes no process: it gets those of the one above. */
static int inherit_cpuset(const char *parent, const char *path, struct error *err)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *from = path_join(parent, files[i]);
        _cleanup_free_ char *to = path_join(path, files[i]);
        _cleanup_buf_ struct buf text = BUF_INIT;
        int r = file_read(from, GROUP_FILE_MAX, &text, err);
        if (r == 0)
            r = file_write_string(to, buf_cstr(&text), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a group has is given on to those below it. Some cannot be: that is the host's business. */
static void give_controllers(const char *path)
{
    _cleanup_free_ char *from = path_join(path, "cgroup.controllers");
    _cleanup_free_ char *to = path_join(path, "cgroup.subtree_control");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(from, GROUP_FILE_MAX, &text, NULL) < 0)
        return;
    struct str rest = str_trim(buf_str(&text)), word;
    while (rest.n && str_split(&rest, ' ', &word)) {
        char order[64];
        snprintf(order, sizeof(order), "+" STR_FMT, STR_ARG(word));
        (void)file_write_string(to, order, NULL);
    }
}

int groups_create(const struct machines *m, const struct node *node, struct error *err)
{
    struct hierarchies all;
    int r = 0;
    hierarchies_find(&all);
    if (all.items.n == 0)
        r = error_set(err, -ENOENT, "no control groups are mounted");
    /* On a host with version 1 hierarchies the controllers are there. */
    bool pure = all.items.n == 1 && all.items.items[0].v2;
    for (size_t i = 0; r >= 0 && i < all.items.n; i++) {
        const struct hierarchy *h = &all.items.items[i];
        char *parent = xstrdup(h->at);
        for (unsigned depth = 0; r >= 0 && depth <= 2; depth++) {
            char *path = group_of(h, m, node, depth);
            if (pure)
                give_controllers(parent);
            if (mkdir(path, 0755) == 0) {
                if (h->cpuset)
                    r = inherit_cpuset(parent, path, err);
            } else if (errno != EEXIST) {
                r = error_errno(err, -errno, "cannot make the control group %s", path);
            }
            free(parent);
            parent = path;
        }
        free(parent);
    }
    hierarchies_done(&all);
    return r;
}

int groups_join(const struct machines *m, const struct node *node)
{
    struct hierarchies all;
    int r = 0;
    hierarchies_find(&all);
    for (size_t i = 0; r >= 0 && i < all.items.n; i++) {
        _cleanup_free_ char *path = group_of(&all.items.items[i], m, node, 2);
        _cleanup_free_ char *procs = path_join(path, "cgroup.procs");
        r = file_write_string(procs, "0", NULL);
    }
    hierarchies_done(&all);
    return r;
}

static bool has_processes(const char *path)
{
    _cleanup_free_ char *procs = path_join(path, "cgroup.procs");
    _cleanup_free_ char *inner = path_join(path, "supervisor", "cgroup.procs");
    _cleanup_buf_ struct buf text = BUF_INIT;
    (void)file_read(procs, GROUP_FILE_MAX, &text, NULL);
    (void)file_read(inner, GROUP_FILE_MAX, &text, NULL);
    return text.n > 0;
}

bool groups_alive(const struct machines *m, const struct node *node)
{
    struct hierarchies all;
    bool alive = false;
    hierarchies_find(&all);
    for (size_t i = 0; !alive && i < all.items.n; i++) {
        _cleanup_free_ char *path = group_of(&all.items.items[i], m, node, 2);
        alive = has_processes(path);
    }
    hierarchies_done(&all);
    return alive;
}

int groups_remove(const struct machines *m, const struct node *node, struct error *err)
{
    struct hierarchies all;
    int64_t end = clock_monotonic_us() + KILL_MS * USEC_PER_MSEC;
    int r = 0;
    hierarchies_find(&all);
    /* A group is busy until the kernel has reaped the last process in it. */
    for (;;) {
        int alive = 0;
        r = 0;
        for (size_t i = 0; i < all.items.n; i++) {
            _cleanup_free_ char *path = group_of(&all.items.items[i], m, node, node ? 2 : 1);
            if (path_exists(path))
                alive += group_kill(path);
        }
        for (size_t i = 0; alive == 0 && i < all.items.n; i++) {
            _cleanup_free_ char *path = group_of(&all.items.items[i], m, node, node ? 2 : 1);
            int one = path_exists(path) ? group_remove(path) : 0;
            r = one < 0 ? one : r;
        }
        if (alive == 0 && r >= 0)
            break;
        if (clock_monotonic_us() > end) {
            r = error_errno(err, r < 0 ? r : -EBUSY,
                "control groups %s/%s cannot be removed (%d processes in them)", TOP, m->label,
                alive);
            break;
        }
        pause_ms(POLL_MS);
    }
    /* Only when no other cluster is there. */
    for (size_t i = 0; i < all.items.n; i++) {
        _cleanup_free_ char *top = group_of(&all.items.items[i], m, node, 0);
        if (!node)
            rmdir(top);
    }
    hierarchies_done(&all);
    return r;
}
