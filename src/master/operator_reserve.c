#include <errno.h>

#include "base/alloc.h"
#include "base/log.h"
#include "json/json.h"
#include "kernel/operation.h"
#include "master/shell.h"
#include "master/state.h"
#include "wire/codec.h"

/* Reservations and volumes by operators: calls of the v1 API and the older endpoints. */

typedef Mesos__V1__Offer__Operation Operation;
#define TYPE(name) MESOS__V1__OFFER__OPERATION__TYPE__##name

/* ---- the operation ---- */

static void operate(struct operator_call *c, const char *agent_id, Operation *op)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    op->has_type = true;
    int r = master_core_check_operation(s->core, agent_id, op, c->who.principal, &err);
    if (r < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    operation_upgrade(op, NULL, &c->req->arena);
    operator_object(c, agent_id);
    if (operation_authorize(s->authorizer, &c->who, op, &err) < 0) {
        http_respond_text(c->req, 403, "%s", err.msg);
        return;
    }
    uint64_t before = master_core_last_mutation(s->core);
    r = master_core_apply_operation(s->core, agent_id, op, shell_now(s), &err);
    if (r < 0) {
        http_respond_text(c->req, r == -EBUSY ? 409 : 400, "%s", err.msg);
        return;
    }
    log_info("operation of an operator type=%s agent=%s principal=%s",
        operation_type_name(op->type), agent_id, c->who.principal ? c->who.principal : "");
    operator_done(c, before, 202);
}

static void reserve_list(struct operator_call *c, const char *agent_id,
    Mesos__V1__Resource **resources, size_t n, Mesos__V1__Resource **source, size_t n_source)
{
    Mesos__V1__Offer__Operation__Reserve reserve = MESOS__V1__OFFER__OPERATION__RESERVE__INIT;
    reserve.resources = resources;
    reserve.n_resources = n;
    reserve.source = source;
    reserve.n_source = n_source;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(RESERVE);
    op.reserve = &reserve;
    operate(c, agent_id, &op);
}

static void unreserve_list(
    struct operator_call *c, const char *agent_id, Mesos__V1__Resource **resources, size_t n)
{
    Mesos__V1__Offer__Operation__Unreserve unreserve = MESOS__V1__OFFER__OPERATION__UNRESERVE__INIT;
    unreserve.resources = resources;
    unreserve.n_resources = n;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(UNRESERVE);
    op.unreserve = &unreserve;
    operate(c, agent_id, &op);
}

static void create_list(
    struct operator_call *c, const char *agent_id, Mesos__V1__Resource **volumes, size_t n)
{
    Mesos__V1__Offer__Operation__Create create = MESOS__V1__OFFER__OPERATION__CREATE__INIT;
    create.volumes = volumes;
    create.n_volumes = n;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(CREATE);
    op.create = &create;
    operate(c, agent_id, &op);
}

static void destroy_list(
    struct operator_call *c, const char *agent_id, Mesos__V1__Resource **volumes, size_t n)
{
    Mesos__V1__Offer__Operation__Destroy destroy = MESOS__V1__OFFER__OPERATION__DESTROY__INIT;
    destroy.volumes = volumes;
    destroy.n_volumes = n;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(DESTROY);
    op.destroy = &destroy;
    operate(c, agent_id, &op);
}

/* ---- calls of the v1 API ---- */

void operator_reserve_resources(struct operator_call *c)
{
    const Mesos__V1__Master__Call__ReserveResources *m = c->call->reserve_resources;
    reserve_list(c, m->agent_id->value, m->resources, m->n_resources, m->source, m->n_source);
}

void operator_unreserve_resources(struct operator_call *c)
{
    const Mesos__V1__Master__Call__UnreserveResources *m = c->call->unreserve_resources;
    unreserve_list(c, m->agent_id->value, m->resources, m->n_resources);
}

void operator_create_volumes(struct operator_call *c)
{
    const Mesos__V1__Master__Call__CreateVolumes *m = c->call->create_volumes;
    create_list(c, m->agent_id->value, m->volumes, m->n_volumes);
}

void operator_destroy_volumes(struct operator_call *c)
{
    const Mesos__V1__Master__Call__DestroyVolumes *m = c->call->destroy_volumes;
    destroy_list(c, m->agent_id->value, m->volumes, m->n_volumes);
}

void operator_grow_volume(struct operator_call *c)
{
    const Mesos__V1__Master__Call__GrowVolume *m = c->call->grow_volume;
    Mesos__V1__Offer__Operation__GrowVolume grow = MESOS__V1__OFFER__OPERATION__GROW_VOLUME__INIT;
    grow.volume = m->volume;
    grow.addition = m->addition;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(GROW_VOLUME);
    op.grow_volume = &grow;
    operate(c, m->agent_id ? m->agent_id->value : NULL, &op);
}

void operator_shrink_volume(struct operator_call *c)
{
    const Mesos__V1__Master__Call__ShrinkVolume *m = c->call->shrink_volume;
    Mesos__V1__Offer__Operation__ShrinkVolume shrink =
        MESOS__V1__OFFER__OPERATION__SHRINK_VOLUME__INIT;
    shrink.volume = m->volume;
    shrink.subtract = m->subtract;
    Operation op = MESOS__V1__OFFER__OPERATION__INIT;
    op.type = TYPE(SHRINK_VOLUME);
    op.shrink_volume = &shrink;
    operate(c, m->agent_id ? m->agent_id->value : NULL, &op);
}

/* Only operations on roles the caller may see. */
static bool sees(const struct operator_call *c, const Operation *op)
{
    _cleanup_operation_change_ struct operation_change change = OPERATION_CHANGE_INIT;
    if (operation_convert(op, NULL, &change, NULL) < 0)
        return true;
    RESOURCES_FOREACH(x, &change.consumed)
    if (x->kind->n_reservations && !view_role(&c->view, x->kind->role))
        return false;
    return true;
}

void operator_get_operations(struct operator_call *c)
{
    const struct master_core *core = c->s->core;
    struct arena *arena = &c->req->arena;
    Mesos__V1__Master__Response__GetOperations list =
        MESOS__V1__MASTER__RESPONSE__GET_OPERATIONS__INIT;
    list.operations = arena_new_array(
        arena, Mesos__V1__Operation *, map_size(&core->operations) + 1);
    MAP_FOREACH (e, &core->operations) {
        Mesos__V1__Operation *w = operation_to_wire(e->value, arena);
        if (sees(c, w->info))
            list.operations[list.n_operations++] = w;
    }
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_OPERATIONS;
    r.get_operations = &list;
    operator_respond(c, &r);
}

/* ---- the older endpoints: a form with the agent's id and lists in JSON ---- */

struct form {
    struct http_params params;
    const char *agent_id;
    Mesos__V1__Resource **items, **source;
    size_t n, n_source;
};

static int parse_list(struct operator_call *c, struct str text, Mesos__V1__Resource ***ret,
    size_t *ret_n, struct error *err)
{
    struct arena *arena = &c->req->arena;
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(text.p, text.n, &doc, err);
    if (r < 0)
        return r;
    if (!json_is_array(doc))
        return error_set(err, -EINVAL, "expected an array");
    size_t n = json_array_size(doc);
    if (n > RESOURCES_MAX)
        return error_set(err, -EINVAL, "more than %d resources", RESOURCES_MAX);
    *ret = arena_new_array(arena, Mesos__V1__Resource *, n + 1);
    for (size_t i = 0; i < n; i++) {
        ProtobufCMessage *m;
        r = wire_from_json(
            &mesos__v1__resource__descriptor, arena, json_array_get(doc, i), &m, err);
        if (r == 0)
            r = wire_check_required(m, err);
        if (r < 0)
            return r;
        (*ret)[i] = (Mesos__V1__Resource *)m;
    }
    *ret_n = n;
    return 0;
}

static bool parse_field(struct operator_call *c, const struct form *form, const char *name,
    bool required, Mesos__V1__Resource ***ret, size_t *ret_n)
{
    struct str text = http_params_get(&form->params, name);
    if (!text.p) {
        if (required)
            http_respond_text(
                c->req, 400, "Missing '%s' query parameter in the request body", name);
        return !required;
    }
    struct error err = ERROR_INIT;
    if (parse_list(c, text, ret, ret_n, &err) == 0)
        return true;
    http_respond_text(c->req, 400, "Error in parsing '%s' query parameter in the request body: %s",
        name, err.msg);
    return false;
}

/* Answers itself when the form is not as it should be. */
static bool parse_form(
    struct operator_call *c, const char *list, bool with_source, struct form *ret)
{
    *ret = (struct form){0};
    if (http_params_parse(c->req->body, &c->req->arena, &ret->params) < 0) {
        http_respond_text(c->req, 400, "Unable to decode query string");
        return false;
    }
    struct str id = http_params_get(&ret->params, "slaveId");
    if (!id.p) {
        http_respond_text(c->req, 400, "Missing 'slaveId' query parameter in the request body");
        return false;
    }
    ret->agent_id = arena_strndup(&c->req->arena, id.p, id.n);
    return parse_field(c, ret, list, true, &ret->items, &ret->n) &&
           (!with_source || parse_field(c, ret, "source", false, &ret->source, &ret->n_source));
}

void endpoint_reserve(struct operator_call *c)
{
    struct form form;
    if (parse_form(c, "resources", true, &form))
        reserve_list(c, form.agent_id, form.items, form.n, form.source, form.n_source);
}

void endpoint_unreserve(struct operator_call *c)
{
    struct form form;
    if (parse_form(c, "resources", false, &form))
        unreserve_list(c, form.agent_id, form.items, form.n);
}

void endpoint_create_volumes(struct operator_call *c)
{
    struct form form;
    if (parse_form(c, "volumes", false, &form))
        create_list(c, form.agent_id, form.items, form.n);
}

void endpoint_destroy_volumes(struct operator_call *c)
{
    struct form form;
    if (parse_form(c, "volumes", false, &form))
        destroy_list(c, form.agent_id, form.items, form.n);
}
