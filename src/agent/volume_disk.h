#ifndef DCOS_AGENT_VOLUME_DISK_H
#define DCOS_AGENT_VOLUME_DISK_H

/*
 * Persistent volumes on disk: <work_dir>/volumes/roles/<role>/<id> on the root disk,
 * <root>/volumes/roles/<role>/<id> on PATH disks, the root itself on MOUNT disks. A '/' in a role
 * is a blank there, as in Mesos: no role has one, and the volume of one role never lies in
 * another's.
 */

#include "base/error.h"
#include "wire/mesos.pb-c.h"

/* Caller frees; NULL when the resource is no persistent volume. A relative root counts from the
 * work_dir. */
char *volume_path(const char *work_dir, const Mesos__V1__Resource *r);
/* Makes the folder unless it is there. The root of a MOUNT disk has to be there. */
int volume_create(const char *work_dir, const Mesos__V1__Resource *r, struct error *err);
/* Removes the folder with what is in it; of a MOUNT disk only what is in it. May take long. Nothing
 * there = 0. */
int volume_destroy(const char *work_dir, const Mesos__V1__Resource *r, struct error *err);

#endif
