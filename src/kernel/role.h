#ifndef DCOS_KERNEL_ROLE_H
#define DCOS_KERNEL_ROLE_H

/* Role names: "*", "dev", "eng/backend". */

#include "base/error.h"

enum { ROLE_MAX = 1024 }; /* bytes */

/* 0, or -EINVAL saying why the name is not allowed. */
int role_validate(const char *role, struct error *err);
/* role is a strict descendant of ancestor: "a/b" of "a". */
bool role_is_below(const char *role, const char *ancestor);
/* Length of the parent's name in `role`: 1 for "a/b", 0 for a top-level role. */
size_t role_parent_length(const char *role);

#endif
