#include "net/vip.h"

#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/parse.h"

/* One backend that a task gives to one virtual address. */
struct share {
    struct vip *vip;
    struct address ip;
    uint16_t port;
    enum kind { SERVING, IDLE, AWAY } kind;
};
struct shares {
    VEC(struct share) items;
};

struct vips {
    struct names *names;
    struct map all, by_name, by_ip; /* by_ip: the address -> slot */
    struct vip_changes pending;
    uint32_t next_id;
    uint64_t version, ignored;
};

struct vips *vips_new(struct names *names)
{
    struct vips *v = xnew(struct vips);
    v->names = names;
    return v;
}

static void changed(struct vips *v, struct vip *vip)
{
    v->version++;
    if (!vip->changed)
        vec_push(&v->pending.changed, vip);
    vip->changed = true;
}

/* ---- addresses of names ---- */

struct slot {
    struct vip_name *name;
    char key[ADDRESS_TEXT];
};

static struct slot *slot_at(const struct vips *v, const struct address *ip)
{
    char key[ADDRESS_TEXT];
    address_text(ip, key);
    return map_get(&v->by_ip, key);
}

static void gone(struct vips *v, const struct vip *vip)
{
    bool last = true;
    /* Names have theirs for themselves and all their ports; nobody asks for those. */
    for (size_t pos = 0; !vip->name && last;) {
        const struct map_entry *e = map_next(&v->all, &pos);
        const struct vip *other = e ? e->value : NULL;
        if (!e)
            break;
        last = other == vip || !address_eq(&other->ip, &vip->ip);
    }
    const struct vip_gone g = {
        .id = vip->id, .ip = vip->ip, .protocol = vip->protocol, .port = vip->port, .last = last};
    vec_push(&v->pending.gone, g);
}

static void cut(struct vips *v, const struct vip *vip, const struct vip_backend *b)
{
    vec_push(&v->pending.cuts, (struct vip_cut){.protocol = vip->protocol,
                                   .ip = vip->ip,
                                   .port = vip->port,
                                   .backend = b->ip,
                                   .backend_port = b->port});
}

/* The name is at this address from now on. */
static void place(struct vips *v, struct vip_name *name, const struct address *ip)
{
    if (name->placed && address_eq(&name->ip, ip))
        return;
    for (size_t pos = 0; name->placed;) {
        struct map_entry *e = map_next(&v->all, &pos);
        struct vip *vip = e ? e->value : NULL;
        if (!e)
            break;
        if (vip->name != name)
            continue;
        gone(v, vip);
        VEC_FOREACH (b, &vip->backends)
            cut(v, vip, b);
        vip->id = ++v->next_id;
        vip->ip = *ip;
        changed(v, vip);
    }
    name->ip = *ip;
    name->placed = true;
    struct gifts old = name->gifts;
    name->gifts = (struct gifts){0};
    char text[NAME_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s.l4lb.thisdcos.directory", name->name);
    gifts_ip(&name->gifts, v->names, str_of(text), &name->ip);
    gifts_clear(&old, v->names);
}

/* Where places are taken the name that comes first in the alphabet has it, and the other goes on.
 */
static void settle(struct vips *v, struct vip_name *name)
{
    struct address ip;
    for (vip_first(name->name, name->ip.v6, &ip);; vip_next(&ip)) {
        struct slot *s = slot_at(v, &ip);
        if (!s) {
            s = xnew(struct slot);
            address_text(&ip, s->key);
            s->name = name;
            map_put(&v->by_ip, s->key, s);
            place(v, name, &ip);
            return;
        }
        if (strcmp(name->name, s->name->name) < 0) {
            struct vip_name *other = s->name;
            s->name = name;
            place(v, name, &ip);
            name = other;
        }
    }
}

static void unsettle(struct vips *v, struct vip_name *name)
{
    struct slot *s = slot_at(v, &name->ip);
    struct address ip = name->ip;
    VEC(struct vip_name *) moved = {0};
    map_remove(&v->by_ip, s->key);
    free(s);
    /* Whoever stands behind it may have wanted this place, or one before. */
    for (vip_next(&ip); (s = slot_at(v, &ip)); vip_next(&ip)) {
        vec_push(&moved, s->name);
        map_remove(&v->by_ip, s->key);
        free(s);
    }
    for (size_t i = 0; i < moved.n; i++)
        settle(v, moved.items[i]);
    vec_done(&moved);
}

static struct vip_name *name_ref(struct vips *v, const char *text, bool v6)
{
    char *key = xasprintf("%s%s", text, v6 ? "/6" : "");
    struct vip_name *n = map_get(&v->by_name, key);
    if (!n) {
        n = xnew(struct vip_name);
        n->key = TAKE_PTR(key);
        n->name = xstrdup(text);
        n->ip.v6 = v6;
        map_put(&v->by_name, n->key, n);
        settle(v, n);
    }
    free(key);
    n->refs++;
    return n;
}

static void name_unref(struct vips *v, struct vip_name *n)
{
    if (--n->refs > 0)
        return;
    map_remove(&v->by_name, n->key);
    unsettle(v, n);
    gifts_clear(&n->gifts, v->names);
    free(n->name);
    free(n->key);
    free(n);
}

/* ---- virtual addresses ---- */

/* What a label says. */
struct label {
    enum vip_protocol protocol;
    uint16_t port;
    bool numeric;
    struct address ip;
    struct buf name; /* of the others */
};

static char *vip_key(enum vip_protocol protocol, bool v6, const char *what, uint16_t port)
{
    return xasprintf("%s%s/%s:%u", protocol == VIP_TCP ? "tcp" : "udp", v6 ? "6" : "", what, port);
}

/* The one of this family, made when it is not there. */
static struct vip *vip_get(struct vips *v, const struct label *l, bool v6)
{
    char ip[ADDRESS_TEXT] = "";
    if (l->numeric)
        address_text(&l->ip, ip);
    const char *what = l->numeric ? ip : buf_cstr(&l->name);
    char *key = vip_key(l->protocol, v6, what, l->port);
    struct vip *vip = map_get(&v->all, key);
    if (vip) {
        free(key);
        return vip;
    }
    vip = xnew(struct vip);
    vip->key = key;
    vip->protocol = l->protocol;
    vip->port = l->port;
    vip->id = ++v->next_id;
    vip->name = l->numeric ? NULL : name_ref(v, what, v6);
    vip->ip = l->numeric ? l->ip : vip->name->ip;
    map_put(&v->all, vip->key, vip);
    return vip;
}

const struct vip *vip_twin(const struct vips *v, const struct vip *vip)
{
    if (!vip->name)
        return NULL;
    _cleanup_free_ char *key = vip_key(vip->protocol, !vip->ip.v6, vip->name->name, vip->port);
    return map_get(&v->all, key);
}

static void vip_remove(struct vips *v, struct vip *vip)
{
    gone(v, vip);
    for (size_t i = 0; i < v->pending.changed.n; i++)
        if (v->pending.changed.items[i] == vip) {
            vec_remove(&v->pending.changed, i);
            break;
        }
    v->version++;
    map_remove(&v->all, vip->key);
    if (vip->name)
        name_unref(v, vip->name);
    vec_done(&vip->backends);
    free(vip->key);
    free(vip);
}

static uint32_t *count_of(struct vip_backend *b, enum kind kind)
{
    return kind == SERVING ? &b->serving : kind == IDLE ? &b->idle : &b->unreachable;
}

static int compare(const struct vip_backend *b, const struct share *s)
{
    int r = address_cmp(&b->ip, &s->ip);
    return r ? r : (b->port > s->port) - (b->port < s->port);
}

static void share_add(struct vips *v, const struct share *s)
{
    size_t i = 0;
    struct vip *vip = s->vip;
    while (i < vip->backends.n && compare(&vip->backends.items[i], s) < 0)
        i++;
    if (i == vip->backends.n || compare(&vip->backends.items[i], s) != 0) {
        vec_push(&vip->backends, (struct vip_backend){0});
        memmove(vip->backends.items + i + 1, vip->backends.items + i,
            (vip->backends.n - 1 - i) * sizeof(vip->backends.items[0]));
        vip->backends.items[i] = (struct vip_backend){.ip = s->ip, .port = s->port};
    }
    if ((*count_of(&vip->backends.items[i], s->kind))++ == 0)
        changed(v, vip);
}

static void share_drop(struct vips *v, const struct share *s)
{
    struct vip *vip = s->vip;
    for (size_t i = 0; i < vip->backends.n; i++) {
        struct vip_backend *b = &vip->backends.items[i];
        if (compare(b, s) != 0)
            continue;
        if (--*count_of(b, s->kind) == 0)
            changed(v, vip);
        if (b->serving + b->idle + b->unreachable > 0)
            return;
        cut(v, vip, b);
        vec_remove(&vip->backends, i);
        break;
    }
    if (vip->backends.n == 0)
        vip_remove(v, vip);
}

/* ---- what a task gives ---- */

struct giving {
    struct vips *v;
    struct net_task *t;
    const char *framework;
    struct shares *shares;
    enum kind kind;
};

/* Addressed ones take backends of their own family, named ones have an address for each. */
static void give(struct giving *g, const struct label *l, const struct address *ip, uint16_t port)
{
    if (port == 0 || (l->numeric && l->ip.v6 != ip->v6))
        return;
    struct vip *vip = vip_get(g->v, l, ip->v6);
    if (vip->backends.n >= VIP_BACKENDS_MAX)
        return;
    const struct share s = {.vip = vip, .ip = *ip, .port = port, .kind = g->kind};
    share_add(g->v, &s);
    vec_push(&g->shares->items, s);
}

/* An address, IPv6 with or without brackets. */
static bool read_address(struct str text, struct address *ret)
{
    char ip[ADDRESS_TEXT] = "";
    bool brackets = text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';
    if (brackets)
        text = (struct str){text.p + 1, text.n - 2};
    if (text.n < sizeof(ip))
        memcpy(ip, text.p, text.n);
    return address_parse(ip, ret) == 0 && (ret->v6 || !brackets);
}

/* "<what>:<port>", split at the last colon. False when it says nothing that can be served. */
static bool read_label(
    struct giving *g, enum vip_protocol protocol, const char *value, struct label *ret)
{
    static const struct address none;
    const char *colon = strrchr(value, ':');
    *ret = (struct label){.protocol = protocol};
    bool good = colon && parse_port(str_of(colon + 1), &ret->port) == 0 && ret->port > 0;
    struct str what = {value, good ? (size_t)(colon - value) : 0};
    ret->numeric = good && read_address(what, &ret->ip);
    if (ret->numeric)
        good = memcmp(ret->ip.bytes, none.bytes, sizeof(none.bytes)) != 0;
    if (good && !ret->numeric) {
        name_fragment(what, false, &ret->name);
        size_t own = ret->name.n;
        if (own > 0)
            buf_putc(&ret->name, '.');
        name_fragment(str_of(g->framework), false, &ret->name);
        good = own > 0 && ret->name.n > own + 1 && ret->name.n <= NAME_WIRE_MAX - 32;
    }
    if (!good) {
        buf_done(&ret->name);
        g->v->ignored++;
    }
    return good;
}

static const struct net_mapping *mapping_of(
    const struct net_task *t, const struct net_port *p, bool tcp)
{
    for (size_t i = 0; i < t->n_mappings; i++) {
        const struct net_mapping *m = &t->mappings[i];
        if ((tcp ? m->tcp : m->udp) && (p->host_scope ? m->host : m->container) == p->number)
            return m;
    }
    return NULL;
}

static void give_port(struct giving *g, const struct net_port *p)
{
    struct net_task *t = g->t;
    bool tcp = p->protocol && strcasecmp(p->protocol, "tcp") == 0;
    if (!tcp && !(p->protocol && strcasecmp(p->protocol, "udp") == 0)) {
        g->v->ignored += p->n_vips;
        return;
    }
    const struct net_mapping *m = mapping_of(t, p, tcp);
    for (size_t i = 0; i < p->n_vips; i++) {
        struct label l;
        if (!read_label(g, tcp ? VIP_TCP : VIP_UDP, p->vips[i], &l))
            continue;
        if (m)
            give(g, &l, &t->agent_ip, m->host);
        else if (p->host_scope || t->n_ips == 0)
            give(g, &l, &t->agent_ip, p->number);
        for (size_t k = 0; !m && !p->host_scope && k < t->n_ips; k++)
            give(g, &l, &t->ips[k], p->number);
        buf_done(&l.name);
    }
}

/* VIP_PORT<n> of the task: "tcp://<what>:<port>", for the n-th of its ports. */
static void give_label(struct giving *g, const char *value, unsigned index)
{
    enum vip_protocol protocol = strncasecmp(value, "udp://", 6) == 0 ? VIP_UDP : VIP_TCP;
    if ((protocol == VIP_TCP && strncasecmp(value, "tcp://", 6) != 0) ||
        index >= g->t->n_host_ports) {
        g->v->ignored++;
        return;
    }
    struct label l;
    if (!read_label(g, protocol, value + 6, &l))
        return;
    give(g, &l, &g->t->agent_ip, g->t->host_ports[index]);
    buf_done(&l.name);
}

static bool kind_of(const struct net_task *t, enum kind *ret)
{
    bool failing = (t->has_healthy && !t->healthy) || (t->health_defined && !t->has_healthy);
    switch (t->state) {
    case MESOS__V1__TASK_STATE__TASK_RUNNING:
        *ret = failing ? IDLE : SERVING;
        return true;
    case MESOS__V1__TASK_STATE__TASK_KILLING:
        *ret = IDLE;
        return true;
    case MESOS__V1__TASK_STATE__TASK_UNREACHABLE:
        *ret = failing ? IDLE : AWAY;
        return true;
    default:
        return false;
    }
}

void vips_on_task(void *vips, struct net_task *t, const char *framework, bool is_gone)
{
    struct vips *v = vips;
    struct shares *old = t->vips, *shares = NULL;
    struct giving g = {.v = v, .t = t, .framework = framework};
    t->vips = NULL;
    if (!is_gone && framework && t->has_agent_ip && kind_of(t, &g.kind)) {
        g.shares = shares = xnew(struct shares);
        for (size_t i = 0; i < t->n_ports; i++)
            give_port(&g, &t->ports[i]);
        for (size_t i = 0; i < t->n_port_vips; i++)
            give_label(&g, t->port_vips[i], t->port_vip_index[i]);
        if (shares->items.n > 0)
            t->vips = TAKE_PTR(shares);
        free(shares);
    }
    /* The new ones are in: what stays was never away. */
    for (size_t i = 0; old && i < old->items.n; i++)
        share_drop(v, &old->items.items[i]);
    if (old)
        vec_done(&old->items);
    free(old);
}

/* ---- looking ---- */

size_t vip_targets(const struct vip *v, struct vip_target *ret, size_t max)
{
    size_t n = 0;
    for (size_t pass = 0; pass < 2 && n == 0; pass++)
        VEC_FOREACH (b, &v->backends) {
            if (!(pass == 0 ? b->serving : b->unreachable))
                continue;
            if (n < max)
                ret[n] = (struct vip_target){.ip = b->ip, .port = b->port};
            n++;
        }
    return n;
}

const struct map *vips_all(const struct vips *v)
{
    return &v->all;
}

const struct map *vips_names(const struct vips *v)
{
    return &v->by_name;
}

uint64_t vips_version(const struct vips *v)
{
    return v->version;
}

uint64_t vips_ignored(const struct vips *v)
{
    return v->ignored;
}

bool vips_changed(const struct vips *v)
{
    return v->pending.changed.n > 0 || v->pending.gone.n > 0 || v->pending.cuts.n > 0;
}

void vips_take(struct vips *v, struct vip_changes *ret)
{
    VEC_FOREACH (vip, &v->pending.changed)
        (*vip)->changed = false;
    *ret = v->pending;
    v->pending = (struct vip_changes){0};
}

void vip_changes_done(struct vip_changes *c)
{
    vec_done(&c->changed);
    vec_done(&c->gone);
    vec_done(&c->cuts);
}

void vips_free(struct vips *v)
{
    MAP_FOREACH (e, &v->all)
        vip_remove(v, e->value);
    map_done(&v->all);
    map_done(&v->by_name);
    map_done(&v->by_ip);
    vip_changes_done(&v->pending);
    free(v);
}
