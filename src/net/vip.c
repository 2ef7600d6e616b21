#include "net/vip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/parse.h"

/* One backend that a task gives to one virtual address. */
struct share {
    struct vip *vip;
    uint32_t ip;
    uint16_t port;
    enum kind { SERVING, IDLE, AWAY } kind;
};
struct shares {
    VEC(struct share) items;
};

struct vips {
    struct names *names;
    struct map all, by_name, by_ip; /* by_ip: "n" of the address -> vip_name */
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

void vip_ip_text(uint32_t ip, char ret[ADDRESS_TEXT])
{
    struct address a = {0};
    dns_set_u32(a.bytes, ip);
    address_text(&a, ret);
}

static uint32_t ip_of(const struct address *a)
{
    return dns_u32(a->bytes);
}

static void changed(struct vips *v, struct vip *vip)
{
    v->version++;
    if (!vip->changed)
        vec_push(&v->pending.changed, vip);
    vip->changed = true;
}

/* ---- addresses of names ---- */

enum { SLOT_TEXT = 16 };

struct slot {
    struct vip_name *name;
    char key[SLOT_TEXT];
};

static void slot_key(uint32_t ip, char key[SLOT_TEXT])
{
    (void)snprintf(key, SLOT_TEXT, "%08x", ip);
}

static struct slot *slot_at(const struct vips *v, uint32_t ip)
{
    char key[SLOT_TEXT];
    slot_key(ip, key);
    return map_get(&v->by_ip, key);
}

static uint32_t first_ip(const char *name)
{
    return VIP_BASE + phash2(name, strlen(name), VIP_LAST - VIP_BASE);
}

static uint32_t next_ip(uint32_t ip)
{
    return ip == VIP_LAST ? VIP_BASE : ip + 1;
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
        last = other == vip || other->ip != vip->ip;
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
static void place(struct vips *v, struct vip_name *name, uint32_t ip)
{
    if (name->ip == ip)
        return;
    for (size_t pos = 0; name->ip != 0;) {
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
        vip->ip = ip;
        changed(v, vip);
    }
    name->ip = ip;
    struct gifts old = name->gifts;
    name->gifts = (struct gifts){0};
    struct address a = {0};
    dns_set_u32(a.bytes, ip);
    char text[NAME_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "%s.l4lb.thisdcos.directory", name->name);
    gifts_ip(&name->gifts, v->names, str_of(text), &a);
    gifts_clear(&old, v->names);
}

/* Where places are taken the name that comes first in the alphabet has it, and the other goes on.
 */
static void settle(struct vips *v, struct vip_name *name)
{
    uint32_t ip = first_ip(name->name);
    for (;; ip = next_ip(ip)) {
        struct slot *s = slot_at(v, ip);
        if (!s) {
            s = xnew(struct slot);
            slot_key(ip, s->key);
            s->name = name;
            map_put(&v->by_ip, s->key, s);
            place(v, name, ip);
            return;
        }
        if (strcmp(name->name, s->name->name) < 0) {
            struct vip_name *other = s->name;
            s->name = name;
            place(v, name, ip);
            name = other;
        }
    }
}

static void unsettle(struct vips *v, struct vip_name *name)
{
    struct slot *s = slot_at(v, name->ip);
    uint32_t ip = name->ip;
    VEC(struct vip_name *) moved = {0};
    map_remove(&v->by_ip, s->key);
    free(s);
    /* Whoever stands behind it may have wanted this place, or one before. */
    for (ip = next_ip(ip); (s = slot_at(v, ip)); ip = next_ip(ip)) {
        vec_push(&moved, s->name);
        map_remove(&v->by_ip, s->key);
        free(s);
    }
    for (size_t i = 0; i < moved.n; i++)
        settle(v, moved.items[i]);
    vec_done(&moved);
}

static struct vip_name *name_ref(struct vips *v, const char *text)
{
    struct vip_name *n = map_get(&v->by_name, text);
    if (!n) {
        n = xnew(struct vip_name);
        n->name = xstrdup(text);
        map_put(&v->by_name, n->name, n);
        settle(v, n);
    }
    n->refs++;
    return n;
}

static void name_unref(struct vips *v, struct vip_name *n)
{
    if (--n->refs > 0)
        return;
    map_remove(&v->by_name, n->name);
    unsettle(v, n);
    gifts_clear(&n->gifts, v->names);
    free(n->name);
    free(n);
}

/* ---- virtual addresses ---- */

static struct vip *vip_get(struct vips *v, enum vip_protocol protocol, struct str text,
    uint16_t port, const char *framework)
{
    struct address a;
    char ip[ADDRESS_TEXT] = "";
    if (text.n < sizeof(ip))
        memcpy(ip, text.p, text.n);
    bool numeric = ip[0] && address_parse(ip, &a) == 0;
    if (numeric && (a.v6 || ip_of(&a) == 0))
        return NULL; /* IPv6 is not served */
    _cleanup_buf_ struct buf name = BUF_INIT;
    if (!numeric) {
        name_fragment(text, false, &name);
        size_t own = name.n;
        if (own > 0)
            buf_putc(&name, '.');
        name_fragment(str_of(framework), false, &name);
        if (own == 0 || name.n == own + 1 || name.n > NAME_WIRE_MAX - 32)
            return NULL;
    } else {
        buf_puts(&name, ip);
    }
    char *key = xasprintf("%s/%s:%u", protocol == VIP_TCP ? "tcp" : "udp", buf_cstr(&name), port);
    struct vip *vip = map_get(&v->all, key);
    if (vip) {
        free(key);
        return vip;
    }
    vip = xnew(struct vip);
    vip->key = key;
    vip->protocol = protocol;
    vip->port = port;
    vip->id = ++v->next_id;
    vip->name = numeric ? NULL : name_ref(v, buf_cstr(&name));
    vip->ip = numeric ? ip_of(&a) : vip->name->ip;
    map_put(&v->all, vip->key, vip);
    return vip;
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

static void share_add(struct vips *v, const struct share *s)
{
    size_t i = 0;
    struct vip *vip = s->vip;
    while (i < vip->backends.n &&
           (vip->backends.items[i].ip < s->ip ||
               (vip->backends.items[i].ip == s->ip && vip->backends.items[i].port < s->port)))
        i++;
    if (i == vip->backends.n || vip->backends.items[i].ip != s->ip ||
        vip->backends.items[i].port != s->port) {
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
        if (b->ip != s->ip || b->port != s->port)
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

static void give(struct giving *g, struct vip *vip, const struct address *ip, uint16_t port)
{
    if (!vip || ip->v6 || port == 0 || vip->backends.n >= VIP_BACKENDS_MAX)
        return;
    const struct share s = {.vip = vip, .ip = ip_of(ip), .port = port, .kind = g->kind};
    share_add(g->v, &s);
    vec_push(&g->shares->items, s);
}

/* "<what>:<port>", split at the last colon. NULL when it says nothing that can be served. */
static struct vip *read_label(struct giving *g, enum vip_protocol protocol, const char *value)
{
    const char *colon = strrchr(value, ':');
    uint16_t port;
    struct vip *vip = NULL;
    if (colon && parse_port(str_of(colon + 1), &port) == 0 && port > 0)
        vip = vip_get(
            g->v, protocol, (struct str){value, (size_t)(colon - value)}, port, g->framework);
    if (!vip)
        g->v->ignored++;
    return vip;
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
        struct vip *vip = read_label(g, tcp ? VIP_TCP : VIP_UDP, p->vips[i]);
        if (!vip)
            continue;
        if (m)
            give(g, vip, &t->agent_ip, m->host);
        else if (p->host_scope || t->n_ips == 0)
            give(g, vip, &t->agent_ip, p->number);
        for (size_t k = 0; !m && !p->host_scope && k < t->n_ips; k++)
            give(g, vip, &t->ips[k], p->number);
        if (vip->backends.n == 0)
            vip_remove(g->v, vip);
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
    struct vip *vip = read_label(g, protocol, value + 6);
    give(g, vip, &g->t->agent_ip, g->t->host_ports[index]);
    if (vip && vip->backends.n == 0)
        vip_remove(g->v, vip);
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
