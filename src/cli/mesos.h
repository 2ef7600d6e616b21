#ifndef DCOS_CLI_MESOS_H
#define DCOS_CLI_MESOS_H

/* The cluster kernel as the CLI sees it: the master's state, and sandboxes through the agents. */

#include "cli/cli.h"

/* Whole /state of the leading master. */
int mesos_state(struct cli *c, json_t **ret, struct error *err);
/* GET of another path of the master ("/state-summary"). */
int mesos_get(struct cli *c, const char *path, json_t **ret, struct error *err);

/* POST of a v1 operator call; its status is left to the caller. */
int mesos_call(struct cli *c, const json_t *call, struct reply *ret, struct error *err);

/* Agent of the state by id, or NULL. */
const json_t *mesos_agent(const json_t *state, const char *id);
/* Region or zone of an agent or master, or `fallback`. `part` is "region" or "zone". */
const char *mesos_domain(const json_t *host, const char *part, const char *fallback);
/* "10.0.0.5" of "slave(1)@10.0.0.5:5051"; to be freed; NULL when it cannot be read. */
char *mesos_pid_ip(const char *pid);
/* "10.0.0.5:5051" */
const char *mesos_pid_address(const char *pid);

enum task_scope { TASKS_ACTIVE, TASKS_COMPLETED, TASKS_ALL };
/* Array of the task objects of the state that fit, in its order. `filter` (NULL = all) is a part
 * of the id or a glob; `agent` NULL = any. */
json_t *mesos_tasks(
    const json_t *state, enum task_scope scope, const char *filter, const char *agent);
/* Exactly one: an exact id wins over several matches. Borrowed from `tasks`. */
int mesos_one_task(const json_t *tasks, const char *filter, const json_t **ret, struct error *err);

/* Folder of a task, and the API that reads it. */
struct sandbox {
    char *base; /* URL in front of "/files/..." */
    char *path;
};
void sandbox_done(struct sandbox *s);
int sandbox_find(
    struct cli *c, const json_t *state, const json_t *task, struct sandbox *ret, struct error *err);
/* Entries of a folder; -ENOENT when it does not exist. */
int sandbox_browse(
    struct cli *c, const struct sandbox *s, const char *name, json_t **ret, struct error *err);
/* One piece of a file from `offset`, appended to `out`; offset -1 only gives the size. *ret_offset
 * is the offset that the answer names. */
int sandbox_read(struct cli *c, const struct sandbox *s, const char *name, int64_t offset,
    int64_t length, int64_t *ret_offset, struct buf *out, struct error *err);

#endif
