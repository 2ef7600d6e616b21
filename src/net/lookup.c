#include <stdio.h>

#include "net/shell.h"

struct str net_name_asked(struct str name, char text[NAME_TEXT_MAX])
{
    size_t n = MIN(name.n, (size_t)NAME_TEXT_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        char c = name.p[i];
        text[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    if (n > 0 && text[n - 1] == '.')
        n--;
    text[n] = '\0';
    return (struct str){text, n};
}

const struct name *net_lookup(
    const struct net *n, struct str name, struct route *route, char text[NAME_TEXT_MAX])
{
    struct str asked = net_name_asked(name, text);
    resolve_route(&n->resolver, asked, route);
    if (!route->exists)
        return NULL;
    _cleanup_buf_ struct buf inner = BUF_INIT;
    resolve_inner(route, asked, &inner);
    return names_get(net_core_names(n->core), buf_str(&inner));
}

void net_record_ip(const struct record *r, char text[ADDRESS_TEXT])
{
    struct address a = {.v6 = r->type == DNS_AAAA};
    memcpy(a.bytes, r->ip, sizeof(a.bytes));
    address_text(&a, text);
}

bool net_target_ip(const struct net *n, const char *target, uint16_t type, char text[ADDRESS_TEXT])
{
    const struct name *name = names_get(net_core_names(n->core), str_of(target));
    for (size_t i = 0; name && i < name->records.n; i++)
        if (name->records.items[i].type == type) {
            net_record_ip(&name->records.items[i], text);
            return true;
        }
    return false;
}

void net_name_shown(const struct route *route, const char *name, char text[NAME_TEXT_MAX])
{
    struct str s = str_of(name);
    if (!name_within(s, route->inner) || s.n - route->inner.n + route->outer.n >= NAME_TEXT_MAX)
        (void)snprintf(text, NAME_TEXT_MAX, "%s", name);
    else
        (void)snprintf(text, NAME_TEXT_MAX, STR_FMT STR_FMT, (int)(s.n - route->inner.n), s.p,
            STR_ARG(route->outer));
}
