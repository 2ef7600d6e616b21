#include "net/names.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/alloc.h"

int address_parse(const char *text, struct address *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, text, ret->bytes) == 1)
        return 0;
    ret->v6 = true;
    return inet_pton(AF_INET6, text, ret->bytes) == 1 ? 0 : -EINVAL;
}

void address_text(const struct address *a, char ret[ADDRESS_TEXT])
{
    (void)inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, ret, ADDRESS_TEXT);
}

bool address_eq(const struct address *a, const struct address *b)
{
    return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

int address_cmp(const struct address *a, const struct address *b)
{
    return a->v6 != b->v6 ? a->v6 - b->v6 : memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4);
}

static bool has_target(uint16_t type)
{
    return type == DNS_SRV || type == DNS_CNAME;
}

static void name_free(struct name *name)
{
    VEC_FOREACH (r, &name->records)
        if (has_target(r->type))
            free(r->target);
    vec_done(&name->records);
    free(name);
}

void names_done(struct names *n)
{
    MAP_FOREACH (e, &n->map)
        name_free(e->value);
    map_done(&n->map);
    *n = (struct names){0};
}

const struct name *names_get(const struct names *n, struct str name)
{
    return map_get_n(&n->map, name.p, name.n);
}

static struct record *find(const struct name *name, const struct record *r)
{
    VEC_FOREACH (o, &name->records)
        if (o->type == r->type && o->port == r->port &&
            (has_target(r->type) ? streq(o->target, r->target)
                                 : memcmp(o->ip, r->ip, r->type == DNS_A ? 4 : 16) == 0))
            return o;
    return NULL;
}

/* Takes over the target. */
static const struct name *add(
    struct names *n, struct str text, struct record r, const char **ret_target)
{
    struct name *name = map_get_n(&n->map, text.p, text.n);
    struct record *known = name ? find(name, &r) : NULL;
    if (known || !name_valid(text)) {
        if (has_target(r.type))
            free(r.target);
        if (!known)
            return NULL;
        known->refs++;
        if (ret_target)
            *ret_target = known->target;
        return name;
    }
    if (!name) {
        name = xcalloc(1, sizeof(*name) + text.n + 1);
        memcpy(name->text, text.p, text.n);
        map_put(&n->map, name->text, name);
    }
    r.refs = 1;
    vec_push(&name->records, r);
    n->n_records++;
    n->version++;
    if (ret_target)
        *ret_target = r.target;
    return name;
}

static void drop(struct names *n, struct str text, const struct record *r)
{
    struct name *name = map_get_n(&n->map, text.p, text.n);
    struct record *known = name ? find(name, r) : NULL;
    if (!known || --known->refs > 0)
        return;
    if (has_target(known->type))
        free(known->target);
    vec_remove(&name->records, (size_t)(known - name->records.items));
    n->n_records--;
    n->version++;
    if (name->records.n == 0) {
        map_remove(&n->map, name->text);
        name_free(name);
    }
}

static struct record of_ip(const struct address *ip)
{
    struct record r = {.type = ip->v6 ? DNS_AAAA : DNS_A};
    memcpy(r.ip, ip->bytes, sizeof(r.ip));
    return r;
}

const struct name *names_add_ip(struct names *n, struct str name, const struct address *ip)
{
    return add(n, name, of_ip(ip), NULL);
}

const struct name *names_add_target(struct names *n, struct str name, uint16_t type,
    struct str target, uint16_t port, const char **ret_target)
{
    if (!name_valid(target))
        return NULL;
    const struct record r = {.type = type, .port = port, .target = str_dup(target)};
    return add(n, name, r, ret_target);
}

void names_drop_ip(struct names *n, struct str name, const struct address *ip)
{
    struct record r = of_ip(ip);
    drop(n, name, &r);
}

void names_drop_target(
    struct names *n, struct str name, uint16_t type, struct str target, uint16_t port)
{
    _cleanup_free_ char *text = str_dup(target);
    const struct record r = {.type = type, .port = port, .target = text};
    drop(n, name, &r);
}

void gifts_ip(struct gifts *g, struct names *n, struct str name, const struct address *ip)
{
    const struct name *at = names_add_ip(n, name, ip);
    if (!at)
        return;
    const struct given given = {.name = at->text, .ip = *ip, .type = ip->v6 ? DNS_AAAA : DNS_A};
    vec_push(&g->items, given);
}

void gifts_target(struct gifts *g, struct names *n, struct str name, uint16_t type,
    struct str target, uint16_t port)
{
    struct given given = {.type = type, .port = port};
    const struct name *at = names_add_target(n, name, type, target, port, &given.target);
    if (!at)
        return;
    given.name = at->text;
    vec_push(&g->items, given);
}

void gifts_clear(struct gifts *g, struct names *n)
{
    VEC_FOREACH (i, &g->items) {
        if (i->target)
            names_drop_target(n, str_of(i->name), i->type, str_of(i->target), i->port);
        else
            names_drop_ip(n, str_of(i->name), &i->ip);
    }
    vec_done(&g->items);
}
