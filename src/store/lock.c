#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { LOCK_MODE = 0600 };

/* Locks that belong to the open file, not to the process: two stores of one process exclude each
 * other as well, and closing an unrelated descriptor of the file does not drop the lock. */
static int lock_blocking(int fd)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r, state;
    do {
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
        r = fcntl(fd, F_OFD_SETLKW, &range) < 0 ? -errno : 0;
        pthread_setcancelstate(state, NULL);
    } while (r == -EINTR);
    return r;
}

/* Somebody may have removed the file while we waited: the lock on it then excludes nobody. */
static bool is_current(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

int leader_lock_wait(struct leader_lock *l, struct error *err)
{
    for (;;) {
        l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
        if (l->fd < 0)
            return error_errno(err, -errno, "lock file %s", l->path);
        int r = lock_blocking(l->fd);
        if (r < 0) {
            leader_lock_release(l);
            return error_errno(err, r, "lock on %s", l->path);
        }
        if (is_current(l->fd, l->path))
            return 0;
        leader_lock_release(l);
    }
}

void leader_lock_release(struct leader_lock *l)
{
    l->fd = fd_close(l->fd);
}

int leader_lock_held(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "lock file %s", path);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_GETLK, &range) < 0)
        return error_errno(err, -errno, "lock on %s", path);
    return range.l_type != F_UNLCK;
}
