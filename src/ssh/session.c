#include "ssh/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "ssh/internal.h"

enum {
    WAIT_SLICE_MS = 200, /* libssh may hold something back that the descriptor does not show */
    KNOWN_HOSTS_MAX = 16 * 1024 * 1024,
    BANNER_PEEK = 8,
};

/* ---- cancelling ---- */

int ssh_cancel_init(struct ssh_cancel *c, struct error *err)
{
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c->fd < 0 ? error_errno(err, -errno, "cannot make an event descriptor") : 0;
}

void ssh_cancel_done(struct ssh_cancel *c)
{
    c->fd = fd_close(c->fd);
}

void ssh_cancel_raise(struct ssh_cancel *c)
{
    int saved = errno;
    uint64_t one = 1;
    /* Fails only when it is raised already as often as can be counted. */
    ssize_t n = write(c->fd, &one, sizeof(one));
    (void)n;
    errno = saved;
}

bool ssh_cancel_raised(const struct ssh_cancel *c)
{
    struct pollfd p = {.fd = c ? c->fd : -1, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

int ssh_poll_fd(int fd, short events, const struct ssh_cancel *cancel, int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - clock_monotonic_us() + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
    if (left_ms <= 0)
        return -ETIMEDOUT;
    struct pollfd p[] = {
        {.fd = fd, .events = events}, {.fd = cancel ? cancel->fd : -1, .events = POLLIN}};
    int n = poll(p, 2, (int)MIN(left_ms, (int64_t)WAIT_SLICE_MS));
    if (n < 0 && errno != EINTR)
        return -errno;
    return n > 0 && p[1].revents ? -ECANCELED : n > 0 && p[0].revents ? 1 : 0;
}

int ssh_link_wait(const struct ssh_link *l, int64_t deadline_us)
{
    int flags = ssh_get_poll_flags(l->session);
    short events = (short)(POLLIN | (flags & SSH_WRITE_PENDING ? POLLOUT : 0));
    int r = ssh_poll_fd(l->fd, events, l->cancel, deadline_us);
    return r < 0 ? r : 0;
}

/* ---- connecting ---- */

static int open_socket(const struct ssh_settings *s, const char *address, uint16_t port,
    int64_t deadline_us, int *ret, struct error *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        return error_set(err, -EINVAL, "%.100s is no IPv4 address", address);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, -errno, "cannot make a socket");
    int code = 0;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        code = -errno;
    while (code == -EINPROGRESS) {
        int r = ssh_poll_fd(fd, POLLOUT, s->cancel, deadline_us);
        socklen_t n = sizeof(code);
        if (r == -ECANCELED)
            return error_set(err, r, "cancelled");
        if (r < 0)
            return error_set(err, r, "no connection to port %u within the time", port);
        if (r > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) == 0)
            code = -code;
    }
    if (code < 0)
        return error_errno(err, code, "cannot connect to port %u", port);
    *ret = TAKE_FD(fd);
    return 0;
}

/* One writer at a time, and readers see whole files: the file is replaced, never appended to. */
static int record_host(struct ssh_link *l, const char *path, struct error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    _cleanup_buf_ struct buf text = BUF_INIT;
    char *line = NULL;
    if (ssh_session_export_known_hosts_entry(l->session, &line) != SSH_OK)
        return error_set(
            err, -EPROTO, "the host's key cannot be recorded: %s", ssh_get_error(l->session));
    pthread_mutex_lock(&lock);
    int r = path_exists(path) ? file_read(path, KNOWN_HOSTS_MAX, &text, err) : 0;
    if (r == 0) {
        if (text.n > 0 && text.p[text.n - 1] != '\n')
            buf_putc(&text, '\n');
        buf_puts(&text, line);
        if (text.n > 0 && text.p[text.n - 1] != '\n')
            buf_putc(&text, '\n');
        r = file_write_atomic(path, text.p, text.n, 0644, err);
    }
    pthread_mutex_unlock(&lock);
    ssh_string_free_char(line);
    return r;
}

static int check_host(struct ssh_link *l, const struct ssh_settings *s, struct error *err)
{
    switch (ssh_session_is_known_server(l->session)) {
    case SSH_KNOWN_HOSTS_OK:
        return 0;
    case SSH_KNOWN_HOSTS_CHANGED:
    case SSH_KNOWN_HOSTS_OTHER:
        return error_set(err, -EKEYREJECTED,
            "the host's key is not the one in %s: either it was installed anew (then remove its "
            "line) or somebody stands in between",
            s->known_hosts);
    case SSH_KNOWN_HOSTS_NOT_FOUND:
    case SSH_KNOWN_HOSTS_UNKNOWN:
        if (s->record_unknown)
            return record_host(l, s->known_hosts, err);
        return error_set(err, -ENOKEY, "the host's key is not in %s, and unknown hosts are refused",
            s->known_hosts);
    case SSH_KNOWN_HOSTS_ERROR:
    default:
        return error_set(
            err, -EPROTO, "the host's key cannot be checked: %s", ssh_get_error(l->session));
    }
}

static int wait_error(struct ssh_link *l, int r, const char *what, struct error *err)
{
    if (r == -ECANCELED)
        return error_set(err, r, "cancelled");
    if (r == -ETIMEDOUT)
        return error_set(err, r, "no answer within the time while %s", what);
    return error_errno(err, r, "%s", what);
}

static int handshake(struct ssh_link *l, int64_t deadline_us, struct error *err)
{
    int rc;
    while ((rc = ssh_connect(l->session)) == SSH_AGAIN) {
        int r = ssh_link_wait(l, deadline_us);
        if (r < 0)
            return wait_error(l, r, "the connection is set up", err);
    }
    if (rc != SSH_OK)
        return error_set(err, -EPROTO, "no SSH connection: %s", ssh_get_error(l->session));
    return 0;
}

static int log_in(
    struct ssh_link *l, const struct ssh_settings *s, int64_t deadline_us, struct error *err)
{
    ssh_key key = NULL;
    int rc, r = 0;
    if (ssh_pki_import_privkey_file(s->key_path, "", NULL, NULL, &key) != SSH_OK)
        return error_set(err, -EINVAL, "%s is no private key that can be read without a passphrase",
            s->key_path);
    while ((rc = ssh_userauth_publickey(l->session, NULL, key)) == SSH_AUTH_AGAIN && r == 0)
        r = ssh_link_wait(l, deadline_us);
    ssh_key_free(key);
    if (r < 0)
        return wait_error(l, r, "logging in", err);
    if (rc == SSH_AUTH_SUCCESS)
        return 0;
    if (rc == SSH_AUTH_DENIED || rc == SSH_AUTH_PARTIAL)
        return error_set(
            err, -EACCES, "the host does not take the key %s for user %s", s->key_path, s->user);
    return error_set(err, -ECONNRESET, "logging in failed: %s", ssh_get_error(l->session));
}

static int set_options(
    struct ssh_link *l, const struct ssh_settings *s, const char *address, uint16_t port)
{
    unsigned number = port;
    int no = 0;
    const struct {
        enum ssh_options_e option;
        const void *value;
    } options[] = {{SSH_OPTIONS_PROCESS_CONFIG, &no}, {SSH_OPTIONS_HOST, address},
        {SSH_OPTIONS_PORT, &number}, {SSH_OPTIONS_USER, s->user},
        {SSH_OPTIONS_KNOWNHOSTS, s->known_hosts}, {SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null"},
        {SSH_OPTIONS_FD, &l->fd}};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (ssh_options_set(l->session, options[i].option, options[i].value) < 0)
            return -EINVAL;
    }
    ssh_set_blocking(l->session, 0);
    return 0;
}

int ssh_link_open(const struct ssh_settings *s, const char *address, uint16_t port,
    struct ssh_link **ret, struct error *err)
{
    int64_t deadline = clock_monotonic_us() + (s->connect_timeout_us
                                                      ? s->connect_timeout_us
                                                      : SSH_CONNECT_SECONDS * USEC_PER_SEC);
    _cleanup_close_ int fd = -1;
    int r = open_socket(s, address, port, deadline, &fd, err);
    if (r < 0)
        return r;
    _cleanup_(ssh_link_closep)
    struct ssh_link *l = xnew(struct ssh_link);
    l->cancel = s->cancel;
    l->fd = fd;
    l->session = ssh_new();
    if (!l->session)
        return error_set(err, -ENOMEM, "no SSH session");
    if (set_options(l, s, address, port) < 0)
        return error_set(
            err, -EINVAL, "user or file names cannot be used: %s", ssh_get_error(l->session));
    (void)TAKE_FD(fd); /* ssh_connect makes it the session's */
    r = handshake(l, deadline, err);
    if (r == 0)
        r = check_host(l, s, err);
    if (r == 0)
        r = log_in(l, s, deadline, err);
    if (r == 0)
        r = ssh_link_become_root(l, s->user, err);
    if (r == 0)
        *ret = TAKE_PTR(l);
    return r;
}

void ssh_link_close(struct ssh_link *l)
{
    if (!l)
        return;
    if (l->session) {
        ssh_disconnect(l->session);
        ssh_free(l->session);
    }
    free(l);
}
