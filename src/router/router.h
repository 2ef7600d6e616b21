#ifndef DCOS_ROUTER_ROUTER_H
#define DCOS_ROUTER_ROUTER_H

/*
 * dcos-router: what it knows, and how its parts meet.
 *
 * The daemon follows three streams (the identity service's policy, the leading master's operator
 * events, Marathon's events), publishes what they say as tables (table.h), and keeps an nginx whose
 * module (nginx/module.h) decides about each request with them. Nothing is polled. When a stream
 * breaks, what is known stays in force and the stream is opened again after a growing pause.
 */

#include "auth/login.h"
#include "auth/policy.h"
#include "base/map.h"
#include "http/client.h"
#include "io/loop.h"
#include "router/config.h"
#include "router/table.h"

enum {
    ROUTER_RECORD_MAX = 1024 * 1024 * 1024, /* the master's first record holds its state */
    ROUTER_APPS_MAX = 256 * 1024 * 1024,    /* bytes of Marathon's answer */
    ROUTER_POLICY_RECORD_MAX = 4 * 1024 * 1024,
    ROUTER_HOSTS_MAX = 10000, /* names that are resolved */
};

struct router;

/* "host:port", "[v6]:port", with "http://" or "https://" in front; -EINVAL. */
struct host_port {
    char host[256];
    uint16_t port;
    bool tls;
};
int host_port_parse(struct str text, struct host_port *ret);

/* Reconnecting: a growing pause, with the timer of whoever uses it. */
struct retry {
    struct timer timer;
    int64_t pause_us;
    bool told; /* the failure was logged */
};
void retry_init(struct retry *r, struct router *router, void (*fn)(struct timer *t));
void retry_later(struct retry *r);
void retry_worked(struct retry *r);

/* ---- names of hosts (resolve.c) ---- */

struct resolver;
struct resolver *resolver_new(struct router *r);
void resolver_free(struct resolver *s);
/* Fills family and address. False: not known (yet); router_routes_changed() is called when it is.
 */
bool resolver_get(struct resolver *s, const char *host, struct target *t);

/* ---- identity (policy.c) ---- */

struct policy_follower;
struct policy_follower *policy_follower_new(struct router *r);
void policy_follower_free(struct policy_follower *f);

/* ---- the leading master (mesos.c) ---- */

struct mesos_follower;
int mesos_follower_new(struct router *r, struct mesos_follower **ret, struct error *err);
void mesos_follower_free(struct mesos_follower *f);
void mesos_follower_add(struct mesos_follower *f, struct table_builder *b, uint32_t *bits);

/* ---- Marathon (marathon.c) ---- */

struct marathon_follower;
int marathon_follower_new(struct router *r, struct marathon_follower **ret, struct error *err);
void marathon_follower_free(struct marathon_follower *f);
/* Whether it is the Marathon that is followed, or the one that leads. */
bool marathon_follower_is(const struct marathon_follower *f, const struct host_port *where);
void marathon_follower_add(struct marathon_follower *f, struct table_builder *b, uint32_t *bits);

/* ---- nginx (child.c) ---- */

struct child;
/* Checks the configuration and starts nginx with it, or takes over one that runs in the folder. A
 * configuration that nginx refuses leaves the last good one in force; when there is none the
 * program ends. */
struct child *child_new(struct router *r);
/* Writes and checks the configuration again; nginx takes it over without dropping a connection. */
void child_reload(struct child *c);
/* Ends nginx after the requests under way, for at most some seconds; then the loop stops. */
void child_end(struct child *c);
void child_free(struct child *c);

struct router {
    struct loop *loop;
    struct router_options options;
    struct tls_context *tls;
    struct login *login;
    struct http_client *http;
    struct table_writer *tables;
    struct deferred publish;
    bool read_much; /* since the last publication: what that took goes back to the system */
    struct resolver *resolver;
    struct policy_follower *policy;
    struct mesos_follower *mesos;
    struct marathon_follower *marathon;
    struct child *child;
    const char *ready_file;
    int failure;
};

/* The routes are published again, once, when the loop has done what it is at. */
void router_routes_changed(struct router *r);
/* nginx listens. */
void router_ready(struct router *r);
/* Numeric addresses only. */
bool target_set_address(struct target *t, const char *host);

#endif
