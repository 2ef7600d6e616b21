#ifndef DCOS_AUTH_POLICY_H
#define DCOS_AUTH_POLICY_H

/*
 * Users, groups and permissions, as the identity service keeps them and others follow them.
 *
 * State is a set of documents, each a JSON object under a key:
 *
 *     users/<uid>    who there is, without secrets
 *     groups/<gid>   description and members
 *     acls/<rid>     description and entries: actions of users and groups on the resource
 *     keys/<kid>     public keys that sign tokens
 *
 * (names are escaped, see policy_key()). The identity service applies its changes here and stores
 * them; the router, masters, agents and Marathon apply the same documents from its stream, so that
 * all decide alike without a question over the network.
 *
 * Permissions follow DC/OS Enterprise: deny by default, whitelist only. Resource ids are
 * hierarchical: an entry for "a:b" covers "a:b:c", and "x:/dir" covers "x:/dir/file". `full`
 * implies every action; any action on "dcos:superuser" permits everything.
 *
 * Plain data, no I/O. Strings belong to the policy.
 */

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "json/json.h"

enum {
    POLICY_UID_MAX = 96,  /* bytes of a user's or group's id */
    POLICY_RID_MAX = 160, /* bytes of a resource id */
    POLICY_DESCRIPTION_MAX = 2048,
    POLICY_MEMBERS_MAX = 4096, /* of a group; entries of one resource */
};

enum policy_action {
    POLICY_CREATE = 1 << 0,
    POLICY_READ = 1 << 1,
    POLICY_UPDATE = 1 << 2,
    POLICY_DELETE = 1 << 3,
    POLICY_FULL = 1 << 4,
};
/* 0 when it is not one of create, read, update, delete, full. */
unsigned policy_action_parse(struct str name);
const char *policy_action_name(unsigned one_bit);

struct policy_user {
    char *description;
    char *provider_type; /* "internal", "oidc", ... */
    char *provider_id;
    char *public_key; /* PEM, of service accounts, or NULL */
    /* In the identity service alone: its documents have it, those it shows do not. */
    char *password_hash;
    bool is_remote;
    int64_t revoked_before_us; /* tokens issued earlier are refused; 0 = none */
    char uid[];
};

struct policy_group {
    char *description;
    struct map members; /* uid -> itself */
    char gid[];
};

struct policy_entry {
    unsigned actions;
    char name[];
};

struct policy_acl {
    char *description;
    struct map users, groups; /* id -> struct policy_entry */
    char rid[];
};

struct policy_public_key {
    char *pem;
    bool current; /* signs new tokens */
    int64_t made_us, retired_us;
    char kid[];
};

struct policy {
    struct map users;  /* uid -> struct policy_user */
    struct map groups; /* gid -> struct policy_group */
    struct map acls;   /* rid -> struct policy_acl */
    struct map keys;   /* kid -> struct policy_public_key */
};

#define POLICY_INIT                                                                                \
    {                                                                                              \
        0                                                                                          \
    }
void policy_done(struct policy *p);

/* "<kind>/<escaped name>": bytes other than letters, digits and "-_@:." become %XX, so that any id
 * makes a key of the store. */
void policy_key(struct buf *out, const char *kind, const char *name);

/* Puts the document, or removes what is there (value NULL). Unknown kinds and fields are ignored.
 * -EBADMSG: not such a document; nothing changed. */
int policy_apply(struct policy *p, const char *key, const json_t *value, struct error *err);
/* The document of what is there: new references for the caller. */
json_t *policy_user_document(const struct policy_user *u);
json_t *policy_group_document(const struct policy_group *g);
json_t *policy_acl_document(const struct policy_acl *a);

/* ---- questions ---- */

bool policy_is_superuser(const struct policy *p, const char *uid);
/* `action` is one bit. Unknown users are allowed nothing. */
bool policy_allows(const struct policy *p, const char *uid, const char *rid, unsigned action);
/* Whether a token of the user issued then (0 = it does not say) still counts: the user exists and
 * did not have it revoked. */
bool policy_token_counts(const struct policy *p, const char *uid, int64_t issued_us);
static inline bool policy_in_group(const struct policy_group *g, const char *uid)
{
    return map_get(&g->members, uid) != NULL;
}

#endif
