#ifndef DCOS_NET_EVENTS_H
#define DCOS_NET_EVENTS_H

/*
 * Client of the master's operator event stream (SUBSCRIBE), in protobuf, held for good by a
 * leader_stream. Each subscription begins with a snapshot.
 */

#include "auth/login.h"
#include "io/stream.h"
#include "wire/master.pb-c.h"
#include "zk/detector.h"

enum { EVENTS_RECORD_MAX = 1024 * 1024 * 1024 }; /* bytes: a snapshot of a large cluster */

struct events;
struct events_options {
    const char *masters; /* as in scheduler/leader_stream.h; TLS is meant when there is a context */
    struct tls_context *tls;
    struct login *login; /* or NULL; borrowed */
};
struct events_handlers {
    void (*on_event)(const Mesos__V1__Master__Event *e, void *userdata); /* but heartbeats */
    /* A subscription to this master began: it leads. Numeric address or a name. */
    void (*on_leader)(const char *host, uint16_t port, void *userdata);
    void (*on_disconnected)(const char *reason, void *userdata); /* may be told again and again */
    /* Or NULL. All masters, as zk_detector_new_all() tells them; never when there is no ZooKeeper.
     */
    void (*on_masters)(const struct zk_master *masters, size_t n, void *userdata);
};
struct events_counts {
    uint64_t messages, bytes, failures;
};

int events_new(struct loop *l, const struct events_options *options,
    const struct events_handlers *handlers, void *userdata, struct events **ret, struct error *err);
void events_free(struct events *e);
bool events_subscribed(const struct events *e);
const struct events_counts *events_counts(const struct events *e);

#endif
