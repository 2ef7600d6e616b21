/*
 * A scheduler that launches COUNT command tasks on the first offer it gets, all in one call, and
 * acknowledges what comes: load for agent_tasks.py, which starts the daemons.
 *
 * Usage: load_tasks MASTER COUNT COMMAND
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench_util.h"
#include "bench_wire.h"
#include "scheduler/client.h"

struct load {
    struct loop *loop;
    struct scheduler_client *client;
    const char *command;
    uint32_t count;
    bool launched;
    uint32_t running, finished, failed;
    int64_t began, first_running, all_running, all_finished;
};

static void fill_subscribe(Mesos__V1__Scheduler__Call *call, struct arena *arena, void *userdata)
{
    Mesos__V1__FrameworkInfo *info = MSG(
        arena, Mesos__V1__FrameworkInfo, mesos__v1__framework_info);
    info->user = arena_strdup(arena, "root");
    info->name = arena_strdup(arena, "load");
    call->subscribe = MSG(
        arena, Mesos__V1__Scheduler__Call__Subscribe, mesos__v1__scheduler__call__subscribe);
    call->subscribe->framework_info = info;
}

static void call(struct load *l, Mesos__V1__Scheduler__Call *c)
{
    if (scheduler_client_call(l->client, c) < 0) {
        fprintf(stderr, "the subscription broke\n");
        exit(1);
    }
}

static void launch(struct load *l, const Mesos__V1__Offer *o)
{
    _cleanup_arena_ struct arena a = ARENA_INIT;
    Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
    Mesos__V1__OfferID *offer_id = o->id;
    c.has_type = true;
    c.type = MESOS__V1__SCHEDULER__CALL__TYPE__ACCEPT;
    c.accept = MSG(&a, Mesos__V1__Scheduler__Call__Accept, mesos__v1__scheduler__call__accept);
    c.accept->n_offer_ids = 1;
    c.accept->offer_ids = &offer_id;
    Mesos__V1__Offer__Operation *op = MSG(
        &a, Mesos__V1__Offer__Operation, mesos__v1__offer__operation);
    op->has_type = true;
    op->type = MESOS__V1__OFFER__OPERATION__TYPE__LAUNCH;
    op->launch = MSG(&a, Mesos__V1__Offer__Operation__Launch, mesos__v1__offer__operation__launch);
    op->launch->task_infos = arena_new_array(&a, Mesos__V1__TaskInfo *, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        Mesos__V1__TaskInfo *t = MSG(&a, Mesos__V1__TaskInfo, mesos__v1__task_info);
        t->name = arena_strdup(&a, "task");
        t->task_id = MSG(&a, Mesos__V1__TaskID, mesos__v1__task_id);
        t->task_id->value = arena_printf(&a, "task-%" PRIu32, i);
        t->agent_id = o->agent_id;
        t->command = MSG(&a, Mesos__V1__CommandInfo, mesos__v1__command_info);
        t->command->value = arena_strdup(&a, l->command);
        t->n_resources = 2;
        t->resources = arena_new_array(&a, Mesos__V1__Resource *, 2);
        t->resources[0] = scalar(&a, "cpus", 0.5);
        t->resources[1] = scalar(&a, "mem", 32);
        op->launch->task_infos[op->launch->n_task_infos++] = t;
    }
    c.accept->n_operations = 1;
    c.accept->operations = &op;
    l->launched = true;
    l->began = clock_monotonic_us();
    call(l, &c);
}

static void update(struct load *l, const Mesos__V1__TaskStatus *s)
{
    int64_t now = clock_monotonic_us();
    if (s->state == MESOS__V1__TASK_STATE__TASK_RUNNING) {
        if (!l->running)
            l->first_running = now;
        if (++l->running == l->count)
            l->all_running = now;
    } else if (s->state == MESOS__V1__TASK_STATE__TASK_FINISHED) {
        l->finished++;
    } else if (s->state != MESOS__V1__TASK_STATE__TASK_STARTING &&
               s->state != MESOS__V1__TASK_STATE__TASK_STAGING) {
        if (l->failed++ < 5)
            fprintf(stderr, "%s is in state %d: %s\n", s->task_id->value, s->state,
                s->message ? s->message : "");
    }
    if (s->has_uuid) {
        _cleanup_arena_ struct arena a = ARENA_INIT;
        Mesos__V1__Scheduler__Call c = MESOS__V1__SCHEDULER__CALL__INIT;
        c.has_type = true;
        c.type = MESOS__V1__SCHEDULER__CALL__TYPE__ACKNOWLEDGE;
        c.acknowledge = MSG(
            &a, Mesos__V1__Scheduler__Call__Acknowledge, mesos__v1__scheduler__call__acknowledge);
        c.acknowledge->agent_id = s->agent_id;
        c.acknowledge->task_id = s->task_id;
        c.acknowledge->has_uuid = true;
        c.acknowledge->uuid = s->uuid;
        call(l, &c);
    }
    if (l->finished + l->failed == l->count) {
        l->all_finished = now;
        loop_stop(l->loop);
    }
}

static void on_event(const Mesos__V1__Scheduler__Event *e, void *userdata)
{
    struct load *l = userdata;
    if (e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__OFFERS && !l->launched)
        launch(l, e->offers->offers[0]);
    else if (e->type == MESOS__V1__SCHEDULER__EVENT__TYPE__UPDATE)
        update(l, e->update->status);
}

static void on_disconnected(const char *reason, void *userdata)
{
    fprintf(stderr, "disconnected: %s\n", reason);
    exit(1);
}

static void on_refused(int status, const char *text, void *userdata)
{
    fprintf(stderr, "refused with %d: %s\n", status, text);
    exit(1);
}

int main(int argc, char **argv)
{
    struct load l = {0};
    if (argc != 4 || parse_u32(str_of(argv[2]), &l.count) < 0 || !l.count) {
        fprintf(stderr, "usage: load_tasks MASTER COUNT COMMAND\n");
        return 2;
    }
    l.command = argv[3];
    l.loop = loop_new();
    const struct scheduler_options options = {.masters = argv[1]};
    const struct scheduler_handlers handlers = {
        .fill_subscribe = fill_subscribe,
        .on_event = on_event,
        .on_disconnected = on_disconnected,
        .on_refused = on_refused,
    };
    struct error err = ERROR_INIT;
    if (scheduler_client_new(l.loop, &options, &handlers, &l, &l.client, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    scheduler_client_start(l.client);
    loop_run(l.loop);
    scheduler_client_free(l.client);
    loop_free(l.loop);
    printf("tasks %" PRIu32 " tasks\n", l.count);
    printf("first.running %.3f s\n", (double)(l.first_running - l.began) / 1e6);
    if (l.all_running)
        printf("all.running %.3f s (must be < 3 for 1,000)\n",
            (double)(l.all_running - l.began) / 1e6);
    printf("all.finished %.3f s\n", (double)(l.all_finished - l.began) / 1e6);
    printf("failed %" PRIu32 " tasks\n", l.failed);
    printf("scheduler.cpu %.3f s\n", bench_cpu_s(RUSAGE_SELF));
    return l.failed ? 1 : 0;
}
