#include "net/spartan.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* As libc declares it; its header does not go together with the kernel's. */
extern unsigned int if_nametoindex(const char *name);

static const char MARK[] = "dcos-net"; /* alias of an interface that is ours */
static const char *const TEXTS[SPARTAN_ADDRESSES] = {
    "198.51.100.1", "198.51.100.2", "198.51.100.3", "fd01:d::c633:6401"};
enum { MESSAGE_MAX = 512 };

struct route {
    struct mnl_socket *socket;
    unsigned seq;
};

static int route_open(struct route *r)
{
    *r = (struct route){.socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC)};
    if (!r->socket)
        return -errno;
    if (mnl_socket_bind(r->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int status = -errno;
        mnl_socket_close(r->socket);
        return status;
    }
    return 0;
}

/* Sends, and waits for what the kernel says to it; `cb` sees what comes before that. */
static int ask(struct route *r, struct nlmsghdr *m, mnl_cb_t cb, void *data)
{
    /* Answers about a link are large: they tell all of its statistics. */
    static char answer[32 * 1024];
    m->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    m->nlmsg_seq = ++r->seq;
    if (mnl_socket_sendto(r->socket, m, m->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(r->socket, answer, sizeof(answer));
        if (n < 0)
            return -errno;
        int status = mnl_cb_run(
            answer, (size_t)n, r->seq, mnl_socket_get_portid(r->socket), cb, data);
        if (status < 0)
            return -errno;
        if (status == MNL_CB_STOP)
            return 0;
    }
}

static struct nlmsghdr *link_message(char *p, uint16_t type, uint16_t flags, int index, bool up)
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(p);
    m->nlmsg_type = type;
    m->nlmsg_flags = flags;
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(m, sizeof(*i));
    i->ifi_family = AF_UNSPEC;
    i->ifi_index = index;
    i->ifi_flags = i->ifi_change = up ? IFF_UP : 0;
    return m;
}

static int make(struct route *r, const char *kind)
{
    char p[MESSAGE_MAX] = {0};
    struct nlmsghdr *m = link_message(p, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, false);
    mnl_attr_put_strz(m, IFLA_IFNAME, SPARTAN_INTERFACE);
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, kind);
    mnl_attr_nest_end(m, info);
    return ask(r, m, NULL, NULL);
}

static int mark_and_raise(struct route *r, int index)
{
    char p[MESSAGE_MAX] = {0};
    struct nlmsghdr *m = link_message(p, RTM_NEWLINK, 0, index, true);
    mnl_attr_put_strz(m, IFLA_IFALIAS, MARK);
    return ask(r, m, NULL, NULL);
}

static int remove_link(struct route *r, int index)
{
    char p[MESSAGE_MAX] = {0};
    return ask(r, link_message(p, RTM_DELLINK, 0, index, false), NULL, NULL);
}

static int on_link(const struct nlmsghdr *m, void *data)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, m, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(a) == IFLA_IFALIAS && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
            *(bool *)data = streq(mnl_attr_get_str(a), MARK);
    }
    return MNL_CB_OK;
}

static int is_ours(struct route *r, int index, bool *ret)
{
    char p[MESSAGE_MAX] = {0};
    *ret = false;
    return ask(r, link_message(p, RTM_GETLINK, 0, index, false), on_link, ret);
}

static int change_address(struct route *r, uint16_t type, uint16_t flags, const struct spartan *s,
    const struct address *a)
{
    char p[MESSAGE_MAX] = {0};
    struct nlmsghdr *m = mnl_nlmsg_put_header(p);
    size_t n = a->v6 ? 16 : 4;
    m->nlmsg_type = type;
    m->nlmsg_flags = flags;
    struct ifaddrmsg *i = mnl_nlmsg_put_extra_header(m, sizeof(*i));
    i->ifa_family = a->v6 ? AF_INET6 : AF_INET;
    i->ifa_prefixlen = (uint8_t)(n * 8);
    i->ifa_flags = a->v6 ? IFA_F_NODAD : 0; /* there is nobody to ask whether it is taken */
    /* On lo it must not become the source of what the host sends elsewhere. */
    i->ifa_scope = s->kind == SPARTAN_LO ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    i->ifa_index = (unsigned)s->index;
    mnl_attr_put(m, IFA_LOCAL, n, a->bytes);
    mnl_attr_put(m, IFA_ADDRESS, n, a->bytes);
    return ask(r, m, NULL, NULL);
}

/* An interface to put them on, up. */
static int find_link(struct route *r, struct spartan *s, struct error *err)
{
    static const char *const kinds[] = {"dummy", "bridge"};
    bool ours = false;
    int status = 0;
    s->index = (int)if_nametoindex(SPARTAN_INTERFACE);
    if (s->index > 0 && (status = is_ours(r, s->index, &ours)) < 0)
        return error_errno(err, status, "interface %s", SPARTAN_INTERFACE);
    if (s->index > 0) {
        s->kind = ours ? SPARTAN_OWN : SPARTAN_FOREIGN;
        s->type = ours ? "left by the one before" : "not ours";
        status = ours ? mark_and_raise(r, s->index) : 0;
        return status < 0 ? error_errno(err, status, "interface %s", SPARTAN_INTERFACE) : 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        status = make(r, kinds[i]);
        if (status == -EOPNOTSUPP)
            continue;
        if (status < 0)
            return error_errno(err, status, "cannot make the interface %s (needs CAP_NET_ADMIN)",
                SPARTAN_INTERFACE);
        s->index = (int)if_nametoindex(SPARTAN_INTERFACE);
        s->kind = SPARTAN_OWN;
        s->type = kinds[i];
        status = mark_and_raise(r, s->index);
        return status < 0 ? error_errno(err, status, "interface %s", SPARTAN_INTERFACE) : 0;
    }
    s->kind = SPARTAN_LO;
    s->type = "lo";
    s->index = (int)if_nametoindex("lo");
    return 0;
}

static int down(struct route *r, struct spartan *s, struct error *err)
{
    int status = 0;
    if (s->kind == SPARTAN_OWN)
        status = remove_link(r, s->index);
    for (size_t i = 0; i < s->n && s->kind != SPARTAN_OWN; i++) {
        int one = s->added[i] ? change_address(r, RTM_DELADDR, 0, s, &s->addresses[i]) : 0;
        if (one < 0 && one != -EADDRNOTAVAIL)
            status = one;
    }
    *s = (struct spartan){0};
    return status < 0 && status != -ENODEV
               ? error_errno(err, status, "cannot remove the addresses of %s", SPARTAN_INTERFACE)
               : 0;
}

int spartan_up(struct spartan *ret, struct error *err)
{
    struct route r;
    struct spartan s = {0};
    int status = route_open(&r);
    if (status < 0)
        return error_errno(err, status, "netlink");
    status = find_link(&r, &s, err);
    for (size_t i = 0; status == 0 && i < ARRAY_SIZE(TEXTS); i++) {
        struct address *a = &s.addresses[s.n];
        (void)address_parse(TEXTS[i], a); /* a constant */
        int one = change_address(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &s, a);
        if (one < 0 && one != -EEXIST && a->v6)
            continue; /* no IPv6 on this host */
        if (one < 0 && one != -EEXIST)
            status = error_errno(
                err, one, "cannot add %s to %s (needs CAP_NET_ADMIN)", TEXTS[i], s.type);
        else
            /* On lo nobody but one of us that was killed has them: they are documentation's. */
            s.added[s.n++] = one == 0 || s.kind == SPARTAN_LO;
    }
    if (status < 0)
        (void)down(&r, &s, NULL); /* the first failure is what counts */
    else
        *ret = s;
    mnl_socket_close(r.socket);
    return status;
}

int spartan_down(struct spartan *s, struct error *err)
{
    struct route r;
    if (s->kind == SPARTAN_NONE)
        return 0;
    int status = route_open(&r);
    if (status < 0)
        return error_errno(err, status, "netlink");
    status = down(&r, s, err);
    mnl_socket_close(r.socket);
    return status;
}
