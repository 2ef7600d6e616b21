#include <errno.h>

#include "base/log.h"
#include "master/shell.h"
#include "wire/codec.h"

/* Maintenance: calls of the v1 API, /maintenance/schedule, /maintenance/status, /machine/down, /up.
 */

typedef Mesos__V1__MachineID MachineID;
typedef Mesos__V1__Maintenance__Schedule Schedule;

enum { MACHINES_MAX = 100000 }; /* in one call */

/* ---- the deeds ---- */

static void update_schedule(struct operator_call *c, const Schedule *schedule)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (!operator_may(c, AUTH_UPDATE_MAINTENANCE_SCHEDULE, NULL))
        return;
    uint64_t before = master_core_last_mutation(s->core);
    if (master_core_update_schedule(s->core, schedule, shell_now(s), &err) < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    log_info("maintenance schedule updated windows=%zu", schedule->n_windows);
    operator_done(c, before, 200);
}

static void change_machines(
    struct operator_call *c, MachineID *const *machines, size_t n, bool down)
{
    struct shell *s = c->s;
    struct error err = ERROR_INIT;
    if (!operator_may(c, down ? AUTH_START_MAINTENANCE : AUTH_STOP_MAINTENANCE, NULL))
        return;
    uint64_t before = master_core_last_mutation(s->core);
    int r = down ? master_core_start_maintenance(s->core, machines, n, shell_now(s), &err)
                 : master_core_stop_maintenance(s->core, machines, n, shell_now(s), &err);
    if (r < 0) {
        http_respond_text(c->req, 400, "%s", err.msg);
        return;
    }
    log_info("maintenance %s machines=%zu", down ? "begins" : "ends", n);
    operator_done(c, before, 200);
}

/* ---- v1 calls ---- */

void operator_update_schedule(struct operator_call *c)
{
    update_schedule(c, c->call->update_maintenance_schedule->schedule);
}

void operator_start_maintenance(struct operator_call *c)
{
    const Mesos__V1__Master__Call__StartMaintenance *start = c->call->start_maintenance;
    change_machines(c, start->machines, start->n_machines, true);
}

void operator_stop_maintenance(struct operator_call *c)
{
    const Mesos__V1__Master__Call__StopMaintenance *stop = c->call->stop_maintenance;
    change_machines(c, stop->machines, stop->n_machines, false);
}

/* Who may not see machines is shown none. */
static const Schedule *visible_schedule(struct operator_call *c)
{
    static const Schedule none = MESOS__V1__MAINTENANCE__SCHEDULE__INIT;
    return operator_sees(c, AUTH_GET_MAINTENANCE_SCHEDULE, NULL) ? master_core_schedule(c->s->core)
                                                                 : &none;
}

static const Mesos__V1__Maintenance__ClusterStatus *visible_status(struct operator_call *c)
{
    static const Mesos__V1__Maintenance__ClusterStatus none =
        MESOS__V1__MAINTENANCE__CLUSTER_STATUS__INIT;
    return operator_sees(c, AUTH_GET_MAINTENANCE_STATUS, NULL)
               ? master_core_maintenance_status(c->s->core, &c->req->arena)
               : &none;
}

void operator_get_schedule(struct operator_call *c)
{
    Mesos__V1__Master__Response__GetMaintenanceSchedule get =
        MESOS__V1__MASTER__RESPONSE__GET_MAINTENANCE_SCHEDULE__INIT;
    get.schedule = (Schedule *)(uintptr_t)visible_schedule(c);
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_MAINTENANCE_SCHEDULE;
    r.get_maintenance_schedule = &get;
    operator_respond(c, &r);
}

void operator_get_maintenance_status(struct operator_call *c)
{
    Mesos__V1__Master__Response__GetMaintenanceStatus get =
        MESOS__V1__MASTER__RESPONSE__GET_MAINTENANCE_STATUS__INIT;
    get.status = (Mesos__V1__Maintenance__ClusterStatus *)(uintptr_t)visible_status(c);
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_MAINTENANCE_STATUS;
    r.get_maintenance_status = &get;
    operator_respond(c, &r);
}

/* ---- endpoints ---- */

static void respond_json(struct operator_call *c, const ProtobufCMessage *m)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    wire_to_json(&w, m);
    http_respond(c->req, 200, "application/json", body.p, body.n);
}

static bool read_message(struct operator_call *c, const ProtobufCMessageDescriptor *type,
    const json_t *json, ProtobufCMessage **ret)
{
    struct error err = ERROR_INIT;
    int r = wire_from_json(type, &c->req->arena, json, ret, &err);
    if (r >= 0)
        r = wire_check_required(*ret, &err);
    if (r < 0)
        http_respond_text(c->req, 400, "Failed to convert JSON into protobuf: %s", err.msg);
    return r >= 0;
}

/* The body as JSON, owned by the caller; NULL after an answer. */
static json_t *read_json(struct operator_call *c)
{
    struct error err = ERROR_INIT;
    json_t *json;
    if (json_parse(c->req->body.p, c->req->body.n, &json, &err) < 0) {
        http_respond_text(c->req, 400, "Failed to parse the body as JSON: %s", err.msg);
        return NULL;
    }
    return json;
}

void maintenance_schedule_endpoint(struct operator_call *c)
{
    if (c->req->method != HTTP_POST) {
        respond_json(c, &visible_schedule(c)->base);
        return;
    }
    json_t *json = read_json(c);
    if (!json)
        return;
    ProtobufCMessage *m;
    if (!json_is_object(json))
        http_respond_text(c->req, 400, "Expecting a JSON object with 'windows'");
    else if (read_message(c, &mesos__v1__maintenance__schedule__descriptor, json, &m))
        update_schedule(c, (const Schedule *)m);
    json_decref(json);
}

void maintenance_status_endpoint(struct operator_call *c)
{
    respond_json(c, &visible_status(c)->base);
}

static bool read_machines(
    struct operator_call *c, const json_t *json, MachineID ***ret, size_t *ret_n)
{
    if (!json_is_array(json) || json_array_size(json) > MACHINES_MAX) {
        http_respond_text(c->req, 400, "Expecting a JSON array of machines");
        return false;
    }
    size_t n = json_array_size(json);
    MachineID **list = arena_new_array(&c->req->arena, MachineID *, n + 1);
    for (size_t i = 0; i < n; i++) {
        ProtobufCMessage *m;
        if (!read_message(c, &mesos__v1__machine_id__descriptor, json_array_get(json, i), &m))
            return false;
        list[i] = (MachineID *)m;
    }
    *ret = list;
    *ret_n = n;
    return true;
}

static void machines_endpoint(struct operator_call *c, bool down)
{
    json_t *json = read_json(c);
    if (!json)
        return;
    MachineID **machines;
    size_t n;
    if (read_machines(c, json, &machines, &n))
        change_machines(c, machines, n, down);
    json_decref(json);
}

void machine_down_endpoint(struct operator_call *c)
{
    machines_endpoint(c, true);
}

void machine_up_endpoint(struct operator_call *c)
{
    machines_endpoint(c, false);
}
