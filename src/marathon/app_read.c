/* From the definition in a request to an app: JSON level, legacy fields, defaults, rules. */

#include "base/str.h"
#include "marathon/api_internal.h"
#include "marathon/app_schema.h"
#include "marathon/path.h"
#include "marathon/validate.h"

void app_reader_done(struct app_reader *a)
{
    violations_done(&a->json);
    violations_done(&a->rules);
}

bool app_reader_answer(const struct app_reader *a, struct api_reply *r)
{
    if (a->json.n > 0)
        reply_violations(r, true, &a->json);
    else if (a->rules.n > 0)
        reply_violations(r, false, &a->rules);
    return a->json.n > 0 || a->rules.n > 0;
}

static void resolve_dependencies(json_t *app, const char *base)
{
    json_t *list = json_object_get(app, "dependencies");
    for (size_t i = 0; i < json_array_size(list); i++) {
        _cleanup_free_ char *id = path_resolve(base, json_string_value(json_array_get(list, i)));
        json_array_set_new(list, i, json_string(id));
    }
}

struct roles {
    const char *valid[4]; /* NULL-terminated */
    char *top;
    const char *def;
};

/* Which roles an app at this place may have, and which it gets. */
static void roles_for(
    const struct core *c, const char *id, const struct app *existing, struct roles *ret)
{
    *ret = (struct roles){.top = str_dup(path_top(id))};
    size_t n = 0;
    const char *own = c->options.mesos_role;
    bool at_root = path_depth(id) < 2;
    bool enforce = false;
    if (!at_root) {
        _cleanup_free_ char *top_id = xasprintf("/%s", ret->top);
        const struct group *top = core_group(c, top_id);
        enforce = top ? top->def->enforce_role : c->options.new_group_enforce_role;
    }
    if (!enforce)
        ret->valid[n++] = own;
    if (!at_root && (enforce || !streq(own, ret->top)))
        ret->valid[n++] = ret->top;
    bool known = false;
    for (size_t i = 0; existing && i < n; i++)
        known = known || streq(ret->valid[i], existing->role);
    if (existing && !known)
        ret->valid[n++] = existing->role;
    ret->def = enforce ? ret->top : own;
}

static void prefixed(struct violations *to, const struct violations *from, const char *prefix)
{
    for (size_t i = 0; i < from->n; i++) {
        const char *path = from->items[i].path;
        _cleanup_free_ char *whole = *prefix
                                         ? xasprintf("%s%s", prefix, streq(path, "/") ? "" : path)
                                         : xstrdup(path);
        violation_add(to, whole, "%s", from->items[i].message);
    }
}

struct app *read_app(struct app_reader *a, const json_t *json, const char *base, const char *id,
    const struct app *existing, bool partial, const char *prefix)
{
    struct core *c = a->core;
    size_t before = a->json.n;
    /* An update of a whole definition may leave out the id that its URL names. */
    const struct schema *schema = id ? &schema_app_update : &schema_app;
    json_t *tree = schema_read(schema, json, prefix, &a->json);
    if (!tree || a->json.n > before) {
        json_decref(tree);
        return NULL;
    }
    _cleanup_violations_ struct violations rules = {0};
    _cleanup_free_ char *own_id = path_resolve(base, id ? id : json_str_at(tree, "id", ""));
    app_translate_legacy(tree, partial && existing, c->options.app, &rules);
    resolve_dependencies(tree, base);
    if (partial && existing) {
        json_t *merged = app_tree(existing);
        app_merge(merged, tree);
        json_decref(tree);
        tree = merged;
    }
    struct roles roles;
    roles_for(c, own_id, existing, &roles);
    tree = app_canonical(
        tree, own_id, existing && partial ? existing->role : roles.def, c->options.app);
    struct validate_options options = {.roles = roles.valid};
    app_validate(tree, &options, &rules);
    free(roles.top);
    struct app *app = NULL;
    if (json_i64_at(tree, "instances", 1) > CORE_INSTANCES_MAX)
        violation_add(&rules, "/instances", "got %lld, expected %d or less",
            (long long)json_i64_at(tree, "instances", 1), CORE_INSTANCES_MAX);
    if (rules.n == 0) {
        struct error err = ERROR_INIT;
        if (app_new(tree, 0, 0, 0, &app, &err) < 0)
            violation_add(&rules, "/", "%s", err.msg);
    }
    prefixed(&a->rules, &rules, prefix);
    json_decref(tree);
    return app;
}
