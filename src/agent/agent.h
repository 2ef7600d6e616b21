#ifndef DCOS_AGENT_AGENT_H
#define DCOS_AGENT_AGENT_H

/* The shell around the core: loop, store, link to the master, HTTP API, containers, sandboxes. */

#include "agent/core.h"
#include "agent/security.h"
#include "base/flags.h"
#include "containerizer/containerizer.h"
#include "http/client.h"
#include "http/server.h"
#include "io/loop.h"
#include "kernel/resources.h"
#include "process/compat_flags.h"
#include "process/files.h"
#include "process/log_toggle.h"
#include "process/metrics.h"
#include "store/store.h"

enum {
    AGENT_FLAGS_MAX = 72 + COMPAT_FLAGS_MAX,
    AGENT_EXECUTOR_BODY_MAX = 4 * 1024 * 1024, /* bytes of one executor call */
    AGENT_API_BODY_MAX = 1024 * 1024,          /* bytes of one operator call */
};

/* From the command line; texts point into argv or the environment. */
struct agent_settings {
    const char *master, *ip, *ip_discovery_command, *hostname, *work_dir, *runtime_dir,
        *launcher_dir;
    const char *resources, *oversubscribed_resources, *default_role, *attributes, *domain,
        *cgroups_root, *ready_file;
    const char *reconfiguration_policy, *logging_level, *executor_environment;
    const char *fetcher_cache_dir;
    const char *log_dir, *external_log_file;
    uint16_t port;
    bool switch_user, cpu_quota, revocable_cpu_low_priority;
    int64_t executor_registration_timeout_us, executor_reregistration_timeout_us;
    int64_t executor_shutdown_grace_us, recovery_timeout_us, registration_backoff_us;
    int64_t zk_session_timeout_us;
    int64_t gc_delay_us, disk_watch_us, fetcher_stall_us;
    double gc_headroom;
    int64_t container_pids_max; /* processes and threads of one container; 0 = no limit */
    uint64_t fetcher_cache_size;
    struct agent_security_settings security;
};

struct agent_link_shell;
struct agent_conn;

struct agent {
    struct agent_settings settings;
    char *discovered_ip; /* by --ip_discovery_command */
    struct flag *flags;  /* for /flags */
    size_t n_flags;
    struct loop *loop;
    struct store *store;
    struct agent_core *core;
    struct containerizer *containerizer;
    struct http_server *server;
    struct http_client *client;
    struct agent_security security;
    char *work_dir, *runtime_dir, *launcher_dir; /* absolute */
    char *socket_path, *hostname;
    uint16_t port;
    int64_t start_wall_us, registered_wall_us;
    int exit_code;
    bool stopping;

    /* shell.c */
    struct list pending; /* struct pending: outputs not yet durable or not yet carried out */
    struct deferred release;
    struct timer core_timer;

    struct agent_link_shell *link; /* link.c */
    struct map conns;              /* executor_api.c: "framework\nexecutor" -> struct agent_conn */
    struct map launches;           /* launch.c: container id -> struct launch */
    struct list collectables;      /* gc.c */
    struct timer gc_timer;
    struct timer disk_timer;
    int64_t gc_max_age_us;
    uint64_t gc_succeeded, gc_failed, fetches_succeeded, fetches_failed, destroy_errors;

    /* view_process.c */
    char *log_path; /* shown as /slave/log; NULL = none */
    struct file_source files;
    struct log_toggle log_toggle;
    struct metrics_http *metrics;
    int64_t recovery_us;
};

/* ---- shell.c ---- */
void agent_now(struct agent_now *ret);
/* After every event given to the core: stores and carries out what came out. */
void agent_pump(struct agent *a);
int agent_shell_start(struct agent *a, struct error *err); /* restores and starts the core */
void agent_shell_stop(struct agent *a);
/* Ends the process at once with a message; containers live on. */
_noreturn_ void agent_die(const char *fmt, ...) _printf_(1, 2);

/* ---- link.c ---- */
int agent_link_start(struct agent *a, struct error *err); /* dials */
void agent_link_stop(struct agent *a);
/* Lets what was sent go out, then stops the loop. */
void agent_link_finish(struct agent *a);
void agent_link_send(struct agent *a, const struct agent_effect *e);
void agent_link_registered(struct agent *a);
void agent_link_drop(struct agent *a, const struct agent_effect *e);

/* ---- executor_api.c ---- */
void agent_executor_api(struct http_request *req, void *userdata);
void agent_conn_send(struct agent *a, const struct agent_effect *e);
void agent_conn_close(struct agent *a, uint64_t number);
void agent_conn_stop(struct agent *a);

/* ---- launch.c ---- */
void agent_launch(struct agent *a, const struct agent_effect *e);
void agent_destroy(struct agent *a, const char *container_id);
void agent_update_container(struct agent *a, const char *container_id);
void agent_container_exit(const struct container_exit *e, void *userdata);
void agent_recover_containers(struct agent *a);
void agent_launch_stop(struct agent *a);

/* ---- volume.c ---- */
/* Makes a volume's folder at once, or removes it on the worker pool; tells the core. */
void agent_volume_work(struct agent *a, const struct agent_effect *e);

/* ---- view_process.c ---- */
int agent_process_start(struct agent *a, struct error *err);
void agent_process_stop(struct agent *a);
/* Endpoints that every daemon has; false when the path is none of them. */
bool agent_process_http(struct agent *a, struct http_request *req);

/* ---- http.c ---- */
int agent_http_start(struct agent *a, struct error *err);

#endif
