#include "exhibitor/local.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/rng.h"

enum { TOKEN_BYTES = (MASTER_TOKEN_MAX - 1) / 2, COMMAND_MAX = 64 * 1024, CONFIG_MAX = 64 * 1024 };

/* ---- files ---- */

void local_draw(char ret[static MASTER_TOKEN_MAX])
{
    unsigned char bytes[TOKEN_BYTES];
    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

static int read_small(
    const struct local *l, const char *name, size_t max, struct buf *ret, struct error *err)
{
    _cleanup_free_ char *path = path_join(l->folder, name);
    return file_read(path, max, ret, err);
}

static int write_small(
    const struct local *l, const char *name, const char *p, size_t n, struct error *err)
{
    _cleanup_free_ char *path = path_join(l->folder, name);
    return file_write_atomic(path, p, n, 0640, err);
}

int local_token(const struct local *l, char ret[static MASTER_TOKEN_MAX], struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = read_small(l, "token", CONFIG_MAX, &text, err);
    if (r == -ENOENT) {
        local_draw(ret);
        return write_small(l, "token", ret, MASTER_TOKEN_MAX - 1, err);
    }
    if (r < 0)
        return r;
    struct str trimmed = str_trim(buf_str(&text));
    if (trimmed.n != MASTER_TOKEN_MAX - 1)
        return error_set(err, -EBADMSG, "%s/token is no token", l->folder);
    memcpy(ret, trimmed.p, trimmed.n);
    ret[trimmed.n] = '\0';
    return 0;
}

int local_known(const struct local *l, struct document *ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = read_small(l, "shared.json", DOCUMENT_MAX, &text, err);
    return r < 0 ? r : document_parse(text.p, text.n, ret, err);
}

int local_remember(const struct local *l, const struct document *d, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    document_write(d, &text);
    return write_small(l, "shared.json", text.p, text.n, err);
}

int local_write_servers(const struct local *l, const char *text, struct error *err)
{
    _cleanup_buf_ struct buf now = BUF_INIT;
    if (!l->run_folder)
        return 0;
    _cleanup_free_ char *path = path_join(l->run_folder, "servers");
    if (file_read(path, CONFIG_MAX, &now, NULL) == 0 && streq(buf_cstr(&now), text))
        return 0;
    return file_write_atomic(path, text, strlen(text), 0644, err);
}

int local_tell_servers(const struct local *l, const struct document *d, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < d->n_members; i++)
        buf_printf(&text, "%s%s:%u", i ? "," : "", d->members[i].address, l->client_port);
    return text.n ? local_write_servers(l, buf_cstr(&text), err) : 0;
}

/* ---- what runs ---- */

void local_read_config(struct str config, char ret[static ENSEMBLE_TEXT_MAX])
{
    struct str rest = config, line;
    size_t n = 0;
    ret[0] = '\0';
    while (str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (!str_has_prefix(line, STR("server.")))
            continue;
        struct str id = {line.p + strlen("server."), line.n - strlen("server.")};
        ptrdiff_t equals = str_index(id, '=');
        if (equals < 0)
            continue;
        struct str address = {id.p + equals + 1, id.n - (size_t)equals - 1};
        ptrdiff_t colon = str_index(address, ':');
        id.n = (size_t)equals;
        address.n = colon < 0 ? address.n : (size_t)colon;
        int got = snprintf(ret + n, ENSEMBLE_TEXT_MAX - n, "%s" STR_FMT ":" STR_FMT, n ? "," : "",
            STR_ARG(id), STR_ARG(address));
        if (got < 0 || (size_t)got >= ENSEMBLE_TEXT_MAX - n) {
            ret[0] = '\0';
            return;
        }
        n += (size_t)got;
    }
}

/* Whether the process is a java with our zoo.cfg as its last word. */
static bool runs_config(pid_t pid, const char *config)
{
    char path[64];
    _cleanup_buf_ struct buf words = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    size_t n = strlen(config);
    return file_read(path, COMMAND_MAX, &words, NULL) == 0 && words.n > n + 1 &&
           memcmp(words.p + words.n - n - 1, config, n) == 0 && words.p[words.n - n - 2] == '\0' &&
           memmem(words.p, words.n, "QuorumPeerMain", strlen("QuorumPeerMain")) != NULL;
}

/* A pidfd of the process, so that it cannot become another one; -1 when none runs. */
static int find_process(const struct local *l)
{
    _cleanup_free_ char *config = path_join(l->folder, "zoo.cfg");
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    int found = -1;
    while (proc && found < 0 && (entry = readdir(proc))) {
        uint32_t pid;
        if (parse_u32(str_of(entry->d_name), &pid) < 0 || !runs_config((pid_t)pid, config))
            continue;
        int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
        if (fd >= 0 && runs_config((pid_t)pid, config))
            found = fd;
        else
            fd_close(fd);
    }
    if (proc)
        closedir(proc);
    return found;
}

static int look_wanted(const struct local *l, char ret[static ENSEMBLE_TEXT_MAX], struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = read_small(l, "ensemble", CONFIG_MAX, &text, err);
    if (r < 0 && r != -ENOENT)
        return r;
    struct str trimmed = str_trim(buf_str(&text));
    ret[0] = '\0';
    if (trimmed.n && trimmed.n < ENSEMBLE_TEXT_MAX)
        snprintf(ret, ENSEMBLE_TEXT_MAX, STR_FMT, STR_ARG(trimmed));
    return 0;
}

int local_look(const struct local *l, struct core_local *ret, struct error *err)
{
    _cleanup_buf_ struct buf config = BUF_INIT;
    ret->running[0] = '\0';
    int r = look_wanted(l, ret->wanted, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = find_process(l);
    if (fd < 0)
        return 0;
    r = read_small(l, "zoo.cfg", CONFIG_MAX, &config, err);
    if (r == 0)
        local_read_config(buf_str(&config), ret->running);
    return r;
}

int local_want(const struct local *l, const char *ensemble, struct error *err)
{
    _cleanup_free_ char *path = path_join(l->folder, "ensemble");
    int r = 0;
    if (*ensemble)
        r = write_small(l, "ensemble", ensemble, strlen(ensemble), err);
    else if (unlink(path) < 0 && errno != ENOENT)
        r = error_errno(err, -errno, "%s", path);
    if (r < 0)
        return r;
    struct core_local now = {0};
    _cleanup_close_ int fd = find_process(l);
    if (fd < 0)
        return 0;
    r = local_look(l, &now, err);
    if (r < 0 || streq(now.running, ensemble))
        return r;
    log_info("ZooKeeper ends, to run with other servers from=%s to=%s", now.running, ensemble);
    if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
        return error_errno(err, -errno, "cannot end ZooKeeper");
    return 0;
}
