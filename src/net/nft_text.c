#include "net/vip.h"

/*
 * Our table, and nothing else of the host's rules:
 *
 *     map vips       (protocol, address, port) -> chain v<id> of that virtual address
 *     set down       the same, of those that nobody serves: refused, like a port without a listener
 *     set addresses  those that were asked for by number, to know our own flows by
 *     chain v<id>    counts, and gives a new connection to one of the backends in turn
 *
 * The kernel remembers each connection's backend, so a change concerns new ones only. Priorities
 * are a little before the usual ones: a port that is mapped on the host must not catch what is
 * meant for a virtual address.
 */

#define KEY "meta l4proto . ip daddr . th dport"

static const char BASE[] =
    "add table inet " NFT_TABLE "; delete table inet " NFT_TABLE "; add table inet " NFT_TABLE "; "
    "add map inet " NFT_TABLE " vips { type inet_proto . ipv4_addr . inet_service : verdict; }; "
    "add set inet " NFT_TABLE " down { type inet_proto . ipv4_addr . inet_service; }; "
    "add set inet " NFT_TABLE " addresses { type ipv4_addr; }; "
    "add chain inet " NFT_TABLE " prerouting { type nat hook prerouting priority -105; }; "
    "add chain inet " NFT_TABLE " output { type nat hook output priority -105; }; "
    "add chain inet " NFT_TABLE " postrouting { type nat hook postrouting priority 95; }; "
    "add chain inet " NFT_TABLE " refuse_in { type filter hook prerouting priority -150; }; "
    "add chain inet " NFT_TABLE " refuse_out { type filter hook output priority -150; }; "
    "add chain inet " NFT_TABLE " refuse; "
    "add rule inet " NFT_TABLE " prerouting " KEY " vmap @vips; "
    "add rule inet " NFT_TABLE " output " KEY " vmap @vips; "
    "add rule inet " NFT_TABLE
    " postrouting oifname != \"lo\" ct status dnat ct original ip daddr 11.0.0.0/8 masquerade; "
    "add rule inet " NFT_TABLE
    " postrouting oifname != \"lo\" ct status dnat ct original ip daddr @addresses masquerade; "
    "add rule inet " NFT_TABLE " refuse_in " KEY " @down goto refuse; "
    "add rule inet " NFT_TABLE " refuse_out " KEY " @down goto refuse; "
    "add rule inet " NFT_TABLE " refuse ct state != new return; "
    "add rule inet " NFT_TABLE " refuse meta l4proto tcp reject with tcp reset; "
    "add rule inet " NFT_TABLE " refuse reject";

static void put_key(enum vip_protocol protocol, uint32_t ip, uint16_t port, struct buf *out)
{
    char text[ADDRESS_TEXT];
    vip_ip_text(ip, text);
    buf_printf(out, "%s . %s . %u", protocol == VIP_TCP ? "tcp" : "udp", text, port);
}

static void element(const char *verb, const char *set, enum vip_protocol protocol, uint32_t ip,
    uint16_t port, struct buf *out)
{
    buf_printf(out, "; %s element inet " NFT_TABLE " %s { ", verb, set);
    put_key(protocol, ip, port, out);
    buf_puts(out, " }");
}

static void address(const char *verb, uint32_t ip, struct buf *out)
{
    char text[ADDRESS_TEXT];
    vip_ip_text(ip, text);
    buf_printf(out, "; %s element inet " NFT_TABLE " addresses { %s }", verb, text);
}

/* Adding what is there does nothing, deleting what is not there is an error: so each is added
 * before it is deleted. */
static void put_vip(const struct vip *v, struct buf *out)
{
    static struct vip_target targets[VIP_BACKENDS_MAX];
    size_t n = MIN(vip_targets(v, targets, VIP_BACKENDS_MAX), (size_t)VIP_BACKENDS_MAX);
    buf_printf(out,
        "; add counter inet " NFT_TABLE " v%u; add chain inet " NFT_TABLE
        " v%u; flush chain inet " NFT_TABLE " v%u",
        v->id, v->id, v->id);
    if (!v->name)
        address("add", v->ip, out);
    element("add", "down", v->protocol, v->ip, v->port, out);
    buf_printf(out, "; add element inet " NFT_TABLE " vips { ");
    put_key(v->protocol, v->ip, v->port, out);
    buf_printf(out, " : goto v%u }", v->id);
    if (n == 0)
        return;
    element("delete", "down", v->protocol, v->ip, v->port, out);
    buf_printf(out,
        "; add rule inet " NFT_TABLE " v%u counter name v%u; add rule inet " NFT_TABLE
        " v%u meta l4proto %s dnat ip to ",
        v->id, v->id, v->id, v->protocol == VIP_TCP ? "tcp" : "udp");
    if (n > 1)
        buf_printf(out, "numgen inc mod %zu map { ", n);
    for (size_t i = 0; i < n; i++) {
        char text[ADDRESS_TEXT];
        vip_ip_text(targets[i].ip, text);
        if (n == 1)
            buf_printf(out, "%s:%u", text, targets[i].port);
        else
            buf_printf(out, "%s%zu : %s . %u", i ? ", " : "", i, text, targets[i].port);
    }
    if (n > 1)
        buf_puts(out, " }");
}

static void put_gone(const struct vip_gone *g, struct buf *out)
{
    if (g->last) {
        address("add", g->ip, out);
        address("delete", g->ip, out);
    }
    element("add", "down", g->protocol, g->ip, g->port, out);
    element("delete", "down", g->protocol, g->ip, g->port, out);
    buf_printf(out, "; add chain inet " NFT_TABLE " v%u; add counter inet " NFT_TABLE " v%u", g->id,
        g->id);
    buf_puts(out, "; add element inet " NFT_TABLE " vips { ");
    put_key(g->protocol, g->ip, g->port, out);
    buf_printf(out, " : goto v%u }", g->id);
    element("delete", "vips", g->protocol, g->ip, g->port, out);
    buf_printf(out,
        "; flush chain inet " NFT_TABLE " v%u; delete chain inet " NFT_TABLE
        " v%u; delete counter inet " NFT_TABLE " v%u",
        g->id, g->id, g->id);
}

void nft_text_all(const struct vips *v, struct buf *out)
{
    buf_puts(out, BASE);
    MAP_FOREACH (e, vips_all(v))
        put_vip(e->value, out);
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
        put_vip(*v, out);
    if (out->n == empty) {
        out->n = before;
        return;
    }
    buf_putc(out, '\n');
}
