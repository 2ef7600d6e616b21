#ifndef DCOS_MINIDCOS_CLUSTER_H
#define DCOS_MINIDCOS_CLUSTER_H

/*
 * A cluster of processes on this machine, as <home>/<name>/cluster.json holds it.
 *
 *   <home>/<name>/cluster.json      everything below; rewritten by the supervisor on each change
 *   <home>/<name>/supervisor.lock   held (flock) by the supervisor as long as it lives
 *   <home>/<name>/<daemon>/         work directory
 *   <home>/<name>/logs/<daemon>.log
 *   <home>/<name>/run/<daemon>.ready
 *   <home>/<name>/libexec/          links to the agent's helpers, when they are not in one folder
 *   <home>/<name>/ca/, tls/, secrets/   of a secure cluster: secure.h; of a front door: door.h
 *   <home>/cli/clusters/<name>/     settings of `dcos` for it, for DCOS_DIR=<home>/cli
 */

#include <sys/types.h>

#include "base/error.h"
#include "base/vec.h"
#include "json/json.h"

enum daemon_kind {
    DAEMON_MASTER,
    DAEMON_MARATHON,
    DAEMON_AGENT,
    DAEMON_PUBLIC_AGENT,
    DAEMON_ZOOKEEPER, /* of several masters */
    DAEMON_IAM,
    DAEMON_NET,
    DAEMON_ROUTER,
};

enum daemon_state {
    DAEMON_STOPPED,
    DAEMON_STARTING, /* runs, does not serve yet */
    DAEMON_RUNNING,
    DAEMON_WAITING, /* died, is started again after its backoff */
};

enum { DAEMON_ARGS_MAX = 128, CLUSTER_NAME_MAX = 64, CLUSTER_NODES_MAX = 64 };

struct daemon {
    char *name; /* "agent-1" */
    enum daemon_kind kind;
    char *ip;
    uint16_t port;
    char *work_dir, *log, *ready_file;
    char *cgroups_root; /* agents */
    int64_t cpus_milli, mem_mb, disk_mb;
    uint16_t ports_from, ports_to;
    VEC(char *) argv;

    enum daemon_state state;
    pid_t pid;      /* 0 = none */
    uint64_t start; /* start time of the process in clock ticks since boot: tells pids apart */
    int64_t started_us;
    int64_t restarts;
    char *last_exit; /* "killed by signal 9", NULL = never ended */
};

struct cluster {
    char *home, *name, *dir;
    char *id; /* name and a hash of the directory: names control groups and the like */
    int64_t created_us;
    pid_t supervisor_pid;
    uint64_t supervisor_start;
    bool secure;   /* TLS, and daemons ask who calls: secure.h */
    int64_t block; /* which share of the machine's addresses and ports */
    VEC(struct daemon) daemons;
};

void cluster_init(struct cluster *c, const char *home, const char *name);
void cluster_done(struct cluster *c);
struct daemon *cluster_add(struct cluster *c, enum daemon_kind kind, const char *name);
/* Letters, digits, '_', '.', '-'; the first a letter or digit. */
int cluster_check_name(const char *name, struct error *err);
char *cluster_path(const struct cluster *c, const char *name);
char *cluster_url(const struct cluster *c, const struct daemon *d);
/* First daemon of a kind; NULL when there is none. */
struct daemon *cluster_first(const struct cluster *c, enum daemon_kind kind);

/* -ENOENT when there is no such cluster. */
int cluster_load(const char *home, const char *name, struct cluster *ret, struct error *err);
int cluster_save(const struct cluster *c, struct error *err);
void cluster_to_json(const struct cluster *c, struct buf *out);
/* The daemons that a word means: a daemon ("agent-1"), a node ("agent_0", an address), "all". Sets
 * `chosen` (one per daemon); returns how many, or -ENOENT. */
int cluster_resolve(struct cluster *c, const char *word, bool *chosen, struct error *err);

const char *daemon_state_text(enum daemon_state s);
const char *daemon_kind_text(enum daemon_kind k);

/* ---- processes ---- */

/* Start time of a process, or 0 when there is none (zombies count as none). */
uint64_t process_start_time(pid_t pid);
/* Sends to exactly that process; -ESRCH when it is gone. */
int process_signal(pid_t pid, uint64_t start, int signum);
bool process_alive(pid_t pid, uint64_t start);
/* True while a supervisor holds the cluster's lock. */
bool cluster_is_supervised(const struct cluster *c);
/* flock of <home>, made when needed, so that two commands do not change the same place at once.
 * Returns a descriptor to close. */
int home_lock(const char *home, struct error *err);
/* Waits without a loop: this program only polls. */
void pause_ms(int ms);

#endif
