/* Changes in the store: entries, then a head; the last fifty stay for going back. */

#include <errno.h>

#include "base/parse.h"
#include "base/str.h"
#include "marathon/core_internal.h"

static void put_app(struct json_writer *w, const char *key, const struct app *a)
{
    if (!a)
        return;
    jw_key(w, key);
    app_store_write(a, w);
}

static void put_group(struct json_writer *w, const char *key, const struct group_def *d)
{
    if (!d)
        return;
    jw_key(w, key);
    jw_begin_object(w);
    jw_field_i64(w, "version", d->version_us);
    jw_field_i64(w, "enforce", d->has_enforce ? d->enforce_role : -1);
    jw_key(w, "dependencies");
    jw_begin_array(w);
    for (char **p = d->dependencies; p && *p; p++)
        jw_string(w, *p);
    jw_end_array(w);
    jw_end_object(w);
}

void change_store_head(struct core *c, const struct change *ch)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
    struct json_writer w;
    if (ch->entries.n == 0)
        return;
    buf_printf(&key, "changehead/%016llx", (unsigned long long)ch->version_us);
    jw_init(&w, &value);
    jw_begin_object(&w);
    jw_field_i64(&w, "entries", (int64_t)ch->entries.n);
    jw_field_string(&w, "group", ch->group_id);
    if (ch->deployment_id)
        jw_field_string(&w, "deployment", ch->deployment_id);
    jw_end_object(&w);
    out_put(c, key.p, &value);
}

void change_store(struct core *c, const struct change *ch)
{
    for (size_t k = 0; k < ch->entries.n; k++) {
        const struct change_entry *e = &ch->entries.items[k];
        _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
        struct json_writer w;
        buf_printf(&key, "change/%016llx/%06zu", (unsigned long long)ch->version_us, k);
        jw_init(&w, &value);
        jw_begin_object(&w);
        jw_field_string(&w, e->spec ? "app" : "group", e->spec ? e->spec->id : e->group->id);
        put_app(&w, "old", e->old_app);
        put_app(&w, "new", e->new_app);
        put_group(&w, "oldGroup", e->old_group);
        put_group(&w, "newGroup", e->new_group);
        if (e->kills) {
            jw_key(&w, "kills");
            jw_tree(&w, e->kills);
        }
        jw_field_bool(&w, "restart", e->restart);
        jw_field_i64(&w, "stop", e->step_stop);
        jw_field_i64(&w, "start", e->step_start);
        jw_field_i64(&w, "run", e->step_run);
        jw_field_i64(&w, "action", e->run_action);
        jw_end_object(&w);
        out_put(c, key.p, &value);
    }
    change_store_head(c, ch);
}

static struct group_def *read_group(const json_t *r)
{
    return r ? group_def_new(json_i64_at(r, "version", 0), json_at(r, "dependencies"),
                   (int)json_i64_at(r, "enforce", -1))
             : NULL;
}

static int load_entry(struct core *c, struct change *ch, const json_t *r, struct error *err)
{
    const char *app = json_str_at(r, "app", NULL), *group = json_str_at(r, "group", NULL);
    struct change_entry e = {0};
    if (!app && !group)
        return error_set(err, -EINVAL, "change of nothing");
    int rc = 0;
    if (json_at(r, "old"))
        rc = app_store_read(json_at(r, "old"), &e.old_app, err);
    if (rc == 0 && json_at(r, "new"))
        rc = app_store_read(json_at(r, "new"), &e.new_app, err);
    if (rc < 0) {
        app_unref(e.old_app);
        app_unref(e.new_app);
        return rc;
    }
    e.old_group = read_group(json_at(r, "oldGroup"));
    e.new_group = read_group(json_at(r, "newGroup"));
    e.kills = json_at(r, "kills") ? json_deep_copy(json_at(r, "kills")) : NULL;
    e.restart = json_bool_at(r, "restart", false);
    e.step_stop = (int32_t)json_i64_at(r, "stop", 0);
    e.step_start = (int32_t)json_i64_at(r, "start", 0);
    e.step_run = (int32_t)json_i64_at(r, "run", 0);
    e.run_action = (uint8_t)json_i64_at(r, "action", ACTION_SCALE);
    if (app) {
        e.spec = spec_get(c, app);
        e.spec->pins++;
    } else {
        e.group = group_get(c, group);
    }
    vec_push(&ch->entries, e);
    return 0;
}

static struct change *history_at(struct core *c, int64_t version_us)
{
    for (size_t k = c->history.n; k > 0; k--)
        if (c->history.items[k - 1]->version_us == version_us)
            return c->history.items[k - 1];
    return NULL;
}

int change_load(struct core *c, const char *key, const json_t *r, struct error *err)
{
    bool head = has_prefix(key, "changehead/");
    const char *hex = key + (head ? strlen("changehead/") : strlen("change/"));
    uint64_t version = 0;
    for (int k = 0; k < 16; k++) {
        const char *at = hex[k] ? strchr("0123456789abcdef", hex[k]) : NULL;
        if (!at)
            return error_set(err, -EINVAL, "malformed change key");
        version = version << 4 | (uint64_t)(at - "0123456789abcdef");
    }
    struct change *ch = history_at(c, (int64_t)version);
    if (!head) {
        if (!ch) {
            ch = change_new();
            ch->version_us = (int64_t)version;
            vec_push(&c->history, ch);
        }
        return load_entry(c, ch, r, err);
    }
    if (!ch || (int64_t)ch->entries.n != json_i64_at(r, "entries", -1))
        return error_set(err, -EINVAL, "a change lacks entries");
    ch->group_id = xstrdup(json_str_at(r, "group", "/"));
    const char *deployment = json_str_at(r, "deployment", NULL);
    ch->deployment_id = deployment ? xstrdup(deployment) : NULL;
    return 0;
}

/* The head goes first: entries without one are nothing, a head without entries would be damage. */
static void forget(struct core *c, struct change *ch)
{
    _cleanup_free_ char *head = xasprintf("changehead/%016llx", (unsigned long long)ch->version_us);
    out_delete(c, head);
    for (size_t k = 0; k < ch->entries.n; k++) {
        _cleanup_free_ char *key = xasprintf(
            "change/%016llx/%06zu", (unsigned long long)ch->version_us, k);
        out_delete(c, key);
        if (ch->entries.items[k].spec)
            spec_mark(c, ch->entries.items[k].spec);
    }
    change_unref(ch);
}

void history_trim(struct core *c)
{
    while (c->history.n > (size_t)c->options.max_versions && !c->history.items[0]->deployment_id) {
        struct change *oldest = c->history.items[0];
        vec_remove(&c->history, 0);
        forget(c, oldest);
    }
}

/* After loading: changes whose head was never written go, the others are made sure of. */
void change_reapply(struct core *c, struct change *unused)
{
    struct map last = MAP_INIT; /* id -> its newest entry */
    for (size_t k = 0; k < c->history.n;) {
        struct change *ch = c->history.items[k];
        if (ch->group_id) {
            k++;
            continue;
        }
        vec_remove(&c->history, k);
        forget(c, ch);
    }
    VEC_FOREACH (ch, &c->history) {
        c->last_version_us = MAX(c->last_version_us, (*ch)->version_us);
        VEC_FOREACH (e, &(*ch)->entries)
            map_put(&last, e->spec ? e->spec->id : e->group->id, e);
    }
    MAP_FOREACH (m, &last) {
        struct change_entry *e = m->value;
        if (e->spec && e->new_app) {
            if (e->spec->app && e->spec->app->version_us >= e->new_app->version_us)
                continue;
            spec_set_app(c, e->spec, e->new_app);
            spec_add_version(c, e->spec, e->new_app, true);
        } else if (e->spec) {
            if (e->spec->app || e->spec->versions.n) {
                spec_set_app(c, e->spec, NULL);
                spec_forget_versions(c, e->spec);
            }
        } else {
            bool same = (e->group->def != NULL) == (e->new_group != NULL) &&
                        (!e->new_group || e->new_group->version_us == e->group->def->version_us);
            group_set_def(c, e->group, e->new_group);
            if (!same)
                group_store(c, e->group);
        }
    }
    map_done(&last);
}
