#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/election.h"
#include "master/shell.h"
#include "master/state.h"

/* /metrics/snapshot: counters and gauges by the old names. */

struct emit {
    void (*fn)(const char *name, double value, void *userdata);
    void *userdata;
};

static void put(const struct emit *e, const char *name, double value)
{
    e->fn(name, value, e->userdata);
}

/* The name in lower case. */
static void put_lower(
    const struct emit *e, size_t value, const char *prefix, const char *part, const char *suffix)
{
    char name[192];
    snprintf(name, sizeof(name), "%s%s%s", prefix, part, suffix);
    for (char *p = name; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    put(e, name, (double)value);
}

static void put_tasks(const struct emit *e, const struct master_core *core)
{
    uint64_t now[16] = {0};
    size_t unreachable = 0;
    MAP_FOREACH (entry, &core->frameworks) {
        const struct framework *f = entry->value;
        for (size_t i = 0; i < ARRAY_SIZE(now); i++)
            now[i] += f->stats.tasks_active[i];
        unreachable += f->n_unreachable;
    }
    put(e, "master/tasks_staging", (double)now[MESOS__V1__TASK_STATE__TASK_STAGING]);
    put(e, "master/tasks_starting", (double)now[MESOS__V1__TASK_STATE__TASK_STARTING]);
    put(e, "master/tasks_running", (double)now[MESOS__V1__TASK_STATE__TASK_RUNNING]);
    put(e, "master/tasks_killing", (double)now[MESOS__V1__TASK_STATE__TASK_KILLING]);
    put(e, "master/tasks_unreachable", (double)unreachable);
    const uint64_t *ended = core->stats.task_states;
    put(e, "master/tasks_finished", (double)ended[MESOS__V1__TASK_STATE__TASK_FINISHED]);
    put(e, "master/tasks_failed", (double)ended[MESOS__V1__TASK_STATE__TASK_FAILED]);
    put(e, "master/tasks_killed", (double)ended[MESOS__V1__TASK_STATE__TASK_KILLED]);
    put(e, "master/tasks_lost", (double)ended[MESOS__V1__TASK_STATE__TASK_LOST]);
    put(e, "master/tasks_error", (double)ended[MESOS__V1__TASK_STATE__TASK_ERROR]);
    put(e, "master/tasks_dropped", (double)ended[MESOS__V1__TASK_STATE__TASK_DROPPED]);
    put(e, "master/tasks_gone", (double)ended[MESOS__V1__TASK_STATE__TASK_GONE]);
    put(e, "master/tasks_gone_by_operator",
        (double)ended[MESOS__V1__TASK_STATE__TASK_GONE_BY_OPERATOR]);
    MAP_FOREACH (entry, &core->stats.task_reasons) {
        const struct reason_count *c = entry->value;
        char name[256];
        snprintf(name, sizeof(name), "master/%s", c->key);
        put(e, name, (double)c->n);
    }
}

static void put_resources(const struct emit *e, const struct master_core *core)
{
    static const char *const names[] = {"cpus", "gpus", "mem", "disk"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int64_t total[2] = {0}, used[2] = {0}, taken = 0;
        MAP_FOREACH (entry, &core->agents) {
            const struct agent *a = entry->value;
            if (a->state != AGENT_REGISTERED)
                continue;
            for (int revocable = 0; revocable < 2; revocable++) {
                total[revocable] += resources_scalar_if(&a->total, names[i], revocable);
                used[revocable] += resources_scalar_if(&a->used, names[i], revocable);
            }
            taken += resources_scalar(&a->used, names[i]) + resources_scalar(&a->offered, names[i]);
        }
        for (int revocable = 0; revocable < 2; revocable++) {
            char name[128];
            const char *kind = revocable ? "_revocable" : "";
            double t = (double)total[revocable] / 1000, u = (double)used[revocable] / 1000;
            snprintf(name, sizeof(name), "master/%s%s_total", names[i], kind);
            put(e, name, t);
            snprintf(name, sizeof(name), "master/%s%s_used", names[i], kind);
            put(e, name, u);
            snprintf(name, sizeof(name), "master/%s%s_percent", names[i], kind);
            put(e, name, t > 0 ? u / t : 0);
        }
        char name[128];
        snprintf(name, sizeof(name), "allocator/mesos/resources/%s/total", names[i]);
        put(e, name, (double)(total[0] + total[1]) / 1000);
        snprintf(name, sizeof(name), "allocator/mesos/resources/%s/offered_or_allocated", names[i]);
        put(e, name, (double)taken / 1000);
    }
}

static void put_operations(const struct emit *e, const struct master_core *core)
{
    enum { TYPES = 16, STATES = 10 };
    /* UNSUPPORTED is no state an operation can be in. */
    static const uint8_t types[] = {MESOS__V1__OFFER__OPERATION__TYPE__RESERVE,
        MESOS__V1__OFFER__OPERATION__TYPE__UNRESERVE, MESOS__V1__OFFER__OPERATION__TYPE__CREATE,
        MESOS__V1__OFFER__OPERATION__TYPE__DESTROY, MESOS__V1__OFFER__OPERATION__TYPE__GROW_VOLUME,
        MESOS__V1__OFFER__OPERATION__TYPE__SHRINK_VOLUME,
        MESOS__V1__OFFER__OPERATION__TYPE__CREATE_DISK,
        MESOS__V1__OFFER__OPERATION__TYPE__DESTROY_DISK};
    size_t n[TYPES][STATES] = {0}, by_type[TYPES] = {0}, by_state[STATES] = {0};
    MAP_FOREACH (entry, &core->operations) {
        const struct operation *op = entry->value;
        if (op->type >= TYPES || op->state >= STATES)
            continue;
        n[op->type][op->state]++;
        by_type[op->type]++;
        by_state[op->state]++;
    }
    char name[128];
    put(e, "master/operations/total", (double)map_size(&core->operations));
    for (size_t s = 1; s < STATES; s++) {
        const char *state = operation_state_name((Mesos__V1__OperationState)s) +
                            strlen("OPERATION_");
        put_lower(e, by_state[s], "master/operations/", state, "");
        for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
            snprintf(name, sizeof(name), "%s/%s",
                operation_type_name((Mesos__V1__Offer__Operation__Type)types[t]), state);
            put_lower(e, n[types[t]][s], "master/operations/", name, "");
        }
    }
    for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
        const char *type = operation_type_name((Mesos__V1__Offer__Operation__Type)types[t]);
        put_lower(e, by_type[types[t]], "master/operations/", type, "/total");
    }
}

static void put_messages(const struct emit *e, const struct master_stats *st)
{
#define CALL(type) ((double)st->calls[MESOS__V1__SCHEDULER__CALL__TYPE__##type])
    const struct {
        const char *name;
        double value;
    } all[] = {
        {"master/dropped_messages", (double)st->dropped_messages},
        {"master/messages_register_framework", CALL(SUBSCRIBE)},
        {"master/messages_reregister_framework", 0},
        {"master/messages_unregister_framework", CALL(TEARDOWN)},
        {"master/messages_deactivate_framework", 0},
        {"master/messages_kill_task", CALL(KILL)},
        {"master/messages_status_update_acknowledgement", CALL(ACKNOWLEDGE)},
        {"master/messages_resource_request", CALL(REQUEST)},
        {"master/messages_launch_tasks", CALL(ACCEPT)},
        {"master/messages_decline_offers", CALL(DECLINE)},
        {"master/messages_revive_offers", CALL(REVIVE)},
        {"master/messages_suppress_offers", CALL(SUPPRESS)},
        {"master/messages_reconcile_operations", CALL(RECONCILE_OPERATIONS)},
        {"master/messages_reconcile_tasks", CALL(RECONCILE)},
        {"master/messages_framework_to_executor", CALL(MESSAGE)},
        {"master/messages_operation_status_update_acknowledgement",
            CALL(ACKNOWLEDGE_OPERATION_STATUS)},
        {"master/messages_executor_to_framework", (double)st->messages_executor_to_framework},
        {"master/messages_register_slave", (double)st->messages_register_slave},
        {"master/messages_reregister_slave", (double)st->messages_reregister_slave},
        {"master/messages_unregister_slave", (double)st->messages_unregister_slave},
        {"master/messages_status_update", (double)st->messages_status_update},
        {"master/messages_exited_executor", (double)st->messages_exited_executor},
        {"master/messages_update_slave", (double)st->messages_update_slave},
        {"master/messages_operation_status_update", (double)st->messages_operation_status_update},
        {"master/messages_authenticate", 0},
        {"master/valid_framework_to_executor_messages", (double)st->valid_to_executor},
        {"master/invalid_framework_to_executor_messages", (double)st->invalid_to_executor},
        {"master/valid_executor_to_framework_messages", (double)st->valid_to_framework},
        {"master/invalid_executor_to_framework_messages", (double)st->invalid_to_framework},
        {"master/valid_status_updates", (double)st->valid_status_updates},
        {"master/invalid_status_updates", (double)st->invalid_status_updates},
        {"master/valid_status_update_acknowledgements", (double)st->valid_acks},
        {"master/invalid_status_update_acknowledgements", (double)st->invalid_acks},
        {"master/slave_registrations", (double)st->slave_registrations},
        {"master/slave_reregistrations", (double)st->slave_reregistrations},
        {"master/slave_removals", (double)st->slave_removals},
        {"master/slave_removals/reason_unhealthy", (double)st->slave_removals_unhealthy},
        {"master/slave_removals/reason_unregistered", (double)st->slave_removals_unregistered},
        {"master/slave_removals/reason_registered", (double)st->slave_removals_registered},
        /* Agents that do not answer are not told to end. */
        {"master/slave_shutdowns_scheduled", 0},
        {"master/slave_shutdowns_completed", 0},
        {"master/slave_shutdowns_canceled", 0},
        {"master/valid_operation_status_updates", (double)st->valid_operation_updates},
        {"master/invalid_operation_status_updates", (double)st->invalid_operation_updates},
        {"master/valid_operation_status_update_acknowledgements", (double)st->valid_operation_acks},
        {"master/invalid_operation_status_update_acknowledgements",
            (double)st->invalid_operation_acks},
        {"master/slave_unreachable_scheduled", (double)st->slave_unreachable_scheduled},
        {"master/slave_unreachable_completed", (double)st->slave_unreachable_completed},
        {"master/slave_unreachable_canceled", (double)st->slave_unreachable_canceled},
        {"master/recovery_slave_removals", (double)st->recovery_slave_removals},
        {"allocator/mesos/allocation_runs", (double)st->allocation_runs},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        put(e, all[i].name, all[i].value);
}

static void put_store(const struct emit *e, struct shell *s)
{
    struct store_stats st;
    store_stats(s->store, &st);
    put(e, "registrar/queued_operations", (double)st.queued);
    put(e, "registrar/registry_size_bytes", (double)s->registry_bytes);
    metric_timer_put(&s->fetch_ms, "registrar/state_fetch_ms", e->fn, e->userdata);
    metric_timer_put(&s->store_ms, "registrar/state_store_ms", e->fn, e->userdata);
    /* There is no replicated log: the store is one from the start, and recovered when it answers. A
     * master in waiting has nothing of its own to read: it is in step while it knows who leads. */
    _cleanup_buf_ struct buf leader = BUF_INIT;
    put(e, "registrar/log/recovered", s->leading ? s->recovered : election_leader(s, &leader));
    put(e, "registrar/log/ensemble_size", 1);
}

void each_metric(struct shell *s, metric_fn fn, void *userdata)
{
    const struct master_core *core = s->core;
    const struct emit e = {fn, userdata};
    struct master_counts c;
    master_core_counts(core, &c);
    put(&e, "master/uptime_secs", (double)(shell_now(s) - s->start_us) / 1e6);
    put(&e, "master/elected", s->leading);
    put(&e, "master/slaves_connected", (double)c.agents_connected);
    put(&e, "master/slaves_disconnected", (double)c.agents_disconnected);
    put(&e, "master/slaves_active", (double)c.agents_active);
    put(&e, "master/slaves_inactive",
        (double)(c.agents_connected + c.agents_disconnected - c.agents_active));
    put(&e, "master/slaves_unreachable", (double)c.agents_unreachable);
    put(&e, "master/frameworks_connected", (double)c.frameworks_connected);
    put(&e, "master/frameworks_disconnected", (double)c.frameworks_disconnected);
    put(&e, "master/frameworks_active", (double)c.frameworks_connected);
    put(&e, "master/frameworks_inactive", (double)c.frameworks_disconnected);
    put(&e, "master/outstanding_offers", (double)c.offers);
    put(&e, "master/operator_event_stream_subscribers", (double)s->n_operators);
    struct documents_stats documents;
    documents_stats(s->documents, &documents);
    put(&e, "master/http_cache_hits", (double)documents.hits);
    each_allocator_metric(s, fn, userdata);
    rate_limits_each_metric(s->rates, fn, userdata);
    /* One thread, no queues between actors. */
    put(&e, "allocator/event_queue_dispatches", 0);
    put(&e, "allocator/mesos/event_queue_dispatches", 0);
    put(&e, "master/event_queue_messages", 0);
    put(&e, "master/event_queue_dispatches", 0);
    put(&e, "master/event_queue_http_requests", 0);
    put_tasks(&e, core);
    put_resources(&e, core);
    put_messages(&e, &core->stats);
    put_operations(&e, core);
    metrics_put_frameworks(s, fn, userdata);
    put_store(&e, s);
    metrics_put_system(fn, userdata);
}
