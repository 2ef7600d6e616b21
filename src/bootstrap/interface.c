#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"

/* Requests to the kernel's rtnetlink, one at a time, each acknowledged. */

static const char SPARTAN[] = "spartan";

struct request {
    struct nlmsghdr header;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
    } body;
    char attributes[256];
};

static struct rtattr *put(struct request *q, unsigned short type, const void *p, size_t n)
{
    char *at = (char *)q + NLMSG_ALIGN(q->header.nlmsg_len);
    struct rtattr *a = (void *)at;
    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(n);
    if (n)
        memcpy(RTA_DATA(a), p, n);
    q->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}

/* 0, or what the kernel says. */
static int ask(int fd, struct request *q)
{
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } answer;
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    q->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    if (sendto(fd, q, q->header.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return -errno;
    ssize_t n = recv(fd, &answer, sizeof(answer), 0);
    if (n < 0)
        return -errno;
    if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    const struct nlmsgerr *e = NLMSG_DATA(&answer.header);
    return e->error;
}

static int make_dummy(int fd)
{
    struct request q = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                            .nlmsg_type = RTM_NEWLINK,
                            .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL}};
    put(&q, IFLA_IFNAME, SPARTAN, sizeof(SPARTAN));
    struct rtattr *info = put(&q, IFLA_LINKINFO, NULL, 0);
    put(&q, IFLA_INFO_KIND, "dummy", strlen("dummy"));
    info->rta_len = (unsigned short)((char *)&q + q.header.nlmsg_len - (char *)info);
    int r = ask(fd, &q);
    return r == -EEXIST ? 0 : r;
}

static int set_up(int fd, unsigned index)
{
    struct request q = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_NEWLINK},
        .body.link = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}};
    return ask(fd, &q);
}

static int add_address(int fd, unsigned index, const char *text)
{
    const int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    char binary[16];
    const size_t n = family == AF_INET6 ? 16 : 4;
    struct request q = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                            .nlmsg_type = RTM_NEWADDR,
                            .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL},
        .body.address = {.ifa_family = (unsigned char)family,
            .ifa_prefixlen = (unsigned char)(n * 8),
            .ifa_index = index}};
    if (inet_pton(family, text, binary) != 1)
        return -EINVAL;
    put(&q, IFA_LOCAL, binary, n);
    put(&q, IFA_ADDRESS, binary, n);
    int r = ask(fd, &q);
    return r == -EEXIST ? 0 : r;
}

int interface_spartan(struct error *err)
{
    static const char *const addresses[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3"};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return error_errno(err, -errno, "cannot talk to the kernel's network");
    const char *name = SPARTAN;
    int r = make_dummy(fd);
    if (r == -EOPNOTSUPP || r == -ENOENT) {
        log_warn("this kernel has no dummy interfaces: addresses of names go to lo");
        name = "lo";
    } else if (r < 0) {
        return error_errno(err, r, "cannot make the interface %s", SPARTAN);
    }
    unsigned index = if_nametoindex(name);
    r = index ? set_up(fd, index) : -errno;
    for (size_t i = 0; i < ARRAY_SIZE(addresses) && r == 0; i++)
        r = add_address(fd, index, addresses[i]);
    if (r < 0)
        return error_errno(err, r, "cannot give the interface %s its addresses", name);
    /* Hosts without IPv6 do without. */
    r = add_address(fd, index, "fd01:d::c633:6401");
    if (r < 0)
        log_info("no IPv6 address for names reason=%s", errno_text(r));
    return 0;
}
