#include "gen/graph.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/vec.h"

struct table {
    const struct graph_setter *setters;
    size_t n;
};

struct node_more {
    struct graph_node node; /* first: what outsiders see */
    VEC(const struct graph_setter *) setters;
    VEC(const struct graph_rule *) rules;
};

struct graph {
    struct arena arena;
    void *userdata;
    struct map nodes; /* struct node_more, in the order of the tables */
    VEC(const struct graph_check *) checks;
    unsigned depth;
};

struct graph *graph_new(void *userdata)
{
    struct graph *g = xnew(struct graph);
    g->userdata = userdata;
    return g;
}

void graph_free(struct graph *g)
{
    if (!g)
        return;
    MAP_FOREACH (e, &g->nodes) {
        struct node_more *n = e->value;
        vec_done(&n->setters);
        vec_done(&n->rules);
    }
    map_done(&g->nodes);
    vec_done(&g->checks);
    arena_done(&g->arena);
    free(g);
}

static struct node_more *node_of(struct graph *g, const char *name)
{
    struct node_more *n = map_get(&g->nodes, name);
    if (!n) {
        n = arena_new(&g->arena, struct node_more);
        n->node.name = arena_strdup(&g->arena, name);
        map_put(&g->nodes, n->node.name, n);
    }
    return n;
}

void graph_add_setters(struct graph *g, const struct graph_setter *setters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(&node_of(g, setters[i].name)->setters, &setters[i]);
}

void graph_add_rules(struct graph *g, const struct graph_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(&node_of(g, rules[i].name)->rules, &rules[i]);
}

void graph_add_checks(struct graph *g, const struct graph_check *checks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(&g->checks, &checks[i]);
}

void graph_add_user(struct graph *g, const struct graph_user *user)
{
    struct graph_node *n = &node_of(g, user->name)->node;
    if (!n->user) {
        n->user = arena_memdup(&g->arena, user, sizeof(*user));
        n->line = user->line;
    }
}

const struct graph_node *graph_get(const struct graph *g, const char *name)
{
    struct node_more *n = map_get(&g->nodes, name);
    return n ? &n->node : NULL;
}

const struct graph_node *graph_next(const struct graph *g, size_t *pos)
{
    struct map_entry *e = map_next(&g->nodes, pos);
    return e ? &((struct node_more *)e->value)->node : NULL;
}

void graph_blame(struct graph *g, const char *name, const char *message)
{
    struct graph_node *n = &node_of(g, name)->node;
    if (n->message)
        return;
    n->state = NODE_FAILED;
    n->message = arena_strdup(&g->arena, message);
}

static void fail(struct graph *g, struct graph_node *n, const struct error *err)
{
    graph_blame(g, n->name, err->msg);
}

/* The value of an input. 1 when it is there, 0 when it is missing and may be, -EAGAIN when what
 * needs it must be skipped. */
static int input(
    struct graph *g, const char *name, const struct graph_node **ret, struct error *err)
{
    struct node_more *n = map_get(&g->nodes, name);
    if (!n)
        return error_set(err, -EINVAL, "there is no argument '%.100s' in the tables", name);
    int r = graph_resolve(g, n->node.name, err);
    if (r < 0)
        return r;
    *ret = &n->node;
    if (n->node.state == NODE_SET)
        return 1;
    if (n->node.state != NODE_UNSET)
        return -EAGAIN;
    return n->node.setter && n->node.setter->kind == SET_OPTIONAL ? 0 : -EAGAIN;
}

int graph_holds(struct graph *g, const char *when, struct error *err)
{
    struct str rest = str_of(when), one;
    while (when && str_split(&rest, ' ', &one)) {
        ptrdiff_t at = str_index(one, '=');
        if (at < 0)
            return error_set(err, -EINVAL, "'%.100s' is no condition", when);
        _cleanup_free_ char *name = str_dup((struct str){one.p, (size_t)at});
        struct str value = {one.p + at + 1, one.n - (size_t)at - 1};
        const struct graph_node *n;
        int r = input(g, name, &n, err);
        if (r < 0)
            return r;
        if (r == 1 && n->late)
            return error_set(err, -EINVAL,
                "%.100s is known only when a host starts, so nothing can depend on what it is",
                name);
        if (r == 0 || !str_eq_c(value, n->value))
            return 0;
    }
    return 1;
}

/* The setter in force: musts before the rest, earlier tables before later ones. *ret is NULL when
 * none is valid. */
static int choose(
    struct graph *g, struct node_more *n, const struct graph_setter **ret, struct error *err)
{
    const struct graph_setter *chosen = NULL;
    bool again = false;
    for (size_t i = 0; i < n->setters.n; i++) {
        const struct graph_setter *s = n->setters.items[i];
        bool must = s->kind == SET_MUST || s->kind == SET_LATE;
        if (chosen && (!must || chosen->kind == SET_MUST || chosen->kind == SET_LATE))
            continue;
        int r = graph_holds(g, s->when, err);
        if (r == -EAGAIN)
            again = true;
        else if (r < 0)
            return r;
        else if (r == 1)
            chosen = s;
    }
    if (!chosen && again)
        return -EAGAIN;
    *ret = chosen;
    return 0;
}

/* Inputs of a call. *line becomes that of the first input that has one. */
static int gather(struct graph *g, const char *names, const char **in, unsigned *line, bool *late,
    struct error *err)
{
    struct str rest = str_of(names), one;
    size_t n = 0;
    int result = 0;
    while (names && str_split(&rest, ' ', &one)) {
        _cleanup_free_ char *name = str_dup(one);
        const struct graph_node *node = NULL;
        if (n == GRAPH_INPUTS_MAX)
            return error_set(
                err, -EINVAL, "more than %d inputs: %.100s", (int)GRAPH_INPUTS_MAX, names);
        int r = input(g, name, &node, err);
        if (r < 0 && r != -EAGAIN)
            return r;
        in[n++] = r == 1 ? node->value : NULL;
        if (r == -EAGAIN)
            result = r; /* go on: the others' mistakes are to be told as well */
        if (node && !*line)
            *line = node->line;
        *late |= node && node->late;
    }
    return result;
}

static int set_value(
    struct graph *g, struct graph_node *n, const struct graph_setter *s, struct error *err)
{
    const char *in[GRAPH_INPUTS_MAX] = {NULL};
    struct error why = ERROR_INIT;
    unsigned line = 0;
    n->setter = s;
    n->source = s->kind == SET_MUST ? FROM_MUST : s->kind == SET_LATE ? FROM_LATE : FROM_DEFAULT;
    if (s->kind == SET_LATE) {
        n->value = arena_printf(&g->arena, LATE_START "%s" LATE_END, n->name);
        n->late = true;
        n->state = NODE_SET;
        return 0;
    }
    int r = gather(g, s->inputs, in, &line, &n->late, err);
    if (r == -EAGAIN) {
        n->state = NODE_SKIPPED;
        return 0;
    }
    if (r < 0)
        return r;
    if (!n->line)
        n->line = line;
    if (!s->calc) {
        n->value = s->value;
        n->state = NODE_SET;
        return 0;
    }
    struct graph_call call = {
        .name = n->name, .in = in, .arena = &g->arena, .userdata = g->userdata};
    r = s->calc(&call, &n->value, &why);
    if (r < 0) {
        fail(g, n, &why);
        return 0;
    }
    n->state = NODE_SET;
    return 0;
}

static void run_rules(struct graph *g, struct node_more *n)
{
    const char *in[1] = {n->node.value};
    for (size_t i = 0; i < n->rules.n && n->node.state == NODE_SET; i++) {
        struct error why = ERROR_INIT;
        struct graph_call call = {.name = n->node.name,
            .in = in,
            .arena = &g->arena,
            .userdata = g->userdata,
            .parameter = n->rules.items[i]->parameter};
        if (n->rules.items[i]->check(&call, &why) < 0)
            fail(g, &n->node, &why);
    }
}

static int work_out(struct graph *g, struct node_more *more, struct error *err)
{
    struct graph_node *n = &more->node;
    const struct graph_setter *s = NULL;
    int r = choose(g, more, &s, err);
    /* What the user says is looked at also while it is not known what it is for. */
    if (r == -EAGAIN && n->user)
        r = 0;
    if (r == -EAGAIN) {
        n->state = NODE_SKIPPED;
        return 0;
    }
    if (r < 0)
        return r;
    if (n->user) {
        struct error why = ERROR_INIT;
        n->source = FROM_USER;
        n->setter = s;
        if (s && (s->kind == SET_MUST || s->kind == SET_LATE)) {
            error_set(&why, -EINVAL,
                "%s must be calculated, but was explicitly set in the configuration. Remove it "
                "from "
                "the configuration.",
                n->name);
            fail(g, n, &why);
        } else if (n->user->problem) {
            graph_blame(g, n->name, n->user->problem);
        } else {
            n->value = n->user->value;
            n->state = NODE_SET;
        }
    } else if (!s || s->kind == SET_REQUIRED || s->kind == SET_OPTIONAL) {
        n->setter = s;
        n->state = NODE_UNSET;
    } else {
        r = set_value(g, n, s, err);
    }
    if (r == 0 && n->state == NODE_SET && !n->late)
        run_rules(g, more);
    return r;
}

int graph_resolve(struct graph *g, const char *name, struct error *err)
{
    struct node_more *n = map_get(&g->nodes, name);
    if (!n)
        return error_set(err, -EINVAL, "there is no argument '%.100s' in the tables", name);
    if (n->node.state == NODE_BUSY)
        return error_set(err, -ELOOP, "%s is worked out of itself", name);
    if (n->node.state != NODE_NEW)
        return 0;
    if (g->depth == GRAPH_DEPTH_MAX)
        return error_set(err, -ELOOP, "%s is worked out over too many steps", name);
    n->node.state = NODE_BUSY;
    g->depth++;
    int r = work_out(g, n, err);
    g->depth--;
    if (r < 0)
        n->node.state = NODE_NEW;
    return r;
}

int graph_resolve_all(struct graph *g, struct error *err)
{
    MAP_FOREACH (e, &g->nodes) {
        int r = graph_resolve(g, e->key, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* 1 when each input has a value that can be looked at, else 0. */
static int check_inputs(struct graph *g, const char *names, const char **in)
{
    struct str rest = str_of(names), one;
    for (size_t n = 0; str_split(&rest, ' ', &one); n++) {
        struct node_more *more = map_get_n(&g->nodes, one.p, one.n);
        if (!more || more->node.state != NODE_SET || more->node.late || n == GRAPH_INPUTS_MAX)
            return 0;
        in[n] = more->node.value;
    }
    return 1;
}

void graph_run_checks(struct graph *g)
{
    VEC_FOREACH (check, &g->checks) {
        const char *in[GRAPH_INPUTS_MAX] = {NULL};
        struct graph_call call = {
            .name = (*check)->inputs, .in = in, .arena = &g->arena, .userdata = g->userdata};
        struct error why = ERROR_INIT;
        if (check_inputs(g, (*check)->inputs, in) == 0 || (*check)->check(&call, &why) == 0)
            continue;
        struct str rest = str_of((*check)->inputs), one;
        while (str_split(&rest, ' ', &one)) {
            _cleanup_free_ char *name = str_dup(one);
            graph_blame(g, name, why.msg);
        }
    }
}
