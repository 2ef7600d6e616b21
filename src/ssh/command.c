#include <errno.h>
#include <fcntl.h>
#include <libssh/callbacks.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "ssh/internal.h"

/* Commands on a link, and files, which are commands that are fed. */

enum {
    PIECE = 32 * 1024,
    LINGER_SECONDS = 2, /* for output after the exit status: something else may hold the pipes */
    UNKNOWN_STATUS = 255,
    NO_INPUT = -1, /* nothing is sent, and the end of nothing neither */
};

struct run {
    struct ssh_link *link;
    ssh_channel channel;
    ssh_event event; /* reading a channel stops looking at the connection after the end of output */
    const struct ssh_output *output;
    int input; /* fd, or NO_INPUT */
    bool fed;  /* all input was sent */
    bool moved;
    int status; /* -1 until the host says */
    size_t piece_n, piece_at;
    char piece[PIECE];
};

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *userdata)
{
    struct run *run = userdata;
    run->status = status & 0xff;
}

static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE}, {"HUP", SIGHUP},
        {"ILL", SIGILL}, {"INT", SIGINT}, {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT},
        {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i].name, name))
            return names[i].number;
    }
    return UNKNOWN_STATUS - 128;
}

static void on_exit_signal(ssh_session session, ssh_channel channel, const char *name, int core,
    const char *message, const char *language, void *userdata)
{
    struct run *run = userdata;
    run->status = 128 + signal_number(name);
}

static int lost(struct run *run, struct error *err)
{
    return error_set(err, -ECONNRESET, "the connection was lost while a command ran");
}

static int take_output(struct run *run, struct error *err)
{
    char piece[PIECE];
    for (int is_stderr = 0; is_stderr < 2; is_stderr++) {
        int n = ssh_channel_read_nonblocking(run->channel, piece, sizeof(piece), is_stderr);
        if (n == SSH_ERROR)
            return run->status >= 0 ? 0 : lost(run, err);
        if (n > 0) {
            run->moved = true;
            if (run->output)
                run->output->write(is_stderr, piece, (size_t)n, run->output->userdata);
        }
    }
    return 0;
}

static int feed(struct run *run, struct error *err)
{
    if (run->fed || run->input == NO_INPUT)
        return 0;
    if (run->piece_at == run->piece_n) {
        ssize_t n = read(run->input, run->piece, sizeof(run->piece));
        if (n < 0)
            return error_errno(err, -errno, "cannot read the file to be copied");
        run->piece_at = 0;
        run->piece_n = (size_t)n;
    }
    if (run->piece_at == run->piece_n) {
        run->fed = true;
        return ssh_channel_send_eof(run->channel) == SSH_ERROR ? lost(run, err) : 0;
    }
    uint32_t window = ssh_channel_window_size(run->channel);
    size_t n = MIN(run->piece_n - run->piece_at, (size_t)window);
    if (n == 0)
        return 0;
    int sent = ssh_channel_write(run->channel, run->piece + run->piece_at, (uint32_t)n);
    if (sent == SSH_ERROR)
        return run->status >= 0 ? 0 : lost(run, err);
    if (sent > 0) {
        run->piece_at += (size_t)sent;
        run->moved = true;
    }
    return 0;
}

/* Until the command is over. `stall` counts the timeout anew whenever something moved. */
static int follow(struct run *run, int64_t timeout_us, bool stall, struct error *err)
{
    int64_t deadline = clock_monotonic_us() + timeout_us, linger = 0;
    for (;;) {
        run->moved = false;
        int r = take_output(run, err);
        if (r == 0 && run->status < 0)
            r = feed(run, err);
        if (r < 0)
            return r;
        if (run->moved) {
            if (stall)
                deadline = clock_monotonic_us() + timeout_us;
            if (ssh_cancel_raised(run->link->cancel))
                return -ECANCELED;
            continue;
        }
        if (ssh_channel_is_closed(run->channel))
            return 0;
        if (!ssh_is_connected(run->link->session))
            return run->status >= 0 ? 0 : lost(run, err);
        if (run->status >= 0) {
            if (ssh_channel_is_eof(run->channel))
                return 0;
            if (!linger)
                linger = clock_monotonic_us() + LINGER_SECONDS * USEC_PER_SEC;
            if (clock_monotonic_us() >= linger)
                return 0;
        }
        r = ssh_link_wait(run->link, linger ? MIN(deadline, linger) : deadline);
        if (r == -ETIMEDOUT && linger)
            return 0;
        if (r < 0)
            return r;
        if (ssh_event_dopoll(run->event, 0) == SSH_ERROR && run->status < 0)
            return lost(run, err);
    }
}

/* The watcher beside the command sees its input end; what that makes of it is waited for, but not
 * for long. */
static void end_command(struct run *run)
{
    struct error ignored = ERROR_INIT;
    struct ssh_link quiet = *run->link;
    quiet.cancel = NULL; /* it may be why we are here */
    run->fed = true;
    if (ssh_channel_send_eof(run->channel) == SSH_ERROR)
        return;
    int64_t deadline = clock_monotonic_us() + SSH_KILL_SECONDS * USEC_PER_SEC;
    while (run->status < 0 && !ssh_channel_is_closed(run->channel) &&
           take_output(run, &ignored) == 0 && ssh_link_wait(&quiet, deadline) == 0)
        (void)ssh_event_dopoll(run->event, 0);
}

static int open_channel(
    struct ssh_link *l, ssh_channel channel, const char *command, int64_t deadline_us)
{
    int rc, r = 0;
    while ((rc = ssh_channel_open_session(channel)) == SSH_AGAIN && r == 0)
        r = ssh_link_wait(l, deadline_us);
    while (
        rc == SSH_OK && (rc = ssh_channel_request_exec(channel, command)) == SSH_AGAIN && r == 0) {
        r = ssh_link_wait(l, deadline_us);
        rc = SSH_OK;
    }
    return r < 0 ? r : rc == SSH_OK ? 0 : -ECONNRESET;
}

static int run_fed(struct ssh_link *l, const char *command, int input, int64_t timeout_us,
    bool stall, const struct ssh_output *output, int *ret_status, struct error *err)
{
    struct run *run = xnew(struct run);
    *run = (struct run){.link = l, .output = output, .input = input, .status = -1};
    struct ssh_channel_callbacks_struct callbacks = {.userdata = run,
        .channel_exit_status_function = on_exit_status,
        .channel_exit_signal_function = on_exit_signal};
    ssh_callbacks_init(&callbacks);
    int r = -ECONNRESET;
    run->channel = ssh_channel_new(l->session);
    if (run->channel && ssh_set_channel_callbacks(run->channel, &callbacks) == SSH_OK)
        r = open_channel(l, run->channel, command, clock_monotonic_us() + timeout_us);
    if (r == 0) {
        run->event = ssh_event_new();
        if (!run->event || ssh_event_add_session(run->event, l->session) != SSH_OK)
            r = -ECONNRESET;
    }
    if (r == -ECONNRESET)
        (void)error_set(err, r, "no command can be started: %s", ssh_get_error(l->session));
    if (r == 0)
        r = follow(run, timeout_us, stall, err);
    if (r == -ETIMEDOUT || r == -ECANCELED) {
        if (run->event)
            end_command(run);
        (void)(r == -ECANCELED
                   ? error_set(err, r, "cancelled")
                   : error_set(err, r, "still not done after %lld s%s, ended",
                         (long long)(timeout_us / USEC_PER_SEC), stall ? " without a byte" : ""));
    }
    if (r == 0)
        *ret_status = run->status >= 0 ? run->status : UNKNOWN_STATUS;
    if (run->event) {
        (void)ssh_event_remove_session(run->event, l->session);
        ssh_event_free(run->event);
    }
    if (run->channel) {
        ssh_remove_channel_callbacks(run->channel, &callbacks);
        ssh_channel_free(run->channel);
    }
    free(run);
    return r;
}

int ssh_link_run(struct ssh_link *l, const char *command, int64_t timeout_us,
    const struct ssh_output *output, int *ret_status, struct error *err)
{
    /* Servers do not end commands whose connection ends, and pass no signals to root's. So our end
     * of the input stays open as long as the command may run; when it closes, whatever the reason,
     * a watcher ends the session's process group, which it is in itself. */
    _cleanup_free_ char *script = xasprintf(
        "exec 3<&0 </dev/null\n"
        "(while read -r x; do :; done; trap '' TERM; kill -s TERM 0; sleep 1; kill -s KILL 0) "
        "<&3 >/dev/null 2>&1 3<&- &\n"
        "w=$!; exec 3<&-\n"
        "(\n%s\n)\n"
        "s=$?; kill -s KILL $w; exit $s",
        command);
    _cleanup_free_ char *whole = ssh_shell_command(l, script);
    return run_fed(l, whole, NO_INPUT, timeout_us, false, output, ret_status, err);
}

/* ---- files ---- */

int ssh_file_init(struct ssh_file *f, const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, -errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is no file", path);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char sum[EVP_MAX_MD_SIZE];
    bool good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    _cleanup_free_ char *piece = xmalloc(PIECE);
    ssize_t n = 0;
    while (good && (n = read(fd, piece, PIECE)) > 0)
        good = EVP_DigestUpdate(digest, piece, (size_t)n) == 1;
    int saved = errno;
    good = good && n == 0 && EVP_DigestFinal_ex(digest, sum, NULL) == 1;
    EVP_MD_CTX_free(digest);
    if (n < 0)
        return error_errno(err, -saved, "%s", path);
    if (!good)
        return error_set(err, -ENOSYS, "no SHA-256");
    *f = (struct ssh_file){.path = xstrdup(path), .size = (uint64_t)st.st_size};
    hex_encode(sum, 32, f->sha256);
    return 0;
}

void ssh_file_done(struct ssh_file *f)
{
    free(f->path);
    *f = (struct ssh_file){0};
}

char *ssh_quote(const char *text)
{
    struct buf out = BUF_INIT;
    buf_putc(&out, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            buf_puts(&out, "'\\''");
        else
            buf_putc(&out, *p);
    }
    buf_putc(&out, '\'');
    return buf_steal(&out);
}

static void drop_output(bool is_stderr, const char *p, size_t n, void *userdata)
{
}

int ssh_link_copy(struct ssh_link *l, const struct ssh_file *file, const char *remote, mode_t mode,
    int64_t stall_timeout_us, const struct ssh_output *output, int *ret_status, struct error *err)
{
    static const struct ssh_output nowhere = {.write = drop_output};
    _cleanup_close_ int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "%s", file->path);
    _cleanup_free_ char *to = ssh_quote(remote);
    _cleanup_free_ char *there = xasprintf(
        "[ \"$(sha256sum <%s 2>/dev/null | cut -c1-64)\" = %s ] && chmod %o %s", to, file->sha256,
        (unsigned)mode, to);
    int status;
    int r = ssh_link_run(l, there, stall_timeout_us, &nowhere, &status, err);
    if (r < 0)
        return r;
    if (status == 0) {
        *ret_status = 0;
        return 0;
    }
    /* A copy that lost bytes on the way, or met a full disk, never gets the name. */
    _cleanup_free_ char *command = xasprintf(
        "to=%s; umask 077; mkdir -p -- \"${to%%/*}\" && cat >\"$to.part\" && "
        "{ [ \"$(sha256sum <\"$to.part\" | cut -c1-64)\" = %s ] || "
        "{ echo \"$to: what arrived is not what was sent\" >&2; false; }; } && "
        "chmod %o \"$to.part\" && mv -f -- \"$to.part\" \"$to\" || "
        "{ status=$?; rm -f -- \"$to.part\"; exit $status; }",
        to, file->sha256, (unsigned)mode);
    _cleanup_free_ char *whole = ssh_shell_command(l, command);
    return run_fed(l, whole, fd, stall_timeout_us, true, output, ret_status, err);
}
