#include <string.h>

#include "base/log.h"
#include "iam/shell.h"

/* /users */

void write_user(struct json_writer *w, const struct policy_user *u)
{
    _cleanup_buf_ struct buf url = BUF_INIT;
    buf_puts(&url, "/acs/api/v1/users/");
    http_escape(&url, str_of(u->uid));
    jw_begin_object(w);
    jw_field_string(w, "uid", u->uid);
    jw_field_string(w, "url", buf_cstr(&url));
    jw_field_string(w, "description", u->description);
    jw_field_bool(w, "is_remote", u->is_remote);
    jw_field_bool(w, "is_service", u->public_key != NULL);
    jw_field_string(w, "provider_type", u->provider_type);
    jw_field_string(w, "provider_id", u->provider_id);
    if (u->public_key)
        jw_field_string(w, "public_key", u->public_key);
    jw_end_object(w);
}

static void list_users(struct iam_call *c)
{
    bool services = str_eq_c(http_request_param(c->req, "type"), "service");
    struct json_writer w;
    _cleanup_buf_ struct buf body = BUF_INIT;
    call_array_begin(&w, &body);
    MAP_FOREACH (e, &c->iam->core.policy.users) {
        const struct policy_user *u = e->value;
        if ((u->public_key != NULL) == services)
            write_user(&w, u);
    }
    call_array_end(c, &w, &body);
}

static const struct policy_user *known_user(struct iam_call *c)
{
    const struct policy_user *u = map_get(&c->iam->core.policy.users, c->seg[1]);
    if (!u)
        call_refuse(c, 400, "ERR_UNKNOWN_USER_ID", "User `%.96s` is not known", c->seg[1]);
    return u;
}

static void show_user(struct iam_call *c)
{
    const struct policy_user *u = known_user(c);
    if (!u)
        return;
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    write_user(&w, u);
    call_document(c, 200, &body);
}

/* ---- changes ---- */

static void put_hashed(struct iam_call *c, const char *hash, void *userdata)
{
    struct iam_user_spec *spec = userdata;
    struct iam_reply reply = {0};
    spec->password_hash = hash;
    if (c->req->method == HTTP_PUT)
        iam_user_create(&c->iam->core, c->seg[1], spec, iam_now(c->iam), &reply);
    else
        iam_user_update(&c->iam->core, c->seg[1], spec, &reply);
    if (reply.status < 300)
        log_info("user changed user=%s by=%s", c->seg[1], c->uid ? c->uid : "local");
    call_finish(c, &reply);
}

static void put_user(struct iam_call *c)
{
    struct iam_user_spec *spec = arena_new(&c->req->arena, struct iam_user_spec);
    struct iam_reply reply = {0};
    if (!iam_user_read(&c->iam->core, c->seg[1], c->body, c->req->method == HTTP_PUT,
            &c->req->arena, spec, &reply)) {
        call_finish(c, &reply);
        return;
    }
    if (spec->password)
        login_hash(c, spec->password, put_hashed, spec);
    else
        put_hashed(c, spec->password_hash, spec);
}

static void delete_user(struct iam_call *c)
{
    struct iam_reply reply = {0};
    iam_user_delete(&c->iam->core, c->seg[1], &reply);
    if (reply.status < 300)
        log_info("user deleted user=%s by=%s", c->seg[1], c->uid ? c->uid : "local");
    call_finish(c, &reply);
}

static void revoke_tokens(struct iam_call *c)
{
    struct iam_reply reply = {0};
    iam_user_revoke(&c->iam->core, c->seg[1], iam_now(c->iam), &reply);
    if (reply.status < 300)
        log_info("tokens revoked user=%s by=%s", c->seg[1], c->uid ? c->uid : "local");
    call_finish(c, &reply);
}

/* ---- what belongs to a user ---- */

static void write_membership(
    struct json_writer *w, const struct policy_group *g, const char *uid, bool with_group)
{
    _cleanup_buf_ struct buf url = BUF_INIT, group = BUF_INIT;
    buf_puts(&group, "/acs/api/v1/groups/");
    http_escape(&group, str_of(g->gid));
    buf_printf(&url, "%s/users/", buf_cstr(&group));
    http_escape(&url, str_of(uid));
    jw_field_string(w, "membershipurl", buf_cstr(&url));
    if (!with_group)
        return;
    jw_key(w, "group");
    jw_begin_object(w);
    jw_field_string(w, "gid", g->gid);
    jw_field_string(w, "url", buf_cstr(&group));
    jw_field_string(w, "description", g->description);
    jw_end_object(w);
}

static void list_groups(struct iam_call *c)
{
    if (!known_user(c))
        return;
    struct json_writer w;
    _cleanup_buf_ struct buf body = BUF_INIT;
    call_array_begin(&w, &body);
    MAP_FOREACH (e, &c->iam->core.policy.groups) {
        if (!policy_in_group(e->value, c->seg[1]))
            continue;
        jw_begin_object(&w);
        write_membership(&w, e->value, c->seg[1], true);
        jw_end_object(&w);
    }
    call_array_end(c, &w, &body);
}

static void write_permission(
    struct json_writer *w, const struct policy_acl *a, bool group, const struct policy_entry *entry)
{
    _cleanup_buf_ struct buf url = BUF_INIT;
    append_acl_url(&url, a->rid);
    jw_field_string(w, "rid", a->rid);
    jw_field_string(w, "description", a->description);
    jw_field_string(w, "aclurl", buf_cstr(&url));
    jw_key(w, "actions");
    write_actions(w, a->rid, group, entry);
}

static void list_permissions(struct iam_call *c)
{
    if (!known_user(c))
        return;
    const struct policy *p = &c->iam->core.policy;
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_key(&w, "direct");
    jw_begin_array(&w);
    MAP_FOREACH (e, &p->acls) {
        const struct policy_acl *a = e->value;
        const struct policy_entry *entry = map_get(&a->users, c->seg[1]);
        if (!entry)
            continue;
        jw_begin_object(&w);
        write_permission(&w, a, false, entry);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_key(&w, "groups");
    jw_begin_array(&w);
    MAP_FOREACH (e, &p->acls) {
        const struct policy_acl *a = e->value;
        MAP_FOREACH (ge, &a->groups) {
            const struct policy_group *g = map_get(&p->groups, ge->key);
            const struct policy_entry *entry = ge->value;
            if (!g || !policy_in_group(g, c->seg[1]))
                continue;
            jw_begin_object(&w);
            write_permission(&w, a, true, entry);
            jw_field_string(&w, "gid", g->gid);
            write_membership(&w, g, c->seg[1], false);
            jw_end_object(&w);
        }
    }
    jw_end_array(&w);
    jw_end_object(&w);
    call_document(c, 200, &body);
}

/* ---- dispatch ---- */

void users_handle(struct iam_call *c)
{
    enum http_method m = c->req->method;
    if (c->n_seg == 1) {
        if (m == HTTP_GET || m == HTTP_HEAD)
            list_users(c);
        else
            call_not_allowed(c, "GET");
    } else if (c->n_seg == 2) {
        if (m == HTTP_GET || m == HTTP_HEAD)
            show_user(c);
        else if (m == HTTP_PUT || m == HTTP_PATCH)
            put_user(c);
        else if (m == HTTP_DELETE)
            delete_user(c);
        else
            call_not_allowed(c, "GET, PUT, PATCH, DELETE");
    } else if (c->n_seg == 3 && streq(c->seg[2], "groups") && m == HTTP_GET) {
        list_groups(c);
    } else if (c->n_seg == 3 && streq(c->seg[2], "permissions") && m == HTTP_GET) {
        list_permissions(c);
    } else if (c->n_seg == 3 && streq(c->seg[2], "tokens") && m == HTTP_DELETE) {
        revoke_tokens(c);
    } else {
        call_refuse(c, 404, "ERR_NOT_FOUND", "There is nothing at this path");
    }
}
