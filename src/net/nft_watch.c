#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/str.h"
#include "net/nft.h"

/*
 * The kernel tells of each change of its rules what was changed, and at the end of a transaction
 * that there is a new generation. So those transactions are counted that touched our table; whose
 * they were, nft.c knows by the number of its own.
 */

enum { RECEIVE_MAX = 32 * 1024 * 1024 }; /* bytes of one transaction's messages, while unread */

struct nft_watch {
    struct mnl_socket *socket;
    struct loop_fd *watch;
    void (*fn)(void *userdata);
    void *userdata;
    bool touched, lost;
    unsigned generations;
};

static bool is_ours(const struct nlmsghdr *m)
{
    const struct nfgenmsg *g = mnl_nlmsg_get_payload(m);
    const struct nlattr *a;
    if (mnl_nlmsg_get_payload_len(m) < sizeof(*g) || g->nfgen_family != NFPROTO_INET)
        return false;
    mnl_attr_for_each(a, m, sizeof(*g))
    {
        /* The table's name has this number in messages of every kind. */
        if (mnl_attr_get_type(a) == NFTA_TABLE_NAME)
            return mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 &&
                   streq(mnl_attr_get_str(a), NFT_TABLE);
    }
    return false;
}

static int on_message(const struct nlmsghdr *m, void *data)
{
    struct nft_watch *w = data;
    if (NFNL_SUBSYS_ID(m->nlmsg_type) != NFNL_SUBSYS_NFTABLES)
        return MNL_CB_OK;
    if (NFNL_MSG_TYPE(m->nlmsg_type) == NFT_MSG_NEWGEN) {
        w->generations += w->touched;
        w->touched = false;
    } else if (!w->touched) {
        w->touched = is_ours(m);
    }
    return MNL_CB_OK;
}

static void drain(struct nft_watch *w)
{
    static char p[64 * 1024];
    for (;;) {
        ssize_t n = recv(mnl_socket_get_fd(w->socket), p, sizeof(p), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) {
            w->lost = true;
            continue;
        }
        if (n <= 0)
            return;
        (void)mnl_cb_run(p, (size_t)n, 0, 0, on_message, w); /* what it does not know is skipped */
    }
}

static void on_readable(void *userdata, unsigned events)
{
    struct nft_watch *w = userdata;
    drain(w);
    w->fn(w->userdata);
}

unsigned nft_watch_take(struct nft_watch *w, bool *ret_lost)
{
    drain(w);
    unsigned n = w->generations;
    *ret_lost = w->lost;
    w->generations = 0;
    w->lost = false;
    return n;
}

int nft_watch_new(
    struct loop *l, void (*fn)(void *userdata), void *userdata, struct nft_watch **ret)
{
    struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int r = s ? 0 : -errno;
    if (r == 0 && mnl_socket_bind(s, 1u << (NFNLGRP_NFTABLES - 1), MNL_SOCKET_AUTOPID) < 0)
        r = -errno;
    struct nft_watch *w = xnew(struct nft_watch);
    *w = (struct nft_watch){.socket = s, .fn = fn, .userdata = userdata};
    if (r == 0) {
        const int fd = mnl_socket_get_fd(s);
        /* Without the right to it, it stays smaller and more is lost. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){RECEIVE_MAX}, sizeof(int));
        r = loop_fd_new(l, fd, LOOP_READABLE, on_readable, w, &w->watch);
    }
    if (r < 0) {
        if (s)
            mnl_socket_close(s);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void nft_watch_free(struct nft_watch *w)
{
    if (!w)
        return;
    loop_fd_free(w->watch);
    mnl_socket_close(w->socket);
    free(w);
}
