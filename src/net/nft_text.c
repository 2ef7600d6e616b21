#include "net/vip.h"

/*
 * Our table, and nothing else of the host's rules:
 *
 *     map vips       (protocol, address, port) -> chain v<id> of that virtual address
 *     set down       the same, of those that nobody serves: refused, like a port without a listener
 *     set addresses  those that were asked for by number, to know our own flows by
 *     vips6, down6, addresses6  the same for IPv6
 *     chain v<id>    counts, and gives a new connection to one of the backends in turn
 *
 * The kernel remembers each connection's backend, so a change concerns new ones only. Priorities
 * are a little before the usual ones: a port that is mapped on the host must not catch what is
 * meant for a virtual address.
 */

#define ADD(what) "add " what " inet " NFT_TABLE " "
#define RULE "; " ADD("rule")
#define SETS(suffix, type)                                                                         \
    "; " ADD("map") "vips" suffix " { type inet_proto . " type " . inet_service : verdict; }"      \
                    "; " ADD("set") "down" suffix " { type inet_proto . " type                     \
                                    " . inet_service; }"                                           \
                                    "; " ADD("set") "addresses" suffix " { type " type "; }"
#define KEY(ip) "meta l4proto . " ip " daddr . th dport"
#define RULES(ip, suffix, network)                                                                 \
    RULE "prerouting " KEY(ip) " vmap @vips" suffix RULE "output " KEY(                            \
        ip) " vmap @vips" suffix RULE                                                              \
            "postrouting oifname != \"lo\" ct status dnat ct original " ip " daddr " network       \
            " masquerade" RULE "postrouting oifname != \"lo\" ct status dnat ct original " ip      \
            " daddr @addresses" suffix " masquerade" RULE                                          \
            "refuse_in " KEY(ip) " @down" suffix " goto refuse" RULE                               \
                                 "refuse_out " KEY(ip) " @down" suffix " goto refuse"

static const char BASE[] =
    "add table inet " NFT_TABLE "; delete table inet " NFT_TABLE
    "; add table inet " NFT_TABLE SETS("", "ipv4_addr") SETS("6", "ipv6_addr") "; " ADD(
        "chain") "prerouting { type nat hook prerouting priority -105; }"
                 "; " ADD(
                     "chain") "output { type nat hook output priority -105; }"
                              "; " ADD(
                                  "chain") "postrouting { type nat hook postrouting priority 95; }"
                                           "; " ADD(
                                               "chain") "refuse_in { type filter hook prerouting "
                                                        "priority -150; }"
                                                        "; " ADD(
                                                            "chain") "refuse_out { type filter "
                                                                     "hook output priority -150; }"
                                                                     "; " ADD(
                                                                         "chain") "refuse" RULES("i"
                                                                                                 "p",
                                                                         "", VIP_NETWORK)
                                                                         RULES("ip6", "6",
                                                                             VIP_NETWORK6) RULE
    "refuse ct state != new return" RULE "refuse meta l4proto tcp reject with tcp reset" RULE
    "refuse reject";

/* Of a set's or map's name, and before an address. */
static const char *suffix(const struct address *a)
{
    return a->v6 ? "6" : "";
}

static void put_key(
    enum vip_protocol protocol, const struct address *ip, uint16_t port, struct buf *out)
{
    char text[ADDRESS_TEXT];
    address_text(ip, text);
    buf_printf(out, "%s . %s . %u", protocol == VIP_TCP ? "tcp" : "udp", text, port);
}

static void element(const char *verb, const char *set, enum vip_protocol protocol,
    const struct address *ip, uint16_t port, struct buf *out)
{
    buf_printf(out, "; %s element inet " NFT_TABLE " %s%s { ", verb, set, suffix(ip));
    put_key(protocol, ip, port, out);
    buf_puts(out, " }");
}

/* The map's element: it leads to the chain of that id. */
static void lead(enum vip_protocol protocol, const struct address *ip, uint16_t port, uint32_t id,
    struct buf *out)
{
    buf_printf(out, "; add element inet " NFT_TABLE " vips%s { ", suffix(ip));
    put_key(protocol, ip, port, out);
    buf_printf(out, " : goto v%u }", id);
}

static void address(const char *verb, const struct address *ip, struct buf *out)
{
    char text[ADDRESS_TEXT];
    address_text(ip, text);
    buf_printf(out, "; %s element inet " NFT_TABLE " addresses%s { %s }", verb, suffix(ip), text);
}

/* Adding what is there does nothing, deleting what is not there is an error: so each is added
 * before it is deleted. In a new table (`fresh`) there is nothing to delete. */
static void put_vip(const struct vip *v, bool fresh, struct buf *out)
{
    static struct vip_target targets[VIP_BACKENDS_MAX];
    size_t n = MIN(vip_targets(v, targets, VIP_BACKENDS_MAX), (size_t)VIP_BACKENDS_MAX);
    buf_printf(out, "; add counter inet " NFT_TABLE " v%u; add chain inet " NFT_TABLE " v%u", v->id,
        v->id);
    if (!fresh)
        buf_printf(out, "; flush chain inet " NFT_TABLE " v%u", v->id);
    if (!v->name)
        address("add", &v->ip, out);
    if (n == 0 || !fresh)
        element("add", "down", v->protocol, &v->ip, v->port, out);
    lead(v->protocol, &v->ip, v->port, v->id, out);
    if (n == 0)
        return;
    if (!fresh)
        element("delete", "down", v->protocol, &v->ip, v->port, out);
    buf_printf(out,
        "; add rule inet " NFT_TABLE " v%u counter name v%u; add rule inet " NFT_TABLE
        " v%u meta l4proto %s dnat ip%s to ",
        v->id, v->id, v->id, v->protocol == VIP_TCP ? "tcp" : "udp", suffix(&v->ip));
    if (n > 1)
        buf_printf(out, "numgen inc mod %zu map { ", n);
    for (size_t i = 0; i < n; i++) {
        char text[ADDRESS_TEXT];
        address_text(&targets[i].ip, text);
        if (n == 1)
            buf_printf(out, v->ip.v6 ? "[%s]:%u" : "%s:%u", text, targets[i].port);
        else
            buf_printf(out, "%s%zu : %s . %u", i ? ", " : "", i, text, targets[i].port);
    }
    if (n > 1)
        buf_puts(out, " }");
}

static void put_gone(const struct vip_gone *g, struct buf *out)
{
    if (g->last) {
        address("add", &g->ip, out);
        address("delete", &g->ip, out);
    }
    element("add", "down", g->protocol, &g->ip, g->port, out);
    element("delete", "down", g->protocol, &g->ip, g->port, out);
    buf_printf(out, "; add chain inet " NFT_TABLE " v%u; add counter inet " NFT_TABLE " v%u", g->id,
        g->id);
    lead(g->protocol, &g->ip, g->port, g->id, out);
    element("delete", "vips", g->protocol, &g->ip, g->port, out);
    buf_printf(out,
        "; flush chain inet " NFT_TABLE " v%u; delete chain inet " NFT_TABLE
        " v%u; delete counter inet " NFT_TABLE " v%u",
        g->id, g->id, g->id);
}

void nft_text_all(const struct vips *v, struct buf *out)
{
    buf_puts(out, BASE);
    MAP_FOREACH (e, vips_all(v))
        put_vip(e->value, true, out);
    buf_putc(out, '\n');
}

void nft_text_changes(const struct vip_changes *c, struct buf *out)
{
    size_t before = out->n;
    buf_puts(out, "add table inet " NFT_TABLE);
    size_t empty = out->n;
    VEC_FOREACH (g, &c->gone)
        put_gone(g, out);
    VEC_FOREACH (v, &c->changed)
        put_vip(*v, false, out);
    if (out->n == empty) {
        out->n = before;
        return;
    }
    buf_putc(out, '\n');
}
