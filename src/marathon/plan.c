/*
 * Steps of a deployment: stops, starts, then one step per layer of dependencies. The layer of an
 * app is the length of the longest chain of dependencies that starts at it.
 */

#include <errno.h>

#include "base/str.h"
#include "marathon/core_internal.h"

enum { DEPENDENCY_DEPTH_MAX = 2000 };

struct chains {
    struct map layers; /* app id -> (void *) layer; 0 while it is being worked out */
    int depth;
    bool cycle;
};

struct visit {
    struct chains *chains;
    struct spec *from;
    intptr_t longest;
};

static intptr_t chain_of(struct core *c, struct chains *ch, struct spec *s);

static void visit_app(struct core *c, struct spec *s, void *userdata)
{
    struct visit *v = userdata;
    intptr_t n = chain_of(c, v->chains, s);
    v->longest = MAX(v->longest, n);
}

static void visit_dependency(struct core *c, struct visit *v, const char *id)
{
    struct spec *s = core_spec(c, id);
    struct group *g = core_group(c, id);
    if (s)
        visit_app(c, s, v);
    if (g)
        tree_each_app(c, g, visit_app, v);
}

static intptr_t chain_of(struct core *c, struct chains *ch, struct spec *s)
{
    static const char working[] = "";
    void *known = map_get(&ch->layers, s->id);
    if (known == (void *)(uintptr_t)working || ch->depth > DEPENDENCY_DEPTH_MAX) {
        ch->cycle = true;
        return 0;
    }
    if (known)
        return (intptr_t)known;
    map_put(&ch->layers, s->id, (void *)(uintptr_t)working);
    ch->depth++;
    struct visit v = {.chains = ch, .from = s};
    for (char **p = s->app->dependencies; p && *p && !ch->cycle; p++)
        visit_dependency(c, &v, *p);
    for (const struct group *g = s->group; g && !ch->cycle; g = g->parent)
        for (char **p = g->def ? g->def->dependencies : NULL; p && *p && !ch->cycle; p++)
            visit_dependency(c, &v, *p);
    ch->depth--;
    intptr_t layer = v.longest + 1;
    map_put(&ch->layers, s->id, (void *)layer);
    return layer;
}

/* Dependencies between groups may be cyclic without any app in them. */
static bool groups_cyclic(struct core *c)
{
    /* Walk from each group with dependencies; a group that meets itself is a cycle. */
    MAP_FOREACH (e, &c->groups) {
        const struct group *g = e->value;
        if (!g->def || !g->def->dependencies)
            continue;
        VEC(const struct group *) todo = {0};
        struct map seen = MAP_INIT;
        bool cyclic = false;
        vec_push(&todo, g);
        while (todo.n > 0 && !cyclic) {
            const struct group *at = vec_pop(&todo);
            for (char **p = at->def ? at->def->dependencies : NULL; p && *p; p++) {
                const struct group *to = core_group(c, *p);
                cyclic = cyclic || to == g;
                if (to && !map_get(&seen, to->id)) {
                    map_put(&seen, to->id, (void *)(uintptr_t)to);
                    vec_push(&todo, to);
                }
            }
        }
        vec_done(&todo);
        map_done(&seen);
        if (cyclic)
            return true;
    }
    return false;
}

int plan_compute(struct core *c, struct change *ch)
{
    struct chains chains = {0};
    bool stops = false, starts = false;
    intptr_t deepest = 0;
    if (c->n_dependent > 0 && groups_cyclic(c))
        return -ELOOP;
    VEC_FOREACH (e, &ch->entries) {
        if (!e->spec)
            continue;
        stops = stops || !e->new_app;
        starts = starts || !e->old_app;
    }
    int32_t stop_step = stops ? 1 : 0;
    int32_t start_step = starts ? stop_step + 1 : 0;
    int32_t base = MAX(stop_step, start_step);
    VEC(bool) used = {0};
    VEC_FOREACH (e, &ch->entries) {
        if (e->group && e->new_group && e->new_group->dependencies) {
            struct visit v = {.chains = &chains};
            tree_each_app(c, e->group, visit_app, &v);
        }
        if (!e->spec)
            continue;
        if (!e->new_app) {
            e->step_stop = stop_step;
            continue;
        }
        if (!e->old_app)
            e->step_start = start_step;
        intptr_t layer = c->n_dependent == 0 ? 1 : chain_of(c, &chains, e->spec);
        deepest = MAX(deepest, layer);
        while ((intptr_t)used.n <= layer)
            vec_push(&used, false);
        used.items[layer] = true;
        e->step_run = (int32_t)layer;
        bool only_instances = e->old_app && e->old_app->config_us == e->new_app->config_us &&
                              !e->restart;
        e->run_action = (uint8_t)(!e->old_app || e->new_app->instances == 0 || only_instances
                                      ? ACTION_SCALE
                                      : ACTION_RESTART);
    }
    /* Every app that changed was walked from, so a cycle that the change closed was met. */
    if (!chains.cycle) {
        VEC_FOREACH (e, &ch->entries) {
            if (!e->spec || !e->new_app)
                continue;
            int32_t step = base;
            for (int32_t layer = 1; layer <= e->step_run; layer++)
                step += used.items[layer];
            e->step_run = step;
        }
    }
    vec_done(&used);
    map_done(&chains.layers);
    return chains.cycle ? -ELOOP : 0;
}
