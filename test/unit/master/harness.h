#ifndef DCOS_TEST_MASTER_HARNESS_H
#define DCOS_TEST_MASTER_HARNESS_H

/* A core with hands: messages go in as JSON, what comes out is kept as JSON by peer. */

#include "unit.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/vec.h"
#include "json/json.h"
#include "master/core.h"

struct out {
    enum master_effect_type type;
    uint64_t peer;
    json_t *message; /* NULL for closes */
    bool seen;
};

struct entry {
    char *key;
    void *value;
    size_t n;
};

struct harness {
    struct master_config config;
    struct master_core *core;
    int64_t now;
    uint64_t durable;
    uint64_t epoch;
    bool hold;       /* mutations are taken but do not become durable */
    struct map disk; /* key -> struct entry */
    VEC(struct out) outs;
};

struct harness *harness_new(const struct master_config *config); /* NULL: defaults */
void harness_free(struct harness *h);
/* A new master on the same disk; peers are gone. */
void harness_failover(struct harness *h);
void harness_pump(struct harness *h);
void harness_pass(struct harness *h, int64_t us); /* time goes on, timers fire */

/* Agent "a1" and so on: hello and register on the link; returns the id it was given. */
const char *harness_agent(struct harness *h, uint64_t link, const char *hostname,
    const char *resources_json, const char *extra_json);
void harness_agent_record(struct harness *h, uint64_t link, const char *fmt, ...) _printf_(3, 4);
void harness_agent_closed(struct harness *h, uint64_t link);
/* SUBSCRIBE with the FrameworkInfo given; stream id is "s<stream>". Returns the id, NULL after an
 * ERROR. */
const char *harness_subscribe(struct harness *h, uint64_t stream, const char *info_json);
/* Any other call; `%s` for the framework id is up to the caller. Returns the HTTP status. */
int harness_call(struct harness *h, uint64_t stream, const char *fmt, ...) _printf_(3, 4);
void harness_closed(struct harness *h, uint64_t stream);

/* Any JSON of a message of the core's own interface, in the arena. */
ProtobufCMessage *harness_parse(
    const ProtobufCMessageDescriptor *type, struct arena *arena, const char *text);
/* What the core returns, as JSON; the caller ends it. */
json_t *harness_json(const ProtobufCMessage *m);
/* Agent on the link with the capability to drain and AgentInfo fields; `more` follows in register.
 */
const char *harness_register(
    struct harness *h, uint64_t link, const char *agent_id, const char *hostname, const char *more);

/* The next unseen message for the peer that has this type ("OFFERS") or field ("run_task"); asserts
 * there is one. Messages before it stay unseen. */
const json_t *take(struct harness *h, uint64_t peer, const char *what);
bool pending(struct harness *h, uint64_t peer, const char *what);
bool closed(struct harness *h, uint64_t peer);
void forget(struct harness *h); /* everything so far is seen */

/* Value at "a.b.0.c"; asserts that it is there. */
const json_t *at(const json_t *root, const char *path);
const char *str_at(const json_t *root, const char *path);
double num_at(const json_t *root, const char *path);
bool has_at(const json_t *root, const char *path);

/* Common pieces. */
#define RES(cpus, mem)                                                                             \
    "[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" cpus                          \
    "}},{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" mem "}}]"
#define INFO(name, more)                                                                           \
    "{\"user\":\"u\",\"name\":\"" name "\",\"checkpoint\":true,\"failover_timeout\":60" more "}"
#define PARTITION_AWARE ",\"capabilities\":[{\"type\":\"PARTITION_AWARE\"}]"
#define UUID1 "AAECAwQFBgcICQoLDA0ODw=="
#define UUID2 "AQECAwQFBgcICQoLDA0ODw=="
#define UUID3 "AgECAwQFBgcICQoLDA0ODw=="

enum { SECOND = 1000000 };

/* ACCEPT of the offer with one task of cpus 1, mem 100. */
int launch(struct harness *h, uint64_t stream, const char *framework, const char *offer,
    const char *agent, const char *task);
int decline(struct harness *h, uint64_t stream, const char *framework, const char *offer,
    double refuse_seconds);
void update(struct harness *h, uint64_t link, const char *framework, const char *task,
    const char *state, const char *uuid);
int acknowledge(struct harness *h, uint64_t stream, const char *framework, const char *agent,
    const char *task, const char *uuid);

#endif
