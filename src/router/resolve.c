#include <arpa/inet.h>
#include <netdb.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "router/router.h"

/*
 * Names of hosts, as tasks and web addresses of frameworks may have them. Looked up on the pool,
 * again every five seconds whatever the records' life (as Admin Router), and forgotten when nobody
 * asked since the last time.
 */

#define REFRESH_US (5 * USEC_PER_SEC)

struct host {
    struct loop_work work;
    struct resolver *resolver; /* NULL: the resolver is gone */
    bool busy, known, wanted;
    struct target address, fresh;
    bool found;
    char name[];
};

struct resolver {
    struct router *router;
    struct map hosts;
    struct timer refresh;
};

bool target_set_address(struct target *t, const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    memset(t->address, 0, sizeof(t->address));
    if (inet_pton(AF_INET, host, &four) == 1) {
        t->family = 4;
        memcpy(t->address, &four, sizeof(four));
        return true;
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        t->family = 6;
        memcpy(t->address, &six, sizeof(six));
        return true;
    }
    return false;
}

static void look_up(struct loop_work *w)
{
    struct host *h = container_of(w, struct host, work);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    h->found = false;
    if (getaddrinfo(h->name, NULL, &hints, &list) != 0)
        return;
    for (int want = 4; want <= 6 && !h->found; want += 2) {
        for (struct addrinfo *a = list; a && !h->found; a = a->ai_next) {
            if (a->ai_family != (want == 4 ? AF_INET : AF_INET6))
                continue;
            char text[INET6_ADDRSTRLEN];
            if (getnameinfo(
                    a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0)
                h->found = target_set_address(&h->fresh, text);
        }
    }
    freeaddrinfo(list);
}

static void looked_up(struct loop_work *w)
{
    struct host *h = container_of(w, struct host, work);
    struct resolver *s = h->resolver;
    h->busy = false;
    if (!s) {
        free(h);
        return;
    }
    const bool changed = h->found != h->known ||
                         (h->found && memcmp(&h->fresh, &h->address, sizeof(h->fresh)) != 0);
    h->known = h->found;
    h->address = h->fresh;
    if (changed)
        router_routes_changed(s->router);
}

static void start(struct host *h)
{
    if (h->busy)
        return;
    h->busy = true;
    h->work.work = look_up;
    h->work.done = looked_up;
    loop_work_start(h->resolver->router->loop, &h->work);
}

static void refresh(struct timer *t)
{
    struct resolver *s = container_of(t, struct resolver, refresh);
    MAP_FOREACH (e, &s->hosts) {
        struct host *h = e->value;
        if (h->wanted || h->busy) {
            start(h);
            continue;
        }
        map_remove(&s->hosts, h->name);
        free(h);
    }
    if (map_size(&s->hosts))
        timer_start(t, REFRESH_US);
}

struct resolver *resolver_new(struct router *r)
{
    struct resolver *s = xnew(struct resolver);
    s->router = r;
    timer_init(&s->refresh, r->loop, refresh);
    return s;
}

void resolver_free(struct resolver *s)
{
    if (!s)
        return;
    timer_stop(&s->refresh);
    MAP_FOREACH (e, &s->hosts) {
        struct host *h = e->value;
        h->resolver = NULL;
        if (!h->busy)
            free(h);
    }
    map_done(&s->hosts);
    free(s);
}

bool resolver_get(struct resolver *s, const char *host, struct target *t)
{
    if (target_set_address(t, host))
        return true;
    struct host *h = map_get(&s->hosts, host);
    if (!h) {
        const size_t n = strlen(host);
        if (map_size(&s->hosts) >= ROUTER_HOSTS_MAX || n > 255 || n == 0)
            return false;
        h = xcalloc(1, sizeof(*h) + n + 1);
        memcpy(h->name, host, n + 1);
        h->resolver = s;
        map_put(&s->hosts, h->name, h);
        start(h);
        if (!timer_active(&s->refresh))
            timer_start(&s->refresh, REFRESH_US);
    }
    h->wanted = true;
    if (!h->known)
        return false;
    t->family = h->address.family;
    memcpy(t->address, h->address.address, sizeof(t->address));
    return true;
}
