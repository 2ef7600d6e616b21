/*
 * Simulated agents on the master's internal link, one connection each: they register (with tasks
 * that already run, when asked), say TASK_RUNNING to whatever they are told to run and TASK_KILLED
 * to what they are told to kill, at once; when the master goes they come back. Load for state.py,
 * failover.py and marathon_apps.py.
 *
 * Usage: load_agents MASTER_IP MASTER_PORT AGENTS [TASKS_EACH [CA_FILE]]
 * With a file of authorities it speaks TLS. Prints a line each time all are registered, ends with
 * its stdin.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "bench_util.h"
#include "bench_wire.h"
#include "http/client.h"
#include "http/recordio.h"
#include "wire/codec.h"
#include "wire/internal.pb-c.h"

enum {
    AGENTS_MAX = 16000, /* connections, of 20,000 files on this side and on the master's */
    DIAL_AT_ONCE = 64,
    FRAMEWORKS = 10, /* that the tasks which already run belong to */
};

static const int64_t RETRY_US = 20 * 1000;

struct agent {
    struct load *load;
    struct list waiting; /* in load.waiting: to be dialled */
    unsigned index;
    bool registered, dialling;
    struct http_call *call;
    struct recordio_decoder decoder;
};

struct load {
    struct loop *loop;
    struct http_client *client;
    const char *host;
    uint32_t port, n, tasks, dialling, registered;
    bool tls;
    struct agent *agents;
    struct list waiting;
    struct timer retry;
    int64_t lost_at; /* when the first link ended; 0 = all are there */
    struct rng rng;
    uint64_t launched, killed, acknowledged;
    int64_t began;
};

static void send_record(struct agent *a, const Dcos__Internal__AgentRecord *r)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT, frame = BUF_INIT;
    wire_pack(&r->base, &bytes);
    recordio_append(&frame, bytes.p, bytes.n);
    http_call_write(a->call, frame.p, frame.n);
}

static Mesos__V1__FrameworkInfo *framework(struct arena *a, unsigned index)
{
    Mesos__V1__FrameworkInfo *info = MSG(a, Mesos__V1__FrameworkInfo, mesos__v1__framework_info);
    info->user = arena_strdup(a, "root");
    info->name = arena_printf(a, "framework-%u", index);
    info->has_failover_timeout = true;
    info->failover_timeout = 3600;
    info->id = MSG(a, Mesos__V1__FrameworkID, mesos__v1__framework_id);
    info->id->value = arena_printf(a, "simulated-%04u", index);
    return info;
}

static Mesos__V1__Resource *ports(struct arena *a)
{
    Mesos__V1__Resource *r = MSG(a, Mesos__V1__Resource, mesos__v1__resource);
    r->name = arena_strdup(a, "ports");
    r->has_type = true;
    r->type = MESOS__V1__VALUE__TYPE__RANGES;
    r->ranges = MSG(a, Mesos__V1__Value__Ranges, mesos__v1__value__ranges);
    r->ranges->n_range = 1;
    r->ranges->range = arena_new_array(a, Mesos__V1__Value__Range *, 1);
    r->ranges->range[0] = MSG(a, Mesos__V1__Value__Range, mesos__v1__value__range);
    r->ranges->range[0]->has_begin = r->ranges->range[0]->has_end = true;
    r->ranges->range[0]->begin = 31000;
    r->ranges->range[0]->end = 32000;
    return r;
}

static void add_tasks(struct agent *g, struct arena *a, Dcos__Internal__Register *reg)
{
    unsigned n = g->load->tasks;
    reg->n_frameworks = 1;
    reg->frameworks = arena_new_array(a, Mesos__V1__FrameworkInfo *, 1);
    reg->frameworks[0] = framework(a, g->index % FRAMEWORKS);
    reg->agent_info->id = MSG(a, Mesos__V1__AgentID, mesos__v1__agent_id);
    reg->agent_info->id->value = arena_printf(a, "simulated-S%u", g->index);
    reg->tasks = arena_new_array(a, Mesos__V1__Task *, n);
    for (unsigned i = 0; i < n; i++) {
        Mesos__V1__Task *t = MSG(a, Mesos__V1__Task, mesos__v1__task);
        t->name = arena_strdup(a, "task");
        t->task_id = MSG(a, Mesos__V1__TaskID, mesos__v1__task_id);
        t->task_id->value = arena_printf(a, "task-%u-%u", g->index, i);
        t->framework_id = reg->frameworks[0]->id;
        t->agent_id = reg->agent_info->id;
        t->has_state = true;
        t->state = MESOS__V1__TASK_STATE__TASK_RUNNING;
        t->n_resources = 2;
        t->resources = arena_new_array(a, Mesos__V1__Resource *, 2);
        t->resources[0] = scalar(a, "cpus", 0.1);
        t->resources[1] = scalar(a, "mem", 64);
        reg->tasks[reg->n_tasks++] = t;
    }
}

/* Those of dcos-agent that decide on who gets its offers. */
static void add_capabilities(struct arena *a, Dcos__Internal__Register *reg)
{
    static const Mesos__V1__AgentInfo__Capability__Type types[] = {
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__MULTI_ROLE,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__HIERARCHICAL_ROLE,
        MESOS__V1__AGENT_INFO__CAPABILITY__TYPE__RESERVATION_REFINEMENT,
    };
    reg->capabilities = arena_new_array(a, Mesos__V1__AgentInfo__Capability *, ARRAY_SIZE(types));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        Mesos__V1__AgentInfo__Capability *c = MSG(
            a, Mesos__V1__AgentInfo__Capability, mesos__v1__agent_info__capability);
        c->has_type = true;
        c->type = types[i];
        reg->capabilities[reg->n_capabilities++] = c;
    }
}

static void send_register(struct agent *g)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Dcos__Internal__AgentRecord r = DCOS__INTERNAL__AGENT_RECORD__INIT;
    r.hello = MSG(&a, Dcos__Internal__Hello, dcos__internal__hello);
    r.hello->has_major = true;
    r.hello->major = 1;
    send_record(g, &r);
    r.hello = NULL;
    Dcos__Internal__Register *reg = MSG(&a, Dcos__Internal__Register, dcos__internal__register);
    reg->agent_info = MSG(&a, Mesos__V1__AgentInfo, mesos__v1__agent_info);
    reg->agent_info->hostname = arena_printf(&a, "agent-%u", g->index);
    reg->agent_info->has_port = true;
    reg->agent_info->port = 5051;
    reg->agent_info->n_resources = 4;
    reg->agent_info->resources = arena_new_array(&a, Mesos__V1__Resource *, 4);
    reg->agent_info->resources[0] = scalar(&a, "cpus", 100);
    reg->agent_info->resources[1] = scalar(&a, "mem", 100000);
    reg->agent_info->resources[2] = scalar(&a, "disk", 100000);
    reg->agent_info->resources[3] = ports(&a);
    if (g->load->tasks)
        add_tasks(g, &a, reg);
    reg->version = arena_strdup(&a, "1.0.0");
    add_capabilities(&a, reg);
    r.register_ = reg;
    send_record(g, &r);
}

static void send_update(struct agent *g, Mesos__V1__FrameworkID *framework_id,
    Mesos__V1__TaskID *task_id, Mesos__V1__AgentID *agent_id, Mesos__V1__TaskState state)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Dcos__Internal__AgentRecord r = DCOS__INTERNAL__AGENT_RECORD__INIT;
    uint8_t uuid[16];
    rng_bytes(&g->load->rng, uuid, sizeof(uuid));
    r.update = MSG(&a, Dcos__Internal__StatusUpdate, dcos__internal__status_update);
    r.update->framework_id = framework_id;
    r.update->has_latest_state = true;
    r.update->latest_state = state;
    Mesos__V1__TaskStatus *s = MSG(&a, Mesos__V1__TaskStatus, mesos__v1__task_status);
    s->task_id = task_id;
    s->agent_id = agent_id;
    s->has_state = true;
    s->state = state;
    s->has_source = true;
    s->source = MESOS__V1__TASK_STATUS__SOURCE__SOURCE_EXECUTOR;
    s->has_uuid = true;
    s->uuid = (ProtobufCBinaryData){sizeof(uuid), uuid};
    s->has_timestamp = true;
    s->timestamp = (double)clock_realtime_us() / 1e6;
    r.update->status = s;
    send_record(g, &r);
}

static void dial(struct load *l);

static bool handle_record(const char *record, size_t n, void *userdata)
{
    struct agent *g = userdata;
    struct load *l = g->load;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, record, n, &m, NULL) < 0)
        abort();
    const Dcos__Internal__MasterRecord *r = (const Dcos__Internal__MasterRecord *)m;
    if (r->refused) {
        fprintf(stderr, "agent refused: %s\n", r->refused->message);
        exit(1);
    } else if (r->registered) {
        g->registered = true;
        g->dialling = false;
        l->dialling--;
        l->registered++;
        dial(l);
        if (l->registered == l->n) {
            int64_t since = l->lost_at ? l->lost_at : l->began;
            printf("%s.time %.3f s\n", l->lost_at ? "back" : "registered",
                (double)(clock_monotonic_us() - since) / 1e6);
            fflush(stdout);
            l->lost_at = 0;
        }
    } else if (r->ping) {
        Dcos__Internal__AgentRecord answer = DCOS__INTERNAL__AGENT_RECORD__INIT;
        Dcos__Internal__Pong pong = DCOS__INTERNAL__PONG__INIT;
        pong.has_sequence = true;
        pong.sequence = r->ping->sequence;
        answer.pong = &pong;
        send_record(g, &answer);
    } else if (r->run_task) {
        l->launched++;
        send_update(g, r->run_task->framework->id, r->run_task->task->task_id,
            r->run_task->task->agent_id, MESOS__V1__TASK_STATE__TASK_RUNNING);
    } else if (r->kill_task) {
        Mesos__V1__AgentID id = MESOS__V1__AGENT_ID__INIT;
        l->killed++;
        send_update(g, r->kill_task->framework_id, r->kill_task->task_id, &id,
            MESOS__V1__TASK_STATE__TASK_KILLED);
    } else if (r->acknowledge) {
        l->acknowledged++;
    }
    return true;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct agent *g = userdata;
    struct error err = ERROR_INIT;
    if (recordio_decode(&g->decoder, p, n, handle_record, g, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
}

/* The master is gone, or not there yet: once more. */
static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct agent *g = userdata;
    struct load *l = g->load;
    if (g->dialling)
        l->dialling--;
    else if (g->registered)
        l->registered--;
    g->registered = g->dialling = false;
    if (!l->lost_at)
        l->lost_at = clock_monotonic_us();
    recordio_decoder_done(&g->decoder);
    list_push(&l->waiting, &g->waiting);
    if (!timer_active(&l->retry))
        timer_start(&l->retry, RETRY_US);
}

static void on_retry(struct timer *t)
{
    dial(container_of(t, struct load, retry));
}

static void dial(struct load *l)
{
    static const struct http_call_handlers handlers = {.on_data = on_data, .on_done = on_done};
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/x-protobuf")},
        {STR("Accept"), STR("application/x-protobuf")},
    };
    struct agent *g;
    while (l->dialling < DIAL_AT_ONCE && (g = list_first(&l->waiting, struct agent, waiting))) {
        const struct http_call_options options = {
            .method = "POST",
            .host = l->host,
            .port = (uint16_t)l->port,
            .tls = l->tls,
            .target = "/api/internal/agent",
            .headers = headers,
            .n_headers = ARRAY_SIZE(headers),
            .stream_body = true,
            .fresh = true,
        };
        list_remove(&g->waiting);
        l->dialling++;
        g->dialling = true;
        recordio_decoder_init(&g->decoder, WIRE_MESSAGE_MAX);
        g->call = http_call_start(l->client, &options, &handlers, g);
        send_register(g);
    }
}

static void on_stdin(void *userdata, unsigned events)
{
    struct load *l = userdata;
    char c;
    if (read(STDIN_FILENO, &c, 1) <= 0)
        loop_stop(l->loop);
}

static uint32_t number(const char *text, uint32_t max)
{
    uint32_t n;
    if (parse_u32(str_of(text), &n) < 0 || n > max) {
        fprintf(stderr, "bad number '%s', at most %" PRIu32 "\n", text, max);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: load_agents MASTER_IP MASTER_PORT AGENTS [TASKS_EACH [CA_FILE]]\n");
        return 2;
    }
    struct load l = {.host = argv[1], .port = number(argv[2], 65535)};
    l.n = number(argv[3], AGENTS_MAX);
    l.tasks = argc > 4 ? number(argv[4], 10000) : 0;
    l.agents = xcalloc(l.n, sizeof(*l.agents));
    l.loop = loop_new();
    list_init(&l.waiting);
    timer_init(&l.retry, l.loop, on_retry);
    struct http_client_options client = {0};
    struct error err = ERROR_INIT;
    if (argc > 5 && tls_context_new_client(argv[5], true, &client.tls, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    l.tls = client.tls != NULL;
    l.client = http_client_new(l.loop, &client);
    rng_init(&l.rng, 1);
    struct loop_fd *in;
    if (loop_fd_new(l.loop, STDIN_FILENO, LOOP_READABLE, on_stdin, &l, &in) < 0) {
        fprintf(stderr, "stdin must be a pipe\n");
        return 2;
    }
    for (unsigned i = 0; i < l.n; i++) {
        struct agent *g = &l.agents[i];
        g->load = &l;
        g->index = i;
        list_init(&g->waiting);
        list_push(&l.waiting, &g->waiting);
    }
    l.began = clock_monotonic_us();
    dial(&l);
    loop_run(l.loop);
    timer_stop(&l.retry);
    loop_fd_free(in);
    http_client_free(l.client);
    for (unsigned i = 0; i < l.n; i++)
        if (l.agents[i].registered || l.agents[i].dialling)
            recordio_decoder_done(&l.agents[i].decoder);
    free(l.agents);
    loop_free(l.loop);
    if (client.tls)
        tls_context_free(client.tls);
    printf("launched %" PRIu64 " tasks\nkilled %" PRIu64 " tasks\n", l.launched, l.killed);
    printf("agents.cpu %.3f s\n", bench_cpu_s(RUSAGE_SELF));
    return 0;
}
