#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * The tree of roles, and what counts where.
 *
 * Roles form a tree by their names' components. Each node has an order of its children by share,
 * and among them one place for its own clients; the clients of a role have an order too. A change
 * of what a client holds moves it, its role, and the role's ancestors. Totals change rarely (agents
 * come and go); then everything is sorted anew at the next allocation.
 *
 * Among roles count: what is allocated of unreserved resources, and all that is reserved, also
 * while nobody has it. Among the clients of a role counts all they have.
 */

int quantity_index(struct master_core *core, const char *name)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        if (strcmp(core->quantity_names[i], name) == 0)
            return (int)i;
    if (core->n_quantities == QUANTITIES_MAX)
        return -1;
    size_t n = core->n_quantities++;
    core->quantity_names[n] = xstrdup(name);
    for (size_t i = 0; i < core->n_excluded_names; i++)
        if (streq(core->excluded_names[i], name))
            core->excluded[n] = true;
    return (int)n;
}

struct amounts {
    int64_t all[QUANTITIES_MAX];
    int64_t unreserved[QUANTITIES_MAX]; /* revocable ones included */
    int64_t charged[QUANTITIES_MAX];    /* unreserved and not revocable */
};

/* Whether this is the first or the last use of a shared volume by the client; others do not count.
 * The same volume is told by its kind: ids of volumes are unique per role and agent, and in
 * practice everywhere. */
static bool shared_counts(struct client *c, const struct resource_kind *kind, int sign)
{
    VEC_FOREACH (u, &c->shared) {
        if (u->kind != kind)
            continue;
        if (sign > 0)
            return u->n++ == 0;
        if (--u->n > 0)
            return false;
        resource_kind_unref(u->kind);
        vec_remove(&c->shared, (size_t)(u - c->shared.items));
        return true;
    }
    if (sign > 0)
        vec_push(&c->shared, (struct shared_use){resource_kind_ref(kind), 1});
    return sign > 0;
}

static void sum_up(struct master_core *core, struct client *c, const struct resources *r, int sign,
    struct amounts *ret)
{
    *ret = (struct amounts){0};
    RESOURCES_FOREACH(item, r)
    {
        if (item->kind->type != RESOURCE_SCALAR)
            continue;
        int i = quantity_index(core, item->kind->name);
        if (i < 0 || (c && item->kind->shared && !shared_counts(c, item->kind, sign)))
            continue;
        ret->all[i] += item->milli;
        if (item->kind->n_reservations)
            continue;
        ret->unreserved[i] += item->milli;
        if (!item->kind->revocable)
            ret->charged[i] += item->milli;
    }
}

void totals_change(struct master_core *core, const struct resources *r, int sign)
{
    struct amounts amounts;
    sum_up(core, NULL, r, sign, &amounts);
    for (size_t i = 0; i < core->n_quantities; i++)
        core->totals[i] += sign * amounts.all[i];
    core->shares_stale = true;
}

/* ---- quota ---- */

int64_t role_unmet(const struct role *top, size_t quantity)
{
    if (!top->quota)
        return 0;
    int64_t lacks = top->quota->guarantee[quantity] - role_consumed(top, quantity);
    return lacks > 0 ? lacks : 0;
}

/* One more or less of what counts against the quota. */
static void consume(
    struct master_core *core, struct role *top, int64_t *what, size_t quantity, int64_t delta)
{
    int64_t before = role_unmet(top, quantity);
    *what += delta;
    core->required[quantity] += role_unmet(top, quantity) - before;
}

/* ---- shares ---- */

/* Moves a share to where its new amounts put it. */
static void charge(struct master_core *core, struct order *o, bool member, struct share *s,
    const int64_t *amounts, int sign, unsigned allocations)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        s->quantities[i] += sign * amounts[i];
    uint64_t count = s->count + allocations;
    if (core->shares_stale) {
        s->count = count;
        return; /* sorted anew before anybody looks */
    }
    int64_t dominant = share_dominant(core, s);
    if (member) {
        order_update(o, s, dominant, count);
    } else {
        s->dominant = dominant;
        s->count = count;
    }
}

void client_charge(struct master_core *core, struct client *c, const struct resources *r, int sign)
{
    struct amounts amounts;
    sum_up(core, c, r, sign, &amounts);
    unsigned one = sign > 0;
    charge(core, &c->role->clients, c->active, &c->share, amounts.all, sign, one);
    struct role *role = c->role;
    charge(core, &role->order, true, &role->own, amounts.unreserved, sign, one);
    for (; role->parent; role = role->parent)
        charge(core, &role->parent->order, true, &role->tree, amounts.unreserved, sign, one);
    struct role *top = c->role->top;
    for (size_t i = 0; i < core->n_quantities; i++)
        if (amounts.charged[i])
            consume(core, top, &top->unreserved[i], i, sign * amounts.charged[i]);
    if (core->n_quotas && (sign < 0 || top->quota))
        allocator_wake_held(core);
}

void shares_rebuild(struct master_core *core)
{
    if (!core->shares_stale)
        return;
    core->shares_stale = false;
    MAP_FOREACH (e, &core->roles) {
        struct role *role = e->value;
        role->tree.dominant = share_dominant(core, &role->tree);
        role->own.dominant = share_dominant(core, &role->own);
    }
    /* Inactive clients are in no order, but become active with what they hold. */
    MAP_FOREACH (e, &core->frameworks) {
        struct framework *f = e->value;
        size_t pos = 0;
        struct map_entry *ce;
        while ((ce = map_next(&f->clients, &pos))) {
            struct client *c = ce->value;
            c->share.dominant = share_dominant(core, &c->share);
        }
    }
    order_rebuild(&core->root.order);
    MAP_FOREACH (e, &core->roles) {
        struct role *role = e->value;
        order_rebuild(&role->order);
        order_rebuild(&role->clients);
    }
}

/* ---- the tree ---- */

static struct role *role_get(struct master_core *core, const char *name)
{
    if (name[0] == '\0')
        return &core->root;
    struct role *role = map_get(&core->roles, name);
    if (role)
        return role;
    shares_rebuild(core);
    char *parent_name = xstrdup(name);
    char *slash = strrchr(parent_name, '/');
    *(slash ? slash : parent_name) = '\0';
    role = xnew(struct role);
    role->id = name_new(name);
    role->name = role->id->text;
    role->parent = role_get(core, parent_name);
    free(parent_name);
    role->parent->refs++;
    role->top = role->parent == &core->root ? role : role->parent->top;
    role->order.random = core->config.role_sorter_random;
    role->clients.random = core->config.framework_sorter_random;
    role->tree.role = role->own.role = role;
    role->tree.name = role->name;
    role->own.name = ".";
    role->own.own = true;
    role->tree.weight = role->own.weight = WEIGHT_ONE;
    map_put(&core->roles, role->name, role);
    order_insert(&role->parent->order, &role->tree);
    order_insert(&role->order, &role->own);
    core->change++;
    return role;
}

struct role *role_ref(struct master_core *core, const char *name)
{
    struct role *role = role_get(core, name);
    role->refs++;
    return role;
}

void role_unref(struct master_core *core, struct role *role)
{
    while (role->parent && --role->refs == 0) {
        struct role *parent = role->parent;
        shares_rebuild(core);
        order_remove(&parent->order, &role->tree);
        map_remove(&core->roles, role->name);
        order_done(&role->order);
        order_done(&role->clients);
        free(role->quota);
        name_unref(role->id);
        free(role);
        role = parent;
        core->change++;
    }
}

void roles_done(struct master_core *core)
{
    /* What operators set holds a role; everybody else is gone by now. */
    for (;;) {
        struct role *held = NULL;
        MAP_FOREACH (e, &core->roles) {
            struct role *role = e->value;
            if (role->has_weight || role->quota)
                held = role;
        }
        if (!held)
            break;
        if (held->has_weight)
            role_set_weight(core, held->name, false, 0);
        else
            role_set_quota(core, held->name, NULL);
    }
    assert(map_size(&core->roles) == 0);
    map_done(&core->roles);
    order_done(&core->root.order);
    order_done(&core->root.clients);
}

void role_set_weight(struct master_core *core, const char *name, bool has, int64_t milli)
{
    struct role *role = has ? role_ref(core, name) : map_get(&core->roles, name);
    if (!role)
        return;
    bool had = role->has_weight;
    role->has_weight = has;
    role->tree.weight = has ? milli : WEIGHT_ONE;
    core->shares_stale = true;
    core->change++;
    if (had)
        role_unref(core, role);
}

void role_set_quota(struct master_core *core, const char *name, struct quota *q)
{
    struct role *role = q ? role_ref(core, name) : map_get(&core->roles, name);
    if (!role)
        return;
    struct quota *old = role->quota;
    bool guarantees = core->n_guarantees > 0;
    for (size_t i = 0; i < core->n_quantities; i++)
        core->required[i] -= role_unmet(role, i);
    role->quota = q;
    for (size_t i = 0; i < core->n_quantities; i++)
        core->required[i] += role_unmet(role, i);
    core->n_quotas += (size_t)(q != NULL) - (size_t)(old != NULL);
    core->n_guarantees += (size_t)(q && q->has_guarantee) - (size_t)(old && old->has_guarantee);
    core->change++;
    if (old) {
        role_unref(core, role);
        free(old);
    }
    /* What agents have free is counted only while somebody asks. */
    if (guarantees != (core->n_guarantees > 0))
        MAP_FOREACH (e, &core->agents)
            agent_recount(core, e->value);
}

/* ---- what agents have ---- */

/* Reservations count for the role they are made to, and among roles for all above it. */
static void reserve(struct master_core *core, const struct resource *r, int sign)
{
    int q = r->kind->type == RESOURCE_SCALAR ? quantity_index(core, r->kind->name) : -1;
    struct role *role = sign > 0 ? role_ref(core, r->kind->role)
                                 : map_get(&core->roles, r->kind->role);
    if (q >= 0) {
        int64_t amounts[QUANTITIES_MAX] = {0};
        amounts[q] = r->milli;
        struct role *at = role;
        charge(core, &at->order, true, &at->own, amounts, sign, 0);
        for (; at->parent; at = at->parent)
            charge(core, &at->parent->order, true, &at->tree, amounts, sign, 0);
        consume(core, role->top, &role->top->reserved[q], (size_t)q, sign * r->milli);
    }
    if (sign < 0)
        role_unref(core, role);
}

static void recount_reserved(struct master_core *core, struct agent *a)
{
    _cleanup_resources_ struct resources now = RESOURCES_INIT;
    resources_filter(&a->total, resource_is_reserved, NULL, &now);
    a->simple = resources_empty(&now);
    RESOURCES_FOREACH(r, &a->total)
    if (r->kind->revocable || r->kind->shared)
        a->simple = false;
    if (resources_empty(&now) && resources_empty(&a->counted_reserved))
        return;
    if (resources_equal(&now, &a->counted_reserved))
        return;
    RESOURCES_FOREACH(r, &now)
    reserve(core, r, +1);
    RESOURCES_FOREACH(r, &a->counted_reserved)
    reserve(core, r, -1);
    resources_done(&a->counted_reserved);
    resources_move(&a->counted_reserved, &now);
}

static void count_free(struct master_core *core, struct agent *a, bool counts)
{
    if (a->counted_free) {
        for (size_t i = 0; i < core->n_quantities; i++)
            core->free[i] -= a->counted_free[i];
        if (!counts) {
            free(a->counted_free);
            a->counted_free = NULL;
        }
    }
    if (!counts)
        return;
    if (!a->counted_free)
        a->counted_free = xnew_array(int64_t, QUANTITIES_MAX);
    memset(a->counted_free, 0, QUANTITIES_MAX * sizeof(int64_t));
    RESOURCES_FOREACH(r, &a->available)
    {
        int i = r->kind->type == RESOURCE_SCALAR && !r->kind->n_reservations && !r->kind->revocable
                    ? quantity_index(core, r->kind->name)
                    : -1;
        if (i >= 0)
            a->counted_free[i] += r->milli;
    }
    for (size_t i = 0; i < core->n_quantities; i++)
        core->free[i] += a->counted_free[i];
}

void agent_recount(struct master_core *core, struct agent *a)
{
    recount_reserved(core, a);
    if (core->n_guarantees || a->counted_free)
        count_free(core, a, core->n_guarantees > 0 && agent_offerable(core, a) == TRACE_AVAILABLE);
}

void agent_uncount(struct master_core *core, struct agent *a)
{
    RESOURCES_FOREACH(r, &a->counted_reserved)
    reserve(core, r, -1);
    resources_done(&a->counted_reserved);
    count_free(core, a, false);
}

/* ---- what must hold ---- */

void roles_check(const struct master_core *core)
{
    int64_t required[QUANTITIES_MAX] = {0}, available[QUANTITIES_MAX] = {0};
    MAP_FOREACH (e, &core->roles) {
        const struct role *role = e->value;
        assert(role->refs > 0);
        if (role->top != role)
            continue;
        for (size_t i = 0; i < core->n_quantities; i++)
            required[i] += role_unmet(role, i);
    }
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        for (size_t i = 0; a->counted_free && i < core->n_quantities; i++)
            available[i] += a->counted_free[i];
        assert(core->n_guarantees || !a->counted_free);
    }
    for (size_t i = 0; i < core->n_quantities; i++) {
        assert(core->required[i] == required[i]);
        assert(core->free[i] == available[i]);
    }
}

/* ---- clients ---- */

struct client *client_get(struct master_core *core, struct framework *f, const char *role)
{
    struct client *c = map_get(&f->clients, role);
    if (c)
        return c;
    c = xnew(struct client);
    c->slot = core->free_client_slots.n ? vec_pop(&core->free_client_slots)
                                        : ++core->n_client_slots;
    c->framework = f;
    c->role = role_ref(core, role);
    c->role->n_clients++;
    c->share.client = c;
    c->share.name = f->id->text;
    c->share.weight = WEIGHT_ONE;
    list_init(&c->filters);
    map_put(&f->clients, c->role->name, c);
    return c;
}

static void set_active(struct master_core *core, struct client *c, bool active)
{
    if (active == c->active)
        return;
    shares_rebuild(core);
    if (active)
        order_insert(&c->role->clients, &c->share);
    else
        order_remove(&c->role->clients, &c->share);
    c->active = active;
    for (struct role *role = c->role; role; role = role->parent)
        role->n_active += active ? 1 : (size_t)-1;
}

void client_refresh(struct master_core *core, struct client *c)
{
    set_active(core, c, c->subscribed && !c->suppressed && c->framework->connected);
}

void core_client_free(struct master_core *core, struct client *c)
{
    filters_clear_client(core, c);
    set_active(core, c, false);
    /* Shares may be counted anew while its role goes, and then all clients are. */
    map_remove(&c->framework->clients, c->role->name);
    VEC_FOREACH (u, &c->shared)
        resource_kind_unref(u->kind);
    vec_done(&c->shared);
    c->role->n_clients--;
    role_unref(core, c->role);
    vec_push(&core->free_client_slots, c->slot);
    if (c->n_min)
        core->n_custom_min--;
    for (size_t i = 0; i < c->n_min; i++)
        free(c->min[i].items);
    free(c->min);
    free(c->results);
    free(c);
}
