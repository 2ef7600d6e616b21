/* When is an installed cluster ready? */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/credentials.h"
#include "auth/rsa.h"
#include "base/clock.h"
#include "base/file.h"
#include "console/request.h"
#include "io/stream.h"
#include "minidcos/cluster.h"
#include "minidcos/door.h"
#include "minidcos/nspawn/nspawn.h"

enum {
    CHECK_PAUSE_MS = 1000,
    CHECK_LIMIT_MS = 120 * 1000,
    HTTP_PAUSE_MS = 500,
    REQUEST_TIMEOUT_S = 10,
    SECRET_MAX = 4096,
    MESSAGE_LINES = 8,
    NEWS_S = 5, /* between lines that say what is waited for */
};

static const char CHECKS[] =
    "/opt/mesosphere/bin/dcos-shell dcos-check-runner check node-poststart";

struct waiting {
    const struct ready_options *o;
    int64_t start, end, told;
};

static void say(const struct waiting *w, const char *what)
{
    if (w->o->progress)
        fprintf(stderr, "  %5.1f s  %s\n", (double)(clock_monotonic_us() - w->start) / 1e6, what);
}

static void say_missing(struct waiting *w, const char *node, const char *what)
{
    int64_t now = clock_monotonic_us();
    if (now - w->told < NEWS_S * USEC_PER_SEC)
        return;
    w->told = now;
    _cleanup_free_ char *text = xasprintf("waiting for %s: %s", node, what);
    say(w, text);
}

static int wait_checks(const struct machines *m, struct waiting *w, struct error *err)
{
    for (;;) {
        struct child *children = xnew_array(struct child, m->nodes.n + 1);
        const struct child *bad = NULL;
        size_t which = 0;
        nodes_run(m, CHECKS, children, CHECK_LIMIT_MS);
        for (size_t i = 0; !bad && i < m->nodes.n; i++) {
            if (children[i].status != 0) {
                bad = &children[i];
                which = i;
            }
        }
        int r = 0;
        _cleanup_buf_ struct buf said = BUF_INIT;
        if (bad && clock_monotonic_us() > w->end) {
            last_lines(buf_str(&bad->output), MESSAGE_LINES, &said);
            r = error_set(err, -ETIMEDOUT, "checks of %s do not pass after %lld s: %s",
                m->nodes.items[which].name, (long long)w->o->timeout_s, buf_cstr(&said));
        } else if (bad) {
            last_lines(buf_str(&bad->output), 1, &said);
            say_missing(w, m->nodes.items[which].name, buf_cstr(&said));
        }
        bool done = !bad;
        children_done(children, m->nodes.n);
        free(children);
        if (done || r < 0)
            return r;
        pause_ms(CHECK_PAUSE_MS);
    }
}

/* ---- through the front door ---- */

struct visit {
    const struct machines *m;
    const struct ready_options *o;
    const struct node *master;
    struct requester *http;
    char *token;
    struct buf problem;
};

static int get(struct visit *v, const char *path, json_t **ret)
{
    _cleanup_free_ char *url = xasprintf("https://%s%s", v->master->ip, path);
    struct reply reply = {0};
    struct error why = ERROR_INIT;
    int r = requester_send(
        v->http, &(struct request){.url = url, .token = v->token ?: ""}, &reply, &why);
    if (r == 0 && reply.status != 200)
        r = error_set(&why, -EAGAIN, "GET %s: %d", url, reply.status);
    if (r == 0 && ret)
        r = json_parse(buf_cstr(&reply.body), reply.body.n, ret, &why);
    reply_done(&reply);
    if (r < 0) {
        buf_clear(&v->problem);
        buf_puts(&v->problem, why.msg);
    }
    return r;
}

static int log_in(struct visit *v)
{
    _cleanup_free_ char *file = machines_path(v->m, "secrets/superuser.password");
    _cleanup_free_ char *url = xasprintf("https://%s/acs/api/v1/auth/login", v->master->ip);
    _cleanup_secret_ struct buf password = BUF_INIT;
    _cleanup_json_ json_t *body = NULL, *json = NULL;
    _cleanup_secret_ struct buf text = BUF_INIT;
    struct reply reply = {0};
    struct error why = ERROR_INIT;
    int r = 0;
    if (v->o->password)
        buf_puts(&password, v->o->password);
    else
        r = file_read(file, SECRET_MAX, &password, &why);
    if (r == 0) {
        struct str secret = str_trim(buf_str(&password));
        body = json_pack(
            "{s:s, s:s%}", "uid", v->o->username ?: SUPERUSER, "password", secret.p, secret.n);
        json_dump(body, &text);
        r = requester_send(v->http,
            &(struct request){.method = "POST",
                .url = url,
                .body = text.p,
                .body_n = text.n,
                .secret = true,
                .token = ""},
            &reply, &why);
    }
    if (r == 0 && reply.status != 200)
        r = error_set(&why, -EAGAIN, "POST %s: %d", url, reply.status);
    if (r == 0)
        r = json_parse(buf_cstr(&reply.body), reply.body.n, &json, &why);
    if (r == 0 && json_str_at(json, "token", NULL))
        v->token = xstrdup(json_str_at(json, "token", NULL));
    reply_done(&reply);
    if (r < 0) {
        buf_clear(&v->problem);
        buf_puts(&v->problem, why.msg);
    }
    return r;
}

/* All that answer: identity, master with every agent, Marathon, each agent by its route. */
static bool look(struct visit *v)
{
    _cleanup_json_ json_t *slaves = NULL, *info = NULL;
    size_t wanted = v->m->nodes.n - machines_count(v->m, NODE_MASTER);
    if ((!v->token && log_in(v) < 0) || get(v, "/mesos/slaves", &slaves) < 0)
        return false;
    const json_t *list = json_at(slaves, "slaves");
    size_t active = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        active += json_bool_at(json_array_get(list, i), "active", false);
    buf_clear(&v->problem);
    if (active < wanted) {
        buf_printf(&v->problem, "%zu of %zu agents are registered", active, wanted);
        return false;
    }
    if (get(v, "/service/marathon/v2/info", &info) < 0)
        return false;
    if (!json_str_at(info, "frameworkId", NULL)) {
        buf_puts(&v->problem, "Marathon is not registered with the master");
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *slave = json_array_get(list, i);
        if (!json_bool_at(slave, "active", false))
            continue;
        _cleanup_free_ char *path = xasprintf("/slave/%s/health", json_str_at(slave, "id", ""));
        if (get(v, path, NULL) < 0)
            return false;
    }
    return true;
}

static int wait_door(
    const struct machines *m, const struct node *master, struct waiting *w, struct error *err)
{
    _cleanup_free_ char *file = xasprintf("%s/ssh/%s-ca.crt", m->dir, master->name);
    _cleanup_buf_ struct buf ca = BUF_INIT;
    struct tls_context *tls = NULL;
    int r = node_run(m, master, "cat /var/lib/dcos/adminrouter/ca/dcos-ca.crt", &ca, err);
    if (r != 0)
        return error_set(err, -ENOENT, "%s has no certificate authority", master->name);
    r = file_write_atomic(file, ca.p, ca.n, 0644, err);
    if (r == 0)
        r = tls_context_new_client(file, true, &tls, err);
    if (r < 0)
        return r;
    struct visit v = {.m = m, .o = w->o, .master = master};
    v.http = requester_new(
        &(struct requester_options){.tls = tls, .timeout_us = REQUEST_TIMEOUT_S * USEC_PER_SEC});
    while (!look(&v)) {
        if (clock_monotonic_us() > w->end) {
            r = error_set(err, -ETIMEDOUT, "%s does not serve after %lld s: %s", master->name,
                (long long)w->o->timeout_s, buf_cstr(&v.problem));
            break;
        }
        say_missing(w, master->name, buf_cstr(&v.problem));
        requester_pause(v.http, HTTP_PAUSE_MS * USEC_PER_MSEC);
    }
    requester_free(v.http);
    tls_context_free(tls);
    rsa_wipe(v.token);
    buf_done(&v.problem);
    return r;
}

int machines_wait(const struct machines *m, const struct ready_options *o, struct error *err)
{
    int64_t now = clock_monotonic_us();
    struct waiting w = {
        .o = o, .start = now, .end = now + o->timeout_s * USEC_PER_SEC, .told = now};
    int r = wait_checks(m, &w, err);
    if (r < 0)
        return r;
    say(&w, "the checks of all nodes pass");
    for (size_t i = 0; !o->skip_http && r >= 0 && i < m->nodes.n; i++) {
        if (m->nodes.items[i].role == NODE_MASTER)
            r = wait_door(m, &m->nodes.items[i], &w, err);
    }
    if (r >= 0 && !o->skip_http)
        say(&w, "every master serves, all agents are registered");
    return r;
}
