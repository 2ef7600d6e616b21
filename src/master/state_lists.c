#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "master/shell.h"
#include "master/state_json.h"

/* /tasks. */

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
            order.p && str_eq_c(order, "asc") ? ascending : descending);
    jw_begin_object(w);
    jw_key(w, "tasks");
    jw_begin_array(w);
    for (size_t i = offset; i < rows.n && i - offset < limit; i++)
        state_write_task(w, rows.items[i].task);
    jw_end_array(w);
    jw_end_object(w);
    vec_done(&rows);
}
