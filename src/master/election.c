#include "master/election.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "master/shell.h"
#include "zk/detector.h"
#include "zk/member.h"

static const char g_registry_folder[] = "log_replicas/dcos";
static const char *const g_capabilities[] = {"AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2", NULL};

struct election {
    struct zk_detector *detector; /* NULL without ZooKeeper */
    bool contends_in_zk;          /* with nodes as Mesos has them */
};

static void on_detected(const struct zk_master *leader, void *userdata)
{
    struct shell *s = userdata;
    if (!leader)
        log_info("no master leads");
    else if (!s->leading && !streq(leader->id, s->master_id)) {
        log_info("another master leads id=%s address=%s:%u", leader->id, zk_master_host(leader),
            leader->port);
        timer_start(&s->standby_timer, 0); /* ready to redirect */
    }
}

static int open_zk(
    struct shell *s, const char *url, const struct election_options *o, struct error *err)
{
    _cleanup_zk_url_ struct zk_url parsed = {0};
    int r = zk_url_parse(url, &parsed, err);
    if (r < 0)
        return r;
    const struct store_options store = {.session_timeout_us = o->session_timeout_us,
        .zk_state = g_registry_folder,
        .zk_candidates = "",
        .zk_label = ZK_MASTER_LABEL};
    r = store_open_with(s->loop, url, &store, &s->store, err);
    if (r < 0)
        return r;
    s->election->contends_in_zk = true;
    return zk_detector_new(
        s->loop, &parsed, o->session_timeout_us, on_detected, s, &s->election->detector, err);
}

int election_open(struct shell *s, const struct election_options *o, struct error *err)
{
    int r = 0;
    s->election = xnew(struct election);
    if (o->quorum < 0)
        return error_set(err, -EINVAL, "--quorum must not be negative");
    if (o->zk && o->store)
        return error_set(err, -EINVAL, "--zk and --store both say where state is kept: give one");
    if (o->zk) {
        _cleanup_free_ char *url = NULL;
        r = zk_flag_load(o->zk, &url, err);
        if (r == 0)
            r = open_zk(s, url, o, err);
        if (r < 0)
            return error_prefix(err, r, "--zk");
    }
    if (s->store)
        return 0;
    if (o->work_dir)
        r = mkdir_all(o->work_dir, 0755, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *url = o->store ? xstrdup(o->store)
                                        : xasprintf("sqlite:%s/master.db", o->work_dir);
    const struct store_options store = {.session_timeout_us = o->session_timeout_us};
    r = store_open_with(s->loop, url, &store, &s->store, err);
    return r < 0 ? error_prefix(err, r, "store") : 0;
}

int election_stand(struct shell *s, void (*cb)(int status, uint64_t epoch, void *userdata))
{
    _cleanup_buf_ struct buf info = BUF_INIT;
    if (s->election->contends_in_zk) {
        struct zk_master m = {.port = s->port};
        (void)snprintf(m.id, sizeof(m.id), "%s", s->master_id);
        (void)snprintf(m.ip, sizeof(m.ip), "%s", s->ip);
        (void)snprintf(m.hostname, sizeof(m.hostname), "%s", s->hostname);
        zk_master_write(&m, s->version, g_capabilities, &info);
    } else {
        buf_printf(&info, "%s:%u", s->hostname, s->port);
    }
    return store_lead(s->store, buf_cstr(&info), cb, s);
}

bool election_leader(struct shell *s, struct buf *ret)
{
    if (!s->election->detector)
        return store_leader_info(s->store, ret, NULL) == 0 && ret->n > 0;
    const struct zk_master *leader = zk_detector_leader(s->election->detector);
    /* What we were ourselves a moment ago leads nowhere. */
    if (!leader || streq(leader->id, s->master_id))
        return false;
    const char *host = leader->hostname[0] ? leader->hostname : leader->ip;
    buf_printf(ret, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, leader->port);
    return true;
}

void election_free(struct shell *s)
{
    if (!s->election)
        return;
    zk_detector_free(s->election->detector);
    free(TAKE_PTR(s->election));
}
