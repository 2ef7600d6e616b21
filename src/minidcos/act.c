/* minidcos restart, kill, supervise */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "minidcos/commands.h"
#include "minidcos/supervise.h"

enum { END_MS = 10 * 1000, BACK_MS = 30 * 1000, POLL_MS = 5 };

/* Until the process is gone; after END_MS it is killed. */
static void wait_end(pid_t pid, uint64_t start)
{
    int64_t end = clock_monotonic_us() + END_MS * USEC_PER_MSEC;
    while (process_alive(pid, start)) {
        if (clock_monotonic_us() > end)
            process_signal(pid, start, SIGKILL);
        pause_ms(POLL_MS);
    }
}

/* Until the daemon serves under another pid, which is returned. */
static int wait_back(
    const struct cluster *c, const struct daemon *old, pid_t *ret, struct error *err)
{
    int64_t end = clock_monotonic_us() + BACK_MS * USEC_PER_MSEC;
    for (;;) {
        struct cluster now;
        int r = cluster_load(c->home, c->name, &now, err);
        if (r < 0)
            return r;
        bool back = false;
        VEC_FOREACH (d, &now.daemons) {
            if (!streq(d->name, old->name) || d->pid == old->pid || d->state != DAEMON_RUNNING)
                continue;
            *ret = d->pid;
            back = true;
        }
        cluster_done(&now);
        if (back)
            return 0;
        if (clock_monotonic_us() > end)
            return error_set(err, -ETIMEDOUT, "%s did not come back; see 'minidcos logs -c %s %s'",
                old->name, c->name, old->name);
        pause_ms(POLL_MS);
    }
}

static int act(const struct invocation *inv, int signum, const char *verb, struct error *err)
{
    struct cluster c;
    bool chosen[CLUSTER_NODES_MAX + 8] = {false};
    int r = load_of(inv, &c, err);
    if (r < 0)
        return r;
    if (!cluster_is_supervised(&c))
        r = error_set(err, -ESRCH, "cluster '%s' is stopped; start it with 'minidcos create %s'",
            c.name, c.name);
    else if (c.daemons.n > ARRAY_SIZE(chosen))
        r = error_set(err, -E2BIG, "too many daemons");
    else
        r = cluster_resolve(&c, inv->args[0], chosen, err);
    int64_t began = clock_monotonic_us();
    for (size_t i = 0; r > 0 && i < c.daemons.n; i++) {
        const struct daemon *d = &c.daemons.items[i];
        if (chosen[i])
            process_signal(d->pid, d->start, signum);
    }
    for (size_t i = 0; r > 0 && i < c.daemons.n; i++) {
        const struct daemon *d = &c.daemons.items[i];
        pid_t pid = 0;
        if (!chosen[i])
            continue;
        wait_end(d->pid, d->start);
        int r2 = wait_back(&c, d, &pid, err);
        if (r2 < 0)
            r = r2;
        else
            printf("%s %s (pid %d); it serves again as pid %d after %.2f s\n", verb, d->name,
                (int)d->pid, (int)pid, (double)(clock_monotonic_us() - began) / 1e6);
    }
    cluster_done(&c);
    return MIN(r, 0);
}

static int run_restart(const struct invocation *inv, struct error *err)
{
    return act(inv, SIGTERM, "ended", err);
}

static int run_kill(const struct invocation *inv, struct error *err)
{
    return act(inv, SIGKILL, "killed", err);
}

static int run_supervise(const struct invocation *inv, struct error *err)
{
    struct cluster c;
    int ready_fd = (int)option_i64(inv, "ready-fd", -1);
    int lease_fd = (int)option_i64(inv, "lease-fd", -1);
    int r = load_of(inv, &c, err);
    if (r < 0)
        return r;
    /* Not for the daemons: the lease must end with this process. */
    if (ready_fd >= 0)
        fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
    if (lease_fd >= 0)
        fcntl(lease_fd, F_SETFD, FD_CLOEXEC);
    r = supervise(&c, ready_fd);
    cluster_done(&c);
    return r;
}

static const struct option_spec options[] = {OPTION_CLUSTER, OPTION_DIR};
static const struct option_spec supervise_options[] = {OPTION_DIR,
    {"lease-fd", 0, OPTION_I64, "Descriptor that is kept open"},
    {"ready-fd", 0, OPTION_I64, "Descriptor that gets \"ok\""}};

const struct command command_restart = {.name = "restart",
    .arguments = "<node>|<daemon>",
    .summary = "End daemons (SIGTERM) and wait until they serve again; tasks go on",
    OPTIONS(options),
    .min_args = 1,
    .max_args = 1,
    .run = run_restart};
const struct command command_kill = {.name = "kill",
    .arguments = "<node>|<daemon>",
    .summary = "Kill daemons (SIGKILL) and wait until they serve again; tasks go on",
    OPTIONS(options),
    .min_args = 1,
    .max_args = 1,
    .run = run_kill};
const struct command command_supervise = {.name = "supervise",
    .arguments = "[<name>]",
    .summary = "Keep the daemons of a cluster running, in the foreground",
    OPTIONS(supervise_options),
    .max_args = 1,
    .hidden = true,
    .run = run_supervise};
