#ifndef DCOS_SCHEDULER_LEADER_STREAM_H
#define DCOS_SCHEDULER_LEADER_STREAM_H

/*
 * A stream of records from the leading master, held for good: what the clients of its scheduler API
 * and of its operator events have in common.
 *
 * Finds the leader in a list (the others redirect to it) or by ZooKeeper, posts a call that
 * subscribes, and hands out the records of the answer. A stream that ends, breaks or is silent for
 * too long is opened again after a growing, random pause; a redirect is followed at once, and so is
 * another leader that ZooKeeper names. A stream that works is kept when ZooKeeper names nobody.
 * Where the login has nothing to show yet it is waited for, and a refusal (401) is told to it.
 */

#include "auth/login.h"
#include "http/client.h"
#include "zk/detector.h"

enum { LEADER_HOST_MAX = 256, LEADER_REFUSAL_MAX = 64 * 1024 };

struct leader_address {
    char host[LEADER_HOST_MAX];
    uint16_t port;
    bool tls;
};

struct leader_stream_options {
    /* "host:port[,host:port...]". "https://" or "http://" in front says whether to speak TLS;
     * without it TLS is spoken when `tls` says so. Redirects keep what the address had. Or
     * "zk://host:port,.../path", or "file:///path" of a file that holds one of these. */
    const char *masters;
    bool tls;
    struct http_client *http;           /* borrowed, as are the texts */
    struct login *login;                /* borrowed; NULL: nothing is shown */
    const char *target;                 /* "/api/v1" */
    const char *type;                   /* of the call and of the records */
    const char *agent;                  /* User-Agent, or NULL */
    size_t record_max;                  /* bytes */
    int64_t min_pause_us, max_pause_us; /* 0 = 100 ms, 5 s */
    int64_t head_timeout_us;            /* 0 = 30 s: until the answer's head */
    int64_t silence_us; /* until the first record, and until leader_stream_works() says otherwise */
};

struct leader_stream_handlers {
    void (*fill)(struct buf *body, void *userdata); /* the call that subscribes */
    /* The head of an answer with status 200. May be NULL. */
    void (*on_open)(const struct http_response *res, void *userdata);
    /* One record, never empty. May call leader_stream_again(). */
    void (*on_record)(const char *p, size_t n, void *userdata);
    /* An attempt failed, or (`worked`) a stream that worked is over. `status` is that of a refusal,
     * whose text `why` is, else 0. Redirects are not told. The next attempt is under way. */
    void (*on_end)(bool worked, int status, const char *why, void *userdata);
    /* What ZooKeeper says, NULL: nobody leads. May be NULL. */
    void (*on_leader)(const struct zk_master *leader, void *userdata);
    /* All masters, as zk_detector_new_all() tells them. May be NULL. */
    void (*on_masters)(const struct zk_master *masters, size_t n, void *userdata);
};

struct leader_stream;
/* -EINVAL for malformed addresses. Nothing is sent before leader_stream_start(). */
int leader_stream_new(struct loop *l, const struct leader_stream_options *options,
    const struct leader_stream_handlers *handlers, void *userdata, struct leader_stream **ret,
    struct error *err);
void leader_stream_start(struct leader_stream *s);
void leader_stream_free(struct leader_stream *s);

/* The subscription is there: pauses are short again, and silence for so long ends it. */
void leader_stream_works(struct leader_stream *s, int64_t silence_us);
/* For that: so many heartbeat intervals as the master told them, 15 s when it told none. */
int64_t leader_stream_silence(double heartbeat_s, unsigned missed);
/* Ends the stream and opens another. */
void leader_stream_again(struct leader_stream *s, const char *why);
/* Of the current attempt or stream. */
const struct leader_address *leader_stream_address(const struct leader_stream *s);
bool leader_stream_detects(const struct leader_stream *s); /* by ZooKeeper */

#endif
