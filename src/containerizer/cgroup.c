#include "containerizer/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

static const char *const controller_names[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",
    [CGROUP_CPUACCT] = "cpuacct",
    [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",
    [CGROUP_FREEZER] = "freezer",
};

enum { PROC_TEXT_MAX = 4 * 1024 * 1024, CGROUP_FILE_MAX = 256 * 1024 };

static bool list_has(struct str list, const char *word)
{
    struct str item;
    while (str_split(&list, ',', &item)) {
        if (str_eq_c(item, word))
            return true;
    }
    return false;
}

static bool is_digit_to(char c, char last)
{
    return c >= '0' && c <= last;
}

/* mountinfo writes blanks and backslashes as octal escapes. */
static char *unescape(struct str s)
{
    char *out = xmalloc(s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        if (s.p[i] == '\\' && i + 3 < s.n && is_digit_to(s.p[i + 1], '3') &&
            is_digit_to(s.p[i + 2], '7') && is_digit_to(s.p[i + 3], '7')) {
            out[n++] = (char)((s.p[i + 1] - '0') << 6 | (s.p[i + 2] - '0') << 3 |
                              (s.p[i + 3] - '0'));
            i += 4;
        } else {
            out[n++] = s.p[i++];
        }
    }
    out[n] = 0;
    return out;
}

/* Path of this process in the hierarchy with the controller ("" = unified), as the kernel says. */
static struct str own_path(struct str self, const char *controller)
{
    struct str line;
    while (str_split(&self, '\n', &line)) {
        struct str number, controllers;
        if (!str_split(&line, ':', &number) || !str_split(&line, ':', &controllers))
            continue;
        bool unified = controllers.n == 0;
        if (*controller ? list_has(controllers, controller) : unified && str_eq_c(number, "0"))
            return line;
    }
    return STR("/");
}

/* Folder for our groups in one hierarchy. `mount_root` is the part of the hierarchy that is mounted
 * (a container sees only its own). */
static char *base_for(const char *mount, struct str mount_root, struct str own, const char *root)
{
    if (root[0] == '/')
        return path_join(mount, root + 1);
    /* A path outside of what we see starts with "/..": then the mount's root is all we have. */
    if (str_has_prefix(own, STR("/..")) || own.n == 0)
        own = STR("/");
    if (!str_eq_c(mount_root, "/") && str_has_prefix(own, mount_root))
        own = (struct str){own.p + mount_root.n, own.n - mount_root.n};
    _cleanup_free_ char *own_text = str_dup(own);
    const char *relative = own_text;
    while (*relative == '/')
        relative++;
    if (!*relative)
        return path_join(mount, root);
    return path_join(mount, relative, root);
}

struct mount_line {
    struct str root, point, type, options;
};

static bool parse_mount(struct str line, struct mount_line *ret)
{
    struct str f[6], word;
    for (int i = 0; i < 6; i++) {
        if (!str_split(&line, ' ', &f[i]))
            return false;
    }
    do {
        if (!str_split(&line, ' ', &word))
            return false;
    } while (!str_eq_c(word, "-"));
    struct str source;
    ret->root = f[3];
    ret->point = f[4];
    return str_split(&line, ' ', &ret->type) && str_split(&line, ' ', &source) &&
           str_split(&line, ' ', &ret->options);
}

int cgroup_fs_parse(struct str mountinfo, struct str self, const char *root, struct cgroup_fs *ret,
    struct error *err)
{
    struct cgroup_fs fs = {0};
    bool v1 = false;
    struct str line;
    while (str_split(&mountinfo, '\n', &line)) {
        struct mount_line m;
        if (!parse_mount(line, &m))
            continue;
        _cleanup_free_ char *point = unescape(m.point);
        if (str_eq_c(m.type, "cgroup2") && !fs.unified) {
            fs.unified = base_for(point, m.root, own_path(self, ""), root);
            fs.mount_unified = TAKE_PTR(point);
        } else if (str_eq_c(m.type, "cgroup")) {
            for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
                if (fs.base[c] || !list_has(m.options, controller_names[c]))
                    continue;
                v1 = true;
                fs.base[c] = base_for(point, m.root, own_path(self, controller_names[c]), root);
            }
        }
    }
    if (!v1 && fs.unified) {
        /* Groups with controllers cannot sit below one that has processes, such as our own: use the
         * mount's root, which is the container's own in a container. */
        fs.unified_only = true;
        free(fs.unified);
        fs.unified = path_join(fs.mount_unified, root[0] == '/' ? root + 1 : root);
        for (int c = 0; c < CGROUP_CONTROLLERS; c++)
            fs.base[c] = xstrdup(fs.unified);
    }
    if (!v1 && !fs.unified) {
        cgroup_fs_done(&fs);
        return error_set(err, -ENOENT, "no control groups are mounted");
    }
    *ret = fs;
    return 0;
}

static bool enable_controller(const char *dir, const char *name)
{
    _cleanup_free_ char *file = path_join(dir, "cgroup.subtree_control");
    char text[32];
    snprintf(text, sizeof text, "+%s", name);
    return file_write_string(file, text, NULL) == 0;
}

bool cgroup_fs_enable(const struct cgroup_fs *fs, enum cgroup_controller c)
{
    /* From the mount's root down to our own: each folder hands controllers only to the next. */
    struct str rest = str_of(fs->unified + strlen(fs->mount_unified)), part;
    _cleanup_free_ char *dir = xstrdup(fs->mount_unified);
    bool ok = enable_controller(dir, controller_names[c]);
    while (ok && str_split(&rest, '/', &part)) {
        if (part.n == 0)
            continue;
        _cleanup_free_ char *name = str_dup(part);
        char *next = path_join(dir, name);
        free(dir);
        dir = next;
        ok = enable_controller(dir, controller_names[c]);
    }
    return ok;
}

void cgroup_fs_restore(const struct cgroup_fs *fs, const char *id)
{
    _cleanup_free_ char *path = path_join(fs->unified, id, "cgroup.controllers");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(path, CGROUP_FILE_MAX, &text, NULL) < 0)
        return;
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        struct str rest = str_trim(buf_str(&text)), word;
        bool there = c == CGROUP_CPUACCT || c == CGROUP_FREEZER;
        while (!there && str_split(&rest, ' ', &word))
            there = str_eq_c(word, controller_names[c]);
        if (fs->enabled[c] && !there)
            cgroup_fs_enable(fs, (enum cgroup_controller)c);
    }
}

void cgroup_fs_missing(const struct cgroup_fs *fs, struct buf *out)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (!fs->enabled[c])
            buf_printf(out, "%s%s", out->n ? "," : "", controller_names[c]);
    }
}

int cgroup_fs_prepare(struct cgroup_fs *fs, struct error *err)
{
    bool any = false;
    struct error why = ERROR_INIT;
    if (fs->unified) {
        /* On hybrid hosts with delegation trouble the unified tree is a bonus: go on without. */
        if (mkdir_all(fs->unified, 0755, &why) < 0) {
            free(TAKE_PTR(fs->unified));
            if (fs->unified_only)
                return error_set(err, why.code, "%s", why.msg);
        } else {
            any = true;
        }
    }
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (!fs->base[c])
            continue;
        if (fs->unified_only) {
            /* cpuacct and freezer are built in. Each step may be refused; then the controller is
             * not available and its limits are left out. */
            fs->enabled[c] = c == CGROUP_CPUACCT || c == CGROUP_FREEZER ||
                             cgroup_fs_enable(fs, (enum cgroup_controller)c);
            continue;
        }
        if (mkdir_all(fs->base[c], 0755, &why) < 0)
            free(TAKE_PTR(fs->base[c]));
        else
            fs->enabled[c] = any = true;
    }
    if (!any)
        return error_set(err, why.code ? why.code : -ENOENT, "%s", why.msg);
    return 0;
}

int cgroup_fs_probe(const char *root, struct cgroup_fs *ret, struct error *err)
{
    _cleanup_buf_ struct buf mounts = BUF_INIT, self = BUF_INIT;
    int r = file_read("/proc/self/mountinfo", PROC_TEXT_MAX, &mounts, err);
    if (r == 0)
        r = file_read("/proc/self/cgroup", PROC_TEXT_MAX, &self, err);
    struct cgroup_fs fs;
    if (r == 0)
        r = cgroup_fs_parse(buf_str(&mounts), buf_str(&self), root, &fs, err);
    if (r < 0)
        return r;
    r = cgroup_fs_prepare(&fs, err);
    if (r < 0) {
        cgroup_fs_done(&fs);
        return r;
    }
    *ret = fs;
    return 0;
}

void cgroup_fs_done(struct cgroup_fs *fs)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++)
        free(fs->base[c]);
    free(fs->unified);
    free(fs->mount_unified);
    *fs = (struct cgroup_fs){0};
}

const char *cgroup_fs_mode(const struct cgroup_fs *fs)
{
    return fs->unified_only ? "v2" : fs->unified ? "hybrid" : "v1";
}

char *cgroup_dir(const struct cgroup_fs *fs, enum cgroup_controller c, const char *id)
{
    return fs->base[c] && fs->enabled[c] ? path_join(fs->base[c], id) : NULL;
}

size_t cgroup_dirs(const struct cgroup_fs *fs, const char *id, char *ret[CGROUP_CONTROLLERS + 1])
{
    size_t n = 0;
    if (fs->unified)
        ret[n++] = path_join(fs->unified, id);
    for (int c = 0; c < CGROUP_CONTROLLERS && !fs->unified_only; c++) {
        if (!fs->base[c] || !fs->enabled[c])
            continue;
        bool seen = false;
        for (int d = 0; d < c; d++)
            seen = seen || streq(fs->base[c], fs->base[d]);
        if (!seen)
            ret[n++] = path_join(fs->base[c], id);
    }
    return n;
}

int64_t cgroup_cpu_shares(int64_t cpus_milli, bool revocable)
{
    return MAX(cpus_milli * (revocable ? 10 : 1024) / 1000, INT64_C(2));
}

int64_t cgroup_cpu_weight(int64_t cpus_milli, bool revocable)
{
    int64_t w = cpus_milli / (revocable ? 1000 : 10);
    return w < 1 ? 1 : w > 10000 ? 10000 : w;
}

int64_t cgroup_cpu_quota_us(int64_t cpus_milli)
{
    return MAX(cpus_milli * 100, INT64_C(1000));
}

int64_t cgroup_keyed(struct str text, const char *key)
{
    struct str line;
    while (str_split(&text, '\n', &line)) {
        struct str name;
        uint64_t v;
        if (str_split(&line, ' ', &name) && str_eq_c(name, key) &&
            parse_u64(str_trim(line), &v) == 0)
            return v > INT64_MAX ? INT64_MAX : (int64_t)v;
    }
    return -1;
}
