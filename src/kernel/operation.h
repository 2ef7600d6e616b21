#ifndef DCOS_KERNEL_OPERATION_H
#define DCOS_KERNEL_OPERATION_H

/*
 * Operations that change what an agent has: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME,
 * SHRINK_VOLUME. The master applies them to offers, the agent to its total; both by these
 * functions, so that they agree.
 *
 * Every operation consumes some resources and leaves others in their place, the same quantities
 * in another form. CREATE_DISK and DESTROY_DISK are work of resource providers, of which no agent
 * of ours has any: they are checked and then refused.
 */

#include "base/arena.h"
#include "base/error.h"
#include "kernel/resources.h"
#include "wire/mesos.pb-c.h"

enum {
    AGENT_HAS_MULTI_ROLE = 1u << 1, /* bit n is AgentInfo.Capability.Type n */
    AGENT_HAS_HIERARCHICAL_ROLE = 1u << 2,
    AGENT_HAS_RESERVATION_REFINEMENT = 1u << 3,
    AGENT_HAS_RESOURCE_PROVIDER = 1u << 4,
    AGENT_HAS_RESIZE_VOLUME = 1u << 5,
    AGENT_HAS_OPERATION_FEEDBACK = 1u << 6,
    AGENT_HAS_DRAINING = 1u << 7,
    AGENT_HAS_TASK_RESOURCE_LIMITS = 1u << 8,
};
uint32_t agent_capability_bits(Mesos__V1__AgentInfo__Capability *const *list, size_t n);

/* ---- names and states ---- */

/* "RESERVE"; "UNKNOWN" for a number that is none. */
const char *operation_type_name(Mesos__V1__Offer__Operation__Type type);
/* "OPERATION_FINISHED"; "OPERATION_UNKNOWN" for a number that is none. */
const char *operation_state_name(Mesos__V1__OperationState state);
bool operation_state_is_terminal(Mesos__V1__OperationState state);
/* Its result may be used by later operations of the same ACCEPT. */
bool operation_is_speculative(Mesos__V1__Offer__Operation__Type type);

/* ---- what it does ---- */

struct operation_change {
    struct resources consumed, converted;
};
#define OPERATION_CHANGE_INIT                                                                      \
    {                                                                                              \
        RESOURCES_INIT, RESOURCES_INIT                                                             \
    }
#define _cleanup_operation_change_ _cleanup_(operation_change_done)
void operation_change_done(struct operation_change *c);

/* What the operation says by itself: nested message present, resources well-formed, none empty. 0,
 * or -EINVAL with the text of OPERATION_ERROR. LAUNCH and LAUNCH_GROUP are not operations here:
 * -EINVAL. */
int operation_check(const Mesos__V1__Offer__Operation *op, struct error *err);

/* What it takes and what it leaves, with all resources allocated to the role (NULL: to none, the
 * form of an agent's total). `ret` must be empty and stays so on failure. -EINVAL. */
int operation_convert(const Mesos__V1__Offer__Operation *op, const char *allocation_role,
    struct operation_change *ret, struct error *err);

/* Takes what the operation consumes out of `r` and puts in what it leaves. -EINVAL when it is
 * malformed, -ENOENT when `r` lacks something; `r` is unchanged then. The agent calls it with its
 * total and no role. */
int operation_apply(const Mesos__V1__Offer__Operation *op, const char *allocation_role,
    struct resources *r, struct error *err);
/* The same with a change that is known. */
int operation_apply_change(
    const struct operation_change *change, struct resources *r, struct error *err);

/* ---- who may do what ---- */

struct operation_context {
    /* The framework whose offers it is applied to; NULL: an operator's. */
    const Mesos__V1__FrameworkInfo *framework;
    const char *role;      /* of the offers; of no meaning for operators */
    const char *principal; /* the operator's, NULL = none; a framework's is in its info */
    uint32_t agent_capabilities;
    const struct resources *total; /* of the agent, not allocated */
    const struct resources *used;  /* by tasks and executors there, allocated or not */
};

/* All rules that do not depend on what is in the pool; includes operation_check(). 0, or -EINVAL
 * with the text of OPERATION_ERROR (or of the operator's 400). */
int operation_validate(
    const Mesos__V1__Offer__Operation *op, const struct operation_context *ctx, struct error *err);

/* ---- the message ---- */

/* In place, strings and nodes in the arena: all resources in the new format, and allocated to the
 * role where they name none (NULL: left alone). Call after operation_check(). */
void operation_upgrade(
    Mesos__V1__Offer__Operation *op, const char *allocation_role, struct arena *arena);

/* A status in the arena; operation_id, message and agent_id may be NULL and are copied. */
Mesos__V1__OperationStatus *operation_status_new(struct arena *arena, const char *operation_id,
    Mesos__V1__OperationState state, const char *message, const char *agent_id);

#endif
