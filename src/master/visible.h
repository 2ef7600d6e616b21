#ifndef DCOS_MASTER_VISIBLE_H
#define DCOS_MASTER_VISIBLE_H

/*
 * What a caller is shown: documents and events leave out what the rules hide.
 *
 * A view is plain data over immutable rules: it can be asked in the copy of the process that
 * renders large documents. A task or an executor is seen only with its framework.
 */

#include "auth/authorizer.h"
#include "master/state.h"

struct view {
    const struct authorizer *authorizer;
    const struct auth_subject *who;                  /* outlives the view */
    bool frameworks, tasks, executors, roles, flags; /* all of them */
};
void view_init(struct view *v, const struct authorizer *authorizer, const struct auth_subject *who);
/* Appends what a document shown to this view depends on, besides the core: part of its key. */
void view_key(const struct view *v, struct buf *out);

/* By the user of the framework, and of the task. */
bool view_framework_user(const struct view *v, const char *user);
bool view_task_user(const struct view *v, const char *framework_user, const char *user);
bool view_framework(const struct view *v, const struct framework *f);
bool view_task(const struct view *v, const struct task *t);
bool view_executor(const struct view *v, const struct executor *e);
bool view_role(const struct view *v, const char *role);
/* Takes out what is reserved for or allocated to roles that are not seen. The array is changed; its
 * new length is returned. */
size_t view_resources(const struct view *v, Mesos__V1__Resource **list, size_t n);
/* The agent's info without the resources that are not seen; itself when all are. */
Mesos__V1__AgentInfo *view_agent_info(
    const struct view *v, Mesos__V1__AgentInfo *info, struct arena *arena);
/* The same for an agent that agent_to_wire() or a decoder made. */
void view_agent(const struct view *v, Mesos__V1__Master__Response__GetAgents__Agent *agent,
    struct arena *arena);

#endif
