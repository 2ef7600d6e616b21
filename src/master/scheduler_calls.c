#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "kernel/role.h"
#include "master/state.h"

/* Calls of frameworks: what makes one valid, who may make it, and the short ones. */

typedef Mesos__V1__Scheduler__Call Call;

static bool has_id(const char *value)
{
    return value && value[0];
}

static int missing(struct error *err, const char *what)
{
    return error_set(err, -EINVAL, "Expecting '%s' to be present", what);
}

static int validate_subscribe(const Call *call, struct error *err)
{
    if (!call->subscribe)
        return missing(err, "subscribe");
    const Mesos__V1__FrameworkInfo *info = call->subscribe->framework_info;
    if (!info)
        return missing(err, "subscribe.framework_info");
    const char *outer = call->framework_id ? call->framework_id->value : NULL;
    const char *inner = info->id ? info->id->value : NULL;
    if (!streq(has_id(outer) ? outer : "", has_id(inner) ? inner : ""))
        return error_set(err, -EINVAL, "'framework_id' differs from 'subscribe.framework_info.id'");
    return 0;
}

static int validate_uuid(bool has, const ProtobufCBinaryData *uuid, struct error *err)
{
    if (!has || uuid->len != 16)
        return error_set(err, -EINVAL, "Not a valid UUID");
    return 0;
}

int master_call_validate(const Call *call, struct error *err)
{
    if (!call->has_type)
        return missing(err, "type");
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE)
        return validate_subscribe(call, err);
    if (!call->framework_id || !has_id(call->framework_id->value))
        return missing(err, "framework_id");
    switch (call->type) {
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT:
        return call->accept ? 0 : missing(err, "accept");
    case MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE:
        return call->decline ? 0 : missing(err, "decline");
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT_INVERSE_OFFERS:
        return call->accept_inverse_offers ? 0 : missing(err, "accept_inverse_offers");
    case MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE_INVERSE_OFFERS:
        return call->decline_inverse_offers ? 0 : missing(err, "decline_inverse_offers");
    case MESOS__V1__SCHEDULER__CALL__TYPE__KILL:
        return call->kill && call->kill->task_id ? 0 : missing(err, "kill");
    case MESOS__V1__SCHEDULER__CALL__TYPE__SHUTDOWN:
        return call->shutdown && call->shutdown->agent_id && call->shutdown->executor_id
                   ? 0
                   : missing(err, "shutdown");
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE:
        if (!call->acknowledge || !call->acknowledge->agent_id || !call->acknowledge->task_id)
            return missing(err, "acknowledge");
        return validate_uuid(call->acknowledge->has_uuid, &call->acknowledge->uuid, err);
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE_OPERATION_STATUS:
        if (!call->acknowledge_operation_status)
            return missing(err, "acknowledge_operation_status");
        if (!call->acknowledge_operation_status->agent_id)
            return missing(err, "acknowledge_operation_status.agent_id");
        return validate_uuid(call->acknowledge_operation_status->has_uuid,
            &call->acknowledge_operation_status->uuid, err);
    case MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE:
        return call->reconcile ? 0 : missing(err, "reconcile");
    case MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE_OPERATIONS:
        return call->reconcile_operations ? 0 : missing(err, "reconcile_operations");
    case MESOS__V1__SCHEDULER__CALL__TYPE__MESSAGE:
        return call->message && call->message->agent_id && call->message->executor_id
                   ? 0
                   : missing(err, "message");
    case MESOS__V1__SCHEDULER__CALL__TYPE__REQUEST:
        return call->request ? 0 : missing(err, "request");
    case MESOS__V1__SCHEDULER__CALL__TYPE__UPDATE_FRAMEWORK: {
        if (!call->update_framework || !call->update_framework->framework_info)
            return missing(err, "update_framework");
        const Mesos__V1__FrameworkInfo *info = call->update_framework->framework_info;
        if (!info->id || !streq(info->id->value, call->framework_id->value))
            return error_set(
                err, -EINVAL, "'framework_id' differs from 'update_framework.framework_info.id'");
        return 0;
    }
    default:
        return 0;
    }
}

/* ---- the short calls ---- */

static void decline(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Decline *d)
{
    int64_t duration = filters_duration_us(d->filters);
    for (size_t i = 0; i < d->n_offer_ids; i++) {
        struct offer *o = d->offer_ids[i]->value ? map_get(&core->offers, d->offer_ids[i]->value)
                                                 : NULL;
        /* Nor one of somebody else, who would be kept from what was offered. */
        if (!o || o->framework != f)
            continue;
        struct client *c = o->client;
        struct agent *a = o->agent;
        _cleanup_resources_ struct resources r = RESOURCES_INIT;
        o->framework->stats.offers_declined++;
        offer_consume(core, o, &r);
        /* Even without a filter it is somebody else's turn for one interval. */
        filter_add(core, c, a, &r, MAX(duration, core->config.allocation_interval_us));
        agent_give_back(core, a, &r);
    }
}

/* Roles of REVIVE and SUPPRESS: all must be valid and subscribed. */
static bool roles_fit(const struct framework *f, char *const *roles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (role_validate(roles[i], NULL) < 0)
            return false;
        const struct client *c = map_get(&f->clients, roles[i]);
        if (!c || !c->subscribed)
            return false;
    }
    return true;
}

static bool among(const char *role, char *const *roles, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (streq(roles[i], role))
            return true;
    return n == 0;
}

static void revive(struct master_core *core, struct framework *f, char *const *roles, size_t n)
{
    if (!roles_fit(f, roles, n))
        return;
    MAP_FOREACH (e, &f->clients) {
        struct client *c = e->value;
        if (!among(c->role->name, roles, n))
            continue;
        filters_clear_client(core, c);
        c->suppressed = false;
        client_refresh(core, c);
    }
    mark_all_dirty(core);
    inverse_revive(core, f);
    core->change++;
}

static void suppress(struct master_core *core, struct framework *f, char *const *roles, size_t n)
{
    if (!roles_fit(f, roles, n))
        return;
    MAP_FOREACH (e, &f->clients) {
        struct client *c = e->value;
        if (!among(c->role->name, roles, n))
            continue;
        c->suppressed = true;
        client_refresh(core, c);
    }
    core->change++;
}

static void kill_task(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Kill *kill)
{
    const char *agent_id = kill->agent_id ? kill->agent_id->value : NULL;
    struct task *t = map_get(&f->tasks, kill->task_id->value);
    if (!t) {
        reconcile_task(core, f, kill->task_id->value, agent_id);
        return;
    }
    if (has_id(agent_id) && !streq(agent_id, t->agent_id->text))
        return;
    t->kill_sent = true;
    free(t->kill_policy);
    t->kill_policy = kill->kill_policy ? packed_new(&kill->kill_policy->base) : NULL;
    task_send_kill(core, t);
}

static void shutdown_executor(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Shutdown *s)
{
    struct agent *a = map_get(&core->agents, s->agent_id->value);
    if (!a)
        return;
    Dcos__Internal__ShutdownExecutor out = DCOS__INTERNAL__SHUTDOWN_EXECUTOR__INIT;
    out.framework_id = f->info->id;
    out.executor_id = s->executor_id;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.shutdown_executor = &out;
    send_agent(core, a, &rec);
}

static void message(
    struct master_core *core, struct framework *f, const Mesos__V1__Scheduler__Call__Message *m)
{
    struct agent *a = map_get(&core->agents, m->agent_id->value);
    if (!a || !agent_connected(a)) {
        core->stats.invalid_to_executor++;
        return;
    }
    core->stats.valid_to_executor++;
    Dcos__Internal__FrameworkMessage out = DCOS__INTERNAL__FRAMEWORK_MESSAGE__INIT;
    out.framework_id = f->info->id;
    out.executor_id = m->executor_id;
    out.has_data = true;
    out.data = m->data;
    Dcos__Internal__MasterRecord rec = DCOS__INTERNAL__MASTER_RECORD__INIT;
    rec.message = &out;
    send_agent(core, a, &rec);
}

static int update_framework(struct master_core *core, struct framework *f,
    const Mesos__V1__Scheduler__Call__UpdateFramework *u, struct error *err)
{
    const Mesos__V1__FrameworkInfo *info = u->framework_info;
    if (framework_info_validate(info, err) < 0 || check_allowed_roles(core, info, err) < 0 ||
        framework_validate_update(f->info, info, err) < 0 ||
        framework_validate_suppressed(info, u->suppressed_roles, u->n_suppressed_roles, err) < 0)
        return 400;
    if (u->offer_constraints && constraints_validate(info, u->offer_constraints, err) < 0)
        return 400;
    if (framework_authorize(core, info, err) < 0)
        return 403;
    bool changed = framework_update_info(core, f, info);
    framework_set_constraints(f, u->offer_constraints);
    framework_set_suppressed(core, f, u->suppressed_roles, u->n_suppressed_roles);
    core->change++; /* constraints are shown, and are no part of the info */
    if (changed)
        operator_framework_updated(core, f);
    mark_all_dirty(core);
    return 200;
}

/* ---- dispatch ---- */

static int check_caller(struct master_core *core, const char *stream_id, const Call *call,
    struct framework **ret, struct error *err)
{
    struct framework *f = find_framework(core, call->framework_id->value);
    if (!f)
        return error_set(err, 400, "Framework cannot be found");
    if (!f->connected)
        return error_set(err, 403, "Framework is not subscribed");
    if (!stream_id)
        return error_set(
            err, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header");
    if (!streq(stream_id, f->stream_id))
        return error_set(err, 400,
            "The stream ID '%.64s' included in this request didn't match the stream ID currently "
            "associated with framework ID %s",
            stream_id, f->id->text);
    *ret = f;
    return 0;
}

int master_core_call(struct master_core *core, const char *stream_id, const Call *call,
    int64_t now_us, struct error *err)
{
    core->now = MAX(core->now, now_us);
    if ((unsigned)call->type < ARRAY_SIZE(core->stats.calls))
        core->stats.calls[call->type]++;
    struct framework *f = NULL;
    int status = check_caller(core, stream_id, call, &f, err);
    if (status)
        return status;
    COUNT_KIND(f->stats.calls, call->type);
    switch (call->type) {
    case MESOS__V1__SCHEDULER__CALL__TYPE__TEARDOWN:
        framework_remove(core, f);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT:
        handle_accept(core, f, call->accept);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE:
        decline(core, f, call->decline);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE:
        revive(core, f, call->revive ? call->revive->roles : NULL,
            call->revive ? call->revive->n_roles : 0);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__SUPPRESS:
        suppress(core, f, call->suppress ? call->suppress->roles : NULL,
            call->suppress ? call->suppress->n_roles : 0);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__KILL:
        kill_task(core, f, call->kill);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__SHUTDOWN:
        shutdown_executor(core, f, call->shutdown);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE:
        handle_acknowledge(core, f, call->acknowledge);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE:
        handle_reconcile(core, f, call->reconcile);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__RECONCILE_OPERATIONS:
        handle_reconcile_operations(core, f, call->reconcile_operations);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__MESSAGE:
        message(core, f, call->message);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__UPDATE_FRAMEWORK:
        return update_framework(core, f, call->update_framework, err);
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT_INVERSE_OFFERS:
        handle_inverse_answer(core, f, call->accept_inverse_offers->inverse_offer_ids,
            call->accept_inverse_offers->n_inverse_offer_ids, call->accept_inverse_offers->filters,
            true);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE_INVERSE_OFFERS:
        handle_inverse_answer(core, f, call->decline_inverse_offers->inverse_offer_ids,
            call->decline_inverse_offers->n_inverse_offer_ids,
            call->decline_inverse_offers->filters, false);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE_OPERATION_STATUS:
        handle_acknowledge_operation(core, f, call->acknowledge_operation_status);
        return 202;
    case MESOS__V1__SCHEDULER__CALL__TYPE__REQUEST:
        return 202; /* the allocator takes no requests */
    default:
        return error_set(err, 501, "Unknown call");
    }
}
