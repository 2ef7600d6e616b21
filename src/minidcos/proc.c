#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "minidcos/cluster.h"

uint64_t process_start_time(pid_t pid)
{
    char path[64];
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (pid <= 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (file_read(path, 65536, &text, NULL) < 0)
        return 0;
    /* The second field is the name, which may hold anything: count from its last bracket. */
    const char *end = strrchr(buf_cstr(&text), ')');
    if (!end || end[1] != ' ')
        return 0;
    struct str rest = str_of(end + 2), part;
    uint64_t value = 0;
    for (int field = 3; str_split(&rest, ' ', &part); field++) {
        if (field == 3 && part.n && (part.p[0] == 'Z' || part.p[0] == 'X'))
            return 0;
        if (field == 22)
            return parse_u64(part, &value) < 0 ? 0 : value;
    }
    return 0;
}

bool process_alive(pid_t pid, uint64_t start)
{
    return pid > 0 && start > 0 && process_start_time(pid) == start;
}

int process_signal(pid_t pid, uint64_t start, int signum)
{
    if (pid <= 1)
        return -ESRCH;
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return -errno;
    /* Looked at after the descriptor pins the process: the pid cannot be another's now. */
    if (!process_alive(pid, start))
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, fd, signum, NULL, 0) < 0 ? -errno : 0;
}

bool cluster_is_supervised(const struct cluster *c)
{
    _cleanup_free_ char *path = cluster_path(c, "supervisor.lock");
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int home_lock(const char *home, struct error *err)
{
    int r = mkdir_all(home, 0755, err);
    if (r < 0)
        return r;
    int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "cannot open %s", home);
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EINTR)
            continue;
        r = error_errno(err, -errno, "cannot lock %s", home);
        close(fd);
        return r;
    }
    return fd;
}

void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}
