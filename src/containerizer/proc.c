#include "containerizer/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "base/vec.h"

enum { STAT_MAX = 4096, CHILDREN_MAX = 4 * 1024 * 1024, DESCENDANTS_MAX = 1000000 };

int proc_stat_parse(struct str text, struct proc_stat *ret)
{
    /* "pid (name) state ppid ...": the name may hold blanks and ')', so look for the last one. */
    const char *close = memrchr(text.p, ')', text.n);
    ptrdiff_t open = str_index(text, '(');
    if (!close || open <= 0 || close - text.p < open)
        return -EBADMSG;
    int64_t pid;
    if (parse_i64(str_trim((struct str){text.p, (size_t)open}), &pid) < 0)
        return -EBADMSG;
    struct str rest = {close + 1, text.n - (size_t)(close + 1 - text.p)};
    rest = str_trim(rest);
    struct proc_stat s = {.pid = (pid_t)pid};
    struct str word;
    for (unsigned field = 3; field <= 24; field++) {
        int64_t n = 0;
        if (!str_split(&rest, ' ', &word))
            return -EBADMSG;
        if (field == 3) {
            if (word.n != 1)
                return -EBADMSG;
            s.state = word.p[0];
            continue;
        }
        bool wanted = field == 4 || field == 14 || field == 15 || field == 20 || field >= 22;
        if (wanted && field != 23 && parse_i64(str_trim(word), &n) < 0)
            return -EBADMSG;
        if (field == 4)
            s.ppid = (pid_t)n;
        else if (field == 14)
            s.utime = (uint64_t)n;
        else if (field == 15)
            s.stime = (uint64_t)n;
        else if (field == 20)
            s.threads = n;
        else if (field == 22)
            s.start_time = (uint64_t)n;
        else if (field == 24)
            s.rss_pages = n;
    }
    *ret = s;
    return 0;
}

int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    char text[STAT_MAX];
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ESRCH;
    return proc_stat_parse((struct str){text, (size_t)n}, ret);
}

int proc_open(pid_t pid, uint64_t start_time)
{
    if (pid <= 1)
        return -ESRCH;
    _cleanup_close_ int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    /* The descriptor names whatever has the pid now; compare afterwards, so that a reuse between
     * the two steps shows. */
    struct proc_stat s;
    int r = proc_stat_read(pid, &s);
    if (r < 0)
        return r;
    if (s.start_time != start_time)
        return -ESRCH;
    return TAKE_FD(fd);
}

typedef VEC(pid_t) pid_list;

static void add_listed(const char *path, pid_list *out)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (file_read(path, CHILDREN_MAX, &text, NULL) < 0)
        return;
    struct str rest = buf_str(&text), word;
    while (str_split(&rest, ' ', &word)) {
        int64_t pid;
        if (parse_i64(str_trim(word), &pid) == 0 && pid > 1)
            vec_push(out, (pid_t)pid);
    }
}

/* Children of every thread of the process. -ENOTSUP when the kernel does not list them. */
static int list_children(pid_t pid, pid_list *out)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return 0; /* gone */
    struct dirent *e;
    int r = 0;
    while (r == 0 && (e = readdir(dir))) {
        int64_t tid;
        if (parse_i64(str_of(e->d_name), &tid) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)tid);
        if (tid == pid && access(path, F_OK) < 0 && errno == ENOENT && kill(pid, 0) == 0)
            r = -ENOTSUP;
        else
            add_listed(path, out);
    }
    closedir(dir);
    return r;
}

/* The same from the parents that all processes name; for kernels without the list. */
static void scan_descendants(pid_t root, pid_list *out)
{
    VEC(struct proc_stat) all = {0};
    DIR *dir = opendir("/proc");
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        int64_t pid;
        struct proc_stat s;
        if (parse_i64(str_of(e->d_name), &pid) == 0 && proc_stat_read((pid_t)pid, &s) == 0)
            vec_push(&all, s);
    }
    if (dir)
        closedir(dir);
    /* Each one found may be the parent of others. */
    for (size_t i = 0; i <= out->n; i++) {
        pid_t parent = i == 0 ? root : out->items[i - 1];
        VEC_FOREACH (s, &all) {
            if (s->ppid == parent && s->pid != root)
                vec_push(out, s->pid);
        }
    }
    vec_done(&all);
}

/* Calls fn for each live descendant of root; returns how many. */
static int each_descendant(
    pid_t root, void (*fn)(const struct proc_stat *s, void *userdata), void *userdata)
{
    pid_list found = {0};
    int r = list_children(root, &found);
    for (size_t i = 0; r == 0 && i < found.n && i < DESCENDANTS_MAX; i++)
        r = list_children(found.items[i], &found);
    if (r < 0) {
        vec_clear(&found);
        scan_descendants(root, &found);
    }
    int count = 0;
    VEC_FOREACH (pid, &found) {
        struct proc_stat s;
        if (proc_stat_read(*pid, &s) < 0 || s.state == 'Z' || s.state == 'X')
            continue;
        count++;
        fn(&s, userdata);
    }
    vec_done(&found);
    return count;
}

static void send_signal(const struct proc_stat *s, void *userdata)
{
    kill(s->pid, *(const int *)userdata);
}

int proc_signal_descendants(pid_t root, int signum)
{
    return each_descendant(root, send_signal, &signum);
}

static void add_up(const struct proc_stat *s, void *userdata)
{
    struct proc_sum *sum = userdata;
    int64_t tick_us = 1000000 / sysconf(_SC_CLK_TCK);
    sum->user_us += (int64_t)s->utime * tick_us;
    sum->system_us += (int64_t)s->stime * tick_us;
    sum->rss_bytes += s->rss_pages * sysconf(_SC_PAGESIZE);
    sum->threads += s->threads;
    sum->processes++;
}

int proc_sum_tree(pid_t root, struct proc_sum *ret)
{
    *ret = (struct proc_sum){0};
    struct proc_stat s;
    if (proc_stat_read(root, &s) == 0)
        add_up(&s, ret);
    each_descendant(root, add_up, ret);
    return (int)ret->processes;
}

const char *env_get(const char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; envp && *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    }
    return NULL;
}
