#ifndef DCOS_AGENT_SANDBOX_H
#define DCOS_AGENT_SANDBOX_H

/*
 * Where things are below the work_dir, and how others reach them by name.
 *
 * A sandbox is slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>. Clients
 * name it by its real path, by the real path with `latest` for the run, or by
 * /frameworks/<framework>/executors/<executor>/runs/<container or latest>.
 */

#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

/* Caller frees. */
char *sandbox_path(const char *work_dir, const char *agent_id, const char *framework_id,
    const char *executor_id, const char *container_id);

/* Makes the folder (0750, owned by uid and gid unless they are (uid_t) -1) and points runs/latest
 * at it. */
int sandbox_create(const char *work_dir, const char *agent_id, const char *framework_id,
    const char *executor_id, const char *container_id, uid_t uid, gid_t gid, char **ret_path,
    struct error *err);

/*
 * Opens what a client named, read-only and without waiting; symbolic links are followed only as far
 * as they stay inside the sandbox. `agent_id` may be NULL (only real paths work then). Returns the
 * descriptor, -ENOENT, -EINVAL (not a path of ours, or one that leaves the sandbox), -EACCES, or
 * another negative errno.
 */
int sandbox_open(const char *work_dir, const char *agent_id, struct str path, struct error *err);

/* Whose sandbox a client's path is in; false when it is in none. */
bool sandbox_owner(
    const char *work_dir, struct str path, struct str *ret_framework, struct str *ret_executor);

/* Opens `path` below the folder `root_fd`, never leaving it; symbolic links inside it are followed
 * when `links`, refused otherwise. Descriptor or negative errno. */
int open_beneath(int root_fd, const char *path, int flags, bool links);

#endif
