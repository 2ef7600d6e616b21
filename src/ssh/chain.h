#ifndef DCOS_SSH_CHAIN_H
#define DCOS_SSH_CHAIN_H

/*
 * The same steps on many hosts, some hosts at a time.
 *
 * Every host has one thread, one connection and the steps one after the other; the first that fails
 * ends them for this host, but for the steps that clean up. Other hosts go on. Results, as they
 * come, are in a state file (JSON, the format of the SSH runner of DC/OS before 1.14) and
 * everything that hosts print is in one log per host, appended to.
 */

#include "json/json.h"
#include "ssh/session.h"

enum {
    CHAIN_HOSTS_MAX = 100000,
    CHAIN_PARALLEL_MAX = 100,
    CHAIN_OUTPUT_MAX = 64 * 1024, /* kept of each stream of a command: the last so many bytes */
    CHAIN_REASON_MAX = 512,
};

struct chain_host {
    const char *address; /* numeric IPv4 */
    uint16_t port;
    const char *role;         /* "master" or "agent" */
    const char *install_role; /* "master", "slave", "slave_public" */
};

enum chain_status {
    CHAIN_UNSTARTED,
    CHAIN_RUNNING,
    CHAIN_SUCCESS,
    CHAIN_FAILED,
    CHAIN_TERMINATED, /* a step took too long, or everything was cancelled */
};
const char *chain_status_name(enum chain_status s); /* "unstarted" and so on */

struct chain_step {
    const char *stage; /* what it is, for people: "install DC/OS" */
    /* One of the three: */
    const char *text; /* a command line, the same for all hosts */
    char *(*command)(const struct chain_host *host, void *userdata); /* to be freed */
    const struct ssh_file *file;
    const char *remote; /* of file */
    mode_t mode;        /* of file */
    const char *role;   /* only for hosts of this role; NULL = for all */
    bool always; /* also after a step that failed; its own failure is no failure of the host */
    bool
        repeatable; /* a connection that breaks is made again and the step repeated; files always */
    int64_t timeout_us; /* 0 = the chain's */
};

struct chain_result {
    enum chain_status status;
    int code;                      /* exit status of the step that failed, or a negative errno */
    char reason[CHAIN_REASON_MAX]; /* one line; empty while all is well */
};

enum chain_event_type { CHAIN_HOST_STARTED, CHAIN_STEP_STARTED, CHAIN_STEP_DONE, CHAIN_HOST_DONE };

struct chain_event {
    enum chain_event_type type;
    size_t host, step;
    int returncode; /* of CHAIN_STEP_DONE */
};

struct chain {
    const char *name; /* "deploy": of state file and logs */
    const struct chain_host *hosts;
    size_t n_hosts;
    const struct chain_step *steps;
    size_t n_steps;
    struct ssh_settings ssh;
    unsigned parallelism;   /* 1 to CHAIN_PARALLEL_MAX */
    unsigned attempts;      /* of connecting, and of steps that may be repeated; 0 = 1 */
    int64_t retry_pause_us; /* doubled each time; 0 = 1 s */
    int64_t timeout_us;     /* of a step */
    const char *state_path; /* NULL = none. Hosts of an older file that this run leaves out stay. */
    const char *log_folder; /* NULL = none; made when missing */
    void *userdata;         /* of command and progress */
    /* Called in the thread of chain_run, one event at a time, in order for each host. */
    void (*progress)(const struct chain *chain, const struct chain_event *event,
        const struct chain_result *result);
};

/* Runs until every host is done or cancelled. results has n_hosts elements. 0 when all succeeded, 1
 * when some did not; a negative errno when nothing was begun (the state file cannot be written). A
 * state file or log that cannot be written later ends the run as if it were cancelled, with
 * the errno. */
int chain_run(const struct chain *chain, struct chain_result *results, struct error *err);

/* ---- the state file, see reference and docs/installer.md ---- */

struct chain_command {
    const char *cmd, *stage;
    struct str out, err;
    int returncode; /* negative = it has none */
    int64_t date_us;
};

struct chain_state;
/* Reads what an earlier run left. -EBADMSG when it is no state file. */
int chain_state_open(const struct chain *chain, struct chain_state **ret, struct error *err);
void chain_state_free(struct chain_state *s);
DEFINE_CLEANUP(struct chain_state *, chain_state_free)
void chain_state_command(struct chain_state *s, size_t host, const struct chain_command *command);
void chain_state_host(struct chain_state *s, size_t host, enum chain_status status);
int chain_state_write(struct chain_state *s, struct error *err);

/* "192.0.2.11:22" in a state file. 0, or -ENOENT when there is no such file; `ret` is to be
 * json_decref'd. */
int chain_state_read(const char *path, json_t **ret, struct error *err);

#endif
