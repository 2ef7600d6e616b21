#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "http/recordio.h"
#include "zk/detector.h"

/*
 * The link to the master: one POST whose request and answer both stream records. It is dialled
 * again with growing, random pauses; a master that does not lead says where the leader is. With
 * --master=zk://... the leader is known from ZooKeeper: a new one is dialled at once, and while
 * there is none the agent waits.
 */

#define DIAL_MIN_US (50 * USEC_PER_MSEC)
#define DIAL_CONNECT_TIMEOUT_US (5 * USEC_PER_SEC)
#define DIAL_HEAD_TIMEOUT_US (10 * USEC_PER_SEC)
#define FINISH_TIMEOUT_US (2 * USEC_PER_SEC) /* for the master to end its side of the exchange */

enum {
    LINK_HOST_MAX = 256,
    LINK_QUEUE_MAX = 64 * 1024 * 1024, /* bytes that wait for the master; then the link is cut */
    LINK_REDIRECTS_MAX = 3,            /* in a row, before asking a configured master again */
};

static const char link_path[] = "/api/internal/agent";

struct agent_link_shell {
    struct agent *agent;
    struct timer timer;
    struct http_call *call;
    struct recordio_decoder decoder;
    struct zk_detector *detector; /* NULL: --master is a list */
    struct login_watch login;
    char *masters; /* what --master says, out of its file */
    int64_t backoff_us;
    unsigned masters_tried; /* position in --master's list */
    unsigned redirects;
    char host[LINK_HOST_MAX]; /* of the call under way */
    uint16_t port;
    bool redirected; /* host and port come from a redirect and are dialled next */
    bool answered, finishing;
    bool complained;
};

static void redial(struct agent_link_shell *l, bool at_once);
static void cut(struct agent_link_shell *l, const char *why, bool at_once);

/* ---- addresses ---- */

static bool parse_address(struct str text, char host[LINK_HOST_MAX], uint16_t *ret_port)
{
    text = str_trim(text);
    ptrdiff_t at = str_index(text, '@'); /* master@host:port, as in older configurations */
    if (at >= 0)
        text = (struct str){text.p + at + 1, text.n - (size_t)at - 1};
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':' && text.p[colon - 1] != ']')
        colon--;
    struct str name = text;
    uint16_t port = 5050;
    if (colon > 0 && text.p[colon - 1] == ':') {
        if (parse_port((struct str){text.p + colon, text.n - colon}, &port) < 0)
            return false;
        name.n = colon - 1;
    }
    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = (struct str){name.p + 1, name.n - 2};
    if (!name.n || name.n >= LINK_HOST_MAX)
        return false;
    memcpy(host, name.p, name.n);
    host[name.n] = '\0';
    *ret_port = port;
    return true;
}

/* The leader, or the next of --master's list. False when nobody is known to lead. */
static bool choose_master(struct agent_link_shell *l)
{
    if (l->detector) {
        const struct zk_master *leader = zk_detector_leader(l->detector);
        if (!leader)
            return false;
        (void)snprintf(l->host, sizeof(l->host), "%s", zk_master_host(leader));
        l->port = leader->port;
        return true;
    }
    unsigned n = 0;
    struct str rest = str_of(l->masters), part;
    while (str_split(&rest, ',', &part))
        n++;
    unsigned wanted = l->masters_tried % n;
    rest = str_of(l->masters);
    for (unsigned i = 0; str_split(&rest, ',', &part); i++)
        if (i == wanted)
            return parse_address(part, l->host, &l->port);
    return false;
}

static void on_leader(const struct zk_master *leader, void *userdata)
{
    struct agent_link_shell *l = userdata;
    if (l->finishing)
        return;
    if (!leader) {
        log_warn("no master leads, waiting for one");
        return; /* a link that works is kept */
    }
    if (l->call && zk_master_is(leader, l->host, l->port))
        return;
    log_info("the leading master is %s:%u id=%s", zk_master_host(leader), leader->port, leader->id);
    l->redirected = false;
    l->redirects = 0;
    l->backoff_us = DIAL_MIN_US;
    if (l->call)
        cut(l, "another master leads", true);
    else
        redial(l, true);
}

/* ---- ending ---- */

static void link_ended(struct agent_link_shell *l)
{
    l->call = NULL;
    recordio_decoder_done(&l->decoder);
    struct agent_now now;
    agent_now(&now);
    agent_core_link_down(l->agent->core, &now);
    agent_pump(l->agent);
}

static void cut(struct agent_link_shell *l, const char *why, bool at_once)
{
    if (!l->call)
        return;
    log_warn("link to the master dropped master=%s:%u: %s", l->host, l->port, why);
    http_call_cancel(l->call);
    link_ended(l);
    redial(l, at_once);
}

/* ---- the exchange ---- */

static bool handle_record(const char *record, size_t n, void *userdata)
{
    struct agent_link_shell *l = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m;
    struct error err = ERROR_INIT;
    if (!n)
        return true;
    if (wire_unpack(&dcos__internal__master_record__descriptor, &arena, record, n, &m, &err) < 0) {
        log_warn("unreadable record from the master: %s", err.msg);
        return true;
    }
    struct agent_now now;
    agent_now(&now);
    agent_core_master_record(l->agent->core, &now, (const Dcos__Internal__MasterRecord *)m);
    return true;
}

static void on_data(struct http_call *call, const char *p, size_t n, void *userdata)
{
    struct agent_link_shell *l = userdata;
    struct error err = ERROR_INIT;
    (void)call;
    if (!l->answered)
        return; /* the text of an error */
    int r = recordio_decode(&l->decoder, p, n, handle_record, l, &err);
    agent_pump(l->agent);
    if (r < 0)
        cut(l, err.msg, false);
}

/* "//host:port/path", or with a scheme: whether TLS is spoken is not the master's to say. */
static bool follow(struct agent_link_shell *l, struct str location)
{
    size_t scheme = str_has_prefix(location, STR("https:"))  ? 6
                    : str_has_prefix(location, STR("http:")) ? 5
                                                             : 0;
    location.p += scheme;
    location.n -= scheme;
    if (!str_has_prefix(location, STR("//")))
        return false;
    struct str rest = {location.p + 2, location.n - 2}, authority;
    return str_split(&rest, '/', &authority) && parse_address(authority, l->host, &l->port);
}

static void on_response(struct http_call *call, const struct http_response *res, void *userdata)
{
    struct agent_link_shell *l = userdata;
    (void)call;
    if (res->status == 200) {
        l->answered = true;
        l->complained = false;
        log_info("connected to the master master=%s:%u", l->host, l->port);
        return;
    }
    /* Who was elected a moment ago may not know it yet, and point to the one before, whose machine
     * may be gone: ZooKeeper knows better. */
    if (res->status == 307 && !l->detector && l->redirects < LINK_REDIRECTS_MAX &&
        follow(l, http_headers_get(&res->headers, "Location"))) {
        l->redirected = true;
        l->redirects++;
        return;
    }
    l->redirects = 0;
    if (res->status == 401)
        login_refused(l->agent->security.login);
    if (!l->complained)
        log_warn("the master does not take the agent yet master=%s:%u status=%d, trying again",
            l->host, l->port, res->status);
    l->complained = true;
}

static void on_done(struct http_call *call, int status, const char *error,
    const struct http_response *res, void *userdata)
{
    struct agent_link_shell *l = userdata;
    (void)call;
    (void)res;
    if (l->answered) {
        log_warn("connection to the master ended master=%s:%u: %s", l->host, l->port,
            error && error[0] ? error : "closed by the master");
    } else if (status < 0 && !l->redirected) {
        if (!l->complained)
            log_warn("cannot reach the master master=%s:%u: %s, trying again", l->host, l->port,
                error ? error : errno_text(status));
        l->complained = true;
    }
    bool follow_on = l->redirected;
    if (!follow_on)
        l->masters_tried++;
    link_ended(l);
    redial(l, follow_on);
}

static void stop_agent(struct agent *a)
{
    a->stopping = true;
    loop_stop(a->loop);
}

static void dial(struct timer *t)
{
    static const struct http_call_handlers handlers = {
        .on_response = on_response,
        .on_data = on_data,
        .on_done = on_done,
    };
    struct agent_link_shell *l = container_of(t, struct agent_link_shell, timer);
    if (l->finishing)
        return stop_agent(l->agent);
    if (!login_ready(l->agent->security.login))
        return; /* on_login() dials */
    if (!l->redirected && !choose_master(l)) {
        if (l->detector)
            return; /* on_leader() dials */
        agent_die("--master=%s is no address (host:port)", l->masters);
    }
    _cleanup_buf_ struct buf shown = BUF_INIT;
    login_header(l->agent->security.login, &shown);
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/x-protobuf")},
        {STR("Accept"), STR("application/x-protobuf")},
        {STR("Authorization"), buf_str(&shown)},
    };
    struct http_call_options options = {
        .method = "POST",
        .host = l->host,
        .port = l->port,
        .tls = l->agent->security.gate.transport.client,
        .target = link_path,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers) - (shown.n == 0),
        .stream_body = true,
        .connect_timeout_us = DIAL_CONNECT_TIMEOUT_US,
        .head_timeout_us = DIAL_HEAD_TIMEOUT_US,
        .fresh = true,
    };
    l->answered = l->redirected = false;
    recordio_decoder_init(&l->decoder, WIRE_MESSAGE_MAX);
    l->call = http_call_start(l->agent->client, &options, &handlers, l);
    struct agent_now now;
    agent_now(&now);
    agent_core_link_up(l->agent->core, &now);
    agent_pump(l->agent);
}

static void on_login(struct login_watch *w)
{
    struct agent_link_shell *l = container_of(w, struct agent_link_shell, login);
    if (!l->call && !l->finishing)
        timer_start(&l->timer, 0);
}

/* After a random part of the pause; the pause doubles up to --registration_backoff_factor. */
static void redial(struct agent_link_shell *l, bool at_once)
{
    if (l->finishing) {
        timer_start(&l->timer, 0);
        return;
    }
    uint64_t draw;
    random_bytes(&draw, sizeof(draw));
    int64_t half = l->backoff_us / 2;
    int64_t delay = at_once ? 0 : half + (int64_t)(draw % (uint64_t)(half + 1));
    l->backoff_us = MIN(l->backoff_us * 2, l->agent->settings.registration_backoff_us);
    timer_start(&l->timer, delay);
}

static int start_detector(struct agent_link_shell *l, struct error *err)
{
    _cleanup_zk_url_ struct zk_url url = {0};
    int r = zk_url_parse(l->masters, &url, err);
    if (r < 0)
        return r;
    return zk_detector_new(l->agent->loop, &url, l->agent->settings.zk_session_timeout_us,
        on_leader, l, &l->detector, err);
}

int agent_link_start(struct agent *a, struct error *err)
{
    struct agent_link_shell *l = xnew(struct agent_link_shell);
    l->agent = a;
    l->backoff_us = DIAL_MIN_US;
    timer_init(&l->timer, a->loop, dial);
    a->link = l;
    int r = zk_flag_load(a->settings.master, &l->masters, err);
    if (r == 0 && zk_is_url(l->masters))
        r = start_detector(l, err);
    if (r < 0)
        return error_prefix(err, r, "--master");
    login_watch(a->security.login, &l->login, on_login);
    timer_start(&l->timer, 0);
    return 0;
}

void agent_link_stop(struct agent *a)
{
    struct agent_link_shell *l = a->link;
    if (!l)
        return;
    login_unwatch(&l->login);
    timer_stop(&l->timer);
    if (l->call) {
        http_call_cancel(l->call);
        recordio_decoder_done(&l->decoder);
    }
    zk_detector_free(l->detector);
    free(l->masters);
    free(l);
    a->link = NULL;
}

void agent_link_finish(struct agent *a)
{
    struct agent_link_shell *l = a->link;
    if (!l || !l->call)
        return stop_agent(a);
    l->finishing = true;
    http_call_end(l->call);
    timer_start(&l->timer, FINISH_TIMEOUT_US);
}

void agent_link_send(struct agent *a, const struct agent_effect *e)
{
    struct agent_link_shell *l = a->link;
    if (!l || !l->call || e->number != a->core->link_number)
        return;
    if (http_call_queued(l->call) > LINK_QUEUE_MAX) {
        cut(l, "it does not take what is sent", false);
        return;
    }
    struct buf frame = BUF_INIT;
    recordio_append(&frame, e->bytes.p, e->bytes.n);
    http_call_write(l->call, frame.p, frame.n);
    buf_done(&frame);
}

void agent_link_drop(struct agent *a, const struct agent_effect *e)
{
    struct agent_link_shell *l = a->link;
    if (!l || e->number != a->core->link_number)
        return;
    if (l->call)
        cut(l, e->message, false);
    else /* the master was faster */
        log_warn("the link to the master ended: %s", e->message);
}

void agent_link_registered(struct agent *a)
{
    /* Not before: a master that refuses the agent is asked less and less often. */
    if (a->link)
        a->link->backoff_us = DIAL_MIN_US;
}
