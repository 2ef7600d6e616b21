#ifndef DCOS_CONTAINERIZER_MOUNTS_H
#define DCOS_CONTAINERIZER_MOUNTS_H

/*
 * Volumes of a container: what is shown where.
 *
 * With a mount namespace each is a mount, which nobody outside sees. Without one (no root) it is a
 * symbolic link in the sandbox; read-only volumes and targets outside the sandbox fail then.
 * Targets in the sandbox, and sources given relative to it, are found without following any link
 * that a user of the sandbox may have put there.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* In the sandbox of a pod: <task id>/<index of the resource> is a link to the task's volume. */
#define POD_VOLUMES_DIR ".volumes"

enum { SPAWN_MOUNTS_MAX = 1000, SPAWN_PATH_MAX = 4096 };

struct spawn_mount {
    /* A folder or file that exists; relative: a folder in the sandbox, made when missing. */
    const char *source;
    /* Relative: in the sandbox, made when missing. Absolute: must exist. */
    const char *target;
    bool read_only;
    /* What a relative source is in instead of the sandbox, found like one in it; NULL = the
     * sandbox. A folder that is made there belongs to whom the sandbox belongs. Not in texts. */
    const char *base;
};

/* 0 or negative errno: -EXDEV for a path with "..", -ENOTDIR or -ELOOP where a link is in the way,
 * -EOPNOTSUPP for what needs a namespace. */
int spawn_mount(const struct spawn_mount *m, const char *sandbox, bool namespaces);

/* As one text, a line for each; paths must have no tab and no newline in them. */
bool spawn_mount_path_valid(const char *path);
void spawn_mounts_format(const struct spawn_mount *mounts, size_t n, struct buf *out);
/* Changes `text`, which the items point into; *ret is the caller's to free. -EBADMSG. */
int spawn_mounts_parse(char *text, struct spawn_mount **ret, size_t *ret_n);

#endif
