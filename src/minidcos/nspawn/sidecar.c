/* Block devices for nodes: files of the host, by the kernel's loop devices. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "minidcos/cluster.h"
#include "minidcos/nspawn/commands.h"

enum {
    SIZE_DEFAULT_MB = 256,
    SIZE_MAX_MB = 1024 * 1024,
    ATTACH_TRIES = 100,
    FREE_MS = 5000, /* what a namespace that just ended may take to let go of a device */
    POLL_MS = 20,
    LINE_SIZE = 8192,
    LOOP_MAJOR_NUMBER = 7,
};

static const char FOLDER[] = "nspawn-loopback", DELETED[] = " (deleted)";

static char *image_of(const char *home, const char *name)
{
    return path_join(home, FOLDER, name, "image");
}

/* ---- the kernel's table of loop devices ---- */

/* Calls fn with the number and the file of each until it says that it has seen enough. */
static void loops_each(bool (*fn)(unsigned n, const char *file, void *userdata), void *userdata)
{
    DIR *dir = opendir("/sys/block");
    bool done = false;
    for (struct dirent *e; dir && !done && (e = readdir(dir));) {
        uint32_t n;
        if (!has_prefix(e->d_name, "loop") || parse_u32(str_of(e->d_name + 4), &n) < 0)
            continue;
        _cleanup_free_ char *path = path_join("/sys/block", e->d_name, "loop/backing_file");
        _cleanup_buf_ struct buf text = BUF_INIT;
        if (file_read(path, LINE_SIZE, &text, NULL) < 0 || text.n == 0)
            continue;
        if (text.p[text.n - 1] == '\n')
            text.p[--text.n] = '\0';
        done = fn(n, text.p, userdata);
    }
    if (dir)
        closedir(dir);
}

struct wanted {
    const char *image;
    int n;
};

static bool is_wanted(unsigned n, const char *file, void *userdata)
{
    struct wanted *w = userdata;
    if (streq(file, w->image))
        w->n = (int)n;
    return w->n >= 0;
}

/* Number of the device of a file, or -1. */
static int loop_of(const char *image)
{
    struct wanted w = {.image = image, .n = -1};
    loops_each(is_wanted, &w);
    return w.n;
}

static int open_loop(int n, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/dev/loop%d", n);
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT &&
        mknod(path, S_IFBLK | 0660, makedev(LOOP_MAJOR_NUMBER, (unsigned)n)) == 0)
        fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int attach(const char *image, struct error *err)
{
    _cleanup_close_ int file = open(image, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return error_errno(err, -errno, "cannot open %s", image);
    /* Two commands may miss it at once; it has one device. */
    while (flock(file, LOCK_EX) < 0) {
        if (errno != EINTR)
            return error_errno(err, -errno, "cannot lock %s", image);
    }
    int there = loop_of(image);
    if (there >= 0)
        return there;
    _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return error_errno(err, -errno, "this host has no loop devices: /dev/loop-control");
    /* Somebody else may take the free one in between. */
    for (int i = 0; i < ATTACH_TRIES; i++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE);
        if (n < 0)
            return error_errno(err, -errno, "no loop device is free");
        _cleanup_close_ int fd = open_loop(n, O_RDWR);
        if (fd < 0)
            return error_errno(err, fd, "cannot open /dev/loop%d", n);
        struct loop_config config = {.fd = (uint32_t)file};
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
            return n;
        if (errno != EBUSY)
            return error_errno(err, -errno, "cannot make /dev/loop%d of %s", n, image);
    }
    return error_set(err, -EBUSY, "others take every loop device that is free");
}

static int detach(int n, struct error *err)
{
    /* Without this check the kernel would say yes, and keep the device until it is unmounted. */
    int fd = -1;
    for (int waited = 0; (fd = open_loop(n, O_RDONLY | O_EXCL)) == -EBUSY && waited < FREE_MS;
         waited += POLL_MS)
        pause_ms(POLL_MS);
    if (fd < 0)
        return error_errno(err, fd, "/dev/loop%d is in use", n);
    int r = ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO
                ? error_errno(err, -errno, "cannot take /dev/loop%d away", n)
                : 0;
    fd_close(fd);
    return r;
}

/* ---- sidecars ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t sidecar_names(const char *home, char ***ret)
{
    VEC(char *) names = {0};
    _cleanup_free_ char *folder = path_join(home, FOLDER);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (machines_check_id(e->d_name, NULL) == 0)
            vec_push(&names, xstrdup(e->d_name));
    }
    if (dir)
        closedir(dir);
    if (names.n)
        qsort(names.items, names.n, sizeof(*names.items), by_name);
    *ret = names.items;
    return names.n;
}

static void names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

int sidecars_each(
    const char *home, int (*fn)(unsigned loop, void *userdata), void *userdata, struct error *err)
{
    char **names;
    size_t n = sidecar_names(home, &names);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_free_ char *image = image_of(home, names[i]);
        /* Without it somebody was killed while making or removing it. */
        if (!path_exists(image))
            continue;
        int loop = loop_of(image);
        /* The host was started again since. */
        if (loop < 0)
            loop = attach(image, err);
        r = loop < 0 ? loop : fn((unsigned)loop, userdata);
    }
    names_free(names, n);
    return MIN(r, 0);
}

/* On nodes of the folder that run: those that boot later get it with their other devices. */
static void tell_nodes(const char *home, const char *command)
{
    char **ids;
    size_t n = machines_ids(home, &ids);
    for (size_t i = 0; i < n; i++) {
        struct machines m;
        if (machines_load(home, ids[i], &m, NULL) < 0)
            continue;
        VEC_FOREACH (node, &m.nodes) {
            _cleanup_buf_ struct buf output = BUF_INIT;
            if (groups_alive(&m, node))
                (void)node_run(&m, node, command, &output, NULL);
        }
        machines_done(&m);
    }
    names_free(ids, n);
}

static int remove_sidecar(const char *home, const char *name, struct error *err)
{
    _cleanup_free_ char *image = image_of(home, name);
    _cleanup_free_ char *folder = path_join(home, FOLDER, name);
    _cleanup_free_ char *all = path_join(home, FOLDER);
    int loop = loop_of(image), r = 0;
    if (loop >= 0) {
        r = detach(loop, err);
        if (r < 0)
            return r;
        _cleanup_free_ char *command = xasprintf(
            "umount /dev/loop%d 2>/dev/null; rm -f /dev/loop%d", loop, loop);
        tell_nodes(home, command);
    }
    r = remove_tree(folder, err);
    rmdir(all);
    rmdir(home);
    return r;
}

struct leftovers {
    VEC(int) loops;
};

/* Its file was removed by somebody: only we call files so. */
static bool find_leftover(unsigned n, const char *file, void *userdata)
{
    struct leftovers *l = userdata;
    struct str path = str_of(file);
    _cleanup_free_ char *end = xasprintf("/image%s", DELETED);
    _cleanup_free_ char *folder = xasprintf("/%s/", FOLDER);
    if (str_has_suffix(path, str_of(end)) && strstr(file, folder))
        vec_push(&l->loops, (int)n);
    return false;
}

int sidecars_clean(const char *home, struct error *err)
{
    char **names;
    size_t n = sidecar_names(home, &names);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        int one = remove_sidecar(home, names[i], err);
        if (one == 0)
            printf("%s\n", names[i]);
        r = MIN(r, one);
    }
    names_free(names, n);
    struct leftovers l = {0};
    loops_each(find_leftover, &l);
    VEC_FOREACH (loop, &l.loops) {
        int one = detach(*loop, err);
        if (one == 0)
            printf("/dev/loop%d\n", *loop);
        r = MIN(r, one);
    }
    vec_done(&l.loops);
    return r;
}

/* ---- commands ---- */

static int make_image(const char *image, int64_t bytes, struct error *err)
{
    _cleanup_close_ int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "cannot make %s", image);
    /* Room that is not there is better missed now than by a file system on it. */
    if (fallocate(fd, 0, 0, bytes) < 0 && (errno != EOPNOTSUPP || ftruncate(fd, bytes) < 0))
        return error_errno(err, -errno, "cannot make %s", image);
    return 0;
}

static int run_create(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    const char *name = inv->args[0];
    int64_t mb = option_i64(inv, "size", SIZE_DEFAULT_MB);
    int r = need_root(err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    if (machines_check_id(name, err) < 0)
        return usage_error(err);
    if (mb < 1 || mb > SIZE_MAX_MB) {
        error_set(err, -EINVAL, "--size is a number of megabytes from 1 to %d", SIZE_MAX_MB);
        return usage_error(err);
    }
    _cleanup_free_ char *all = path_join(home, FOLDER);
    _cleanup_free_ char *folder = path_join(all, name);
    _cleanup_free_ char *image = image_of(home, name);
    r = mkdir_all(all, 0700, err);
    if (r == 0 && mkdir(folder, 0700) < 0) {
        if (errno == EEXIST) {
            error_set(err, -EEXIST, "there is a loopback sidecar '%s' in %s already", name, all);
            return usage_error(err);
        }
        r = error_errno(err, -errno, "cannot make %s", folder);
    }
    if (r == 0)
        r = make_image(image, mb << 20, err);
    if (r == 0)
        r = attach(image, err);
    if (r < 0) {
        (void)remove_sidecar(home, name, NULL);
        return r;
    }
    _cleanup_free_ char *command = xasprintf(
        "rm -f /dev/loop%d; mknod -m 660 /dev/loop%d b %d %d", r, r, LOOP_MAJOR_NUMBER, r);
    tell_nodes(home, command);
    printf("/dev/loop%d\n", r);
    return 0;
}

static int run_destroy(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = need_root(err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *folder = path_join(home, FOLDER, inv->args[0]);
    if (machines_check_id(inv->args[0], err) < 0)
        return usage_error(err);
    if (!path_exists(folder)) {
        error_set(
            err, -ENOENT, "there is no loopback sidecar '%s' in %s/%s", inv->args[0], home, FOLDER);
        return usage_error(err);
    }
    r = remove_sidecar(home, inv->args[0], err);
    if (r == 0)
        printf("%s\n", inv->args[0]);
    return r;
}

static int run_list(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    char **names;
    int r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    size_t n = sidecar_names(home, &names);
    for (size_t i = 0; i < n; i++)
        printf("%s\n", names[i]);
    names_free(names, n);
    return 0;
}

static const struct option_spec create_options[] = {
    {"size", 0, OPTION_I64, "Megabytes (256)"}, OPTIONS_COMMON};
static const struct option_spec options[] = {OPTIONS_COMMON};

const struct command nspawn_create_sidecar = {.name = "create-loopback-sidecar",
    .arguments = "<name>",
    .summary = "Make a block device, which all nodes of the folder's clusters have",
    OPTIONS(create_options),
    .min_args = 1,
    .max_args = 1,
    .run = run_create};
const struct command nspawn_destroy_sidecar = {.name = "destroy-loopback-sidecar",
    .arguments = "<name>",
    .summary = "Take a block device and its contents away",
    OPTIONS(options),
    .min_args = 1,
    .max_args = 1,
    .run = run_destroy};
const struct command nspawn_list_sidecars = {.name = "list-loopback-sidecars",
    .summary = "Print the names of all loopback sidecars",
    OPTIONS(options),
    .run = run_list};
