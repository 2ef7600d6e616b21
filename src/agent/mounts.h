#ifndef DCOS_AGENT_MOUNTS_H
#define DCOS_AGENT_MOUNTS_H

/* From what a task or executor asks for to the mounts of its container. */

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"
#include "containerizer/mounts.h"
#include "wire/mesos.pb-c.h"

struct mount_list {
    VEC(struct spawn_mount) items;
};
void mount_list_done(struct mount_list *l);
#define _cleanup_mount_list_ _cleanup_(mount_list_done)

/* Adds the persistent volumes among the resources; strings are in the arena. Each folder is made if
 * it is missing and given to uid and gid (unless they are (uid_t) -1): a shared one only if it is
 * still the agent's, so the first user keeps it. */
int mounts_of_resources(const char *work_dir, Mesos__V1__Resource *const *list, size_t n, uid_t uid,
    gid_t gid, struct arena *arena, struct mount_list *ret, struct error *err);
/* Adds the volumes of a ContainerInfo: host_path, HOST_PATH and SANDBOX_PATH of type SELF. The core
 * refused others. */
void mounts_of_container(const Mesos__V1__ContainerInfo *container, struct mount_list *ret);

#endif
