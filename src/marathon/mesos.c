/* Between the scheduler API's messages and the core's plain records. */

#include "base/alloc.h"
#include "base/base64.h"
#include "base/log.h"
#include "marathon/core_internal.h"
#include "marathon/shell.h"
#include "wire/codec.h"

enum { EXIT_FRAMEWORK_REMOVED = 110 };

/* ---- framework ---- */

static Mesos__V1__FrameworkInfo *framework_info(struct shell *s, struct arena *arena)
{
    const struct core_options *o = &s->options;
    json_t *info = json_pack("{s:s,s:s,s:f,s:b,s:o,s:s,s:s,s:[{s:s},{s:s},{s:s}]}", "user",
        o->mesos_user, "name", o->framework_name, "failover_timeout",
        (double)o->failover_timeout_us / 1e6, "checkpoint", 1, "roles",
        queue_framework_roles(s->core), "hostname", o->hostname, "webui_url", o->webui_url,
        "capabilities", "type", "PARTITION_AWARE", "type", "MULTI_ROLE", "type", "REGION_AWARE");
    if (o->task_killing)
        json_array_append_new(json_object_get(info, "capabilities"),
            json_pack("{s:s}", "type", "TASK_KILLING_STATE"));
    if (o->principal)
        json_object_set_new(info, "principal", json_string(o->principal));
    if (s->core->framework_id)
        json_object_set_new(info, "id", json_pack("{s:s}", "value", s->core->framework_id));
    ProtobufCMessage *m = NULL;
    struct error err = ERROR_INIT;
    if (wire_from_json(&mesos__v1__framework_info__descriptor, arena, info, &m, &err) < 0)
        log_error("cannot describe the framework error=%s", err.msg);
    json_decref(info);
    return (Mesos__V1__FrameworkInfo *)m;
}

static void fill_subscribe(Mesos__V1__Scheduler__Call *call, struct arena *arena, void *userdata)
{
    struct shell *s = userdata;
    Mesos__V1__Scheduler__Call__Subscribe *subscribe = arena_new(
        arena, Mesos__V1__Scheduler__Call__Subscribe);
    mesos__v1__scheduler__call__subscribe__init(subscribe);
    subscribe->framework_info = framework_info(s, arena);
    call->subscribe = subscribe;
    if (subscribe->framework_info)
        call->framework_id = subscribe->framework_info->id;
}

void mesos_call(struct shell *s, const char *json)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    ProtobufCMessage *m = NULL;
    if (wire_parse_json(
            &mesos__v1__scheduler__call__descriptor, &arena, json, strlen(json), &m, &err) < 0) {
        log_error("cannot encode a call error=%s", err.msg);
        return;
    }
    Mesos__V1__Scheduler__Call *call = (Mesos__V1__Scheduler__Call *)m;
    if (call->type == MESOS__V1__SCHEDULER__CALL__TYPE__UPDATE_FRAMEWORK && call->update_framework)
        call->update_framework->framework_info = framework_info(s, &arena);
    /* Without a subscription the call is moot: offers are void, and kills and reconciliation are
     * made again once there is one. */
    (void)scheduler_client_call(s->scheduler, call);
}

/* ---- offers ---- */

static json_t *message_json(const ProtobufCMessage *m)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    wire_to_json(&w, m);
    return json_loadb(text.p, text.n, 0, NULL);
}

static const char *role_of(const Mesos__V1__Resource *r)
{
    if (r->n_reservations > 0 && r->reservations[r->n_reservations - 1]->role)
        return r->reservations[r->n_reservations - 1]->role;
    return r->role ? r->role : "*";
}

static bool resident(const Mesos__V1__Resource__ReservationInfo *i)
{
    for (size_t k = 0; i && i->labels && k < i->labels->n_labels; k++)
        if (streq(i->labels->labels[k]->key, "marathon_task_id"))
            return true;
    return false;
}

static void add_resource(struct offer *o, const Mesos__V1__Resource *r)
{
    struct offer_resource out = {.name = r->name ? r->name : "", .role = role_of(r)};
    out.usable = !r->disk && !r->revocable && !resident(r->reservation);
    for (size_t k = 0; k < r->n_reservations; k++)
        out.usable = out.usable && !resident(r->reservations[k]);
    if (r->scalar)
        out.milli = (int64_t)(r->scalar->value * 1000 + 0.5);
    for (size_t k = 0; r->ranges && k < r->ranges->n_range; k++) {
        const Mesos__V1__Value__Range *range = r->ranges->range[k];
        if (range->begin <= range->end && range->end <= 65535)
            vec_push(&out.ranges, (struct port_range){(int32_t)range->begin, (int32_t)range->end});
    }
    json_t *form = message_json(&r->base);
    json_object_del(form, "scalar");
    json_object_del(form, "ranges");
    json_object_del(form, "set");
    out.form = form;
    vec_push(&o->resources, out);
}

static json_t *attributes_json(const Mesos__V1__Offer *offer)
{
    json_t *list = json_array();
    for (size_t k = 0; k < offer->n_attributes; k++) {
        const Mesos__V1__Attribute *a = offer->attributes[k];
        _cleanup_buf_ struct buf text = BUF_INIT;
        if (a->text) {
            buf_puts(&text, a->text->value ? a->text->value : "");
        } else if (a->scalar) {
            constraint_scalar_text(a->scalar->value, &text);
        } else if (a->ranges) {
            buf_putc(&text, '[');
            for (size_t j = 0; j < a->ranges->n_range; j++)
                buf_printf(&text, "%s%llu-%llu", j ? "," : "",
                    (unsigned long long)a->ranges->range[j]->begin,
                    (unsigned long long)a->ranges->range[j]->end);
            buf_putc(&text, ']');
        } else if (a->set) {
            buf_putc(&text, '{');
            for (size_t j = 0; j < a->set->n_item; j++)
                buf_printf(&text, "%s%s", j ? "," : "", a->set->item[j]);
            buf_putc(&text, '}');
        }
        json_t *one = json_pack(
            "{s:s,s:s}", "name", a->name ? a->name : "", "text", buf_cstr(&text));
        if (one)
            json_array_append_new(list, one);
    }
    return list;
}

static void handle_offer(struct shell *s, const Mesos__V1__Offer *in)
{
    struct offer o = {.local_region = true, .role = s->options.mesos_role};
    if (!in->id || !in->id->value || !in->agent_id || !in->agent_id->value || !in->hostname)
        return;
    o.id = in->id->value;
    o.agent_id = in->agent_id->value;
    o.hostname = in->hostname;
    if (in->allocation_info && in->allocation_info->role)
        o.role = in->allocation_info->role;
    const Mesos__V1__DomainInfo__FaultDomain *f = in->domain ? in->domain->fault_domain : NULL;
    if (f && f->region)
        o.region = f->region->name;
    if (f && f->zone)
        o.zone = f->zone->name;
    o.local_region = !o.region || !s->master_region || streq(o.region, s->master_region);
    json_t *attributes = attributes_json(in);
    o.attributes = attributes;
    for (size_t k = 0; k < in->n_resources; k++)
        add_resource(&o, in->resources[k]);
    core_offer(s->core, &o, shell_now(s));
    VEC_FOREACH (r, &o.resources) {
        json_decref((json_t *)(uintptr_t)r->form);
        vec_done(&r->ranges);
    }
    vec_done(&o.resources);
    json_decref(attributes);
}

/* ---- status updates ---- */

static json_t *ips_json(const Mesos__V1__TaskStatus *st)
{
    const Mesos__V1__ContainerStatus *c = st->container_status;
    json_t *list = NULL;
    for (size_t k = 0; c && k < c->n_network_infos; k++)
        for (size_t j = 0; j < c->network_infos[k]->n_ip_addresses; j++) {
            const Mesos__V1__NetworkInfo__IPAddress *ip = c->network_infos[k]->ip_addresses[j];
            if (!ip->ip_address)
                continue;
            if (!list)
                list = json_array();
            bool v6 = strchr(ip->ip_address, ':') != NULL;
            json_array_append_new(list, json_pack("{s:s,s:s}", "ipAddress", ip->ip_address,
                                            "protocol", v6 ? "IPv6" : "IPv4"));
        }
    return list;
}

static json_t *check_json(const Mesos__V1__TaskStatus *st)
{
    const Mesos__V1__CheckStatusInfo *c = st->check_status;
    if (!c)
        return NULL;
    if (c->http && c->http->has_status_code)
        return json_pack("{s:{s:i}}", "http", "statusCode", (int)c->http->status_code);
    if (c->tcp && c->tcp->has_succeeded)
        return json_pack("{s:{s:b}}", "tcp", "succeeded", c->tcp->succeeded);
    if (c->command && c->command->has_exit_code)
        return json_pack("{s:{s:i}}", "command", "exitCode", (int)c->command->exit_code);
    return NULL;
}

static const char *enum_name(const ProtobufCEnumDescriptor *d, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    return v ? v->name : NULL;
}

static void handle_status(struct shell *s, const Mesos__V1__TaskStatus *in)
{
    _cleanup_buf_ struct buf uuid = BUF_INIT;
    struct core_status st = {.healthy = -1};
    if (!in->task_id || !in->task_id->value || !in->has_state)
        return;
    st.task_id = in->task_id->value;
    st.state = enum_name(&mesos__v1__task_state__descriptor, in->state);
    if (!st.state)
        return;
    if (in->has_reason)
        st.reason = enum_name(&mesos__v1__task_status__reason__descriptor, in->reason);
    st.message = in->message;
    st.agent_id = in->agent_id ? in->agent_id->value : NULL;
    if (in->has_uuid && in->uuid.len > 0) {
        base64_encode(
            &uuid, (struct str){(const char *)in->uuid.data, in->uuid.len}.p, in->uuid.len);
        st.uuid = uuid.p;
    }
    if (in->has_healthy)
        st.healthy = in->healthy != 0;
    _cleanup_json_ json_t *ips = ips_json(in);
    _cleanup_json_ json_t *check = check_json(in);
    st.ips = ips;
    st.check_result = check;
    log_info("task update task=%s state=%s agent=%s message=%.200s", st.task_id, st.state,
        st.agent_id ? st.agent_id : "", st.message ? st.message : "");
    core_status(s->core, &st, shell_now(s));
}

/* ---- events ---- */

static void framework_message(struct shell *s, const Mesos__V1__Scheduler__Event__Message *m)
{
    struct event e;
    event_begin(&e, "framework_message_event");
    jw_field_string(&e.w, "executorId", m->executor_id ? m->executor_id->value : "");
    jw_field_string(&e.w, "slaveId", m->agent_id ? m->agent_id->value : "");
    jw_key(&e.w, "message");
    jw_begin_array(&e.w);
    for (size_t k = 0; m->has_data && k < m->data.len; k++)
        jw_i64(&e.w, (int8_t)m->data.data[k]);
    jw_end_array(&e.w);
    s->core->now_us = shell_now(s);
    event_end(s->core, &e);
}

static void on_subscribed(struct shell *s, const Mesos__V1__Scheduler__Event__Subscribed *e)
{
    const Mesos__V1__MasterInfo *m = e->master_info;
    const Mesos__V1__DomainInfo__FaultDomain *f = m && m->domain ? m->domain->fault_domain : NULL;
    free(s->master_region);
    s->master_region = f && f->region && f->region->name ? xstrdup(f->region->name) : NULL;
    log_info("subscribed framework=%s master=%s", e->framework_id->value,
        scheduler_client_master(s->scheduler));
    core_subscribed(
        s->core, e->framework_id->value, scheduler_client_master(s->scheduler), shell_now(s));
}

static void on_event(const Mesos__V1__Scheduler__Event *e, void *userdata)
{
    struct shell *s = userdata;
    switch (e->type) {
    case MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED:
        on_subscribed(s, e->subscribed);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS:
        for (size_t k = 0; e->offers && k < e->offers->n_offers; k++)
            handle_offer(s, e->offers->offers[k]);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE:
        if (e->update && e->update->status)
            handle_status(s, e->update->status);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__MESSAGE:
        if (e->message)
            framework_message(s, e->message);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__ERROR: {
        const char *text = e->error && e->error->message ? e->error->message : "";
        log_error("the master refuses the framework error=%s", text);
        if (strstr(text, "Framework has been removed")) {
            shell_fail(s, "the framework was removed", text);
            s->failure = EXIT_FRAMEWORK_REMOVED;
        }
        break;
    }
    default:
        break; /* rescinded offers are answered for already; failures come as updates too */
    }
    shell_wake(s);
}

static void on_disconnected(const char *reason, void *userdata)
{
    struct shell *s = userdata;
    log_warn("disconnected from the master reason=%s", reason);
    core_disconnected(s->core, shell_now(s));
    shell_wake(s);
}

static void on_refused(int status, const char *text, void *userdata)
{
    log_warn("the master refused status=%d text=%s", status, text);
}

const struct scheduler_handlers mesos_handlers = {.fill_subscribe = fill_subscribe,
    .on_event = on_event,
    .on_disconnected = on_disconnected,
    .on_refused = on_refused};
