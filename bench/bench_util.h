#ifndef DCOS_BENCH_UTIL_H
#define DCOS_BENCH_UTIL_H

/* What every benchmark prints, as "name value unit" lines. */

#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"

static inline _unused_ void bench_machine(void)
{
    struct utsname u;
    uname(&u);
    printf("machine %s-%s name\n", u.sysname, u.machine);
    printf("kernel %s name\n", u.release);
    printf("processors %ld count\n", sysconf(_SC_NPROCESSORS_ONLN));
}

static inline _unused_ double bench_cpu_s(int who)
{
    struct rusage r;
    getrusage(who, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static inline _unused_ long bench_peak_kb(int who)
{
    struct rusage r;
    getrusage(who, &r);
    return r.ru_maxrss;
}

/* Proportional set size of this process in KB; 0 when it cannot be read. */
static inline _unused_ uint64_t bench_pss_kb(void)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    uint64_t kb = 0;
    if (file_read("/proc/self/smaps_rollup", 64 * 1024, &b, NULL) < 0)
        return 0;
    struct str rest = buf_str(&b), line;
    while (str_split(&rest, '\n', &line))
        if (str_has_prefix(line, STR("Pss:"))) {
            line = str_trim((struct str){line.p + 4, line.n - 4});
            line.n = line.n > 3 ? line.n - 3 : 0; /* " kB" */
            (void)parse_u64(str_trim(line), &kb);
        }
    return kb;
}

#endif
