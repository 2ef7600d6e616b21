/* When does a cluster serve? */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/rsa.h"
#include "base/clock.h"
#include "console/request.h"
#include "io/stream.h"
#include "minidcos/commands.h"
#include "minidcos/door.h"
#include "minidcos/secure.h"

enum { POLL_MS = 20, REQUEST_TIMEOUT_MS = 5000 };

struct progress {
    size_t ready; /* daemons that serve */
    int64_t agents;
    bool marathon, door;
};

struct session {
    struct requester *http;
    char *token; /* of a secure cluster, once its identity service gave one */
};

static int get(struct cluster *c, const struct session *s, const struct daemon *d, const char *path,
    json_t **ret)
{
    _cleanup_free_ char *base = cluster_url(c, d);
    _cleanup_free_ char *url = xasprintf("%s%s", base, path);
    struct reply reply = {0};
    int r = requester_send(s->http, &(struct request){.url = url, .token = s->token}, &reply, NULL);
    if (r == 0)
        r = reply.status == 200 ? json_parse(buf_cstr(&reply.body), reply.body.n, ret, NULL)
                                : -EAGAIN;
    reply_done(&reply);
    return r;
}

static void look(struct cluster *c, struct session *s, struct progress *p)
{
    *p = (struct progress){0};
    VEC_FOREACH (d, &c->daemons)
        p->ready += d->state == DAEMON_RUNNING;
    if (!s->token && secure_token(c, s->http, &s->token, NULL) < 0)
        return;
    const struct daemon *marathon = cluster_first(c, DAEMON_MARATHON);
    _cleanup_json_ json_t *state = NULL, *info = NULL;
    /* Any of several masters names the leader; one that knows none yet says so. */
    for (size_t i = 0; !state && i < c->daemons.n; i++) {
        const struct daemon *d = &c->daemons.items[i];
        if (d->kind == DAEMON_MASTER && d->state == DAEMON_RUNNING)
            (void)get(c, s, d, "/state", &state);
    }
    if (!state)
        return;
    p->agents = json_i64_at(state, "activated_slaves", 0);
    const json_t *frameworks = json_at(state, "frameworks");
    bool active = false;
    for (size_t i = 0; i < json_array_size(frameworks); i++) {
        const json_t *f = json_array_get(frameworks, i);
        active = active || (streq(json_str_at(f, "name", NULL), "marathon") &&
                               json_bool_at(f, "active", false));
    }
    p->marathon = active && marathon->state == DAEMON_RUNNING &&
                  get(c, s, marathon, "/v2/info", &info) == 0 &&
                  json_str_at(info, "frameworkId", NULL);
}

static void describe(struct cluster *c, const struct progress *p, int64_t agents, struct buf *out)
{
    VEC_FOREACH (d, &c->daemons) {
        if (d->state == DAEMON_RUNNING)
            continue;
        buf_printf(out, "%s%s is %s", out->n ? "; " : "", d->name, daemon_state_text(d->state));
        if (d->last_exit)
            buf_printf(out, " (%s; see %s)", d->last_exit, d->log);
    }
    if (out->n == 0 && p->agents < agents)
        buf_printf(
            out, "%lld of %lld agents are registered", (long long)p->agents, (long long)agents);
    else if (out->n == 0 && !p->marathon)
        buf_puts(out, "Marathon is not registered with the master");
    else if (out->n == 0)
        buf_puts(out, "the router lets nobody through to the master");
}

int cluster_wait(
    struct cluster *c, int64_t timeout_s, bool progress, char **ret_token, struct error *err)
{
    struct tls_context *tls;
    int r = secure_client(c, &tls, err);
    if (r < 0)
        return r;
    struct session session = {.http = requester_new(&(struct requester_options){
                                  .tls = tls, .timeout_us = REQUEST_TIMEOUT_MS * USEC_PER_MSEC})};
    int64_t start = clock_monotonic_us(), end = start + timeout_s * USEC_PER_SEC, agents = 0;
    VEC_FOREACH (d, &c->daemons)
        agents += d->kind == DAEMON_AGENT || d->kind == DAEMON_PUBLIC_AGENT;
    struct progress now = {0}, shown = {0};
    struct door_probe probe = {0};
    for (;;) {
        struct cluster fresh;
        r = cluster_load(c->home, c->name, &fresh, err);
        if (r < 0)
            break;
        cluster_done(c);
        *c = fresh;
        look(c, &session, &now);
        bool rest = now.ready == c->daemons.n && now.agents == agents && now.marathon;
        now.door = rest && door_serves(c, &probe);
        double seconds = (double)(clock_monotonic_us() - start) / 1e6;
        if (progress && now.ready != shown.ready)
            printf("  %5.1f s  %zu of %zu daemons serve\n", seconds, now.ready, c->daemons.n);
        if (progress && now.agents != shown.agents)
            printf("  %5.1f s  %lld of %lld agents are registered\n", seconds,
                (long long)now.agents, (long long)agents);
        if (progress && now.marathon && !shown.marathon)
            printf("  %5.1f s  Marathon is registered\n", seconds);
        if (progress && now.door && cluster_first(c, DAEMON_ROUTER))
            printf("  %5.1f s  the front door lets its first user in\n", seconds);
        fflush(stdout);
        shown = now;
        if (now.door)
            break;
        if (!cluster_is_supervised(c)) {
            r = error_set(err, -ESRCH,
                "cluster '%s' is stopped; start it with 'minidcos create %s'", c->name, c->name);
            break;
        }
        if (clock_monotonic_us() > end) {
            _cleanup_buf_ struct buf what = BUF_INIT;
            describe(c, &now, agents, &what);
            r = error_set(err, -ETIMEDOUT, "cluster '%s' does not serve after %lld s: %s", c->name,
                (long long)timeout_s, buf_cstr(&what));
            break;
        }
        requester_pause(session.http, POLL_MS * USEC_PER_MSEC);
    }
    door_probe_done(&probe);
    requester_free(session.http);
    tls_context_free(tls);
    if (r < 0)
        rsa_wipe(session.token);
    else
        *ret_token = session.token;
    return r;
}
