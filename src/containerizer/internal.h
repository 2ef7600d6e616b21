#ifndef DCOS_CONTAINERIZER_INTERNAL_H
#define DCOS_CONTAINERIZER_INTERNAL_H

/* Shared by the files of the containerizer library. */

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "containerizer/cgroup.h"
#include "containerizer/containerizer.h"
#include "containerizer/launch_wire.h"

enum container_state {
    CONTAINER_QUEUED,    /* waits for the sweep of leftovers */
    CONTAINER_PREPARING, /* groups are made on the pool */
    CONTAINER_LAUNCHING, /* the launcher has the request */
    CONTAINER_RUNNING,
    CONTAINER_STATUS,   /* the process is gone, its wait status is being found */
    CONTAINER_TEARDOWN, /* the rest is killed, groups are removed */
};

struct container {
    struct containerizer *c;
    char *id;
    enum container_state state;
    struct container_limits limits;
    char *state_dir;

    /* launch */
    struct buf request; /* encoded LAUNCH_START, until answered */
    container_started_cb started_cb;
    void *started_userdata;
    struct error failure; /* why the launch failed; told after the teardown */
    bool launch_failed;

    /* process */
    pid_t pid;
    uint64_t start_time;
    int pidfd;
    struct loop_fd *pid_watch;
    bool ours; /* the present launcher is its parent and will tell the status */
    bool have_status;
    int status;
    unsigned status_tries;
    bool destroyed;

    /* limits */
    int oom_fd;
    struct loop_fd *oom_watch;
    unsigned oom_tries;
    bool limited, limit_kill;
    char message[CONTAINER_MESSAGE_MAX];
    int64_t mem_limit_bytes;

    struct timer timer;
    struct deferred deferred;
    struct loop_work work;
    bool working;
    int work_result;
    struct error work_error;
    int64_t pause_us;
};

struct launcher_link; /* link.c */

struct containerizer {
    struct loop *loop;
    struct containerizer_options options;
    char *runtime_dir, *launcher_path;
    struct cgroup_fs fs;
    bool has_cgroups, has_namespaces;
    struct map containers; /* id -> struct container */
    struct launcher_link *link;
    bool closing;
    unsigned works; /* on the pool: the object lives until they are back */

    /* recover.c */
    bool sweeping;
    bool restarted; /* the machine, since the containers that are recovered ran */
    struct loop_work sweep;
    VEC(char *) keep;
};

/* containerizer.c */
void container_failed(struct container *k, int error, const char *text);
void container_started(struct container *k, pid_t pid, uint64_t start_time, bool ours);
void container_exited(struct container *k, int status);
/* The container's one timer, for whatever it waits for next. */
void container_after(struct container *k, int64_t delay_us, void (*fn)(struct timer *t));
void container_prepare(struct container *k);
struct container *container_new(struct containerizer *c, const char *id);
/* The recorded "pid start_time" of a container. */
int container_read_pid(const char *state_dir, pid_t *ret_pid, uint64_t *ret_start);
void containerizer_work_done(struct containerizer *c);

/* link.c: the launcher */
int link_start(struct containerizer *c, struct error *err);
void link_send(struct containerizer *c, const struct buf *request);
void link_free(struct launcher_link *link);

/* status.c: finding the wait status of a process that is gone */
void container_find_status(struct container *k);

#endif
