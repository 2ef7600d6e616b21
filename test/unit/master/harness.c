#include "harness.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/parse.h"
#include "wire/codec.h"

struct harness *harness_new(const struct master_config *config)
{
    struct harness *h = xnew(struct harness);
    if (config) {
        h->config = *config;
    } else {
        /* Tests that are not about it let agents be silent for a minute. */
        master_config_defaults(&h->config);
        h->config.agent_ping_timeout_us = 15 * SECOND;
        h->config.max_agent_ping_timeouts = 5;
    }
    h->now = INT64_C(1700000000000000);
    harness_failover(h);
    return h;
}

static void clear_outs(struct harness *h)
{
    VEC_FOREACH (o, &h->outs)
        json_decref(o->message);
    vec_clear(&h->outs);
}

static void entry_free(struct entry *e)
{
    if (e) {
        free(e->key);
        free(e->value);
        free(e);
    }
}

void harness_free(struct harness *h)
{
    clear_outs(h);
    vec_done(&h->outs);
    master_core_free(h->core);
    MAP_FOREACH (e, &h->disk)
        entry_free(e->value);
    map_done(&h->disk);
    free(h);
}

void harness_failover(struct harness *h)
{
    clear_outs(h);
    master_core_free(h->core);
    h->core = master_core_new(&h->config);
    h->durable = 0;
    h->hold = false;
    MAP_FOREACH (e, &h->disk) {
        struct entry *entry = e->value;
        assert_int_equal(master_core_restore(h->core, entry->key, entry->value, entry->n, NULL), 0);
    }
    char id[16];
    snprintf(id, sizeof(id), "M%d", (int)++h->epoch);
    master_core_start(h->core, h->epoch, id, h->now);
    harness_pump(h);
}

json_t *harness_json(const ProtobufCMessage *m)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    wire_to_json(&w, m);
    json_t *json;
    assert_int_equal(json_parse(text.p, text.n, &json, NULL), 0);
    return json;
}

static json_t *to_json(const struct master_effect *e)
{
    const ProtobufCMessageDescriptor *type = e->type == EFFECT_AGENT_SEND
                                                 ? &dcos__internal__master_record__descriptor
                                             : e->type == EFFECT_SCHEDULER_SEND
                                                 ? &mesos__v1__scheduler__event__descriptor
                                                 : &mesos__v1__master__event__descriptor;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    assert_int_equal(wire_unpack(type, &arena, e->data, e->n, &m, NULL), 0);
    return harness_json(m);
}

void harness_pump(struct harness *h)
{
    struct master_mutation *m;
    while (!h->hold && (m = master_core_take_mutation(h->core))) {
        h->durable = m->number;
        entry_free(map_remove(&h->disk, m->key));
        if (!m->remove) {
            struct entry *e = xnew(struct entry);
            *e = (struct entry){xstrdup(m->key), xmemdup(m->value, m->n), m->n};
            map_put(&h->disk, e->key, e);
        }
        free(m);
    }
    struct master_effect *e;
    while ((e = master_core_take_effect(h->core, h->durable))) {
        bool has_message = e->type != EFFECT_AGENT_CLOSE && e->type != EFFECT_SCHEDULER_CLOSE;
        struct out o = {e->type, e->peer, has_message ? to_json(e) : NULL, false};
        vec_push(&h->outs, o);
        free(e);
    }
    master_core_check(h->core);
}

void harness_pass(struct harness *h, int64_t us)
{
    int64_t end = h->now + us;
    for (;;) {
        int64_t next = master_core_next_deadline(h->core);
        if (next > end)
            break;
        h->now = next > h->now ? next : h->now;
        master_core_tick(h->core, h->now);
        harness_pump(h);
    }
    h->now = end;
    master_core_tick(h->core, h->now);
    harness_pump(h);
}

/* ---- in ---- */

ProtobufCMessage *harness_parse(
    const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text)
{
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (wire_parse_json(type, arena, text, strlen(text), &m, &err) < 0)
        fail_msg("%s in %s", err.msg, text);
    return m;
}

void harness_agent_record(struct harness *h, uint64_t link, const char *fmt, ...)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    const ProtobufCMessage *m = harness_parse(
        &dcos__internal__agent_record__descriptor, &arena, buf_cstr(&text));
    master_core_agent_record(h->core, link, (const Dcos__Internal__AgentRecord *)m, h->now);
    harness_pump(h);
}

const char *harness_agent(struct harness *h, uint64_t link, const char *hostname,
    const char *resources_json, const char *extra_json)
{
    harness_agent_record(h, link, "{\"hello\":{\"major\":1}}");
    take(h, link, "hello");
    harness_agent_record(h, link,
        "{\"register\":{%s\"agent_info\":{\"hostname\":\"%s\",\"port\":5051,\"resources\":%s%s}}",
        extra_json && strstr(extra_json, "\"capabilities\"")
            ? ""
            : "\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":\"HIERARCHICAL_ROLE\"}],",
        hostname, resources_json, extra_json ? extra_json : "},\"version\":\"1\"");
    if (pending(h, link, "refused"))
        return NULL;
    return str_at(take(h, link, "registered"), "registered.agent_id.value");
}

const char *harness_register(
    struct harness *h, uint64_t link, const char *agent_id, const char *hostname, const char *more)
{
    _cleanup_free_ char *id = agent_id ? xasprintf("\"id\":{\"value\":\"%s\"},", agent_id)
                                       : xstrdup("");
    harness_agent_record(h, link, "{\"hello\":{\"major\":1}}");
    harness_agent_record(h, link,
        "{\"register\":{\"agent_info\":{%s\"hostname\":\"%s\",\"port\":5051,\"resources\":" RES(
            "4", "1000") "},\"version\":\"1.11.0\",\"ip\":\"10.0.0.1\",\"capabilities\":[{"
                         "\"type\":\"AGENT_DRAINING\"}]%s}}",
        id, hostname, more ? more : "");
    if (pending(h, link, "refused"))
        return NULL;
    return str_at(take(h, link, "registered"), "registered.agent_id.value");
}

void harness_agent_closed(struct harness *h, uint64_t link)
{
    master_core_agent_closed(h->core, link, h->now);
    harness_pump(h);
}

const char *harness_subscribe(struct harness *h, uint64_t stream, const char *info_json)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":%s}}", info_json);
    Mesos__V1__Scheduler__Call *call = (Mesos__V1__Scheduler__Call *)harness_parse(
        &mesos__v1__scheduler__call__descriptor, &arena, buf_cstr(&text));
    call->framework_id = call->subscribe->framework_info->id;
    struct error err = ERROR_INIT;
    if (master_call_validate(call, &err) < 0)
        fail_msg("%s", err.msg);
    char stream_id[16];
    snprintf(stream_id, sizeof(stream_id), "s%d", (int)stream);
    master_core_subscribe(h->core, stream, stream_id, call, h->now);
    harness_pump(h);
    if (pending(h, stream, "ERROR"))
        return NULL;
    return str_at(take(h, stream, "SUBSCRIBED"), "subscribed.framework_id.value");
}

int harness_call(struct harness *h, uint64_t stream, const char *fmt, ...)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    const Mesos__V1__Scheduler__Call *call = (const Mesos__V1__Scheduler__Call *)harness_parse(
        &mesos__v1__scheduler__call__descriptor, &arena, buf_cstr(&text));
    struct error err = ERROR_INIT;
    if (master_call_validate(call, &err) < 0)
        return 400;
    char stream_id[16];
    snprintf(stream_id, sizeof(stream_id), "s%d", (int)stream);
    int status = master_core_call(h->core, stream ? stream_id : NULL, call, h->now, &err);
    harness_pump(h);
    return status;
}

void harness_closed(struct harness *h, uint64_t stream)
{
    master_core_scheduler_closed(h->core, stream, h->now);
    harness_pump(h);
}

/* ---- out ---- */

static struct out *find(struct harness *h, uint64_t peer, const char *what)
{
    VEC_FOREACH (o, &h->outs) {
        if (o->seen || o->peer != peer || !o->message)
            continue;
        const char *type = json_str_at(o->message, "type", NULL);
        if (streq(type, what) || json_at(o->message, what))
            return o;
    }
    return NULL;
}

const json_t *take(struct harness *h, uint64_t peer, const char *what)
{
    struct out *o = find(h, peer, what);
    if (!o)
        fail_msg("nothing of %s for peer %d", what, (int)peer);
    o->seen = true;
    return o->message;
}

bool pending(struct harness *h, uint64_t peer, const char *what)
{
    return find(h, peer, what) != NULL;
}

bool closed(struct harness *h, uint64_t peer)
{
    VEC_FOREACH (o, &h->outs)
        if (!o->message && o->peer == peer)
            return true;
    return false;
}

void forget(struct harness *h)
{
    VEC_FOREACH (o, &h->outs)
        o->seen = true;
}

static const json_t *walk(const json_t *root, const char *path)
{
    struct str rest = str_of(path), part;
    const json_t *j = root;
    while (j && str_split(&rest, '.', &part)) {
        uint64_t index;
        if (json_is_array(j)) {
            j = parse_u64(part, &index) == 0 ? json_array_get(j, (size_t)index) : NULL;
        } else {
            _cleanup_free_ char *key = str_dup(part);
            j = json_object_get(j, key);
        }
    }
    return j;
}

bool has_at(const json_t *root, const char *path)
{
    return walk(root, path) != NULL;
}

const json_t *at(const json_t *root, const char *path)
{
    const json_t *j = walk(root, path);
    if (!j) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        json_dump(root, &text);
        fail_msg("no %s in %s", path, buf_cstr(&text));
    }
    return j;
}

const char *str_at(const json_t *root, const char *path)
{
    return json_string_value(at(root, path));
}

double num_at(const json_t *root, const char *path)
{
    return json_number_value(at(root, path));
}

/* ---- common calls ---- */

int launch(struct harness *h, uint64_t stream, const char *framework, const char *offer,
    const char *agent, const char *task)
{
    return harness_call(h, stream,
        "{\"type\":\"ACCEPT\",\"framework_id\":{\"value\":\"%s\"},\"accept\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":0},\"operations\":[{\"type\":"
        "\"LAUNCH\",\"launch\":{\"task_infos\":[{\"name\":\"t\",\"task_id\":{\"value\":\"%s\"},"
        "\"agent_id\":{\"value\":\"%s\"},\"command\":{\"value\":\"true\"},\"resources\":" RES(
            "1", "100") "}]}}]}}",
        framework, offer, task, agent);
}

int decline(struct harness *h, uint64_t stream, const char *framework, const char *offer,
    double refuse_seconds)
{
    return harness_call(h, stream,
        "{\"type\":\"DECLINE\",\"framework_id\":{\"value\":\"%s\"},\"decline\":{\"offer_ids\":[{"
        "\"value\":\"%s\"}],\"filters\":{\"refuse_seconds\":%f}}}",
        framework, offer, refuse_seconds);
}

void update(struct harness *h, uint64_t link, const char *framework, const char *task,
    const char *state, const char *uuid)
{
    harness_agent_record(h, link,
        "{\"update\":{\"framework_id\":{\"value\":\"%s\"},\"executor_id\":{\"value\":\"%s\"},"
        "\"latest_state\":\"%s\",\"status\":{\"task_id\":{\"value\":\"%s\"},\"state\":\"%s\","
        "\"source\":\"SOURCE_EXECUTOR\",\"timestamp\":1.5,\"uuid\":\"%s\"}}}",
        framework, task, state, task, state, uuid);
}

int acknowledge(struct harness *h, uint64_t stream, const char *framework, const char *agent,
    const char *task, const char *uuid)
{
    return harness_call(h, stream,
        "{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"%s\"},\"acknowledge\":{"
        "\"agent_id\":{\"value\":\"%s\"},\"task_id\":{\"value\":\"%s\"},\"uuid\":\"%s\"}}",
        framework, agent, task, uuid);
}
