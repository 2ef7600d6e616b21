#include "zk/member.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/parse.h"

enum { SEQUENCE_DIGITS = 10 };

bool zk_member_parse(const char *name, const char *label, struct zk_member *ret)
{
    struct str s = str_of(name);
    if (s.n < SEQUENCE_DIGITS)
        return false;
    struct str digits = {s.p + s.n - SEQUENCE_DIGITS, SEQUENCE_DIGITS};
    struct zk_member m = {.label = {s.p, s.n - SEQUENCE_DIGITS}};
    if (parse_u32(digits, &m.sequence) < 0)
        return false;
    if (m.label.n > 0 && m.label.p[--m.label.n] != '_')
        return false;
    bool masters = streq(label, ZK_MASTER_LABEL);
    bool known = str_eq_c(m.label, label) ||
                 (masters && (str_eq_c(m.label, "info") || s.n == SEQUENCE_DIGITS));
    if (known)
        *ret = m;
    return known;
}

/* The member with the lowest number, or the highest one below `limit`. */
static const char *pick(
    const struct zk_names *names, const char *label, const struct zk_member *limit)
{
    const char *best = NULL;
    struct zk_member m, best_m = {0};
    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->items[i];
        if (!zk_member_parse(name, label, &m))
            continue;
        if (limit && m.sequence >= limit->sequence)
            continue;
        bool better = limit ? m.sequence > best_m.sequence : m.sequence < best_m.sequence;
        if (!best || better) {
            best = name;
            best_m = m;
        }
    }
    return best;
}

const char *zk_member_leader(const struct zk_names *names, const char *label)
{
    return pick(names, label, NULL);
}

const char *zk_member_before(const struct zk_names *names, const char *label, const char *before)
{
    struct zk_member limit;
    return zk_member_parse(before, label, &limit) ? pick(names, label, &limit) : NULL;
}

int zk_leader_read(struct zk_session *s, const char *folder, const char *label, bool watch,
    char **ret_name, struct buf *ret_data)
{
    for (;;) {
        _cleanup_zk_names_ struct zk_names names = {0};
        int r = zk_children(s, folder, watch, &names);
        /* Whoever creates the folder later is to be noticed as well. */
        if (r == -ENOENT && watch) {
            r = zk_exists(s, folder, true, NULL);
            if (r == 0)
                continue;
        }
        if (r < 0)
            return r;
        const char *leader = zk_member_leader(&names, label);
        if (!leader)
            return -ENOENT;
        _cleanup_free_ char *path = zk_join(folder, leader);
        r = zk_get(s, path, watch, ret_data, NULL);
        if (r == -ENOENT)
            continue; /* it just went */
        if (r == 0)
            *ret_name = xstrdup(leader);
        return r;
    }
}

/* ---- contending ---- */

struct contest {
    struct zk_session *s;
    const char *folder, *label, *data;
    void (*on_leader)(struct str data, void *userdata);
    void *userdata;
    int64_t id; /* of the session that the node belongs to */
    char *node; /* path */
    const char *name;
};

static void forget_node(struct contest *c)
{
    free(TAKE_PTR(c->node));
    c->name = NULL;
}

static void keep_node(struct contest *c, char *path)
{
    forget_node(c);
    c->node = path;
    c->name = strrchr(path, '/') + 1;
}

/* A node of ours whose creation was answered into a broken connection. */
static int find_own(struct contest *c, const struct zk_names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        struct zk_member m;
        struct zk_info info;
        if (!zk_member_parse(names->items[i], c->label, &m) || !str_eq_c(m.label, c->label))
            continue;
        char *path = zk_join(c->folder, names->items[i]);
        int r = zk_exists(c->s, path, false, &info);
        if (r == 0 && info.owner == c->id) {
            keep_node(c, path);
            return 1;
        }
        free(path);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static bool is_there(const struct zk_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (streq(names->items[i], name))
            return true;
    return false;
}

static int join(struct contest *c)
{
    _cleanup_free_ char *prefix = xasprintf("%s/%s_", c->folder, c->label);
    char *path = NULL;
    int r = zk_make_path(c->s, c->folder, ZK_SHARED);
    if (r == 0)
        r = zk_create_member(c->s, prefix, c->data, strlen(c->data), &path);
    if (r == 0)
        keep_node(c, path);
    return r;
}

/* Whoever it is, its going is an event. */
static int tell_leader(struct contest *c)
{
    _cleanup_buf_ struct buf data = BUF_INIT;
    _cleanup_free_ char *name = NULL;
    if (!c->on_leader)
        return 0;
    int r = zk_leader_read(c->s, c->folder, c->label, true, &name, &data);
    if (r == 0 || r == -ENOENT)
        c->on_leader(buf_str(&data), c->userdata);
    return r == -ENOENT ? 0 : r;
}

/* One look: 1 = we lead, 0 = look again, after an event when nothing is amiss. */
static int look(struct contest *c, uint64_t seen)
{
    _cleanup_zk_names_ struct zk_names names = {0};
    int r = zk_children(c->s, c->folder, false, &names);
    if (r < 0 && r != -ENOENT)
        return r;
    if (c->node && !is_there(&names, c->name))
        forget_node(c); /* somebody removed it */
    if (!c->node) {
        r = find_own(c, &names);
        if (r == 0)
            r = join(c);
        return r < 0 ? r : 0;
    }
    const char *before = zk_member_before(&names, c->label, c->name);
    if (!before)
        return zk_session_pin(c->s, c->id) ? 1 : -ESTALE;
    _cleanup_free_ char *path = zk_join(c->folder, before);
    r = zk_exists(c->s, path, true, NULL);
    if (r == 0) {
        /* Our own node is watched over too, though rarely: its place may be taken away. */
        r = zk_exists(c->s, c->node, true, NULL);
        if (r == 0)
            r = tell_leader(c);
        if (r == 0)
            zk_session_wait(c->s, seen, -1);
    }
    return r == -ENOENT ? 0 : r;
}

int zk_contend(struct zk_session *s, const char *folder, const char *label, const char *data,
    void (*on_leader)(struct str data, void *userdata), void *userdata, char **ret_node,
    struct error *err)
{
    struct contest c = {.s = s,
        .folder = folder,
        .label = label,
        .data = data,
        .on_leader = on_leader,
        .userdata = userdata};
    for (;;) {
        int64_t id;
        int r = zk_session_connect(s, -1, &id, err);
        if (r == 0 && zk_session_cancelled(s))
            r = error_set(err, -ECANCELED, "cancelled");
        if (r == 0) {
            if (id != c.id)
                forget_node(&c);
            c.id = id;
            uint64_t seen = zk_session_events(s);
            r = look(&c, seen);
            if (r > 0) {
                *ret_node = c.node;
                return 0;
            }
            if (r == -ENOTCONN || r == -ESTALE)
                r = 0; /* connect again, with another session if need be */
            else if (r < 0)
                error_errno(err, r, "ZooKeeper node %s", folder);
        }
        if (r < 0) {
            forget_node(&c);
            return r;
        }
    }
}
