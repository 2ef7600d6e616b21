/* After an agent's restart: following what lives on, ending what nobody knows. */

#include "containerizer/internal.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "containerizer/proc.h"

#define SWEEP_TIMEOUT_US (10 * USEC_PER_SEC)
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
enum { BOOT_ID_MAX = 256 };

/* ---- restarts of the machine ---- */

static int read_boot_id(const char *path, struct buf *out)
{
    return file_read(path, BOOT_ID_MAX, out, NULL);
}

/* Process ids and start times from before a restart of the machine may be a stranger's now. */
static bool machine_restarted(const struct containerizer *c)
{
    _cleanup_free_ char *path = path_join(c->runtime_dir, "boot_id");
    _cleanup_buf_ struct buf now = BUF_INIT, then = BUF_INIT;
    return read_boot_id(BOOT_ID_FILE, &now) == 0 && read_boot_id(path, &then) == 0 &&
           !str_eq(buf_str(&now), buf_str(&then));
}

/* Only when nothing from before is left: we may be started again on the way. */
static void note_boot(const struct containerizer *c)
{
    _cleanup_free_ char *path = path_join(c->runtime_dir, "boot_id");
    _cleanup_buf_ struct buf now = BUF_INIT;
    struct error err = ERROR_INIT;
    if (read_boot_id(BOOT_ID_FILE, &now) == 0 &&
        file_write_atomic(path, now.p, now.n, 0644, &err) < 0)
        log_warn("cannot note the machine's start error=%s", err.msg);
}

static bool is_kept(const char *name, const struct containerizer *c)
{
    for (size_t i = 0; i < c->keep.n; i++) {
        if (streq(c->keep.items[i], name))
            return true;
    }
    return false;
}

static void end_leftover(const char *dir)
{
    pid_t pid;
    uint64_t start;
    if (container_read_pid(dir, &pid, &start) < 0)
        return;
    _cleanup_close_ int fd = proc_open(pid, start);
    if (fd < 0)
        return;
    proc_signal_descendants(pid, SIGKILL);
    pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

/*
 * On the pool. What is left over is known by its folder, which exists before the groups and until
 * after them; other agents may have groups below the same root, so what has no folder here is not
 * ours. Launches wait until this is done.
 */
static void sweep_work(struct loop_work *w)
{
    struct containerizer *c = container_of(w, struct containerizer, sweep);
    _cleanup_free_ char *root = path_join(c->runtime_dir, "containers");
    int64_t deadline = clock_monotonic_us() + SWEEP_TIMEOUT_US;
    VEC(char *) leftovers = {0};
    DIR *d = opendir(root);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] != '.' && !is_kept(e->d_name, c))
            vec_push(&leftovers, xstrdup(e->d_name));
    }
    if (d)
        closedir(d);
    VEC_FOREACH (id, &leftovers) {
        _cleanup_free_ char *dir = path_join(root, *id);
        if (!c->restarted)
            end_leftover(dir);
        if (c->has_cgroups)
            cgroup_kill(&c->fs, *id); /* all at once, then one after the other */
    }
    VEC_FOREACH (id, &leftovers) {
        _cleanup_free_ char *dir = path_join(root, *id);
        int r = c->has_cgroups ? cgroup_end(&c->fs, *id, deadline) : 0;
        if (r != -EBUSY)
            remove_tree(dir, NULL);
        free(*id);
    }
    vec_done(&leftovers);
}

static void sweep_done(struct loop_work *w)
{
    struct containerizer *c = container_of(w, struct containerizer, sweep);
    VEC_FOREACH (id, &c->keep)
        free(*id);
    vec_done(&c->keep);
    c->sweeping = false;
    if (!c->closing)
        note_boot(c);
    MAP_FOREACH (e, &c->containers) {
        struct container *k = e->value;
        if (!c->closing && k->state == CONTAINER_QUEUED)
            container_prepare(k);
    }
    containerizer_work_done(c);
}

static void gone_at_recovery(struct deferred *d)
{
    struct container *k = container_of(d, struct container, deferred);
    container_find_status(k);
}

void containerizer_recover(struct containerizer *c, const struct container_recover *items, size_t n)
{
    c->restarted = machine_restarted(c);
    for (size_t i = 0; i < n; i++) {
        if (map_get(&c->containers, items[i].id))
            continue;
        struct container *k = container_new(c, items[i].id);
        k->limits = items[i].limits;
        k->pid = items[i].pid;
        k->start_time = items[i].start_time;
        vec_push(&c->keep, xstrdup(k->id));
        if (k->pid <= 0 || !k->start_time)
            container_read_pid(k->state_dir, &k->pid, &k->start_time);
        int fd = c->restarted ? -ESRCH : proc_open(k->pid, k->start_time);
        if (fd >= 0) {
            k->pidfd = fd;
            container_started(k, k->pid, k->start_time, false);
        } else {
            k->state = CONTAINER_STATUS;
            deferred_init(&k->deferred, gone_at_recovery);
            loop_defer(c->loop, &k->deferred);
        }
    }
    c->sweeping = true;
    c->works++;
    c->sweep = (struct loop_work){.work = sweep_work, .done = sweep_done};
    loop_work_start(c->loop, &c->sweep);
}
