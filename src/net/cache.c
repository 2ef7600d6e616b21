#include "net/cache.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"

struct entry {
    struct list node;
    int64_t since_us, until_us;
    uint16_t ttls[DNS_TTLS_MAX];
    size_t n_ttls, n;
    uint8_t *reply;
    char key[];
};

/* Type, what the asker said of DNSSEC, then the name. */
static size_t key_of(const struct dns_query *q, char *out, size_t size)
{
    int n = snprintf(out, size, "%u%c%c%c%s", q->type, q->dnssec_ok ? 'd' : '-', q->cd ? 'c' : '-',
        q->ad ? 'a' : '-', q->name);
    return (size_t)n;
}

void cache_init(struct cache *c)
{
    *c = (struct cache){0};
    list_init(&c->order);
}

static void entry_drop(struct cache *c, struct entry *e)
{
    map_remove(&c->map, e->key);
    list_remove(&e->node);
    c->bytes -= e->n;
    free(e->reply);
    free(e);
}

void cache_done(struct cache *c)
{
    LIST_FOREACH_SAFE (e, &c->order, struct entry, node)
        entry_drop(c, e);
    map_done(&c->map);
}

size_t cache_get(struct cache *c, const void *query, const struct dns_query *q, int64_t now_us,
    void *out, size_t cap)
{
    char key[NAME_TEXT_MAX + 16];
    (void)key_of(q, key, sizeof(key));
    struct entry *e = map_get(&c->map, key);
    if (e && e->until_us <= now_us) {
        entry_drop(c, e);
        e = NULL;
    }
    if (!e || e->n > cap) {
        c->misses++;
        return 0;
    }
    c->hits++;
    list_remove(&e->node);
    list_push(&c->order, &e->node);
    uint8_t *p = out;
    memcpy(p, e->reply, e->n);
    dns_set_u16(p, q->id);
    p[2] = (uint8_t)((p[2] & ~1) | (q->rd ? 1 : 0));
    /* The question as it was asked, upper case and all. */
    if (q->question_end <= e->n)
        memcpy(p + DNS_HEAD, (const uint8_t *)query + DNS_HEAD, q->question_end - DNS_HEAD);
    uint32_t age = (uint32_t)((now_us - e->since_us) / USEC_PER_SEC);
    for (size_t i = 0; i < e->n_ttls; i++) {
        uint32_t ttl = dns_u32(p + e->ttls[i]);
        dns_set_u32(p + e->ttls[i], ttl > age ? ttl - age : 0);
    }
    return e->n;
}

void cache_put(
    struct cache *c, const struct dns_query *q, const void *reply, size_t n, int64_t now_us)
{
    char key[NAME_TEXT_MAX + 16];
    uint16_t ttls[DNS_TTLS_MAX];
    size_t n_ttls = 0;
    uint32_t ttl = dns_reply_ttl(reply, n, ttls, &n_ttls);
    const uint8_t *p = reply;
    bool negative = n >= DNS_HEAD && ((p[3] & 15) == DNS_NXDOMAIN || dns_u16(p + 6) == 0);
    ttl = MIN(ttl, (uint32_t)(negative ? CACHE_NEGATIVE_TTL_MAX : CACHE_TTL_MAX));
    if (ttl == 0 || n > DNS_UDP_MAX)
        return;
    size_t key_n = key_of(q, key, sizeof(key));
    struct entry *old = map_get(&c->map, key);
    if (old)
        entry_drop(c, old);
    while (map_size(&c->map) >= CACHE_ENTRIES_MAX || c->bytes + n > CACHE_BYTES_MAX)
        entry_drop(c, list_first(&c->order, struct entry, node));
    struct entry *e = xcalloc(1, sizeof(*e) + key_n + 1);
    memcpy(e->key, key, key_n + 1);
    memcpy(e->ttls, ttls, sizeof(ttls));
    e->n_ttls = n_ttls;
    e->reply = xmemdup(reply, n);
    e->n = n;
    e->since_us = now_us;
    e->until_us = now_us + (int64_t)ttl * USEC_PER_SEC;
    c->bytes += n;
    list_init(&e->node);
    list_push(&c->order, &e->node);
    map_put(&c->map, e->key, e);
}
