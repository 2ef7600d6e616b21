#ifndef DCOS_MASTER_RATE_LIMIT_H
#define DCOS_MASTER_RATE_LIMIT_H

/*
 * Limits on how often frameworks may call, by principal.
 *
 * A principal with a rate has one call let through per 1/qps seconds; others wait in order, at most
 * `capacity` of them (RATE_WAITING_MAX when none is given), and what comes on top is refused with
 * 429. A principal without a rate is not limited. Frameworks of principals that are not named, or
 * without one, share the aggregate default when there is one. Rules are those of Mesos'
 * --rate_limits; over HTTP Mesos drops what is over capacity and ends the framework.
 */

#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "http/server.h"
#include "io/loop.h"

enum {
    RATE_LIMITS_MAX = 10000,    /* principals in the configuration */
    RATE_WAITING_MAX = 10000,   /* calls that wait, where no capacity is given */
    RATE_PRINCIPALS_MAX = 1000, /* whose messages are counted without being named */
};

struct rate_limits;

/* JSON of RateLimits: {"limits":[{"principal","qps","capacity"}],"aggregate_default_qps",
 * "aggregate_default_capacity"}; NULL: no limits. `go` is called for each call, from inside
 * rate_limits_pass() or later, in order. -EINVAL. */
int rate_limits_new(struct loop *loop, const char *json,
    void (*go)(struct http_request *req, void *userdata), void *userdata, struct rate_limits **ret,
    struct error *err);
void rate_limits_free(struct rate_limits *r); /* calls that wait stay unanswered */
/* Lets the call through now or later, or answers it 429. `principal` may be NULL. */
void rate_limits_pass(struct rate_limits *r, const char *principal, struct http_request *req);
/* frameworks/<principal>/messages_received and _processed. */
void rate_limits_each_metric(const struct rate_limits *r,
    void (*fn)(const char *name, double value, void *userdata), void *userdata);

#endif
