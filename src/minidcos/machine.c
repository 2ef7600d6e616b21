/* Processors, memory and disk of this machine, as far as they are ours to use. */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "base/file.h"
#include "base/parse.h"
#include "minidcos/plan.h"

static int64_t read_number(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int64_t value;
    if (file_read(path, 4096, &text, NULL) < 0 || parse_i64(str_trim(buf_str(&text)), &value) < 0)
        return -1;
    return value;
}

/* Calls fn with each folder from the process's own group of a controller up to the root. */
static void each_group(const char *controller, void (*fn)(const char *folder, void *p), void *p)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read("/proc/self/cgroup", 65536, &text, NULL) < 0)
        return;
    struct str rest = buf_str(&text), line;
    while (str_split(&rest, '\n', &line)) {
        struct str number, names;
        if (!str_split(&line, ':', &number) || !str_split(&line, ':', &names))
            continue;
        bool unified = names.n == 0;
        struct str name;
        bool listed = false;
        while (str_split(&names, ',', &name))
            listed = listed || str_eq_c(name, controller);
        if (!unified && !listed)
            continue;
        _cleanup_free_ char *group = str_dup(line);
        for (;;) {
            static const char *const v2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
            _cleanup_free_ char *v1 = path_join("/sys/fs/cgroup", controller, group);
            if (!unified)
                fn(v1, p);
            for (size_t i = 0; unified && i < ARRAY_SIZE(v2); i++) {
                _cleanup_free_ char *folder = path_join(v2[i], group);
                fn(folder, p);
            }
            char *slash = strrchr(group, '/');
            if (!slash || !group[1])
                break;
            slash[slash == group ? 1 : 0] = '\0';
        }
    }
}

static void limit_mem(const char *folder, void *p)
{
    static const char *const files[] = {"memory.limit_in_bytes", "memory.max"};
    int64_t *bytes = p;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *path = path_join(folder, files[i]);
        int64_t limit = read_number(path);
        if (limit > 0 && limit < *bytes)
            *bytes = limit;
    }
}

static void limit_cpus(const char *folder, void *p)
{
    int64_t *milli = p, quota = -1, period = -1;
    _cleanup_free_ char *max = path_join(folder, "cpu.max");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(max, 4096, &text, NULL) == 0) {
        struct str rest = str_trim(buf_str(&text)), part;
        if (str_split(&rest, ' ', &part) && parse_i64(part, &quota) == 0)
            parse_i64(rest, &period);
    } else {
        _cleanup_free_ char *q = path_join(folder, "cpu.cfs_quota_us");
        _cleanup_free_ char *per = path_join(folder, "cpu.cfs_period_us");
        quota = read_number(q);
        period = read_number(per);
    }
    if (quota > 0 && period > 0 && quota * 1000 / period < *milli)
        *milli = quota * 1000 / period;
}

void machine_detect(const char *dir, struct machine *ret)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    ret->cpus_milli = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) * 1000
                                                                   : get_nprocs() * 1000;
    each_group("cpu", limit_cpus, &ret->cpus_milli);

    struct sysinfo info = {0};
    sysinfo(&info);
    int64_t bytes = (int64_t)info.totalram * info.mem_unit;
    each_group("memory", limit_mem, &bytes);
    /* As mesos-agent does: a gigabyte for the system, half on small machines. */
    int64_t mb = bytes >> 20;
    ret->mem_mb = mb > 2048 ? mb - 1024 : mb / 2;

    struct statvfs st;
    _cleanup_free_ char *folder = xstrdup(dir);
    int r;
    while ((r = statvfs(folder, &st)) < 0 && strrchr(folder, '/') > folder)
        *strrchr(folder, '/') = '\0';
    int64_t disk = r == 0 || statvfs("/", &st) == 0
                       ? (int64_t)((uint64_t)st.f_bavail * st.f_frsize >> 20)
                       : 1024;
    ret->disk_mb = disk > 10240 ? disk - 5120 : disk / 2;
}
