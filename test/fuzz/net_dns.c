/* What anybody can send to port 53, and what an upstream server may answer. */

#include <stdlib.h>

#include "net/cache.h"
#include "net/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct net_core *g_core;

static void start(void)
{
    struct net_config c = {.ip_sources = {IP_HOST}, .n_ip_sources = 1};
    struct address a;
    if (address_parse("192.0.2.1", &a) < 0)
        abort();
    vec_push(&c.masters, a);
    g_core = net_core_new(&c);
    net_core_leader(g_core, &a, 5050);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t out[DNS_MESSAGE_MAX], again[DNS_MESSAGE_MAX];
    if (!g_core)
        start();
    const struct resolver r = {.core = g_core, .mesos_ttl = 60, .rotate = ROTATE_ROUND_ROBIN};
    struct dns_query q;
    const struct forward_zone *zone;
    size_t size = 0;
    for (int udp = 0; udp < 2; udp++) {
        enum resolved how = resolve(&r, data, n, udp, false, &q, out, sizeof(out), &size, &zone);
        if (how == RESOLVED_FORWARD || (how == RESOLVED_ANSWER && size < DNS_HEAD))
            abort();
        if (how == RESOLVED_ANSWER && udp && size > DNS_UDP_MAX)
            abort();
        if (how == RESOLVED_ANSWER && (dns_u16(out) != dns_u16(data) || !(out[2] & 0x80)))
            abort();
    }
    /* The same bytes as an answer: what is kept must come back the same but for id and TTLs. */
    if (n >= DNS_HEAD && n <= sizeof(out)) {
        memcpy(out, data, n);
        out[2] &= 0x7f;
        if (dns_query_read(out, n, &q) == 0 && q.opcode == 0) {
            struct cache c;
            cache_init(&c);
            out[2] |= 0x80;
            cache_put(&c, &q, out, n, 0);
            size = cache_get(&c, out, &q, 0, again, sizeof(again));
            if (size != 0 && size != n)
                abort();
            cache_done(&c);
        }
    }
    return 0;
}
