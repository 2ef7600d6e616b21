#include <errno.h>

#include "master/state.h"

/* What frameworks may do, as their principals. The rules are immutable, so that the core asks them
 * itself and stays deterministic. */

bool framework_info_may(const struct master_core *core, const Mesos__V1__FrameworkInfo *info,
    enum auth_action action, const char *object)
{
    const struct auth_subject who = {.principal = info->principal};
    return authorizer_permits(core->config.authorizer, &who, action, object);
}

bool framework_may(const struct master_core *core, const struct framework *f,
    enum auth_action action, const char *object)
{
    return framework_info_may(core, f->info, action, object);
}

int framework_authorize(
    const struct master_core *core, const Mesos__V1__FrameworkInfo *info, struct error *err)
{
    if (!core->config.authorizer)
        return 0;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    const char **roles = framework_roles(info, &arena, &n);
    for (size_t i = 0; i < n; i++)
        if (!framework_info_may(core, info, AUTH_REGISTER_FRAMEWORK, roles[i]))
            return error_set(err, -EACCES, "Not authorized to use role '%s'", roles[i]);
    return 0;
}

int task_authorize(const struct master_core *core, const struct framework *f,
    const Mesos__V1__TaskInfo *task, struct error *err)
{
    const Mesos__V1__CommandInfo *command = task->command    ? task->command
                                            : task->executor ? task->executor->command
                                                             : NULL;
    const char *user = command && command->user ? command->user : f->info->user;
    if (framework_may(core, f, AUTH_RUN_TASK, user))
        return 0;
    return error_set(err, -EACCES, "Not authorized to launch as user '%s'", user ? user : "");
}

/* ---- operations ---- */

/* What the rules ask about: the role of the last reservation, who made it, who made the volume. */
enum object { ROLE, RESERVER, CREATOR };

static const char *object_of(const Mesos__V1__Resource *m, enum object what)
{
    const Mesos__V1__Resource__ReservationInfo *last = m->n_reservations
                                                           ? m->reservations[m->n_reservations - 1]
                                                           : NULL;
    if (what == ROLE)
        return last ? last->role : "*";
    if (what == RESERVER)
        return last ? last->principal : NULL;
    return m->disk && m->disk->persistence ? m->disk->persistence->principal : NULL;
}

struct permission {
    const struct authorizer *authorizer;
    const struct auth_subject *who;
};

static int permitted(const struct permission *p, enum auth_action action, enum object what,
    Mesos__V1__Resource *const *list, size_t n, const char *verb, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!authorizer_permits(p->authorizer, p->who, action, object_of(list[i], what)))
            return error_set(err, -EACCES, "Not authorized to %s as '%s'", verb,
                p->who->principal ? p->who->principal : "ANY");
    return 0;
}

int operation_authorize(const struct authorizer *authorizer, const struct auth_subject *who,
    const Mesos__V1__Offer__Operation *op, struct error *err)
{
    const struct permission p = {authorizer, who};
    switch (op->type) {
    case MESOS__V1__OFFER__OPERATION__TYPE__RESERVE:
        /* What is taken off the source is unreserved; what was not reserved needs no leave. */
        for (size_t i = 0; i < op->reserve->n_source; i++) {
            int r = op->reserve->source[i]->n_reservations
                        ? permitted(&p, AUTH_UNRESERVE_RESOURCES, RESERVER, &op->reserve->source[i],
                              1, "unreserve resources", err)
                        : 0;
            if (r < 0)
                return r;
        }
        return permitted(&p, AUTH_RESERVE_RESOURCES, ROLE, op->reserve->resources,
            op->reserve->n_resources, "reserve resources", err);
    case MESOS__V1__OFFER__OPERATION__TYPE__UNRESERVE:
        return permitted(&p, AUTH_UNRESERVE_RESOURCES, RESERVER, op->unreserve->resources,
            op->unreserve->n_resources, "unreserve resources", err);
    case MESOS__V1__OFFER__OPERATION__TYPE__CREATE:
        return permitted(&p, AUTH_CREATE_VOLUME, ROLE, op->create->volumes, op->create->n_volumes,
            "create persistent volumes", err);
    case MESOS__V1__OFFER__OPERATION__TYPE__DESTROY:
        return permitted(&p, AUTH_DESTROY_VOLUME, CREATOR, op->destroy->volumes,
            op->destroy->n_volumes, "destroy persistent volumes", err);
    case MESOS__V1__OFFER__OPERATION__TYPE__GROW_VOLUME:
        return permitted(
            &p, AUTH_RESIZE_VOLUME, ROLE, &op->grow_volume->volume, 1, "grow the volume", err);
    case MESOS__V1__OFFER__OPERATION__TYPE__SHRINK_VOLUME:
        return permitted(
            &p, AUTH_RESIZE_VOLUME, ROLE, &op->shrink_volume->volume, 1, "shrink the volume", err);
    default:
        return error_set(err, -EACCES, "Not authorized");
    }
}

const char *task_user(const struct task *t, struct arena *arena)
{
    ProtobufCMessage *m;
    unpack_into(&mesos__v1__task__descriptor, t->info, arena, &m);
    const char *user = ((const Mesos__V1__Task *)m)->user;
    return user ? user : t->framework->info->user ? t->framework->info->user : "";
}

const char *master_core_framework_principal(
    const struct master_core *core, const char *framework_id)
{
    const struct framework *f = map_get(&core->frameworks, framework_id);
    return !f ? NULL : f->info->principal ? f->info->principal : "";
}
