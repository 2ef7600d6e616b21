/*
 * The master's core under load, in one process: simulated agents and schedulers exchange real
 * protobuf records with it, nothing goes over a network and the disk is instant.
 *
 *   launch      10,000 agents, tasks launched until TASK_RUNNING was acknowledged, in windows
 *   allocation  20,000 agents, 2,000 frameworks: one cycle over everything; the same with 200
 *               roles, of which 100 have weights and 20 a guarantee and a limit; and the first
 * without the trace failover    40,000 agents with 400,000 tasks come back to a new master
 *
 * Usage: bench_master_core [launch|allocation|failover [TASKS]]
 */

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/rng.h"
#include "base/vec.h"
#include "bench_wire.h"
#include "master/core.h"
#include "wire/codec.h"

enum { TRACE = 8192 }; /* entries that the master keeps unless told otherwise */

struct bench {
    struct master_core *core;
    int64_t now;
    uint64_t durable;
    struct rng rng;
    unsigned n_agents, n_frameworks;
    char (*agent_ids)[64];
    char (*framework_ids)[64];
    uint64_t wanted, launched, acknowledged, registered, offers;
    unsigned per_offer;
    bool decline;
    unsigned roles; /* frameworks are spread over so many; 0: all in "*" */
};

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall_seconds(void)
{
    return (double)clock_monotonic_us() / 1e6;
}

static double heap_mib(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)(m.uordblks + m.hblkhd) / 1048576;
}

static Mesos__V1__FrameworkInfo *framework_info(struct arena *a, unsigned index, const char *id)
{
    Mesos__V1__FrameworkInfo *info = MSG(a, Mesos__V1__FrameworkInfo, mesos__v1__framework_info);
    info->user = arena_strdup(a, "root");
    info->name = arena_printf(a, "framework-%u", index);
    info->has_checkpoint = true;
    info->checkpoint = true;
    info->has_failover_timeout = true;
    info->failover_timeout = 3600;
    if (id && *id) {
        info->id = MSG(a, Mesos__V1__FrameworkID, mesos__v1__framework_id);
        info->id->value = arena_strdup(a, id);
    }
    return info;
}

static void agent_record(struct bench *b, uint64_t link, Dcos__Internal__AgentRecord *r)
{
    /* Through bytes and back, as the link does it. */
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    wire_pack(&r->base, &bytes);
    if (wire_unpack(&dcos__internal__agent_record__descriptor, &arena, bytes.p, bytes.n, &m, NULL) <
        0)
        abort();
    master_core_agent_record(b->core, link, (const Dcos__Internal__AgentRecord *)m, b->now);
}

static void call(struct bench *b, unsigned framework, Mesos__V1__Scheduler__Call *c)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    char stream_id[32];
    snprintf(stream_id, sizeof(stream_id), "stream-%u", framework);
    wire_pack(&c->base, &bytes);
    if (wire_unpack(&mesos__v1__scheduler__call__descriptor, &arena, bytes.p, bytes.n, &m, NULL) <
        0)
        abort();
    const Mesos__V1__Scheduler__Call *decoded = (const Mesos__V1__Scheduler__Call *)m;
    if (master_call_validate(decoded, &err) < 0 ||
        (decoded->type != MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE &&
            master_core_call(b->core, stream_id, decoded, b->now, &err) >= 400)) {
        fprintf(stderr, "call refused: %s\n", err.msg);
        exit(1);
    }
    if (decoded->type == MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE)
        master_core_subscribe(b->core, framework + 1, stream_id, decoded, b->now);
}

static void register_agent(struct bench *b, unsigned index, unsigned tasks)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Dcos__Internal__AgentRecord r = DCOS__INTERNAL__AGENT_RECORD__INIT;
    r.hello = MSG(&a, Dcos__Internal__Hello, dcos__internal__hello);
    r.hello->has_major = true;
    r.hello->major = 1;
    agent_record(b, index + 1, &r);
    r.hello = NULL;
    Dcos__Internal__Register *reg = MSG(&a, Dcos__Internal__Register, dcos__internal__register);
    reg->agent_info = MSG(&a, Mesos__V1__AgentInfo, mesos__v1__agent_info);
    reg->agent_info->hostname = arena_printf(&a, "agent-%u", index);
    reg->agent_info->has_port = true;
    reg->agent_info->port = 5051;
    reg->agent_info->n_resources = 2;
    reg->agent_info->resources = arena_new_array(&a, Mesos__V1__Resource *, 2);
    reg->agent_info->resources[0] = scalar(&a, "cpus", 100);
    reg->agent_info->resources[1] = scalar(&a, "mem", 100000);
    if (b->agent_ids[index][0]) {
        reg->agent_info->id = MSG(&a, Mesos__V1__AgentID, mesos__v1__agent_id);
        reg->agent_info->id->value = b->agent_ids[index];
    }
    reg->version = arena_strdup(&a, "1.0.0");
    if (tasks) {
        unsigned framework = index % b->n_frameworks;
        reg->n_frameworks = 1;
        reg->frameworks = arena_new_array(&a, Mesos__V1__FrameworkInfo *, 1);
        reg->frameworks[0] = framework_info(&a, framework, b->framework_ids[framework]);
        reg->tasks = arena_new_array(&a, Mesos__V1__Task *, tasks);
        for (unsigned i = 0; i < tasks; i++) {
            Mesos__V1__Task *t = MSG(&a, Mesos__V1__Task, mesos__v1__task);
            t->name = arena_strdup(&a, "task");
            t->task_id = MSG(&a, Mesos__V1__TaskID, mesos__v1__task_id);
            t->task_id->value = arena_printf(&a, "task-%u-%u", index, i);
            t->framework_id = reg->frameworks[0]->id;
            t->agent_id = reg->agent_info->id;
            t->has_state = true;
            t->state = MESOS__V1__TASK_STATE__TASK_RUNNING;
            t->n_resources = 2;
            t->resources = arena_new_array(&a, Mesos__V1__Resource *, 2);
            t->resources[0] = scalar(&a, "cpus", 0.1);
            t->resources[1] = scalar(&a, "mem", 64);
            reg->tasks[reg->n_tasks++] = t;
        }
    }
    r.register_ = reg;
    agent_record(b, index + 1, &r);
}

static void subscribe(struct bench *b, unsigned index)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
    c.has_type = true;
    c.type = MESOS__V1__SCHEDULER__CALL__TYPE__SUBSCRIBE;
    c.subscribe = MSG(
        &a, Mesos__V1__Scheduler__Call__Subscribe, mesos__v1__scheduler__call__subscribe);
    c.subscribe->framework_info = framework_info(&a, index, b->framework_ids[index]);
    if (b->roles)
        c.subscribe->framework_info->role = arena_printf(&a, "role-%u", index % b->roles);
    c.framework_id = c.subscribe->framework_info->id;
    call(b, index, &c);
}

/* ---- what comes back ---- */

static void run_task(struct bench *b, uint64_t link, const Dcos__Internal__RunTask *run)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Dcos__Internal__AgentRecord r = DCOS__INTERNAL__AGENT_RECORD__INIT;
    uint8_t uuid[16];
    rng_bytes(&b->rng, uuid, sizeof(uuid));
    r.update = MSG(&a, Dcos__Internal__StatusUpdate, dcos__internal__status_update);
    r.update->framework_id = run->framework->id;
    r.update->has_latest_state = true;
    r.update->latest_state = MESOS__V1__TASK_STATE__TASK_RUNNING;
    Mesos__V1__TaskStatus *s = MSG(&a, Mesos__V1__TaskStatus, mesos__v1__task_status);
    s->task_id = run->task->task_id;
    s->agent_id = run->task->agent_id;
    s->has_state = true;
    s->state = MESOS__V1__TASK_STATE__TASK_RUNNING;
    s->has_source = true;
    s->source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    s->has_uuid = true;
    s->uuid = (ProtobufCBinaryData){sizeof(uuid), uuid};
    s->has_timestamp = true;
    s->timestamp = (double)b->now / 1e6;
    r.update->status = s;
    agent_record(b, link, &r);
}

static void accept_offer(struct bench *b, unsigned framework, Mesos__V1__Offer *o)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
    b->offers++;
    c.framework_id = o->framework_id;
    c.has_type = true;
    unsigned n = b->launched < b->wanted
                     ? (unsigned)MIN((uint64_t)b->per_offer, b->wanted - b->launched)
                     : 0;
    if (!n) {
        c.type = MESOS__V1__SCHEDULER__CALL__TYPE__DECLINE;
        c.decline = MSG(
            &a, Mesos__V1__Scheduler__Call__Decline, mesos__v1__scheduler__call__decline);
        c.decline->n_offer_ids = 1;
        c.decline->offer_ids = &o->id;
        c.decline->filters = MSG(&a, Mesos__V1__Filters, mesos__v1__filters);
        c.decline->filters->has_refuse_seconds = true;
        c.decline->filters->refuse_seconds = 3600;
        call(b, framework, &c);
        return;
    }
    c.type = MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT;
    c.accept = MSG(&a, Mesos__V1__Scheduler__Call__Accept, mesos__v1__scheduler__call__accept);
    c.accept->n_offer_ids = 1;
    c.accept->offer_ids = &o->id;
    c.accept->filters = MSG(&a, Mesos__V1__Filters, mesos__v1__filters);
    c.accept->filters->has_refuse_seconds = true;
    c.accept->filters->refuse_seconds = 0;
    Mesos__V1__Offer__Operation *op = MSG(
        &a, Mesos__V1__Offer__Operation, mesos__v1__offer__operation);
    op->has_type = true;
    op->type = MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH;
    op->launch = MSG(&a, Mesos__V1__Offer__Operation__Launch, mesos__v1__offer__operation__launch);
    op->launch->task_infos = arena_new_array(&a, Mesos__V1__TaskInfo *, n);
    for (unsigned i = 0; i < n; i++) {
        Mesos__V1__TaskInfo *t = MSG(&a, Mesos__V1__TaskInfo, mesos__v1__task_info);
        t->name = arena_strdup(&a, "task");
        t->task_id = MSG(&a, Mesos__V1__TaskID, mesos__v1__task_id);
        t->task_id->value = arena_printf(&a, "task-%" PRIu64, b->launched++);
        t->agent_id = o->agent_id;
        t->command = MSG(&a, Mesos__V1__CommandInfo, mesos__v1__command_info);
        t->command->value = arena_strdup(&a, "sleep 1000");
        t->n_resources = 2;
        t->resources = arena_new_array(&a, Mesos__V1__Resource *, 2);
        t->resources[0] = scalar(&a, "cpus", 0.1);
        t->resources[1] = scalar(&a, "mem", 64);
        op->launch->task_infos[op->launch->n_task_infos++] = t;
    }
    c.accept->n_operations = 1;
    c.accept->operations = &op;
    call(b, framework, &c);
}

static void scheduler_event(
    struct bench *b, unsigned framework, const Mesos__V1__Scheduler__Event *e)
{
    switch (e->type) {
    case MESOS__V1__SCHEDULER__EVENT__TYPE__SUBSCRIBED:
        snprintf(b->framework_ids[framework], sizeof(b->framework_ids[framework]), "%s",
            e->subscribed->framework_id->value);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS:
        if (b->decline)
            b->offers += e->offers->n_offers;
        for (size_t i = 0; i < e->offers->n_offers && !b->decline; i++)
            accept_offer(b, framework, e->offers->offers[i]);
        break;
    case MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE: {
        _cleanup_arena_ struct arena a = ARENA_INIT;
        const Mesos__V1__TaskStatus *s = e->update->status;
        if (s->state != MESOS__V1__TASK_STATE__TASK_RUNNING) {
            fprintf(stderr, "task is in state %d: %s\n", s->state, s->message ? s->message : "");
            exit(1);
        }
        if (!s->has_uuid)
            break;
        Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
        c.framework_id = MSG(&a, Mesos__V1__FrameworkID, mesos__v1__framework_id);
        c.framework_id->value = b->framework_ids[framework];
        c.has_type = true;
        c.type = MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE;
        c.acknowledge = MSG(
            &a, Mesos__V1__Scheduler__Call__Acknowledge, mesos__v1__scheduler__call__acknowledge);
        c.acknowledge->agent_id = s->agent_id;
        c.acknowledge->task_id = s->task_id;
        c.acknowledge->has_uuid = true;
        c.acknowledge->uuid = s->uuid;
        call(b, framework, &c);
        break;
    }
    default:
        break;
    }
}

static void handle(struct bench *b, const struct master_effect *e)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    ProtobufCMessage *m;
    if (e->type == EFFECT_AGENT_SEND) {
        if (wire_unpack(&dcos__internal__master_record__descriptor, &a, e->data, e->n, &m, NULL) <
            0)
            abort();
        const Dcos__Internal__MasterRecord *r = (const Dcos__Internal__MasterRecord *)m;
        if (r->registered) {
            b->registered++;
            snprintf(b->agent_ids[e->peer - 1], sizeof(b->agent_ids[0]), "%s",
                r->registered->agent_id->value);
        } else if (r->run_task) {
            run_task(b, e->peer, r->run_task);
        } else if (r->acknowledge) {
            b->acknowledged++;
        } else if (r->refused) {
            fprintf(stderr, "agent refused: %s\n", r->refused->message);
            exit(1);
        }
    } else if (e->type == EFFECT_SCHEDULER_SEND) {
        if (wire_unpack(&mesos__v1__scheduler__event__descriptor, &a, e->data, e->n, &m, NULL) < 0)
            abort();
        scheduler_event(b, (unsigned)(e->peer - 1), (const Mesos__V1__Scheduler__Event *)m);
    }
}

/* Everything that the core has to say, and what follows from it; time goes on to the next deadline
 * within `horizon`. */
static void drain(struct bench *b, int64_t horizon)
{
    int64_t end = b->now + horizon;
    for (;;) {
        bool any = false;
        for (struct master_mutation *mutation; (mutation = master_core_take_mutation(b->core));) {
            b->durable = mutation->number;
            free(mutation);
            any = true;
        }
        for (struct master_effect *e; (e = master_core_take_effect(b->core, b->durable));) {
            handle(b, e);
            free(e);
            any = true;
        }
        if (any)
            continue;
        int64_t next = master_core_next_deadline(b->core);
        if (next > end)
            break;
        b->now = MAX(b->now, next);
        master_core_tick(b->core, b->now);
    }
}

static struct bench *bench_new(unsigned agents, unsigned frameworks, size_t trace)
{
    struct bench *b = xnew(struct bench);
    struct master_config config;
    master_config_defaults(&config);
    config.hostname = "bench";
    config.allocator_trace = trace;
    config.ip = "127.0.0.1";
    config.port = 5050;
    config.version = "1.0.0";
    b->core = master_core_new(&config);
    b->now = INT64_C(1700000000000000);
    b->n_agents = agents;
    b->n_frameworks = frameworks;
    b->agent_ids = xcalloc(agents, sizeof(*b->agent_ids));
    b->framework_ids = xcalloc(frameworks, sizeof(*b->framework_ids));
    rng_init(&b->rng, 1);
    master_core_start(b->core, 1, "bench", b->now);
    return b;
}

static void bench_free(struct bench *b)
{
    master_core_free(b->core);
    free(b->agent_ids);
    free(b->framework_ids);
    free(b);
}

/* What was declined for good between windows is wanted again. */
static void revive(struct bench *b, unsigned framework)
{
    Mesos__V1__FrameworkID id = MESOS__V1__FRAMEWORK_ID__INIT;
    id.value = b->framework_ids[framework];
    Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
    c.framework_id = &id;
    c.has_type = true;
    c.type = MESOS__V1__SCHEDULER__CALL__TYPE__REVIVE;
    call(b, framework, &c);
}

static void launch(uint64_t tasks)
{
    struct bench *b = bench_new(10000, 1, TRACE);
    for (unsigned i = 0; i < b->n_agents; i++)
        register_agent(b, i, 0);
    drain(b, 0);
    double heap = heap_mib(), cpu = cpu_seconds(), wall = wall_seconds();
    printf("launch.agents %u agents\nlaunch.agent_memory %.2f KiB/agent\n", b->n_agents,
        heap * 1024 / b->n_agents);
    b->per_offer = 20;
    b->wanted = tasks / 10;
    subscribe(b, 0);
    for (unsigned window = 1; window <= 10; window++) {
        double w = wall_seconds();
        uint64_t before = b->acknowledged;
        b->wanted = tasks / 10 * window;
        if (window > 1)
            revive(b, 0);
        while (b->acknowledged < b->wanted)
            drain(b, 1000000);
        printf("launch.window_%u %.0f tasks/s\n", window,
            (double)(b->acknowledged - before) / (wall_seconds() - w));
    }
    printf("launch.tasks %" PRIu64 " tasks\n", b->acknowledged);
    printf("launch.rate %.0f tasks/s to TASK_RUNNING acknowledged (must be >= 20000)\n",
        (double)b->acknowledged / (wall_seconds() - wall));
    printf("launch.cpu %.2f us/task\n", (cpu_seconds() - cpu) * 1e6 / (double)b->acknowledged);
    printf("launch.memory %.0f B/task (must be < 1024)\n",
        (heap_mib() - heap) * 1048576 / (double)b->acknowledged);
    bench_free(b);
}

/* Every second role has a weight, every tenth a guarantee of 100 agents and a limit of 150. */
static void set_weights_and_quotas(struct bench *b)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    for (unsigned i = 0; i < b->roles; i += 2) {
        Mesos__V1__WeightInfo *w = MSG(&a, Mesos__V1__WeightInfo, mesos__v1__weight_info);
        w->role = arena_printf(&a, "role-%u", i);
        w->has_weight = true;
        w->weight = 1 + i % 7;
        master_core_update_weights(b->core, &w, 1, b->now);
    }
    for (unsigned i = 0; i < b->roles; i += 10) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        ProtobufCMessage *m;
        buf_printf(&text,
            "{\"role\":\"role-%u\",\"guarantees\":{\"cpus\":{\"value\":10000}},\"limits\":{"
            "\"cpus\":{\"value\":15000},\"mem\":{\"value\":15000000}}}",
            i);
        if (wire_parse_json(
                &mesos__v1__quota__quota_config__descriptor, &a, text.p, text.n, &m, NULL) < 0)
            abort();
        Mesos__V1__Quota__QuotaConfig *c = (Mesos__V1__Quota__QuotaConfig *)m;
        master_core_update_quota(b->core, &c, 1, b->now);
    }
}

static void allocation(const char *what, unsigned roles, size_t trace)
{
    struct bench *b = bench_new(20000, 2000, trace);
    b->decline = true; /* offers are left standing: the cycle hands out every agent */
    b->roles = roles;
    if (roles)
        set_weights_and_quotas(b);
    for (unsigned i = 0; i < b->n_frameworks; i++)
        subscribe(b, i);
    drain(b, 0);
    for (unsigned i = 0; i < b->n_agents; i++)
        register_agent(b, i, 0);
    /* Registration marked every agent; the batch that is due now is the whole cycle. */
    for (struct master_mutation *m; (m = master_core_take_mutation(b->core));) {
        b->durable = m->number;
        free(m);
    }
    for (struct master_effect *e; (e = master_core_take_effect(b->core, b->durable));) {
        handle(b, e);
        free(e);
    }
    b->now += 1000000;
    double wall = wall_seconds(), cpu = cpu_seconds();
    master_core_tick(b->core, b->now);
    printf("%s.cycle %.1f ms (must be < 100)\n", what, (wall_seconds() - wall) * 1e3);
    printf("%s.cpu %.1f ms\n", what, (cpu_seconds() - cpu) * 1e3);
    drain(b, 0);
    printf("%s.offers %" PRIu64 " offers\n", what, b->offers);
    bench_free(b);
}

static void failover(uint64_t tasks)
{
    struct bench *b = bench_new(40000, 10, TRACE);
    unsigned each = (unsigned)(tasks / b->n_agents);
    for (unsigned i = 0; i < b->n_agents; i++)
        snprintf(b->agent_ids[i], sizeof(b->agent_ids[0]), "old-S%u", i);
    for (unsigned i = 0; i < b->n_frameworks; i++)
        snprintf(b->framework_ids[i], sizeof(b->framework_ids[0]), "old-%04u", i);
    double wall = wall_seconds(), cpu = cpu_seconds(), heap = heap_mib();
    for (unsigned i = 0; i < b->n_agents; i++) {
        register_agent(b, i, each);
        drain(b, 0);
    }
    printf("failover.agents %" PRIu64 " agents\nfailover.tasks %" PRIu64 " tasks\n", b->registered,
        (uint64_t)each * b->n_agents);
    printf("failover.time %.2f s (must be < 3)\n", wall_seconds() - wall);
    printf("failover.cpu %.2f s\n", cpu_seconds() - cpu);
    printf("failover.memory %.0f MiB\n", heap_mib() - heap);
    bench_free(b);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";
    uint64_t tasks = 0;
    if (argc > 2 && parse_u64(str_of(argv[2]), &tasks) < 0) {
        fprintf(stderr, "usage: %s [launch|allocation|failover [TASKS]]\n", argv[0]);
        return 2;
    }
    if (!*which || streq(which, "launch"))
        launch(tasks ? tasks : 1000000);
    if (!*which || streq(which, "allocation")) {
        allocation("allocation", 0, TRACE);
        allocation("allocation_untraced", 0, 0);
        allocation("allocation_quota", 200, TRACE);
    }
    if (!*which || streq(which, "failover"))
        failover(tasks ? tasks : 400000);
    return 0;
}
