#include "net/events.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/client.h"
#include "scheduler/leader_stream.h"
#include "wire/codec.h"

enum { MISSED_HEARTBEATS = 3 };
static const int64_t SNAPSHOT_TIMEOUT_US = 60 * USEC_PER_SEC;

struct events {
    struct events_handlers handlers;
    void *userdata;
    struct http_client *http;
    struct leader_stream *stream;
    bool subscribed;
    struct events_counts counts;
};

static void fill(struct buf *body, void *userdata)
{
    Mesos__V1__Master__Call call = MESOS__V1__MASTER__CALL__INIT;
    call.has_type = true;
    call.type = MESOS__V1__MASTER__CALL__TYPE__SUBSCRIBE;
    wire_pack(&call.base, body);
}

static void on_record(const char *p, size_t n, void *userdata)
{
    struct events *e = userdata;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    ProtobufCMessage *m = NULL;
    e->counts.bytes += n;
    if (wire_unpack(&mesos__v1__master__event__descriptor, &arena, p, n, &m, NULL) < 0) {
        leader_stream_again(e->stream, "unreadable event");
        return;
    }
    const Mesos__V1__Master__Event *event = (const Mesos__V1__Master__Event *)m;
    e->counts.messages++;
    if (event->type == MESOS__V1__MASTER__EVENT__TYPE__SUBSCRIBED) {
        double seconds = event->subscribed && event->subscribed->has_heartbeat_interval_seconds
                             ? event->subscribed->heartbeat_interval_seconds
                             : 0;
        leader_stream_works(e->stream, leader_stream_silence(seconds, MISSED_HEARTBEATS));
        e->subscribed = true;
        const struct leader_address *at = leader_stream_address(e->stream);
        e->handlers.on_leader(at->host, at->port, e->userdata);
    }
    if (event->type != MESOS__V1__MASTER__EVENT__TYPE__HEARTBEAT)
        e->handlers.on_event(event, e->userdata);
}

static void on_end(bool worked, int status, const char *why, void *userdata)
{
    struct events *e = userdata;
    char text[64];
    e->subscribed = false;
    e->counts.failures++;
    if (status)
        (void)snprintf(text, sizeof(text), "the master answered %d", status);
    e->handlers.on_disconnected(status ? text : why, e->userdata);
}

static void on_masters(const struct zk_master *masters, size_t n, void *userdata)
{
    struct events *e = userdata;
    e->handlers.on_masters(masters, n, e->userdata);
}

int events_new(struct loop *l, const struct events_options *o,
    const struct events_handlers *handlers, void *userdata, struct events **ret, struct error *err)
{
    const struct leader_stream_handlers stream_handlers = {.fill = fill,
        .on_record = on_record,
        .on_end = on_end,
        .on_masters = handlers->on_masters ? on_masters : NULL};
    struct events *e = xnew(struct events);
    e->handlers = *handlers;
    e->userdata = userdata;
    const struct http_client_options http = {.tls = o->tls};
    e->http = http_client_new(l, &http);
    const struct leader_stream_options stream = {.masters = o->masters,
        .tls = o->tls != NULL,
        .http = e->http,
        .login = o->login,
        .target = "/api/v1",
        .type = "application/x-protobuf",
        .record_max = EVENTS_RECORD_MAX,
        .silence_us = SNAPSHOT_TIMEOUT_US};
    int r = leader_stream_new(l, &stream, &stream_handlers, e, &e->stream, err);
    if (r < 0) {
        events_free(e);
        return r;
    }
    leader_stream_start(e->stream);
    *ret = e;
    return 0;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    leader_stream_free(e->stream);
    http_client_free(e->http);
    free(e);
}

bool events_subscribed(const struct events *e)
{
    return e->subscribed;
}

const struct events_counts *events_counts(const struct events *e)
{
    return &e->counts;
}
