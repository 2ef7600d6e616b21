#ifndef DCOS_CONTAINERIZER_CGROUP_H
#define DCOS_CONTAINERIZER_CGROUP_H

/*
 * Control groups of containers, whatever the host mounts.
 *
 *   v1      controllers in hierarchies of their own (some may share one)
 *   hybrid  the same, and a unified tree without controllers, used for birth, kill and emptiness
 *   v2      one unified tree
 *
 * A container's group is a folder named after it in each hierarchy in use. Calls block shortly and
 * belong on the worker pool, except the reads of usage.
 */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "containerizer/containerizer.h"

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_FREEZER,
    CGROUP_CONTROLLERS,
};

struct cgroup_fs {
    bool unified_only; /* v2 */
    /* Folder under which groups are made, per controller; NULL where it is not available. Strings
     * may be equal where controllers share a hierarchy. On v2 all are the unified one. */
    char *base[CGROUP_CONTROLLERS];
    char *unified;       /* NULL on v1 */
    char *mount_unified; /* v2: the mount's root, for enabling controllers */
    bool enabled[CGROUP_CONTROLLERS];
};

/* What is mounted, from the text of /proc/self/mountinfo and /proc/self/cgroup, for groups below
 * `root` (see containerizer_options.cgroups_root). Creates nothing. -ENOENT: no control groups. */
int cgroup_fs_parse(struct str mountinfo, struct str self, const char *root, struct cgroup_fs *ret,
    struct error *err);
/* Makes the base folders, drops hierarchies that refuse, enables controllers. -EPERM etc. when
 * none is left. */
int cgroup_fs_prepare(struct cgroup_fs *fs, struct error *err);
/* cgroup_fs_parse + prepare for this process. */
int cgroup_fs_probe(const char *root, struct cgroup_fs *ret, struct error *err);
void cgroup_fs_done(struct cgroup_fs *fs);
/* v2: hands the controller down from the mount's root to our groups. */
bool cgroup_fs_enable(const struct cgroup_fs *fs, enum cgroup_controller c);
/* v2: hands down again what a group that was just made lacks, because somebody made our root anew.
 */
void cgroup_fs_restore(const struct cgroup_fs *fs, const char *id);
/* Names of the controllers that cannot be used, with commas. */
void cgroup_fs_missing(const struct cgroup_fs *fs, struct buf *out);
/* "v1", "hybrid", "v2" */
const char *cgroup_fs_mode(const struct cgroup_fs *fs);

/* Folder of a container's group for a controller, or NULL. `cgroup_dirs` lists each folder once,
 * unified first; the caller frees the strings; at most CGROUP_CONTROLLERS + 1. */
char *cgroup_dir(const struct cgroup_fs *fs, enum cgroup_controller c, const char *id);
size_t cgroup_dirs(const struct cgroup_fs *fs, const char *id, char *ret[CGROUP_CONTROLLERS + 1]);

int cgroup_create(const struct cgroup_fs *fs, const char *id, struct error *err);
/* `lower` allows a smaller memory limit than the present one (a new group). */
int cgroup_set_limits(const struct cgroup_fs *fs, const char *id,
    const struct container_limits *limits, bool cpu_quota, bool lower, struct error *err);
/* One round of killing whatever is in it. Returns how many processes were seen, or -errno. */
int cgroup_kill(const struct cgroup_fs *fs, const char *id);
/* Removes it everywhere. 0 also when there is none; -EBUSY while processes are left. */
int cgroup_remove(const struct cgroup_fs *fs, const char *id);
/* Kills what is in it and removes it, trying until then (monotonic time). 0 or -errno. */
int cgroup_end(const struct cgroup_fs *fs, const char *id, int64_t deadline_us);
/* Removes the (empty) root groups. */
void cgroup_fs_cleanup(const struct cgroup_fs *fs);

void cgroup_usage(const struct cgroup_fs *fs, const char *id, struct container_usage *ret);
/* Counter of processes killed for lack of memory; -1 when not known. */
int64_t cgroup_oom_kills(const struct cgroup_fs *fs, const char *id);
/* File with that counter as "oom_kill N": memory.oom_control or memory.events. NULL without. */
char *cgroup_oom_file(const struct cgroup_fs *fs, const char *id);
/* Descriptor that becomes readable when memory runs out: v1 an eventfd, v2 an inotify. */
int cgroup_oom_watch(const struct cgroup_fs *fs, const char *id);
int64_t cgroup_mem_limit(const struct cgroup_fs *fs, const char *id);
int64_t cgroup_mem_peak(const struct cgroup_fs *fs, const char *id);

/* The numbers behind the limits. */
/* v1: 1024 per cpu, 10 per revocable one, at least 2. */
int64_t cgroup_cpu_shares(int64_t cpus_milli, bool revocable);
/* v2: 100 per cpu, 1 per revocable one, 1..10000. */
int64_t cgroup_cpu_weight(int64_t cpus_milli, bool revocable);
int64_t cgroup_cpu_quota_us(int64_t cpus_milli); /* per 100 ms: max(100 ms per cpu, 1 ms) */
/* "key N" line of a flat keyed file; -1 when absent. */
int64_t cgroup_keyed(struct str text, const char *key);

#endif
