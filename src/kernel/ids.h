#ifndef DCOS_KERNEL_IDS_H
#define DCOS_KERNEL_IDS_H

/* Syntax of ids that others choose: tasks, executors, frameworks, operations, volumes. */

#include "base/error.h"

enum { ID_MAX = 255 }; /* bytes */

/* 1 to 255 bytes, not "." or "..", no control characters, no "/" or "\". 0, or -EINVAL with the
 * reason (without saying which id it was: use error_prefix). NULL counts as empty. */
int id_validate(const char *id, struct error *err);

#endif
