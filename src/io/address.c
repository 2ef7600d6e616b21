/* Names of the two ends of a stream. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "io/stream-internal.h"

static int descriptor(const struct stream *s)
{
    uv_os_fd_t fd;
    return uv_fileno(&s->uv.handle, &fd) == 0 ? fd : -1;
}

static void describe(const struct sockaddr_storage *sa, struct stream_address *ret)
{
    *ret = (struct stream_address){0};
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, ret->host, sizeof(ret->host));
        ret->port = ntohs(in->sin_port);
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, ret->host, sizeof(ret->host));
        ret->port = ntohs(in6->sin6_port);
    } else if (sa->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)sa;
        snprintf(ret->host, sizeof(ret->host), "%.*s", (int)sizeof(un->sun_path), un->sun_path);
        ret->is_unix = true;
    }
}

void stream_peer(const struct stream *s, struct stream_address *ret)
{
    struct sockaddr_storage sa = {0};
    socklen_t n = sizeof(sa);
    if (getpeername(descriptor(s), (struct sockaddr *)&sa, &n) < 0)
        sa.ss_family = AF_UNSPEC;
    describe(&sa, ret);
    ret->is_unix = s->is_unix;
}

void stream_local(const struct stream *s, struct stream_address *ret)
{
    struct sockaddr_storage sa = {0};
    socklen_t n = sizeof(sa);
    if (getsockname(descriptor(s), (struct sockaddr *)&sa, &n) < 0)
        sa.ss_family = AF_UNSPEC;
    describe(&sa, ret);
    ret->is_unix = s->is_unix;
}

int stream_peer_cred(const struct stream *s, struct ucred *ret)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    if (!s->is_unix)
        return -ENOTSUP;
    if (getsockopt(descriptor(s), SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return -errno;
    *ret = cred;
    return 0;
}
