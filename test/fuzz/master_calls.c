/*
 * Calls and records of every type, made by their descriptors, against a master with two agents and
 * two frameworks, which restarts from its store now and then. After each, what must always hold
 * holds.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "generate.h"
#include "master/core.h"
#include "wire/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 120, AGENTS = 2, FRAMEWORKS = 2 };

struct fuzz_agent {
    uint64_t link; /* 0 = none */
    char *id;
};

struct fuzz_framework {
    uint64_t stream;
    char *id;
    char stream_id[24];
};

struct stored {
    char *key;
    void *value;
    size_t n;
};

struct run {
    struct generator g;
    struct master_core *core;
    uint64_t epoch, next_peer;
    int64_t now;
    struct fuzz_agent agents[AGENTS];
    struct fuzz_framework frameworks[FRAMEWORKS];
    struct map disk;
};

/* ---- what the master says ---- */

static void hear_agent(struct run *run, struct fuzz_agent *a, const struct master_effect *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, e->data, e->n, &m, NULL) <
        0)
        abort();
    const Dcos__Internal__MasterRecord *r = (const Dcos__Internal__MasterRecord *)m;
    if (r->epoch != run->epoch)
        abort();
    if (r->registered) {
        free(a->id);
        a->id = xstrdup(r->registered->agent_id->value);
        pool_add(&run->g, POOL_AGENTS, a->id);
    }
    if (r->refused && r->refused->forget) {
        free(a->id);
        a->id = NULL;
    }
    if (r->apply_operation)
        pool_add_uuid(&run->g, &r->apply_operation->operation_uuid);
}

static void hear_framework(struct run *run, struct fuzz_framework *f, const struct master_effect *e)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &arena, e->data, e->n, &m, NULL) < 0)
        abort();
    const Mesos__V1__Scheduler__Event *event = (const Mesos__V1__Scheduler__Event *)m;
    if (event->subscribed) {
        free(f->id);
        f->id = xstrdup(event->subscribed->framework_id->value);
        pool_add(&run->g, POOL_FRAMEWORKS, f->id);
    }
    if (event->error && strstr(event->error->message, "removed")) {
        free(f->id);
        f->id = NULL;
    }
    if (event->offers)
        for (size_t i = 0; i < event->offers->n_offers; i++) {
            const Mesos__V1__Offer *o = event->offers->offers[i];
            pool_add(&run->g, POOL_OFFERS, o->id->value);
            for (size_t k = 0; k < o->n_resources; k++)
                pool_add_resource(&run->g, o->resources[k]);
        }
    if (event->inverse_offers)
        for (size_t i = 0; i < event->inverse_offers->n_inverse_offers; i++)
            pool_add(&run->g, POOL_OFFERS, event->inverse_offers->inverse_offers[i]->id->value);
    if (event->update && event->update->status->has_uuid)
        pool_add_uuid(&run->g, &event->update->status->uuid);
    if (event->update_operation_status && event->update_operation_status->status->uuid)
        pool_add_uuid(&run->g, &event->update_operation_status->status->uuid->value);
}

static void store(struct run *run, const struct master_mutation *m)
{
    struct stored *old = map_remove(&run->disk, m->key);
    if (old) {
        free(old->key);
        free(old->value);
        free(old);
    }
    if (m->remove)
        return;
    struct stored *s = xnew(struct stored);
    *s = (struct stored){xstrdup(m->key), xmemdup(m->value, m->n), m->n};
    map_put(&run->disk, s->key, s);
}

static void pump(struct run *run)
{
    struct master_mutation *m;
    while ((m = master_core_take_mutation(run->core))) {
        store(run, m);
        free(m);
    }
    struct master_effect *e;
    while ((e = master_core_take_effect(run->core, UINT64_MAX))) {
        for (unsigned i = 0; i < AGENTS; i++) {
            struct fuzz_agent *a = &run->agents[i];
            if (!a->link || a->link != e->peer)
                continue;
            if (e->type == EFFECT_AGENT_SEND)
                hear_agent(run, a, e);
            else if (e->type == EFFECT_AGENT_CLOSE)
                a->link = 0;
        }
        for (unsigned i = 0; i < FRAMEWORKS; i++) {
            struct fuzz_framework *f = &run->frameworks[i];
            if (!f->stream || f->stream != e->peer)
                continue;
            if (e->type == EFFECT_SCHEDULER_SEND)
                hear_framework(run, f, e);
            else if (e->type == EFFECT_SCHEDULER_CLOSE)
                f->stream = 0;
        }
        free(e);
    }
    master_core_check(run->core);
}

/* ---- what is said to it ---- */

static void json_record(struct run *run, struct fuzz_agent *a, const char *text)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_parse_json(
            &dcos__internal__agent_record__descriptor, &arena, text, strlen(text), &m, NULL) < 0)
        abort();
    master_core_agent_record(run->core, a->link, (const Dcos__Internal__AgentRecord *)m, run->now);
}

static void agent_joins(struct run *run, struct fuzz_agent *a)
{
    a->link = ++run->next_peer;
    json_record(run, a, "{\"hello\":{\"major\":1}}");
    pump(run);
    if (!a->link)
        return;
    _cleanup_free_ char *text = xasprintf(
        "{\"register\":{\"agent_info\":{\"hostname\":\"host%d\",\"port\":5051%s%s%s,\"resources\":["
        "{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":8}},"
        "{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1000}},"
        "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1000}},"
        "{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":1},\"reservations\":"
        "[{\"type\":\"STATIC\",\"role\":\"a\"}]},"
        "{\"name\":\"ports\",\"type\":\"RANGES\",\"ranges\":{\"range\":[{\"begin\":31000,\"end\":"
        "31099}]}}]},\"capabilities\":[{\"type\":\"MULTI_ROLE\"},{\"type\":\"HIERARCHICAL_ROLE\"},"
        "{\"type\":\"RESERVATION_REFINEMENT\"},{\"type\":\"RESIZE_VOLUME\"},"
        "{\"type\":\"AGENT_OPERATION_FEEDBACK\"},{\"type\":\"AGENT_DRAINING\"},{\"type\":"
        "\"RESOURCE_PROVIDER\"}],"
        "\"ip\":\"10.0.0.1\",\"version\":\"1\"}}",
        (int)(a - run->agents), a->id ? ",\"id\":{\"value\":\"" : "", a->id ? a->id : "",
        a->id ? "\"}" : "");
    json_record(run, a, text);
}

static void framework_joins(struct run *run, struct fuzz_framework *f)
{
    static const char *const capabilities[] = {"",
        "{\"type\":\"MULTI_ROLE\"},{\"type\":\"RESERVATION_REFINEMENT\"},"
        "{\"type\":\"PARTITION_AWARE\"},{\"type\":\"SHARED_RESOURCES\"},"
        "{\"type\":\"REVOCABLE_RESOURCES\"}"};
    unsigned which = (unsigned)(f - run->frameworks);
    f->stream = ++run->next_peer;
    snprintf(f->stream_id, sizeof(f->stream_id), "s%" PRIu64, f->stream);
    _cleanup_free_ char *id = f->id ? xasprintf("{\"value\":\"%s\"}", f->id) : xstrdup("null");
    _cleanup_free_ char *text = xasprintf(
        "{\"type\":\"SUBSCRIBE\",\"framework_id\":%s,\"subscribe\":{\"framework_info\":{\"id\":%s,"
        "\"user\":\"u\",\"name\":\"f\",\"principal\":\"p\",\"checkpoint\":true,"
        "\"failover_timeout\":60,%s,\"capabilities\":[%s]}}}",
        id, id, which ? "\"roles\":[\"a\",\"a/b\",\"b\"]" : "\"role\":\"a\"", capabilities[which]);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_parse_json(
            &mesos__v1__scheduler__call__descriptor, &arena, text, strlen(text), &m, NULL) < 0)
        abort();
    master_core_subscribe(
        run->core, f->stream, f->stream_id, (const Mesos__V1__Scheduler__Call *)m, run->now);
}

static void agent_says(struct run *run, struct fuzz_agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__AgentRecord *r = (Dcos__Internal__AgentRecord *)generate(
        &run->g, &arena, &dcos__internal__agent_record__descriptor, -1);
    if (!r)
        return;
    /* One field, and not one that ends the link at once. */
    Dcos__Internal__AgentRecord one = DCOS__INTERNAL__AGENT_RECORD__INIT;
    switch (generate_below(&run->g, 8)) {
    case 0:
        one.executor_exited = r->executor_exited;
        break;
    case 1:
        one.message = r->message;
        break;
    case 2:
        one.resources = r->resources;
        break;
    case 3:
    case 4:
        one.operation_update = r->operation_update;
        break;
    case 5:
        one.pong = r->pong;
        break;
    default:
        one.update = r->update;
        break;
    }
    master_core_agent_record(run->core, a->link, &one, run->now);
}

/* A registration with generated contents, on a new link. */
static void agent_registers(struct run *run, struct fuzz_agent *a)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    Dcos__Internal__Register *reg = (Dcos__Internal__Register *)generate(
        &run->g, &arena, &dcos__internal__register__descriptor, -1);
    if (!reg)
        return;
    a->link = ++run->next_peer;
    json_record(run, a, "{\"hello\":{\"major\":1}}");
    Dcos__Internal__AgentRecord one = DCOS__INTERNAL__AGENT_RECORD__INIT;
    one.register_ = reg;
    master_core_agent_record(run->core, a->link, &one, run->now);
}

static void framework_calls(struct run *run, struct fuzz_framework *f)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    static const int often[] = {MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT,
        MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE, MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE};
    int type = generate_chance(&run->g, 50) ? often[generate_below(&run->g, ARRAY_SIZE(often))]
                                            : (int)generate_below(&run->g, 20);
    Mesos__V1__Scheduler__Call *call = (Mesos__V1__Scheduler__Call *)generate(
        &run->g, &arena, &mesos__v1__scheduler__call__descriptor, type);
    if (!call ||
        (type == MESOS__V1__SCHEDULER__CALL__TYPE__TEARDOWN && !generate_chance(&run->g, 10)))
        return;
    if (f->id && call->framework_id && generate_chance(&run->g, 95))
        call->framework_id->value = f->id;
    if (call->subscribe && call->subscribe->framework_info && generate_chance(&run->g, 90))
        call->subscribe->framework_info->id = call->framework_id;
    if (call->update_framework && call->update_framework->framework_info &&
        generate_chance(&run->g, 90))
        call->update_framework->framework_info->id = call->framework_id;
    if (wire_check_required(&call->base, NULL) < 0 || master_call_validate(call, &err) < 0)
        return;
    if (type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE) {
        f->stream = ++run->next_peer;
        snprintf(f->stream_id, sizeof(f->stream_id), "s%" PRIu64, f->stream);
        master_core_subscribe(run->core, f->stream, f->stream_id, call, run->now);
    } else {
        int status = master_core_call(run->core, f->stream_id, call, run->now, &err);
        if (status >= 400 && !err.msg[0])
            abort(); /* a refusal says why */
    }
}

/* ---- operators ---- */

static void refusal_has_text(int r, const struct error *err)
{
    if (r < 0 && !err->msg[0])
        abort();
}

static void about_an_agent(struct run *run)
{
    struct error err = ERROR_INIT;
    const char *id = pool_pick(&run->g, POOL_AGENTS);
    if (!id)
        return;
    int r = 0;
    switch (generate_below(&run->g, 8)) {
    case 0:
    case 1:
        r = master_core_deactivate_agent(run->core, id, run->now, &err);
        break;
    case 2:
    case 3:
    case 4:
        r = master_core_reactivate_agent(run->core, id, run->now, &err);
        break;
    case 5:
    case 6:
        r = master_core_drain_agent(run->core, id, generate_chance(&run->g, 50) ? -1 : 1000,
            generate_chance(&run->g, 30), run->now, &err);
        break;
    default:
        r = master_core_mark_agent_gone(run->core, id, run->now, &err);
        break;
    }
    refusal_has_text(r, &err);
}

/* Machines are those of the agents, and one without. */
static void about_machines(struct run *run)
{
    struct error err = ERROR_INIT;
    Mesos__V1__MachineID machines[3], *ids[3];
    static const char *const names[] = {"host0", "HOST1", "other"};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!generate_chance(&run->g, 60))
            continue;
        mesos__v1__machine_id__init(&machines[n]);
        machines[n].hostname = (char *)(uintptr_t)names[i];
        machines[n].ip = (char *)(uintptr_t) "10.0.0.1";
        ids[n] = &machines[n];
        n++;
    }
    int r;
    switch (generate_below(&run->g, 4)) {
    case 0:
        r = master_core_start_maintenance(run->core, ids, n, run->now, &err);
        break;
    case 1:
        r = master_core_stop_maintenance(run->core, ids, n, run->now, &err);
        break;
    default: {
        Mesos__V1__TimeInfo start = MESOS__V1__TIME_INFO__INIT;
        start.has_nanoseconds = true;
        start.nanoseconds = generate_below(&run->g, 3);
        Mesos__V1__Unavailability when = MESOS__V1__UNAVAILABILITY__INIT;
        when.start = &start;
        Mesos__V1__Maintenance__Window window = MESOS__V1__MAINTENANCE__WINDOW__INIT,
                                       *list[] = {&window};
        window.machine_ids = ids;
        window.n_machine_ids = n;
        window.unavailability = &when;
        Mesos__V1__Maintenance__Schedule schedule = MESOS__V1__MAINTENANCE__SCHEDULE__INIT;
        schedule.windows = list;
        schedule.n_windows = n > 0;
        r = master_core_update_schedule(run->core, &schedule, run->now, &err);
        break;
    }
    }
    refusal_has_text(r, &err);
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT;
    wire_pack(&master_core_maintenance_status(run->core, &arena)->base, &text);
    wire_pack(&master_core_schedule(run->core)->base, &text);
}

/* What an operator's call says, made by its descriptor. */
static void about_roles(struct run *run)
{
    static const int types[] = {
        MESOS__V1__MASTER__CALL__TYPE__UPDATE_QUOTA, MESOS__V1__MASTER__CALL__TYPE__UPDATE_WEIGHTS};
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    const Mesos__V1__Master__Call *call = (const Mesos__V1__Master__Call *)generate(&run->g, &arena,
        &mesos__v1__master__call__descriptor, types[generate_below(&run->g, ARRAY_SIZE(types))]);
    if (!call || wire_check_required(&call->base, NULL) < 0)
        return;
    int r = 0;
    if (call->update_quota) {
        const Mesos__V1__Master__Call__UpdateQuota *u = call->update_quota;
        r = quota_check(run->core, u->quota_configs, u->n_quota_configs, u->force, &err);
        if (r >= 0)
            master_core_update_quota(run->core, u->quota_configs, u->n_quota_configs, run->now);
    }
    refusal_has_text(r, &err);
    r = 0;
    if (call->update_weights) {
        const Mesos__V1__Master__Call__UpdateWeights *u = call->update_weights;
        r = weights_check(run->core, u->weight_infos, u->n_weight_infos, &err);
        if (r >= 0)
            master_core_update_weights(run->core, u->weight_infos, u->n_weight_infos, run->now);
    }
    refusal_has_text(r, &err);
}

static void about_resources(struct run *run)
{
    static const int types[] = {MESOS__V1__OFFER__OPERATION__TYPE__RESERVE,
        MESOS__V1__OFFER__OPERATION__TYPE__UNRESERVE, MESOS__V1__OFFER__OPERATION__TYPE__CREATE,
        MESOS__V1__OFFER__OPERATION__TYPE__DESTROY, MESOS__V1__OFFER__OPERATION__TYPE__GROW_VOLUME,
        MESOS__V1__OFFER__OPERATION__TYPE__SHRINK_VOLUME};
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    struct error err = ERROR_INIT;
    const char *id = pool_pick(&run->g, POOL_AGENTS);
    const Mesos__V1__Offer__Operation *op = (const Mesos__V1__Offer__Operation *)generate(&run->g,
        &arena, &mesos__v1__offer__operation__descriptor,
        types[generate_below(&run->g, ARRAY_SIZE(types))]);
    if (!id || !op || wire_check_required(&op->base, NULL) < 0)
        return;
    int r = master_core_check_operation(run->core, id, op, "p", &err);
    if (r >= 0)
        r = master_core_apply_operation(run->core, id, op, run->now, &err);
    refusal_has_text(r, &err);
}

/* ---- life of a master ---- */

static void restart(struct run *run)
{
    struct master_config config;
    char id[32];
    struct error err = ERROR_INIT;
    master_core_free(run->core);
    master_config_defaults(&config);
    run->core = master_core_new(&config);
    MAP_FOREACH (e, &run->disk) {
        const struct stored *s = e->value;
        if (master_core_restore(run->core, s->key, s->value, s->n, &err) < 0)
            abort(); /* it must be able to read what it wrote */
    }
    snprintf(id, sizeof(id), "M%" PRIu64, ++run->epoch);
    master_core_start(run->core, run->epoch, id, run->now);
    master_core_operator_events(run->core, true);
    for (unsigned i = 0; i < AGENTS; i++)
        run->agents[i].link = 0;
    for (unsigned i = 0; i < FRAMEWORKS; i++)
        run->frameworks[i].stream = 0;
}

static void step(struct run *run)
{
    struct fuzz_agent *a = &run->agents[generate_below(&run->g, AGENTS)];
    struct fuzz_framework *f = &run->frameworks[generate_below(&run->g, FRAMEWORKS)];
    unsigned dice = generate_below(&run->g, 100);
    if (dice < 2) {
        restart(run);
    } else if (dice < 5) {
        if (a->link)
            master_core_agent_closed(run->core, a->link, run->now);
        a->link = 0;
    } else if (dice < 8) {
        if (f->stream)
            master_core_scheduler_closed(run->core, f->stream, run->now);
        f->stream = 0;
    } else if (dice < 11) {
        agent_registers(run, a);
    } else if (dice < 16) {
        static const int64_t waits[] = {1000, 5000000, 20000000, 700000000};
        run->now += waits[generate_below(&run->g, ARRAY_SIZE(waits))];
        master_core_tick(run->core, run->now);
    } else if (dice < 19) {
        about_an_agent(run);
    } else if (dice < 22) {
        about_machines(run);
    } else if (dice < 24) {
        about_roles(run);
    } else if (dice < 28) {
        about_resources(run);
    } else if (dice < 40) {
        if (a->link)
            agent_says(run, a);
        else
            agent_joins(run, a);
    } else if (f->stream) {
        framework_calls(run, f);
    } else {
        framework_joins(run, f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.now = INT64_C(1700000000000000)};
    generator_init(&run.g, data, size);
    restart(&run);
    for (unsigned i = 0; i < AGENTS; i++)
        agent_joins(&run, &run.agents[i]);
    pump(&run);
    for (unsigned i = 0; i < FRAMEWORKS; i++)
        framework_joins(&run, &run.frameworks[i]);
    pump(&run);
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        step(&run);
        pump(&run);
        run.now += 2000;
        master_core_tick(run.core, run.now);
        pump(&run);
    }
    master_core_free(run.core);
    for (unsigned i = 0; i < AGENTS; i++)
        free(run.agents[i].id);
    for (unsigned i = 0; i < FRAMEWORKS; i++)
        free(run.frameworks[i].id);
    MAP_FOREACH (e, &run.disk) {
        struct stored *s = e->value;
        free(s->key);
        free(s->value);
        free(s);
    }
    map_done(&run.disk);
    generator_done(&run.g);
    return 0;
}
