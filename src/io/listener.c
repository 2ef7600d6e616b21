/* Listening sockets, with a bound on how many accepted streams are open at a time. */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "io/stream-internal.h"

enum { LISTEN_BACKLOG = 4096 };

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct loop *loop;
    struct tls_context *tls;
    listener_cb cb;
    void *userdata;
    unsigned max, open;
    unsigned refs; /* the owner's (until the handle is closed) and each open stream's */
    uint16_t port;
    bool is_unix, waiting, closed;
    char *path; /* of the unix socket, removed on close if it is still ours */
    dev_t dev;
    ino_t ino;
};

static void unref(struct listener *l)
{
    if (--l->refs)
        return;
    free(l->path);
    free(l);
}

static void on_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

static void accept_one(struct listener *l)
{
    struct stream *s = stream_new(l->loop, l->is_unix);
    int r = uv_accept(&l->uv.stream, &s->uv.stream);
    if (r < 0) {
        stream_close(s);
        return;
    }
    if (!l->is_unix)
        uv_tcp_nodelay(&s->uv.tcp, 1);
    s->listener = l;
    l->refs++;
    l->open++;
    if (l->tls)
        stream_attach_tls(s, l->tls, NULL);
    l->cb(s, l->userdata);
}

static void on_connection(uv_stream_t *handle, int status)
{
    struct listener *l = handle->data;
    if (status < 0)
        return; /* a peer gave up, or no descriptors are left: libuv goes on listening */
    if (l->open >= l->max) {
        l->waiting = true; /* libuv stops accepting until this one is taken */
        return;
    }
    accept_one(l);
}

void listener_stream_gone(struct listener *l)
{
    l->open--;
    if (l->waiting && !l->closed && l->open < l->max) {
        l->waiting = false;
        accept_one(l);
    }
    unref(l);
}

static struct listener *listener_new(
    struct loop *loop, unsigned max, listener_cb cb, void *userdata)
{
    struct listener *l = xnew(struct listener);
    l->loop = loop;
    l->cb = cb;
    l->userdata = userdata;
    l->max = max ? max : 1;
    l->refs = 1;
    return l;
}

int listener_tcp(struct loop *loop, const char *host, uint16_t port, struct tls_context *tls,
    unsigned max_connections, listener_cb cb, void *userdata, struct listener **ret,
    struct error *err)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *ai = NULL;
    snprintf(service, sizeof(service), "%u", port);
    int r = getaddrinfo(host, service, &hints, &ai);
    if (r != 0)
        return error_set(err, -EINVAL, "listen on %s: %s", host, gai_strerror(r));
    struct listener *l = listener_new(loop, max_connections, cb, userdata);
    l->tls = tls;
    r = uv_tcp_init(&loop->uv, &l->uv.tcp);
    l->uv.handle.data = l;
    r = r ? r : uv_tcp_bind(&l->uv.tcp, ai->ai_addr, 0);
    freeaddrinfo(ai);
    r = r ? r : uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_connection);
    if (r == 0) {
        struct sockaddr_storage sa;
        int n = sizeof(sa);
        r = uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&sa, &n);
        l->port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&sa)->sin6_port
                                                 : ((struct sockaddr_in *)(void *)&sa)->sin_port);
    }
    if (r < 0) {
        listener_close(l);
        return error_errno(err, r, "listen on %s:%u", host, port);
    }
    *ret = l;
    return 0;
}

static int unix_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

/* A socket file nobody listens on is left over from a process that died. */
static int remove_stale(const struct sockaddr_un *sun, struct error *err)
{
    struct stat st;
    if (lstat(sun->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(err, -errno, "%s", sun->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, -EEXIST, "%s exists and is not a socket", sun->sun_path);
    _cleanup_close_ int fd = unix_socket();
    if (fd < 0)
        return error_errno(err, fd, "socket");
    if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
        return error_set(err, -EADDRINUSE, "%s: another process listens there", sun->sun_path);
    if (unlink(sun->sun_path) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "remove %s", sun->sun_path);
    return 0;
}

int listener_unix(struct loop *loop, const char *path, unsigned mode, unsigned max_connections,
    listener_cb cb, void *userdata, struct listener **ret, struct error *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof(sun.sun_path))
        return error_set(err, -ENAMETOOLONG, "%s: path of a socket must be under %zu bytes", path,
            sizeof(sun.sun_path));
    memcpy(sun.sun_path, path, strlen(path) + 1);
    int r = remove_stale(&sun, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = unix_socket();
    if (fd < 0)
        return error_errno(err, fd, "socket");
    /* The mode of the descriptor is the file's at birth (less the umask): never more open than
     * asked for. */
    if (fchmod(fd, (mode_t)mode) < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
        chmod(path, (mode_t)mode) < 0 || stat(path, &st) < 0)
        return error_errno(err, -errno, "listen on %s", path);
    struct listener *l = listener_new(loop, max_connections, cb, userdata);
    l->is_unix = true;
    l->path = xstrdup(path);
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    r = uv_pipe_init(&loop->uv, &l->uv.pipe, 0);
    l->uv.handle.data = l;
    r = r ? r : uv_pipe_open(&l->uv.pipe, fd);
    if (r == 0) {
        TAKE_FD(fd);
        r = uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_connection);
    }
    if (r < 0) {
        listener_close(l);
        return error_errno(err, r, "listen on %s", path);
    }
    *ret = l;
    return 0;
}

int listener_fd(struct loop *loop, int fd, unsigned max_connections, listener_cb cb, void *userdata,
    struct listener **ret, struct error *err)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    int type = 0;
    socklen_t type_n = sizeof(type);
    if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_n) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_errno(err, -errno, "listen on descriptor %d", fd);
    if (type != SOCK_STREAM ||
        (sa.ss_family != AF_UNIX && sa.ss_family != AF_INET && sa.ss_family != AF_INET6))
        return error_set(err, -EINVAL, "descriptor %d is not a stream socket", fd);
    struct listener *l = listener_new(loop, max_connections, cb, userdata);
    l->is_unix = sa.ss_family == AF_UNIX;
    int r = l->is_unix ? uv_pipe_init(&loop->uv, &l->uv.pipe, 0)
                       : uv_tcp_init(&loop->uv, &l->uv.tcp);
    l->uv.handle.data = l;
    r = r ? r : (l->is_unix ? uv_pipe_open(&l->uv.pipe, fd) : uv_tcp_open(&l->uv.tcp, fd));
    r = r ? r : uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_connection);
    if (r < 0) {
        listener_close(l);
        return error_errno(err, r, "listen on descriptor %d", fd);
    }
    *ret = l;
    return 0;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

void listener_close(struct listener *l)
{
    struct stat st;
    if (!l)
        return;
    l->closed = true;
    if (l->path && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    uv_close(&l->uv.handle, on_closed);
}
