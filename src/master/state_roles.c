#include <string.h>

#include "base/alloc.h"
#include "master/shell.h"
#include "master/state_json.h"

/* /roles and GET_ROLES. */

typedef int64_t quantities[QUANTITIES_MAX];

/* One role. Sums are of its subtree where not said otherwise. */
struct role_line {
    const char *name;
    const struct role *role; /* NULL when nothing is known but its name */
    quantities allocated, offered, reserved, consumed;
    quantities own;                      /* allocated and offered to exactly this role */
    const struct framework **frameworks; /* with the role, in their order */
    size_t n_frameworks, room;
};

/* A shared resource counts once however often it is there. */
static bool seen_before(const struct resources *all, const struct resource *r)
{
    if (!r->kind->shared)
        return false;
    for (const struct resource *x = all->items; x < r; x++)
        if (x->kind == r->kind)
            return true;
    return false;
}

static int find_quantity(const struct master_core *core, const struct resource *r)
{
    for (size_t i = 0; r->kind->type == RESOURCE_SCALAR && i < core->n_quantities; i++)
        if (streq(core->quantity_names[i], r->kind->name))
            return (int)i;
    return -1;
}

enum sum { SUM_ALLOCATED, SUM_OFFERED, SUM_RESERVED };

static void add_resources(const struct master_core *core, const struct map *lines,
    const struct resources *all, enum sum what)
{
    RESOURCES_FOREACH(r, all)
    {
        const char *role = what == SUM_RESERVED ? r->kind->role : r->kind->allocation_role;
        int q = find_quantity(core, r);
        if (q < 0 || !role || (what == SUM_RESERVED && !r->kind->n_reservations) ||
            seen_before(all, r))
            continue;
        bool counts = !r->kind->n_reservations && !r->kind->revocable;
        for (size_t n = strlen(role);;) {
            struct role_line *l = map_get_n(lines, role, n);
            if (l) {
                int64_t *sum = what == SUM_ALLOCATED ? l->allocated
                               : what == SUM_OFFERED ? l->offered
                                                     : l->reserved;
                sum[q] += r->milli;
                if (what == SUM_RESERVED || (what == SUM_ALLOCATED && counts))
                    l->consumed[q] += r->milli;
                if (what != SUM_RESERVED && role[n] == '\0')
                    l->own[q] += r->milli;
            }
            while (n > 0 && role[--n] != '/')
                ;
            if (n == 0)
                break;
        }
    }
}

static void add_frameworks(const struct master_core *core, struct arena *arena, struct map *lines)
{
    MAP_FOREACH (e, &core->frameworks) {
        size_t pos = 0;
        const struct framework *f = e->value;
        for (struct map_entry *ce; (ce = map_next(&f->clients, &pos));) {
            struct role_line *l = map_get(lines, ce->key);
            if (!l)
                continue;
            if (l->n_frameworks == l->room) {
                const struct framework **old = l->frameworks;
                l->room = l->room ? 2 * l->room : 4;
                l->frameworks = arena_new_array(arena, const struct framework *, l->room);
                if (old)
                    memcpy(l->frameworks, old, l->n_frameworks * sizeof(*old));
            }
            l->frameworks[l->n_frameworks++] = f;
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct role_line *const *)a)->name, (*(struct role_line *const *)b)->name);
}

static void add_line(
    struct arena *arena, struct map *lines, const char *name, const struct role *role)
{
    struct role_line *l = arena_new(arena, struct role_line);
    l->name = arena_strdup(arena, name);
    l->role = role;
    map_put(lines, l->name, l);
}

/* Those of --roles, or all in use, with a reservation, a weight or a quota, and above such. */
static struct role_line **role_lines(
    const struct master_core *core, struct arena *arena, size_t *ret_n)
{
    struct map lines = MAP_INIT;
    if (map_size(&core->role_whitelist)) {
        add_line(arena, &lines, "*", map_get(&core->roles, "*"));
        MAP_FOREACH (e, &core->role_whitelist)
            if (!map_get(&lines, e->key))
                add_line(arena, &lines, e->key, map_get(&core->roles, e->key));
    } else {
        MAP_FOREACH (e, &core->roles)
            add_line(arena, &lines, e->key, e->value);
    }
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        add_resources(core, &lines, &a->used, SUM_ALLOCATED);
        add_resources(core, &lines, &a->offered, SUM_OFFERED);
        add_resources(core, &lines, &a->total, SUM_RESERVED);
    }
    add_frameworks(core, arena, &lines);
    struct role_line **list = arena_new_array(arena, struct role_line *, map_size(&lines) + 1);
    *ret_n = 0;
    MAP_FOREACH (e, &lines)
        list[(*ret_n)++] = e->value;
    map_done(&lines);
    qsort(list, *ret_n, sizeof(*list), by_name);
    return list;
}

static double weight_of(const struct role_line *l)
{
    return l->role ? (double)l->role->tree.weight / 1000 : 1.0;
}

/* ---- /roles ---- */

/* Quantities that are there, as numbers. */
static void field_quantities(
    struct json_writer *w, const struct master_core *core, const char *key, const int64_t *q)
{
    jw_key(w, key);
    jw_begin_object(w);
    for (size_t i = 0; i < core->n_quantities; i++) {
        if (q[i] <= 0)
            continue;
        jw_key(w, core->quantity_names[i]);
        jw_milli(w, q[i]);
    }
    jw_end_object(w);
}

static void write_role(
    const struct operator_call *c, struct json_writer *w, const struct role_line *l)
{
    const struct master_core *core = c->s->core;
    static const quantities none = {0};
    const struct quota *q = l->role ? l->role->quota : NULL;
    jw_begin_object(w);
    jw_field_string(w, "name", l->name);
    jw_field_double(w, "weight", weight_of(l));
    jw_key(w, "quota");
    jw_begin_object(w);
    jw_field_string(w, "role", l->name);
    field_quantities(w, core, "guarantee", q ? q->guarantee : none);
    jw_key(w, "limit");
    jw_begin_object(w);
    for (size_t i = 0; q && i < core->n_quantities; i++) {
        if (q->limit[i] == NO_LIMIT)
            continue;
        jw_key(w, core->quantity_names[i]);
        jw_milli(w, q->limit[i]);
    }
    jw_end_object(w);
    field_quantities(w, core, "consumed", l->consumed);
    jw_end_object(w);
    quantities both;
    for (size_t i = 0; i < QUANTITIES_MAX; i++)
        both[i] = l->allocated[i] + l->offered[i];
    field_quantities(w, core, "resources", both);
    field_quantities(w, core, "allocated", l->allocated);
    field_quantities(w, core, "offered", l->offered);
    field_quantities(w, core, "reserved", l->reserved);
    jw_key(w, "frameworks");
    jw_begin_array(w);
    for (size_t i = 0; i < l->n_frameworks; i++)
        if (view_framework(&c->view, l->frameworks[i]))
            jw_string(w, l->frameworks[i]->id->text);
    jw_end_array(w);
    jw_end_object(w);
}

void write_roles(const struct operator_call *c, struct json_writer *w)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    size_t n;
    struct role_line **lines = role_lines(c->s->core, &arena, &n);
    jw_begin_object(w);
    jw_key(w, "roles");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        if (view_role(&c->view, lines[i]->name))
            write_role(c, w, lines[i]);
    jw_end_array(w);
    jw_end_object(w);
}

/* ---- GET_ROLES ---- */

static Mesos__V1__Resource **known_scalars(
    const struct master_core *core, const int64_t *q, struct arena *arena, size_t *ret_n)
{
    static const char *const known[] = {"cpus", "mem", "disk", "gpus"};
    struct resources r = RESOURCES_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        for (size_t k = 0; k < core->n_quantities; k++) {
            if (q[k] <= 0 || !streq(core->quantity_names[k], known[i]))
                continue;
            struct resource one = resource_make_scalar(known[i], q[k], NULL);
            resources_add_one(&r, &one);
            resource_done(&one);
        }
    }
    Mesos__V1__Resource **list = resources_to_wire(&r, 0, arena, ret_n);
    resources_done(&r);
    return list;
}

void operator_get_roles(struct operator_call *c)
{
    const struct master_core *core = c->s->core;
    struct arena *arena = &c->req->arena;
    Mesos__V1__Master__Response__GetRoles *ret = arena_alloc(arena, sizeof(*ret));
    mesos__v1__master__response__get_roles__init(ret);
    size_t n;
    struct role_line **lines = role_lines(core, arena, &n);
    ret->roles = arena_new_array(arena, Mesos__V1__Role *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (!view_role(&c->view, lines[i]->name))
            continue;
        Mesos__V1__Role *w = arena_alloc(arena, sizeof(*w));
        mesos__v1__role__init(w);
        w->name = (char *)(uintptr_t)lines[i]->name;
        w->has_weight = true;
        w->weight = weight_of(lines[i]);
        w->frameworks = arena_new_array(
            arena, Mesos__V1__FrameworkID *, lines[i]->n_frameworks + 1);
        for (size_t k = 0; k < lines[i]->n_frameworks; k++)
            if (view_framework(&c->view, lines[i]->frameworks[k]))
                w->frameworks[w->n_frameworks++] = lines[i]->frameworks[k]->info->id;
        w->resources = known_scalars(core, lines[i]->own, arena, &w->n_resources);
        ret->roles[ret->n_roles++] = w;
    }
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_ROLES;
    r.get_roles = ret;
    operator_respond(c, &r);
}
