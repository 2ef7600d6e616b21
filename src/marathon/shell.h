#ifndef DCOS_MARATHON_SHELL_H
#define DCOS_MARATHON_SHELL_H

/* What feeds the core and carries out what it says: HTTP, master, store, probes, time. */

#include "auth/authenticator.h"
#include "auth/policy_follow.h"
#include "base/list.h"
#include "http/client.h"
#include "http/server.h"
#include "marathon/api.h"
#include "scheduler/client.h"
#include "store/store.h"

enum {
    SSE_HEARTBEAT_SECONDS = 10,
    SSE_OUTSTANDING_MAX = 4 * 1024 * 1024, /* bytes a slow subscriber may leave unread */
    SSE_FILTERS_MAX = 64,
    PROBES_MAX = 256, /* checks under way at once; more wait */
    PROBE_BODY_MAX = 64 * 1024,
};

struct held { /* an effect that waits for its batch */
    struct list node;
    uint64_t batch;
    struct out_item item;
};

/* Of one that does not lead. */
struct standby {
    struct http_client *client;
    struct tls_context *tls; /* verifies leaders: by --ssl_ca_file, or what the system trusts */
    char host[256];          /* of the leader */
    uint16_t port;           /* 0: not known */
    int64_t looked_us;
};

struct shell {
    struct loop *loop;
    struct core *core;
    struct store *store;
    struct scheduler_client *scheduler;
    struct http_server *server;
    struct http_client *probes_http;
    struct tls_context *tls;      /* verifies nothing: for health checks */
    struct policy_follow *follow; /* of the identity service; NULL: nobody is asked who they are */
    struct jwt_keys *keys;
    struct authenticator *authenticator;
    struct core_options options;
    struct app_options app_options;
    struct api_info info;
    char address[300];
    char *master_region;           /* or NULL */
    char *master_shown, *zk_shown; /* flags without passwords */
    bool loaded, stopping;
    int failure;
    int64_t start_real_us, start_mono_us;
    struct timer timer; /* the core's deadline */
    struct deferred pump;
    uint64_t issued, committed; /* batches */
    struct list held;           /* struct held, in order */
    struct list streams;        /* event subscribers */
    size_t n_streams;
    struct timer heartbeat;
    struct list probes, probes_waiting; /* struct prober_call */
    size_t n_probes;
    struct standby standby;
};

int64_t shell_now(const struct shell *s);
/* After each call into the core: its output is carried out from the loop. */
void shell_wake(struct shell *s);
void shell_fail(struct shell *s, const char *what, const char *why);
int shell_load(struct shell *s);

/* ---- HTTP (server.c) ---- */
void server_handle(struct http_request *req, void *userdata);
void server_reply(struct shell *s, void *context); /* OUT_REPLY */
void server_forget(void *context);
/* For /v2/events, which is not the API's: 403 and false unless the caller may. */
bool server_may(struct shell *s, struct http_request *req, const char *rid, unsigned action);

/* ---- several Marathons (standby.c) ---- */
/* True when another leads, and the call will be answered. */
bool standby_pass_on(struct shell *s, struct http_request *req);
void standby_close(struct shell *s);

/* ---- events (events.c) ---- */
void events_subscribe(struct shell *s, struct http_request *req);
void events_publish(struct shell *s, const char *type, const char *json);
void events_heartbeat(struct timer *t);
void events_close(struct shell *s);

/* ---- master (mesos.c) ---- */
extern const struct scheduler_handlers mesos_handlers;
void mesos_call(struct shell *s, const char *json);

/* ---- probes (prober.c) ---- */
void prober_start(struct shell *s, const struct probe *p);
void prober_close(struct shell *s);

#endif
