#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "master/shell.h"
#include "master/state_json.h"

/* /tasks and /roles. */

/* ---- /tasks ---- */

struct row {
    const struct task *task;
    double first; /* time of its first status; none sorts before all */
    size_t position;
};

struct rows {
    struct row *items;
    size_t n, cap;
};

static void add_row(
    const struct operator_call *c, struct rows *rows, const struct task *t, struct str only_task)
{
    if ((only_task.p && !str_eq_c(only_task, t->id)) || !view_task(&c->view, t))
        return;
    struct row row = {.task = t, .first = -1, .position = rows->n};
    if (t->n_statuses) {
        _cleanup_arena_ struct arena arena = ARENA_INIT;
        row.first = task_status_at(t, 0, &arena)->timestamp;
    }
    vec_push(rows, row);
}

static void add_framework(const struct operator_call *c, struct rows *rows,
    const struct framework *f, struct str only_task)
{
    size_t pos = 0;
    struct map_entry *e;
    while ((e = map_next(&f->tasks, &pos)))
        add_row(c, rows, e->value, only_task);
    LIST_FOREACH (t, &f->unreachable, struct task, place_node)
        add_row(c, rows, t, only_task);
    LIST_FOREACH (t, &f->completed, struct task, place_node)
        add_row(c, rows, t, only_task);
}

static int ascending(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->first < y->first || x->first > y->first)
        return x->first < y->first ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

static size_t number_param(struct http_request *req, const char *name, size_t fallback)
{
    uint64_t v;
    struct str text = http_request_param(req, name);
    return text.p && parse_u64(text, &v) == 0 ? (size_t)v : fallback;
}

void write_tasks(const struct operator_call *c, struct json_writer *w)
{
    const struct master_core *core = c->s->core;
    struct str only_framework = http_request_param(c->req, "framework_id");
    struct str only_task = http_request_param(c->req, "task_id");
    struct str order = http_request_param(c->req, "order");
    size_t limit = number_param(c->req, "limit", 100), offset = number_param(c->req, "offset", 0);
    struct rows rows = {0};
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        if (!only_framework.p || str_eq_c(only_framework, f->id->text))
            add_framework(c, &rows, f, only_task);
    }
    LIST_FOREACH (f, &core->completed_frameworks, struct framework, node) {
        if (!only_framework.p || str_eq_c(only_framework, f->id->text))
            add_framework(c, &rows, f, only_task);
    }
    if (rows.n)
        qsort(rows.items, rows.n, sizeof(rows.items[0]),
            !order.p || str_eq_c(order, "asc") ? ascending : descending);
    jw_begin_object(w);
    jw_key(w, "tasks");
    jw_begin_array(w);
    for (size_t i = offset; i < rows.n && i - offset < limit; i++)
        state_write_task(w, rows.items[i].task);
    jw_end_array(w);
    jw_end_object(w);
    vec_done(&rows);
}

/* ---- /roles ---- */

/* Quantities that are there, as numbers. */
static void field_quantities(struct json_writer *w, const char *key, const struct resources *r)
{
    _cleanup_resources_ struct resources plain = RESOURCES_INIT;
    resources_to_quantities(r, &plain);
    jw_key(w, key);
    jw_begin_object(w);
    RESOURCES_FOREACH(item, &plain)
    {
        if (item->kind->type != RESOURCE_SCALAR)
            continue;
        jw_key(w, item->kind->name);
        jw_milli(w, item->milli);
    }
    jw_end_object(w);
}

static bool allocated_below(const struct resource *r, const void *role)
{
    const char *have = r->kind->allocation_role;
    size_t n = strlen(role);
    return have && strncmp(have, role, n) == 0 && (have[n] == '\0' || have[n] == '/');
}

static bool reserved_below(const struct resource *r, const void *role)
{
    const char *have = r->kind->role;
    size_t n = strlen(role);
    return r->kind->n_reservations && strncmp(have, role, n) == 0 &&
           (have[n] == '\0' || have[n] == '/');
}

/* Names in order: every role with a framework or a reservation, and their ancestors. */
static void collect_roles(const struct master_core *core, struct arena *arena, struct map *names)
{
    MAP_FOREACH (e, &core->roles)
        map_put(names, e->key, e->value);
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        RESOURCES_FOREACH(r, &a->total)
        {
            if (!r->kind->n_reservations)
                continue;
            char *name = arena_strdup(arena, r->kind->role);
            for (;;) {
                if (!map_get(names, name))
                    map_put(names, arena_strdup(arena, name), name);
                char *slash = strrchr(name, '/');
                if (!slash)
                    break;
                name = arena_strndup(arena, name, (size_t)(slash - name));
            }
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_role(const struct operator_call *c, struct json_writer *w, const char *name)
{
    const struct master_core *core = c->s->core;
    _cleanup_resources_ struct resources allocated = RESOURCES_INIT, offered = RESOURCES_INIT,
                                         reserved = RESOURCES_INIT, both = RESOURCES_INIT;
    MAP_FOREACH (e, &core->agents) {
        const struct agent *a = e->value;
        _cleanup_resources_ struct resources u = RESOURCES_INIT, o = RESOURCES_INIT,
                                             r = RESOURCES_INIT;
        resources_filter(&a->used, allocated_below, name, &u);
        resources_filter(&a->offered, allocated_below, name, &o);
        resources_filter(&a->total, reserved_below, name, &r);
        resources_add(&allocated, &u);
        resources_add(&offered, &o);
        resources_add(&reserved, &r);
    }
    resources_copy(&both, &allocated);
    resources_add(&both, &offered);
    jw_begin_object(w);
    jw_field_string(w, "name", name);
    jw_field_double(w, "weight", 1.0);
    jw_key(w, "quota");
    jw_begin_object(w);
    jw_field_string(w, "role", name);
    static const struct resources none = RESOURCES_INIT;
    field_quantities(w, "guarantee", &none);
    field_quantities(w, "limit", &none);
    field_quantities(w, "consumed", &both);
    jw_end_object(w);
    field_quantities(w, "resources", &both);
    field_quantities(w, "allocated", &allocated);
    field_quantities(w, "offered", &offered);
    field_quantities(w, "reserved", &reserved);
    jw_key(w, "frameworks");
    jw_begin_array(w);
    MAP_FOREACH (e, &core->frameworks) {
        const struct framework *f = e->value;
        if (map_get(&f->clients, name) && view_framework(&c->view, f))
            jw_string(w, f->id->text);
    }
    jw_end_array(w);
    jw_end_object(w);
}

size_t role_names(const struct master_core *core, struct arena *arena, const char ***ret)
{
    struct map names = MAP_INIT;
    collect_roles(core, arena, &names);
    const char **list = arena_new_array(arena, const char *, map_size(&names) + 1);
    size_t n = 0;
    MAP_FOREACH (e, &names)
        list[n++] = arena_strdup(arena, e->key);
    map_done(&names);
    qsort(list, n, sizeof(*list), by_name);
    *ret = list;
    return n;
}

void write_roles(const struct operator_call *c, struct json_writer *w)
{
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    const char **names;
    size_t n = role_names(c->s->core, &arena, &names);
    jw_begin_object(w);
    jw_key(w, "roles");
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        if (view_role(&c->view, names[i]))
            write_role(c, w, names[i]);
    jw_end_array(w);
    jw_end_object(w);
}
