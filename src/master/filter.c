#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "master/state.h"

/* Refusals: what a client declined on an agent is not offered to it again for a while. */

static const int64_t DEFAULT_REFUSE_US = 5 * USEC_PER_SEC;
static const int64_t REFUSE_MAX_US = INT64_C(365) * 24 * 3600 * USEC_PER_SEC;

static uint64_t filter_key(const struct client *c, const struct agent *a)
{
    return (uint64_t)c->slot << 32 | a->slot;
}

void core_filter_free(struct master_core *core, struct filter *f)
{
    umap_remove(&core->filters, filter_key(f->client, f->agent));
    core_timer_stop(core, &f->timer);
    list_remove(&f->client_node);
    f->client->n_filters--;
    list_remove(&f->agent_node);
    resources_done(&f->resources);
    free(f);
}

static void filter_due(struct master_core *core, struct core_timer *t, int64_t now_us)
{
    struct filter *f = container_of(t, struct filter, timer);
    mark_dirty(core, f->agent);
    core_filter_free(core, f);
}

void filter_add(struct master_core *core, struct client *c, struct agent *a,
    const struct resources *r, int64_t duration_us)
{
    if (duration_us <= 0 || resources_empty(r))
        return;
    struct filter *f = umap_get(&core->filters, filter_key(c, a));
    if (!f) {
        f = xnew(struct filter);
        f->client = c;
        f->agent = a;
        f->timer.fn = filter_due;
        list_init(&f->client_node);
        list_init(&f->agent_node);
        list_push(&c->filters, &f->client_node);
        c->n_filters++;
        list_push(&a->filters, &f->agent_node);
        umap_put(&core->filters, filter_key(c, a), f);
    }
    /* A second refusal replaces the first: it was made for everything there was. */
    resources_assign(&f->resources, r);
    int64_t due;
    if (__builtin_add_overflow(core->now, duration_us, &due))
        due = INT64_MAX - 1;
    core_timer_start(core, &f->timer, due);
}

bool filter_blocks(struct master_core *core, const struct client *c, const struct agent *a,
    const struct resources *r, int64_t *ret_until_us)
{
    const struct filter *f = c->n_filters ? umap_get(&core->filters, filter_key(c, a)) : NULL;
    if (!f || !resources_contains(&f->resources, r))
        return false;
    if (ret_until_us)
        *ret_until_us = f->timer.node.key;
    return true;
}

void filters_clear_client(struct master_core *core, struct client *c)
{
    struct filter *f;
    while ((f = list_first(&c->filters, struct filter, client_node)))
        core_filter_free(core, f);
}

void filters_clear_agent(struct master_core *core, struct agent *a)
{
    struct filter *f;
    while ((f = list_first(&a->filters, struct filter, agent_node)))
        core_filter_free(core, f);
}

int64_t filters_duration_us(const Mesos__V1__Filters *f)
{
    double seconds = f && f->has_refuse_seconds ? f->refuse_seconds : 5.0;
    if (isnan(seconds) || seconds < 0 || seconds > 9.2e9)
        return DEFAULT_REFUSE_US;
    if (seconds > (double)REFUSE_MAX_US / (double)USEC_PER_SEC)
        return REFUSE_MAX_US;
    return (int64_t)llround(seconds * (double)USEC_PER_SEC);
}
