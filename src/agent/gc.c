#include "agent/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { GC_SCAN_MAX = 1000 * 1000 /* entries looked at on start */ };

struct collectable {
    struct list node;
    char *path;
    int64_t changed_us; /* since the epoch */
};

struct removal {
    struct loop_work work;
    struct agent *agent;
    char *path;
    struct error err;
    int status;
};

int64_t agent_gc_max_age(int64_t delay_us, double headroom, double usage)
{
    double share = 1.0 - headroom - usage;
    return share <= 0 ? 0 : (int64_t)((double)delay_us * share);
}

/* Parents that became empty go with the last run: runs, the executor, executors, the framework. */
static void remove_empty_parents(const char *path)
{
    _cleanup_free_ char *p = xstrdup(path);
    for (int level = 0; level < 4; level++) {
        char *slash = strrchr(p, '/');
        if (!slash)
            return;
        *slash = '\0';
        if (level == 0) {
            _cleanup_free_ char *latest = path_join(p, "latest");
            struct stat st;
            if (stat(latest, &st) < 0 && errno == ENOENT)
                unlink(latest);
        }
        if (rmdir(p) < 0)
            return;
    }
}

static void removal_work(struct loop_work *w)
{
    struct removal *r = container_of(w, struct removal, work);
    r->status = remove_tree(r->path, &r->err);
    if (r->status >= 0)
        remove_empty_parents(r->path);
}

static void removal_done(struct loop_work *w)
{
    struct removal *r = container_of(w, struct removal, work);
    if (r->status < 0) {
        r->agent->gc_failed++;
        log_warn("sandbox cannot be collected path=%s: %s, ignoring", r->path, r->err.msg);
    } else {
        r->agent->gc_succeeded++;
        log_info("sandbox collected path=%s", r->path);
    }
    free(r->path);
    free(r);
}

static void arm(struct agent *a)
{
    int64_t first = INT64_MAX;
    LIST_FOREACH (c, &a->collectables, struct collectable, node)
        first = MIN(first, c->changed_us);
    if (first == INT64_MAX)
        timer_stop(&a->gc_timer);
    else
        timer_start(&a->gc_timer, first + a->gc_max_age_us - clock_realtime_us());
}

static void collect(struct agent *a)
{
    int64_t now = clock_realtime_us();
    LIST_FOREACH_SAFE (c, &a->collectables, struct collectable, node) {
        if (c->changed_us + a->gc_max_age_us > now)
            continue;
        struct removal *r = xnew(struct removal);
        r->work = (struct loop_work){.work = removal_work, .done = removal_done};
        r->agent = a;
        r->path = TAKE_PTR(c->path);
        list_remove(&c->node);
        free(c);
        loop_work_start(a->loop, &r->work);
    }
    arm(a);
}

static void gc_fired(struct timer *t)
{
    collect(container_of(t, struct agent, gc_timer));
}

static void watch_disk(struct agent *a)
{
    struct statvfs fs;
    if (statvfs(a->work_dir, &fs) < 0 || fs.f_blocks == 0)
        return;
    double usage = 1.0 - (double)fs.f_bavail / (double)fs.f_blocks;
    a->gc_max_age_us = agent_gc_max_age(a->settings.gc_delay_us, a->settings.gc_headroom, usage);
    collect(a);
}

static void disk_fired(struct timer *t)
{
    struct agent *a = container_of(t, struct agent, disk_timer);
    watch_disk(a);
    timer_start(&a->disk_timer, a->settings.disk_watch_us);
}

static void schedule(struct agent *a, char *path, int64_t changed_us)
{
    struct collectable *c = xnew(struct collectable);
    c->path = path;
    c->changed_us = changed_us;
    list_push(&a->collectables, &c->node);
}

void agent_gc_executor(
    struct agent *a, const char *framework_id, const char *executor_id, const char *container_id)
{
    if (!a->core->id)
        return;
    char *path = sandbox_path(a->work_dir, a->core->id, framework_id, executor_id, container_id);
    if (!path_exists(path)) {
        free(path);
        return;
    }
    schedule(a, path, clock_realtime_us());
    arm(a);
}

void agent_gc_framework(struct agent *a, const char *framework_id)
{
    /* Its folder goes with its last sandbox. */
    log_info("framework has nothing left here framework=%s", framework_id);
    (void)a;
}

size_t agent_gc_pending(const struct agent *a)
{
    size_t n = 0;
    LIST_FOREACH (c, &a->collectables, struct collectable, node)
        n++;
    return n;
}

/* ---- what earlier lives left ---- */

struct scan {
    struct agent *agent;
    size_t left;
};

static const char *const levels[] = {NULL, "frameworks", NULL, "executors", NULL, "runs", NULL};

/* Walks slaves/<id>/frameworks/<id>/executors/<id>/runs/<container>. */
static void scan_level(struct scan *s, const char *path, size_t level)
{
    if (level < ARRAY_SIZE(levels) && levels[level]) {
        _cleanup_free_ char *below = path_join(path, levels[level]);
        scan_level(s, below, level + 1);
        return;
    }
    DIR *dir = opendir(path);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)) && s->left) {
        s->left--;
        struct stat st;
        if (entry->d_name[0] == '.' ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(st.st_mode))
            continue;
        char *below = path_join(path, entry->d_name);
        if (level + 1 < ARRAY_SIZE(levels)) {
            scan_level(s, below, level + 1);
            free(below);
        } else if (map_get(&s->agent->core->containers, entry->d_name)) {
            free(below);
        } else {
            schedule(s->agent, below, (int64_t)st.st_mtim.tv_sec * USEC_PER_SEC);
        }
    }
    closedir(dir);
}

void agent_gc_start(struct agent *a)
{
    list_init(&a->collectables);
    timer_init(&a->gc_timer, a->loop, gc_fired);
    timer_init(&a->disk_timer, a->loop, disk_fired);
    a->gc_max_age_us = a->settings.gc_delay_us;
    struct scan scan = {.agent = a, .left = GC_SCAN_MAX};
    _cleanup_free_ char *slaves = path_join(a->work_dir, "slaves");
    scan_level(&scan, slaves, 0);
    disk_fired(&a->disk_timer);
}

void agent_gc_stop(struct agent *a)
{
    timer_stop(&a->gc_timer);
    timer_stop(&a->disk_timer);
    LIST_FOREACH_SAFE (c, &a->collectables, struct collectable, node) {
        list_remove(&c->node);
        free(c->path);
        free(c);
    }
}
