#include "auth/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static const struct {
    const char *name;
    unsigned bit;
} actions[] = {
    {"create", POLICY_CREATE},
    {"read", POLICY_READ},
    {"update", POLICY_UPDATE},
    {"delete", POLICY_DELETE},
    {"full", POLICY_FULL},
};

unsigned policy_action_parse(struct str name)
{
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (str_eq_c(name, actions[i].name))
            return actions[i].bit;
    return 0;
}

const char *policy_action_name(unsigned one_bit)
{
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (actions[i].bit == one_bit)
            return actions[i].name;
    return "";
}

/* ---- records ---- */

/* A record that ends with its name. */
static void *named(size_t size, const char *name)
{
    char *record = xcalloc(1, size + strlen(name) + 1);
    memcpy(record + size, name, strlen(name) + 1);
    return record;
}

static void user_free(struct policy_user *u)
{
    if (!u)
        return;
    free(u->description);
    free(u->provider_type);
    free(u->provider_id);
    free(u->public_key);
    free(u->password_hash);
    free(u);
}

static void group_free(struct policy_group *g)
{
    if (!g)
        return;
    MAP_FOREACH (e, &g->members)
        free(e->value);
    map_done(&g->members);
    free(g->description);
    free(g);
}

static void acl_free(struct policy_acl *a)
{
    if (!a)
        return;
    MAP_FOREACH (e, &a->users)
        free(e->value);
    MAP_FOREACH (e, &a->groups)
        free(e->value);
    map_done(&a->users);
    map_done(&a->groups);
    free(a->description);
    free(a);
}

static void key_free(struct policy_public_key *k)
{
    if (!k)
        return;
    free(k->pem);
    free(k);
}

void policy_done(struct policy *p)
{
    MAP_FOREACH (e, &p->users)
        user_free(e->value);
    MAP_FOREACH (e, &p->groups)
        group_free(e->value);
    MAP_FOREACH (e, &p->acls)
        acl_free(e->value);
    MAP_FOREACH (e, &p->keys)
        key_free(e->value);
    map_done(&p->users);
    map_done(&p->groups);
    map_done(&p->acls);
    map_done(&p->keys);
}

/* ---- keys ---- */

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_@:.", c));
}

void policy_key(struct buf *out, const char *kind, const char *name)
{
    buf_printf(out, "%s/", kind);
    /* "." and ".." are no names for a store. */
    bool dots = streq(name, ".") || streq(name, "..");
    for (const char *c = name; *c; c++) {
        if (plain(*c) && !dots)
            buf_putc(out, *c);
        else
            buf_printf(out, "%%%02X", (unsigned char)*c);
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The name behind "<kind>/", or NULL. The caller frees it. */
static char *key_name(const char *key, const char *kind)
{
    size_t n = strlen(kind);
    if (strncmp(key, kind, n) != 0 || key[n] != '/')
        return NULL;
    struct buf name = BUF_INIT;
    for (const char *c = key + n + 1; *c; c++) {
        int high = *c == '%' ? digit(c[1]) : -1, low = high >= 0 ? digit(c[2]) : -1;
        if (*c != '%') {
            buf_putc(&name, *c);
        } else if (low >= 0 && (high || low)) {
            buf_putc(&name, (char)(high * 16 + low));
            c += 2;
        } else {
            buf_done(&name);
            return NULL;
        }
    }
    return buf_steal(&name);
}

/* ---- documents ---- */

static char *text_of(const json_t *o, const char *key, const char *fallback)
{
    const char *s = json_str_at(o, key, fallback);
    return s ? xstrdup(s) : NULL;
}

static struct policy_user *read_user(const char *uid, const json_t *o)
{
    struct policy_user *u = named(sizeof(*u), uid);
    u->description = text_of(o, "description", "");
    u->provider_type = text_of(o, "provider_type", "internal");
    u->provider_id = text_of(o, "provider_id", "");
    u->public_key = text_of(o, "public_key", NULL);
    u->password_hash = text_of(o, "password_hash", NULL);
    u->is_remote = json_bool_at(o, "is_remote", false);
    u->revoked_before_us = json_i64_at(o, "revoked_before_us", 0);
    return u;
}

static struct policy_group *read_group(const char *gid, const json_t *o)
{
    struct policy_group *g = named(sizeof(*g), gid);
    g->description = text_of(o, "description", "");
    const json_t *members = json_at(o, "members"), *m;
    size_t i;
    json_array_foreach(members, i, m)
    {
        const char *uid = json_string_value(m);
        if (!uid || map_get(&g->members, uid))
            continue;
        char *member = xstrdup(uid);
        map_put(&g->members, member, member);
    }
    return g;
}

static void read_entries(struct map *entries, const json_t *o)
{
    const char *name;
    json_t *bits;
    json_object_foreach((json_t *)(uintptr_t)o, name, bits)
    {
        struct policy_entry *e = named(sizeof(*e), name);
        e->actions = (unsigned)json_integer_value(bits) &
                     (POLICY_CREATE | POLICY_READ | POLICY_UPDATE | POLICY_DELETE | POLICY_FULL);
        map_put(entries, e->name, e);
    }
}

static struct policy_acl *read_acl(const char *rid, const json_t *o)
{
    struct policy_acl *a = named(sizeof(*a), rid);
    a->description = text_of(o, "description", "");
    read_entries(&a->users, json_at(o, "users"));
    read_entries(&a->groups, json_at(o, "groups"));
    return a;
}

static struct policy_public_key *read_key(const char *kid, const json_t *o)
{
    struct policy_public_key *k = named(sizeof(*k), kid);
    k->pem = text_of(o, "public_key", "");
    k->current = json_bool_at(o, "current", false);
    k->made_us = json_i64_at(o, "made_us", 0);
    k->retired_us = json_i64_at(o, "retired_us", 0);
    return k;
}

int policy_apply(struct policy *p, const char *key, const json_t *value, struct error *err)
{
    if (value && !json_is_object(value))
        return error_set(err, -EBADMSG, "%s: not an object", key);
    _cleanup_free_ char *uid = key_name(key, "users");
    _cleanup_free_ char *gid = key_name(key, "groups");
    _cleanup_free_ char *rid = key_name(key, "acls");
    _cleanup_free_ char *kid = key_name(key, "keys");
    if (uid) {
        user_free(map_remove(&p->users, uid));
        struct policy_user *u = value ? read_user(uid, value) : NULL;
        if (u)
            map_put(&p->users, u->uid, u);
    } else if (gid) {
        group_free(map_remove(&p->groups, gid));
        struct policy_group *g = value ? read_group(gid, value) : NULL;
        if (g)
            map_put(&p->groups, g->gid, g);
    } else if (rid) {
        acl_free(map_remove(&p->acls, rid));
        struct policy_acl *a = value ? read_acl(rid, value) : NULL;
        if (a)
            map_put(&p->acls, a->rid, a);
    } else if (kid) {
        key_free(map_remove(&p->keys, kid));
        struct policy_public_key *k = value ? read_key(kid, value) : NULL;
        if (k)
            map_put(&p->keys, k->kid, k);
    }
    return 0;
}

json_t *policy_user_document(const struct policy_user *u)
{
    json_t *o = json_object();
    json_object_set_new(o, "description", json_string(u->description));
    json_object_set_new(o, "provider_type", json_string(u->provider_type));
    json_object_set_new(o, "provider_id", json_string(u->provider_id));
    json_object_set_new(o, "is_remote", json_boolean(u->is_remote));
    if (u->public_key)
        json_object_set_new(o, "public_key", json_string(u->public_key));
    if (u->revoked_before_us)
        json_object_set_new(o, "revoked_before_us", json_integer(u->revoked_before_us));
    return o;
}

json_t *policy_group_document(const struct policy_group *g)
{
    json_t *o = json_object(), *members = json_array();
    json_object_set_new(o, "description", json_string(g->description));
    MAP_FOREACH (e, &g->members)
        json_array_append_new(members, json_string(e->key));
    json_object_set_new(o, "members", members);
    return o;
}

static json_t *entries_document(const struct map *entries)
{
    json_t *o = json_object();
    MAP_FOREACH (e, entries)
        json_object_set_new(o, e->key, json_integer(((struct policy_entry *)e->value)->actions));
    return o;
}

json_t *policy_acl_document(const struct policy_acl *a)
{
    json_t *o = json_object();
    json_object_set_new(o, "description", json_string(a->description));
    json_object_set_new(o, "users", entries_document(&a->users));
    json_object_set_new(o, "groups", entries_document(&a->groups));
    return o;
}

/* ---- questions ---- */

static bool entry_allows(const struct policy_entry *e, unsigned action)
{
    return e && (e->actions & (action | POLICY_FULL));
}

static bool acl_allows(
    const struct policy *p, const struct policy_acl *a, const char *uid, unsigned action)
{
    if (!a)
        return false;
    if (entry_allows(map_get(&a->users, uid), action))
        return true;
    MAP_FOREACH (e, &a->groups) {
        const struct policy_group *g = map_get(&p->groups, e->key);
        if (g && policy_in_group(g, uid) && entry_allows(e->value, action))
            return true;
    }
    return false;
}

bool policy_is_superuser(const struct policy *p, const char *uid)
{
    const unsigned any = POLICY_CREATE | POLICY_READ | POLICY_UPDATE | POLICY_DELETE;
    return uid && map_get(&p->users, uid) &&
           acl_allows(p, map_get(&p->acls, "dcos:superuser"), uid, any);
}

/* Cuts the last part off: at '/' inside a path that begins with '/', else at ':'. */
static size_t parent_length(const char *rid, size_t n)
{
    size_t colon = n;
    while (colon > 0 && rid[colon - 1] != ':')
        colon--;
    size_t part = colon; /* where the last part begins */
    if (part < n && rid[part] == '/') {
        size_t slash = n;
        while (slash > part && rid[slash - 1] != '/')
            slash--;
        if (slash - 1 > part)
            return slash - 1; /* "/a/b" -> "/a" */
        if (n > part + 1)
            return part + 1; /* "/a" -> "/" */
    }
    return colon > 0 ? colon - 1 : 0;
}

bool policy_allows(const struct policy *p, const char *uid, const char *rid, unsigned action)
{
    if (!uid || !map_get(&p->users, uid))
        return false;
    if (policy_is_superuser(p, uid))
        return true;
    for (size_t n = strlen(rid); n > 0; n = parent_length(rid, n))
        if (acl_allows(p, map_get_n(&p->acls, rid, n), uid, action))
            return true;
    return false;
}

bool policy_token_counts(const struct policy *p, const char *uid, int64_t issued_us)
{
    const struct policy_user *u = uid ? map_get(&p->users, uid) : NULL;
    return u && (!u->revoked_before_us || issued_us >= u->revoked_before_us);
}
