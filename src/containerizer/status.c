/*
 * The wait status of a process that is gone.
 *
 * In this order: the launcher, which is its parent unless it was restarted; the kernel, which since
 * Linux 6.15 keeps it with the pidfd once somebody reaped the process; the file that dcos-executor
 * and supervisors leave. The first two may need a moment, so they are asked a few times.
 */

#include "containerizer/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

/* Not in the headers of the systems we build on. */
#define PIDFD_INFO_WITH_EXIT (1ULL << 3)
struct pidfd_info_v1 {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_GET_INFO_V1 _IOWR(0xFF, 11, struct pidfd_info_v1)

enum { TRIES_MAX = 40 };
#define TRY_EVERY_US (25 * USEC_PER_MSEC)

static bool ask_kernel(int pidfd, int *ret)
{
    struct pidfd_info_v1 info = {.mask = PIDFD_INFO_WITH_EXIT};
    if (pidfd < 0 || ioctl(pidfd, PIDFD_GET_INFO_V1, &info) < 0 ||
        !(info.mask & PIDFD_INFO_WITH_EXIT))
        return false;
    *ret = info.exit_code;
    return true;
}

static bool read_file(const char *state_dir, int *ret)
{
    _cleanup_free_ char *path = path_join(state_dir, "status");
    _cleanup_buf_ struct buf text = BUF_INIT;
    int64_t v;
    if (file_read(path, 64, &text, NULL) < 0 || parse_i64(str_trim(buf_str(&text)), &v) < 0 ||
        v < 0 || v > 0xffff)
        return false;
    *ret = (int)v;
    return true;
}

static void try_again(struct timer *t)
{
    container_find_status(container_of(t, struct container, timer));
}

void container_find_status(struct container *k)
{
    int status;
    if (!k->ours && ask_kernel(k->pidfd, &status)) {
        container_exited(k, status);
        return;
    }
    bool file = read_file(k->state_dir, &status);
    if (!k->ours && file) {
        container_exited(k, status);
        return;
    }
    if (k->pidfd >= 0 && k->status_tries++ < TRIES_MAX) {
        container_after(k, TRY_EVERY_US, try_again);
        return;
    }
    container_exited(k, file ? status : -1);
}
