#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"

/*
 * Dominant-resource fairness, kept up to date by steps.
 *
 * Roles form a tree by their names' components. Each node has an order of its children by share,
 * and among them one place for its own clients; the clients of a role have an order too. A change
 * of what a client holds moves it, its role, and the role's ancestors to their new places: binary
 * search and memmove. Totals change rarely (agents come and go); then everything is sorted anew at
 * the next allocation.
 */

static int compare(const struct share *a, const struct share *b)
{
    if (a->dominant != b->dominant)
        return a->dominant < b->dominant ? -1 : 1;
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* First index whose item is not less than s. */
static size_t lower_bound(const struct order *o, const struct share *s)
{
    size_t low = 0, high = o->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare(o->items[mid], s) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void order_insert(struct order *o, struct share *s)
{
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 4;
        o->items = xreallocarray(o->items, o->cap, sizeof(struct share *));
    }
    size_t i = lower_bound(o, s);
    memmove(o->items + i + 1, o->items + i, (o->n - i) * sizeof(struct share *));
    o->items[i] = s;
    o->n++;
}

/* The share's keys must be those it was inserted with. */
static void order_remove(struct order *o, struct share *s)
{
    size_t i = lower_bound(o, s);
    assert(i < o->n && o->items[i] == s);
    o->n--;
    memmove(o->items + i, o->items + i + 1, (o->n - i) * sizeof(struct share *));
}

static int64_t dominant(const struct master_core *core, const struct share *s)
{
    int64_t max = 0;
    for (size_t i = 0; i < core->n_quantities; i++) {
        if (core->totals[i] <= 0 || s->quantities[i] <= 0)
            continue;
        int64_t share = (int64_t)(((__int128)s->quantities[i] << 30) / core->totals[i]);
        max = MAX(max, share);
    }
    return max;
}

/* Index of a scalar's name; -1 when the table is full. */
static int quantity_index(struct master_core *core, const char *name)
{
    for (size_t i = 0; i < core->n_quantities; i++)
        if (strcmp(core->quantity_names[i], name) == 0)
            return (int)i;
    if (core->n_quantities == QUANTITIES_MAX)
        return -1;
    core->quantity_names[core->n_quantities] = xstrdup(name);
    return (int)core->n_quantities++;
}

struct amounts {
    int64_t q[QUANTITIES_MAX];
};

static void sum_up(struct master_core *core, const struct resources *r, struct amounts *ret)
{
    *ret = (struct amounts){0};
    RESOURCES_FOREACH(item, r)
    {
        if (item->kind->type != RESOURCE_SCALAR)
            continue;
        int i = quantity_index(core, item->kind->name);
        if (i >= 0)
            ret->q[i] += item->milli;
    }
}

void totals_change(struct master_core *core, const struct resources *r, int sign)
{
    struct amounts amounts;
    sum_up(core, r, &amounts);
    for (size_t i = 0; i < core->n_quantities; i++)
        core->totals[i] += sign * amounts.q[i];
    core->shares_stale = true;
}

/* Moves a share to where its new amounts put it. */
static void charge(struct master_core *core, struct order *o, bool member, struct share *s,
    const struct amounts *amounts, int sign)
{
    if (member && !core->shares_stale)
        order_remove(o, s);
    for (size_t i = 0; i < core->n_quantities; i++)
        s->quantities[i] += sign * amounts->q[i];
    if (sign > 0)
        s->count++;
    if (core->shares_stale)
        return; /* sorted anew before anybody looks */
    s->dominant = dominant(core, s);
    if (member)
        order_insert(o, s);
}

void client_charge(struct master_core *core, struct client *c, const struct resources *r, int sign)
{
    struct amounts amounts;
    sum_up(core, r, &amounts);
    charge(core, &c->role->clients, c->active, &c->share, &amounts, sign);
    struct role *role = c->role;
    charge(core, &role->order, true, &role->own, &amounts, sign);
    for (; role->parent; role = role->parent)
        charge(core, &role->parent->order, true, &role->tree, &amounts, sign);
}

static void rebuild_order(struct master_core *core, struct order *o)
{
    for (size_t i = 0; i < o->n; i++)
        o->items[i]->dominant = dominant(core, o->items[i]);
    /* Insertion of a nearly sorted list; merge sort would need memory for nothing. */
    struct order sorted = {.items = xnew_array(struct share *, o->n + 1), .cap = o->n + 1};
    for (size_t i = 0; i < o->n; i++)
        order_insert(&sorted, o->items[i]);
    free(o->items);
    *o = sorted;
}

void shares_rebuild(struct master_core *core)
{
    if (!core->shares_stale)
        return;
    core->shares_stale = false;
    rebuild_order(core, &core->root.order);
    MAP_FOREACH (e, &core->roles) {
        struct role *role = e->value;
        rebuild_order(core, &role->order);
        rebuild_order(core, &role->clients);
    }
    /* Inactive clients are in no order, but become active with what they hold. */
    MAP_FOREACH (e, &core->frameworks) {
        struct framework *f = e->value;
        size_t pos = 0;
        struct map_entry *ce;
        while ((ce = map_next(&f->clients, &pos))) {
            struct client *c = ce->value;
            if (!c->active)
                c->share.dominant = dominant(core, &c->share);
        }
    }
}

/* ---- the tree of roles ---- */

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
    role->name = xstrdup(name);
    role->parent = role_get(core, parent_name);
    free(parent_name);
    role->parent->refs++;
    role->tree.role = role->own.role = role;
    role->tree.name = role->name;
    role->own.name = ".";
    role->own.own = true;
    map_put(&core->roles, role->name, role);
    order_insert(&role->parent->order, &role->tree);
    order_insert(&role->order, &role->own);
    return role;
}

static void role_unref(struct master_core *core, struct role *role)
{
    while (role->parent && --role->refs == 0) {
        struct role *parent = role->parent;
        shares_rebuild(core);
        order_remove(&parent->order, &role->tree);
        map_remove(&core->roles, role->name);
        free(role->order.items);
        free(role->clients.items);
        free(role->name);
        free(role);
        role = parent;
    }
}

void roles_done(struct master_core *core)
{
    assert(map_size(&core->roles) == 0);
    map_done(&core->roles);
    free(core->root.order.items);
    free(core->root.clients.items);
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
    c->role = role_get(core, role);
    c->role->refs++;
    c->role->n_clients++;
    c->share.client = c;
    c->share.name = f->id->text;
    list_init(&c->filters);
    map_put(&f->clients, c->role->name, c);
    return c;
}

void client_refresh(struct master_core *core, struct client *c)
{
    bool active = c->subscribed && !c->suppressed && c->framework->connected;
    if (active == c->active)
        return;
    shares_rebuild(core);
    if (active)
        order_insert(&c->role->clients, &c->share);
    else
        order_remove(&c->role->clients, &c->share);
    c->active = active;
}

void core_client_free(struct master_core *core, struct client *c)
{
    shares_rebuild(core);
    filters_clear_client(core, c);
    if (c->active)
        order_remove(&c->role->clients, &c->share);
    c->role->n_clients--;
    role_unref(core, c->role);
    vec_push(&core->free_client_slots, c->slot);
    if (c->n_min)
        core->n_custom_min--;
    for (size_t i = 0; i < c->n_min; i++)
        free(c->min[i].items);
    free(c->min);
    free(c);
}
