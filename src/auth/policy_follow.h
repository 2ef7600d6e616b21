#ifndef DCOS_AUTH_POLICY_FOLLOW_H
#define DCOS_AUTH_POLICY_FOLLOW_H

/*
 * Follows the policy of the identity service (auth/policy.h) for a daemon that decides by itself.
 *
 * One call of GET /acs/api/v1/internal/policy stays open. After a connection is lost the next one
 * is tried with pauses of 0.1 to 2 seconds, and the last policy goes on to decide until a whole new
 * one is there; so logins that were possible stay possible while the service is away, and what
 * was taken meanwhile is taken then. Without contact for long it says so in the log, once.
 *
 * Before the first policy arrived there are no users: nobody is known and nothing is permitted.
 */

#include "auth/jwt.h"
#include "auth/login.h"
#include "auth/policy.h"
#include "io/loop.h"
#include "io/stream.h"

enum { POLICY_RECORD_MAX = 2 * 1024 * 1024 }; /* bytes of one document with its key */

struct policy_follow_options {
    struct loop *loop;
    /* "unix:/path/of/iam.sock", "http://host:port" or "https://host:port". */
    const char *url;
    /* File with the token to show, read for each connection, or who is logged in (borrowed); both
     * NULL: nothing, which the unix socket does not need. The user needs dcos:superuser or `read`
     * on dcos:iam:policy. */
    const char *token_file;
    struct login *login;
    struct tls_context *tls; /* for https; NULL: system CAs. It outlives the follower */
    int64_t stale_us;        /* silence that is worth a warning; 0 = 5 minutes */
    struct jwt_keys *keys;   /* gets the keys that sign tokens, as its set; NULL: nobody asks */
    void (*on_change)(void *userdata); /* after each change, may be NULL */
    void *userdata;
};

struct policy_follow;
/* -EINVAL when the URL is none. Connects from the loop. Texts are copied. */
int policy_follow_new(
    const struct policy_follow_options *options, struct policy_follow **ret, struct error *err);
void policy_follow_free(struct policy_follow *f);
/* The same pointers for the follower's whole life. */
const struct policy *policy_follow_policy(const struct policy_follow *f);
/* Counts up with each change of what the policy says. */
const uint64_t *policy_follow_generation(const struct policy_follow *f);
bool policy_follow_synced(const struct policy_follow *f); /* a whole policy arrived once */

#endif
