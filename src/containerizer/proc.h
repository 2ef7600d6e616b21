#ifndef DCOS_CONTAINERIZER_PROC_H
#define DCOS_CONTAINERIZER_PROC_H

/* Processes as /proc shows them: identity and descent. Depends on base only. */

#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

struct proc_stat {
    pid_t pid, ppid;
    char state;
    uint64_t start_time;   /* clock ticks since boot: with the pid it names a process */
    uint64_t utime, stime; /* clock ticks */
    int64_t threads, rss_pages;
};

/* The text of /proc/<pid>/stat; the command name may hold anything. -EBADMSG. */
int proc_stat_parse(struct str text, struct proc_stat *ret);
/* -ESRCH when there is no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *ret);
/* A descriptor of the process that started then: -ESRCH when it is gone or the pid was reused. */
int proc_open(pid_t pid, uint64_t start_time);

/* Sends a signal to all descendants of `root` (not to itself): those that exist when /proc is
 * read. Returns how many there were. Zombies do not count. */
int proc_signal_descendants(pid_t root, int signum);

/* Sums of the process and its descendants. Returns how many processes that are. */
struct proc_sum {
    int64_t user_us, system_us, rss_bytes, processes, threads;
};
int proc_sum_tree(pid_t root, struct proc_sum *ret);

/* The environment variable of a NULL-terminated list, or NULL. */
const char *env_get(const char *const *envp, const char *name);

#endif
