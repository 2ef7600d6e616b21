/* Changes of the root group: versions, service ports, validation of the whole, locks, storage. */

#include <errno.h>

#include "base/clock.h"
#include "base/str.h"
#include "marathon/core_internal.h"
#include "marathon/path.h"
#include "marathon/validate.h"

void refusal_done(struct refusal *r)
{
    free(r->message);
    violations_done(&r->violations);
    json_decref(r->locks);
    *r = (struct refusal){0};
}

struct change *change_new(void)
{
    struct change *ch = xnew(struct change);
    ch->refs = 1;
    return ch;
}

static void entry_done(struct change_entry *e)
{
    if (e->spec)
        e->spec->pins--;
    app_unref(e->old_app);
    app_unref(e->new_app);
    group_def_unref(e->old_group);
    group_def_unref(e->new_group);
    json_decref(e->kills);
}

void change_unref(struct change *ch)
{
    if (!ch || --ch->refs > 0)
        return;
    VEC_FOREACH (e, &ch->entries)
        entry_done(e);
    vec_done(&ch->entries);
    free(ch->group_id);
    free(ch->deployment_id);
    free(ch);
}

int64_t core_next_version(struct core *c, int64_t now_us)
{
    int64_t version = now_us / 1000 * 1000;
    return version > c->last_version_us ? version : c->last_version_us + 1000;
}

static struct change_entry *entry_for(
    struct core *c, struct change *ch, struct spec *s, struct group *g)
{
    VEC_FOREACH (e, &ch->entries)
        if (e->spec == s && e->group == g)
            return e;
    vec_push(&ch->entries, (struct change_entry){.spec = s, .group = g});
    struct change_entry *e = &ch->entries.items[ch->entries.n - 1];
    if (s) {
        s->pins++;
        e->old_app = s->app ? app_ref(s->app) : NULL;
    } else {
        e->old_group = group_def_ref(g->def);
    }
    return e;
}

struct change_entry *change_app(struct core *c, struct change *ch, const char *id, struct app *app)
{
    struct change_entry *e = entry_for(c, ch, spec_get(c, id), NULL);
    app_unref(e->new_app);
    e->new_app = app;
    return e;
}

struct change_entry *change_group(
    struct core *c, struct change *ch, const char *id, struct group_def *def)
{
    struct change_entry *e = entry_for(c, ch, NULL, group_get(c, id));
    group_def_unref(e->new_group);
    e->new_group = def;
    return e;
}

struct app *change_app_at(const struct core *c, const struct change *ch, const char *id)
{
    for (size_t k = 0; k < ch->entries.n; k++)
        if (ch->entries.items[k].spec && streq(ch->entries.items[k].spec->id, id))
            return ch->entries.items[k].new_app;
    struct spec *s = core_spec(c, id);
    return s ? s->app : NULL;
}

bool change_group_exists(const struct core *c, const struct change *ch, const char *id)
{
    for (size_t k = 0; k < ch->entries.n; k++)
        if (ch->entries.items[k].group && streq(ch->entries.items[k].group->id, id))
            return ch->entries.items[k].new_group != NULL;
    return core_group(c, id) != NULL;
}

/* ---- service ports ---- */

static bool port_used_by(const struct app *a, int32_t port)
{
    for (size_t k = 0; a && k < a->n_ports; k++)
        if (a->ports[k].service == port)
            return true;
    return false;
}

static int32_t lowest_free(struct core *c, const bool *taken)
{
    for (int32_t p = c->options.local_port_min; p < c->options.local_port_max; p++)
        if (c->service_ports[p] == 0 && !taken[p])
            return p;
    return -1;
}

/* Gives every port 0 of a new or changed definition a service port. `taken`: given out by this
 * change already. */
static int assign_ports(
    struct core *c, struct change_entry *e, bool *taken, struct refusal *refusal)
{
    const struct app *a = e->new_app, *old = e->old_app;
    size_t reuse = 0;
    bool any = false;
    for (size_t k = 0; k < a->n_ports; k++)
        any = any || a->ports[k].service == 0;
    if (!any)
        return 0;
    _cleanup_json_ json_t *t = app_tree(a);
    json_t *list = a->host_mode ? json_object_get(t, "portDefinitions")
                                : json_object_get(json_object_get(t, "container"), "portMappings");
    for (size_t k = 0; k < a->n_ports; k++) {
        if (a->ports[k].service != 0)
            continue;
        int32_t port = -1;
        for (; old && reuse < old->n_ports && port < 0; reuse++) {
            int32_t p = old->ports[reuse].service;
            if (p >= c->options.local_port_min && p < c->options.local_port_max &&
                !port_used_by(a, p) && !taken[p])
                port = p;
        }
        if (port < 0)
            port = lowest_free(c, taken);
        if (port < 0) {
            refusal->status = 500;
            refusal->message = xasprintf("All ports in the range [%d-%d) are already in use",
                c->options.local_port_min, c->options.local_port_max);
            return -1;
        }
        taken[port] = true;
        json_object_set_new(
            json_array_get(list, k), a->host_mode ? "port" : "servicePort", json_integer(port));
    }
    struct app *with = NULL;
    if (app_new(t, a->version_us, a->scaling_us, a->config_us, &with, NULL) < 0)
        abort(); /* it was valid before, and only numbers changed */
    app_unref(e->new_app);
    e->new_app = with;
    return 0;
}

/* Fills the 0 ports of an edit from the stored definition where both have the same ports, so that
 * sending a definition again changes nothing. */
static void keep_ports(struct change_entry *e)
{
    const struct app *a = e->new_app, *old = e->old_app;
    if (!old || a->n_ports != old->n_ports || a->host_mode != old->host_mode)
        return;
    _cleanup_json_ json_t *t = app_tree(a);
    json_t *list = a->host_mode ? json_object_get(t, "portDefinitions")
                                : json_object_get(json_object_get(t, "container"), "portMappings");
    for (size_t k = 0; k < a->n_ports; k++)
        if (a->ports[k].service == 0)
            json_object_set_new(json_array_get(list, k), a->host_mode ? "port" : "servicePort",
                json_integer(old->ports[k].service));
    struct app *with = NULL;
    if (app_new(t, a->version_us, a->scaling_us, a->config_us, &with, NULL) < 0)
        return;
    app_unref(e->new_app);
    e->new_app = with;
}

/* ---- versions ---- */

/* False when nothing changed. */
static bool set_versions(struct change *ch, struct change_entry *e)
{
    struct app *old = e->old_app, *a = e->new_app;
    int64_t v = ch->version_us;
    if (!a)
        return old != NULL;
    bool config = !old || !app_config_equal(old, a);
    bool scaling = old && old->instances != a->instances;
    if (!config && !scaling && !e->restart && json_array_size(e->kills) == 0)
        return false;
    e->new_app = app_with(a, a->instances, v, config || scaling ? v : old->scaling_us,
        config ? v : (e->restart ? v : old->config_us));
    /* A restart alone keeps what scaled last, a scaling alone what was configured last. */
    if (!config && scaling)
        e->new_app->config_us = old->config_us;
    app_unref(a);
    return true;
}

static void drop_unchanged(struct change *ch)
{
    size_t kept = 0;
    for (size_t k = 0; k < ch->entries.n; k++) {
        struct change_entry *e = &ch->entries.items[k];
        bool changed = e->spec ? set_versions(ch, e) : e->old_group != e->new_group;
        if (changed)
            ch->entries.items[kept++] = *e;
        else
            entry_done(e);
    }
    ch->entries.n = kept;
}

/* ---- the whole ---- */

static void swap_in(struct core *c, struct change *ch, bool forward)
{
    VEC_FOREACH (e, &ch->entries) {
        if (e->spec)
            spec_set_app(c, e->spec, forward ? e->new_app : e->old_app);
        else
            group_set_def(c, e->group, forward ? e->new_group : e->old_group);
    }
}

static void add_parents(struct core *c, struct change *ch)
{
    for (size_t k = 0; k < ch->entries.n; k++) {
        const struct change_entry *e = &ch->entries.items[k];
        struct group *g = e->spec ? (e->new_app ? e->spec->group : NULL)
                                  : (e->new_group ? e->group->parent : NULL);
        for (; g; g = g->parent) {
            if (change_group_exists(c, ch, g->id))
                break;
            bool top = path_depth(g->id) == 1;
            change_group(c, ch, g->id,
                group_def_new(ch->version_us, NULL, top ? c->options.new_group_enforce_role : -1));
        }
    }
}

static bool group_is_empty(const struct group *g)
{
    MAP_FOREACH (e, &g->specs) {
        const struct spec *s = e->value;
        if (s->app)
            return false;
    }
    MAP_FOREACH (e, &g->groups) {
        const struct group *child = e->value;
        if (child->def)
            return false;
    }
    return true;
}

/* An app may take the name of an empty group, which goes then. */
static void replace_empty_groups(struct core *c, struct change *ch)
{
    for (size_t k = 0, n = ch->entries.n; k < n; k++) {
        const struct change_entry *e = &ch->entries.items[k];
        struct group *g = e->spec && e->new_app && !e->old_app ? core_group(c, e->spec->id) : NULL;
        if (g && group_is_empty(g))
            change_group(c, ch, g->id, NULL);
    }
}

static void check_names(struct core *c, struct change *ch, struct violations *v)
{
    VEC_FOREACH (e, &ch->entries) {
        const char *id = e->spec ? e->spec->id : e->group->id;
        bool clash = e->spec ? e->new_app && core_group(c, id) != NULL
                             : e->new_group && core_spec(c, id) != NULL;
        _cleanup_free_ char *parent = path_parent(id);
        if (clash)
            violation_add(v, parent, "Groups and Applications may not have the same identifier.");
    }
}

static bool check_locks(struct change *ch, bool force, struct core *c, struct refusal *refusal)
{
    json_t *locks = json_array();
    VEC(struct deployment *) conflicts = {0};
    VEC_FOREACH (e, &ch->entries) {
        struct deployment *d = e->spec ? e->spec->deployment : NULL;
        bool seen = !d;
        VEC_FOREACH (other, &conflicts)
            seen = seen || *other == d;
        if (seen)
            continue;
        vec_push(&conflicts, d);
        json_array_append_new(locks, json_pack("{s:s}", "id", d->id));
    }
    bool ok = force || conflicts.n == 0;
    if (ok) {
        VEC_FOREACH (d, &conflicts)
            core_cancel(c, *d, c->now_us);
        json_decref(locks);
    } else {
        refusal->status = 409;
        refusal->message = xstrdup(
            "App is locked by one or more deployments. Override with the option '?force=true'. "
            "View details at '/v2/deployments/<DEPLOYMENT_ID>'.");
        refusal->locks = locks;
    }
    vec_done(&conflicts);
    return ok;
}

static void apply_entry(struct core *c, struct change_entry *e)
{
    if (e->group) {
        group_store(c, e->group);
        return;
    }
    if (e->new_app) {
        spec_add_version(c, e->spec, e->new_app, true);
        queue_role(c, e->new_app->role);
    } else {
        spec_forget_versions(c, e->spec);
    }
    spec_mark(c, e->spec);
}

static int prepare(struct core *c, struct change *ch, struct refusal *refusal)
{
    _cleanup_free_ bool *taken = xnew_array(bool, 65536);
    if ((int32_t)map_size(&c->deployments) >= c->options.max_running_deployments) {
        c->count.dismissed++;
        refusal->status = 403;
        refusal->message = xasprintf(
            "Max number (%d) of running deployments is achieved. Wait for existing deployments "
            "to complete or cancel oneusing force=true parameter. You can increase max "
            "deployment number by using --max_running_deployments parameter but be advised that "
            "this can have negative effects on the performance.",
            c->options.max_running_deployments);
        return -1;
    }
    replace_empty_groups(c, ch);
    VEC_FOREACH (e, &ch->entries) {
        if (!e->spec || !e->new_app)
            continue;
        keep_ports(e);
        if (assign_ports(c, e, taken, refusal) < 0)
            return -1;
    }
    drop_unchanged(ch);
    add_parents(c, ch);
    return 0;
}

int core_plan(struct core *c, struct change *ch, int64_t now_us, struct refusal *refusal)
{
    c->now_us = now_us;
    ch->version_us = core_next_version(c, now_us);
    if (prepare(c, ch, refusal) < 0)
        return -1;
    swap_in(c, ch, true);
    check_names(c, ch, &refusal->violations);
    if (plan_compute(c, ch) < 0)
        violation_add(&refusal->violations, "/", "Dependency graph has cyclic dependencies.");
    swap_in(c, ch, false);
    if (refusal->violations.n > 0) {
        refusal->status = 422;
        return -1;
    }
    int steps = 0;
    VEC_FOREACH (e, &ch->entries) {
        steps = MAX(steps, e->step_stop);
        steps = MAX(steps, e->step_start);
        steps = MAX(steps, e->step_run);
    }
    return steps;
}

int core_change(struct core *c, struct change *ch, bool force, int64_t now_us,
    char ret_deployment[UUID_TEXT_SIZE], int64_t *ret_version_us, struct refusal *refusal)
{
    _unused_ _cleanup_(change_unrefp)
    struct change *owned = ch;
    uint8_t uuid[16];
    c->now_us = now_us;
    ch->version_us = core_next_version(c, now_us);
    if (!ch->group_id)
        ch->group_id = xstrdup("/");
    if (prepare(c, ch, refusal) < 0) {
        event_group(c, ch->group_id, ch->version_us, refusal->message);
        return -1;
    }
    swap_in(c, ch, true);
    check_names(c, ch, &refusal->violations);
    if (plan_compute(c, ch) < 0)
        violation_add(&refusal->violations, "/", "Dependency graph has cyclic dependencies.");
    if (refusal->violations.n > 0) {
        swap_in(c, ch, false);
        refusal->status = 422;
        event_group(c, ch->group_id, ch->version_us, "Object is not valid");
        return -1;
    }
    if (!check_locks(ch, force, c, refusal)) {
        swap_in(c, ch, false);
        event_group(c, ch->group_id, ch->version_us, refusal->message);
        return -1;
    }
    rng_bytes(&c->rng, uuid, sizeof(uuid));
    uuid_make_v4(uuid);
    uuid_format(uuid, ret_deployment);
    *ret_version_us = ch->version_us;
    ch->deployment_id = xstrdup(ret_deployment);
    c->last_version_us = ch->version_us;
    if (ch->entries.n > 0) {
        ch->refs++;
        vec_push(&c->history, ch);
        change_store(c, ch);
        VEC_FOREACH (e, &ch->entries)
            apply_entry(c, e);
    }
    struct deployment *d = deployment_new(c, ch);
    event_group(c, ch->group_id, ch->version_us, NULL);
    deployment_start(c, d);
    core_settle(c);
    return 0;
}

int core_rollback(struct core *c, struct deployment *d, int64_t now_us,
    char ret_deployment[UUID_TEXT_SIZE], int64_t *ret_version_us, struct refusal *refusal)
{
    struct change *ch = change_new();
    VEC_FOREACH (e, &d->change->entries) {
        if (e->spec && (e->spec->app || e->old_app))
            change_app(c, ch, e->spec->id, e->old_app ? app_ref(e->old_app) : NULL);
    }
    /* Groups come after their apps: one that the deployment made goes when nothing is in it. */
    for (size_t k = d->change->entries.n; k > 0; k--) {
        struct change_entry *e = &d->change->entries.items[k - 1];
        if (!e->group)
            continue;
        if (e->old_group) {
            change_group(c, ch, e->group->id, group_def_ref(e->old_group));
            continue;
        }
        bool empty = true;
        MAP_FOREACH (s, &e->group->specs)
            empty = empty && !change_app_at(c, ch, ((struct spec *)s->value)->id);
        MAP_FOREACH (g, &e->group->groups)
            empty = empty && !change_group_exists(c, ch, ((struct group *)g->value)->id);
        if (empty)
            change_group(c, ch, e->group->id, NULL);
    }
    return core_change(c, ch, true, now_us, ret_deployment, ret_version_us, refusal);
}
