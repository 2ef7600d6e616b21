#ifndef DCOS_KERNEL_FRAMEWORK_H
#define DCOS_KERNEL_FRAMEWORK_H

/* What a FrameworkInfo says. */

#include "base/arena.h"
#include "base/error.h"
#include "wire/mesos.pb-c.h"
#include "wire/scheduler.pb-c.h"

enum {
    FRAMEWORK_REVOCABLE_RESOURCES = 1u << 1, /* bit n is Capability.Type n */
    FRAMEWORK_TASK_KILLING_STATE = 1u << 2,
    FRAMEWORK_GPU_RESOURCES = 1u << 3,
    FRAMEWORK_SHARED_RESOURCES = 1u << 4,
    FRAMEWORK_PARTITION_AWARE = 1u << 5,
    FRAMEWORK_MULTI_ROLE = 1u << 6,
    FRAMEWORK_RESERVATION_REFINEMENT = 1u << 7,
    FRAMEWORK_REGION_AWARE = 1u << 8,
};
enum {
    FRAMEWORK_ROLES_MAX = 10000,
    /* Packed. Two of them fit an entry of the registry: an update keeps parts of the old one. */
    FRAMEWORK_INFO_BYTES_MAX = 250 * 1024,
};

uint32_t framework_capabilities(const Mesos__V1__FrameworkInfo *info);
/* Roles the framework subscribes to: `roles` with MULTI_ROLE, else `role` or "*". Array in the
 * arena; strings are the message's. */
const char **framework_roles(
    const Mesos__V1__FrameworkInfo *info, struct arena *arena, size_t *ret_n);
bool framework_has_role(const Mesos__V1__FrameworkInfo *info, const char *role);
/* Microseconds, 0 when unset. Call after validation. */
int64_t framework_failover_timeout_us(const Mesos__V1__FrameworkInfo *info);

/* What SUBSCRIBE refuses with an ERROR event: size, roles, id, offer filters, failover_timeout. 0,
 * or -EINVAL with the text. */
int framework_info_validate(const Mesos__V1__FrameworkInfo *info, struct error *err);
/* suppressed_roles must be among the roles, names valid. */
int framework_validate_suppressed(
    const Mesos__V1__FrameworkInfo *info, char *const *roles, size_t n, struct error *err);
/* Structure and roles of offer constraints (patterns are compiled by whoever matches them). */
int framework_validate_constraints(const Mesos__V1__FrameworkInfo *info,
    const Mesos__V1__Scheduler__OfferConstraints *constraints, struct error *err);
/* What may not change on UPDATE_FRAMEWORK: principal, user, checkpoint. */
int framework_validate_update(
    const Mesos__V1__FrameworkInfo *old, const Mesos__V1__FrameworkInfo *info, struct error *err);

#endif
