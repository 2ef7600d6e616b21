#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <netinet/in.h>

#include "base/alloc.h"
#include "net/nft.h"

/* A flow keeps the backend it was given for as long as packets come: of UDP for ever, of TCP until
 * it times out when the backend went without a word. */

struct cutting {
    struct loop_work work;
    void (*done)(int status, void *userdata);
    void *userdata;
    bool abandoned;
    struct vip_cut *cuts;
    size_t n;
    int status;
    struct nfct_handle *destroyer;
};

static bool is(const struct nf_conntrack *ct, enum nf_conntrack_attr four,
    enum nf_conntrack_attr six, const struct address *a)
{
    /* Both are in network order. */
    const void *p = nfct_get_attr(ct, a->v6 ? six : four);
    return p && memcmp(p, a->bytes, a->v6 ? 16 : 4) == 0;
}

static bool meant(const struct cutting *c, const struct nf_conntrack *ct)
{
    uint8_t family = nfct_get_attr_u8(ct, ATTR_L3PROTO);
    uint8_t protocol = nfct_get_attr_u8(ct, ATTR_L4PROTO);
    uint16_t port = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST));
    uint16_t backend_port = ntohs(nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC));
    for (size_t i = 0; i < c->n; i++) {
        const struct vip_cut *o = &c->cuts[i];
        if (o->port == port && (uint8_t)o->protocol == protocol &&
            o->backend_port == backend_port && family == (o->ip.v6 ? AF_INET6 : AF_INET) &&
            is(ct, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST, &o->ip) &&
            is(ct, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC, &o->backend))
            return true;
    }
    return false;
}

static int on_flow(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *data)
{
    struct cutting *c = data;
    if (meant(c, ct) && nfct_query(c->destroyer, NFCT_Q_DESTROY, ct) == 0)
        c->status++;
    return NFCT_CB_CONTINUE;
}

static int dump(struct cutting *c, uint32_t family)
{
    struct nfct_handle *h = nfct_open(CONNTRACK, 0);
    int r = 0;
    if (!h || nfct_callback_register(h, NFCT_T_ALL, on_flow, c) < 0 ||
        nfct_query(h, NFCT_Q_DUMP, &family) < 0)
        r = -errno;
    if (h)
        nfct_close(h);
    return r;
}

static void work(struct loop_work *w)
{
    struct cutting *c = container_of(w, struct cutting, work);
    bool four = false, six = false;
    for (size_t i = 0; i < c->n; i++) {
        six = six || c->cuts[i].ip.v6;
        four = four || !c->cuts[i].ip.v6;
    }
    c->destroyer = nfct_open(CONNTRACK, 0);
    int r = c->destroyer ? 0 : -errno;
    if (r == 0 && four)
        r = dump(c, AF_INET);
    if (r == 0 && six)
        r = dump(c, AF_INET6);
    if (r < 0)
        c->status = r;
    if (c->destroyer)
        nfct_close(c->destroyer);
}

static void finished(struct loop_work *w)
{
    struct cutting *c = container_of(w, struct cutting, work);
    if (!c->abandoned)
        c->done(c->status, c->userdata);
    free(c->cuts);
    free(c);
}

void conntrack_cut(struct loop *l, struct vip_cut *cuts, size_t n,
    void (*done)(int status, void *userdata), void *userdata, struct cutting **ret)
{
    struct cutting *c = xnew(struct cutting);
    c->work = (struct loop_work){.work = work, .done = finished};
    c->done = done;
    c->userdata = userdata;
    c->cuts = cuts;
    c->n = n;
    *ret = c;
    loop_work_start(l, &c->work);
}

void conntrack_abandon(struct cutting *c)
{
    if (c)
        c->abandoned = true;
}
