#include "agent/agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/gc.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

/*
 * Between the core and the world: what comes out of the core is stored first and carried out after,
 * in order. Outputs without mutations wait for those before them all the same.
 */

struct pending {
    struct list node;
    struct agent *agent;
    struct agent_output out;
    size_t commits; /* under way */
};

_noreturn_ void agent_die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct error e = ERROR_INIT;
    error_setv(&e, -1, fmt, ap);
    va_end(ap);
    log_error("%s", e.msg);
    _exit(EXIT_FAILURE);
}

void agent_now(struct agent_now *ret)
{
    ret->mono_us = clock_monotonic_us();
    ret->wall_us = clock_realtime_us();
    ret->boot_us = clock_boottime_us();
    random_bytes(ret->entropy, sizeof(ret->entropy));
}

/* ---- effects ---- */

static void registered(struct agent *a, const char *id)
{
    a->registered_wall_us = clock_realtime_us();
    log_info("registered with master agent=%s master=%s", id,
        a->core->master_id ? a->core->master_id : "?");
    agent_link_registered(a);
}

static void start_link(struct agent *a)
{
    struct error err = ERROR_INIT;
    if (agent_link_start(a, &err) < 0)
        agent_die("%s", err.msg);
}

static void carry_out(struct agent *a, const struct agent_effect *e)
{
    switch (e->type) {
    case AGENT_TO_MASTER:
        agent_link_send(a, e);
        break;
    case AGENT_TO_EXECUTOR:
        agent_conn_send(a, e);
        break;
    case AGENT_CLOSE_EXECUTOR:
        agent_conn_close(a, e->number);
        break;
    case AGENT_LAUNCH:
        agent_launch(a, e);
        break;
    case AGENT_UPDATE_CONTAINER:
        agent_update_container(a, e->container_id);
        break;
    case AGENT_DESTROY:
        agent_destroy(a, e->container_id);
        break;
    case AGENT_EXECUTOR_GONE:
        agent_gc_executor(a, e->framework_id, e->executor_id, e->container_id);
        break;
    case AGENT_FRAMEWORK_GONE:
        agent_gc_framework(a, e->framework_id);
        break;
    case AGENT_VOLUME_CREATE:
    case AGENT_VOLUME_DESTROY:
        agent_volume_work(a, e);
        break;
    case AGENT_RECOVERED:
        log_info(
            "recovered executors=%zu tasks=%zu", map_size(&a->core->containers), a->core->n_tasks);
        start_link(a);
        break;
    case AGENT_REGISTERED:
        registered(a, e->message);
        break;
    case AGENT_RELINK:
        agent_link_drop(a, e);
        break;
    case AGENT_EXIT:
        log_info("leaving: %s", e->message);
        agent_link_finish(a);
        break;
    }
}

static void release(struct deferred *d)
{
    struct agent *a = container_of(d, struct agent, release);
    for (;;) {
        struct pending *p = list_first(&a->pending, struct pending, node);
        if (!p || p->commits || a->stopping)
            break;
        list_remove(&p->node);
        VEC_FOREACH (e, &p->out.effects)
            if (!e->urgent)
                carry_out(a, e);
        agent_output_done(&p->out);
        free(p);
        /* Carrying out may have told the core something. */
        agent_pump(a);
    }
}

static void committed(int status, ssize_t failed_op, const int64_t *versions, void *userdata)
{
    struct pending *p = userdata;
    (void)failed_op;
    (void)versions;
    if (status < 0)
        agent_die("agent.db cannot be written: %s", store_failure(p->agent->store));
    p->commits--;
    if (!p->commits)
        loop_defer(p->agent->loop, &p->agent->release);
}

static void store_output(struct agent *a, struct pending *p)
{
    struct store_op ops[STORE_BATCH_OPS_MAX];
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i <= p->out.mutations.n; i++) {
        bool last = i == p->out.mutations.n;
        const struct agent_mutation *m = last ? NULL : &p->out.mutations.items[i];
        size_t size = m ? store_op_size(m->key, m->n) : 0;
        if (n && (last || n == ARRAY_SIZE(ops) || bytes + size > STORE_BATCH_MAX)) {
            struct error err = ERROR_INIT;
            if (store_commit(a->store, ops, n, committed, p, &err) < 0)
                agent_die("agent.db cannot be written: %s", err.msg);
            p->commits++;
            n = 0;
            bytes = 0;
        }
        if (last)
            break;
        ops[n++] = (struct store_op){
            .type = m->value ? STORE_PUT : STORE_DELETE,
            .key = m->key,
            .value = m->value,
            .n = m->n,
            .version = STORE_ANY_VERSION,
        };
        bytes += size;
    }
}

static void core_timer_fired(struct timer *t)
{
    struct agent *a = container_of(t, struct agent, core_timer);
    struct agent_now now;
    agent_now(&now);
    agent_core_tick(a->core, &now);
    agent_pump(a);
}

void agent_pump(struct agent *a)
{
    struct agent_output out;
    while (agent_core_take(a->core, &out)) {
        struct pending *p = xnew(struct pending);
        p->agent = a;
        p->out = out;
        list_push(&a->pending, &p->node);
        store_output(a, p);
        if (!p->commits)
            loop_defer(a->loop, &a->release);
        VEC_FOREACH (e, &p->out.effects)
            if (e->urgent)
                carry_out(a, e);
    }
    if (a->recovery_us < 0 && !a->core->recovering)
        a->recovery_us = clock_realtime_us() - a->start_wall_us;
    int64_t deadline = agent_core_next_deadline(a->core);
    if (deadline == INT64_MAX)
        timer_stop(&a->core_timer);
    else
        timer_start(&a->core_timer, deadline - clock_monotonic_us());
}

/* ---- start ---- */

struct restore {
    struct agent *agent;
    struct error *err;
    int status;
};

static bool restore_entry(const struct store_entry *entry, void *userdata)
{
    struct restore *r = userdata;
    r->status = agent_core_restore(
        r->agent->core, entry->key, entry->value.p, entry->value.n, r->err);
    return r->status >= 0;
}

int agent_shell_start(struct agent *a, struct error *err)
{
    list_init(&a->pending);
    deferred_init(&a->release, release);
    timer_init(&a->core_timer, a->loop, core_timer_fired);
    struct restore restore = {.agent = a, .err = err};
    int n = store_list(a->store, "", NULL, SIZE_MAX / 2, restore_entry, &restore, err);
    if (n < 0)
        return error_prefix(err, n, "cannot read agent.db");
    if (restore.status < 0)
        return error_prefix(err, restore.status, "agent.db is damaged");
    struct agent_now now;
    agent_now(&now);
    int r = agent_core_start(a->core, &now, err);
    if (r < 0)
        return r;
    agent_recover_containers(a);
    agent_pump(a);
    return 0;
}

void agent_shell_stop(struct agent *a)
{
    timer_stop(&a->core_timer);
    deferred_cancel(&a->release);
    LIST_FOREACH_SAFE (p, &a->pending, struct pending, node) {
        list_remove(&p->node);
        agent_output_done(&p->out);
        free(p);
    }
}
