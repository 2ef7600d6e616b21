/* Health of the units of this node. */

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/vec.h"
#include "checks/probe.h"
#include "io/process.h"

enum {
    DIAGNOSTICS_PORT = 1050,
    SYSTEMCTL_TIMEOUT_S = 20,
    UNITS_MAX = 512,
    OUTPUT_MAX = 1024 * 1024
};

bool unit_is_healthy(const char *load, const char *active, const char *sub, struct buf *why)
{
    /* A unit that waits for its timer or socket is inactive and well; one that systemd starts
     * again and again is "activating", between two tries "auto-restart". */
    bool fine = streq(load, "loaded") && !streq(sub, "auto-restart") &&
                (streq(active, "active") || streq(active, "inactive") ||
                    streq(active, "activating"));
    if (!fine)
        buf_printf(why, "load state %s, active state %s (%s)", load, active, sub);
    return fine;
}

static bool excluded(const struct probe *p, const char *unit)
{
    struct str rest = str_of(p->exclude ? p->exclude : ""), name;
    while (str_split(&rest, ',', &name))
        if (str_eq_c(str_trim(name), unit))
            return true;
    return false;
}

/* ---- as dcos-diagnostics tells ---- */

static int judge_document(struct probe *p, const json_t *document)
{
    const json_t *units = json_at(document, "units");
    size_t i;
    json_t *unit;
    int status = CHECK_OK;
    if (!json_is_array(units)) {
        buf_puts(p->out, "the answer has no list of units\n");
        return CHECK_UNKNOWN;
    }
    json_array_foreach(units, i, unit)
    {
        const char *id = json_str_at(unit, "id", "?");
        if (json_i64_at(unit, "health", 1) == 0 || excluded(p, id))
            continue;
        buf_printf(p->out, "%s is not well: %s\n", id, json_str_at(unit, "output", ""));
        status = CHECK_CRITICAL;
    }
    return status;
}

/* ---- as systemd tells ---- */

struct systemctl {
    struct loop *loop;
    struct buf out, err;
    int status;
};

static void on_systemctl(const struct process_result *result, void *userdata)
{
    struct systemctl *s = userdata;
    s->status = result->status;
    buf_append(&s->out, result->out.p, result->out.n);
    buf_append(&s->err, result->err.p, result->err.n);
    loop_stop(s->loop);
}

static struct str property(struct str block, const char *name)
{
    struct str line;
    while (str_split(&block, '\n', &line)) {
        ptrdiff_t eq = str_index(line, '=');
        if (eq > 0 && str_eq_c((struct str){line.p, (size_t)eq}, name))
            return (struct str){line.p + eq + 1, line.n - (size_t)eq - 1};
    }
    return STR("");
}

static void judge_unit(struct probe *p, struct str block, int *status)
{
    _cleanup_free_ char *id = str_dup(property(block, "Id"));
    _cleanup_free_ char *load = str_dup(property(block, "LoadState"));
    _cleanup_free_ char *active = str_dup(property(block, "ActiveState"));
    _cleanup_free_ char *sub = str_dup(property(block, "SubState"));
    _cleanup_buf_ struct buf why = BUF_INIT;
    if (!*id || unit_is_healthy(load, active, sub, &why))
        return;
    buf_printf(p->out, "%s is not well: %s\n", id, buf_cstr(&why));
    *status = CHECK_CRITICAL;
}

static int judge_systemctl(struct probe *p, const struct systemctl *s)
{
    struct str text = buf_str(&s->out);
    int status = CHECK_OK;
    if (!WIFEXITED(s->status) || WEXITSTATUS(s->status) != 0) {
        buf_printf(p->out, "systemctl failed: %s\n", buf_cstr(&s->err));
        return CHECK_UNKNOWN;
    }
    while (text.n > 0) { /* one block of properties for each unit, an empty line between them */
        const char *end = memmem(text.p, text.n, "\n\n", 2);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        judge_unit(p, (struct str){text.p, n}, &status);
        n = end ? n + 2 : n;
        text.p += n;
        text.n -= n;
    }
    return status;
}

static int ask_systemd(struct probe *p, const char *const *argv)
{
    struct systemctl s = {.loop = loop_new()};
    struct error err = ERROR_INIT;
    int status;
    const struct process_options options = {.argv = argv,
        .capture_max = OUTPUT_MAX,
        .timeout_us = SYSTEMCTL_TIMEOUT_S * USEC_PER_SEC,
        .own_group = true};
    if (process_start(s.loop, &options, on_systemctl, &s, NULL, &err) < 0) {
        buf_printf(p->out, "%s\n", err.msg);
        status = CHECK_UNKNOWN;
    } else {
        loop_run(s.loop);
        status = judge_systemctl(p, &s);
    }
    loop_free(s.loop);
    buf_done(&s.out);
    buf_done(&s.err);
    return status;
}

static int check_units(struct probe *p)
{
    const char *folder = p->wants ? p->wants : "/etc/systemd/system/dcos.target.wants";
    VEC(const char *) argv = {0};
    VEC(char *) units = {0};
    DIR *d = opendir(folder);
    if (!d) {
        buf_printf(p->out, "%s: %s; is DC/OS installed on this node?\n", folder, errno_text(errno));
        return CHECK_UNKNOWN;
    }
    for (struct dirent *e; (e = readdir(d)) && units.n < UNITS_MAX;)
        if (e->d_name[0] != '.' && !excluded(p, e->d_name))
            vec_push(&units, xstrdup(e->d_name));
    closedir(d);
    vec_push(&argv, "systemctl");
    vec_push(&argv, "show");
    vec_push(&argv, "--property=Id,LoadState,ActiveState,SubState");
    vec_push(&argv, "--");
    VEC_FOREACH (unit, &units)
        vec_push(&argv, *unit);
    vec_push(&argv, NULL);
    int status = units.n ? ask_systemd(p, argv.items) : CHECK_OK;
    if (status == CHECK_OK)
        buf_printf(p->out, "%zu units are well\n", units.n);
    VEC_FOREACH (unit, &units)
        free(*unit);
    vec_done(&units);
    vec_done(&argv);
    return status;
}

int probe_components(struct probe *p)
{
    struct error err = ERROR_INIT;
    _cleanup_json_ json_t *document = NULL;
    char ip[64] = "127.0.0.1";
    uint16_t port = DIAGNOSTICS_PORT;
    const char *target = p->url ? p->url : "/system/health/v1";
    if ((p->port && parse_port(str_of(p->port), &port) < 0) || target[0] != '/') {
        buf_puts(p->out, "--port must be a port, --url a path\n");
        return CHECK_UNKNOWN;
    }
    if (p->scheme && !streq(p->scheme, "http") && !streq(p->scheme, "https")) {
        buf_puts(p->out, "--scheme must be http or https\n");
        return CHECK_UNKNOWN;
    }
    int status = probe_node_ip(p, ip);
    if (status != CHECK_OK)
        return status;
    bool tls = p->tls || streq(p->scheme, "https");
    int r = probe_fetch(p, ip, port, &tls, target, &document, &err);
    if (r == 0)
        return judge_document(p, document);
    /* Said where to ask: then that is what counts, unless a router there knows of no such part. */
    if (p->url || (r != -ENOENT && (p->port || r != -ECONNREFUSED))) {
        buf_printf(p->out, "%s\n", err.msg);
        return CHECK_UNKNOWN;
    }
    return check_units(p);
}
