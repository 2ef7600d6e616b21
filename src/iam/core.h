#ifndef DCOS_IAM_CORE_H
#define DCOS_IAM_CORE_H

/*
 * The identity service without its surroundings: users, groups, permissions and the rules for
 * changing them. No I/O, no clock, no hashing: the shell passes time and password hashes in.
 *
 * A change is made in memory at once and appended to `changes`; the shell stores all changes of a
 * call in one batch and answers the call when that is durable. A batch that fails ends the process.
 *
 * Behaviour (rules, status codes, error codes) is that of the DC/OS identity service.
 */

#include "auth/policy.h"
#include "base/arena.h"
#include "base/vec.h"

enum {
    IAM_PASSWORD_MIN = 5, /* characters, as documented */
    IAM_PASSWORD_MAX = 1024,
    IAM_USERS_MAX = 100000,
    IAM_GROUPS_MAX = 10000,
    IAM_ACLS_MAX = 20000,
    IAM_KEYS_MAX = 32, /* that verify; a key set has at most 64 */
    /* Bytes of a document as it is stored: a store takes 512 KiB. */
    IAM_DOCUMENT_MAX = 500 * 1024,
};

/* A document that changed. `value` NULL: removed. */
struct iam_change {
    char *key;
    char *stored; /* what the store keeps: the document with its secrets */
    char *shown;  /* what followers get */
};

/* Outcome of a call: a status of 2xx, or an error as the API shows it. */
struct iam_reply {
    int status;
    char code[48]; /* "ERR_..." */
    char text[512];
};

struct iam_core {
    struct policy policy;
    VEC(struct iam_change) changes;
};

void iam_core_done(struct iam_core *c);
void iam_changes_clear(struct iam_core *c);
void iam_change_done(struct iam_change *change);
/* One entry of the store. -EBADMSG when it cannot be read. */
int iam_core_load(struct iam_core *c, const char *key, struct str value, struct error *err);

/* ---- users ---- */

/* How the former hosted login is named; e-mail addresses without credentials belong to it. */
#define IAM_LEGACY_PROVIDER "https://dcos.auth0.com/"

/* What PUT /users/<uid> asks for, by the rules of the API. Strings live in the arena. */
struct iam_user_spec {
    const char *description;
    const char *password;      /* to be hashed by the caller; or NULL */
    const char *password_hash; /* given ready-made (import), or made from `password` */
    const char *public_key;
    const char *provider_type, *provider_id;
    bool is_remote;
};
/* Reads and judges the body; `create` tells PUT from PATCH. False: *reply has the refusal. */
bool iam_user_read(const struct iam_core *c, const char *uid, const json_t *body, bool create,
    struct arena *arena, struct iam_user_spec *ret, struct iam_reply *reply);
/* Tokens issued before `now_us`, to an earlier user of that name, do not count. */
void iam_user_create(struct iam_core *c, const char *uid, const struct iam_user_spec *spec,
    int64_t now_us, struct iam_reply *reply);
void iam_user_update(
    struct iam_core *c, const char *uid, const struct iam_user_spec *spec, struct iam_reply *reply);
/* Also takes the user out of groups and permissions. */
void iam_user_delete(struct iam_core *c, const char *uid, struct iam_reply *reply);
/* Tokens issued before `now_us` do not count any more. */
void iam_user_revoke(struct iam_core *c, const char *uid, int64_t now_us, struct iam_reply *reply);

/* ---- groups ---- */

void iam_group_create(
    struct iam_core *c, const char *gid, const char *description, struct iam_reply *reply);
void iam_group_update(
    struct iam_core *c, const char *gid, const char *description, struct iam_reply *reply);
void iam_group_delete(struct iam_core *c, const char *gid, struct iam_reply *reply);
void iam_member_add(struct iam_core *c, const char *gid, const char *uid, struct iam_reply *reply);
void iam_member_remove(
    struct iam_core *c, const char *gid, const char *uid, struct iam_reply *reply);

/* ---- permissions ---- */

void iam_acl_create(
    struct iam_core *c, const char *rid, const char *description, struct iam_reply *reply);
void iam_acl_update(
    struct iam_core *c, const char *rid, const char *description, struct iam_reply *reply);
void iam_acl_delete(struct iam_core *c, const char *rid, struct iam_reply *reply);
/* `group` tells whether `name` is a group's id. Grants or takes the bits of `actions`. */
void iam_entry_grant(struct iam_core *c, const char *rid, bool group, const char *name,
    unsigned actions, struct iam_reply *reply);
void iam_entry_take(struct iam_core *c, const char *rid, bool group, const char *name,
    unsigned actions, struct iam_reply *reply);

/* `uid`, who exists, gets dcos:superuser; nothing changes when it is one. */
void iam_make_superuser(struct iam_core *c, const char *uid);

/* ---- signing keys ---- */

/* Makes `kid` the key that signs; the others still verify. The private key is stored, not shown. */
void iam_key_add(struct iam_core *c, const char *kid, const char *public_pem,
    const char *private_pem, int64_t now_us);
void iam_key_remove(struct iam_core *c, const char *kid);

/* ---- others' documents ---- */

/* Stored, and not shown to followers. `document` NULL removes; else its reference is taken. */
void iam_put_document(struct iam_core *c, const char *kind, const char *name, json_t *document);

/* ---- refusals ---- */

void iam_refuse(struct iam_reply *reply, int status, const char *code, const char *fmt, ...)
    _printf_(4, 5);
/* 1 to POLICY_UID_MAX bytes of UTF-8 without control characters and without '/'. */
bool iam_id_valid(const char *id);

#endif
