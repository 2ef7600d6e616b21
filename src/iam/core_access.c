#include <string.h>

#include "base/alloc.h"
#include "iam/core_internal.h"

/* Groups, resources with their permissions, signing keys. */

bool iam_text_valid(const char *text, size_t max)
{
    size_t n = strlen(text);
    if (n == 0 || n > max)
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    json_t *o = json_string(text); /* NULL unless it is UTF-8 */
    json_decref(o);
    return o != NULL;
}

bool iam_description_ok(const char *description, struct iam_reply *reply)
{
    if (description && strlen(description) <= POLICY_DESCRIPTION_MAX)
        return true;
    iam_refuse(reply, 400, "ERR_INVALID_DATA", "`description` must be a string of at most %d bytes",
        POLICY_DESCRIPTION_MAX);
    return false;
}

static json_t *with_description(json_t *document, const char *description)
{
    json_object_set_new(document, "description", json_string(description));
    return document;
}

/* Bytes of a document as text; takes it over. */
static size_t size_of(json_t *document)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(document, &text);
    json_decref(document);
    return text.n;
}

/* At most so many more for an id and what is around it. */
static size_t text_size(const char *id)
{
    return size_of(json_string(id)) + 16;
}

/* ---- groups ---- */

static struct policy_group *find_group(struct iam_core *c, const char *gid, struct iam_reply *reply)
{
    struct policy_group *g = map_get(&c->policy.groups, gid);
    if (!g)
        iam_refuse(reply, 400, "ERR_UNKNOWN_GROUP_ID", "Group `%.96s` is not known", gid);
    return g;
}

void iam_group_create(
    struct iam_core *c, const char *gid, const char *description, struct iam_reply *reply)
{
    if (!iam_id_valid(gid)) {
        iam_refuse(reply, 400, "ERR_INVALID_GROUP_ID",
            "A group id has 1 to %d bytes, without '/' and control characters", POLICY_UID_MAX);
        return;
    }
    if (!iam_description_ok(description, reply))
        return;
    if (map_get(&c->policy.groups, gid)) {
        iam_refuse(reply, 409, "ERR_GROUP_EXISTS", "Group `%s` already exists", gid);
        return;
    }
    if (map_size(&c->policy.groups) >= IAM_GROUPS_MAX) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "There are %d groups already", IAM_GROUPS_MAX);
        return;
    }
    iam_change(c, "groups", gid, with_description(json_object(), description), NULL, NULL);
    iam_done(reply, 201);
}

void iam_group_update(
    struct iam_core *c, const char *gid, const char *description, struct iam_reply *reply)
{
    const struct policy_group *g = find_group(c, gid, reply);
    if (!g || !iam_description_ok(description, reply))
        return;
    iam_change(
        c, "groups", gid, with_description(policy_group_document(g), description), NULL, NULL);
    iam_done(reply, 204);
}

void iam_group_delete(struct iam_core *c, const char *gid, struct iam_reply *reply)
{
    if (!find_group(c, gid, reply))
        return;
    iam_forget(c, true, gid);
    iam_change(c, "groups", gid, NULL, NULL, NULL);
    iam_done(reply, 204);
}

/* Puts the group with `uid` among its members or not. */
static void put_members(
    struct iam_core *c, const struct policy_group *g, const char *uid, bool member)
{
    json_t *document = policy_group_document(g), *members = json_array();
    MAP_FOREACH (e, &g->members)
        if (!streq(e->key, uid))
            json_array_append_new(members, json_string(e->key));
    if (member)
        json_array_append_new(members, json_string(uid));
    json_object_set_new(document, "members", members);
    _cleanup_free_ char *gid = xstrdup(g->gid); /* the record is replaced on the way */
    iam_change(c, "groups", gid, document, NULL, NULL);
}

void iam_member_add(struct iam_core *c, const char *gid, const char *uid, struct iam_reply *reply)
{
    const struct policy_group *g = find_group(c, gid, reply);
    if (!g)
        return;
    if (!map_get(&c->policy.users, uid)) {
        iam_refuse(reply, 400, "ERR_UNKNOWN_USER_ID", "User `%.96s` is not known", uid);
    } else if (policy_in_group(g, uid)) {
        iam_refuse(reply, 409, "ERR_USER_ALREADY_IN_GROUP",
            "User `%s` is already a member of group `%s`", uid, gid);
    } else if (map_size(&g->members) >= POLICY_MEMBERS_MAX) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "Group `%s` has %d members already", gid,
            POLICY_MEMBERS_MAX);
    } else if (size_of(policy_group_document(g)) + text_size(uid) > IAM_DOCUMENT_MAX) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "Group `%s` has no room for more members", gid);
    } else {
        put_members(c, g, uid, true);
        iam_done(reply, 204);
    }
}

void iam_member_remove(
    struct iam_core *c, const char *gid, const char *uid, struct iam_reply *reply)
{
    const struct policy_group *g = find_group(c, gid, reply);
    if (!g)
        return;
    if (!policy_in_group(g, uid)) {
        iam_refuse(reply, 400, "ERR_USER_NOT_IN_GROUP",
            "User `%.96s` is not a member of group `%s`", uid, gid);
        return;
    }
    put_members(c, g, uid, false);
    iam_done(reply, 204);
}

/* ---- permissions ---- */

static struct policy_acl *find_acl(struct iam_core *c, const char *rid, struct iam_reply *reply)
{
    struct policy_acl *a = map_get(&c->policy.acls, rid);
    if (!a)
        iam_refuse(reply, 400, "ERR_UNKNOWN_RESOURCE_ID", "Resource `%.160s` is not known", rid);
    return a;
}

void iam_acl_create(
    struct iam_core *c, const char *rid, const char *description, struct iam_reply *reply)
{
    if (!iam_text_valid(rid, POLICY_RID_MAX)) {
        iam_refuse(reply, 400, "ERR_INVALID_RESOURCE_ID",
            "A resource id has 1 to %d bytes, without control characters", POLICY_RID_MAX);
        return;
    }
    if (!iam_description_ok(description, reply))
        return;
    if (map_get(&c->policy.acls, rid)) {
        iam_refuse(reply, 409, "ERR_RESOURCE_EXISTS", "Resource `%s` already exists", rid);
        return;
    }
    if (map_size(&c->policy.acls) >= IAM_ACLS_MAX) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "There are %d resources already", IAM_ACLS_MAX);
        return;
    }
    iam_change(c, "acls", rid, with_description(json_object(), description), NULL, NULL);
    iam_done(reply, 201);
}

void iam_acl_update(
    struct iam_core *c, const char *rid, const char *description, struct iam_reply *reply)
{
    const struct policy_acl *a = find_acl(c, rid, reply);
    if (!a || !iam_description_ok(description, reply))
        return;
    iam_change(c, "acls", rid, with_description(policy_acl_document(a), description), NULL, NULL);
    iam_done(reply, 204);
}

void iam_acl_delete(struct iam_core *c, const char *rid, struct iam_reply *reply)
{
    if (!find_acl(c, rid, reply))
        return;
    iam_change(c, "acls", rid, NULL, NULL, NULL);
    iam_done(reply, 204);
}

/* The entry gets these actions; none: it goes. */
static void put_entry(
    struct iam_core *c, const struct policy_acl *a, bool group, const char *name, unsigned actions)
{
    json_t *document = policy_acl_document(a);
    json_t *entries = json_object_get(document, group ? "groups" : "users");
    if (actions)
        json_object_set_new(entries, name, json_integer(actions));
    else
        json_object_del(entries, name);
    _cleanup_free_ char *rid = xstrdup(a->rid); /* the record is replaced on the way */
    iam_change(c, "acls", rid, document, NULL, NULL);
}

static unsigned actions_of(const struct policy_acl *a, bool group, const char *name)
{
    const struct policy_entry *e = map_get(group ? &a->groups : &a->users, name);
    return e ? e->actions : 0;
}

void iam_entry_grant(struct iam_core *c, const char *rid, bool group, const char *name,
    unsigned actions, struct iam_reply *reply)
{
    const struct policy_acl *a = find_acl(c, rid, reply);
    if (!a)
        return;
    if (!map_get(group ? &c->policy.groups : &c->policy.users, name)) {
        iam_refuse(reply, 400, group ? "ERR_UNKNOWN_GROUP_ID" : "ERR_UNKNOWN_USER_ID",
            "%s `%.96s` is not known", group ? "Group" : "User", name);
        return;
    }
    unsigned had = actions_of(a, group, name);
    if ((had & actions) == actions) {
        iam_refuse(reply, 409, "ERR_FORBIDDEN_ACTION", "`%s` already has this permission on `%s`",
            name, rid);
        return;
    }
    if (!had && map_size(group ? &a->groups : &a->users) >= POLICY_MEMBERS_MAX) {
        iam_refuse(reply, 400, "ERR_INVALID_DATA", "Resource `%s` has %d entries already", rid,
            POLICY_MEMBERS_MAX);
        return;
    }
    if (!had && size_of(policy_acl_document(a)) + text_size(name) > IAM_DOCUMENT_MAX) {
        iam_refuse(
            reply, 400, "ERR_INVALID_DATA", "Resource `%s` has no room for more entries", rid);
        return;
    }
    put_entry(c, a, group, name, had | actions);
    iam_done(reply, 204);
}

void iam_make_superuser(struct iam_core *c, const char *uid)
{
    static const char rid[] = "dcos:superuser";
    struct iam_reply reply;
    if (policy_is_superuser(&c->policy, uid))
        return;
    if (!map_get(&c->policy.acls, rid))
        iam_acl_create(c, rid, "Superuser: may do everything", &reply);
    iam_entry_grant(c, rid, false, uid, POLICY_FULL, &reply);
}

void iam_entry_take(struct iam_core *c, const char *rid, bool group, const char *name,
    unsigned actions, struct iam_reply *reply)
{
    const struct policy_acl *a = find_acl(c, rid, reply);
    if (!a)
        return;
    unsigned had = actions_of(a, group, name);
    if (!(had & actions)) {
        iam_refuse(reply, 400, "ERR_UNKNOWN_PERMISSION", "`%.96s` has no such permission on `%s`",
            name, rid);
        return;
    }
    put_entry(c, a, group, name, had & ~actions);
    iam_done(reply, 204);
}

/* A user or group goes: its entries and memberships go first. Records are replaced on the way, so
 * those that are concerned are found before. */
void iam_forget(struct iam_core *c, bool group, const char *name)
{
    VEC(const struct policy_acl *) acls = {0};
    MAP_FOREACH (e, &c->policy.acls)
        if (actions_of(e->value, group, name))
            vec_push(&acls, (const struct policy_acl *)e->value);
    VEC_FOREACH (a, &acls)
        put_entry(c, *a, group, name, 0);
    vec_done(&acls);
    if (group)
        return;
    VEC(const struct policy_group *) groups = {0};
    MAP_FOREACH (e, &c->policy.groups)
        if (policy_in_group(e->value, name))
            vec_push(&groups, (const struct policy_group *)e->value);
    VEC_FOREACH (g, &groups)
        put_members(c, *g, name, false);
    vec_done(&groups);
}

/* ---- signing keys ---- */

static void put_key(
    struct iam_core *c, const struct policy_public_key *k, const char *kid, const char *secret)
{
    json_t *document = json_object();
    json_object_set_new(document, "public_key", json_string(k->pem));
    json_object_set_new(document, "current", json_boolean(k->current));
    json_object_set_new(document, "made_us", json_integer(k->made_us));
    if (k->retired_us)
        json_object_set_new(document, "retired_us", json_integer(k->retired_us));
    iam_change(c, "keys", kid, document, "private_key", secret);
}

static const struct policy_public_key *signing_key(const struct iam_core *c)
{
    MAP_FOREACH (e, &c->policy.keys) {
        const struct policy_public_key *k = e->value;
        if (k->current)
            return k;
    }
    return NULL;
}

void iam_key_add(struct iam_core *c, const char *kid, const char *public_pem,
    const char *private_pem, int64_t now_us)
{
    const struct policy_public_key *old;
    while ((old = signing_key(c))) {
        /* It only verifies from now on; its private key is not needed any more. The record that
         * holds its strings is replaced on the way. */
        _cleanup_free_ char *old_kid = xstrdup(old->kid), *pem = xstrdup(old->pem);
        const struct policy_public_key retired = {
            .pem = pem, .made_us = old->made_us, .retired_us = now_us};
        put_key(c, &retired, old_kid, NULL);
    }
    const struct policy_public_key fresh = {
        .pem = (char *)(uintptr_t)public_pem, .current = true, .made_us = now_us};
    put_key(c, &fresh, kid, private_pem);
}

void iam_key_remove(struct iam_core *c, const char *kid)
{
    iam_change(c, "keys", kid, NULL, NULL, NULL);
}
