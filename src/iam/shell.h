#ifndef DCOS_IAM_SHELL_H
#define DCOS_IAM_SHELL_H

/*
 * What surrounds the core in dcos-iam: loop, store, HTTP, signing, logins.
 *
 * Who calls is told by a token that this service signed (header or cookie). Over the unix socket,
 * which only root and the router's group can open, a call without a token is a superuser's.
 */

#include "auth/gate.h"
#include "auth/jwt.h"
#include "base/list.h"
#include "http/client.h"
#include "http/server.h"
#include "iam/core.h"
#include "io/loop.h"
#include "json/writer.h"
#include "store/store.h"

enum {
    API_BODY_MAX = 256 * 1024,
    API_SEGMENTS_MAX = 10,
    HASHERS_MAX = 4,      /* passwords hashed at once: each takes 19 MiB */
    HASH_QUEUE_MAX = 256, /* logins that wait for it; more get 503 */
    FOLLOWERS_MAX = 1000,
    FOLLOWER_QUEUE_MAX = 16 * 1024 * 1024, /* beyond the first documents; then it is cut */
    LIMITS_MAX = 65536,                    /* names and addresses whose failures are counted */
    OIDC_PROVIDERS_MAX = 32,
    OIDC_PENDING_MAX = 10000, /* logins under way at providers */
};

struct iam_options {
    bool cookie_secure;
    int64_t token_life_us, cookie_life_us, info_cookie_life_us;
    int64_t key_life_us;    /* signing keys are replaced after so long; 0 = never */
    int64_t login_failures; /* allowed per name and minute */
    const char *ui_config_file, *cluster_id_file;
    const char *audit_log;
    bool require_auth; /* for all but /auth; false: whoever reaches the port may do everything */
};

struct iam {
    struct loop *loop;
    struct store *store;
    struct http_server *server;
    struct http_client *client;
    struct iam_core core;
    struct iam_options options;
    bool ready; /* leading and loaded */
    bool stopping;
    int failure;
    const char *ready_file, *ip;
    uint16_t port;

    /* signing */
    char *private_pem; /* of the current key */
    char kid[65];
    int64_t key_made_us;
    struct jwt_keys *keys; /* that verify our tokens */
    struct timer key_timer;
    bool making_key;

    struct gate gate; /* only its audit log and TLS are used */

    struct list followers; /* struct follower (follow.c) */
    size_t n_followers;
    struct timer follow_timer;

    struct list hash_queue; /* struct hashing (login.c) */
    size_t n_hashing, n_hash_queue;
    struct map limits; /* name or address -> struct limit (limit.c) */

    struct map providers; /* id -> struct oidc_provider (oidc.c) */
    struct map pending;   /* state -> struct oidc_pending */
    struct map initial;   /* "initial/<uid>" -> itself: accounts of the file that were made once */

    struct peers *peers; /* other dcos-iam of the cluster (peers.c); NULL: there are none */
};

/* A call of the API; lives in the request's arena. */
struct iam_call {
    struct iam *iam;
    struct http_request *req;
    char *seg[API_SEGMENTS_MAX]; /* of the path after /acs/api/v1, decoded */
    size_t n_seg;
    json_t *body;    /* NULL when there is none, or it is no JSON */
    const char *uid; /* who calls, or NULL */
    bool superuser;
    bool local; /* over the unix socket */
};

int64_t iam_now(const struct iam *s);
void iam_fail(struct iam *s, const char *what, const char *why);

/* Writes the ready file, once: calls are answered, here or by passing them on. */
void iam_tell_ready(struct iam *s);

/* ---- answers (api.c) ---- */
/* Whom or what the line in the audit log is about. */
void call_note(struct iam_call *c, const char *object);
/* The outcome of a change: after the core's changes are durable. Frees nothing of the call. */
void call_finish(struct iam_call *c, const struct iam_reply *reply);
void call_refuse(struct iam_call *c, int status, const char *code, const char *fmt, ...)
    _printf_(4, 5);
/* 405 with `Allow`. */
void call_not_allowed(struct iam_call *c, const char *allow);
void call_document(struct iam_call *c, int status, const struct buf *body);
/* {"array":[ ... ]}, the form of every list. */
void call_array_begin(struct json_writer *w, struct buf *body);
void call_array_end(struct iam_call *c, struct json_writer *w, const struct buf *body);
/* Stores what changed in the core; done (may be NULL) once it is durable, or the process ends. */
void iam_commit(struct iam *s, void (*done)(void *userdata), void *userdata);
void iam_http_handle(struct http_request *req, void *userdata);

/* ---- handlers by subject ---- */
void users_handle(struct iam_call *c);
void groups_handle(struct iam_call *c);
void acls_handle(struct iam_call *c);
void auth_handle(struct iam_call *c);     /* /auth/... */
void internal_handle(struct iam_call *c); /* /internal/... */
void write_user(struct json_writer *w, const struct policy_user *u);
/* [{"name","url"}, ...] of an entry. */
void write_actions(
    struct json_writer *w, const char *rid, bool group, const struct policy_entry *entry);
/* "/acs/api/v1/acls/<rid>", escaped twice: the router undoes it once. */
void append_acl_url(struct buf *out, const char *rid);

/* ---- login.c ---- */
void login_post(struct iam_call *c);
/* Sets both cookies and returns the token's text in the arena, or NULL after answering 500. */
const char *login_grant(struct iam_call *c, const char *uid);
void login_logout(struct iam_call *c);
/* Hashes a password on the pool, then calls done on the loop; the call stays referenced. */
void login_hash(struct iam_call *c, const char *password,
    void (*done)(struct iam_call *c, const char *hash, void *userdata), void *userdata);
void login_stop(struct iam *s);

/* ---- bootstrap.c: the first users ---- */
struct iam_bootstrap {
    const char *superuser, *hash, *hash_file, *password_file; /* one superuser by password */
    const char *service_uid, *service_key;                    /* one by public key */
    /* {"accounts":[{"uid",..., "permissions":{RID:[ACTION,...]}}]}; the other members of an account
     * are those of PUT /users/<uid>. Each is made once: who is there already is left alone, and who
     * was removed stays away. */
    const char *accounts;
};
/* One entry "initial/..." of the store. */
void bootstrap_load(struct iam *s, const char *key);
void bootstrap_done(struct iam *s);
/* Makes them in the core; the caller commits. An error leaves a core that must not be stored. */
int iam_bootstrap(struct iam *s, const struct iam_bootstrap *b, struct error *err);

/* ---- limit.c: failed logins ---- */
bool limit_reached(struct iam *s, const char *who);
void limit_count(struct iam *s, const char *who);
void limit_done(struct iam *s);

/* ---- keys.c ---- */
/* Loads, or makes the first one; calls on_ready() once tokens can be signed. */
void keys_start(struct iam *s, void (*on_ready)(struct iam *s));
/* One entry "keys/..." of the store. */
void keys_load(struct iam *s, const char *key, struct str value);
/* A new key signs from when it is durable. False: too many are there, until old ones expire. */
bool keys_rotate(struct iam *s);
int keys_sign(struct iam *s, struct str claims, struct buf *out, struct error *err);
void keys_write_jwks(struct iam *s, struct json_writer *w);
void keys_done(struct iam *s);

/* ---- follow.c: the stream of documents for those who decide by themselves ---- */
void follow_begin(struct iam_call *c);
void follow_publish(struct iam *s, const char *key, const char *shown);
void follow_stop(struct iam *s);

/* ---- oidc.c ---- */
void oidc_providers(struct iam_call *c); /* /auth/oidc/... */
void oidc_login(struct iam_call *c);     /* GET /auth/login?oidc-provider= */
int oidc_load(struct iam *s, const char *key, struct str value, struct error *err);
void oidc_each(struct iam *s, void (*fn)(const char *id, const char *description, void *userdata),
    void *userdata);
/* An ID token given to POST /auth/login. */
void oidc_id_token(struct iam_call *c, const char *token);
void oidc_done(struct iam *s);

/* ---- peers.c: several dcos-iam on one store ---- */
/* Opens the door for the others; `where` is ADDRESS:PORT (port 0 picks one). */
int peers_new(struct iam *s, const char *where, const char *work_dir, struct error *err);
/* What stands in the election for the others to find this one. */
const char *peers_info(const struct iam *s);
/* From now on calls are passed on to who leads. */
void peers_stand_by(struct iam *s);
/* True when this one stands by; the call will be answered. */
bool peers_pass_on(struct iam *s, struct http_request *req);
bool peers_know_leader(const struct iam *s);
/* The entry "peers/secret" of the store. */
void peers_load(struct iam *s, struct str value);
/* This one leads, and has loaded the store. */
int peers_lead(struct iam *s, struct error *err);
void peers_free(struct iam *s);

#endif
