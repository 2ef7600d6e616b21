/* Checks that look at this machine only. */

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "checks/probe.h"
#include "io/process.h"

enum {
    IP_TIMEOUT_S = 1,
    OUTPUT_MAX = 4096,
    CLOCK_ERROR_MAX_US = 100 * 1000,
};

int probe_executable(struct probe *p)
{
    const char *name = p->n_args > 0 ? p->args[0] : "", *path = getenv("PATH");
    struct str rest = str_of(path ? path : "/usr/bin:/bin"), folder;
    if (strchr(name, '/')) {
        if (access(name, X_OK) == 0)
            return CHECK_OK;
    } else {
        while (str_split(&rest, ':', &folder)) {
            _cleanup_free_ char *where = folder.n ? str_dup(folder) : xstrdup(".");
            _cleanup_free_ char *full = path_join(where, name);
            struct stat st;
            if (access(full, X_OK) == 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode)) {
                buf_printf(p->out, "%s\n", full);
                return CHECK_OK;
            }
        }
    }
    buf_printf(p->out, "%s is not installed on this node (looked in %s)\n", name,
        path ? path : "/usr/bin:/bin");
    return CHECK_CRITICAL;
}

/* ---- the script that tells the address ---- */

struct script {
    struct loop *loop;
    struct process_result result;
    struct buf out, err;
};

static void on_script(const struct process_result *result, void *userdata)
{
    struct script *s = userdata;
    s->result = *result;
    buf_append(&s->out, result->out.p, result->out.n);
    buf_append(&s->err, result->err.p, result->err.n);
    loop_stop(s->loop);
}

static int judge_script(struct probe *p, const char *path, const struct script *s, char ret[64])
{
    struct str text = str_trim(buf_str(&s->out));
    struct in_addr v4;
    struct in6_addr v6;
    if (s->result.timed_out) {
        buf_printf(p->out, "%s took longer than %d s\n", path, IP_TIMEOUT_S);
        return CHECK_UNKNOWN;
    }
    if (!WIFEXITED(s->result.status) || WEXITSTATUS(s->result.status) != 0) {
        int code = WIFEXITED(s->result.status) ? WEXITSTATUS(s->result.status) : CHECK_UNKNOWN;
        buf_printf(p->out, "%s failed with exit code %d: %s\n", path, code, buf_cstr(&s->err));
        return MIN(code, CHECK_UNKNOWN);
    }
    if (s->err.n > 0) {
        buf_printf(p->out, "%s wrote to stderr: %s\n", path, buf_cstr(&s->err));
        return CHECK_CRITICAL;
    }
    snprintf(ret, 64, "%.*s", (int)MIN(text.n, (size_t)63), text.p);
    if (text.n > 63 || (inet_pton(AF_INET, ret, &v4) != 1 && inet_pton(AF_INET6, ret, &v6) != 1)) {
        buf_printf(p->out, "%s printed \"%.100s\", which is not an address\n", path, ret);
        return CHECK_UNKNOWN;
    }
    return CHECK_OK;
}

static int run_script(struct probe *p, const char *path, char ret[64])
{
    struct script s = {.loop = loop_new()};
    const char *const argv[] = {path, NULL};
    const struct process_options options = {.argv = argv,
        .capture_max = OUTPUT_MAX,
        .timeout_us = IP_TIMEOUT_S * USEC_PER_SEC,
        .own_group = true};
    struct error err = ERROR_INIT;
    int status;
    if (process_start(s.loop, &options, on_script, &s, NULL, &err) < 0) {
        buf_printf(p->out, "%s\n", err.msg);
        status = CHECK_UNKNOWN;
    } else {
        loop_run(s.loop);
        status = judge_script(p, path, &s, ret);
    }
    loop_free(s.loop);
    buf_done(&s.out);
    buf_done(&s.err);
    return status;
}

int probe_node_ip(struct probe *p, char ret[64])
{
    if (!p->node_ip)
        return run_script(p, p->detect_ip, ret);
    snprintf(ret, 64, "%s", p->node_ip);
    return CHECK_OK;
}

int probe_ip(struct probe *p)
{
    char ip[64];
    int status = run_script(p, p->script ? p->script : p->detect_ip, ip);
    if (status == CHECK_OK)
        buf_printf(p->out, "%s\n", ip);
    return status;
}

/* ---- the journal ---- */

int probe_journald(struct probe *p)
{
    static const char *const usual[] = {"/var/log/journal", "/run/log/journal"};
    char memory[16384];
    struct group gr, *found = NULL;
    struct stat st;
    const char *folder = p->folder;
    for (size_t i = 0; !folder && i < ARRAY_SIZE(usual); i++)
        if (stat(usual[i], &st) == 0)
            folder = usual[i];
    if (!folder || stat(folder, &st) < 0) {
        buf_printf(p->out,
            "%s: %s; make it with `systemd-tmpfiles --create --prefix "
            "/var/log/journal`\n",
            folder ? folder : "/var/log/journal and /run/log/journal", errno_text(ENOENT));
        return CHECK_UNKNOWN;
    }
    if (getgrnam_r("systemd-journal", &gr, memory, sizeof(memory), &found) != 0 || !found) {
        buf_puts(p->out, "there is no group systemd-journal on this node\n");
        return CHECK_UNKNOWN;
    }
    if (st.st_gid != gr.gr_gid ||
        (st.st_mode & S_IRWXG & ~(mode_t)S_IWGRP) != (S_IRGRP | S_IXGRP)) {
        buf_printf(p->out,
            "%s must belong to the group systemd-journal, which must be able to read it; mend that "
            "with `systemd-tmpfiles --create --prefix /var/log/journal`\n",
            folder);
        return CHECK_UNKNOWN;
    }
    buf_printf(p->out, "%s can be read by systemd-journal\n", folder);
    return CHECK_OK;
}

/* ---- the clock ---- */

int probe_time(struct probe *p)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    if (state < 0) {
        buf_printf(p->out, "the kernel does not tell its clock's state: %s\n", errno_text(errno));
        return CHECK_CRITICAL;
    }
    if (state == TIME_ERROR || (t.status & STA_UNSYNC)) {
        buf_puts(p->out, "the clock is not synchronised; is chrony, ntpd or systemd-timesyncd "
                         "running and can it reach its servers?\n");
        return CHECK_CRITICAL;
    }
    if (t.esterror > CLOCK_ERROR_MAX_US) {
        buf_printf(p->out, "the clock may be wrong by %ld ms, more than the %d ms that are fine\n",
            t.esterror / 1000, CLOCK_ERROR_MAX_US / 1000);
        return CHECK_CRITICAL;
    }
    buf_printf(p->out, "the clock is synchronised, at most %ld us off\n", t.esterror);
    return CHECK_OK;
}
