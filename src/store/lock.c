#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

enum { LOCK_MODE = 0600, NSEC_PER_SEC = 1000000000 };

#define WAKE_AGAIN_NS 1000000

static void on_signal(int signum)
{
    /* Its only use is to interrupt fcntl(). */
}

void leader_lock_init(struct leader_lock *l, const char *path)
{
    *l = (struct leader_lock){.path = path, .fd = -1};
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->ended, &attr);
    pthread_condattr_destroy(&attr);
}

static void release(struct leader_lock *l)
{
    l->fd = fd_close(l->fd);
}

void leader_lock_done(struct leader_lock *l)
{
    release(l);
    pthread_cond_destroy(&l->ended);
    pthread_mutex_destroy(&l->mutex);
}

static bool begin_wait(struct leader_lock *l)
{
    pthread_mutex_lock(&l->mutex);
    l->waiting = !l->cancelled;
    l->waiter = pthread_self();
    bool go_on = l->waiting;
    pthread_mutex_unlock(&l->mutex);
    return go_on;
}

static void end_wait(struct leader_lock *l)
{
    pthread_mutex_lock(&l->mutex);
    l->waiting = false;
    pthread_cond_broadcast(&l->ended);
    pthread_mutex_unlock(&l->mutex);
}

/* Locks that belong to the open file, not to the process: two stores of one process exclude each
 * other as well, and closing an unrelated descriptor of the file does not drop the lock. */
static int lock_blocking(struct leader_lock *l)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r;
    do {
        if (!begin_wait(l))
            return -ECANCELED;
        r = fcntl(l->fd, F_OFD_SETLKW, &range) < 0 ? -errno : 0;
        end_wait(l);
    } while (r == -EINTR);
    return r;
}

void leader_lock_cancel(struct leader_lock *l)
{
    pthread_mutex_lock(&l->mutex);
    l->cancelled = true;
    while (l->waiting) {
        /* Again until it took effect: the first may come just before the thread falls asleep. */
        pthread_kill(l->waiter, SIGURG);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAKE_AGAIN_NS;
        if (until.tv_nsec >= NSEC_PER_SEC) {
            until.tv_nsec -= NSEC_PER_SEC;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&l->ended, &l->mutex, &until);
    }
    pthread_mutex_unlock(&l->mutex);
}

/* Somebody may have removed the file while we waited: the lock on it then excludes nobody. */
static bool is_current(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

static void let_signal_in(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    sigset_t set;
    sigaction(SIGURG, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int leader_lock_wait(struct leader_lock *l, struct error *err)
{
    let_signal_in();
    for (;;) {
        l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
        if (l->fd < 0)
            return error_errno(err, -errno, "lock file %s", l->path);
        int r = lock_blocking(l);
        if (r < 0) {
            release(l);
            return error_errno(err, r, "lock on %s", l->path);
        }
        if (is_current(l->fd, l->path))
            return 0;
        release(l);
    }
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
