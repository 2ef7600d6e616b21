#include <string.h>

#include "base/log.h"
#include "iam/shell.h"

/* /groups and /acls */

static const unsigned all_actions[] = {
    POLICY_CREATE, POLICY_READ, POLICY_UPDATE, POLICY_DELETE, POLICY_FULL};

static const char *by(const struct iam_call *c)
{
    return c->uid ? c->uid : "local";
}

static bool reads(const struct iam_call *c)
{
    return c->req->method == HTTP_GET || c->req->method == HTTP_HEAD;
}

/* `description` of the body; NULL unless it is a string. */
static const char *description(const struct iam_call *c)
{
    return json_is_object(c->body) ? json_str_at(c->body, "description", NULL) : NULL;
}

static void not_found(struct iam_call *c)
{
    call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
}

static void append_url(struct buf *out, const char *kind, const char *name)
{
    buf_printf(out, "/acs/api/v1/%s/", kind);
    http_escape(out, str_of(name));
}

void append_acl_url(struct buf *out, const char *rid)
{
    buf_puts(out, "/acs/api/v1/acls/");
    for (struct str rest = str_of(rid), part; str_split(&rest, ':', &part);) {
        _cleanup_buf_ struct buf once = BUF_INIT;
        http_escape(&once, part);
        http_escape(out, buf_str(&once));
        if (rest.p)
            buf_putc(out, ':');
    }
}

void write_actions(
    struct json_writer *w, const char *rid, bool group, const struct policy_entry *entry)
{
    jw_begin_array(w);
    for (size_t i = 0; i < ARRAY_SIZE(all_actions); i++) {
        if (!(entry->actions & all_actions[i]))
            continue;
        _cleanup_buf_ struct buf url = BUF_INIT;
        append_acl_url(&url, rid);
        buf_puts(&url, group ? "/groups/" : "/users/");
        http_escape(&url, str_of(entry->name));
        buf_printf(&url, "/%s", policy_action_name(all_actions[i]));
        jw_begin_object(w);
        jw_field_string(w, "name", policy_action_name(all_actions[i]));
        jw_field_string(w, "url", buf_cstr(&url));
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* ---- groups and resources alike ---- */

struct kind {
    const char *word; /* in the log */
    const struct map *(*all)(const struct iam_core *core);
    void (*write)(struct json_writer *w, const void *item);
    void (*create)(
        struct iam_core *c, const char *id, const char *description, struct iam_reply *reply);
    void (*update)(
        struct iam_core *c, const char *id, const char *description, struct iam_reply *reply);
    void (*remove)(struct iam_core *c, const char *id, struct iam_reply *reply);
    const char *unknown_code, *unknown_text;
};

static void list_all(struct iam_call *c, const struct kind *k)
{
    struct json_writer w;
    _cleanup_buf_ struct buf body = BUF_INIT;
    call_array_begin(&w, &body);
    MAP_FOREACH (e, k->all(&c->iam->core))
        k->write(&w, e->value);
    call_array_end(c, &w, &body);
}

/* The one that the path names, or NULL after a refusal. */
static const void *known(struct iam_call *c, const struct kind *k)
{
    const void *item = map_get(k->all(&c->iam->core), c->seg[1]);
    if (!item)
        call_refuse(
            c, 400, k->unknown_code, "%s `%.160s` is not known", k->unknown_text, c->seg[1]);
    return item;
}

static void show_or_change(struct iam_call *c, const struct kind *k)
{
    struct iam_core *core = &c->iam->core;
    struct iam_reply reply = {0};
    if (reads(c)) {
        const void *item = known(c, k);
        if (!item)
            return;
        _cleanup_buf_ struct buf body = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &body);
        k->write(&w, item);
        call_document(c, 200, &body);
        return;
    }
    if (c->req->method == HTTP_PUT)
        k->create(core, c->seg[1], description(c), &reply);
    else if (c->req->method == HTTP_PATCH)
        k->update(core, c->seg[1], description(c), &reply);
    else if (c->req->method == HTTP_DELETE)
        k->remove(core, c->seg[1], &reply);
    else {
        call_not_allowed(c, "GET, PUT, PATCH, DELETE");
        return;
    }
    if (reply.status < 300)
        log_info("%s changed %s=%s by=%s", k->word, k->word, c->seg[1], by(c));
    call_finish(c, &reply);
}

/* ---- groups ---- */

static void write_group(struct json_writer *w, const void *item)
{
    const struct policy_group *g = item;
    _cleanup_buf_ struct buf url = BUF_INIT;
    append_url(&url, "groups", g->gid);
    jw_begin_object(w);
    jw_field_string(w, "gid", g->gid);
    jw_field_string(w, "url", buf_cstr(&url));
    jw_field_string(w, "description", g->description);
    jw_end_object(w);
}

static const struct map *all_groups(const struct iam_core *core)
{
    return &core->policy.groups;
}

static const struct kind groups = {"group", all_groups, write_group, iam_group_create,
    iam_group_update, iam_group_delete, "ERR_UNKNOWN_GROUP_ID", "Group"};

static void list_members(struct iam_call *c)
{
    const struct policy_group *g = known(c, &groups);
    if (!g)
        return;
    struct str type = http_request_param(c->req, "type");
    bool services = str_eq_c(type, "service");
    struct json_writer w;
    _cleanup_buf_ struct buf body = BUF_INIT;
    call_array_begin(&w, &body);
    MAP_FOREACH (e, &g->members) {
        const struct policy_user *u = map_get(&c->iam->core.policy.users, e->key);
        if (!u || (type.p && services != (u->public_key != NULL)))
            continue;
        _cleanup_buf_ struct buf url = BUF_INIT;
        append_url(&url, "groups", g->gid);
        buf_puts(&url, "/users/");
        http_escape(&url, str_of(u->uid));
        jw_begin_object(&w);
        jw_field_string(&w, "membershipurl", buf_cstr(&url));
        jw_key(&w, "user");
        write_user(&w, u);
        jw_end_object(&w);
    }
    call_array_end(c, &w, &body);
}

static void change_member(struct iam_call *c)
{
    struct iam_reply reply = {0};
    if (c->req->method == HTTP_PUT)
        iam_member_add(&c->iam->core, c->seg[1], c->seg[3], &reply);
    else if (c->req->method == HTTP_DELETE)
        iam_member_remove(&c->iam->core, c->seg[1], c->seg[3], &reply);
    else {
        call_not_allowed(c, "PUT, DELETE");
        return;
    }
    if (reply.status < 300)
        log_info("membership changed group=%s user=%s by=%s", c->seg[1], c->seg[3], by(c));
    call_finish(c, &reply);
}

static void group_permissions(struct iam_call *c)
{
    if (!known(c, &groups))
        return;
    struct json_writer w;
    _cleanup_buf_ struct buf body = BUF_INIT;
    call_array_begin(&w, &body);
    MAP_FOREACH (e, &c->iam->core.policy.acls) {
        const struct policy_acl *a = e->value;
        const struct policy_entry *entry = map_get(&a->groups, c->seg[1]);
        if (!entry)
            continue;
        _cleanup_buf_ struct buf url = BUF_INIT;
        append_acl_url(&url, a->rid);
        jw_begin_object(&w);
        jw_field_string(&w, "rid", a->rid);
        jw_field_string(&w, "description", a->description);
        jw_field_string(&w, "aclurl", buf_cstr(&url));
        jw_key(&w, "actions");
        write_actions(&w, a->rid, true, entry);
        jw_end_object(&w);
    }
    call_array_end(c, &w, &body);
}

void groups_handle(struct iam_call *c)
{
    if (c->n_seg == 1 && reads(c))
        list_all(c, &groups);
    else if (c->n_seg == 1)
        call_not_allowed(c, "GET");
    else if (c->n_seg == 2)
        show_or_change(c, &groups);
    else if (c->n_seg == 3 && streq(c->seg[2], "users") && reads(c))
        list_members(c);
    else if (c->n_seg == 3 && streq(c->seg[2], "permissions") && reads(c))
        group_permissions(c);
    else if (c->n_seg == 4 && streq(c->seg[2], "users"))
        change_member(c);
    else
        not_found(c);
}

/* ---- acls ---- */

static void write_acl(struct json_writer *w, const void *item)
{
    const struct policy_acl *a = item;
    _cleanup_buf_ struct buf url = BUF_INIT;
    append_acl_url(&url, a->rid);
    jw_begin_object(w);
    jw_field_string(w, "rid", a->rid);
    jw_field_string(w, "url", buf_cstr(&url));
    jw_field_string(w, "description", a->description);
    jw_end_object(w);
}

static const struct map *all_acls(const struct iam_core *core)
{
    return &core->policy.acls;
}

static const struct kind acls = {"resource", all_acls, write_acl, iam_acl_create, iam_acl_update,
    iam_acl_delete, "ERR_UNKNOWN_RESOURCE_ID", "Resource"};

static void write_entries(
    struct json_writer *w, const struct policy_acl *a, bool group, const struct map *entries)
{
    jw_begin_array(w);
    MAP_FOREACH (e, entries) {
        _cleanup_buf_ struct buf url = BUF_INIT;
        append_url(&url, group ? "groups" : "users", e->key);
        jw_begin_object(w);
        jw_field_string(w, group ? "gid" : "uid", e->key);
        jw_field_string(w, group ? "groupurl" : "userurl", buf_cstr(&url));
        jw_key(w, "actions");
        write_actions(w, a->rid, group, e->value);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void acl_permissions(struct iam_call *c)
{
    const struct policy_acl *a = known(c, &acls);
    if (!a)
        return;
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_key(&w, "users");
    write_entries(&w, a, false, &a->users);
    jw_key(&w, "groups");
    write_entries(&w, a, true, &a->groups);
    jw_end_object(&w);
    call_document(c, 200, &body);
}

/* /acls/{rid}/users/{uid} and /acls/{rid}/groups/{gid}: all actions of one. */
static void entry_actions(struct iam_call *c, bool group)
{
    const struct policy_acl *a = known(c, &acls);
    if (!a)
        return;
    const struct policy_entry none = {0};
    const struct policy_entry *entry = map_get(group ? &a->groups : &a->users, c->seg[3]);
    if (reads(c)) {
        _cleanup_buf_ struct buf body = BUF_INIT;
        struct json_writer w;
        jw_init(&w, &body);
        jw_begin_object(&w);
        jw_key(&w, "array");
        write_actions(&w, a->rid, group, entry ? entry : &none);
        jw_end_object(&w);
        call_document(c, 200, &body);
    } else if (c->req->method == HTTP_DELETE) {
        struct iam_reply reply = {0};
        iam_entry_take(&c->iam->core, c->seg[1], group, c->seg[3],
            POLICY_CREATE | POLICY_READ | POLICY_UPDATE | POLICY_DELETE | POLICY_FULL, &reply);
        if (reply.status < 300)
            log_info("permissions taken resource=%s of=%s by=%s", c->seg[1], c->seg[3], by(c));
        call_finish(c, &reply);
    } else {
        call_not_allowed(c, "GET, DELETE");
    }
}

static void entry_action(struct iam_call *c, bool group)
{
    unsigned action = policy_action_parse(str_of(c->seg[4]));
    if (!action) {
        call_refuse(c, 400, "ERR_UNKNOWN_ACTION",
            "`%.32s` is no action; there are create, read, update, delete and full", c->seg[4]);
        return;
    }
    struct iam_reply reply = {0};
    if (reads(c)) {
        const struct policy_acl *a = known(c, &acls);
        if (!a)
            return;
        const struct policy_entry *e = map_get(group ? &a->groups : &a->users, c->seg[3]);
        _cleanup_buf_ struct buf body = BUF_INIT;
        buf_printf(&body, "{\"allowed\":%s}", e && (e->actions & action) ? "true" : "false");
        call_document(c, 200, &body);
        return;
    }
    if (c->req->method == HTTP_PUT)
        iam_entry_grant(&c->iam->core, c->seg[1], group, c->seg[3], action, &reply);
    else if (c->req->method == HTTP_DELETE)
        iam_entry_take(&c->iam->core, c->seg[1], group, c->seg[3], action, &reply);
    else {
        call_not_allowed(c, "GET, PUT, DELETE");
        return;
    }
    if (reply.status < 300)
        log_info("permission %s resource=%s %s=%s action=%s by=%s",
            c->req->method == HTTP_PUT ? "granted" : "taken", c->seg[1], group ? "group" : "user",
            c->seg[3], c->seg[4], by(c));
    call_finish(c, &reply);
}

void acls_handle(struct iam_call *c)
{
    bool group = c->n_seg >= 4 && streq(c->seg[2], "groups");
    bool user = c->n_seg >= 4 && streq(c->seg[2], "users");
    if (c->n_seg == 1 && reads(c))
        list_all(c, &acls);
    else if (c->n_seg == 1)
        call_not_allowed(c, "GET");
    else if (c->n_seg == 2)
        show_or_change(c, &acls);
    else if (c->n_seg == 3 && streq(c->seg[2], "permissions") && reads(c))
        acl_permissions(c);
    else if (c->n_seg == 4 && (user || group))
        entry_actions(c, group);
    else if (c->n_seg == 5 && (user || group))
        entry_action(c, group);
    else
        not_found(c);
}
