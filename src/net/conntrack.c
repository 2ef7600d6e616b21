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

static bool meant(const struct cutting *c, const struct nf_conntrack *ct)
{
    uint8_t protocol = nfct_get_attr_u8(ct, ATTR_L4PROTO);
    uint32_t ip = ntohl(nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_DST));
    uint16_t port = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST));
    uint32_t backend = ntohl(nfct_get_attr_u32(ct, ATTR_REPL_IPV4_SRC));
    uint16_t backend_port = ntohs(nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC));
    for (size_t i = 0; i < c->n; i++) {
        const struct vip_cut *o = &c->cuts[i];
        if (o->ip == ip && o->port == port && (uint8_t)o->protocol == protocol &&
            o->backend == backend && o->backend_port == backend_port)
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

static void work(struct loop_work *w)
{
    struct cutting *c = container_of(w, struct cutting, work);
    uint32_t family = AF_INET;
    struct nfct_handle *h = nfct_open(CONNTRACK, 0);
    c->destroyer = nfct_open(CONNTRACK, 0);
    if (!h || !c->destroyer || nfct_callback_register(h, NFCT_T_ALL, on_flow, c) < 0 ||
        nfct_query(h, NFCT_Q_DUMP, &family) < 0)
        c->status = -errno;
    if (h)
        nfct_close(h);
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
