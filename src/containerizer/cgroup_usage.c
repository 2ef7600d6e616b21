/* Reading what a group used, and noticing that its memory ran out. */

#include "containerizer/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

enum { FILE_MAX = 64 * 1024 };

static int read_text(const struct cgroup_fs *fs, enum cgroup_controller c, const char *id,
    const char *file, struct buf *out)
{
    _cleanup_free_ char *dir = cgroup_dir(fs, c, id);
    if (!dir)
        return -ENOENT;
    _cleanup_free_ char *path = path_join(dir, file);
    return file_read(path, FILE_MAX, out, NULL);
}

/* -1 when not known; "max" and v1's nearly endless numbers are INT64_MAX. */
static int64_t read_number(
    const struct cgroup_fs *fs, enum cgroup_controller c, const char *id, const char *file)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, c, id, file, &text) < 0)
        return -1;
    struct str s = str_trim(buf_str(&text));
    if (str_eq_c(s, "max"))
        return INT64_MAX;
    int64_t v;
    if (parse_i64(s, &v) < 0)
        return -1;
    return v >= INT64_MAX / 2 ? INT64_MAX : v;
}

static void cpu_v1(const struct cgroup_fs *fs, const char *id, struct container_usage *u)
{
    int64_t user = read_number(fs, CGROUP_CPUACCT, id, "cpuacct.usage_user");
    int64_t system = read_number(fs, CGROUP_CPUACCT, id, "cpuacct.usage_sys");
    u->cpus_user_time_us = user < 0 ? -1 : user / NSEC_PER_USEC;
    u->cpus_system_time_us = system < 0 ? -1 : system / NSEC_PER_USEC;
    int64_t shares = read_number(fs, CGROUP_CPU, id, "cpu.shares");
    u->cpus_soft_limit_milli = shares < 0 ? -1 : (shares * 1000 + 512) / 1024;
    int64_t quota = read_number(fs, CGROUP_CPU, id, "cpu.cfs_quota_us");
    u->cpus_limit_milli = quota > 0 ? quota / 100 : -1;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, CGROUP_CPU, id, "cpu.stat", &text) == 0) {
        u->cpus_nr_periods = cgroup_keyed(buf_str(&text), "nr_periods");
        u->cpus_nr_throttled = cgroup_keyed(buf_str(&text), "nr_throttled");
        int64_t ns = cgroup_keyed(buf_str(&text), "throttled_time");
        u->cpus_throttled_time_us = ns < 0 ? -1 : ns / NSEC_PER_USEC;
    }
}

static void memory_v1(const struct cgroup_fs *fs, const char *id, struct container_usage *u)
{
    u->mem_total_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.usage_in_bytes");
    u->mem_limit_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.limit_in_bytes");
    u->mem_soft_limit_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.soft_limit_in_bytes");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, CGROUP_MEMORY, id, "memory.stat", &text) < 0)
        return;
    struct str s = buf_str(&text);
    u->mem_cache_bytes = u->mem_file_bytes = cgroup_keyed(s, "total_cache");
    u->mem_rss_bytes = u->mem_anon_bytes = cgroup_keyed(s, "total_rss");
    u->mem_mapped_file_bytes = cgroup_keyed(s, "total_mapped_file");
    u->mem_swap_bytes = cgroup_keyed(s, "total_swap");
    u->mem_unevictable_bytes = cgroup_keyed(s, "total_unevictable");
}

static void cpu_v2(const struct cgroup_fs *fs, const char *id, struct container_usage *u)
{
    _cleanup_buf_ struct buf text = BUF_INIT, max = BUF_INIT;
    if (read_text(fs, CGROUP_CPUACCT, id, "cpu.stat", &text) == 0) {
        struct str s = buf_str(&text);
        u->cpus_user_time_us = cgroup_keyed(s, "user_usec");
        u->cpus_system_time_us = cgroup_keyed(s, "system_usec");
        u->cpus_nr_periods = cgroup_keyed(s, "nr_periods");
        u->cpus_nr_throttled = cgroup_keyed(s, "nr_throttled");
        u->cpus_throttled_time_us = cgroup_keyed(s, "throttled_usec");
    }
    int64_t weight = read_number(fs, CGROUP_CPU, id, "cpu.weight");
    u->cpus_soft_limit_milli = weight < 0 ? -1 : weight * 10;
    if (read_text(fs, CGROUP_CPU, id, "cpu.max", &max) == 0) {
        struct str s = str_trim(buf_str(&max)), quota;
        int64_t q, period;
        if (str_split(&s, ' ', &quota) && parse_i64(quota, &q) == 0 && parse_i64(s, &period) == 0 &&
            period > 0)
            u->cpus_limit_milli = q * 1000 / period;
    }
}

static void memory_v2(const struct cgroup_fs *fs, const char *id, struct container_usage *u)
{
    u->mem_total_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.current");
    u->mem_limit_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.max");
    u->mem_soft_limit_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.low");
    u->mem_swap_bytes = read_number(fs, CGROUP_MEMORY, id, "memory.swap.current");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, CGROUP_MEMORY, id, "memory.stat", &text) < 0)
        return;
    struct str s = buf_str(&text);
    u->mem_cache_bytes = u->mem_file_bytes = cgroup_keyed(s, "file");
    u->mem_rss_bytes = u->mem_anon_bytes = cgroup_keyed(s, "anon");
    u->mem_mapped_file_bytes = cgroup_keyed(s, "file_mapped");
    u->mem_unevictable_bytes = cgroup_keyed(s, "unevictable");
}

static int64_t count_lines(
    const struct cgroup_fs *fs, enum cgroup_controller c, const char *id, const char *file)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, c, id, file, &text) < 0)
        return -1;
    int64_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

void cgroup_usage(const struct cgroup_fs *fs, const char *id, struct container_usage *ret)
{
    if (fs->unified_only) {
        cpu_v2(fs, id, ret);
        memory_v2(fs, id, ret);
        ret->processes = count_lines(fs, CGROUP_FREEZER, id, "cgroup.procs");
        ret->threads = count_lines(fs, CGROUP_FREEZER, id, "cgroup.threads");
    } else {
        cpu_v1(fs, id, ret);
        memory_v1(fs, id, ret);
        ret->processes = count_lines(fs, CGROUP_PIDS, id, "cgroup.procs");
        ret->threads = count_lines(fs, CGROUP_PIDS, id, "tasks");
    }
    if (ret->mem_limit_bytes == INT64_MAX)
        ret->mem_limit_bytes = -1;
    if (ret->mem_soft_limit_bytes == INT64_MAX)
        ret->mem_soft_limit_bytes = -1;
}

static const char *oom_name(const struct cgroup_fs *fs)
{
    return fs->unified_only ? "memory.events" : "memory.oom_control";
}

int64_t cgroup_oom_kills(const struct cgroup_fs *fs, const char *id)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (read_text(fs, CGROUP_MEMORY, id, oom_name(fs), &text) < 0)
        return -1;
    return cgroup_keyed(buf_str(&text), "oom_kill");
}

char *cgroup_oom_file(const struct cgroup_fs *fs, const char *id)
{
    _cleanup_free_ char *dir = cgroup_dir(fs, CGROUP_MEMORY, id);
    return dir ? path_join(dir, oom_name(fs)) : NULL;
}

int cgroup_oom_watch(const struct cgroup_fs *fs, const char *id)
{
    _cleanup_free_ char *file = cgroup_oom_file(fs, id);
    if (!file)
        return -ENOENT;
    if (fs->unified_only) {
        _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (fd < 0 || inotify_add_watch(fd, file, IN_MODIFY) < 0)
            return -errno;
        return TAKE_FD(fd);
    }
    _cleanup_close_ int control = open(file, O_RDONLY | O_CLOEXEC);
    if (control < 0)
        return -errno;
    _cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return -errno;
    _cleanup_free_ char *dir = cgroup_dir(fs, CGROUP_MEMORY, id);
    _cleanup_free_ char *path = path_join(dir, "cgroup.event_control");
    char text[32];
    snprintf(text, sizeof text, "%d %d", event, control);
    int r = file_write_string(path, text, NULL);
    return r < 0 ? r : TAKE_FD(event);
}

int64_t cgroup_mem_limit(const struct cgroup_fs *fs, const char *id)
{
    return read_number(
        fs, CGROUP_MEMORY, id, fs->unified_only ? "memory.max" : "memory.limit_in_bytes");
}

int64_t cgroup_mem_peak(const struct cgroup_fs *fs, const char *id)
{
    return read_number(
        fs, CGROUP_MEMORY, id, fs->unified_only ? "memory.peak" : "memory.max_usage_in_bytes");
}
