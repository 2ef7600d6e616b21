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
