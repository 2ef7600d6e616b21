/* Groups of single containers: making, limiting, killing, removing. */

#include "containerizer/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

enum { PROCS_MAX = 4 * 1024 * 1024 };

int cgroup_create(const struct cgroup_fs *fs, const char *id, struct error *err)
{
    char *dirs[CGROUP_CONTROLLERS + 1];
    size_t n = cgroup_dirs(fs, id, dirs);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        /* With parents: another agent below the same root may have removed it when it ended. */
        if (r == 0)
            r = mkdir_all(dirs[i], 0755, err);
        free(dirs[i]);
    }
    if (r < 0)
        cgroup_remove(fs, id);
    else if (fs->unified_only)
        cgroup_fs_restore(fs, id);
    return r;
}

static int write_number(const struct cgroup_fs *fs, enum cgroup_controller c, const char *id,
    const char *file, int64_t value, struct error *err)
{
    _cleanup_free_ char *dir = cgroup_dir(fs, c, id);
    if (!dir)
        return 0;
    _cleanup_free_ char *path = path_join(dir, file);
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return file_write_string(path, value == INT64_MAX ? "max" : text, err);
}

static int set_cpu(const struct cgroup_fs *fs, const char *id, const struct container_limits *l,
    bool cpu_quota, struct error *err)
{
    int r = 0;
    bool v2 = fs->unified_only;
    if (l->cpus_milli > 0)
        r = write_number(fs, CGROUP_CPU, id, v2 ? "cpu.weight" : "cpu.shares",
            v2 ? cgroup_cpu_weight(l->cpus_milli, l->cpus_revocable)
               : cgroup_cpu_shares(l->cpus_milli, l->cpus_revocable),
            err);
    int64_t quota = l->cpu_limit_milli;
    if (quota == 0 && cpu_quota)
        quota = l->cpus_milli;
    if (r < 0 || quota == 0)
        return r;
    if (v2) {
        _cleanup_free_ char *dir = cgroup_dir(fs, CGROUP_CPU, id);
        if (!dir)
            return 0;
        _cleanup_free_ char *path = path_join(dir, "cpu.max");
        char text[64] = "max 100000";
        if (quota > 0)
            snprintf(text, sizeof text, "%lld 100000", (long long)cgroup_cpu_quota_us(quota));
        return file_write_string(path, text, err);
    }
    r = write_number(fs, CGROUP_CPU, id, "cpu.cfs_period_us", 100000, err);
    if (r == 0)
        r = write_number(fs, CGROUP_CPU, id, "cpu.cfs_quota_us",
            quota < 0 ? -1 : cgroup_cpu_quota_us(quota), err);
    return r;
}

static int set_memory(const struct cgroup_fs *fs, const char *id, const struct container_limits *l,
    bool lower, struct error *err)
{
    if (l->mem_bytes == 0 && l->mem_limit_bytes == 0)
        return 0;
    bool v2 = fs->unified_only;
    int64_t soft = MAX(l->mem_bytes, (int64_t)CONTAINER_MEM_MIN);
    int r = write_number(
        fs, CGROUP_MEMORY, id, v2 ? "memory.low" : "memory.soft_limit_in_bytes", soft, err);
    if (r < 0)
        return r;
    int64_t hard = l->mem_limit_bytes == 0  ? soft
                   : l->mem_limit_bytes < 0 ? INT64_MAX
                                            : MAX(l->mem_limit_bytes, (int64_t)CONTAINER_MEM_MIN);
    int64_t present = cgroup_mem_limit(fs, id);
    if (!lower && present >= 0 && hard <= present)
        return 0;
    return write_number(fs, CGROUP_MEMORY, id, v2 ? "memory.max" : "memory.limit_in_bytes",
        hard == INT64_MAX && !v2 ? -1 : hard, err);
}

int cgroup_set_limits(const struct cgroup_fs *fs, const char *id,
    const struct container_limits *limits, bool cpu_quota, bool lower, struct error *err)
{
    int r = set_cpu(fs, id, limits, cpu_quota, err);
    if (r == 0)
        r = set_memory(fs, id, limits, lower, err);
    if (r == 0 && limits->pids_max > 0)
        r = write_number(fs, CGROUP_PIDS, id, "pids.max", limits->pids_max, err);
    return r;
}

/* SIGKILL to each process of one folder. */
static int kill_listed(const char *dir)
{
    _cleanup_free_ char *path = path_join(dir, "cgroup.procs");
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = file_read(path, PROCS_MAX, &text, NULL);
    if (r < 0)
        return r == -ENOENT || r == -ENODEV ? 0 : r;
    struct str rest = buf_str(&text), line;
    int count = 0;
    while (str_split(&rest, '\n', &line)) {
        int64_t pid;
        if (line.n && parse_i64(line, &pid) == 0 && pid > 1) {
            kill((pid_t)pid, SIGKILL);
            count++;
        }
    }
    return count;
}

int cgroup_kill(const struct cgroup_fs *fs, const char *id)
{
    char *dirs[CGROUP_CONTROLLERS + 1];
    size_t n = cgroup_dirs(fs, id, dirs);
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        /* One write kills atomically, forks included. Processes that left the unified tree (a
         * container manager inside) are still found in the others. */
        if (i == 0 && fs->unified) {
            _cleanup_free_ char *kill_file = path_join(dirs[i], "cgroup.kill");
            file_write_string(kill_file, "1", NULL);
        }
        int k = kill_listed(dirs[i]);
        if (k > 0)
            count += k;
        free(dirs[i]);
    }
    return count;
}

/* Groups that the container made inside its own go first. */
static int remove_below(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : -errno;
    struct dirent *e;
    while ((e = readdir(d))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *sub = path_join(dir, e->d_name);
        kill_listed(sub);
        remove_below(sub);
    }
    closedir(d);
    return rmdir(dir) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(const struct cgroup_fs *fs, const char *id)
{
    char *dirs[CGROUP_CONTROLLERS + 1];
    size_t n = cgroup_dirs(fs, id, dirs);
    int result = 0;
    for (size_t i = 0; i < n; i++) {
        if (rmdir(dirs[i]) < 0 && errno != ENOENT) {
            int r = remove_below(dirs[i]);
            if (r < 0)
                result = r;
        }
        free(dirs[i]);
    }
    return result;
}

int cgroup_end(const struct cgroup_fs *fs, const char *id, int64_t deadline_us)
{
    for (;;) {
        cgroup_kill(fs, id);
        int r = cgroup_remove(fs, id);
        if (r != -EBUSY || clock_monotonic_us() >= deadline_us)
            return r;
        struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

void cgroup_fs_cleanup(const struct cgroup_fs *fs)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (fs->base[c])
            rmdir(fs->base[c]);
    }
    if (fs->unified)
        rmdir(fs->unified);
}
