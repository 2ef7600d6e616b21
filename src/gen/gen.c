#include <errno.h>

#include "base/alloc.h"
#include "gen/gen-internal.h"
#include "gen/params.h"

/* Reading a configuration, and what is wrong with it. */

static void problem(
    struct gen *g, bool warning, const char *name, const char *message, unsigned line)
{
    struct gen_problem p = {.name = arena_strdup(&g->arena, name),
        .message = arena_strdup(&g->arena, message),
        .line = line};
    if (warning)
        vec_push(&g->warnings, p);
    else
        vec_push(&g->errors, p);
}

/* ---- the graph ---- */

static void add_settings(struct gen *g, const struct gen_setting *settings, size_t n)
{
    struct graph_setter *setters = arena_new_array(&g->arena, struct graph_setter, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct gen_setting *s = &settings[i];
        setters[i] = (struct graph_setter){.name = arena_strdup(&g->arena, s->name),
            .kind = s->late    ? SET_LATE
                    : s->fixed ? SET_MUST
                               : SET_DEFAULT,
            .value = arena_strdup(&g->arena, s->value)};
    }
    graph_add_setters(g->graph, setters, n);
}

static void add_table(struct gen *g, const struct param_table *t)
{
    struct graph_setter *setters = arena_new_array(&g->arena, struct graph_setter, t->n);
    struct graph_rule *rules = arena_new_array(&g->arena, struct graph_rule, t->n);
    size_t n_rules = 0, n_setters = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct param *p = &t->params[i];
        if (p->type)
            rules[n_rules++] = (struct graph_rule){p->name, p->type->check, p->type->parameter};
        if (extra_find(&g->extra, p->name))
            continue; /* the extension says how it gets its value */
        setters[n_setters++] = (struct graph_setter){.name = p->name,
            .kind = p->kind,
            .value = p->value,
            .calc = p->calc,
            .inputs = p->inputs,
            .when = p->when};
    }
    graph_add_setters(g->graph, setters, n_setters);
    graph_add_rules(g->graph, rules, n_rules);
}

static void add_users(struct gen *g)
{
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_entry *e = &g->config.entries[i];
        struct graph_user user = {e->name, e->value, e->problem, e->line};
        if (graph_get(g->graph, e->name) && !e->json) {
            problem(g, false, e->name, e->problem, e->line);
            continue;
        }
        graph_add_user(g->graph, &user);
    }
}

/* ---- what is wrong ---- */

static bool has_required(const struct gen *g, const char *name)
{
    if (extra_find(&g->extra, name))
        return true;
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            const struct param *p = &param_tables[i]->params[k];
            if (streq(p->name, name) && p->kind == SET_REQUIRED)
                return true;
        }
    }
    return false;
}

/* Messages quote values, which those of secrets must not. */
static const char *shown_message(struct gen *g, const struct graph_node *n)
{
    const struct param *p = param_find(n->name, NULL);
    bool quotes = n->source == FROM_USER && n->value;
    if (!p || !p->secret || !quotes || extra_find(&g->extra, n->name))
        return n->message;
    return arena_printf(&g->arena, "Must be %s. The value is secret and not shown.", p->type->text);
}

static void collect_errors(struct gen *g)
{
    size_t pos = 0;
    for (const struct graph_node *n; (n = graph_next(g->graph, &pos));) {
        if (n->message) {
            problem(g, false, n->name, shown_message(g, n), n->line);
        } else if (n->state == NODE_UNSET && n->setter && n->setter->kind == SET_REQUIRED &&
                   has_required(g, n->name)) {
            char *text = arena_printf(
                &g->arena, "Must set %s, no way to calculate value.", n->name);
            problem(g, false, n->name, text, 0);
            g->errors.items[g->errors.n - 1].unset = true;
        }
    }
}

static void collect_warnings(struct gen *g)
{
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_entry *e = &g->config.entries[i];
        const struct param *p = param_find(e->name, NULL);
        const struct graph_node *n = graph_get(g->graph, e->name);
        const char *near = p ? NULL : param_nearest(e->name);
        if (!p && extra_find(&g->extra, e->name))
            continue;
        if (!p && near)
            problem(g, true, e->name,
                arena_printf(
                    &g->arena, "Is not a parameter and has no effect. Did you mean %s?", near),
                e->line);
        else if (!p)
            problem(g, true, e->name, "Is not a parameter and has no effect.", e->line);
        else if (n && n->setter && n->setter->kind == SET_OPTIONAL && n->setter->when)
            problem(g, true, e->name,
                arena_printf(&g->arena, "Has no effect while %s.", n->setter->when), e->line);
        else if (p->effect == EFFECT_NONE)
            problem(g, true, e->name,
                arena_printf(&g->arena, "Is taken, but has no effect here (%s).", p->help),
                e->line);
    }
}

/* By line, those without one last; else as they came or by name. */
static int by_line(const void *a, const void *b)
{
    const struct gen_problem *x = a, *y = b;
    unsigned p = x->line ? x->line : UINT32_MAX, q = y->line ? y->line : UINT32_MAX;
    if (p != q)
        return p < q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void sort_problems(struct gen *g)
{
    if (g->errors.n)
        qsort(g->errors.items, g->errors.n, sizeof(*g->errors.items), by_line);
    if (g->warnings.n)
        qsort(g->warnings.items, g->warnings.n, sizeof(*g->warnings.items), by_line);
}

static int work_out(struct gen *g, const struct gen_input *in, struct error *err)
{
    g->graph = graph_new(&g->files);
    add_settings(g, in->settings, in->n_settings);
    for (size_t i = 0; i < in->n_settings; i++)
        if (streq(in->settings[i].name, "provider") && !streq(in->settings[i].value, "onprem"))
            extra_add_defaults(&g->extra, g->graph);
    extra_add(&g->extra, g->graph);
    for (size_t i = 0; i < n_param_tables; i++)
        add_table(g, param_tables[i]);
    graph_add_checks(g->graph, gen_checks, gen_n_checks);
    add_users(g);
    int r = graph_resolve_all(g->graph, err);
    if (r < 0)
        return r;
    graph_run_checks(g->graph);
    collect_errors(g);
    collect_warnings(g);
    if (g->errors.n == 0) {
        struct error why = ERROR_INIT;
        r = gen_outputs(g, &why);
        if (r < 0)
            problem(g, false, "", why.msg, 0);
    }
    sort_problems(g);
    return 0;
}

int gen_new(const struct gen_input *in, struct gen **ret, struct error *err)
{
    _cleanup_(gen_freep)
    struct gen *g = xnew(struct gen);
    int r = config_read(
        in->config ? in->config : "", in->config ? in->config_n : 0, &g->config, err);
    if (r < 0)
        return r;
    g->folder = in->folder ? xstrdup(in->folder) : NULL;
    g->files = in->files ? *in->files : gen_disk_files;
    if (!in->files)
        g->files.userdata = g;
    r = extra_read(&g->files, in->extra ? in->extra : EXTRA_FOLDER, &g->extra, err);
    if (r == 0)
        r = work_out(g, in, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}

void gen_free(struct gen *g)
{
    if (!g)
        return;
    json_t *trees[] = {g->arguments, g->public, g->late, g->config_files, g->metadata_files,
        g->late_files, g->list, g->cloud_config};
    for (size_t i = 0; i < ARRAY_SIZE(trees); i++)
        json_decref(trees[i]);
    graph_free(g->graph);
    config_done(&g->config);
    extra_done(&g->extra);
    vec_done(&g->errors);
    vec_done(&g->warnings);
    free(g->folder);
    arena_done(&g->arena);
    free(g);
}

/* ---- results ---- */

bool gen_ok(const struct gen *g)
{
    return g->errors.n == 0;
}

const struct gen_problem *gen_errors(const struct gen *g, size_t *ret_n)
{
    *ret_n = g->errors.n;
    return g->errors.items;
}

const struct gen_problem *gen_warnings(const struct gen *g, size_t *ret_n)
{
    *ret_n = g->warnings.n;
    return g->warnings.items;
}

const char *gen_value(const struct gen *g, const char *name)
{
    const struct graph_node *n = graph_get(g->graph, name);
    if (n && n->state == NODE_SET)
        return n->value;
    return json_str_at(g->arguments, name, NULL);
}

json_t *gen_list(const struct gen *g, const char *name)
{
    const char *text = gen_value(g, name);
    json_t *list = NULL;
    if (text && rule_parse_list(text, &list, NULL) == 0)
        return list;
    return json_array();
}

bool gen_is_secret(const struct gen *g, const char *name)
{
    static const char *const whole[] = {
        "expanded_config_full", "config_yaml_full", "user_arguments_full"};
    for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
        if (streq(whole[i], name))
            return true;
    const struct param *p = param_find(name, NULL);
    const struct extra_param *extra = g ? extra_find(&g->extra, name) : NULL;
    return (p && p->secret) || (extra && extra->secret);
}

/* http://user:password@host: from the colon to the last @ before the path. */
static void mask_password(const char *url, struct buf *out)
{
    const char *start = strstr(url, "://"), *user = start ? start + 3 : url;
    size_t host = strcspn(user, "/?#"), colon = strcspn(user, ":");
    const char *at = memrchr(user, '@', host);
    if (!at || colon >= (size_t)(at - user)) {
        buf_puts(out, url);
        return;
    }
    buf_append(out, url, (size_t)(user - url) + colon + 1);
    buf_puts(out, HIDDEN);
    buf_puts(out, at);
}

void gen_shown(const struct gen *g, const char *name, const char *value, struct buf *out)
{
    if (gen_is_secret(g, name))
        buf_puts(out, HIDDEN);
    else if (streq(name, "http_proxy") || streq(name, "https_proxy"))
        mask_password(value, out);
    else
        buf_puts(out, value);
}

const struct graph *gen_graph(const struct gen *g)
{
    return g->graph;
}

const json_t *gen_cloud_config(const struct gen *g)
{
    return gen_ok(g) ? g->cloud_config : NULL;
}

const json_t *gen_arguments(const struct gen *g)
{
    return g->public;
}
